//! What only Microsoft Entra ID tokens have: one application, many tenants, and keys that are shared between them.
//!
//! One key set signs for every customer, so the signature alone says nothing about whose user it is. The tenant is
//! what `iss` and `tid` both say, and a key that names an issuer is good for that one only; leaving that out is the
//! classic hole of multi-tenant applications. Whether a tenant is known here is `identity`'s question.

use serde_json::{Map, Value};

use super::TokenError;
use super::keys::Key;

/// The issuer of version 2 tokens in the public cloud.
pub const V2_TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
/// The issuer of version 1 tokens in the public cloud. Which version comes is the application's registration, not
/// the address that was asked, so both are taken where [`V2_TEMPLATE`] is configured.
const V1_TEMPLATE: &str = "https://sts.windows.net/{tenantid}/";
const PLACEHOLDER: &str = "{tenantid}";
/// The tenant that all personal Microsoft accounts are in.
const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
/// Identity providers of personal accounts that an invited guest may come from.
const PERSONAL_PROVIDERS: [&str; 3] = ["live.com", "google.com", "facebook.com"];

/// The tenant in `iss`, if it is one of `template`'s (or just it, where the template names one tenant).
pub(super) fn tenant_of<'i>(template: &str, iss: &'i str) -> Option<&'i str> {
    let found = match split_template(template) {
        Some((head, tail)) => iss.strip_prefix(head)?.strip_suffix(tail)?,
        None if iss == template => first_segment(iss)?,
        None => return None,
    };
    is_guid(found).then_some(found)
}

/// As [`tenant_of`], in either version where both are meant.
pub(super) fn names(template: &str, iss: &str) -> bool {
    let both = template.eq_ignore_ascii_case(V2_TEMPLATE);
    tenant_of(template, iss).is_some() || both && tenant_of(V1_TEMPLATE, iss).is_some()
}

/// Judges the claims of a token whose `iss` an Entra issuer has claimed.
pub(super) fn judge(claims: &Map<String, Value>) -> Result<(), TokenError> {
    let texts = ["tid", "oid", "ver", "idp", "idtyp", "scp", "unique_name"];
    if texts.iter().any(|name| claims.get(*name).is_some_and(|value| !value.is_string())) {
        return Err(TokenError::Malformed);
    }
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let iss = text("iss").ok_or(TokenError::ClaimMissing)?;
    let tenant = text("tid").ok_or(TokenError::ClaimMissing)?;
    if !is_guid(tenant) || first_segment(iss) != Some(tenant) {
        return Err(TokenError::UnknownIssuer);
    }
    let version = if iss.ends_with("/v2.0") { "2.0" } else { "1.0" };
    if text("ver").ok_or(TokenError::ClaimMissing)? != version {
        return Err(TokenError::Malformed);
    }
    let invited_personally = text("idp").is_some_and(is_personal_provider)
        || text("unique_name").is_some_and(|name| name.to_ascii_lowercase().starts_with("live.com#"));
    if tenant == CONSUMERS || invited_personally {
        return Err(TokenError::PersonalAccount);
    }
    judge_type(claims)
}

/// An access token for a person. An ID token has the same issuer and keys, and neither `scp` nor a client; a token
/// for an application alone may carry the very role names that people have. Where it can't be told, it is neither.
fn judge_type(claims: &Map<String, Value>) -> Result<(), TokenError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let has_client = text("azp").or(text("appid")).is_some();
    let delegated = text("scp").is_some();
    let is_a_person = match (text("oid"), text("sub")) {
        (Some(object), Some(subject)) => object != subject,
        _ => false,
    };
    let known_type = text("idtyp").is_none_or(|kind| kind == "user");
    let accepted = has_client && known_type && (delegated || is_a_person);
    if accepted { Ok(()) } else { Err(TokenError::WrongType) }
}

/// Whether `key` may sign for `iss`. The keys of version 2 metadata name version 2 issuers, and sign version 1 tokens
/// too, so the tenant's version 2 issuer counts as well.
pub(super) fn may_sign(key: &Key, template: &str, iss: &str, tenant: &str) -> bool {
    let Some(only) = key.issuer() else { return true };
    let only = fill(only, tenant);
    only == iss || only == fill(template, tenant)
}

/// An `iss` of the template, to see whether two configurations would judge the same token.
pub(super) fn example(template: &str) -> String {
    fill(template, "00000000-0000-0000-0000-000000000000")
}

fn fill(template: &str, tenant: &str) -> String {
    match split_template(template) {
        Some((head, tail)) => [head, tenant, tail].concat(),
        None => template.to_owned(),
    }
}

fn split_template(template: &str) -> Option<(&str, &str)> {
    let at = template.to_ascii_lowercase().find(PLACEHOLDER)?;
    let (head, rest) = template.split_at_checked(at)?;
    Some((head, rest.split_at_checked(PLACEHOLDER.len())?.1))
}

