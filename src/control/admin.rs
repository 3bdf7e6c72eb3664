//! The operators' listener: what is live, reload, metrics, probes. Never on the port that callers use.
//!
//! It binds a loopback address only, and because a browser on the same machine could be led to it by a name that
//! points there, the `Host` must be a loopback one too. A second, optional listener carries metrics and probes
//! alone and may be open to the network.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::candidate::{self, Candidates};
use super::decisions;
use super::reload::{Handle, Reloaded};
use super::status::Board;
use crate::audit::Log;
use crate::ledger::Ledger;
use crate::request::{Host, Timestamp, read_host};
use crate::seat::{Row, Seating, rows_to_json};
use crate::telemetry::{CandidateState, Metrics, Trigger};
use crate::token::KeyStatus;
use crate::upstream::{Upstream, Upstreams};

/// How the keys of the live set's issuers are doing.
pub type Keys = Arc<dyn Fn() -> Vec<(Arc<str>, KeyStatus)> + Send + Sync>;

/// The live set's upstreams.
pub type Servers = Arc<dyn Fn() -> Arc<Upstreams> + Send + Sync>;

/// What the operators' endpoints show and move.
#[derive(Clone)]
pub struct Admin {
    /// The state of the configuration.
    pub board: Arc<Board>,
    /// To ask for a reload.
    pub reload: Handle,
    /// Rules that are tried out.
    pub candidates: Arc<Candidates>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Whether requests should be sent here.
    pub readiness: Arc<Readiness>,
    /// The issuers' keys.
    pub keys: Keys,
    /// Who has a seat.
    pub ledger: Arc<Ledger>,
    /// Where requests go.
    pub upstreams: Servers,
    /// Where decisions are written down.
    pub log: Arc<Log>,
}

/// Whether this gateway takes requests.
#[derive(Debug)]
pub struct Readiness(AtomicU8);

/// Where in its life the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not listening yet.
    Starting = 0,
    /// Serving.
    Ready = 1,
    /// Ending: no new requests, please.
    Draining = 2,
    /// Ending, while another process serves at the same address.
    Replaced = 3,
}

impl Default for Readiness {
    fn default() -> Self {
        Self(AtomicU8::new(Phase::Starting as u8))
    }
}

impl Readiness {
    /// Says where the gateway is.
    pub fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    /// Says that it is ready, unless it has begun to drain.
    pub fn ready(&self) {
        let (from, to) = (Phase::Starting as u8, Phase::Ready as u8);
        let _ = self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Where the gateway is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            3 => Phase::Replaced,
            _ => Phase::Draining,
        }
    }
}

/// Who may reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Operators on this machine: every endpoint.
    Operators,
    /// Scrapers and probes on the network: metrics and health.
    Scrapers,
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, admin: Admin, reach: Reach) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: asking at once would only spin.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let admin = admin.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let admin = admin.clone();
                async move {
                    let mut response = answer(&admin, reach, request).await;
                    if admin.readiness.phase() == Phase::Replaced {
                        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_MAX_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            // A connection that breaks concerns nobody but its client.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(place);
        });
    }
}

