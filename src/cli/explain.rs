//! `gatewarden explain`: why a request would be answered as it is, step by step, with file and line.

use std::fmt::Write as _;

use serde_json::json;

use super::Exit;
use super::can::{hint, unstated, who_could};
use super::hypothesis::{Hypothesis, Stated};
use super::load::{Files, print, tell};
use crate::analysis::beside;
use crate::analysis::carried;
use crate::analysis::trace::{self, Step};
use crate::authorize::{Evidence, Ruling};
use crate::policy::Truth;
use crate::rejection::Rejection;
use crate::request::RequestView;
use crate::snapshot::Snapshot;

/// Why a request would be answered as it is.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    stated: Stated,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// The method; EMIT for an event of a socket
    method: String,
    /// The path from the root, with its query if there is one; the event for EMIT
    path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Explains; exit 0 for what is allowed, 1 for what is not.
pub fn run(args: &Args) -> Exit {
    let snapshot = match args.files.load() {
        Ok(snapshot) => snapshot,
        Err(exit) => return exit,
    };
    let snapshot = &snapshot;
    let explained = Hypothesis::of(snapshot, &args.stated, &args.method, &args.path).and_then(|hypothesis| {
        let assumed = hypothesis.assumed.clone();
        hypothesis
            .decide(snapshot, |view, ruling| Explained::of(snapshot, &args.stated, view, ruling, assumed))
    });
    match explained {
        Ok(explained) => {
            print(
                match args.format {
                    Format::Human => explained.human(),
                    Format::Json => explained.machine(),
                }
                .trim_end(),
            );
            if explained.status == 200 { Exit::Yes } else { Exit::No }
        }
        Err(unposed) => {
            tell(&format!("error: {}", unposed.why));
            unposed.exit
        }
    }
}

/// A ruling in words.
struct Explained {
    status: u16,
    reason: String,
    rules: String,
    assumed: Vec<String>,
    steps: Vec<Step>,
    others: Option<String>,
}

impl Explained {
    fn of(
        snapshot: &Snapshot,
        stated: &Stated,
        view: &RequestView<'_>,
        ruling: Ruling,
        assumed: Vec<String>,
    ) -> Self {
        let (permit, rejection, evidence): (_, Option<Rejection>, Evidence) = match ruling {
            Ruling::Permit(permit, evidence) => (Some(permit), None, evidence),
            Ruling::Refuse(rejection, evidence) => (None, Some(rejection), evidence),
            Ruling::Ask(_) => (None, Some(Rejection::Unanswered), Evidence::default()),
        };
        let mut steps = trace::steps(snapshot, view, &evidence);
        steps.extend(permit.iter().flat_map(|permit| carried::carried(snapshot, permit, &evidence)));
        if let Some(Rejection::MethodNotAllowed { .. }) = rejection {
            steps.extend(beside::beforehand(snapshot, view));
        }
        let reason = evidence.verdict.map(|verdict| verdict.reason);
        let refused = rejection.as_ref().map(Rejection::reason);
        Self {
            status: rejection.as_ref().map_or(200, |own| own.status().as_u16()),
            reason: reason.or(refused).unwrap_or("allowed").to_owned(),
            rules: snapshot.hash.get(..8).unwrap_or(&snapshot.hash).to_owned(),
            assumed,
            steps,
            others: rejection.and_then(|own| {
                let who = who_could(snapshot, &own, &evidence).or_else(|| hint(stated, &own));
                let unknown = unstated(snapshot, view, &evidence);
                let all: Vec<_> = who.into_iter().chain(unknown).collect();
                (!all.is_empty()).then(|| all.join("\n   "))
            }),
        }
    }

    fn human(&self) -> String {
        let mut text = String::new();
        let word = if self.status == 200 { "ALLOW" } else { "DENY" };
        let status = if self.status == 200 { String::new() } else { format!("  {}", self.status) };
        // Writing to a String can't fail.
        let _ = writeln!(text, "{word}{status}  {:<52} rules {}", self.reason, self.rules);
        if !self.assumed.is_empty() {
            let _ = writeln!(text, "   taken for granted: {}", self.assumed.join(", "));
        }
        for (number, step) in (1..).zip(&self.steps) {
            let place = step.place.as_ref().map(|place| format!("   {place}")).unwrap_or_default();
            let _ = writeln!(text, "{number:>2} {:<9} {}{place}", step.stage, step.text);
            for test in &step.tests {
                let mark = match test.truth {
                    Truth::Holds => "holds",
                    Truth::Fails => "FAILS",
                    Truth::Unknown => "UNKNOWN",
                };
                let _ = writeln!(
                    text,
                    "             {:<8} {}: {}    {}",
                    mark, test.condition, test.text, test.values
                );
            }
        }
        if let Some(others) = &self.others {
            let _ = writeln!(text, "   {others}");
        }
        text
    }

    fn machine(&self) -> String {
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|step| {
                let tests: Vec<_> = step
                    .tests
                    .iter()
                    .map(|test| json!({ "condition": test.condition, "test": test.text, "values": test.values, "truth": trace::word(test.truth) }))
                    .collect();
                json!({ "stage": step.stage, "text": step.text, "place": step.place.as_deref(), "tests": tests })
            })
            .collect();
        let document = json!({
            "schema": "gatewarden.explain/1",
            "effect": if self.status == 200 { "allow" } else { "deny" },
            "status": self.status,
            "reason": self.reason,
            "rules": self.rules,
            "assumed": self.assumed,
            "steps": steps,
            "others": self.others,
        });
        format!("{document:#}")
    }
}
