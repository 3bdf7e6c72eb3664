//! The right to forward, and what goes along with it: where to, who is said to be calling, and what the decision took
//! for granted.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::TokenHandling;
use super::case::Case;
use crate::fact::{Source, Value};
use crate::identity::Principal;
use crate::policy::{Facts, Granted, RoleSet, TenantRule};
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
    identity: Option<AssertedIdentity>,
    authorization: TokenHandling,
    supplied: Vec<(HeaderName, HeaderValue)>,
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
            Granted::Public => None,
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
            let Some(value) = facts.get(index).and_then(text) else { continue };
            match &fact.source {
                Source::Header(name) => headers.push(header(name, &value)?),
                Source::Query(key) => {
                    query.push(if query.is_empty() && self.request.query.raw().is_empty() {
                        '?'
                    } else {
                        '&'
                    });
                    query.extend(utf8_percent_encode(key, QUERIED));
                    query.push('=');
                    query.extend(utf8_percent_encode(&value, QUERIED));
                }
                _ => {}
            }
        }
        Ok((headers, query))
    }

    pub(super) fn permit(
        &self,
        identity: Option<AssertedIdentity>,
        authorization: TokenHandling,
        supplied: Vec<(HeaderName, HeaderValue)>,
        more_query: String,
    ) -> Result<Permit, Rejection> {
        let path = strip(self.request.path.raw(), &self.operation.strip);
        if !self.operation.strip.is_empty() {
            CanonicalPath::parse(path)?;
        }
        let query = self.request.query.raw();
        let mut target = String::with_capacity(path.len() + 1 + query.len() + more_query.len());
        target.push_str(path);
        if !query.is_empty() {
            target.push('?');
            target.push_str(query);
        }
        target.push_str(&more_query);
        Ok(Permit { upstream: self.operation.upstream, target, identity, authorization, supplied })
    }
}

/// Cuts as many whole segments off a path as a prefix has. What is left is judged again by whoever asked.
fn strip<'p>(raw: &'p str, prefix: &str) -> &'p str {
    let segments = prefix.matches('/').count();
    let rest = raw.match_indices('/').nth(segments).and_then(|(at, _)| raw.get(at..));
    if segments == 0 { raw } else { rest.unwrap_or("/") }
}

fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(text),
        Value::Bool(value) => Some(value.to_string().into()),
        Value::Int(value) => Some(value.to_string().into()),
        Value::Ip(value) => Some(value.to_string().into()),
        Value::Set(_) | Value::Claims(_) | Value::Nets(_) => None,
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Rejection> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Rejection::Internal)?;
    let value = HeaderValue::from_str(value).map_err(|_| Rejection::Malformed(Malformed::HeaderAmbiguous))?;
    Ok((name, value))
}

/// What doesn't stand for itself in a query.
const QUERIED: &AsciiSet = &ESCAPED.add(b'#').add(b'&').add(b'=').add(b'+').add(b';').add(b'<').add(b'>');
