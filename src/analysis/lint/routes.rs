//! Routes that no path leads to, and paths that two routes fit. A tree of all templates is walked together with itself, so
//! that only templates are compared which have paths in common.

use std::collections::{BTreeMap, HashMap};

use super::{Finding, Kind, Subject, Weight};
use crate::policy::{App, Operation};
use crate::route::{Segment, Template, Verb};
use crate::snapshot::Snapshot;

/// Most remarks of this kind: whoever has more has one reason for them all.
const TOLD_MAX: usize = 200;

/// An operation: its app and itself, by index.
type At = (usize, usize);

#[derive(Default)]
struct Node<'t> {
    literals: HashMap<&'t str, usize>,
    parameter: Option<usize>,
    rest: Vec<(Verb, At)>,
    ends: Vec<(Verb, At)>,
}

pub(super) fn of(snapshot: &Snapshot) -> Vec<Finding> {
    let mut by_hosts: BTreeMap<Vec<&str>, Vec<(usize, &App)>> = BTreeMap::new();
    for (index, app) in snapshot.apps.iter().enumerate() {
        let mut hosts: Vec<&str> = app.hosts.iter().map(|host| &**host).collect();
        hosts.sort_unstable();
        by_hosts.entry(hosts).or_default().push((index, app));
    }
    let mut findings = Vec::new();
    for apps in by_hosts.values() {
        let tree = Tree::of(snapshot, apps);
        tree.unreachable(&mut findings);
        tree.overlaps(&mut findings);
    }
    findings
}

struct Tree<'t> {
    snapshot: &'t Snapshot,
    nodes: Vec<Node<'t>>,
}

/// Two nodes that one path can lead to, were each alone: where literals win, and where they don't.
struct Pair {
    winner: usize,
    loser: usize,
    witness: String,
    is_crossing: bool,
}

