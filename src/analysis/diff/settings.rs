//! What is set differently, as it stands in the files: what requests can't show, or show only to those who know where to
//! look. What it does to callers is told in rows of its own where the rules can be asked; here the effect is what can't be
//! asked, and what can't be asked counts as widening unless it can only take away.

use std::collections::BTreeMap;
use std::path::Path;

use super::tenants::Tenants;
use super::{Effect, Setting};
use crate::plumbing::{GatewayConfig, IssuerConfig, KeySource, UpstreamConfig};
use crate::seat::Over;
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;

/// Everything that is set differently.
pub(super) fn of(old: &Snapshot, new: &Snapshot, tenants: &Tenants) -> Vec<Setting> {
    let mut rows = Rows::default();
    gateway(&mut rows, &old.gateway, &new.gateway);
    issuers(&mut rows, &old.gateway, &new.gateway);
    upstreams(&mut rows, &old.gateway, &new.gateway);
    for (name, pair) in tenants.iter() {
        let of = format!("tenant {name}");
        match (&pair.old, &pair.new) {
            (None, Some(_)) => rows.neither(&of, "is new"),
            (Some(_), None) => rows.neither(&of, "is gone"),
            (Some(old), Some(new)) => tenant(&mut rows, &of, old, new),
            (None, None) => {}
        }
    }
    let ids = |side: &Snapshot| side.directory.ids().map(str::to_owned).collect::<Vec<_>>();
    let (come, gone) = lists(&ids(old), &ids(new));
    if let Some(text) = told(&come, &gone) {
        rows.neither("ids of tenants and organisations", &text);
    }
    super::apps::settings(&mut rows, (old, new), tenants);
    rows.0.sort_by(|a, b| (a.effect, &a.of).cmp(&(b.effect, &b.of)));
    rows.0
}

/// The rows so far.
#[derive(Default)]
pub(super) struct Rows(Vec<Setting>);

impl Rows {
    pub(super) fn add(&mut self, effect: Effect, of: &str, text: impl Into<String>) {
        self.0.push(Setting { effect, of: of.to_owned(), text: text.into() });
    }

    pub(super) fn neither(&mut self, of: &str, text: &str) {
        self.add(Effect::Neither, of, text);
    }

    /// A value that is another one.
    pub(super) fn changed(&mut self, effect: Effect, of: &str, key: &str, old: &str, new: &str) {
        if old != new {
            self.add(effect, of, format!("{key}: {old} -> {new}"));
        }
    }

    /// A list that has gained or lost something, and what either does.
    pub(super) fn list(
        &mut self,
        of: &str,
        key: &str,
        both: (&[String], &[String]),
        effects: (Effect, Effect),
    ) {
        let (come, gone) = lists(both.0, both.1);
        if let Some(text) = told(&come, &gone) {
            let effect = match (come.is_empty(), gone.is_empty()) {
                (true, _) => effects.1,
                (_, true) => effects.0,
                // The worse of both.
                (false, false) => effects.0.min(effects.1),
            };
            self.add(effect, of, format!("{key}: {text}"));
        }
    }
}

/// What a list has come by, and what is gone from it.
fn lists(old: &[String], new: &[String]) -> (Vec<String>, Vec<String>) {
    let without = |a: &[String], b: &[String]| {
        let b: std::collections::HashSet<&String> = b.iter().collect();
        let mut left: Vec<String> = a.iter().filter(|own| !b.contains(own)).cloned().collect();
        left.sort();
        left
    };
    (without(new, old), without(old, new))
}

