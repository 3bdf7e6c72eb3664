//! What came of the tables, for a person, for a program, and as the JUnit report that pipelines read.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::sum::{Coverage, Suite, Sum, Test};

// Writing to a String can't fail, so what `write!` answers is dropped.

/// For a person.
pub(super) fn human(sum: &Sum, uncovered: bool) -> String {
    let mut text = String::new();
    for (suite, test) in sum.failed() {
        for what in &test.wrong {
            let place = place(suite, test);
            let _ = writeln!(text, "FAIL  {what}\n      {}\n      {place}", test.says);
        }
    }
    if let Some(coverage) = sum.coverage.as_ref().filter(|_| uncovered) {
        for (app, own) in &coverage.untried {
            let _ = writeln!(text, "untried  {:<7}  {app}: {}  {}", own.kind, own.text, own.place);
        }
    }
    lines(sum).iter().for_each(|line| {
        let _ = writeln!(text, "{line}");
    });
    text.trim_end().to_owned()
}

fn lines(sum: &Sum) -> Vec<String> {
    let failed = sum.failed().count();
    let none = |what: &str| match failed {
        0 => what.to_owned(),
        failed => format!("{failed} not obeyed"),
    };
    if sum.partial {
        return vec![format!("{} run: {}", counted(sum.tests(), "test"), none("all obeyed"))];
    }
    let mut lines = Vec::new();
    if !sum.documents.is_empty() {
        lines.push(format!(
            "{} cells and {} sentences of {} checked, in {} cases and {} requests: none skipped, {}",
            sum.cells,
            sum.sentences,
            counted(sum.documents.len(), "document"),
            sum.cases,
            sum.requests,
            none("all obeyed")
        ));
    }
    if sum.tables > 0 {
        let (answers, tables) = (counted(sum.answers, "answer"), counted(sum.tables, "table"));
        lines.push(format!("{answers} of {tables} checked: {}", none("all obeyed")));
    }
    for own in &sum.golden {
        lines.push(format!(
            "{}: {} of {} cells, {} named in [reading]",
            own.path,
            own.held,
            own.cells,
            counted(own.departures, "departure")
        ));
    }
    lines.extend(sum.coverage.as_ref().map(coverage));
    lines
}

fn coverage(own: &Coverage) -> String {
    let (tried, parts, percent) = (own.tried(), own.parts, own.percent());
    match own.untried.len() {
        0 => format!("{tried} of {parts} grants, requirements and obligations tried ({percent} %)"),
        left => format!(
            "{tried} of {parts} grants, requirements and obligations tried ({percent} %); --uncovered lists the other {left}"
        ),
    }
}

/// `1 table`, `2 tables`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("{count} {what}") } else { format!("{count} {what}s") }
}

fn place(suite: &Suite, test: &Test) -> String {
    format!("{}:{}", suite.path, test.line)
}

/// For a program.
pub(super) fn machine(sum: &Sum) -> String {
    let failures: Vec<Value> = sum
        .failed()
        .flat_map(|(suite, test)| {
            let place = place(suite, test);
            test.wrong.iter().map(move |what| json!({ "at": place, "says": test.says, "what": what }))
        })
        .collect();
    let golden = sum.golden.iter().map(
        |own| json!({ "file": own.path, "cells": own.cells, "held": own.held, "departures": own.departures }),
    );
    let coverage = sum.coverage.as_ref().map(|own| {
        let untried = own
            .untried
            .iter()
            .map(|(app, own)| json!({ "app": app, "kind": own.kind, "what": own.text, "at": &*own.place }));
        json!({
            "tried": own.tried(), "of": own.parts, "percent": own.percent(),
            "untried": untried.collect::<Vec<_>>(),
        })
    });
    let document = json!({
        "schema": "gatewarden.test/1",
        "ok": failures.is_empty() && sum.tests() > 0,
        "tests": sum.tests(),
        "documents": sum.documents,
        "cells": sum.cells,
        "sentences": sum.sentences,
        "cases": sum.cases,
        "requests": sum.requests,
        "tables": sum.tables,
        "answers": sum.answers,
        "golden": golden.collect::<Vec<_>>(),
        "coverage": coverage,
        "failures": failures,
    });
    format!("{document:#}")
}

/// For a pipeline: a suite for each file, a case for each request or cell.
pub(super) fn junit(sum: &Sum) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (tests, failed) = (sum.tests(), sum.failed().count());
    let _ = writeln!(text, "<testsuites name=\"gatewarden test\" tests=\"{tests}\" failures=\"{failed}\">");
    for suite in &sum.suites {
        let failed = suite.tests.iter().filter(|test| !test.wrong.is_empty()).count();
        let (path, tests) = (escaped(&suite.path), suite.tests.len());
        let _ = writeln!(
            text,
            "  <testsuite name=\"{path}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\">"
        );
        suite.tests.iter().for_each(|test| testcase(&mut text, suite, test));
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>");
    text
}

fn testcase(text: &mut String, suite: &Suite, test: &Test) {
    let name = escaped(&format!("{}: {}", test.name, test.request));
    let (app, path) = (escaped(&suite.app), escaped(&suite.path));
    let _ = write!(
        text,
        "    <testcase classname=\"{app}\" name=\"{name}\" file=\"{path}\" line=\"{}\"",
        test.line
    );
    if test.wrong.is_empty() {
        text.push_str("/>\n");
        return;
    }
    text.push_str(">\n");
    let more = escaped(&format!("{}\n{}", test.says, place(suite, test)));
    let _ = writeln!(
        text,
        "      <failure message=\"{}\">{more}</failure>\n    </testcase>",
        escaped(&test.wrong.join("; "))
    );
}

/// For XML 1.0, which has no place for most control characters at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for own in text.chars() {
        match own {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            own if own.is_control() || matches!(own, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            own => out.push(own),
        }
    }
    out
}
