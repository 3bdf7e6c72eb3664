//! Whose token is asked for, in the words of the rule files: `agent-desk/agent` becomes the claims that the app's
//! identity provider would send for that role.
//!
//! The rule files are read as they are on disk, so a role that a reader has just added can be taken at once. Only
//! claims are made here; what signs them is [`issuer`](super::issuer).

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::people::{self, PEOPLE};
use crate::config::Diagnostics;
use crate::config::raw::{self, Raw, Table};

/// Claims that say who signed a token and how long it lives: never the caller's to choose.
const RESERVED: [&str; 5] = ["iss", "iat", "nbf", "exp", "jti"];

/// Who is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// `APP/ROLE`; several roles are joined by `+`, and `anyone` is none.
    pub who: String,
    /// A tenant's or organisation's name or id; the app's first tenant if not given.
    pub tenant: Option<String>,
    /// `dotted.path=value`: further claims, or others. JSON where it is JSON, else text.
    pub claims: Vec<String>,
}

/// A caller as his identity provider knows him.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Persona {
    /// The issuer's name in `gateway.toml`.
    pub issuer: String,
    /// The id of his tenant, where the app has tenants.
    pub tenant: Option<String>,
    /// What the token says, but for who signed it and when.
    pub claims: Map<String, Value>,
}

/// The texts of the rule files that a wish is read against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'f> {
    /// `rules/APP.toml`.
    pub app: &'f str,
    /// `rules/tenants.toml`.
    pub tenants: &'f str,
}

/// The app of a wish; its name is checked, so it can be part of a file's name.
pub(super) fn app_of(wish: &Wish) -> Result<&str, String> {
    let app = wish.who.split_once('/').map(|(app, _)| app).unwrap_or_default();
    let plain = app.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    match app.is_empty() || !plain {
        true => Err(format!("`{}` is not APP/ROLE, such as agent-desk/agent", wish.who)),
        false => Ok(app),
    }
}

/// Reads a wish against the rule files.
pub(super) fn persona(wish: &Wish, files: Files<'_>) -> Result<Persona, String> {
    let app = app_of(wish)?;
    let rules = parse(files.app);
    let asked = wish.who.split_once('/').map(|(_, roles)| roles).unwrap_or_default();
    let person = people::named(app, asked);
    let roles = match person {
        Some(person) => role_claims(&rules, person.role.unwrap_or("anyone"))?,
        None => role_claims(&rules, asked)?,
    };
    let issuer = text(&rules, "issuer").ok_or_else(|| format!("{app} names no issuer"))?.to_owned();
    let of = wish.tenant.as_deref().or(person.and_then(|person| person.tenant));
    let tenant = tenant_id(&parse(files.tenants), app, of)?;

    let name = asked.replace(['+', ' '], "-").to_lowercase();
    let mut claims = common(&name);
    match issuer.as_str() {
        "entra" => claims.extend(entra(&name, tenant.as_deref())),
        _ => claims.extend(keycloak()),
    }
    let declared = get(&rules, &["facts", "token"]);
    if let (Some(_), Some(tenant)) = (declared.and_then(|facts| facts.get("tenant")), &tenant) {
        claims.insert("tenant".into(), json!(tenant));
    }
    // Where the application is asked for roles, a token says who somebody is, and his role follows from that.
    if let Some(path) = text(&rules, "roles").and_then(|fact| fact.strip_prefix("token.")) {
        // Entra sends no roles claim at all to whom no role is assigned.
        if !roles.is_empty() || issuer != "entra" {
            put(&mut claims, path, json!(roles));
        }
    } else if asked.contains('+') {
        return Err(format!("{app} itself says which role somebody has, so there is no `{asked}`"));
    }
    for claim in person.into_iter().flat_map(|person| person.claims) {
        stated(&mut claims, claim)?;
    }
    for claim in &wish.claims {
        stated(&mut claims, claim)?;
    }
    Ok(Persona { issuer, tenant, claims })
}

fn common(name: &str) -> Map<String, Value> {
    object(json!({ "sub": format!("dev-{name}"), "preferred_username": format!("{name}@dev.example") }))
}

fn keycloak() -> Map<String, Value> {
    object(json!({ "typ": "Bearer", "aud": "cim", "azp": "gatewarden-dev" }))
}