async fn answer(admin: &Admin, reach: Reach, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    if reach == Reach::Operators {
        let host = read_host(parts.version, &parts.uri, &parts.headers);
        if !host.is_ok_and(|host| is_loopback(&host)) {
            return text(StatusCode::FORBIDDEN, "ask for a loopback address or `localhost`\n");
        }
    }
    let reading = matches!(parts.method, Method::GET | Method::HEAD);
    let operators = reach == Reach::Operators;
    if operators && parts.uri.path().starts_with("/candidate") {
        return candidate::answer(&admin.candidates, &parts, body).await;
    }
    match (parts.uri.path(), reading) {
        ("/livez", true) => text(StatusCode::OK, "alive\n"),
        ("/readyz", true) => readyz(admin, parts.uri.query()),
        ("/metrics", true) => metrics(admin),
        ("/rules", true) if operators => rules(admin),
        ("/rules/sources", true) if operators => {
            json_response(StatusCode::OK, &admin.board.read().sources_to_json())
        }
        ("/seats", true) if operators => seats(admin),
        (path, true) if operators && path.starts_with(decisions::PREFIX) => {
            let (code, body) = decisions::one(&admin.log, path).await;
            let mut response = text(code, body);
            if code == StatusCode::OK {
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
            }
            response
        }
        ("/reload", false) if operators && parts.method == Method::POST => {
            reload(admin, &parts.headers, parts.uri.query()).await
        }
        ("/reload", _) if operators => not_allowed("POST"),
        ("/livez" | "/readyz" | "/metrics", false) => not_allowed("GET, HEAD"),
        ("/rules" | "/rules/sources" | "/seats", false) if operators => not_allowed("GET, HEAD"),
        ("/", true) if operators => text(StatusCode::OK, INDEX),
        _ => text(StatusCode::NOT_FOUND, "there is no such endpoint\n"),
    }
}

/// Every address of this machine's own, and the one name that can't be anyone else's.
fn is_loopback(host: &Host) -> bool {
    let bare = host.as_str().trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn rules(admin: &Admin) -> Response<Full<Bytes>> {
    json_response(StatusCode::OK, &state(admin))
}

/// What is live and what was refused, and what is tried out beside it.
fn state(admin: &Admin) -> serde_json::Value {
    let mut state = admin.board.read().to_json();
    if let Some(state) = state.as_object_mut() {
        let is_judged = admin.candidates.shown().state == CandidateState::Judged;
        if is_judged && state.get("state").is_some_and(|state| state == "live") {
            state.insert("state".to_owned(), "candidate".into());
        }
        state.insert("candidate".to_owned(), admin.candidates.to_json());
    }
    state
}

/// The running month and the months before, of every tenant and app.
fn seats(admin: &Admin) -> Response<Full<Bytes>> {
    let rows: Vec<Row> = admin.ledger.seatings(Timestamp(now_s())).iter().flat_map(Seating::rows).collect();
    json_response(StatusCode::OK, &rows_to_json(&rows))
}

/// Whether a page in a browser sent it: it can't hide that.
pub(super) fn is_from_a_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    headers.contains_key(ORIGIN)
        || site.is_some_and(|site| site.as_bytes() != b"none" && site.as_bytes() != b"same-origin")
}

