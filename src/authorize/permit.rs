//! The right to forward, and what goes along with it: where to, who is said to be calling, and what the decision took
//! for granted.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::TokenHandling;
use super::carried::Upgrade;
use super::case::Case;
use crate::fact::{Source, Value};
use crate::identity::Principal;
use crate::json::Edits;
use crate::policy::lookup::Forget;
use crate::policy::socket::TokenSource;
use crate::policy::{Access, Facts, Granted, RoleSet, TenantRule};
use crate::rejection::Rejection;
use crate::request::{CanonicalPath, Malformed};
use crate::spelling::ESCAPED;
use crate::tenant::Tenant;

/// Who the upstream is told is calling; values are percent-encoded, so they are always valid header values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertedIdentity {
    /// `X-Gatewarden-Subject`.
    pub subject: HeaderValue,
    /// `X-Gatewarden-Tenant`: the acting tenant's name.
    pub tenant: HeaderValue,
    /// `X-Gatewarden-Roles`: the roles that the caller holds in the app, comma-separated.
    pub roles: HeaderValue,
    /// `X-Gatewarden-Permission`: the `resource#scope` that permitted it.
    pub permission: HeaderValue,
}

/// The right to forward one request. Only [`authorize`](crate::authorize::authorize) makes one, and `proxy::forward` can't be called without.
#[derive(Debug)]
pub struct Permit {
    upstream: usize,
    target: String,
    pub(super) identity: Option<AssertedIdentity>,
    pub(super) authorization: TokenHandling,
    pub(super) supplied: Vec<(HeaderName, HeaderValue)>,
    pub(super) removed: Vec<HeaderName>,
    pub(super) edits: Option<Arc<Edits>>,
    pub(super) forgets: Vec<Forget>,
    pub(super) upgrade: Upgrade,
    pub(super) on_record: bool,
}

impl Permit {
    /// Index of the upstream in the snapshot.
    #[must_use]
    pub fn upstream(&self) -> usize {
        self.upstream
    }

    /// Path and query to send, prefix already stripped.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Who is calling; none on a public operation.
    #[must_use]
    pub fn identity(&self) -> Option<&AssertedIdentity> {
        self.identity.as_ref()
    }

    /// Headers that the decision supplies or replaces: the tenant's, declared defaults.
    #[must_use]
    pub fn supplied(&self) -> &[(HeaderName, HeaderValue)] {
        &self.supplied
    }

    /// Headers of the client's that the app isn't shown, because only a fact may be their value.
    #[must_use]
    pub fn removed(&self) -> &[HeaderName] {
        &self.removed
    }

    /// Keeps the client's own headers of these names from the app, but for those that the decision supplies.
    pub(super) fn hide<'n>(&mut self, names: impl Iterator<Item = &'n HeaderName>) {
        let is_supplied = |name: &HeaderName| self.supplied.iter().any(|(own, _)| own == name);
        let hidden: Vec<_> = names.filter(|name| !is_supplied(name)).cloned().collect();
        self.removed.extend(hidden);
    }

    /// What is done to the answer, if anything.
    #[must_use]
    pub fn edits(&self) -> Option<&Arc<Edits>> {
        self.edits.as_ref()
    }

    /// The answers of the app that the request makes stale; they are handed over once.
    #[must_use]
    pub fn take_forgets(&mut self) -> Vec<Forget> {
        std::mem::take(&mut self.forgets)
    }

    /// Whether it must be on record: without one it isn't done.
    #[must_use]
    pub fn is_on_record(&self) -> bool {
        self.on_record
    }

    /// What the connection becomes.
    #[must_use]
    pub fn upgrade(&self) -> &Upgrade {
        &self.upgrade
    }

    /// The supplied headers and the identity, to be sent.
    #[must_use]
    pub fn into_told(self) -> (Vec<(HeaderName, HeaderValue)>, Option<AssertedIdentity>) {
        (self.supplied, self.identity)
    }

    /// Whether the caller's token is passed on.
    #[must_use]
    pub fn authorization(&self) -> TokenHandling {
        self.authorization
    }
}

