//! The upstream: a small server on its own thread that answers at once.
//!
//! Any path is answered with 200 bytes of JSON. `/churn/…` answers what the gateway said about the caller, and two
//! more paths play the identity provider: the metadata that names the key set, and the key set.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;

use crate::Result;

/// The `iss` of every token here.
pub const ISSUER: &str = "https://issuer.loadtest.invalid";

/// What is answered to a plain request: 200 bytes.
fn plain() -> Bytes {
    let head = r#"{"id":"11","kind":"thing","note":""#;
    let tail = "\"}";
    Bytes::from(format!("{head}{}{tail}", "x".repeat(200 - head.len() - tail.len())))
}

/// Starts the server on a thread of its own, for the life of this program.
pub fn start(jwks: String) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = crate::runtime()?;
    let answers = Answers {
        plain: plain(),
        jwks: Bytes::from(jwks),
        metadata: Bytes::from(
            json!({ "issuer": ISSUER, "jwks_uri": format!("http://{address}/keys") }).to_string(),
        ),
    };
    std::thread::Builder::new().name("echo".into()).spawn(move || {
        if let Err(error) = runtime.block_on(serve(listener, answers)) {
            eprintln!("loadtest: the echo upstream stopped: {error}");
        }
    })?;
    Ok(address)
}

#[derive(Clone)]
struct Answers {
    plain: Bytes,
    jwks: Bytes,
    metadata: Bytes,
}

async fn serve(listener: TcpListener, answers: Answers) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = answers.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answers.to(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            // A connection that breaks is the client's to report.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Answers {
    fn to<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let body = match request.uri().path() {
            "/keys" => self.jwks.clone(),
            "/metadata" => self.metadata.clone(),
            path if path.starts_with("/churn/") => said_by_the_gateway(request),
            _ => self.plain.clone(),
        };
        let mut response = Response::new(Full::new(body));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

fn said_by_the_gateway<B>(request: &Request<B>) -> Bytes {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    Bytes::from(format!("{}|{}", header("x-gatewarden-roles"), header("x-gatewarden-permission")))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn the_plain_answer_is_two_hundred_bytes_of_json() {
        assert_eq!(plain().len(), 200);
        assert!(serde_json::from_slice::<serde_json::Value>(&plain()).is_ok());
    }
}