fn first_segment(iss: &str) -> Option<&str> {
    let (_scheme, rest) = iss.split_once("://")?;
    rest.split('/').nth(1)
}

fn is_personal_provider(provider: &str) -> bool {
    let provider = provider.to_ascii_lowercase();
    PERSONAL_PROVIDERS.contains(&provider.as_str()) || provider.contains(CONSUMERS)
}

/// A GUID as Entra writes it: lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12.
fn is_guid(text: &str) -> bool {
    let groups = text.split('-').map(str::len);
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    digits && groups.eq([8, 4, 4, 4, 12])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TENANT: &str = "452fb554-60fc-49fc-b403-9cabece4d68c";

    fn judged(change: &Value) -> Result<(), TokenError> {
        let mut claims = json!({
            "iss": V2_TEMPLATE.replace(PLACEHOLDER, TENANT), "tid": TENANT, "ver": "2.0", "sub": "pairwise",
            "oid": "1b2c", "azp": "client", "scp": "access_as_user",
        });
        for (name, value) in change.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        judge(claims.as_object().unwrap())
    }

    #[test]
    fn the_issuer_names_the_tenant() {
        let v2 = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
        let v1 = format!("https://sts.windows.net/{TENANT}/");
        assert!(names(V2_TEMPLATE, &v2) && names(V2_TEMPLATE, &v1));
        assert!(names("https://login.microsoftonline.com/{TenantId}/v2.0", &v1));
        assert!(names(&v2, &v2) && !names(&v2, &v1), "one tenant configured is one issuer");
        for iss in [
            v2.trim_end_matches('0').to_owned(),
            format!("{v2}/"),
            v1.trim_end_matches('/').to_owned(),
            v2.replace("https", "http"),
            v2.replace(TENANT, "common"),
            v2.replace(TENANT, PLACEHOLDER),
            v2.replace(TENANT, &TENANT.to_uppercase()),
            v2.replace(TENANT, &format!("{TENANT}/x")),
            v2.replace(TENANT, ""),
            v2.replace("microsoftonline.com", "microsoftonline.com.evil.example"),
        ] {
            assert!(!names(V2_TEMPLATE, &iss), "{iss}");
        }
    }

    #[test]
    fn tenant_and_version_must_agree_with_the_issuer() {
        assert_eq!(judged(&json!({})), Ok(()));
        let v1 = json!({"iss": format!("https://sts.windows.net/{TENANT}/"), "ver": "1.0", "azp": null, "appid": "c"});
        assert_eq!(judged(&v1), Ok(()));
        assert_eq!(judged(&json!({ "tid": null })), Err(TokenError::ClaimMissing));
        assert_eq!(judged(&json!({ "ver": null })), Err(TokenError::ClaimMissing));
        assert_eq!(judged(&json!({ "ver": "1.0" })), Err(TokenError::Malformed));
        assert_eq!(judged(&json!({ "tid": 7 })), Err(TokenError::Malformed));
        let other = "0b1f8c1e-1c5b-4f0e-9f3a-5a1d7b8f6c11";
        assert_eq!(judged(&json!({ "tid": other })), Err(TokenError::UnknownIssuer));
    }

    #[test]
    fn personal_accounts_are_refused() {
        let consumer = json!({"tid": CONSUMERS, "iss": V2_TEMPLATE.replace(PLACEHOLDER, CONSUMERS)});
        assert_eq!(judged(&consumer), Err(TokenError::PersonalAccount));
        for idp in ["live.com", "LIVE.com", &format!("https://sts.windows.net/{CONSUMERS}/"), "google.com"] {
            assert_eq!(judged(&json!({ "idp": idp })), Err(TokenError::PersonalAccount), "{idp}");
        }
        assert_eq!(
            judged(&json!({ "unique_name": "live.com#joe@x.example" })),
            Err(TokenError::PersonalAccount)
        );
        let colleague = "https://sts.windows.net/0b1f8c1e-1c5b-4f0e-9f3a-5a1d7b8f6c11/";
        assert_eq!(
            judged(&json!({ "idp": colleague })),
            Ok(()),
            "an invited colleague of another organisation"
        );
        assert_eq!(judged(&json!({ "idp": ["live.com"] })), Err(TokenError::Malformed));
    }

    #[test]
    fn only_a_persons_access_token_counts() {
        for change in [
            json!({ "scp": null, "azp": null }),
            json!({ "azp": null }),
            json!({ "scp": null, "oid": "same", "sub": "same" }),
            json!({ "scp": null, "oid": null }),
            json!({ "idtyp": "app" }),
            json!({ "scp": null, "idtyp": "app" }),
            json!({ "idtyp": "device" }),
        ] {
            assert_eq!(judged(&change), Err(TokenError::WrongType), "{change}");
        }
        assert_eq!(judged(&json!({ "idtyp": "user" })), Ok(()));
        assert_eq!(judged(&json!({ "scp": null })), Ok(()), "a person with roles and no scope");
    }
}
