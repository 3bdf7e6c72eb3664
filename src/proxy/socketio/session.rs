//! A session that polls: whose it is, which server it is with, what the client is still to be told, and the one request
//! that waits at the application.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::gate::Gate;
use super::sockets::Place;
use super::standing::Standing;
use super::watch::{expiry, is_too_late};
use crate::proxy::record::Recorder;
use crate::proxy::transform::Passing;
use crate::proxy::upgrade::Asking;
use crate::rejection::Rejection;
use crate::socket::engine::{self, Open};
use crate::socket::handshake::Fault;
use crate::token::TokenError;
use crate::upstream::{Answer, Server};

/// The Engine.IO packet that ends a session.
pub(super) const CLOSE: &str = "1";
/// Most that waits to be told to a client.
const REPLIES_MAX_BYTES: usize = 64 * 1024;
/// What is granted beyond the times that the application gives a client.
const SLACK: Duration = Duration::from_secs(5);
/// Longest time that a session may be silent, whatever the application says.
const PATIENCE_MAX: Duration = Duration::from_secs(300);
/// What a browser must be told before it lets a page read an answer.
const CORS: [HeaderName; 3] = [
    HeaderName::from_static("access-control-allow-origin"),
    HeaderName::from_static("access-control-allow-credentials"),
    VARY,
];

/// A session that polls.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) sid: Box<str>,
    pub(super) standing: Standing,
    pub(super) server: Arc<Server>,
    upstream: Arc<str>,
    /// How long the application may wait with an answer, and the client with a request.
    pub(super) patience: Duration,
    cors: HeaderMap,
    /// There is something for the client.
    pub(super) news: Notify,
    state: Mutex<State>,
    _place: Place,
}

#[derive(Debug)]
struct State {
    /// Away while packets go through it.
    gate: Option<Box<Gate>>,
    /// A payload of what the client is still to be told by the gateway.
    replies: String,
    poll: Poll,
    is_taking: bool,
    is_over: bool,
    seen: Instant,
}

/// The request that waits at the application.
#[derive(Debug)]
enum Poll {
    Idle,
    #[allow(dead_code, reason = "held for its end")]
    Asked(Waiting),
    Answered(Box<Result<Response<Answer>, Rejection>>),
}

