//! The workloads: what is asked of whom, how fast, and what must come back.

use std::sync::Arc;

use gatewarden::token::Algorithm;

use crate::client::{self, Deck, Order, Pace};
use crate::peers::{GUARDED_PATH, MIB_PATH, OPEN_PATH, Peer, READER, STRANGER, Transport};
use crate::tokens::Issuer;
use crate::{Options, Result};

/// A workload by its name on the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Kind {
    /// A public operation, no token.
    Open,
    /// One token, as fast as the answers come.
    One,
    /// Many tokens, each seen before.
    Many,
    /// Every request a token never seen, by RS256.
    NewRs256,
    /// Every request a token never seen, by ES256.
    NewEs256,
    /// A token without the role: 403.
    Refused,
    /// An answer of one MiB.
    Mib,
    /// HTTP/2 over TLS.
    H2,
    /// 500 requests a second.
    Latency,
    /// Half of what the gateway can do.
    Half,
}

/// How requests are sent.
#[derive(Clone, Copy)]
pub enum Drive {
    /// By the client of this program, over HTTP/1.1.
    Http1(usize, Pace),
    /// As fast as half of what the gateway did with one token in the same round.
    HalfOfGateway,
    /// By `h2load`.
    Http2,
}

/// One workload.
pub struct Workload {
    /// Which.
    pub kind: Kind,
    /// What the tables call it.
    pub title: String,
    /// Who is measured, in this order.
    pub peers: Vec<Peer>,
    /// How requests are sent.
    pub drive: Drive,
    /// What is sent.
    pub deck: Arc<Deck>,
    /// What comes back.
    pub status: u16,
}

impl Workload {
    /// What is spoken to the peers.
    pub fn transport(&self) -> Transport {
        if matches!(self.drive, Drive::Http2) { Transport::Tls } else { Transport::Plain }
    }
}

const KINDS: [Kind; 10] = [
    Kind::Open,
    Kind::One,
    Kind::Many,
    Kind::Refused,
    Kind::NewRs256,
    Kind::NewEs256,
    Kind::Mib,
    Kind::H2,
    Kind::Latency,
    Kind::Half,
];

/// All workloads and peers that the options name.
pub fn chosen(options: &Options, issuer: &Issuer) -> Result<Vec<Workload>> {
    let kinds = KINDS.iter().filter(|kind| options.workloads.is_empty() || options.workloads.contains(kind));
    let mut all = Vec::new();
    for kind in kinds {
        let mut workload = make(*kind, options, issuer)?;
        workload.peers.retain(|peer| options.peers.is_empty() || options.peers.contains(peer));
        all.push(workload);
    }
    Ok(all)
}

/// What is compared most closely stands side by side, also across neighbouring workloads: a machine's noise changes with
/// the seconds.
fn peers(kind: Kind) -> Vec<Peer> {
    use Peer::{Direct, Envoy, EnvoyCache, Floor, Gateway, Haproxy, HaproxyJwt, Nginx};
    match kind {
        Kind::Open => vec![Direct, Nginx, Haproxy, Floor, Gateway],
        Kind::One => vec![Envoy, EnvoyCache, HaproxyJwt, Nginx, Floor, Gateway],
        Kind::Many => vec![Gateway, EnvoyCache, HaproxyJwt],
        Kind::NewRs256 | Kind::NewEs256 => vec![Envoy, HaproxyJwt, Gateway],
        Kind::Refused => vec![Gateway, Envoy, EnvoyCache, HaproxyJwt],
        Kind::Mib | Kind::H2 => vec![EnvoyCache, HaproxyJwt, Nginx, Floor, Gateway],
        Kind::Latency => vec![EnvoyCache, HaproxyJwt, Nginx, Floor, Direct, Gateway],
        Kind::Half => vec![Direct, Gateway],
    }
}

fn make(kind: Kind, options: &Options, issuer: &Issuer) -> Result<Workload> {
    let round = |request: Vec<u8>| Deck::new(vec![request], Order::Round);
    let token = issuer.token(1, READER)?;
    let one = || round(client::request(GUARDED_PATH, Some(&token)));
    let distinct = |algorithm, count, order| -> Result<Arc<Deck>> {
        let tokens = issuer.tokens(algorithm, count, READER)?;
        let requests = tokens.iter().map(|token| client::request(GUARDED_PATH, Some(token)));
        Ok(Deck::new(requests.collect(), order))
    };
    let all_out = Drive::Http1(options.connections, Pace::Unbounded);
    let (title, drive, deck) = match kind {
        Kind::Open => {
            ("public operation, no token".to_owned(), all_out, round(client::request(OPEN_PATH, None)))
        }
        Kind::One => ("one token".into(), all_out, one()),
        Kind::Many => {
            let deck = distinct(Algorithm::Rs256, options.tokens.max(1), Order::Round)?;
            (format!("{} tokens, warm", deck.len()), all_out, deck)
        }
        Kind::NewRs256 => {
            let deck = distinct(Algorithm::Rs256, options.new_tokens, Order::Once)?;
            ("every request a new token, RS256".into(), all_out, deck)
        }
        Kind::NewEs256 => {
            let deck = distinct(Algorithm::Es256, options.new_tokens, Order::Once)?;
            ("every request a new token, ES256".into(), all_out, deck)
        }
        Kind::Refused => {
            let request = client::request(GUARDED_PATH, Some(&issuer.token(2, STRANGER)?));
            ("refused (403)".into(), all_out, round(request))
        }
        Kind::Mib => {
            let request = client::request(MIB_PATH, Some(&token));
            ("1 MiB body, one token".into(), all_out, round(request))
        }
        Kind::H2 => ("h2 over TLS, one token, 8 connections of 8 streams".into(), Drive::Http2, one()),
        Kind::Latency => {
            let drive = Drive::Http1(10, Pace::PerSecond(500.0));
            ("500 requests/s, one token, 10 connections".into(), drive, one())
        }
        Kind::Half => ("half of what the gateway can do, one token".into(), Drive::HalfOfGateway, one()),
    };
    let status = if kind == Kind::Refused { 403 } else { 200 };
    Ok(Workload { kind, title, peers: peers(kind), drive, deck, status })
}