impl Case<'_> {
    pub(super) fn identity(
        &self,
        principal: &Principal,
        tenant: &Tenant,
        roles: &RoleSet,
        granted: Granted,
    ) -> AssertedIdentity {
        let permission = match granted {
            Granted::Public | Granted::Opening => None,
            Granted::Grant { permission, .. } => self.app.permission(permission),
        };
        AssertedIdentity {
            subject: principal.token().subject_header().clone(),
            tenant: tenant.header().clone(),
            roles: self.held(roles),
            permission: permission.map_or(HeaderValue::from_static(""), |own| own.header.clone()),
        }
    }

    /// The names of the roles, with commas between.
    fn held(&self, roles: &RoleSet) -> HeaderValue {
        let held = roles.iter().filter(|role| Some(*role) != self.app.anyone);
        let mut held = held.filter_map(|role| self.app.roles.get(role)).map(|role| &role.header);
        let (Some(first), second) = (held.next(), held.next()) else { return HeaderValue::from_static("") };
        let Some(second) = second else { return first.clone() };
        let names: Vec<_> = [first, second].into_iter().chain(held).map(HeaderValue::as_bytes).collect();
        HeaderValue::try_from(names.join(&b","[..])).unwrap_or(HeaderValue::from_static(""))
    }

    /// What the decision took for granted is what the app is given: the tenant's id in the headers that may name it,
    /// and the defaults of headers and query parameters that the client left out.
    pub(super) fn supplied(
        &self,
        facts: &Facts<'_>,
        tenant: Option<&str>,
    ) -> Result<(Vec<(HeaderName, HeaderValue)>, String), Rejection> {
        let mut headers = Vec::new();
        let mut query = String::new();
        if let (TenantRule::From { sources, .. }, Some(id)) = (&self.app.tenant, tenant) {
            let names = sources.iter().filter_map(|source| match &self.app.facts.get(*source)?.source {
                Source::Header(name) => Some(name),
                _ => None,
            });
            for name in names {
                headers.push(header(name, id)?);
            }
        }
        for (index, fact) in self.app.facts.iter().enumerate().filter(|(_, fact)| fact.default.is_some()) {
            if facts.is_stated(index) {
                continue;
            }
            let Some(value) = facts.get(index).and_then(Value::plain) else { continue };
            match &fact.source {
                Source::Header(name) => headers.push(header(name, &value)?),
                Source::Query(key) => append(&mut query, &pair(key, &value)),
                _ => {}
            }
        }
        Ok((headers, query))
    }

    /// The headers whose values are facts'; nothing where one of the facts isn't known.
    pub(super) fn injected(&self, facts: &Facts<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
        // An empty header would tell the app as little as none, and may mean everything there: as with a filter's value.
        let text = |fact: usize| facts.get(fact)?.plain().filter(|own| !own.is_empty());
        let value = |fact: usize| HeaderValue::from_str(&text(fact)?).ok();
        self.app.injects.iter().map(|own| Some((own.header.clone(), value(own.fact)?))).collect()
    }

    /// What the list is filtered by, where conditions became filters; nothing where that isn't known after all.
    pub(super) fn narrowed(&self, narrows: u32, facts: &Facts<'_>) -> Option<Vec<(Box<str>, String)>> {
        let own = self.operation.obligations.narrows.iter().enumerate();
        let used = own.filter(|(at, _)| narrows >> (at % 32) & 1 == 1);
        used.map(|(_, narrow)| Some((narrow.query.clone(), narrow.filter_value(facts)?))).collect()
    }

    /// A permit to forward to where the operation is bound, and nothing more.
    pub(super) fn permit(&self, asked: Target<'_>) -> Result<Permit, Rejection> {
        let path = strip(self.request.path.raw(), &self.operation.strip);
        if !self.operation.strip.is_empty() {
            CanonicalPath::parse(path)?;
        }
        let query = self.query(&asked)?;
        let mut target = String::with_capacity(path.len() + 1 + query.len());
        target.push_str(path);
        if !query.is_empty() {
            target.push('?');
            target.push_str(&query);
        }
        Ok(Permit {
            upstream: self.operation.upstream,
            target,
            identity: None,
            authorization: TokenHandling::Strip,
            supplied: Vec::new(),
            removed: Vec::new(),
            edits: None,
            forgets: Vec::new(),
            upgrade: Upgrade::None,
            on_record: self.operation.obligations.audit_required,
        })
    }

    /// The query as the app is given it: the client's own, of a narrowed list only what may pass, a socket's without its
    /// token; then what the decision adds.
    fn query(&self, asked: &Target<'_>) -> Result<Cow<'_, str>, Rejection> {
        let raw = self.request.query.raw();
        let tokens = self.socket_keys();
        if asked.narrows == 0 && asked.more.is_empty() && tokens.is_empty() {
            return Ok(Cow::Borrowed(raw));
        }
        let own = self.operation.obligations.narrows.iter().enumerate();
        let used: Vec<_> =
            own.filter(|(at, _)| asked.narrows >> (at % 32) & 1 == 1).map(|(_, own)| own).collect();
        let passes = |key: &str| {
            !tokens.contains(&key) && used.iter().all(|own| own.pass.iter().any(|pass| **pass == *key))
        };
        let mut query = String::with_capacity(raw.len() + asked.more.len());
        for (key, pair) in self.request.query.pairs() {
            if passes(&key?) {
                append(&mut query, pair);
            }
        }
        for (key, value) in asked.narrowed {
            append(&mut query, &pair(key, value));
        }
        if !asked.more.is_empty() {
            append(&mut query, &asked.more);
        }
        Ok(Cow::Owned(query))
    }

    /// The query parameters that may hold a socket's token.
    fn socket_keys(&self) -> Vec<&str> {
        if !matches!(self.operation.access, Access::Socket { .. }) {
            return Vec::new();
        }
        let sources = self.app.socket.as_ref().map_or(&[][..], |own| &own.token);
        let mut keys = Vec::new();
        for source in sources {
            if let TokenSource::Query(key) = source {
                keys.push(&**key);
            }
        }
        keys
    }
}

