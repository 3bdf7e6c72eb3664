//! What a translation has to tell: everything that isn't in its result as it was in its source, each with a stable code
//! and the place in the source. The codes are `GW6…` and never reused.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What follows from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Something that the source allows is denied.
    Denied,
    /// Something is allowed to fewer people than in the source.
    Stricter,
    /// It rests on an assumption that a person has to confirm.
    Review,
    /// For reading only.
    Note,
}

impl Weight {
    /// Every weight, the worst first.
    pub const ALL: [Self; 4] = [Self::Denied, Self::Stricter, Self::Review, Self::Note];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Stricter => "stricter",
            Self::Review => "review",
            Self::Note => "note",
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Denied => "Not translated: denied here",
            Self::Stricter => "Stricter here than in the source",
            Self::Review => "To be confirmed by a person",
            Self::Note => "For reading",
        }
    }
}

/// Declares the codes, and the table of what they mean.
macro_rules! codes {
    ($($meaning:literal $name:ident $code:literal)*) => {
        /// The codes: what they mean stands beside each.
        pub mod code {
            $(#[doc = $meaning] pub const $name: &str = $code;)*
            /// What every code means.
            pub(super) const ALL: &[(&str, &str)] = &[$(($code, $meaning)),*];
        }
    };
}

codes! {
    "The file isn't what it should be." UNREADABLE "GW6001"
    "A value of another shape than the format has." SHAPE "GW6002"
    "A name that can't be written as it is." NAME "GW6003"
    "A policy that runs a program." PROGRAM "GW6004"
    "A kind of policy that has no counterpart." KIND "GW6005"
    "A role, group, user or client that the export doesn't have, or that can't be named in a condition." UNRESOLVED "GW6006"
    "A reference to something that isn't in the export, or isn't there once." REFERENCE "GW6007"
    "The opposite of something that isn't known exactly." NEGATIVE "GW6008"
    "A scope that stands for no method." METHODS "GW6009"
    "An address that isn't a path template here." ADDRESS "GW6010"
    "Two resources claim the same paths." CLAIMED "GW6011"
    "An enforcement mode that opens what no permission names." MODE "GW6012"
    "A time that depends on where the identity provider stands." TIME "GW6013"
    "More cases than a rule file should hold." TOO_MANY "GW6014"
    "No permission is about it: nobody may, there as here." UNGRANTED "GW6015"
    "A resource without an address." NO_ADDRESS "GW6016"
    "A permission that is only partly translated." PARTLY "GW6017"
    "Methods that a scope stands for by convention." CONVENTION "GW6018"
    "The opposite of a fact that may be absent." ABSENT "GW6019"
    "A strategy that has cases which this one is stricter about." STRATEGY "GW6020"
    "Everyone with a token is let in." EVERYONE "GW6021"
    "Roles that other roles contain." COMPOSITE "GW6022"
    "Something that nothing refers to." UNUSED "GW6023"
    "An operation that its document opens to everyone; here it isn't." OPEN "GW6101"
    "A method that no operation can have." VERB "GW6102"
    "A reference that isn't followed." FOLLOWED "GW6103"
    "A server of its own." SERVER "GW6104"
    "What a Cedar policy can't say." UNSAID "GW6201"
    "A test that is given to Cedar as a value." GIVEN "GW6202"
}

/// What there is to say about a code of a translation.
#[must_use]
pub fn page(code: &str) -> Option<String> {
    let (code, meaning) = code::ALL.iter().find(|(own, _)| own.eq_ignore_ascii_case(code))?;
    Some(format!(
        "{code}: {meaning}\n\nA translation (`import`, `export`) speaks of it. It isn't a mistake of the rule files: the report says\n\
         what it is about, why, where in the source that stands, and under which heading what follows from it:\n\
         something is denied here, is allowed to fewer people than in the source, waits for a person to confirm\n\
         it, or is for reading only. Nothing is allowed because of it that the source doesn't allow."
    ))
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What follows.
    pub weight: Weight,
    /// Which kind.
    pub code: &'static str,
    /// Where in the source, as a path of keys.
    pub at: String,
    /// What it is about.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Everything that a translation has to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was translated, in a line.
    pub source: String,
    /// What came of it, in a line.
    pub result: String,
    /// What else has to stand in other files, as text to be copied.
    pub needs: String,
    findings: Vec<Finding>,
}

/// Most findings that are listed; the rest are counted.
const LISTED_MAX: usize = 2_000;

impl Report {
    /// Adds a finding; one that is there already isn't added again.
    pub fn add(
        &mut self,
        weight: Weight,
        code: &'static str,
        at: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
    ) {
        let own = Finding { weight, code, at: at.into(), what: what.into(), why: why.into() };
        if self.findings.len() < LISTED_MAX * 10 && !self.findings.contains(&own) {
            self.findings.push(own);
        }
    }

    /// The findings, the worst first, each kind in the order in which it was met.
    #[must_use]
    pub fn findings(&self) -> Vec<&Finding> {
        let mut sorted: Vec<&Finding> = self.findings.iter().collect();
        sorted.sort_by_key(|own| own.weight);
        sorted
    }

    /// How many findings have this weight.
    #[must_use]
    pub fn count(&self, weight: Weight) -> usize {
        self.findings.iter().filter(|own| own.weight == weight).count()
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self, schema: &str) -> Value {
        let findings: Vec<Value> = self
            .findings()
            .into_iter()
            .map(|own| {
                json!({
                    "weight": own.weight.as_str(), "code": own.code, "at": own.at, "what": own.what, "why": own.why,
                })
            })
            .collect();
        json!({
            "schema": schema, "source": self.source, "result": self.result, "needs": self.needs,
            "denied": self.count(Weight::Denied), "stricter": self.count(Weight::Stricter),
            "review": self.count(Weight::Review), "findings": findings,
        })
    }

    /// The report for a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("{}\n{}\n", self.source, self.result);
        for weight in Weight::ALL {
            let own: Vec<_> = self.findings.iter().filter(|own| own.weight == weight).collect();
            if own.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n{} ({})", weight.heading(), own.len());
            for finding in own.iter().take(LISTED_MAX) {
                let _ = writeln!(out, "  {}  {}", finding.code, finding.what);
                let _ = writeln!(out, "          {}", finding.why);
                let _ = writeln!(out, "          at {}", finding.at);
            }
            if own.len() > LISTED_MAX {
                let _ = writeln!(out, "  and {} more", own.len() - LISTED_MAX);
            }
        }
        if !self.needs.is_empty() {
            let _ = write!(out, "\nWhat else it needs\n{}", indented(&self.needs));
        }
        out
    }

    /// The report in Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n", one_line(&self.source), one_line(&self.result));
        for weight in Weight::ALL {
            let own: Vec<_> = self.findings.iter().filter(|own| own.weight == weight).collect();
            if own.is_empty() {
                continue;
            }
            let _ = write!(
                out,
                "\n## {} ({})\n\n| code | what | why | where |\n|---|---|---|---|\n",
                weight.heading(),
                own.len()
            );
            for finding in own.iter().take(LISTED_MAX) {
                let cells = [finding.code, &finding.what, &finding.why, &finding.at].map(cell);
                let _ = writeln!(out, "| {} |", cells.join(" | "));
            }
            if own.len() > LISTED_MAX {
                let _ = writeln!(out, "\nand {} more", own.len() - LISTED_MAX);
            }
        }
        if !self.needs.is_empty() {
            let _ = write!(out, "\n## What else it needs\n\n```toml\n{}```\n", self.needs);
        }
        out
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Text as a cell of a table: on one line, and with nothing that a table would take for its own.
fn cell(text: &str) -> String {
    one_line(text).replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}

/// A name from somewhere else, fit to be shown: on one line, and not endless.
#[must_use]
pub fn shown(name: &str) -> String {
    let line = one_line(name);
    if line.chars().count() <= 80 { line } else { line.chars().take(77).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page() {
        for (own, meaning) in code::ALL {
            let page = page(&own.to_lowercase()).unwrap();
            assert!(page.starts_with(&format!("{own}: {meaning}")), "{page}");
        }
        assert_eq!(
            (page("GW6001").is_some(), page(code::GIVEN).is_some(), page("GW6999")),
            (true, true, None)
        );
    }
}
