//! Talks to the running gateway at its operators' address, which is on this machine and speaks plain HTTP/1.1.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::super::Exit;
use super::super::load::tell;
use super::member;
use crate::control::sources;

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::cli) enum Unasked {
    /// Nobody listens where the gateway would.
    Nobody(String),
    /// Somebody may.
    Other(String),
}

impl From<String> for Unasked {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Nobody(why) | Self::Other(why)) = self;
        f.write_str(why)
    }
}

/// Asks the gateway that `config` names for a document. What stands in the way is printed.
pub(in crate::cli) fn admin(
    config: &Path,
    method: &Method,
    path: &str,
    body: impl Into<Bytes>,
) -> Result<(StatusCode, Value), Exit> {
    document(config, method, path, body).map_err(|why| {
        tell(&format!("error: {why}"));
        Exit::Environment
    })
}

/// Asks for a document, and says in a sentence what stands in the way. Anything might listen where the gateway should:
/// only what says that it is a gateway's counts.
pub(in crate::cli) fn document(
    config: &Path,
    method: &Method,
    path: &str,
    body: impl Into<Bytes>,
) -> Result<(StatusCode, Value), Unasked> {
    let (status, bytes) = ask(config, method, path, body.into())?;
    let at = sources::peek(config).map_or_else(String::new, |own| own.admin.to_string());
    Ok((status, gateways(&at, status, &bytes)?))
}

/// The document, if it is one of a gateway's.
pub(super) fn gateways(at: &str, status: StatusCode, bytes: &[u8]) -> Result<Value, String> {
    let said: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let is_own = |document: &Value| {
        member(document, "schema").as_str().is_some_and(|schema| schema.starts_with("gatewarden."))
    };
    if is_own(&said) || is_own(member(&said, "rules")) {
        return Ok(said);
    }
    let is_plain = !bytes.starts_with(b"{") && !bytes.starts_with(b"<");
    if !status.is_success() && is_plain && !bytes.is_empty() {
        let text = String::from_utf8_lossy(bytes);
        return Err(format!("the gateway at {at} answered {status}: {}", text.trim_end()));
    }
    Err(format!("what answers at {at} is no gateway (it answered {status}): look at `[admin] address`"))
}

/// Asks, and says in a sentence what stands in the way.
pub(in crate::cli) fn ask(
    config: &Path,
    method: &Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), Unasked> {
    let gateway = sources::peek(config).ok_or_else(|| {
        format!(
            "`{}` can't be read: it says where the gateway hears operators (`[admin] address`)",
            config.display()
        )
    })?;
    let address = gateway.admin;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| format!("can't start: {why}"))?;
    let asking = async {
        let connecting = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(address)).await;
        let stream = match connecting {
            Ok(Ok(stream)) => stream,
            Ok(Err(why)) => {
                let said = format!("no gateway hears operators at {address}: {why}");
                let is_nobody = why.kind() == io::ErrorKind::ConnectionRefused;
                return Err(if is_nobody { Unasked::Nobody(said) } else { Unasked::Other(said) });
            }
            Err(_) => return Err(format!("nothing answers at {address}").into()),
        };
        let broken = |why: &dyn std::fmt::Display| format!("the gateway at {address} broke off: {why}");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|why| broken(&why))?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(HOST, address.to_string());
        request = request.header(ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body)).map_err(|why| broken(&why))?;
        let response = sender.send_request(request).await.map_err(|why| broken(&why))?;
        let status = response.status();
        let read = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
        Ok((status, read.map_err(|why| broken(&why))?.to_bytes()))
    };
    let asked = runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, asking).await });
    asked.unwrap_or_else(|_| Err(format!("the gateway at {address} gives no answer").into()))
}

const CONNECT_MAX: Duration = Duration::from_secs(2);
/// A reload waits for files that stop changing and compiles all of them.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// As much as a set of files may be, twice for JSON's escapes.
const ANSWER_MAX_BYTES: usize = 1 << 30;
