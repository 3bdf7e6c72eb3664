//! What happens to each packet of a client, whatever it travels on: it passes as it is, it is replaced, it is kept back
//! and answered, or it ends the socket.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::standing::{Refused, Standing};
use super::watch::Ended;
use crate::authorize::{Opening, Upgrade};
use crate::policy::socket::{SocketRules, TokenSource};
use crate::proxy::plane::Plane;
use crate::rejection::Rejection;
use crate::snapshot::Snapshot;
use crate::socket::answer::{self, Problem};
use crate::socket::engine;
use crate::socket::packet::{Kind, Packet, is_array, read_event};

/// Seconds' worth of packets that may come at once.
const BURST_S: u64 = 10;
/// Longest answer to a ping.
const PONG_MAX_BYTES: usize = 16;

/// Whether this says again what a server said with a ping. It passes unjudged, so there must be no way to read a packet
/// in it: some servers look for several in one message, by their lengths or by what stands between them.
fn is_echo(data: &str) -> bool {
    data.len() <= PONG_MAX_BYTES && data.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether this is bytes in base64, in which no packet can be read either.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_'))
}

/// What lets a client's packets through, one after the other.
#[derive(Debug)]
pub(super) struct Gate {
    /// Binary messages that belong to the packet before them.
    pending: Option<Pending>,
    budget: Budget,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    left: u8,
    fate: Fate,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Pass,
    Drop,
}

/// What becomes of a packet that doesn't end the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It passes as it is.
    Pass,
    /// Something else passes for it.
    Replace(String),
    /// It doesn't pass, and the client may be told.
    Drop(Option<String>),
    /// It is for a namespace that nobody declared; the client may be told.
    Undeclared(String),
}

/// The end of a socket, and what the client is told before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) reply: Option<String>,
    pub(super) ended: Ended,
}

impl End {
    fn of(ended: Ended) -> Self {
        Self { reply: None, ended }
    }
}

impl Gate {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self { pending: None, budget: Budget::new(snapshot.gateway.limits.socket_packets_per_second) }
    }

    /// Judges a text packet.
    pub(super) async fn text(
        &mut self,
        plane: &Arc<Plane>,
        standing: &Standing,
        text: &str,
    ) -> Result<Verdict, End> {
        self.spend()?;
        match engine::Packet::read(text) {
            // Boxed: a quiet socket has no room for it.
            Some(engine::Packet::Message(message)) => Box::pin(self.message(plane, standing, message)).await,
            Some(engine::Packet::Bytes(text)) if is_base64(text) => self.attachment(),
            Some(engine::Packet::Pong(data)) if is_echo(data) => Ok(Verdict::Pass),
            Some(engine::Packet::Close) => Ok(Verdict::Pass),
            _ => Err(End::of(Ended::PROTOCOL)),
        }
    }

    /// Judges a binary packet.
    pub(super) fn bytes(&mut self) -> Result<Verdict, End> {
        self.spend()?;
        self.attachment()
    }

    fn spend(&mut self) -> Result<(), End> {
        if self.budget.spend(Instant::now()) { Ok(()) } else { Err(End::of(Ended::TOO_MANY)) }
    }

    /// Bytes belong to the packet that announced them, and share its fate.
    fn attachment(&mut self) -> Result<Verdict, End> {
        let pending = self.pending.take().ok_or(End::of(Ended::PROTOCOL))?;
        let left = pending.left.saturating_sub(1);
        self.pending = (left > 0).then_some(Pending { left, ..pending });
        match pending.fate {
            Fate::Pass => Ok(Verdict::Pass),
            Fate::Drop => Ok(Verdict::Drop(None)),
        }
    }

    fn announced(&mut self, packet: &Packet<'_>, fate: Fate) {
        self.pending = (packet.attachments > 0).then_some(Pending { left: packet.attachments, fate });
    }

    async fn message(&mut self, plane: &Arc<Plane>, standing: &Standing, text: &str) -> Result<Verdict, End> {
        let packet = Packet::read(text).map_err(|_| End::of(Ended::PROTOCOL))?;
        let Some(rules) = standing.rules() else { return Err(End::of(Ended::PROTOCOL)) };
        if self.pending.is_some() {
            return Err(End::of(Ended::PROTOCOL));
        }
        if !rules.namespaces.iter().any(|declared| **declared == *packet.namespace) {
            return match packet.kind {
                Kind::Connect => {
                    Ok(Verdict::Undeclared(answer::connect_error(packet.namespace, "Invalid namespace")))
                }
                _ => Err(End::of(Ended::PROTOCOL)),
            };
        }
        // Until it is known who speaks, nothing is heard but who it is.
        if packet.kind != Kind::Connect && standing.caller().is_none() {
            return Err(End::of(Ended::NOT_AUTHENTICATED));
        }
        match packet.kind {
            Kind::Connect => connect(plane, standing, &rules, &packet).await.map(Verdict::Replace),
            Kind::Disconnect => Ok(Verdict::Pass),
            Kind::Ack if is_array(packet.data) => {
                self.announced(&packet, Fate::Pass);
                Ok(Verdict::Pass)
            }
            Kind::Ack | Kind::ConnectError => Err(End::of(Ended::PROTOCOL)),
            Kind::Event => self.event(plane, standing, &packet).await,
        }
    }

    async fn event(
        &mut self,
        plane: &Arc<Plane>,
        standing: &Standing,
        packet: &Packet<'_>,
    ) -> Result<Verdict, End> {
        let event = read_event(packet.data).map_err(|_| End::of(Ended::PROTOCOL))?;
        match standing.event(plane, &event.name, event.first).await {
            Ok(()) => {
                self.announced(packet, Fate::Pass);
                Ok(Verdict::Pass)
            }
            Err(Refused { rejection, id }) => {
                self.announced(packet, Fate::Drop);
                let problem = Problem {
                    r#type: format!("urn:gatewarden:{}", rejection.code()),
                    status: rejection.status().as_u16(),
                    detail: &rejection.detail(),
                    event: &event.name,
                    request_id: id.to_str().unwrap_or_default(),
                };
                Ok(Verdict::Drop(Some(answer::refusal(packet.namespace, packet.id, &problem))))
            }
        }
    }
}

