//! Gets one small document from an identity provider: bounded in bytes and time, no redirects, one connection each.
//!
//! Plain HTTP is for an identity provider on this very machine only. A redirect is a failure: who may tell the keys is
//! configuration, and not the answer's choice.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Largest response head that is read.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// How large a document may be, and how long it may take from the first packet to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Bytes of the body.
    pub bytes: usize,
    /// The whole exchange.
    pub within: Duration,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { bytes: 256 * 1024, within: Duration::from_secs(5) }
    }
}

/// Why a document couldn't be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an absolute URL of a host.
    #[error("not an http or https URL")]
    Url,
    /// Plain HTTP to another machine.
    #[error("plain HTTP is only used on this machine; use https")]
    Insecure,
    /// No connection.
    #[error("can't connect")]
    Connect(#[source] std::io::Error),
    /// No HTTP exchange on the connection.
    #[error("the server doesn't speak HTTP")]
    Http(#[source] hyper::Error),
    /// The body broke off.
    #[error("the answer broke off")]
    Broken,
    /// Another status than 200; redirects too.
    #[error("the server answered with status {0}")]
    Status(StatusCode),
    /// More bytes than the limit.
    #[error("the answer is too large")]
    TooLarge,
    /// No complete answer in time.
    #[error("the server took too long")]
    TimedOut,
    /// No TLS with the options that this build has.
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
}

/// Fetches documents, trusting a fixed set of certificate authorities.
#[derive(Clone)]
pub struct Fetcher {
    tls: TlsConnector,
    limits: FetchLimits,
}

impl Fetcher {
    /// Trusts the authorities of the machine (or of `SSL_CERT_FILE`).
    pub fn new(limits: FetchLimits) -> Result<Self, FetchError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::trusting(roots, limits)
    }

    /// Trusts these authorities.
    pub fn trusting(roots: RootCertStore, limits: FetchLimits) -> Result<Self, FetchError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(FetchError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), limits })
    }

    /// The body of `url`, if the answer is 200 and within the limits.
    pub async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let target = Target::parse(url)?;
        match tokio::time::timeout(self.limits.within, self.exchange(&target)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(FetchError::TimedOut),
        }
    }

    async fn exchange(&self, target: &Target) -> Result<Bytes, FetchError> {
        let stream =
            TcpStream::connect((target.host.as_str(), target.port)).await.map_err(FetchError::Connect)?;
        match target.channel {
            Channel::Tls => {
                let name = ServerName::try_from(target.host.clone()).map_err(|_| FetchError::Url)?;
                let stream = self.tls.connect(name, stream).await.map_err(FetchError::Connect)?;
                self.ask(TokioIo::new(stream), target).await
            }
            Channel::Loopback => {
                // `localhost` is a name like any other; what counts is where it led.
                let peer = stream.peer_addr().map_err(FetchError::Connect)?;
                if !peer.ip().to_canonical().is_loopback() {
                    return Err(FetchError::Insecure);
                }
                self.ask(TokioIo::new(stream), target).await
            }
        }
    }

    async fn ask(
        &self,
        stream: impl Read + Write + Unpin + Send + 'static,
        target: &Target,
    ) -> Result<Bytes, FetchError> {
        let request = Request::get(target.path.as_str())
            .header(HOST, target.authority.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("gatewarden/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|_| FetchError::Url)?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAX_BYTES)
            .handshake(stream)
            .await
            .map_err(FetchError::Http)?;
        // The set ends the connection's task when this function is left, however it is left.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let answer = sender.send_request(request).await.map_err(FetchError::Http)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        match Limited::new(answer.into_body(), self.limits.bytes).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
            Err(_) => Err(FetchError::Broken),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Tls,
    Loopback,
}

#[derive(Debug)]
struct Target {
    channel: Channel,
    host: String,
    port: u16,
    authority: Authority,
    path: PathAndQuery,
}

impl Target {
    fn parse(url: &str) -> Result<Self, FetchError> {
        let uri: Uri = url.parse().map_err(|_| FetchError::Url)?;
        let authority = uri.authority().ok_or(FetchError::Url)?.clone();
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(FetchError::Url);
        }
        let (channel, port) = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => (Channel::Tls, 443),
            Some(scheme) if *scheme == Scheme::HTTP => (Channel::Loopback, 80),
            _ => return Err(FetchError::Url),
        };
        if channel == Channel::Loopback && !is_loopback(&host) {
            return Err(FetchError::Insecure);
        }
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { channel, host, port: authority.port_u16().unwrap_or(port), authority, path })
    }
}

/// Whether a URL's answer can't be read or changed on its way: https. Other URLs lead no further than this machine.
#[must_use]
pub fn is_tls(url: &str) -> bool {
    Target::parse(url).is_ok_and(|target| target.channel == Channel::Tls)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for url in
            ["http://127.0.0.1:1/x", "http://[::1]/x", "http://localhost:8080/", "https://sso.example/x?a=b"]
        {
            assert!(Target::parse(url).is_ok(), "{url}");
        }
        for url in [
            "http://sso.example/",
            "http://10.0.0.1/",
            "http://localhost.evil.example/",
            "http://127.0.0.1.x/",
        ] {
            assert!(matches!(Target::parse(url), Err(FetchError::Insecure)), "{url}");
        }
        for url in
            ["", "/x", "sso.example", "ftp://sso.example/", "file:///etc/passwd", "https://a@b/", "https://"]
        {
            assert!(matches!(Target::parse(url), Err(FetchError::Url)), "{url}");
        }
        assert!(is_tls("https://a/") && !is_tls("http://127.0.0.1/") && !is_tls("x"));
    }
}
