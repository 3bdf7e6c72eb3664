//! Remarks on rules that load: what they say that changes nothing, what nothing reads, what can't come about, and what
//! someone should have read once. A remark refuses nothing; what must be refused is a mistake, and told by `config`.
//!
//! A remark names what it is about ([`Subject`]); where that stands in a file, line and column, is found by `config` when
//! somebody wants to see it, so that compiled rules needn't carry it.

mod conditions;
mod grants;
mod known;
mod names;
mod reading;
mod routes;

use crate::policy::App;
use crate::snapshot::Snapshot;

/// Which kind of remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A route that no path leads to.
    UnreachableRoute,
    /// Paths that two routes fit.
    AmbiguousRoute,
    /// A condition that says the same whatever the facts are.
    Constant,
    /// Two conditions that always say the same.
    SameCondition,
    /// A condition or fact that nothing reads.
    Unread,
    /// A grant that another one makes superfluous.
    IdleGrant,
    /// A role that is another one, or part of it.
    SameRole,
    /// A permission that nobody is granted.
    NeverGranted,
    /// A role that grants nothing.
    EmptyRole,
    /// A scope that is granted and permits no operation.
    EmptyScope,
    /// A grant whose condition can't be known on an operation.
    NeverKnown,
    /// Names that differ in their spelling alone.
    NearDuplicate,
    /// Operations that change something under a scope for looking.
    WriteInView,
    /// Operations that anyone reaches.
    Open,
    /// Operations that nothing is required for.
    Unrequired,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// For whoever reads everything once: as a rule all is well.
    Reading,
    /// Superfluous, or odd.
    Note,
    /// Most likely not meant so.
    Warning,
}

/// What a remark is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The app itself.
    App,
    /// A role, by index.
    Role(usize),
    /// A resource or feature, by name.
    Resource(Box<str>),
    /// A scope of a resource, by the position of its permission.
    Scope(usize),
    /// A condition, by index.
    Condition(usize),
    /// A fact, by index.
    Fact(usize),
    /// An operation, by index.
    Operation(usize),
    /// A grant of a role, both by index.
    Grant(usize, usize),
}

/// One remark.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which kind.
    pub kind: Kind,
    /// How much it matters.
    pub weight: Weight,
    /// The app, by index.
    pub app: usize,
    /// What it is about.
    pub subject: Subject,
    /// What is odd, in one lower-case clause.
    pub message: String,
    /// A word about the place.
    pub label: String,
    /// Another place that belongs to it: the app, what is there, and a word about it.
    pub also: Option<(usize, Subject, String)>,
    /// What to do.
    pub help: Option<&'static str>,
}

impl Finding {
    fn new(kind: Kind, weight: Weight, subject: Subject, message: String) -> Self {
        Self { kind, weight, app: 0, subject, message, label: String::new(), also: None, help: None }
    }

    fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    fn also(self, subject: Subject, label: impl Into<String>) -> Self {
        Self { also: Some((self.app, subject, label.into())), ..self }
    }

    fn help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }
}

/// Everything there is to remark.
#[must_use]
pub fn of(snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings = routes::of(snapshot);
    for (index, app) in snapshot.apps.iter().enumerate() {
        let own = of_app(app).into_iter().map(|finding| {
            let also = finding.also.map(|(_, subject, label)| (index, subject, label));
            Finding { app: index, also, ..finding }
        });
        findings.extend(own);
    }
    findings
}

fn of_app(app: &App) -> Vec<Finding> {
    let mut findings = conditions::of(app);
    findings.extend(grants::of(app));
    findings.extend(known::of(app));
    findings.extend(names::of(app));
    findings.extend(reading::of(app));
    findings
}

/// Most names that one remark lists.
const LISTED_MAX: usize = 6;

/// Names as a sentence has them; of many only the first.
fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(LISTED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}
