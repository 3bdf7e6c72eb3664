//! A difference in words: for a terminal, and for a comment on a change.

use std::fmt::Write as _;

use super::{Access, Answer, Effect, Outcome, SnapshotDiff, Witness};
use crate::analysis::posed::{Caller, Posed};
use crate::policy::lookup::LookedUp;

/// Rows that are shown of a kind before the rest is counted.
const ROWS_MAX: usize = 200;
/// Operations that are named in a row before the rest is counted.
const OPERATIONS_MAX: usize = 6;
/// Tenants that are named in a row before the rest is counted.
const TENANTS_MAX: usize = 5;

impl SnapshotDiff {
    /// For a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        if self.is_empty() {
            return format!("{}\n", self.nothing());
        }
        for effect in [Effect::Widens, Effect::Narrows, Effect::Neither] {
            let rows: Vec<&Access> = self.access.iter().filter(|own| own.effect == effect).collect();
            let settings: Vec<_> = self.settings.iter().filter(|own| own.effect == effect).collect();
            if rows.is_empty() && settings.is_empty() {
                continue;
            }
            let _ = writeln!(text, "{}", heading(effect));
            for row in rows.iter().take(ROWS_MAX) {
                let _ = writeln!(text, "  {}", row.sentence());
                row.places()
                    .into_iter()
                    .chain(row.example())
                    .for_each(|line| text += &format!("      {line}\n"));
            }
            settings.iter().take(ROWS_MAX).for_each(|own| text += &format!("  {}: {}\n", own.of, own.text));
            let more = rows.len().saturating_sub(ROWS_MAX) + settings.len().saturating_sub(ROWS_MAX);
            if more > 0 {
                let _ = writeln!(text, "  and {more} more; --format json has them all");
            }
            text.push('\n');
        }
        let _ = writeln!(text, "{}", self.verdict());
        text
    }

    /// For a comment on a change.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!("### What this change does\n\n{}\n", self.verdict());
        for effect in [Effect::Widens, Effect::Narrows, Effect::Neither] {
            let rows: Vec<&Access> = self.access.iter().filter(|own| own.effect == effect).collect();
            let settings: Vec<_> = self.settings.iter().filter(|own| own.effect == effect).collect();
            if rows.is_empty() && settings.is_empty() {
                continue;
            }
            let _ = write!(text, "\n#### {}\n\n", heading(effect));
            if !rows.is_empty() {
                text.push_str("| app | who | | what | when | rule |\n|---|---|---|---|---|---|\n");
            }
            for row in rows.iter().take(ROWS_MAX) {
                let place = row.places().join("<br>");
                let cells = [&*row.app, &row.who, row.verb(), &row.what(), &row.when_and_where(), &place];
                let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
                let _ = writeln!(text, "| {} |", cells.join(" | "));
            }
            if !rows.is_empty() && !settings.is_empty() {
                text.push('\n');
            }
            for own in settings.iter().take(ROWS_MAX) {
                let _ = writeln!(text, "- {}: {}", own.of, own.text.replace('|', "\\|"));
            }
            let more = rows.len().saturating_sub(ROWS_MAX) + settings.len().saturating_sub(ROWS_MAX);
            if more > 0 {
                let _ = writeln!(text, "\nand {more} more");
            }
        }
        text
    }

    /// That nothing is different, as far as that is known.
    fn nothing(&self) -> String {
        if self.not_compared.is_empty() {
            return "nothing is different: every request is decided as before".to_owned();
        }
        format!("nothing is different in what was compared{}", self.left_out())
    }

    fn left_out(&self) -> String {
        match &*self.not_compared {
            [] => String::new(),
            names => format!("; not compared: contents of {}", names.join("; ")),
        }
    }

    /// One sentence for all of it.
    #[must_use]
    pub fn verdict(&self) -> String {
        let [gains, loses, differently] = self.counts();
        let may = match (self.widens(), self.narrows()) {
            (true, true) => "it widens, and it narrows",
            (true, false) => "it widens",
            (false, true) => "it only narrows",
            (false, false) => "nobody may do more or less",
        };
        let unconfirmed = self.access.iter().filter(|own| !own.is_confirmed()).count();
        let doubt = if unconfirmed == 0 {
            String::new()
        } else {
            format!("; {unconfirmed} rows couldn't be confirmed by a request and count as widening")
        };
        format!(
            "{may}: {gains} gained, {loses} lost, {differently} answered differently, {} {}{doubt}{}",
            self.settings.len(),
            if self.settings.len() == 1 { "setting" } else { "settings" },
            self.left_out()
        )
    }
}

