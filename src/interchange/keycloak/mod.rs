//! A Keycloak export as a rule file. `export` reads the file, `policies` says whom each policy lets in and `permissions`
//! who may use a scope of a resource, both as formulas (`logic`); `address` and `methods` say which operations that is,
//! `claims` which resource has each of them (`protected`: with whom it is granted to), `grants` makes roles and conditions of the formulas, and `write` the text.
//!
//! Nothing is ever allowed that Keycloak refuses: what isn't known exactly doesn't grant, and is told.

mod address;
mod claims;
mod export;
mod grants;
mod logic;
mod methods;
mod permissions;
mod policies;
mod protected;
#[cfg(test)]
mod tests;
mod write;

pub(super) use address::one_spelling;
pub use export::{Enforcement, Export, Policy, Realm, Resource, Settings, Strategy};
pub use methods::{EnforcedPath, Stated, enforcer, stated};
pub(super) use write::prefixes;

use super::report::{Report, Weight, code, shown};
use super::toml_text::slug;
use super::trial::Surroundings;
use claims::Claims;
use permissions::Permissions;
use policies::Policies;

/// What an operator says about an import.
#[derive(Clone, Debug)]
pub struct Options {
    /// The issuer's name in `gateway.toml`.
    pub issuer: String,
    /// The tenant's name in `rules/tenants.toml`.
    pub tenant: String,
    /// The app's name; made of the client's where there is none.
    pub app: Option<String>,
    /// Which methods scopes stand for.
    pub methods: Stated,
    /// The paths of a policy enforcer.
    pub enforcer: Option<Vec<EnforcedPath>>,
    /// The zone where Keycloak runs.
    pub time_zone: Option<String>,
}

/// A rule file that was made.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What it needs of other files; the app's name is in it.
    pub around: Surroundings,
    /// Its text.
    pub text: String,
}

/// Makes a rule file of a client's settings.
pub fn import(
    realm: &Realm,
    settings: &Settings,
    options: &Options,
    report: &mut Report,
) -> Result<Imported, String> {
    let zone = match &options.time_zone {
        None => None,
        Some(name) => Some(
            jiff::tz::TimeZone::get(name).map_err(|_| format!("`{name}` is no time zone that is known"))?,
        ),
    };
    mode(settings, report);
    let mut policies = Policies::new(settings, realm, zone);
    let permissions = Permissions::read(settings, &mut policies, report);
    unused(settings, &policies, report);
    composites(realm, report);
    let claims = Claims::read(settings, options, report);
    let protected = claims.protected(settings, &permissions, report);
    let granted = grants::read(&protected, policies.atoms(), &settings.client, report);
    let app = options.app.clone().unwrap_or_else(|| slug(&settings.client));
    let around = Surroundings {
        issuer: options.issuer.clone(),
        issuer_url: format!(
            "https://keycloak.example/realms/{}",
            slug(realm.name.as_deref().unwrap_or("realm"))
        ),
        audience: settings.client.clone(),
        tenant: options.tenant.clone(),
        time_zone: options.time_zone.clone().filter(|_| granted.reads_clock),
        owns: write::owns(&protected, &app),
        app,
    };
    let text = write::file(&protected, &granted, &around, &heading(realm, settings));
    report.source = heading(realm, settings);
    report.result = format!(
        "{} resources, {} operations, {} roles; {} denied, {} stricter, {} to be confirmed",
        protected.len(),
        protected.iter().flat_map(|own| &own.scopes).map(|own| own.operations.len()).sum::<usize>(),
        granted.roles.len(),
        report.count(Weight::Denied),
        report.count(Weight::Stricter),
        report.count(Weight::Review),
    );
    report.needs = around.needs();
    Ok(Imported { around, text })
}

fn heading(realm: &Realm, settings: &Settings) -> String {
    let of = realm.name.as_ref().map(|name| format!(" of realm `{}`", shown(name))).unwrap_or_default();
    format!("Keycloak client `{}`{of}", shown(&settings.client))
}

/// An enforcement mode that opens what no permission names.
fn mode(settings: &Settings, report: &mut Report) {
    let at = format!("{}.policyEnforcementMode", settings.at);
    let what = "what no permission names";
    let why = match settings.enforcement {
        Some(Enforcement::Enforcing) => return,
        Some(Enforcement::Permissive) => {
            "PERMISSIVE lets everyone do it; here it is refused until it is granted"
        }
        Some(Enforcement::Disabled) => "DISABLED lets everyone do everything; here the permissions count",
        None => "the mode is none that is known; here it is refused",
    };
    report.add(Weight::Denied, code::MODE, at, what, why);
}

fn unused(settings: &Settings, policies: &Policies<'_>, report: &mut Report) {
    for (index, own) in settings.policies.iter().enumerate() {
        if !own.is_permission() && !policies.is_used(index) {
            let what = format!("policy `{}`", shown(&own.name));
            report.add(
                Weight::Note,
                code::UNUSED,
                own.at.clone(),
                what,
                "no permission that could be read applies it",
            );
        }
    }
}

fn composites(realm: &Realm, report: &mut Report) {
    if !realm.composites.is_empty() {
        let shown: Vec<String> =
            realm.composites.iter().take(12).map(|name| format!("`{}`", shown(name))).collect();
        let why = "they contain other roles; Keycloak puts all of them into the token, so that nothing is written twice here";
        report.add(Weight::Note, code::COMPOSITE, "roles", format!("roles {}", shown.join(", ")), why);
    }
}
