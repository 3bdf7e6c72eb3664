//! Who may use a scope of a resource: the permissions that are about it, put together as Keycloak does. Where Keycloak
//! has cases in which one permission overrides another, these here ask for both.

use super::super::report::{Report, Weight, code, shown};
use super::export::{Policy, Resource, Settings, Strategy};
use super::logic::{Bounds, Formula};
use super::policies::Policies;

/// The permissions of a client, each with whom it lets in.
#[derive(Debug)]
pub(super) struct Permissions {
    all: Vec<Permission>,
    strategy: Option<Strategy>,
}

#[derive(Debug)]
struct Permission {
    bounds: Bounds,
    about: About,
}

/// What a permission is about.
#[derive(Debug)]
enum About {
    /// Nothing that could be read: it is taken to be about everything, where it denies.
    Unknown,
    Known {
        resources: Vec<String>,
        kind: Option<String>,
        scopes: Option<Vec<String>>,
        /// Whether one of its resources has a type, which Keycloak takes for all of them.
        of_typed: bool,
    },
}

impl Permissions {
    pub(super) fn read(settings: &Settings, policies: &mut Policies<'_>, report: &mut Report) -> Self {
        let mut all = Vec::new();
        for policy in settings.policies.iter().filter(|own| own.is_permission()) {
            let mut bounds = policies.applied(policy, report);
            if policy.negative != Some(false) {
                let why = "a permission with a logic of its own isn't translated";
                report.add(
                    Weight::Denied,
                    code::NEGATIVE,
                    format!("{}.logic", policy.at),
                    named(policy),
                    why,
                );
                bounds = Bounds::unknown();
            }
            let about = about(policy, settings, report);
            if matches!(about, About::Unknown) {
                bounds = Bounds::unknown();
            }
            tell(policy, &bounds, report);
            all.push(Permission { bounds, about });
        }
        if settings.strategy.is_none() {
            let why = "the client's decisionStrategy is none that is known: every permission about a thing has to agree";
            report.add(
                Weight::Stricter,
                code::SHAPE,
                format!("{}.decisionStrategy", settings.at),
                "all permissions",
                why,
            );
        }
        Self { all, strategy: settings.strategy }
    }

    /// Whom the permissions about a scope of a resource let in; nothing where there are none. Without a scope it is the
    /// resource as a whole.
    pub(super) fn about(
        &self,
        resource: &Resource,
        scope: Option<&str>,
        report: &mut Report,
    ) -> Option<Bounds> {
        let concerned: Vec<&Permission> =
            self.all.iter().filter(|own| own.concerns(resource, scope)).collect();
        if concerned.is_empty() {
            return None;
        }
        let bounds = |wanted: &dyn Fn(&&&Permission) -> bool| -> Vec<Bounds> {
            concerned.iter().filter(wanted).map(|own| own.bounds.clone()).collect()
        };
        // Of a resource as a whole Keycloak asks that nothing denies, whatever the strategy.
        if self.strategy != Some(Strategy::Affirmative) || scope.is_none() {
            self.tell_override(resource, &concerned, report);
            return Some(Bounds::combined(bounds(&|_| true), Formula::all));
        }
        // A permission about a type, or about a resource that has one, denies all the same, unless one about the
        // resource itself grants.
        let any = Bounds::combined(bounds(&|_| true), Formula::any);
        let direct = Bounds::combined(bounds(&|own| own.is_direct(resource)), Formula::any);
        let typed = Bounds::combined(bounds(&|own| own.is_typed(resource)), Formula::all);
        let overridden = Bounds::combined(vec![direct, typed], Formula::any);
        Some(Bounds::combined(vec![any, overridden], Formula::all))
    }

