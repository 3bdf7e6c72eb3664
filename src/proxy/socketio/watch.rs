//! The end of a socket that nobody asked for: the token ran out, the rules changed, the gateway drains, or the other side
//! is silent. One timer per socket, which is set when one of these changes, not at every packet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::sync::watch::Receiver;

use super::standing::Standing;
use crate::policy::socket::TokenSource;
use crate::proxy::answering::now;
use crate::proxy::connection::Client;
use crate::proxy::plane::Plane;
use crate::proxy::server::Phase;
use crate::rejection::Rejection;
use crate::request::Timestamp;
use crate::socket::handshake::Fault;
use crate::token::TokenError;

/// How long a client may take to say who it is.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a turn at being judged again.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest sleep: clocks are set, and an hour is soon enough to see it.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Why a socket ends, as its client is told: the close frame's code and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Ended {
    pub(in crate::proxy) code: u16,
    pub(in crate::proxy) reason: &'static str,
}

impl Ended {
    /// For the application, where the gateway ends a socket.
    pub(super) const GOING: Self = Self { code: 1001, reason: "" };
    pub(super) const DRAINING: Self = Self { code: 1001, reason: "the gateway is shutting down" };
    pub(super) const PROTOCOL: Self = Self { code: 1002, reason: "the packet can't be read" };
    pub(super) const TOO_MANY: Self = Self { code: 1008, reason: "too many packets" };
    pub(super) const TOO_LARGE: Self = Self { code: 1009, reason: "the message is too large" };
    pub(super) const LOST: Self = Self { code: 1011, reason: "the application broke off" };
    pub(super) const UNANSWERED: Self = Self { code: 1013, reason: "try again later" };
    pub(super) const NOT_AUTHENTICATED: Self = Self { code: 4401, reason: "not authenticated" };
    pub(super) const EXPIRED: Self = Self { code: 4401, reason: "token expired" };
    pub(super) const NOT_PERMITTED: Self = Self { code: 4403, reason: "no longer permitted" };

    /// As a request is answered.
    pub(super) fn rejection(self) -> Rejection {
        match self {
            Self::NOT_AUTHENTICATED => Rejection::CredentialMissing,
            Self::EXPIRED => Rejection::Token(TokenError::Expired),
            Self::NOT_PERMITTED => Rejection::Denied,
            Self::UNANSWERED => Rejection::Unanswered,
            _ => Rejection::Socket(Fault::Request),
        }
    }

    /// For a refused opening.
    pub(super) fn of(rejection: &Rejection) -> Self {
        match rejection.status() {
            StatusCode::UNAUTHORIZED => Self::NOT_AUTHENTICATED,
            StatusCode::SERVICE_UNAVAILABLE => Self::UNANSWERED,
            _ => Self::NOT_PERMITTED,
        }
    }
}

/// Waits for the end of a socket.
pub(in crate::proxy) async fn supervise(client: &Arc<Client>, standing: &Standing) -> Ended {
    let plane = &client.plane;
    let mut phase = client.phase.clone();
    let mut revision = plane.sockets.revision();
    let mut written = plane.lookups().changes();
    loop {
        // Rules may have been changed between the opening and now.
        if standing.is_outdated(plane) {
            let judged = Box::pin(judged_again(plane, standing));
            tokio::select! {
                biased;
                () = drains(&mut phase) => return Ended::DRAINING,
                judged = judged => if let Err(why) = judged {
                    return Ended::of(&why);
                }
            }
        }
        let due = due(plane, standing);
        tokio::select! {
            biased;
            () = drains(&mut phase) => return Ended::DRAINING,
            _ = revision.changed() => {}
            _ = written.changed() => {}
            () = standing.changed.notified() => {}
            () = tokio::time::sleep(due.0) => {
                // Looked at again: a session that polls is waited for by several, and one alone hears of a newer token.
                if let (Duration::ZERO, Some(ended)) = self::due(plane, standing) {
                    return ended;
                }
            }
        }
    }
}

/// Judges a socket's opening again when it is its turn. Its events are held to what holds now in the meantime; what the
/// application says may still reach it, but not for long.
async fn judged_again(plane: &Arc<Plane>, standing: &Standing) -> Result<(), Rejection> {
    let turn = tokio::time::timeout(TURN_TIMEOUT, plane.sockets.turn()).await;
    let Ok(Some(_turn)) = turn else { return Err(Rejection::Unanswered) };
    standing.reopen(plane).await.map(drop)
}

/// Waits until the gateway drains.
async fn drains(phase: &mut Receiver<Phase>) {
    // A sender that is gone is a gateway that ends.
    let _ = phase.wait_for(|phase| phase.is_draining()).await;
}

/// How long to wait, and what has come when that is over; nothing where it is only time to look again.
fn due(plane: &Arc<Plane>, standing: &Standing) -> (Duration, Option<Ended>) {
    let now = Instant::now();
    let mut due = (SLEEP_MAX, None);
    let mut earlier = |wait: Duration, ended| {
        if wait < due.0 {
            due = (wait, Some(ended));
        }
    };
    match expiry(plane, standing) {
        Some(left) => earlier(left, Ended::EXPIRED),
        None if awaits_token(standing) => {
            earlier((standing.began + AUTH_TIMEOUT).saturating_duration_since(now), Ended::NOT_AUTHENTICATED);
        }
        None => {}
    }
    if let Some(at) = standing.silent_at() {
        match at.saturating_duration_since(now) {
            Duration::ZERO => earlier(Duration::ZERO, Ended::LOST),
            // It may say something until then.
            wait if wait < due.0 => due = (wait, None),
            _ => {}
        }
    }
    due
}

/// Whether nobody knows yet who the client is.
pub(super) fn awaits_token(standing: &Standing) -> bool {
    let is_auth = |source: &TokenSource| matches!(source, TokenSource::Auth(_));
    standing.caller().is_none() && standing.rules().is_some_and(|rules| rules.token.iter().any(is_auth))
}

/// Whether the client had its time to say who it is.
pub(super) fn is_too_late(standing: &Standing, now: Instant) -> bool {
    awaits_token(standing) && now.saturating_duration_since(standing.began) > AUTH_TIMEOUT
}

/// What is left of the caller's token, the clock's leeway included.
pub(super) fn expiry(plane: &Arc<Plane>, standing: &Standing) -> Option<Duration> {
    let token = standing.caller()?;
    let snapshot = plane.load();
    let issuer = snapshot.verifier.issuers().find(|issuer| issuer.name == *token.issuer());
    let Timestamp(expires) = token.expires();
    let until = expires.saturating_add(issuer.map_or(0, |issuer| issuer.leeway_s));
    Some(Duration::from_secs(until.saturating_sub(now().0)))
}
