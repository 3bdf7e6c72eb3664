//! All files → one snapshot, or every mistake in them.

use std::collections::HashMap;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics, code};
use super::lines::Lines;
use super::raw::{self, Table};
use super::rules::{self, Context};
use super::{FileKind, Sources, gateway, tenants};
use crate::plumbing::{GatewayConfig, IssuerConfig};
use crate::policy::App;
use crate::request::Timestamp;
use crate::snapshot::Snapshot;
use crate::token::{Algorithm, CacheLimits, DevTokens, Issuer, KeyCell, Verifier};

/// What a new snapshot takes over from the running one.
#[derive(Debug)]
pub struct Carried<'c> {
    /// The snapshot that judges now: its keys and its verified tokens are kept where their issuer is the same.
    pub previous: Option<&'c Snapshot>,
    /// Whose tokens count.
    pub trust: Trust,
    /// When it is compiled, for grants that end: nothing is told of them without.
    pub now: Option<Timestamp>,
}

/// Whose tokens count.
#[derive(Debug)]
pub enum Trust {
    /// The issuers of `gateway.toml`.
    Configured,
    /// The development issuer in their place: the `dev` verb, with demo apps behind it.
    Development(Vec<Issuer>),
}

impl Carried<'_> {
    /// Nothing taken over, at a moment.
    #[must_use]
    pub fn nothing_at(now: Timestamp) -> Self {
        Self { now: Some(now), ..Self::nothing() }
    }

    /// Nothing taken over, at no time.
    #[must_use]
    pub fn nothing() -> Self {
        Self { previous: None, trust: Trust::Configured, now: None }
    }
}

/// A compiled set with what there is to say about it.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Warnings and notes; no errors.
    pub remarks: Diagnostics,
}

/// Compiles everything, or nothing: one error anywhere refuses the whole set.
pub fn compile(sources: &Sources, carried: Carried<'_>) -> Result<Compiled, Diagnostics> {
    whole(sources, carried, Expected::Met)
}

/// Compiles everything, though the files may expect something else of it: that is told, and refuses nothing.
pub fn compile_unexpected(sources: &Sources, carried: Carried<'_>) -> Result<Compiled, Diagnostics> {
    whole(sources, carried, Expected::Told)
}

/// What follows where `[expect]` isn't met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Nothing is compiled.
    Met,
    /// It is told.
    Told,
}

impl Expected {
    /// Has the diagnostics say what follows, in their order.
    fn settle(self, diagnostics: &mut Diagnostics) {
        if self == Self::Told {
            diagnostics.only_tell(code::EXPECT);
        }
        diagnostics.sort();
    }
}

fn whole(sources: &Sources, carried: Carried<'_>, expected: Expected) -> Result<Compiled, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let config = read_gateway(sources, &mut diagnostics);
    let tables: Vec<(u32, FileKind, Table, Lines)> = sources
        .files
        .iter()
        .zip(0u32..)
        .filter(|(file, _)| file.kind != FileKind::Gateway)
        .map(|(file, index)| {
            (index, file.kind, raw::parse(index, &file.text, &mut diagnostics), Lines::of(file))
        })
        .collect();
    let tenants_table =
        tables.iter().find(|(_, kind, ..)| *kind == FileKind::Tenants).map(|(_, _, table, _)| table);
    let tenants = tenants_table.map(|table| tenants::read(table, &mut diagnostics)).unwrap_or_default();
    let outline = tenants.outline();
    let context = Context {
        issuers: &config.issuers,
        upstreams: &config.upstreams,
        sink: config.decisions.sink.as_ref(),
        directory: &outline,
        today: carried.now.and_then(day),
    };
    let rule_files = tables.iter().filter(|(_, kind, ..)| *kind == FileKind::Rules);
    let drafts: Vec<_> = rule_files
        .clone()
        .filter_map(|(index, _, table, lines)| rules::read(*index, table, lines, context, &mut diagnostics))
        .collect();
    if rule_files.count() == 0 {
        diagnostics.push(
            Diagnostic::error(code::UNREADABLE, "there is no rule file")
                .help("a directory without rules would refuse everything; is it the right one?"),
        );
    }
    let declared: Vec<_> = drafts.iter().flat_map(rules::settings).collect();
    let names: Vec<Arc<str>> = drafts.iter().map(|draft| draft.name.clone()).collect();
    let directory = tenants.finish(&declared, &names, &mut diagnostics);
    let context = Context { directory: &directory, ..context };
    let (linked, routes) = rules::link(drafts, context, &mut diagnostics);
    let verifier = match carried.trust {
        Trust::Configured => configured(&config, carried.previous),
        Trust::Development(issuers) => verifier(issuers, DevTokens::Accepted, &config, carried.previous),
    };
    if let (Err(why), 0) = (&verifier, diagnostics.errors()) {
        // Else a mistake in an issuer has been told already, and with its place.
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, why));
    }
    expected.settle(&mut diagnostics);
    match verifier {
        Ok(verifier) if diagnostics.errors() == 0 => {
            let apps: Box<[App]> = linked.into_iter().collect();
            let snapshot = Snapshot {
                address_limited: which(&apps, |app| {
                    app.limits.as_ref().is_some_and(|limits| limits.address.is_some())
                }),
                cross_origin: which(&apps, |app| app.cors.is_some()),
                revision: carried.previous.map_or(1, |previous| previous.revision + 1),
                hash: sources.hash.as_str().into(),
                gateway: config,
                verifier,
                directory,
                apps,
                routes,
            };
            Ok(Compiled { snapshot, remarks: diagnostics })
        }
        _ => Err(diagnostics.without_notes()),
    }
}

