//! What is there in the place of what was asked for: the path's other methods, or the paths that are spelled most like it.
//! Only what an explanation says of a request that no operation takes; nothing is decided here.

use std::collections::BTreeSet;

use super::trace::{self, Step};
use crate::policy::{App, Operation};
use crate::request::RequestView;
use crate::route::{Match, Segment, Verb};
use crate::snapshot::Snapshot;

/// Paths that are named.
const NAMED: usize = 3;

/// Why no operation takes a request, and which would be near.
#[must_use]
pub fn steps(snapshot: &Snapshot, request: &RequestView<'_>) -> Vec<Step> {
    match snapshot.routes.find(request.host, request.path, Verb::of(request.method)) {
        Match::Operations(_) => Vec::new(),
        Match::OtherMethods(verbs) => {
            let names: Vec<&str> = verbs.iter().map(|own| own.as_str()).collect();
            let text = format!("the path has no {}; it has {}", request.method, names.join(", "));
            let claims = verbs.iter().flat_map(|verb| {
                match snapshot.routes.find(request.host, request.path, Some(*verb)) {
                    Match::Operations(claims) => claims,
                    Match::OtherMethods(_) | Match::Nothing => &[],
                }
            });
            let there = claims.filter_map(|at| snapshot.operation(*at));
            std::iter::once(said(text)).chain(there.map(|(app, own)| trace::route(app, own))).collect()
        }
        Match::Nothing => {
            let near = nearest(snapshot, request);
            let text = if near.is_empty() {
                "no rule has the path"
            } else {
                "no rule has the path; the nearest are"
            };
            std::iter::once(said(text.to_owned()))
                .chain(near.into_iter().map(|(app, own)| trace::route(app, own)))
                .collect()
        }
    }
}

fn said(text: String) -> Step {
    Step { stage: "route", text, place: None, tests: Vec::new() }
}

/// The operations whose paths are spelled most like the request's, one for each path, nearest first.
fn nearest<'s>(snapshot: &'s Snapshot, request: &RequestView<'_>) -> Vec<(&'s App, &'s Operation)> {
    let asked: Vec<String> = request.path.segments().iter().map(|own| own.to_lowercase()).collect();
    let answers =
        |app: &&App| app.hosts.is_empty() || app.hosts.iter().any(|own| **own == *request.host.as_str());
    let apps = snapshot.apps.iter().filter(answers);
    let mut found: Vec<(usize, bool, String, &App, &Operation)> = apps
        .flat_map(|app| app.operations.iter().map(move |own| (app, own)))
        .filter(|(_, own)| !own.template.is_event())
        .filter_map(|(app, own)| {
            let far = far(&asked, own.template.segments())?;
            let is_other = Verb::of(request.method) != Some(own.verb);
            Some((far, is_other, own.template.to_string(), app, own))
        })
        .collect();
    found.sort_by(|one, other| (one.0, one.1, &one.2).cmp(&(other.0, other.1, &other.2)));
    let mut paths = BTreeSet::new();
    found.retain(|own| paths.insert(own.2.clone()));
    found.into_iter().take(NAMED).map(|(.., app, own)| (app, own)).collect()
}

/// How many letters are otherwise; nothing where more than half of them are.
fn far(asked: &[String], template: &[Segment]) -> Option<usize> {
    let plain: Vec<String> = template
        .iter()
        .zip(asked.iter().map(Some).chain(std::iter::repeat(None)))
        .map(|(own, asked)| match own {
            Segment::Literal(text) => text.to_lowercase(),
            // Whatever stands there fits.
            Segment::Parameter(_) | Segment::Rest(_) => asked.cloned().unwrap_or_else(|| "x".to_owned()),
        })
        .collect();
    let (asked, plain) = (asked.join("/"), plain.join("/"));
    let far = strsim::damerau_levenshtein(&asked, &plain);
    (far * 2 <= asked.chars().count().max(2)).then_some(far)
}
