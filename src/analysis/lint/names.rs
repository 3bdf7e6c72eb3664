//! Names that are one but for how they are spelled: `customer-labels` and `Customer labels`. Whoever reads the one thinks
//! of the other.

use std::collections::HashMap;

use super::{Finding, Kind, Subject, Weight};
use crate::policy::App;

pub(super) fn of(app: &App) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut resources: Vec<&str> = app.permissions.iter().map(|(_, own)| &*own.resource).collect();
    resources.dedup();
    let resources = resources.into_iter().map(|name| (name, Subject::Resource(name.into())));
    near("resources", resources, &mut findings);
    let roles = app.roles.iter().enumerate().map(|(index, role)| (&*role.name, Subject::Role(index)));
    near("roles", roles, &mut findings);
    let conditions = app.conditions.iter().enumerate();
    let conditions = conditions.filter(|(_, own)| !own.name.contains(' '));
    near("conditions", conditions.map(|(index, own)| (&*own.name, Subject::Condition(index))), &mut findings);
    findings
}

fn near<'n>(what: &str, names: impl Iterator<Item = (&'n str, Subject)>, findings: &mut Vec<Finding>) {
    let mut seen: HashMap<String, (&str, Subject)> = HashMap::new();
    for (name, subject) in names {
        let Some((first, other)) = seen.get(&plain(name)) else {
            seen.insert(plain(name), (name, subject));
            continue;
        };
        if *first == name {
            continue;
        }
        let message = format!("the {what} `{first}` and `{name}` differ in their spelling alone");
        findings.push(
            Finding::new(Kind::NearDuplicate, Weight::Note, subject, message)
                .also(other.clone(), "the other one")
                .help("if they are one thing, write it once; else give them names that can't be mixed up"),
        );
    }
}

/// A name without its case, its separators, and the s of its plural.
fn plain(name: &str) -> String {
    let bare: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    bare.strip_suffix('s').filter(|one| one.len() > 2).map_or(bare.clone(), str::to_owned)
}