/// The apps that say something, by index.
fn which(apps: &[App], says: fn(&App) -> bool) -> Box<[usize]> {
    apps.iter().enumerate().filter(|(_, app)| says(app)).map(|(index, _)| index).collect()
}

/// The day that it is, anywhere.
fn day(now: Timestamp) -> Option<jiff::civil::Date> {
    let now = jiff::Timestamp::from_second(i64::try_from(now.0).ok()?).ok()?;
    Some(now.to_zoned(jiff::tz::TimeZone::UTC).date())
}

fn read_gateway(sources: &Sources, diagnostics: &mut Diagnostics) -> GatewayConfig {
    let file = sources.files.iter().zip(0u32..).find(|(file, _)| file.kind == FileKind::Gateway);
    match file {
        Some((file, index)) => gateway::read(index, file, diagnostics),
        None => {
            diagnostics.push(Diagnostic::error(code::UNREADABLE, "there is no gateway.toml"));
            let empty = super::SourceFile {
                kind: FileKind::Gateway,
                path: "gateway.toml".into(),
                text: String::new(),
            };
            gateway::read(0, &empty, &mut Diagnostics::default())
        }
    }
}

/// The verifier of the configured issuers. An issuer whose configuration is the same keeps its fetched keys.
fn configured(config: &GatewayConfig, previous: Option<&Snapshot>) -> Result<Verifier, String> {
    let held: HashMap<&str, (&IssuerConfig, Arc<KeyCell>)> = previous
        .into_iter()
        .flat_map(|snapshot| {
            let keys = |name: &str| {
                snapshot.verifier.issuers().find(|own| *own.name == *name).map(|own| own.keys.clone())
            };
            snapshot.gateway.issuers.iter().filter_map(move |own| Some((&*own.name, (own, keys(&own.name)?))))
        })
        .collect();
    let issuer = |own: &IssuerConfig| -> Result<Issuer, String> {
        let kept = held.get(&*own.name).filter(|(before, _)| {
            before.keys == own.keys && before.issuer == own.issuer && before.kind == own.kind
        });
        let algorithms: Result<Vec<Algorithm>, _> = own.algorithms.iter().map(|name| name.parse()).collect();
        Ok(Issuer {
            name: own.name.clone(),
            kind: own.kind,
            issuer: own.issuer.clone(),
            audience: own.audience.clone(),
            algorithms: algorithms
                .map_err(|_| format!("issuer `{}` names an unknown algorithm", own.name))?,
            leeway_s: own.leeway.as_secs(),
            keys: kept.map_or_else(|| Arc::new(KeyCell::empty()), |(_, keys)| keys.clone()),
        })
    };
    let issuers = config.issuers.iter().map(issuer).collect::<Result<Vec<_>, _>>()?;
    verifier(issuers, DevTokens::Refused, config, previous)
}

fn verifier(
    issuers: Vec<Issuer>,
    dev: DevTokens,
    config: &GatewayConfig,
    previous: Option<&Snapshot>,
) -> Result<Verifier, String> {
    let limits = CacheLimits { entries: config.limits.cached_tokens, ..CacheLimits::default() };
    match previous {
        Some(snapshot) => snapshot.verifier.carry(issuers),
        None => Verifier::new(issuers, dev, limits),
    }
    .map_err(|error| error.to_string())
}
