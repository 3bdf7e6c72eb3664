//! The upstream: a small server on its own thread that answers at once.
//!
//! Any path is answered with 200 bytes of JSON, one that ends in `/mib` with a MiB. `/churn/…` answers what the gateway
//! said about the caller, and two more paths play the identity provider: the metadata that names the key set, and the
//! key set. It reads a request's head and no more than it needs of it, so that it costs little beside what is measured.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

/// The `iss` of every good token here.
pub const ISSUER: &str = "https://issuer.loadtest.invalid";
/// A path that ends in this is answered with a MiB.
pub const MIB: &str = "/mib";
/// A request's head may be this long.
const HEAD_MAX: usize = 64 * 1024;

/// What is answered to a plain request: 200 bytes.
fn plain() -> String {
    let head = r#"{"id":"11","kind":"thing","note":""#;
    let tail = "\"}";
    format!("{head}{}{tail}", "x".repeat(200 - head.len() - tail.len()))
}

/// Starts the server on a thread of its own, for the life of this program.
pub fn start(jwks: &str) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = crate::runtime()?;
    let metadata = json!({ "issuer": ISSUER, "jwks_uri": format!("http://{address}/keys") }).to_string();
    let answers = Arc::new(Answers {
        plain: whole(&plain()),
        mib: whole(&"m".repeat(1024 * 1024)),
        jwks: whole(jwks),
        metadata: whole(&metadata),
    });
    std::thread::Builder::new().name("echo".into()).spawn(move || {
        if let Err(error) = runtime.block_on(serve(listener, answers)) {
            eprintln!("loadtest: the echo upstream stopped: {error}");
        }
    })?;
    Ok(address)
}

/// Whole answers, head and all.
struct Answers {
    plain: Vec<u8>,
    mib: Vec<u8>,
    jwks: Vec<u8>,
    metadata: Vec<u8>,
}

fn whole(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
    format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn serve(listener: TcpListener, answers: Arc<Answers>) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = answers.clone();
        // A connection that breaks is the client's to report.
        tokio::spawn(async move { answers.serve(stream).await.ok() });
    }
}

impl Answers {
    async fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let mut buffer = vec![0; HEAD_MAX];
        let mut filled = 0;
        loop {
            let count = stream.read(&mut buffer[filled..]).await?;
            if count == 0 {
                return Ok(());
            }
            filled += count;
            if !buffer[..filled].ends_with(b"\r\n\r\n") {
                continue;
            }
            let head = std::str::from_utf8(&buffer[..filled])?;
            match self.to(head) {
                Some(answer) => stream.write_all(answer).await?,
                None => stream.write_all(&whole(&said_by_the_gateway(head))).await?,
            }
            filled = 0;
        }
    }

    /// What is answered to this head; `None` depends on what the gateway said.
    fn to(&self, head: &str) -> Option<&[u8]> {
        let target = head.split(' ').nth(1).unwrap_or_default();
        match target {
            "/keys" => Some(&self.jwks),
            "/metadata" => Some(&self.metadata),
            path if path.starts_with("/churn/") => None,
            path if path.ends_with(MIB) => Some(&self.mib),
            _ => Some(&self.plain),
        }
    }
}

fn said_by_the_gateway(head: &str) -> String {
    let header = |wanted: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        let mut named = lines.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.next_back().map_or("", |(_, value)| value.trim())
    };
    format!("{}|{}", header("x-gatewarden-roles"), header("x-gatewarden-permission"))
}

#[cfg(test)]
mod tests {
    use super::{plain, said_by_the_gateway};

    #[test]
    fn the_plain_answer_is_two_hundred_bytes_of_json() {
        assert_eq!(plain().len(), 200);
        assert!(serde_json::from_str::<serde_json::Value>(&plain()).is_ok());
    }

    #[test]
    fn what_the_gateway_said_is_told() {
        let head =
            "GET /churn/both HTTP/1.1\r\nX-Gatewarden-Roles: first\r\nx-gatewarden-permission: a#one\r\n\r\n";
        assert_eq!(said_by_the_gateway(head), "first|a#one");
    }
}
