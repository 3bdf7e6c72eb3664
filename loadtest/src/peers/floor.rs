//! The floor: the least that a proxy on the gateway's own stack can be. What the gateway costs above it is its own.
//!
//! One thread with tokio's current-thread runtime, hyper on both sides, idle upstream connections kept by the thread,
//! HTTP/2 over rustls where it is given a certificate. It has no limits, no timeouts, no header policy, no metrics and
//! no rules, so it is nothing to put in front of anything.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Child, Stage, Transport, free_address};
use crate::Result;

/// Starts this program again as the floor.
pub fn start(stage: &Stage, transport: Transport) -> Result<Child> {
    let address = free_address()?;
    let program = std::env::current_exe()?;
    Child::start(address, &program, |_| {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut arguments =
            vec!["--floor".to_owned(), address.to_string(), "--upstream".into(), stage.upstream.to_string()];
        if transport == Transport::Tls {
            arguments.extend([
                "--certificate".into(),
                text(&stage.certificate),
                "--key".into(),
                text(&stage.key),
            ]);
        }
        Ok(arguments)
    })
}

/// Serves until the process is ended.
pub fn serve(address: SocketAddr, upstream: SocketAddr, files: Option<(PathBuf, PathBuf)>) -> Result<()> {
    let acceptor = files.map(|(certificate, key)| acceptor(&certificate, &key)).transpose()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&crate::runtime()?, accept(address, upstream, acceptor))
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<std::result::Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(address: SocketAddr, upstream: SocketAddr, tls: Option<TlsAcceptor>) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    let pool = Rc::new(Pool { upstream, host: upstream.to_string().parse()?, idle: RefCell::default() });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (pool, tls) = (pool.clone(), tls.clone());
        // A connection that breaks is the client's to report.
        tokio::task::spawn_local(async move { connection(stream, pool, tls).await.ok() });
    }
}

async fn connection(stream: TcpStream, pool: Rc<Pool>, tls: Option<TlsAcceptor>) -> Result<()> {
    let service = service_fn(|request| {
        let pool = pool.clone();
        async move { pool.pass(request).await }
    });
    match tls {
        None => Ok(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?),
        Some(tls) => {
            let stream = TokioIo::new(tls.accept(stream).await?);
            Ok(http2::Builder::new(Local).serve_connection(stream, service).await?)
        }
    }
}

/// Runs an HTTP/2 connection's streams on this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// The connections to the upstream that may be free.
struct Pool {
    upstream: SocketAddr,
    host: HeaderValue,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

impl Pool {
    async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>> {
        let target = request.uri().path_and_query().cloned().ok_or("no path")?;
        *request.uri_mut() = Uri::from(target);
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().remove(CONNECTION);
        let mut sender = match self.free() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = sender.send_request(request).await?;
        // It isn't ready before the body has been read; whoever takes it looks.
        self.idle.borrow_mut().push(sender);
        Ok(response)
    }

    fn free(&self) -> Option<SendRequest<Incoming>> {
        let mut idle = self.idle.borrow_mut();
        let at = idle.iter().rposition(SendRequest::is_ready)?;
        Some(idle.swap_remove(at))
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>> {
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        self.idle.borrow_mut().retain(|sender| !sender.is_closed());
        Ok(sender)
    }
}