fn heading(effect: Effect) -> &'static str {
    match effect {
        Effect::Widens => "WIDENS: someone may do more, or it can't be proven that nobody may",
        Effect::Narrows => "NARROWS: someone may do less",
        Effect::Neither => "NEITHER: told for completeness, or by rows above",
    }
}

impl Access {
    /// `supervisor gains supervisor-dashboard#view (GET /dashboards), always`.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{}: {} {} {}, {}", self.app, self.who, self.verb(), self.what(), self.when_and_where())
    }

    fn verb(&self) -> &'static str {
        match (self.decided, self.outcome) {
            (false, _) => "may gain",
            (true, Outcome::Gains) => "gains",
            (true, Outcome::Loses) => "loses",
            (true, Outcome::Differently) => "keeps",
        }
    }

    fn what(&self) -> String {
        let mut operations: Vec<String> = self.operations.iter().take(OPERATIONS_MAX).cloned().collect();
        if self.operations.len() > OPERATIONS_MAX {
            operations.push(format!("{} more", self.operations.len() - OPERATIONS_MAX));
        }
        let operations = operations.join(", ");
        let mut what = if self.permission.is_empty() {
            operations
        } else {
            format!("{} ({operations})", self.permission)
        };
        if self.wildcard {
            what.push_str(" by a `*` that newly covers it");
        }
        if !self.detail.is_empty() {
            let _ = write!(what, ": {}", self.detail);
        }
        what
    }

    fn when_and_where(&self) -> String {
        let when = match self.when.as_slice() {
            [] => "always".to_owned(),
            all => all.join(", or "),
        };
        if self.tenants.is_empty() {
            return when;
        }
        let mut tenants: Vec<String> =
            self.tenants.iter().take(TENANTS_MAX).map(ToString::to_string).collect();
        if self.tenants.len() > TENANTS_MAX {
            tenants.push(format!("{} more", self.tenants.len() - TENANTS_MAX));
        }
        format!("{when}, for tenant {}", tenants.join(", "))
    }

    /// Where the rules stand that decide, on either side.
    fn places(&self) -> Vec<String> {
        let Some(Witness { old, new, .. }) = &self.witness else { return Vec::new() };
        let place = |side: &str, own: &Answer| own.rule.as_ref().map(|rule| format!("{side} {rule}"));
        [place("old", old), place("new", new)].into_iter().flatten().collect()
    }

    fn example(&self) -> Vec<String> {
        let Some(Witness { posed, old, new }) = &self.witness else {
            return vec!["not confirmed: no request could be made that shows it".to_owned()];
        };
        let answer = |own: &Answer| match (own.allowed, own.says.first()) {
            (true, _) => "allowed".to_owned(),
            (false, Some(why)) => format!("refused ({why})"),
            (false, None) => "refused".to_owned(),
        };
        let sure = if self.is_confirmed() { "for example" } else { "not confirmed by" };
        vec![format!("{sure} {}: was {}, is {}", shown(posed), answer(old), answer(new))]
    }
}

/// A request in one line.
fn shown(posed: &Posed) -> String {
    let mut text = match &posed.event {
        Some(event) => format!("EMIT {}", event.name),
        None => format!("{} {}", posed.method, posed.target),
    };
    for (name, value) in &posed.headers {
        let _ = write!(text, " {name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    if let Some(body) = posed.body.as_deref().filter(|own| own.as_object().is_none_or(|own| !own.is_empty()))
    {
        let _ = write!(text, " body {body}");
    }
    match &posed.caller {
        Caller::Nobody => text.push_str(" without a token"),
        Caller::Claims(_, claims) => text += &format!(" by {}", serde_json::Value::Object(claims.clone())),
        Caller::Verified(token) => text += &format!(" by {}", token.subject()),
    }
    for own in &posed.answers {
        if let LookedUp::Found(found) = &own.answer {
            let _ = write!(text, ", {} = {found}", own.look_up);
        }
    }
    if !posed.client.is_unspecified() {
        let _ = write!(text, ", from {}", posed.client);
    }
    text
}
