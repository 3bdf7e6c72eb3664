//! Talks to the running gateway at its operators' address, which is on this machine and speaks plain HTTP/1.1.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::super::Exit;
use super::super::load::tell;
use crate::control::sources;

/// Asks the gateway that `config` names. What stands in the way is printed.
pub(in crate::cli) fn admin(
    config: &Path,
    method: &Method,
    path: &str,
    body: impl Into<Bytes>,
) -> Result<(StatusCode, Bytes), Exit> {
    ask(config, method, path, body.into()).map_err(|why| {
        tell(&format!("error: {why}"));
        Exit::Environment
    })
}

/// Asks, and says in a sentence what stands in the way.
pub(in crate::cli) fn ask(
    config: &Path,
    method: &Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), String> {
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
            Ok(Err(why)) => return Err(format!("no gateway hears operators at {address}: {why}")),
            Err(_) => return Err(format!("nothing answers at {address}")),
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
    asked.unwrap_or_else(|_| Err(format!("the gateway at {address} gives no answer")))
}

const CONNECT_MAX: Duration = Duration::from_secs(2);
/// A reload waits for files that stop changing and compiles all of them.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// As much as a set of files may be, twice for JSON's escapes.
const ANSWER_MAX_BYTES: usize = 1 << 30;
