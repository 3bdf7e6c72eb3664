//! What an app's files permit, compiled: permissions as bits, roles as rows of them, operations as masks.
//!
//! Grants only add up. A role's row says which permissions it has surely and which under conditions, so that most
//! requests are decided by one AND.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;

use super::condition::Named;
use super::cors::Cors;
use super::limit::Limits;
use super::obligation::{Filter, Inject, LookUp, Mask, Narrow, SeatRule};
use super::socket::SocketRules;
use crate::fact::{Fact, Source};
use crate::json::Pattern;
use crate::route::{Template, Verb};
use crate::token::Purpose;

/// A permission: one scope of one resource.
#[derive(Clone, Debug)]
pub struct Permission {
    /// The resource's name.
    pub resource: Box<str>,
    /// The scope's name.
    pub scope: Box<str>,
    /// `resource#scope`.
    pub name: Arc<str>,
    /// The name, as upstreams are told.
    pub header: HeaderValue,
    /// Whether the resource is kept out of `*`.
    pub reserved: bool,
    /// When whoever uses it needs a licence seat.
    pub seat: SeatRule,
    /// Where the scope is declared.
    pub place: Arc<str>,
}

/// Index of a permission in its app. Each resource's scopes share one 64-bit word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionId {
    /// The word.
    pub word: u16,
    /// The bit in it.
    pub bit: u8,
}

impl PermissionId {
    /// Its mask in its word.
    #[must_use]
    pub fn mask(self) -> u64 {
        1 << self.bit
    }
}

/// A role of an app.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name in the file.
    pub name: Arc<str>,
    /// The name in a list, as upstreams are told.
    pub header: HeaderValue,
    /// The strings in a token that mean it; none for `anyone`.
    pub claims: Box<[Box<str>]>,
    /// The condition that limits all of its grants.
    pub only: Option<usize>,
    /// What it grants under no condition, a word per 64 permissions.
    pub sure: Box<[u64]>,
    /// What it grants under conditions.
    pub maybe: Box<[u64]>,
    /// The grants, sorted by permission: those of `sure` have no conditions.
    pub grants: Box<[Grant]>,
    /// Where the role is declared.
    pub place: Arc<str>,
}

/// Role → permission, perhaps under conditions, all of which must hold.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What is granted.
    pub permission: PermissionId,
    /// The conditions by index, the role's `only` first.
    pub conditions: Box<[usize]>,
    /// How the file says what is granted.
    pub term: Term,
    /// Where it stands.
    pub place: Arc<str>,
}

/// How a file says what is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// By the resource's name.
    Name,
    /// By `*`: every resource that has the scope, also those that come later.
    Star,
}

impl Role {
    /// The grants of one permission.
    #[must_use]
    pub fn grants_of(&self, permission: PermissionId) -> &[Grant] {
        let start = self.grants.partition_point(|grant| grant.permission < permission);
        let end = self.grants.partition_point(|grant| grant.permission <= permission);
        self.grants.get(start..end).unwrap_or(&[])
    }
}

/// A requirement: what must hold whatever the role.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// Its name.
    pub name: Arc<str>,
    /// The condition, by index.
    pub condition: usize,
    /// What a caller is asked for instead of being refused, where logging in again could help.
    pub step_up: Option<StepUp>,
    /// Where it stands.
    pub place: Arc<str>,
}

/// A stronger log-in that would meet a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// The authentication contexts of which one is asked for (RFC 9470 §3, `acr_values`).
    pub acr: Box<[Box<str>]>,
    /// Entra's authentication context, asked for by a claims challenge of those clients that understand one.
    pub entra: Option<Box<str>>,
}

/// Who may reach an operation.
#[derive(Clone, Debug)]
pub enum Access {
    /// Anyone, without a principal.
    Public,
    /// Whoever holds one of the permissions and meets the requirements.
    Guarded {
        /// Per word, the permissions of which one suffices.
        masks: Box<[(u16, u64)]>,
        /// The requirements by index, but for the one that proves the tenant.
        requirements: Box<[usize]>,
    },
    /// Whoever holds one of the permissions, be it under conditions, and meets the requirements: the connection on
    /// which each event is judged for itself.
    Socket {
        /// Per word, the permissions of the events.
        masks: Box<[(u16, u64)]>,
        /// The requirements by index, but for the one that proves the tenant.
        requirements: Box<[usize]>,
    },
}

/// What an allow of one operation carries along.
#[derive(Clone, Debug, Default)]
pub struct Obligations {
    /// Conditions that become filters of its query.
    pub narrows: Box<[Narrow]>,
    /// What is hidden in its answer.
    pub masks: Box<[Mask]>,
    /// What is dropped from its answer.
    pub filters: Box<[Filter]>,
    /// The only fields that its body may have.
    pub body_only: Option<Box<[Pattern]>>,
    /// Facts, by index, that are recorded whatever the rules read.
    pub audit: Box<[usize]>,
    /// Whether it is refused where its record can't be written.
    pub audit_required: bool,
    /// The look-ups, by index, whose answers it makes stale.
    pub forgets: Box<[usize]>,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its verb.
    pub verb: Verb,
    /// Its path, from the root.
    pub template: Template,
    /// The path as metrics name it.
    pub route: Arc<str>,
    /// Who may reach it.
    pub access: Access,
    /// What an allow carries along.
    pub obligations: Obligations,
    /// Index of the upstream that it is bound to.
    pub upstream: usize,
    /// The prefix that is cut off before forwarding; a whole number of segments, or empty.
    pub strip: Arc<str>,
    /// Where it is declared first.
    pub place: Arc<str>,
}

