//! Where tokens are asked for: a socket in the file system that only its owner can open. There is no way to ask over
//! the network.
//!
//! One connection is one question: a line of JSON each way.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::persona::Wish;

/// Longest line in either direction.
const LINE_MAX_BYTES: u64 = 64 * 1024;
/// How long either side waits for the other's line.
const PATIENCE: Duration = Duration::from_secs(5);

/// A socket that answers questions for tokens.
#[derive(Debug)]
pub(super) struct TokenSocket {
    listener: UnixListener,
    owner: u32,
}

impl TokenSocket {
    /// Listens at `path`, whose directory is its owner's alone already. An abandoned socket there is replaced; one
    /// that somebody answers at is not.
    pub(super) async fn bind(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).await.is_ok() {
            let message = format!("another `gatewarden dev` is running here ({})", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, owner: std::fs::metadata(path)?.uid() })
    }

    /// Answers each question by `mint`, until the runtime ends.
    pub(super) async fn serve(self, mint: impl Fn(&Wish) -> Result<String, String>) {
        loop {
            // One after the other: a question takes microseconds, and nobody but the owner can ask.
            let Ok((stream, _)) = self.listener.accept().await else { continue };
            let is_owner = stream.peer_cred().is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0);
            if is_owner {
                // Who asks badly or leaves has only himself to tell.
                let _ = timeout(PATIENCE, answer(stream, &mint)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, mint: &impl Fn(&Wish) -> Result<String, String>) -> io::Result<()> {
    let question = read_line(&mut stream).await?;
    let answer = match read_wish(&question).and_then(|wish| mint(&wish)) {
        Ok(token) => json!({ "token": token }),
        Err(error) => json!({ "error": error }),
    };
    stream.write_all(format!("{answer}\n").as_bytes()).await?;
    stream.shutdown().await
}

fn read_wish(question: &Value) -> Result<Wish, String> {
    let who = question.get("as").and_then(Value::as_str).ok_or("the question names nobody")?;
    let claims = question.get("claims").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(Wish {
        who: who.to_owned(),
        tenant: question.get("tenant").and_then(Value::as_str).map(str::to_owned),
        claims: claims.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    })
}

/// Asks the `gatewarden dev` that listens at `path` for a token.
pub(super) async fn ask(path: &Path, wish: &Wish) -> io::Result<Result<String, String>> {
    let exchange = async {
        let mut stream = UnixStream::connect(path).await?;
        let question = json!({ "as": wish.who, "tenant": wish.tenant, "claims": wish.claims });
        stream.write_all(format!("{question}\n").as_bytes()).await?;
        read_line(&mut stream).await
    };
    let answer = timeout(PATIENCE, exchange).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(text("token").ok_or_else(|| text("error").unwrap_or_else(|| "no answer".to_owned())))
}

async fn read_line(stream: &mut UnixStream) -> io::Result<Value> {
    let mut line = String::new();
    BufReader::new(stream.take(LINE_MAX_BYTES)).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_owner_can_open_it_and_it_answers() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("token.sock");
        let socket = TokenSocket::bind(&path).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let wish = Wish { who: "a/b".into(), tenant: Some("t".into()), claims: vec!["x=1".into()] };
        let expected = wish.clone();
        tokio::spawn(socket.serve(move |asked| {
            assert_eq!(*asked, expected);
            Ok("made".into())
        }));
        assert_eq!(ask(&path, &wish).await.unwrap(), Ok("made".into()));
    }

    #[tokio::test]
    async fn a_running_one_is_left_alone_and_an_abandoned_one_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("token.sock");
        let running = TokenSocket::bind(&path).await.unwrap();
        assert_eq!(TokenSocket::bind(&path).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(running);
        assert!(path.exists(), "a socket outlives who bound it");
        assert!(TokenSocket::bind(&path).await.is_ok());
    }

    #[tokio::test]
    async fn nonsense_is_answered_and_ends_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("token.sock");
        let socket = TokenSocket::bind(&path).await.unwrap();
        tokio::spawn(socket.serve(|_| Ok("made".into())));
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"hello\n").await.unwrap();
        let mut nothing = Vec::new();
        stream.read_to_end(&mut nothing).await.unwrap();
        assert!(nothing.is_empty());
        assert!(ask(&path, &Wish { who: "a/b".into(), ..Wish::default() }).await.unwrap().is_ok());
    }
}
