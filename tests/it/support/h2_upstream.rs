//! HTTP/2 by frames: an application that speaks it, and a client that does.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use gatewarden::config::Sources;
use gatewarden::plumbing::{Protocol, UpstreamTls};
use gatewarden::snapshot::Snapshot;
use h2::RecvStream;
use h2::client::SendRequest;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

use super::PATIENCE;

pub(crate) type Asked = Request<RecvStream>;
pub(crate) type Respond = SendResponse<Bytes>;

/// An application that speaks HTTP/2, in a thread of its own.
pub(crate) struct H2Upstream {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// How an application treats its connections.
#[derive(Clone, Default)]
pub(crate) struct Manner {
    /// What TLS needs; in the clear without it.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// After so many requests, a connection takes no more.
    pub(crate) leaves_after: Option<usize>,
    /// Streams that a connection takes at once.
    pub(crate) streams: Option<u32>,
}

impl H2Upstream {
    /// Answers every request as `handle` does.
    pub(crate) fn start<F, W>(manner: Manner, handle: F) -> Self
    where
        F: Fn(Asked, Respond) -> W + Clone + Send + Sync + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        let counter = connections.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    counter.fetch_add(1, Ordering::SeqCst);
                    let (manner, handle) = (manner.clone(), handle.clone());
                    tokio::spawn(async move {
                        match manner.tls.clone() {
                            None => serve(socket, manner, handle).await,
                            Some(config) => match TlsAcceptor::from(config).accept(socket).await {
                                Ok(socket) => serve(socket, manner, handle).await,
                                Err(_refused) => {}
                            },
                        }
                    });
                }
            });
        });
        Self { address, connections }
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve<F, W>(socket: impl AsyncRead + AsyncWrite + Unpin, manner: Manner, handle: F)
where
    F: Fn(Asked, Respond) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(manner.streams.unwrap_or(250));
    let Ok(mut connection) = builder.handshake(socket).await else { return };
    let mut taken = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(handle(request, respond));
        taken += 1;
        if manner.leaves_after == Some(taken) {
            connection.graceful_shutdown();
        }
    }
}

/// Reads a body to its end, with its trailers.
pub(crate) async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok((whole, body.trailers().await?))
}

/// Answers with the request's head and body, as text.
pub(crate) async fn echo(request: Asked, mut respond: Respond) {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    let Ok((body, _)) = read(body).await else { return };
    let bytes = [text.as_bytes(), b"\n", &body].concat();
    let mut out = respond.send_response(Response::new(()), false).unwrap();
    let _ = out.send_data(bytes.into(), true);
}

/// Makes every upstream of a gateway one that is spoken to like this.
pub(crate) fn speaking(protocol: Protocol, tls: Option<UpstreamTls>) -> impl FnOnce(&mut Snapshot) {
    move |snapshot| {
        for upstream in &mut snapshot.gateway.upstreams {
            upstream.protocol = protocol;
            upstream.tls.clone_from(&tls);
        }
        gatewarden::control::upstream_tls::read_all(&snapshot.gateway, &Sources::default()).unwrap();
    }
}

/// Opens a connection to a gateway.
pub(crate) async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender.ready().await.unwrap()
}

/// Runs a client's part, and not for ever.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("in time") })
}
