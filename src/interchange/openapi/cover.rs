//! An OpenAPI document held against the rules of an app: operations that no rule names, and operations of the rules that
//! the document doesn't have. Both sides are templates; what counts is what a path with something in every place is
//! judged by.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::report::shown;
use super::spec::Spec;
use crate::policy::App;
use crate::request::{CanonicalPath, Host};
use crate::route::{Match, Segment, Template};
use crate::snapshot::{OperationRef, Snapshot};

/// What the comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The app.
    pub app: String,
    /// Operations of the document that a rule names.
    pub covered: usize,
    /// Operations of the document that no rule names: method, path, what it is called.
    pub uncovered: Vec<(String, String, String)>,
    /// Operations of the rules that the document doesn't have: method, path, place.
    pub unknown: Vec<(String, String, String)>,
}

/// Holds a document against an app's rules. `base` stands in the place of the path of the document's server.
#[must_use]
pub fn cover(spec: &Spec, snapshot: &Snapshot, app: &App, base: Option<&str>) -> Coverage {
    let base = base.unwrap_or(&spec.base).trim_end_matches('/');
    let (mut covered, mut uncovered) = (vec![false; app.operations.len()], Vec::new());
    let mut count = 0;
    for own in &spec.operations {
        let path = match (base, own.template.to_string().as_str()) {
            ("", path) => path.to_owned(),
            (base, "/") => base.to_owned(),
            (base, path) => format!("{base}{path}"),
        };
        let found = Template::parse(&path).ok().map(|template| probe(&template));
        let found = found.and_then(|probe| judged(snapshot, app, &probe, own.verb));
        match found.and_then(|at| covered.get_mut(at.operation)) {
            Some(slot) => {
                *slot = true;
                count += 1;
            }
            None => uncovered.push((own.verb.to_string(), path, own.name.clone().unwrap_or_default())),
        }
    }
    let unknown =
        app.operations.iter().zip(covered).filter(|(own, covered)| !covered && !own.template.is_event());
    let unknown =
        unknown.map(|(own, _)| (own.verb.to_string(), own.template.to_string(), own.place.to_string()));
    Coverage { app: app.name.to_string(), covered: count, uncovered, unknown: unknown.collect() }
}

/// A path of a template, with something in every place that no rule has as a literal.
fn probe(template: &Template) -> String {
    let mut path = String::new();
    for (index, segment) in template.segments().iter().enumerate() {
        path.push('/');
        match segment {
            Segment::Literal(text) => path.push_str(
                &percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                    .to_string()
                    .replace("%2D", "-")
                    .replace("%5F", "_")
                    .replace("%2E", ".")
                    .replace("%7E", "~"),
            ),
            Segment::Parameter(_) | Segment::Rest(_) => path.push_str(&format!("gw-place-{index}")),
        }
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

/// The operation of the app that a path is judged by.
fn judged(snapshot: &Snapshot, app: &App, path: &str, verb: crate::route::Verb) -> Option<OperationRef> {
    let path = CanonicalPath::parse(path).ok()?;
    let hosts = app.hosts.iter().map(|host| &**host).chain(["gateway.invalid"]);
    for host in hosts.filter_map(|host| Host::parse(host).ok()) {
        if let Match::Operations(found) = snapshot.routes.find(&host, &path, Some(verb)) {
            let own =
                found.iter().find(|at| snapshot.apps.get(at.app).is_some_and(|own| own.name == app.name));
            if let Some(own) = own {
                return Some(*own);
            }
        }
    }
    None
}

impl Coverage {
    /// For a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let total = self.covered + self.uncovered.len();
        let mut out = format!(
            "{}: {} of {total} operations of the document stand in the rules\n",
            self.app, self.covered
        );
        self.list(&mut out, "\nIn the document, in no rule (refused):", &self.uncovered);
        self.list(&mut out, "\nIn the rules, not in the document:", &self.unknown);
        out
    }

    fn list(&self, out: &mut String, heading: &str, rows: &[(String, String, String)]) {
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(out, "{heading}");
        let width = rows.iter().map(|(_, path, _)| path.chars().count()).max().unwrap_or(0).min(70);
        for (method, path, more) in rows {
            let line = format!("  {method:<7} {path:<width$}  {}", shown(more));
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }

    /// For a review.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let total = self.covered + self.uncovered.len();
        let mut out = format!(
            "{} of {total} operations of the document stand in the rules of `{}`.\n",
            self.covered, self.app
        );
        for (heading, rows) in [
            ("In the document, in no rule (refused)", &self.uncovered),
            ("In the rules, not in the document", &self.unknown),
        ] {
            if rows.is_empty() {
                continue;
            }
            let _ = write!(out, "\n### {heading}\n\n| method | path | |\n|---|---|---|\n");
            for (method, path, more) in rows {
                let cells = [method, path, more].map(|cell| shown(cell).replace('|', "\\|"));
                let _ = writeln!(out, "| {} |", cells.join(" | "));
            }
        }
        out
    }

    /// For a machine.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let rows = |rows: &[(String, String, String)], last: &str| -> Vec<Value> {
            rows.iter()
                .map(|(method, path, more)| json!({ "method": method, "path": path, last: more }))
                .collect()
        };
        json!({
            "schema": "gatewarden.coverage/1", "app": self.app, "covered": self.covered,
            "uncovered": rows(&self.uncovered, "name"), "unknown": rows(&self.unknown, "place"),
        })
    }
}
