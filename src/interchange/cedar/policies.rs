//! An app's policies: its grants as `permit`, its requirements as `forbid`, and in comments what neither says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::report::{Report, Weight, code};
use super::action;
use super::condition::{Conditions, quoted};
use crate::analysis::guard;
use crate::policy::obligation::SeatRule;
use crate::policy::{Access, App, Operation, Role};

/// Writes one app's policies.
pub(super) struct Writer<'a> {
    app: &'a App,
    space: &'a str,
    conditions: Conditions<'a>,
    policies: String,
    count: usize,
}

/// What was written.
pub(super) struct Written {
    pub(super) policies: String,
    /// Tests whose outcome stands in the context.
    pub(super) given: Vec<String>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(app: &'a App, space: &'a str) -> Self {
        Self { app, space, conditions: Conditions::new(app), policies: String::new(), count: 0 }
    }

    pub(super) fn write(mut self, report: &mut Report) -> Written {
        self.unsaid(report);
        for (index, role) in self.app.roles.iter().enumerate() {
            self.permits(index, role);
        }
        self.requirements();
        self.public();
        Written { given: self.conditions.given(), policies: self.policies }
    }

    fn unsaid(&mut self, report: &mut Report) {
        let mut found: Vec<(String, &str)> = Vec::new();
        for own in &self.app.operations {
            let carried = &own.obligations;
            let parts = [
                (
                    !carried.narrows.is_empty(),
                    "a condition becomes a filter of the list: here it holds where its value is known",
                ),
                (!carried.masks.is_empty(), "fields of its answer are hidden"),
                (!carried.filters.is_empty(), "elements of its answer are dropped"),
                (carried.body_only.is_some(), "its body may have named fields only"),
                (
                    matches!(own.access, Access::Socket { .. }),
                    "it opens a socket, for whoever may send an event on it",
                ),
            ];
            found.extend(parts.into_iter().filter(|(is, _)| *is).map(|(_, why)| (action(own), why)));
        }
        for (_, own) in self.app.permissions.iter().filter(|(_, own)| !matches!(own.seat, SeatRule::Free)) {
            found.push((own.name.to_string(), "a licence seat is needed"));
        }
        let name = self.app.name.to_string();
        if self.app.limits.is_some() {
            found.push((name.clone(), "there are rates"));
        }
        found.push((
            name.clone(),
            "who the caller is, which roles a token means, and which tenant is acted for",
        ));
        let _ = writeln!(self.policies, "// {name}. What these policies don't say:");
        for (what, why) in found {
            let _ = writeln!(self.policies, "// - {what}: {why}");
            report.add(Weight::Note, code::UNSAID, name.clone(), what, why);
        }
    }

    fn begin(&mut self, what: &str, place: &str) {
        self.count += 1;
        let id = format!("{}.{what}.{}", self.app.name, self.count);
        let _ = write!(self.policies, "\n@id({})\n@place({})\n", quoted(&id), quoted(place));
    }

    fn actions<S: AsRef<str>>(&self, names: &[S]) -> String {
        let name = |own: &S| format!("{}::Action::{}", self.space, quoted(own.as_ref()));
        format!("action in [{}]", names.iter().map(name).collect::<Vec<_>>().join(", "))
    }

    /// The grants of a role, those under the same conditions together.
    fn permits(&mut self, index: usize, role: &Role) {
        let app = self.app;
        let mut by_conditions: BTreeMap<&[usize], (Vec<String>, &str)> = BTreeMap::new();
        for own in &role.grants {
            let Some(permission) = app.permission(own.permission) else { continue };
            let row = by_conditions.entry(&own.conditions).or_insert((Vec::new(), &own.place));
            if !row.0.iter().any(|name| **name == *permission.name) {
                row.0.push(permission.name.to_string());
            }
        }
        let principal = if app.anyone == Some(index) {
            "principal".to_owned()
        } else {
            format!("principal in {}::Role::{}", self.space, quoted(&role.name))
        };
        for (conditions, (permissions, place)) in by_conditions {
            let narrowed = self.narrowed(&permissions, conditions);
            self.begin("grant", place);
            let head = format!("permit ({principal}, {}, resource)", self.actions(&permissions));
            let tests = self.when(conditions, None);
            let names: Vec<String> = narrowed.iter().map(|own| action(own)).collect();
            let except = if names.is_empty() {
                String::new()
            } else {
                format!("\nunless {{ {} }}", self.actions(&names))
            };
            let _ = writeln!(self.policies, "{head}{tests}{except};");
            for own in narrowed {
                self.begin("narrowed", place);
                let head = format!("permit ({principal}, {}, resource)", self.actions(&[action(own)]));
                let tests = self.when(conditions, Some(own));
                let _ = writeln!(self.policies, "{head}{tests};");
            }
        }
    }

    /// Operations of these permissions where one of the conditions becomes a filter.
    fn narrowed(&self, permissions: &[String], conditions: &[usize]) -> Vec<&'a Operation> {
        let app = self.app;
        let is_of = |own: &&Operation| {
            let mut names = own.permissions().filter_map(|id| app.permission(id)).map(|own| &*own.name);
            names.any(|own| permissions.iter().any(|name| **name == *own))
        };
        let is_narrowed =
            |own: &&Operation| conditions.iter().any(|index| self.conditions.is_narrowed(*index, own));
        app.operations.iter().filter(is_of).filter(is_narrowed).collect()
    }

    fn when(&self, conditions: &[usize], on: Option<&Operation>) -> String {
        if conditions.is_empty() {
            return String::new();
        }
        let tests: Vec<String> = conditions.iter().map(|index| self.conditions.holds(*index, on)).collect();
        format!("\nwhen {{ {} }}", tests.join(" && "))
    }

    /// What must hold whatever the role.
    fn requirements(&mut self) {
        let app = self.app;
        let mut on: BTreeMap<usize, (Vec<String>, Vec<&Operation>)> = BTreeMap::new();
        for own in app.operations.iter().filter(|own| matches!(own.access, Access::Guarded { .. })) {
            for condition in guard::required(app, own) {
                let row = on.entry(condition).or_default();
                if self.conditions.is_narrowed(condition, own) {
                    row.1.push(own);
                } else {
                    row.0.push(action(own));
                }
            }
        }
        for (condition, (plain, narrowed)) in on {
            let place = app.conditions.get(condition).map_or("", |own| &own.place);
            if !plain.is_empty() {
                self.forbid(&plain, condition, None, place);
            }
            for own in narrowed {
                self.forbid(&[action(own)], condition, Some(own), place);
            }
        }
    }

    fn forbid(&mut self, names: &[String], condition: usize, on: Option<&Operation>, place: &str) {
        self.begin("require", place);
        let (actions, test) = (self.actions(names), self.conditions.holds(condition, on));
        let _ = writeln!(self.policies, "forbid (principal, {actions}, resource)\nunless {{ {test} }};");
    }

    fn public(&mut self) {
        let app = self.app;
        let own = || app.operations.iter().filter(|own| matches!(own.access, Access::Public));
        let names: BTreeSet<String> = own().map(action).collect();
        let Some(first) = own().next() else { return };
        self.begin("public", &first.place);
        let actions = self.actions(&names.into_iter().collect::<Vec<_>>());
        let _ = writeln!(self.policies, "permit (principal, {actions}, resource);");
    }
}
