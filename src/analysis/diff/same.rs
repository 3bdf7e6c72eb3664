//! Whether two apps say the same, wherever in their files they say it: most of two sets that are compared is the same, and
//! is looked at no further.

use crate::plumbing::UpstreamConfig;
use crate::policy::limit::Limits;
use crate::policy::obligation::LookUp;
use crate::policy::{Access, App, Obligations, Operation, TenantRule};
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;

/// Whether an app is the same on both sides, its upstreams and all, but for its tenants' own rows.
pub(super) fn app(sides: (&Snapshot, &Snapshot), old: &App, new: &App) -> bool {
    let upstream = |old: usize, new: usize| match (upstream(sides.0, old), upstream(sides.1, new)) {
        (Some(old), Some(new)) => reaches_same(old, new),
        _ => false,
    };
    let issuer_kind = |side: &Snapshot, app: &App| {
        side.gateway.issuers.iter().find(|own| own.name == app.issuer).map(|own| own.kind)
    };
    old.name == new.name
        && issuer_kind(sides.0, old) == issuer_kind(sides.1, new)
        && old.issuer == new.issuer
        && old.hosts == new.hosts
        && old.base == new.base
        && old.roles_fact == new.roles_fact
        && same_tenant(&old.tenant, &new.tenant)
        && old.authorization == new.authorization
        && old.facts == new.facts
        && all(&old.conditions, &new.conditions, |a, b| a.condition == b.condition)
        && all(&old.requirements, &new.requirements, |a, b| {
            (&a.name, a.condition, &a.step_up) == (&b.name, b.condition, &b.step_up)
        })
        && all(&old.permissions, &new.permissions, |(_, a), (_, b)| {
            (&a.name, a.reserved, a.seat) == (&b.name, b.reserved, b.seat)
        })
        && roles(old, new)
        && all(&old.look_ups, &new.look_ups, |a, b| look_up(a, b) && upstream(a.upstream, b.upstream))
        && all(&old.injects, &new.injects, |a, b| (&a.header, a.fact) == (&b.header, b.fact))
        && limits(old.limits.as_deref(), new.limits.as_deref())
        && cors(old, new)
        && format!("{:?}", old.socket) == format!("{:?}", new.socket)
        && all(&old.operations, &new.operations, |a, b| operation(a, b) && upstream(a.upstream, b.upstream))
}

/// Whether two rows of the tenants file say the same.
pub(super) fn tenant(old: &Tenant, new: &Tenant) -> bool {
    let settings = |own: &Tenant| -> std::collections::BTreeMap<String, crate::fact::Literal> {
        own.settings().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    };
    old.ids() == new.ids()
        && old.apps == new.apps
        && old.zone() == new.zone()
        && old.seats() == new.seats()
        && settings(old) == settings(new)
}

fn all<T>(old: &[T], new: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same(old, new))
}

fn upstream(side: &Snapshot, index: usize) -> Option<&UpstreamConfig> {
    side.gateway.upstreams.get(index)
}

/// Whether two upstreams lead to the same servers in the same way, as far as who may do what is concerned.
pub(super) fn reaches_same(old: &UpstreamConfig, new: &UpstreamConfig) -> bool {
    old.name == new.name
        && old.servers == new.servers
        && old.protocol == new.protocol
        && old.tls == new.tls
        && old.strip == new.strip
        && old.credential == new.credential
}

fn same_tenant(old: &TenantRule, new: &TenantRule) -> bool {
    match (old, new) {
        (TenantRule::Constant(old), TenantRule::Constant(new)) => old.name == new.name,
        (TenantRule::From { sources: a, proven_by: b }, TenantRule::From { sources: c, proven_by: d }) => {
            a == c && b == d
        }
        _ => false,
    }
}

fn roles(old: &App, new: &App) -> bool {
    old.anyone == new.anyone
        && all(&old.roles, &new.roles, |a, b| {
            (&a.name, &a.claims, a.only) == (&b.name, &b.claims, b.only)
                && all(&a.grants, &b.grants, |a, b| {
                    (a.permission, &a.conditions) == (b.permission, &b.conditions)
                })
        })
}

/// Whether the same is asked.
pub(super) fn look_up(old: &LookUp, new: &LookUp) -> bool {
    (&old.name, &old.target, old.ttl, old.timeout) == (&new.name, &new.target, new.ttl, new.timeout)
}

/// Whether the same rates hold.
pub(super) fn limits(old: Option<&Limits>, new: Option<&Limits>) -> bool {
    let (Some(old), Some(new)) = (old, new) else { return old.is_none() && new.is_none() };
    let rate = |own: &Option<std::sync::Arc<crate::budget::Limit>>| own.as_ref().map(|own| own.rate);
    rate(&old.address) == rate(&new.address)
        && rate(&old.tenant) == rate(&new.tenant)
        && all(&old.roles, &new.roles, |a, b| (a.0, a.1.rate) == (b.0, b.1.rate))
}

fn cors(old: &App, new: &App) -> bool {
    let (Some(old), Some(new)) = (&old.cors, &new.cors) else {
        return old.cors.is_none() && new.cors.is_none();
    };
    (&old.origins, old.credentials, &old.headers, &old.expose, &old.max_age)
        == (&new.origins, new.credentials, &new.headers, &new.expose, &new.max_age)
}

fn operation(old: &Operation, new: &Operation) -> bool {
    old.verb == new.verb
        && old.template == new.template
        && old.strip == new.strip
        && access(&old.access, &new.access)
        && obligations(&old.obligations, &new.obligations)
}

fn access(old: &Access, new: &Access) -> bool {
    match (old, new) {
        (Access::Public, Access::Public) => true,
        (Access::Guarded { masks: a, requirements: b }, Access::Guarded { masks: c, requirements: d })
        | (Access::Socket { masks: a, requirements: b }, Access::Socket { masks: c, requirements: d }) => {
            a == c && b == d
        }
        _ => false,
    }
}

fn obligations(old: &Obligations, new: &Obligations) -> bool {
    all(&old.narrows, &new.narrows, |a, b| {
        (a.condition, &a.query, &a.value, &a.pass) == (b.condition, &b.query, &b.value, &b.pass)
    }) && all(&old.masks, &new.masks, |a, b| (&a.fields, &a.unless) == (&b.fields, &b.unless))
        && all(&old.filters, &new.filters, |a, b| (&a.items, a.of, a.keep) == (&b.items, b.of, b.keep))
        && old.body_only == new.body_only
        && (&old.audit, old.audit_required) == (&new.audit, new.audit_required)
        && old.forgets == new.forgets
}
