//! Two tables side by side: every way in which a host, a path and a verb can be taken by one of them, each once. Paths
//! that both tables take alike, whatever stands in their parameters, are one way.

use std::collections::BTreeSet;

use super::trie::{At, Trie};
use super::{RouteTable, Verb};

/// One segment of a way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// This very text.
    Literal(Box<str>),
    /// Any segment that neither table has a literal for, in any case.
    Other,
}

/// Where requests can lead.
#[derive(Clone, Copy, Debug)]
pub struct Way<'w> {
    /// The host; nothing for one that no table names.
    pub host: Option<&'w str>,
    /// The segments. Where both tables take the rest of a path, the first segment of it stands for all.
    pub steps: &'w [Step],
    /// The verb.
    pub verb: Verb,
}

/// Visits every way that leads somewhere in one of the tables, with where it leads.
#[expect(clippy::type_complexity, reason = "what is told of a way")]
pub fn walk<T>(old: &RouteTable<T>, new: &RouteTable<T>, visit: &mut dyn FnMut(Way<'_>, &[T], &[T])) {
    let names: BTreeSet<&str> = old.hosts().chain(new.hosts()).collect();
    for host in std::iter::once(None).chain(names.into_iter().map(Some)) {
        let (of_old, of_new) = (old.trie(host), new.trie(host));
        let mut report = |steps: &[Step], left: &At<'_>, right: &At<'_>| {
            for verb in Verb::ALL {
                let (from, to) = (old.leaf(left.leaf(of_old, verb)), new.leaf(right.leaf(of_new, verb)));
                if !from.is_empty() || !to.is_empty() {
                    visit(Way { host, steps, verb }, from, to);
                }
            }
        };
        let mut walker = Walker { old: of_old, new: of_new, steps: Vec::new(), report: &mut report };
        walker.from(At::ROOT, At::ROOT);
    }
}

/// Told where both tables are after some steps.
type Report<'w> = &'w mut dyn FnMut(&[Step], &At<'_>, &At<'_>);

struct Walker<'w> {
    old: &'w Trie,
    new: &'w Trie,
    steps: Vec<Step>,
    report: Report<'w>,
}

impl<'w> Walker<'w> {
    fn from(&mut self, old: At<'w>, new: At<'w>) {
        (self.report)(&self.steps, &old, &new);
        if !old.branches() && !new.branches() {
            return;
        }
        let literals: BTreeSet<&str> = old.literals(self.old).chain(new.literals(self.new)).collect();
        for literal in &literals {
            self.take(Step::Literal((*literal).into()), &old, &new);
            self.take_cased(literal, &literals, &old, &new);
        }
        self.take(Step::Other, &old, &new);
    }

    fn take(&mut self, step: Step, old: &At<'w>, new: &At<'w>) {
        let text = match &step {
            Step::Literal(text) => Some(&**text),
            Step::Other => None,
        };
        let (old, new) = (old.step(self.old, text), new.step(self.new, text));
        if old.is_nowhere() && new.is_nowhere() {
            return;
        }
        self.steps.push(step);
        self.from(old, new);
        self.steps.pop();
    }

    /// A literal in another case is no value of a parameter, but only where it is a literal.
    fn take_cased(&mut self, literal: &str, literals: &BTreeSet<&str>, old: &At<'w>, new: &At<'w>) {
        if old.is_cased(self.old, literal) == new.is_cased(self.new, literal) {
            return;
        }
        let (upper, lower) = (literal.to_uppercase(), literal.to_lowercase());
        if let Some(cased) = [upper, lower].into_iter().find(|own| !literals.contains(&**own)) {
            self.take(Step::Literal(cased.into()), old, new);
        }
    }
}