impl Operation {
    /// Per word, the permissions of which one is needed.
    #[must_use]
    pub fn masks(&self) -> &[(u16, u64)] {
        match &self.access {
            Access::Public => &[],
            Access::Guarded { masks, .. } | Access::Socket { masks, .. } => masks,
        }
    }

    /// The requirements by index, but for the one that proves the tenant.
    #[must_use]
    pub fn requirements(&self) -> &[usize] {
        match &self.access {
            Access::Public => &[],
            Access::Guarded { requirements, .. } | Access::Socket { requirements, .. } => requirements,
        }
    }

    /// Every permission that permits it.
    pub fn permissions(&self) -> impl Iterator<Item = PermissionId> {
        self.masks().iter().flat_map(|(word, mask)| {
            (0..64u8)
                .filter(move |bit| mask >> bit & 1 == 1)
                .map(move |bit| PermissionId { word: *word, bit })
        })
    }
}

/// Where the acting tenant comes from.
#[derive(Clone, Debug)]
pub enum TenantRule {
    /// Always this one.
    Constant(Arc<crate::tenant::Tenant>),
    /// The first of these facts that is present; the requirement proves that the caller may act there.
    From {
        /// Facts by index, in order.
        sources: Box<[usize]>,
        /// The requirement, by index; none where every source is the token's own.
        proven_by: Option<usize>,
    },
}

/// Strings in a token → the roles that they mean.
pub type RoleClaims = HashMap<Box<str>, Vec<usize>, foldhash::fast::RandomState>;

/// What a rule file compiles to.
#[derive(Clone, Debug)]
pub struct App {
    /// Its name.
    pub name: Arc<str>,
    /// Whose tokens it takes: the issuer's name in the gateway's file.
    pub issuer: Arc<str>,
    /// The hosts it answers to; any where empty.
    pub hosts: Box<[Box<str>]>,
    /// The prefix that its routes are relative to.
    pub base: Box<str>,
    /// The fact that holds the caller's roles.
    pub roles_fact: usize,
    /// What a token's roles are remembered under.
    pub purpose: Purpose,
    /// Whose things are asked for.
    pub tenant: TenantRule,
    /// What becomes of the caller's token.
    pub authorization: super::TokenHandling,
    /// Its facts.
    pub facts: Box<[Fact]>,
    /// Query keys that some rule reads: each at most once in a request.
    pub read_queries: Box<[Box<str>]>,
    /// Headers that some rule reads: each at most once in a request.
    pub read_headers: Box<[Box<str>]>,
    /// Its conditions.
    pub conditions: Box<[Named]>,
    /// Its requirements.
    pub requirements: Box<[Requirement]>,
    /// Conditions, by index, that every guarded operation requires.
    pub required_everywhere: Box<[usize]>,
    /// Its permissions, in the order of the file, which is the order of their ids.
    pub permissions: Box<[(PermissionId, Permission)]>,
    /// Its roles, in the order of the file.
    pub roles: Box<[Role]>,
    /// Index of `anyone`, if the file has it.
    pub anyone: Option<usize>,
    /// What a token calls its roles.
    pub role_claims: RoleClaims,
    /// What it is asked about itself.
    pub look_ups: Box<[LookUp]>,
    /// Headers whose values are facts'.
    pub injects: Box<[Inject]>,
    /// Its rates, if it has any.
    pub limits: Option<Box<Limits>>,
    /// What pages of other origins may do, if it says so.
    pub cors: Option<Arc<Cors>>,
    /// Its socket, if it has one.
    pub socket: Option<Arc<SocketRules>>,
    /// Its operations.
    pub operations: Box<[Operation]>,
    /// The operations that are events of its socket, by name.
    pub events: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
    /// The days after which grants end, and where each stands.
    pub grants_end: Box<[(jiff::civil::Date, Arc<str>)]>,
    /// Features of a `[matrix]`, in its order; empty where the file has none.
    pub features: Box<[Box<str>]>,
}

impl App {
    /// The path that a request for an operation has: an event's is its socket's.
    #[must_use]
    pub fn path_of<'a>(&'a self, operation: &'a Operation) -> &'a Template {
        match &self.socket {
            Some(socket) if operation.template.is_event() => &socket.path,
            _ => &operation.template,
        }
    }

    /// The permission of an index.
    #[must_use]
    pub fn permission(&self, id: PermissionId) -> Option<&Permission> {
        let at = self.permissions.binary_search_by_key(&id, |(own, _)| *own).ok()?;
        self.permissions.get(at).map(|(_, permission)| permission)
    }

    /// Whether some rule reads bodies, or first arguments of events.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        self.facts.iter().any(|fact| matches!(fact.source, Source::Body(_)))
            || self.operations.iter().any(|own| own.obligations.body_only.is_some())
    }

    /// The role of this name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<(usize, &Role)> {
        self.roles.iter().enumerate().find(|(_, role)| *role.name == *name)
    }
}