/// A client comes into a namespace: its token is verified where it stands here, and what it says of itself is replaced
/// by what is proven.
async fn connect(
    plane: &Arc<Plane>,
    standing: &Standing,
    rules: &SocketRules,
    packet: &Packet<'_>,
) -> Result<String, End> {
    let refuse = |rejection: &Rejection| End {
        reply: Some(answer::connect_error(packet.namespace, &rejection.detail())),
        ended: Ended::of(rejection),
    };
    let said = answer::read_auth(packet.data).map_err(|_| End::of(Ended::PROTOCOL))?;
    let members = rules.token.iter().filter_map(|source| match source {
        TokenSource::Auth(member) => Some(&**member),
        TokenSource::Header | TokenSource::Query(_) => None,
    });
    // A token that came with the request stood before any that stands here.
    let token = members.filter_map(|member| said.get(member)).next().filter(|_| !standing.is_carried);
    let opening: Arc<Opening> = match token {
        Some(Value::String(token)) => standing.admit(plane, token).await.map_err(|why| refuse(&why))?,
        Some(_) => return Err(refuse(&Rejection::Token(crate::token::TokenError::Malformed))),
        None if standing.caller().is_none() => return Err(refuse(&Rejection::CredentialMissing)),
        None => match standing.reopen(plane).await {
            Ok(Upgrade::SocketIo(opening)) => opening,
            Ok(_) => return Err(refuse(&Rejection::Denied)),
            Err(why) => return Err(refuse(&why)),
        },
    };
    let mut auth = opening.auth.clone();
    if let Value::Object(told) = &mut auth {
        for name in &opening.rules.auth.keep {
            if let (false, Some(value)) = (told.contains_key(&**name), said.get(&**name)) {
                told.insert(name.to_string(), value.clone());
            }
        }
    }
    Ok(answer::connect(packet.namespace, &auth))
}

/// How many packets a client may still send.
#[derive(Clone, Copy, Debug)]
struct Budget {
    per_second: u64,
    /// Thousandths of a packet.
    left: u64,
    at: Option<Instant>,
}

impl Budget {
    fn new(per_second: usize) -> Self {
        let per_second = u64::try_from(per_second).unwrap_or(u64::MAX).clamp(1, 1_000_000);
        Self { per_second, left: per_second * BURST_S * 1000, at: None }
    }

    fn spend(&mut self, now: Instant) -> bool {
        let passed = self.at.map_or(0, |at| now.saturating_duration_since(at).as_millis());
        // Only whole milliseconds are counted, so that no fraction is lost however often this is asked.
        if passed > 0 || self.at.is_none() {
            self.at = Some(now);
        }
        let gained = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(self.per_second);
        self.left = self.left.saturating_add(gained).min(self.per_second * BURST_S * 1000);
        match self.left.checked_sub(1000) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn packets_are_bounded_in_a_burst_and_over_time() {
        let (mut budget, start) = (Budget::new(10), Instant::now());
        assert!((0..100).all(|_| budget.spend(start)));
        assert!(!budget.spend(start));
        for s in 1..50 {
            let then = start + Duration::from_secs(s);
            assert!((0..10).all(|_| budget.spend(then)), "{s}");
            assert!(!budget.spend(then));
        }
    }

    #[test]
    fn what_passes_unjudged_holds_no_packet() {
        assert!(is_echo("") && is_echo("probe") && is_echo("1"));
        for smuggled in [":20042[\"boss\"]", "\u{1e}42[\"boss\"]", "1:42[\"a\"]", " ", "12345678901234567"] {
            assert!(!is_echo(smuggled), "{smuggled:?}");
        }
        assert!(is_base64("") && is_base64("AQI=") && is_base64("-_+/"));
        for smuggled in ["AA\u{1e}42[\"boss\"]", "4:42[\"boss\"]", "A=A", "\u{1}"] {
            assert!(!is_base64(smuggled), "{smuggled:?}");
        }
    }

    #[test]
    fn attachments_share_the_fate_of_their_packet() {
        let mut gate = Gate { pending: None, budget: Budget::new(100) };
        assert!(gate.bytes().is_err());
        gate.pending = Some(Pending { left: 2, fate: Fate::Drop });
        assert_eq!(gate.bytes(), Ok(Verdict::Drop(None)));
        assert_eq!(gate.bytes(), Ok(Verdict::Drop(None)));
        assert_eq!(gate.bytes(), Err(End::of(Ended::PROTOCOL)));
    }
}
