//! Verified token → principal: who is calling, as far as the rules may know it.
//!
//! A principal holds nothing that isn't verified. This is where the kinds of identity provider stop differing: how a
//! claim is missing, or written in two shapes, is settled here, so that a condition reads one value or none. Which
//! issuer an app takes and what a role means is for the policy.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::token::{CLIENT_CLAIMS, IssuerKind, VerifiedToken};

/// The derived fact that names the application which calls.
const CLIENT: &str = "client";
/// A person in an Entra tenant.
const OBJECT_ID: &str = "oid";
/// Keycloak's organisations of the caller: an array of aliases, or an object whose keys are the aliases.
const ORGANIZATION: &str = "organization";

/// The claims that aren't in the token, and where they are (OpenID Connect Core §5.6.2).
const CLAIM_NAMES: &str = "_claim_names";
/// Entra: there are groups, too many for the token.
const HAS_GROUPS: &str = "hasgroups";

/// Why a verified token is no principal here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalError {
    /// The app takes another issuer's tokens.
    WrongIssuer,
    /// The token's organisation is in no row of the tenants file.
    UnknownOrganisation,
    /// A personal account, or the consumer tenant.
    PersonalAccount,
    /// An identifying claim is missing or of the wrong type.
    ClaimMissing,
}

/// A caller whose token has been verified.
#[derive(Debug)]
pub struct Principal {
    token: Arc<VerifiedToken>,
    /// Whether some claim is said to be elsewhere, which few tokens say of any.
    has_claims_elsewhere: bool,
    /// The organisations as a set, made when a rule first reads them.
    organizations: OnceLock<Option<Value>>,
}

impl Principal {
    /// Makes a principal of a verified token. `known` tells whether a tenants file has an organisation's id: Entra
    /// signs for every organisation there is, so a token of one that nobody named is no principal here.
    pub fn identify(token: Arc<VerifiedToken>, known: impl Fn(&str) -> bool) -> Result<Self, PrincipalError> {
        if token.kind() == IssuerKind::Entra {
            let tenant = token.claims().get("tid").and_then(Value::as_str);
            if !known(tenant.ok_or(PrincipalError::ClaimMissing)?) {
                return Err(PrincipalError::UnknownOrganisation);
            }
        }
        let claims = token.claims();
        let has_claims_elsewhere = claims.contains_key(CLAIM_NAMES) || claims.contains_key(HAS_GROUPS);
        Ok(Self { token, has_claims_elsewhere, organizations: OnceLock::new() })
    }

    /// The verified token.
    #[must_use]
    pub fn token(&self) -> &Arc<VerifiedToken> {
        &self.token
    }

    /// The issuer's name in the configuration.
    #[must_use]
    pub fn issuer(&self) -> &Arc<str> {
        self.token.issuer()
    }

    /// Who it is, which means something only together with the issuer: `sub`, but for Entra the `oid`, the one id that a
    /// person has in every application of a tenant (Entra's `sub` is another in each).
    #[must_use]
    pub fn subject(&self) -> &str {
        let of_entra = || self.token.claims().get(OBJECT_ID).and_then(Value::as_str);
        let oid = if self.token.kind() == IssuerKind::Entra { of_entra() } else { None };
        oid.unwrap_or(self.token.subject())
    }