/// Reloads now. A page in a browser can send a POST anywhere, but not without these headers.
async fn reload(admin: &Admin, headers: &HeaderMap, query: Option<&str>) -> Response<Full<Bytes>> {
    if is_from_a_page(headers) {
        return text(StatusCode::FORBIDDEN, "a web page may not ask for a reload\n");
    }
    let reloaded = match query {
        None => admin.reload.reload(Trigger::Admin).await,
        Some("narrow-only") => admin.reload.narrow(Trigger::Admin).await,
        Some(_) => {
            return text(StatusCode::BAD_REQUEST, "the one thing to be said of a reload is `narrow-only`\n");
        }
    };
    let status = admin.board.read();
    let (code, word) = match &reloaded {
        Some(Reloaded::Applied) => (StatusCode::OK, "applied"),
        Some(Reloaded::Unchanged) => (StatusCode::OK, "unchanged"),
        Some(Reloaded::Rejected(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "rejected"),
        None => return text(StatusCode::SERVICE_UNAVAILABLE, "the gateway is ending\n"),
    };
    let wants_json = |accept: &HeaderValue| accept.to_str().is_ok_and(|a| a.contains("application/json"));
    if headers.get(ACCEPT).is_some_and(wants_json) {
        return json_response(code, &json!({ "result": word, "rules": state(admin) }));
    }
    let (revision, hash) = (status.revision, &status.hash);
    match reloaded {
        Some(Reloaded::Rejected(refusal)) => text(
            code,
            format!("{}nothing was applied; revision {revision} ({hash}) stays live\n", refusal.rendered),
        ),
        _ => text(code, format!("{word}: revision {revision} ({hash})\n")),
    }
}

fn metrics(admin: &Admin) -> Response<Full<Bytes>> {
    admin.metrics.show_keys(&(admin.keys)());
    admin.metrics.show_upstreams(&(admin.upstreams)(), Instant::now());
    admin.metrics.show_seats(&admin.ledger.seatings(Timestamp(now_s())), admin.ledger.failures());
    let buckets = admin.ledger.buckets();
    admin.metrics.show_buckets(buckets.len(), buckets.shared());
    let mut response = text(StatusCode::OK, admin.metrics.render());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}

/// Ready stays ready while a broken edit is refused: the last good rules are enforced. Keys that are missing
/// don't count either, for the tokens of other issuers can be judged; `verbose` shows them.
fn readyz(admin: &Admin, query: Option<&str>) -> Response<Full<Bytes>> {
    let (code, word) = match admin.readiness.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Ready => (StatusCode::OK, "ready"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        // Who asks on a connection that was kept hears how the address is doing.
        Phase::Replaced => (StatusCode::OK, "ready"),
    };
    let verbose =
        query.is_some_and(|query| query.split('&').any(|key| key == "verbose" || key == "verbose=1"));
    if !verbose {
        return text(code, format!("{word}\n"));
    }
    let status = admin.board.read();
    let state = if status.rejected.is_some() { "what stands on disk was rejected" } else { "as on disk" };
    let mut lines = vec![word.to_owned(), format!("rules: revision {}, {state}", status.revision)];
    lines.extend((admin.keys)().iter().map(|(name, keys)| match keys.last_success {
        Some(when) => format!("keys of {name}: {}, {} s old", keys.keys, now_s().saturating_sub(when.0)),
        None => format!("keys of {name}: none yet, {} attempts failed; the log says why", keys.failures),
    }));
    lines.extend((admin.upstreams)().iter().map(|upstream| upstream_line(upstream, Instant::now())));
    lines.push(String::new());
    text(code, lines.join("\n"))
}

/// How many of an upstream's servers are well, and which aren't.
fn upstream_line(upstream: &Upstream, now: Instant) -> String {
    let servers = upstream.servers();
    let ill = servers.iter().filter_map(|server| match (server.is_well(), server.is_ejected(now)) {
        (false, _) => Some(format!("; {} fails its health check", server.address())),
        (true, true) => Some(format!("; {} failed just now", server.address())),
        (true, false) => None,
    });
    let ill: Vec<_> = ill.collect();
    let well = servers.len().saturating_sub(ill.len());
    format!("servers of {}: {well} of {} well{}", upstream.name(), servers.len(), ill.concat())
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub(super) fn not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "the endpoint has no such method\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

pub(super) fn json_response(code: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = text(code, format!("{value:#}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

const INDEX: &str = "gatewarden\n\
    GET  /rules            what is live, and what was refused\n\
    GET  /rules/sources    the files of what is live, as they were compiled\n\
    GET  /candidate        rules that are tried out beside the live ones, and what they would change\n\
    GET  /decisions/ID     one of the last decisions, by the request's id\n\
    GET  /seats            licence seats, this month and before\n\
    POST /reload           read the files now\n\
    GET  /metrics          for Prometheus\n\
    GET  /livez            is the process alive\n\
    GET  /readyz?verbose   does it take requests\n";
const CONNECTIONS_MAX: usize = 64;
const HEAD_MAX_BYTES: usize = 16 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A scraper that keeps its connection comes back with another one.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for good in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(&Host::parse(good).unwrap()), "{good}");
        }
        for bad in ["rebound.example", "localhost.example", "10.0.0.1", "0.0.0.0", "[::]"] {
            assert!(!is_loopback(&Host::parse(bad).unwrap()), "{bad}");
        }
    }
}