    fn tell_override(&self, resource: &Resource, concerned: &[&Permission], report: &mut Report) {
        let is_mixed = concerned.iter().any(|own| own.is_typed(resource))
            && concerned.iter().any(|own| !own.is_typed(resource));
        if is_mixed {
            let why = "permissions about its type and others are about it: in some cases Keycloak lets one override the other, here all have to agree";
            report.add(
                Weight::Stricter,
                code::STRATEGY,
                resource.at.clone(),
                format!("resource `{}`", shown(&resource.name)),
                why,
            );
        }
    }
}

impl Permission {
    fn concerns(&self, resource: &Resource, scope: Option<&str>) -> bool {
        let About::Known { resources, kind, scopes, .. } = &self.about else { return true };
        let is_scope = match (scopes, scope) {
            (None, _) => true,
            (Some(scopes), Some(scope)) => scopes.iter().any(|own| own == scope),
            (Some(_), None) => false,
        };
        let is_named = resources.contains(&resource.name)
            || resource.id.as_ref().is_some_and(|id| resources.contains(id));
        let is_typed = kind.is_some() && *kind == resource.kind;
        let is_any = resources.is_empty() && kind.is_none() && scopes.is_some();
        is_scope && (is_named || is_typed || is_any)
    }

    fn is_direct(&self, resource: &Resource) -> bool {
        let About::Known { resources, scopes: None, .. } = &self.about else { return false };
        resources.contains(&resource.name) || resource.id.as_ref().is_some_and(|id| resources.contains(id))
    }

    fn is_typed(&self, resource: &Resource) -> bool {
        match &self.about {
            About::Unknown => true,
            About::Known { scopes: Some(_), .. } => false,
            About::Known { kind, of_typed, .. } => kind.is_some() || *of_typed || resource.kind.is_some(),
        }
    }
}

fn about(policy: &Policy, settings: &Settings, report: &mut Report) -> About {
    let (resources, scopes) = match (policy.names("resources"), policy.names("scopes")) {
        (Ok(resources), Ok(scopes)) => (resources, scopes),
        (Err(why), _) | (_, Err(why)) => {
            report.add(
                Weight::Denied,
                code::SHAPE,
                policy.at.clone(),
                named(policy),
                format!("{why}: taken to be about everything"),
            );
            return About::Unknown;
        }
    };
    for name in &resources {
        let is_it = |own: &Resource| own.name == *name || own.id.as_ref() == Some(name);
        if !settings.resources.iter().any(is_it) {
            let why = format!("it is about the resource `{}`, which isn't in the export", shown(name));
            report.add(Weight::Denied, code::REFERENCE, policy.at.clone(), named(policy), why);
        }
    }
    let kind = policy.text("defaultResourceType").map(str::to_owned);
    let scopes = (policy.kind == "scope").then_some(scopes);
    if scopes.as_ref().is_some_and(Vec::is_empty) {
        report.add(Weight::Denied, code::REFERENCE, policy.at.clone(), named(policy), "it names no scope");
    }
    let is_named = |own: &&Resource| {
        resources.contains(&own.name) || own.id.as_ref().is_some_and(|id| resources.contains(id))
    };
    let of_typed = settings.resources.iter().filter(is_named).any(|own| own.kind.is_some());
    About::Known { resources, kind, scopes, of_typed }
}

/// What a permission that rests on something unknown still grants.
fn tell(policy: &Policy, bounds: &Bounds, report: &mut Report) {
    let (weight, why) = match (&bounds.lower, bounds.is_exact()) {
        (Formula::Const(true), _) => (Weight::Review, "it lets in everyone who has a token"),
        (_, true) => return,
        (Formula::Const(false), _) => {
            (Weight::Denied, "it grants nothing here: it rests on what couldn't be translated")
        }
        _ => (
            Weight::Stricter,
            "it grants here what is known for certain, and nothing by way of what couldn't be translated",
        ),
    };
    let code = if weight == Weight::Review { code::EVERYONE } else { code::PARTLY };
    report.add(weight, code, policy.at.clone(), named(policy), why);
}

fn named(policy: &Policy) -> String {
    format!("permission `{}`", shown(&policy.name))
}
