//! What is aimed at, and whether it was reached: ratios of the same round, so that noise falls on both sides.

use crate::measure::{Figures, Outcome};
use crate::peers::Peer;
use crate::spread::Spread;
use crate::workloads::Kind;

/// One target and what was measured for it.
pub struct Row {
    /// What is compared.
    pub text: &'static str,
    /// The aim, where there is one.
    pub most: Option<f64>,
    /// Over the rounds.
    pub measured: Spread,
    /// Whether the median is within the aim.
    pub verdict: Verdict,
}

/// What became of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Reached.
    Pass,
    /// Not reached.
    Miss,
    /// Only looked at.
    NoTarget,
    /// A side of it wasn't measured.
    Unknown,
}

type Place = (Kind, Peer);

/// How a round's figure for a target comes about.
enum Figure {
    /// Processor time of the gateway over that of another, or of itself under another workload.
    Cpu(Place, Place),
    /// Resident memory.
    Memory(Place),
    /// Milliseconds of p99 beyond another's.
    AddedP99(Place, Place),
}

const fn gateway(kind: Kind) -> Place {
    (kind, Peer::Gateway)
}

const fn against(kind: Kind, peer: Peer) -> Figure {
    Figure::Cpu(gateway(kind), (kind, peer))
}

const TARGETS: [(&str, Option<f64>, Figure); 16] = [
    ("one token, nginx's plain pass-through", Some(1.0), against(Kind::One, Peer::Nginx)),
    ("one token, Envoy jwt_authn + rbac, token cache on", Some(0.20), against(Kind::One, Peer::EnvoyCache)),
    ("one token, Envoy jwt_authn + rbac, token cache off", Some(0.13), against(Kind::One, Peer::Envoy)),
    ("one token, HAProxy's JWT", Some(0.30), against(Kind::One, Peer::HaproxyJwt)),
    ("one token, the floor", Some(1.25), against(Kind::One, Peer::Floor)),
    ("many warm tokens, over one token", Some(1.15), Figure::Cpu(gateway(Kind::Many), gateway(Kind::One))),
    ("every request a new token, HAProxy, RS256", Some(0.7), against(Kind::NewRs256, Peer::HaproxyJwt)),
    ("every request a new token, HAProxy, ES256", Some(0.7), against(Kind::NewEs256, Peer::HaproxyJwt)),
    ("refused, over allowed", Some(0.4), Figure::Cpu(gateway(Kind::Refused), gateway(Kind::One))),
    ("1 MiB body, nginx", Some(1.2), against(Kind::Mib, Peer::Nginx)),
    ("1 MiB body, the floor", None, against(Kind::Mib, Peer::Floor)),
    ("h2 over TLS, nginx", Some(0.9), against(Kind::H2, Peer::Nginx)),
    ("h2 over TLS, the floor", None, against(Kind::H2, Peer::Floor)),
    ("resident memory at 64 connections, one token, MiB", Some(12.0), Figure::Memory(gateway(Kind::One))),
    (
        "p99 added to direct at 500 requests/s, ms",
        Some(1.0),
        Figure::AddedP99(gateway(Kind::Latency), (Kind::Latency, Peer::Direct)),
    ),
    (
        "p99 added to direct at half load, ms",
        Some(1.0),
        Figure::AddedP99(gateway(Kind::Half), (Kind::Half, Peer::Direct)),
    ),
];

/// Every target with what was measured for it.
pub fn rows(outcome: &Outcome) -> Vec<Row> {
    TARGETS
        .iter()
        .map(|(text, most, figure)| {
            let measured = measured(outcome, figure);
            let verdict = match most {
                _ if measured.median.is_nan() => Verdict::Unknown,
                None => Verdict::NoTarget,
                Some(most) if measured.median <= *most => Verdict::Pass,
                Some(_) => Verdict::Miss,
            };
            Row { text, most: *most, measured, verdict }
        })
        .collect()
}

fn measured(outcome: &Outcome, figure: &Figure) -> Spread {
    let rounds = |place: Place| outcome.rounds(place.0, place.1).unwrap_or_default();
    let pairs = |left: Place, right: Place| {
        let both = rounds(left).iter().zip(rounds(right));
        both.filter_map(|(left, right)| Some(((*left)?, (*right)?))).collect::<Vec<(Figures, Figures)>>()
    };
    match figure {
        Figure::Cpu(left, right) => {
            let pairs = pairs(*left, *right);
            Spread::of(pairs.iter().filter_map(|(left, right)| Some(left.cpu_us? / right.cpu_us?)))
        }
        Figure::Memory(place) => Spread::of(rounds(*place).iter().flatten().filter_map(|one| one.rss_mib)),
        Figure::AddedP99(left, right) => {
            let pairs = pairs(*left, *right);
            Spread::of(pairs.iter().map(|(left, right)| (left.p99_us - right.p99_us) / 1000.0))
        }
    }
}