fn told(come: &[String], gone: &[String]) -> Option<String> {
    const SHOWN: usize = 20;
    let sign = |sign: char, own: &[String]| {
        let mut words: Vec<String> = own.iter().take(SHOWN).map(|own| format!("{sign}{own}")).collect();
        if own.len() > SHOWN {
            words.push(format!("{sign}{} more", own.len() - SHOWN));
        }
        words
    };
    let all: Vec<String> = sign('+', come).into_iter().chain(sign('-', gone)).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

pub(super) fn strings<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// A path as the file names it.
pub(super) fn shown(config: &GatewayConfig, path: &Path) -> String {
    path.strip_prefix(&config.directory).unwrap_or(path).display().to_string()
}

/// Where paths come in: as text, each relative to its own file.
fn relative(config: &GatewayConfig, text: &str) -> String {
    let directory = config.directory.to_string_lossy();
    if directory.is_empty() { text.to_owned() } else { text.replace(&format!("{directory}/"), "") }
}

fn gateway(rows: &mut Rows, old: &GatewayConfig, new: &GatewayConfig) {
    use Effect::{Neither, Widens};
    // Whose word is believed about addresses moves everyone's address, in either direction.
    let nets = |own: &[ipnet::IpNet]| strings(own);
    rows.list(
        "trust",
        "trusted-proxies",
        (&nets(&old.trusted_proxies), &nets(&new.trusted_proxies)),
        (Widens, Widens),
    );
    let peers = (nets(&old.listen.proxy_protocol), nets(&new.listen.proxy_protocol));
    rows.list("trust", "listen.proxy-protocol", (&peers.0, &peers.1), (Widens, Widens));
    let clients = |own: &GatewayConfig| {
        let tls = own.listen.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        tls.map_or("none".to_owned(), |clients| {
            format!("{} ({:?})", shown(own, &clients.authorities), clients.presence).to_lowercase()
        })
    };
    rows.changed(Widens, "trust", "listen.tls.clients", &clients(old), &clients(new));
    let tls = |own: &GatewayConfig| if own.listen.tls.is_some() { "TLS" } else { "in the clear" }.to_owned();
    let effect = if old.listen.tls.is_some() { Widens } else { Neither };
    rows.changed(effect, "listen", "tls", &tls(old), &tls(new));
    let certificates = |own: &GatewayConfig| {
        own.listen.tls.as_ref().map_or_else(String::new, |tls| {
            tls.certificates.iter().map(|own| own.name.to_string()).collect::<Vec<_>>().join(", ")
        })
    };
    rows.changed(Neither, "listen", "certificates", &certificates(old), &certificates(new));
    rows.changed(
        Neither,
        "listen",
        "address",
        &old.listen.address.to_string(),
        &new.listen.address.to_string(),
    );
    rows.changed(
        Neither,
        "listen",
        "workers",
        &format!("{:?}", old.listen.workers),
        &format!("{:?}", new.listen.workers),
    );
    rows.changed(Neither, "admin", "address", &old.admin.to_string(), &new.admin.to_string());
    rows.changed(Neither, "metrics", "address", &format!("{:?}", old.metrics), &format!("{:?}", new.metrics));
    let (before, after) = (format!("{:?}", old.limits), format!("{:?}", new.limits));
    let fields = |text: &str| text.trim_end_matches(" }").split(", ").map(str::to_owned).collect::<Vec<_>>();
    rows.list("limits", "limits", (&fields(&before), &fields(&after)), (Neither, Neither));
    // Rules that are tried out may answer some callers, whatever the live ones say.
    let candidate = |own: &GatewayConfig| relative(own, &format!("{:?}", own.candidate));
    rows.changed(Widens, "candidate", "candidate", &candidate(old), &candidate(new));
    let decisions = |own: &GatewayConfig| relative(own, &format!("{:?}", own.decisions));
    rows.changed(Neither, "decisions", "log", &decisions(old), &decisions(new));
    rows.changed(
        Neither,
        "drain",
        "drain",
        &format!("{:?}", (old.drain, old.drain_delay)),
        &format!("{:?}", (new.drain, new.drain_delay)),
    );
    rows.changed(Neither, "telemetry", "log", &format!("{:?}", old.log), &format!("{:?}", new.log));
    let ledger = |own: &GatewayConfig| own.ledger.as_ref().map_or("none".to_owned(), |path| shown(own, path));
    rows.changed(Neither, "ledger", "file", &ledger(old), &ledger(new));
}

fn by_name<'n, T>(all: &'n [T], name: impl Fn(&'n T) -> &'n str) -> BTreeMap<&'n str, &'n T> {
    all.iter().map(|own| (name(own), own)).collect()
}

fn issuers(rows: &mut Rows, old: &GatewayConfig, new: &GatewayConfig) {
    let (from, to) = (by_name(&old.issuers, |own| &own.name), by_name(&new.issuers, |own| &own.name));
    for (name, own) in &from {
        match to.get(name) {
            None => rows.neither(&format!("issuer {name}"), "is gone"),
            Some(other) => issuer(rows, (old, own), (new, other)),
        }
    }
    for name in to.keys().filter(|name| !from.contains_key(*name)) {
        rows.neither(
            &format!("issuer {name}"),
            "is new; nobody comes in by it but for the apps that name it",
        );
    }
}

fn issuer(
    rows: &mut Rows,
    (before, old): (&GatewayConfig, &IssuerConfig),
    (after, new): (&GatewayConfig, &IssuerConfig),
) {
    use Effect::{Narrows, Widens};
    let of = format!("issuer {}", old.name);
    rows.changed(Widens, &of, "kind", &format!("{:?}", old.kind), &format!("{:?}", new.kind));
    rows.changed(Widens, &of, "issuer", &old.issuer, &new.issuer);
    rows.list(&of, "audience", (&old.audience, &new.audience), (Widens, Narrows));
    rows.list(&of, "algorithms", (&old.algorithms, &new.algorithms), (Widens, Narrows));
    let keys = |config: &GatewayConfig, own: &IssuerConfig| match &own.keys {
        KeySource::Metadata(url) | KeySource::Url(url) => url.clone(),
        KeySource::File(path) => shown(config, path),
    };
    rows.changed(Widens, &of, "keys", &keys(before, old), &keys(after, new));
    let longer = if new.leeway > old.leeway { Widens } else { Narrows };
    rows.changed(longer, &of, "leeway", &format!("{:?}", old.leeway), &format!("{:?}", new.leeway));
    // Whatever a later version adds.
    let rest = |config: &GatewayConfig, own: &IssuerConfig| relative(config, &format!("{own:?}"));
    if rows.0.iter().all(|row| row.of != of) && rest(before, old) != rest(after, new) {
        rows.add(Widens, &of, "is set differently");
    }
}

fn upstreams(rows: &mut Rows, old: &GatewayConfig, new: &GatewayConfig) {
    let (from, to) = (by_name(&old.upstreams, |own| &own.name), by_name(&new.upstreams, |own| &own.name));
    for (name, own) in &from {
        match to.get(name) {
            None => rows.neither(&format!("upstream {name}"), "is gone"),
            Some(other) => upstream(rows, (old, own), (new, other)),
        }
    }
    for name in to.keys().filter(|name| !from.contains_key(*name)) {
        rows.neither(&format!("upstream {name}"), "is new");
    }
}

/// Which servers are reached and what they are shown can't be held against what they would do with it.
fn upstream(
    rows: &mut Rows,
    (before, old): (&GatewayConfig, &UpstreamConfig),
    (after, new): (&GatewayConfig, &UpstreamConfig),
) {
    use Effect::{Neither, Widens};
    let of = format!("upstream {}", old.name);
    let servers = |own: &UpstreamConfig| -> Vec<String> {
        own.servers.iter().map(|server| format!("{:?}://{server}", server.scheme).to_lowercase()).collect()
    };
    rows.list(&of, "servers", (&servers(old), &servers(new)), (Widens, Neither));
    rows.changed(Widens, &of, "protocol", &format!("{:?}", old.protocol), &format!("{:?}", new.protocol));
    let tls = |config: &GatewayConfig, own: &UpstreamConfig| relative(config, &format!("{:?}", own.tls));
    rows.changed(Widens, &of, "tls", &tls(before, old), &tls(after, new));
    let credential =
        |config: &GatewayConfig, own: &UpstreamConfig| relative(config, &format!("{:?}", own.credential));
    rows.changed(Widens, &of, "credential", &credential(before, old), &credential(after, new));
    rows.changed(Widens, &of, "strip", &format!("{:?}", old.strip), &format!("{:?}", new.strip));
    rows.changed(Widens, &of, "grpc", &format!("{:?}", old.calls), &format!("{:?}", new.calls));
    rows.changed(Neither, &of, "at", &format!("{:?}", old.at), &format!("{:?}", new.at));
    let rest = |own: &UpstreamConfig| {
        format!(
            "{:?}",
            (
                (own.connect_timeout, own.read_timeout, own.total_timeout, own.try_timeout, own.retries),
                (own.balance, &own.health, own.in_flight, own.pending, own.pending_timeout),
                (own.connection_age, own.resolve_every),
            )
        )
    };
    if rest(old) != rest(new) {
        rows.neither(&of, "timeouts, health, balance or room are set differently");
    }
}

fn tenant(rows: &mut Rows, of: &str, old: &Tenant, new: &Tenant) {
    use Effect::{Narrows, Neither, Widens};
    rows.list(of, "ids", (&strings(old.ids()), &strings(new.ids())), (Neither, Neither));
    rows.list(of, "apps", (&strings(&old.apps), &strings(&new.apps)), (Neither, Neither));
    rows.changed(Neither, of, "time-zone", old.zone().name(), new.zone().name());
    let settings = |own: &Tenant| -> BTreeMap<String, String> {
        own.settings().map(|(name, value)| (name.to_owned(), value.to_string())).collect()
    };
    let (from, to) = (settings(old), settings(new));
    for (name, value) in &from {
        let other = to.get(name).map_or("not set", |own| own);
        rows.changed(Neither, of, name, value, other);
    }
    for (name, value) in to.iter().filter(|(name, _)| !from.contains_key(*name)) {
        rows.changed(Neither, of, name, "not set", value);
    }
    let (before, after) = (old.seats(), new.seats());
    let number = |own: Option<u32>| own.map_or("any number".to_owned(), |own| own.to_string());
    for (key, old, new) in [
        ("named seats", before.named, after.named),
        ("concurrent seats", before.concurrent, after.concurrent),
    ] {
        let more = new.is_none_or(|new| old.is_some_and(|old| new > old));
        rows.changed(if more { Widens } else { Narrows }, of, key, &number(old), &number(new));
    }
    let effect = if after.over == Over::Report { Widens } else { Narrows };
    rows.changed(
        effect,
        of,
        "over the number of seats",
        &format!("{:?}", before.over),
        &format!("{:?}", after.over),
    );
}