    /// The application that the token was issued to.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.token.client()
    }

    /// Whether the caller's client says that it understands a claims challenge of Entra's (`xms_cc` with `cp1`, in any
    /// case). One that doesn't would be sent in circles.
    #[must_use]
    pub fn takes_claims_challenges(&self) -> bool {
        let says = |value: &Value| value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("cp1"));
        let capabilities = || self.token.claims().get("xms_cc");
        self.token.kind() == IssuerKind::Entra
            && capabilities()
                .is_some_and(|own| says(own) || own.as_array().is_some_and(|all| all.iter().any(says)))
    }

    /// The claim at `path` (`realm_access`, `roles`), or `None` where it isn't known. A claim that is too long to be in the
    /// token is not known, which is another thing than empty; `null` is nothing.
    #[must_use]
    pub fn fact(&self, path: &[Box<str>]) -> Option<&Value> {
        let claims = self.token.claims();
        let (first, rest) = path.split_first()?;
        if self.is_elsewhere(first) {
            return None;
        }
        if rest.is_empty() && **first == *CLIENT {
            return CLIENT_CLAIMS.iter().find_map(|name| claims.get(*name));
        }
        if rest.is_empty() && **first == *ORGANIZATION {
            return self.organizations();
        }
        let mut value = claims.get(&**first)?;
        for name in rest {
            value = value.as_object()?.get(&**name)?;
        }
        (!value.is_null()).then_some(value)
    }

    /// Whether the claim at `path` may have a value that this token doesn't show: the provider says that it is
    /// elsewhere, or something of another shape stands in its way. What is known to be absent is another thing.
    #[must_use]
    pub fn withholds(&self, path: &[Box<str>]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        let mut value = self.token.claims().get(&**first);
        let odd = |value: Option<&Value>| value.is_some_and(|value| !value.is_null() && !value.is_object());
        let in_the_way = rest.iter().any(|name| {
            let stands = odd(value);
            value = value.and_then(|value| value.get(&**name));
            stands
        });
        in_the_way || self.is_elsewhere(first)
    }

    /// Whether the provider says that the claim exists but isn't in the token: `_claim_names` (OpenID Connect Core
    /// §5.6.2), or Entra's `hasgroups`.
    fn is_elsewhere(&self, claim: &str) -> bool {
        if !self.has_claims_elsewhere {
            return false;
        }
        let claims = self.token.claims();
        let distributed = claims.get(CLAIM_NAMES).is_some_and(|names| names.get(claim).is_some());
        distributed || claim == "groups" && claims.contains_key(HAS_GROUPS)
    }

    fn organizations(&self) -> Option<&Value> {
        match self.token.claims().get(ORGANIZATION)? {
            Value::Null => None,
            Value::Object(by_alias) => {
                let aliases = || Some(by_alias.keys().map(String::as_str).collect());
                self.organizations.get_or_init(aliases).as_ref()
            }
            listed => Some(listed),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identify(kind: IssuerKind, claims: &Value) -> Result<Principal, PrincipalError> {
        let claims = claims.as_object().unwrap().clone();
        let token = VerifiedToken::hypothetical("sso".into(), kind, claims);
        Principal::identify(Arc::new(token), |tenant| tenant == "known")
    }

    fn fact(claims: &Value, path: &str) -> Option<Value> {
        let path: Vec<Box<str>> = path.split('.').map(Into::into).collect();
        identify(IssuerKind::Keycloak, claims).unwrap().fact(&path).cloned()
    }

    fn withholds(claims: &Value, path: &str) -> bool {
        let path: Vec<Box<str>> = path.split('.').map(Into::into).collect();
        identify(IssuerKind::Keycloak, claims).unwrap().withholds(&path)
    }

    #[test]
    fn a_nested_claim_is_found_by_its_path() {
        let claims = json!({"realm_access": {"roles": ["agent"]}, "tier.gold": 1, "sub": "ada"});
        assert_eq!(fact(&claims, "realm_access.roles"), Some(json!(["agent"])));
        assert_eq!(fact(&claims, "realm_access"), Some(json!({"roles": ["agent"]})));
        for path in ["roles", "realm_access.role", "realm_access.roles.0", "sub.x", "tier.gold", ""] {
            assert_eq!(fact(&claims, path), None, "{path}");
        }
        assert_eq!(identify(IssuerKind::Oidc, &claims).unwrap().fact(&[]), None);
    }

    #[test]
    fn a_person_of_entra_is_known_by_the_object_id() {
        let claims = json!({"sub": "pairwise", "oid": "o-1", "tid": "known"});
        assert_eq!(identify(IssuerKind::Entra, &claims).unwrap().subject(), "o-1");
        assert_eq!(identify(IssuerKind::Keycloak, &claims).unwrap().subject(), "pairwise");
        assert_eq!(identify(IssuerKind::Entra, &json!({"sub": "s", "tid": "known"})).unwrap().subject(), "s");
    }

    #[test]
    fn absent_is_not_empty() {
        assert_eq!(fact(&json!({}), "roles"), None);
        assert_eq!(fact(&json!({ "roles": null }), "roles"), None);
        assert_eq!(fact(&json!({ "roles": [] }), "roles"), Some(json!([])));
    }

    #[test]
    fn groups_that_did_not_fit_are_unknown() {
        for claims in [
            json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}}),
            json!({"_claim_names": {"groups": "src1"}, "groups": []}),
            json!({"hasgroups": true, "groups": []}),
            json!({"hasgroups": "true", "groups": ["a"]}),
        ] {
            assert_eq!(fact(&claims, "groups"), None, "{claims}");
            assert!(withholds(&claims, "groups"), "no default stands for what is elsewhere: {claims}");
        }
        assert!(!withholds(&json!({}), "groups"));
        assert!(!withholds(&json!({ "groups": null }), "groups.x"));
        assert!(withholds(&json!({ "groups": "x" }), "groups.x"));
        let other = json!({"_claim_names": {"address": "src1"}, "groups": ["a"]});
        assert_eq!(fact(&other, "groups"), Some(json!(["a"])));
    }

    #[test]
    fn organisations_are_a_set_in_either_shape() {
        let list = json!({ "organization": ["acme", "bodgit"] });
        let map = json!({ "organization": {"acme": {"id": "7"}, "bodgit": {}} });
        assert_eq!(fact(&list, "organization"), Some(json!(["acme", "bodgit"])));
        assert_eq!(fact(&map, "organization"), Some(json!(["acme", "bodgit"])));
        assert_eq!(fact(&map, "organization.acme.id"), Some(json!("7")));
        assert_eq!(fact(&json!({}), "organization"), None);
    }

    #[test]
    fn the_client_is_derived_and_never_claimed() {
        assert_eq!(fact(&json!({"azp": "desk", "client": "admin"}), "client"), Some(json!("desk")));
        assert_eq!(fact(&json!({"appid": "old"}), "client"), Some(json!("old")));
        assert_eq!(fact(&json!({"client": "admin"}), "client"), None);
    }

    #[test]
    fn an_organisation_that_nobody_named_is_no_principal() {
        let entra = |claims: Value| identify(IssuerKind::Entra, &claims).map(|_| ());
        assert_eq!(entra(json!({"tid": "known"})), Ok(()));
        assert_eq!(entra(json!({"tid": "stranger"})), Err(PrincipalError::UnknownOrganisation));
        assert_eq!(entra(json!({})), Err(PrincipalError::ClaimMissing));
        assert_eq!(entra(json!({"tid": ["known"]})), Err(PrincipalError::ClaimMissing));
        assert!(identify(IssuerKind::Oidc, &json!({"tid": "stranger"})).is_ok());
    }
}