fn entra(name: &str, tenant: Option<&str>) -> Map<String, Value> {
    object(json!({
        "ver": "2.0", "aud": "api://gatewarden", "tid": tenant, "oid": guid(name), "azp": "gatewarden-dev",
        "scp": "access_as_user", "acct": 0, "groups": [],
    }))
}

/// The same object id for the same name, each time.
fn guid(name: &str) -> String {
    let hex: String =
        digest(&SHA256, name.as_bytes()).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// The strings that a token carries for these roles.
fn role_claims(rules: &Table, asked: &str) -> Result<Vec<String>, String> {
    let declared: &[raw::Entry] = get(rules, &["role"]).map_or(&[], |table| &table.entries);
    let claims = |entry: &raw::Entry| -> Vec<String> {
        let stated = entry.value.as_table().and_then(|table| table.get("claim"));
        let stated = stated.map(|entry| list(&entry.value.value)).unwrap_or_default();
        if stated.is_empty() { vec![entry.key.clone()] } else { stated }
    };
    asked
        .split('+')
        .filter(|role| *role != "anyone")
        .map(|role| {
            let named = |entry: &&raw::Entry| {
                entry.key != "anyone"
                    && (entry.key == role || claims(entry).iter().any(|claim| claim == role))
            };
            declared.iter().find(named).and_then(|entry| claims(entry).into_iter().next()).ok_or_else(|| {
                let app = text(rules, "app").unwrap_or_default();
                let people = PEOPLE.iter().filter(|person| person.app == app).map(|person| person.name);
                let known = declared.iter().map(|entry| entry.key.as_str()).chain(people);
                let known: Vec<&str> = known.collect();
                format!("there is nobody called `{role}`; there are: {}", known.join(", "))
            })
        })
        .collect()
}

/// What the tenant is called in tokens; none for an app that no tenant uses.
fn tenant_id(tenants: &Table, app: &str, asked: Option<&str>) -> Result<Option<String>, String> {
    let rows = |kind: &str| get(tenants, &[kind]).map_or(&[][..], |table| &table.entries);
    let ids = |entry: &raw::Entry, key: &str| -> Vec<String> {
        let value = entry.value.as_table().and_then(|table| table.get(key));
        value.map(|entry| list(&entry.value.value)).unwrap_or_default()
    };
    let first = |entry: &raw::Entry| ids(entry, "ids").into_iter().next();
    match asked {
        None => {
            Ok(rows("tenant").iter().find(|row| ids(row, "apps").iter().any(|a| a == app)).and_then(first))
        }
        Some(asked) => rows("tenant")
            .iter()
            .chain(rows("organisation"))
            .find(|row| row.key == asked || ids(row, "ids").iter().any(|id| id == asked))
            .map(first)
            .ok_or_else(|| format!("tenants.toml has no row `{asked}`")),
    }
}

/// `dotted.path=value`.
fn stated(claims: &mut Map<String, Value>, claim: &str) -> Result<(), String> {
    let (path, value) = claim.split_once('=').ok_or_else(|| format!("`{claim}` is not claim=value"))?;
    if path.is_empty() || path.split('.').any(str::is_empty) {
        return Err(format!("`{path}` is no claim's path"));
    }
    if RESERVED.contains(&path) {
        return Err(format!("`{path}` is the dev issuer's to say"));
    }
    put(claims, path, serde_json::from_str(value).unwrap_or_else(|_| json!(value)));
    Ok(())
}

/// Sets a claim by its dotted path; what stands in the way is replaced.
fn put(claims: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        claims.insert(path.to_owned(), value);
        return;
    };
    let inner = claims.entry(first).or_insert_with(|| json!({}));
    if !inner.is_object() {
        *inner = json!({});
    }
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

fn parse(text: &str) -> Table {
    // Mistakes are reported by the gateway, which reads the same files; what can be read is read.
    raw::parse(0, text, &mut Diagnostics::default())
}

fn get<'t>(table: &'t Table, path: &[&str]) -> Option<&'t Table> {
    path.iter().try_fold(table, |table, key| table.get(key)?.value.as_table())
}

fn text<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key)?.value.as_text().map(|text| text.value)
}

