//! What came of the tables: tests by file, what they counted, and what they left untried.

use std::collections::BTreeSet;

use crate::analysis::coverage::{self, Described, Part};
use crate::snapshot::Snapshot;

/// One case, or one cell of a golden table.
#[derive(Clone, Debug)]
pub(super) struct Test {
    /// `Profile Key, Owner`.
    pub name: String,
    /// The request, or the row's operations.
    pub request: String,
    /// What the table or the document says.
    pub says: String,
    /// Its line in the file.
    pub line: usize,
    /// What is wrong, if anything.
    pub wrong: Vec<String>,
}

/// The tests of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Suite {
    /// The file.
    pub path: String,
    /// The app.
    pub app: String,
    /// The tests that were run.
    pub tests: Vec<Test>,
}

/// A golden table that was held against the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Golden {
    /// The file.
    pub path: String,
    /// Its cells.
    pub cells: usize,
    /// Those that are as the rules are, or depart as named.
    pub held: usize,
    /// Departures that the rule file names.
    pub departures: usize,
}

/// What came of all.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// Whether only a part was meant.
    pub partial: bool,
    /// Documents that tables were made from.
    pub documents: BTreeSet<String>,
    /// Their cells.
    pub cells: usize,
    /// Their sentences.
    pub sentences: usize,
    /// Rows of the tables that were made from documents.
    pub cases: usize,
    /// Requests of those rows.
    pub requests: usize,
    /// Tables in an operator's own words.
    pub tables: usize,
    /// Their answers.
    pub answers: usize,
    /// Golden tables.
    pub golden: Vec<Golden>,
    /// Everything that was run.
    pub suites: Vec<Suite>,
    /// The parts of rules that were tried, by app.
    pub tried: BTreeSet<(usize, Part)>,
    /// What the rules have, once that is counted.
    pub coverage: Option<Coverage>,
}

/// How much of the rules was tried.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// All parts.
    pub parts: usize,
    /// Those that nothing tried, with the app.
    pub untried: Vec<(String, Described)>,
}

impl Sum {
    /// Remembers what a case tried.
    pub(super) fn try_parts(&mut self, tried: Option<(usize, Vec<Part>)>) {
        if let Some((app, parts)) = tried {
            self.tried.extend(parts.into_iter().map(|part| (app, part)));
        }
    }

    /// Counts what wasn't tried, of every app.
    pub(super) fn count_coverage(&mut self, snapshot: &Snapshot) {
        let mut coverage = Coverage::default();
        for (index, app) in snapshot.apps.iter().enumerate() {
            let parts = coverage::parts(app);
            coverage.parts += parts.len();
            let untried = parts.into_iter().filter(|own| !self.tried.contains(&(index, own.part)));
            coverage.untried.extend(untried.map(|own| (app.name.to_string(), own)));
        }
        self.coverage = Some(coverage);
    }

    /// Every test that was run.
    pub(super) fn tests(&self) -> usize {
        self.suites.iter().map(|suite| suite.tests.len()).sum()
    }

    /// Those that failed, with their files.
    pub(super) fn failed(&self) -> impl Iterator<Item = (&Suite, &Test)> {
        let tests = self.suites.iter().flat_map(|suite| suite.tests.iter().map(move |test| (suite, test)));
        tests.filter(|(_, test)| !test.wrong.is_empty())
    }
}

impl Coverage {
    /// Those that were tried.
    pub(super) fn tried(&self) -> usize {
        self.parts - self.untried.len()
    }

    /// In percent, rounded down, so that only everything is 100.
    pub(super) fn percent(&self) -> usize {
        (self.tried() * 100).checked_div(self.parts).unwrap_or(100)
    }
}