/// A task that ends with whoever holds this.
#[derive(Debug)]
pub(super) struct Waiting(pub(super) JoinHandle<()>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What there is for the client.
pub(super) enum News {
    Own(String),
    Upstream(Box<Result<Response<Answer>, Rejection>>),
}

/// Finds a session for a permitted request; nobody's but the caller's own.
pub(super) async fn find(
    asking: Asking<'_>,
    sid: &str,
    recorder: &Recorder,
) -> Result<Arc<Session>, Rejection> {
    let plane = &asking.client.plane;
    let session = plane.sockets.find(sid).ok_or(Fault::Session)?;
    let (standing, evidence) = (&session.standing, recorder.evidence());
    let is_app = evidence.app.as_ref() == Some(standing.app());
    let is_caller = match (&evidence.caller, standing.is_carried) {
        (Some(token), true) => standing.is_of(token),
        // The id was given to one who had said nothing of himself, and proved it later if at all.
        (None, false) => true,
        _ => false,
    };
    let is_there = *session.upstream == **asking.upstream.name()
        && asking.upstream.servers().iter().any(|server| Arc::ptr_eq(server, &session.server));
    if !is_app || !is_caller || !is_there {
        return Err(Fault::Session.into());
    }
    if let (Some(token), true) = (&evidence.caller, standing.is_carried) {
        standing.proven(token.clone());
    }
    if expiry(plane, standing) == Some(Duration::ZERO) {
        plane.sockets.forget(&session);
        return Err(Rejection::Token(TokenError::Expired));
    }
    if !standing.is_carried
        && standing.is_outdated(plane)
        && let Err(why) = standing.reopen(plane).await
    {
        plane.sockets.forget(&session);
        return Err(why);
    }
    session.state().seen = Instant::now();
    Ok(session)
}

impl Session {
    /// Of an opening that the application answered with these headers.
    pub(super) fn new(
        open: &Open,
        standing: Standing,
        at: (&Asking<'_>, Arc<Server>),
        headers: &HeaderMap,
        place: Place,
    ) -> Self {
        let (asking, server) = at;
        let patience = Duration::from_millis(open.ping_interval.saturating_add(open.ping_timeout));
        let cors = CORS.into_iter().filter_map(|name| {
            let value = HeaderValue::from_bytes(headers.get(&name)?.as_bytes()).ok()?;
            Some((name, value))
        });
        Self {
            sid: open.sid.clone(),
            standing,
            server,
            upstream: asking.upstream.name().clone(),
            patience: patience.saturating_add(SLACK).min(PATIENCE_MAX),
            cors: cors.collect(),
            news: Notify::new(),
            state: Mutex::new(State {
                gate: Some(Box::new(Gate::new(asking.snapshot))),
                replies: String::new(),
                poll: Poll::Idle,
                is_taking: false,
                is_over: false,
                seen: Instant::now(),
            }),
            _place: place,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody asked for it in time.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let state = self.state();
        let is_silent = now.saturating_duration_since(state.seen) > self.patience;
        (is_silent && !state.is_taking) || is_too_late(&self.standing, now)
    }

    /// Lets go of the application.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        let poll = std::mem::replace(&mut state.poll, Poll::Idle);
        drop(state);
        drop(poll);
        self.news.notify_one();
    }

    /// Whether it ended, and at most that is still to be told.
    pub(super) fn has_ended(&self) -> bool {
        self.state().is_over
    }

    /// The gate, for one body of packets; not while another one goes through.
    pub(super) fn gate(&self) -> Option<Held<'_>> {
        let mut state = self.state();
        let gate = Some(if state.is_over { None } else { state.gate.take() }?);
        drop(state);
        Some(Held { session: self, gate })
    }

    /// The gate and what is still to be told, for a WebSocket that goes on with the session.
    pub(super) fn move_on(&self) -> Option<(Box<Gate>, String)> {
        let mut state = self.state();
        let gate = if state.is_over { None } else { state.gate.take() }?;
        Some((gate, std::mem::take(&mut state.replies)))
    }

    /// Notes what the client is to be told; `false` where too much waits already.
    pub(super) fn tell(&self, packet: &str) -> bool {
        let mut state = self.state();
        if state.replies.len() + packet.len() > REPLIES_MAX_BYTES {
            return false;
        }
        engine::append(&mut state.replies, packet);
        drop(state);
        self.news.notify_one();
        true
    }

    /// The client asks for what there is; not twice at a time.
    pub(super) fn begin_taking(&self) -> Option<Taking<'_>> {
        let is_taking = std::mem::replace(&mut self.state().is_taking, true);
        // Made only to be handed out, and not under the lock: one that is dropped takes the lock and gives the turn back.
        if is_taking { None } else { Some(Taking { session: self, is_answered: false }) }
    }

    /// Whether the application is to be asked.
    pub(super) fn wants_asking(&self) -> bool {
        let state = self.state();
        matches!(state.poll, Poll::Idle) && state.replies.is_empty() && !state.is_over
    }

    pub(super) fn asked(&self, waiting: Waiting) {
        let mut state = self.state();
        if matches!(state.poll, Poll::Idle) {
            state.poll = Poll::Asked(waiting);
        }
    }

    pub(super) fn answered(&self, answer: Result<Response<Answer>, Rejection>) {
        self.state().poll = Poll::Answered(Box::new(answer));
        self.news.notify_one();
    }

    /// What there is for the client, if anything.
    pub(super) fn news(&self) -> Option<News> {
        let mut state = self.state();
        state.seen = Instant::now();
        if !state.replies.is_empty() {
            let mut payload = std::mem::take(&mut state.replies);
            if state.is_over {
                engine::append(&mut payload, CLOSE);
            }
            return Some(News::Own(payload));
        }
        match std::mem::replace(&mut state.poll, Poll::Idle) {
            Poll::Answered(answer) => Some(News::Upstream(answer)),
            other => {
                state.poll = other;
                state.is_over.then(|| News::Own(CLOSE.to_owned()))
            }
        }
    }

    /// An answer of the gateway's own.
    pub(super) fn respond(&self, text: String) -> Response<Passing> {
        let mut response = Response::new(Passing::Whole(Some(text.into())));
        let headers = response.headers_mut();
        headers.extend(self.cors.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The gate, to be given back.
pub(super) struct Held<'s> {
    session: &'s Session,
    pub(super) gate: Option<Box<Gate>>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.session.state().gate = self.gate.take();
    }
}

/// A client that waits for what there is.
pub(super) struct Taking<'s> {
    session: &'s Session,
    pub(super) is_answered: bool,
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        let mut state = self.session.state();
        state.is_taking = false;
        state.seen = Instant::now();
        // A client that leaves takes its request with it, so that the application sees the same.
        if !self.is_answered {
            let poll = std::mem::replace(&mut state.poll, Poll::Idle);
            drop(state);
            drop(poll);
        }
    }
}