impl<'t> Tree<'t> {
    fn of(snapshot: &'t Snapshot, apps: &[(usize, &'t App)]) -> Self {
        let mut tree = Self { snapshot, nodes: vec![Node::default()] };
        for (index, app) in apps {
            for (at, operation) in app.operations.iter().enumerate() {
                if !operation.template.is_event() {
                    tree.add(&operation.template, operation.verb, (*index, at));
                }
            }
        }
        tree
    }

    fn add(&mut self, template: &'t Template, verb: Verb, at: At) {
        let mut here = 0;
        for segment in template.segments() {
            let next = self.nodes.len();
            let Some(node) = self.nodes.get_mut(here) else { return };
            here = match segment {
                Segment::Literal(text) => *node.literals.entry(text).or_insert(next),
                Segment::Parameter(_) => *node.parameter.get_or_insert(next),
                Segment::Rest(_) => {
                    node.rest.push((verb, at));
                    return;
                }
            };
            if here == next {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(here) {
            node.ends.push((verb, at));
        }
    }

    fn operation(&self, at: At) -> Option<&'t Operation> {
        self.snapshot.apps.get(at.0)?.operations.get(at.1)
    }

    fn written(&self, at: At) -> String {
        self.operation(at).map(|own| format!("{} {}", own.verb, own.template)).unwrap_or_default()
    }

    /// A parameter takes every segment, so that nothing is left to the rest of a path beside it.
    fn unreachable(&self, findings: &mut Vec<Finding>) {
        for node in self.nodes.iter().filter(|node| !node.rest.is_empty()) {
            let Some(taker) = node.parameter.and_then(|below| self.first_below(below)) else { continue };
            for (_, at) in &node.rest {
                let message = format!(
                    "no path leads to `{}`: `{}` takes them all",
                    self.written(*at),
                    self.written(taker)
                );
                let mut finding =
                    Finding::new(Kind::UnreachableRoute, Weight::Warning, Subject::Operation(at.1), message)
                        .label("a parameter wins over the rest of a path, and there is no way back");
                finding.app = at.0;
                finding.also = Some((taker.0, Subject::Operation(taker.1), "this one wins".to_owned()));
                findings.push(finding);
            }
        }
    }

    /// Some operation at a node or below it.
    fn first_below(&self, node: usize) -> Option<At> {
        let own = self.nodes.get(node)?;
        let here = own.ends.first().or(own.rest.first()).map(|(_, at)| *at);
        let mut below = own.literals.values().copied().collect::<Vec<_>>();
        below.sort_unstable();
        here.or_else(|| own.parameter.into_iter().chain(below).find_map(|next| self.first_below(next)))
    }

    fn overlaps(&self, findings: &mut Vec<Finding>) {
        let mut open: Vec<(usize, String)> = vec![(0, String::new())];
        while let Some((index, path)) = open.pop() {
            let Some(node) = self.nodes.get(index) else { continue };
            let mut literals: Vec<_> = node.literals.iter().collect();
            literals.sort_unstable();
            for (text, next) in literals {
                let below = format!("{path}/{text}");
                if let Some(parameter) = node.parameter {
                    let pair =
                        Pair { winner: *next, loser: parameter, witness: below.clone(), is_crossing: false };
                    self.apart(pair, findings);
                }
                open.push((*next, below));
            }
            open.extend(node.parameter.map(|next| (next, format!("{path}/x"))));
            if findings.len() > TOLD_MAX {
                return;
            }
        }
    }

    /// Walks two branches that have parted, as far as one path can go along both.
    fn apart(&self, first: Pair, findings: &mut Vec<Finding>) {
        let mut open = vec![first];
        while let Some(pair) = open.pop() {
            let (Some(a), Some(b)) = (self.nodes.get(pair.winner), self.nodes.get(pair.loser)) else {
                continue;
            };
            self.tell(a, b, &pair, findings);
            for (text, winner) in &a.literals {
                let other = b.literals.get(text).or(b.parameter.as_ref());
                open.extend(other.map(|loser| Pair {
                    winner: *winner,
                    loser: *loser,
                    witness: format!("{}/{text}", pair.witness),
                    is_crossing: pair.is_crossing,
                }));
            }
            let Some(winner) = a.parameter else { continue };
            for (text, loser) in b.literals.iter().filter(|(text, _)| !a.literals.contains_key(*text)) {
                let witness = format!("{}/{text}", pair.witness);
                open.push(Pair { winner, loser: *loser, witness, is_crossing: true });
            }
            open.extend(b.parameter.map(|loser| Pair {
                winner,
                loser,
                witness: format!("{}/x", pair.witness),
                is_crossing: pair.is_crossing,
            }));
        }
    }

    /// What fits the loser too and is never it: under the winner's rules, or under none.
    fn tell(&self, a: &Node<'_>, b: &Node<'_>, pair: &Pair, findings: &mut Vec<Finding>) {
        for (verb, loser) in &b.ends {
            let witness = &pair.witness;
            let winner = a.ends.iter().find(|(own, _)| own == verb).map(|(_, at)| *at);
            let (weight, message, also) = match winner {
                Some(winner) if pair.is_crossing => {
                    let (won, lost) = (self.written(winner), self.written(*loser));
                    let message =
                        format!("`{verb} {witness}` fits both `{won}` and `{lost}`: it is the former");
                    (Weight::Note, message, Some(winner))
                }
                // A literal beside a parameter is how such a thing is written.
                Some(_) => continue,
                None => {
                    let fits = self.written(*loser);
                    let message = format!(
                        "`{verb} {witness}` fits `{fits}`, but isn't it: a literal wins there, and has no {verb}"
                    );
                    (Weight::Reading, message, a.ends.first().map(|(_, at)| *at))
                }
            };
            let mut finding =
                Finding::new(Kind::AmbiguousRoute, weight, Subject::Operation(loser.1), message);
            finding.app = loser.0;
            finding.also = also.map(|at| (at.0, Subject::Operation(at.1), "this one wins".to_owned()));
            findings.push(finding);
        }
    }
}