fn list(value: &Raw) -> Vec<String> {
    match value {
        Raw::List(items) => {
            items.iter().filter_map(|item| item.as_text().map(|text| text.value.to_owned())).collect()
        }
        _ => Vec::new(),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANTS: &str = include_str!("../../../rules/tenants.toml");
    const DESK: &str = include_str!("../../../rules/agent-desk.toml");
    const CALLING: &str = include_str!("../../../rules/calling.toml");
    const CONNECT: &str = include_str!("../../../rules/connect.toml");

    fn take(app: &str, who: &str, tenant: Option<&str>, claims: &[&str]) -> Result<Persona, String> {
        let wish = Wish {
            who: who.into(),
            tenant: tenant.map(str::to_owned),
            claims: claims.iter().map(|claim| (*claim).to_owned()).collect(),
        };
        persona(&wish, Files { app, tenants: TENANTS })
    }

    #[test]
    fn a_desk_agent_has_realm_roles() {
        let agent = take(DESK, "agent-desk/agent", None, &[]).unwrap();
        assert_eq!(agent.issuer, "keycloak");
        assert_eq!(agent.claims["realm_access"], json!({ "roles": ["agent"] }));
        assert_eq!(agent.claims["typ"], "Bearer");
        let both = take(DESK, "agent-desk/agent+admin", None, &[]).unwrap();
        assert_eq!(both.claims["realm_access"]["roles"], json!(["agent", "admin"]));
    }

    #[test]
    fn a_caller_has_his_tenant_and_the_claim_of_his_role() {
        let admin = take(CALLING, "calling/Customer Admins", Some("sunrise-homes"), &[]).unwrap();
        assert_eq!(admin.claims["roles"], json!(["CustomerAdmins"]));
        assert_eq!(admin.claims["tid"], "9a3c1b7e-5d24-4e0a-b1f6-0d8e7c6b5a41");
        let guest = take(CALLING, "calling/CustomerReadOnlyUsers", Some("bodgit-contractors"), &[]).unwrap();
        assert_eq!(guest.claims["tid"], "0b1f8c1e-1c5b-4f0e-9f3a-5a1d7b8f6c11");
        assert!(!take(CALLING, "calling/anyone", None, &[]).unwrap().claims.contains_key("roles"));
    }

    #[test]
    fn people_are_who_the_demo_applications_know() {
        let demo: Value = serde_json::from_str(include_str!("demo.json")).unwrap();
        let user = take(CALLING, "calling/user-a", None, &[]).unwrap();
        assert_eq!(demo["calling"]["calls"][0]["createdBy"], user.claims["oid"]);
        assert_eq!(user.claims["roles"], json!(["CustomerUsers"]));
        let centre = take(CALLING, "calling/call-centre", None, &[]).unwrap();
        assert_eq!(centre.claims["tid"], "d41a7b63-2e98-4f06-9c53-8a0b1e2f3c33");
        assert_eq!(centre.claims["azp"], "7c1d6a52-3f0b-4f3e-8a7e-2b9f0c4d1e60");
        let members = demo["connect"]["connect"]["t"]["acme"]["members"].as_array().unwrap();
        for person in PEOPLE.iter().filter(|person| person.app == "connect") {
            assert!(members.iter().any(|own| own["id"] == format!("dev-{}", person.name)), "{person:?}");
        }
    }

    #[test]
    fn a_connect_user_is_who_the_app_says_he_is() {
        let user = take(CONNECT, "connect/Owner", Some("zenith-travel"), &["email=o@dev.example"]).unwrap();
        assert_eq!(
            (&user.claims["sub"], &user.claims["email"]),
            (&json!("dev-owner"), &json!("o@dev.example"))
        );
        assert!(!user.claims.contains_key("connect") && !user.claims.contains_key("roles"));
        assert_eq!(take(CONNECT, "connect/team-user", None, &[]).unwrap().claims["sub"], "dev-team-user");
        assert!(take(CONNECT, "connect/Owner+Restricted", None, &[]).is_err());
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_there_is() {
        let missing = take(DESK, "agent-desk/chief", None, &[]).unwrap_err();
        assert!(missing.contains("agent, supervisor, admin"), "{missing}");
        assert!(take(DESK, "agent-desk/agent", Some("nobody"), &[]).is_err());
        for who in ["agent", "../x/agent", "/agent", "Agent-Desk/agent"] {
            assert!(take(DESK, who, None, &[]).is_err(), "{who}");
        }
    }

    #[test]
    fn nobody_chooses_who_signed_or_for_how_long() {
        for claim in ["exp=9999999999", "iss=x", "iat=1", "nbf=1", "exp", "=1", "a..b=1"] {
            assert!(take(DESK, "agent-desk/agent", None, &[claim]).is_err(), "{claim}");
        }
    }
}