/// What is added to a request's target, and what is left out of it.
pub(super) struct Target<'t> {
    /// What the list is filtered by.
    pub(super) narrowed: &'t [(Box<str>, String)],
    /// Which narrowings of the operation's do, a bit each.
    pub(super) narrows: u32,
    /// Parameters that the decision took for granted.
    pub(super) more: String,
}

fn append(query: &mut String, pair: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(pair);
}

fn pair(key: &str, value: &str) -> String {
    let mut pair = utf8_percent_encode(key, QUERIED).to_string();
    pair.push('=');
    pair.extend(utf8_percent_encode(value, QUERIED));
    pair
}

/// Cuts as many whole segments off a path as a prefix has. What is left is judged again by whoever asked.
fn strip<'p>(raw: &'p str, prefix: &str) -> &'p str {
    let segments = prefix.matches('/').count();
    let rest = raw.match_indices('/').nth(segments).and_then(|(at, _)| raw.get(at..));
    if segments == 0 { raw } else { rest.unwrap_or("/") }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Rejection> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Rejection::Internal)?;
    let value = HeaderValue::from_str(value).map_err(|_| Rejection::Malformed(Malformed::HeaderAmbiguous))?;
    Ok((name, value))
}

/// What doesn't stand for itself in a query.
const QUERIED: &AsciiSet = &ESCAPED.add(b'#').add(b'&').add(b'=').add(b'+').add(b';').add(b'<').add(b'>');
