//! A tenant's `seats` and `time-zone`.

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{Entry, Fields, Node};
use crate::seat::{Over, PERSONS_MAX, Seats};
use crate::zone::Zone;

/// How many seats there are, and what follows when there are too few.
pub(super) fn seats(entry: &Entry, diagnostics: &mut Diagnostics) -> Seats {
    let Some(table) = entry.value.table(diagnostics) else { return Seats::default() };
    let mut fields = Fields::new(table);
    let named = fields.take("named").and_then(|node| number(node, diagnostics));
    let concurrent = fields.take("concurrent").and_then(|node| number(node, diagnostics));
    let over = fields.take("over").and_then(|node| over(node, diagnostics)).unwrap_or_default();
    fields.finish(diagnostics);
    if table.get("named").is_none() && table.get("concurrent").is_none() {
        diagnostics.push(
            Diagnostic::error(code::MISSING, "no number of seats")
                .at(entry.span, "needs `named`, `concurrent` or both")
                .help("leave `seats` out to have people counted and nobody over"),
        );
    }
    Seats { named, concurrent, over }
}

/// What a row says of whom it keeps out, and when: a file that is cut off before it would let in more than the whole one,
/// unless something that must be there comes after it.
pub(super) fn check_place(entry: &Entry, after: Span, diagnostics: &mut Diagnostics) {
    if entry.value.span.end > after.start {
        let key = &entry.key;
        diagnostics.push(
            Diagnostic::error(code::ORDER, format!("`{key}` stands last"))
                .at(entry.span, "a file that is cut off here would be without it")
                .help(format!("write `{key}` above `apps`")),
        );
    }
}

fn number(node: &Node, diagnostics: &mut Diagnostics) -> Option<u32> {
    let value = node.int(diagnostics)?;
    let number = u32::try_from(value).ok().filter(|number| *number as usize <= PERSONS_MAX);
    if number.is_none() {
        let message = format!("a number of seats is between 0 and {PERSONS_MAX}");
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(node.span, ""));
    }
    number
}

fn over(node: &Node, diagnostics: &mut Diagnostics) -> Option<Over> {
    let text = node.text(diagnostics)?;
    let found = Over::ALL.into_iter().find(|over| over.as_str() == text.value);
    if found.is_none() {
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, format!("`{}` is nothing that can follow", text.value))
                .at(text.inner(), "for people without a seat")
                .nearest(text.inner(), text.value, Over::ALL.map(Over::as_str)),
        );
    }
    found
}

/// Where the tenant's months begin.
pub(super) fn zone(node: &Node, diagnostics: &mut Diagnostics) -> Option<Zone> {
    let text = node.text(diagnostics)?;
    let found = Zone::named(text.value);
    if found.is_none() {
        let names = Zone::names();
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, format!("unknown time zone `{}`", text.value))
                .at(text.inner(), "not a name of IANA's")
                .nearest(text.inner(), text.value, names.iter().map(String::as_str)),
        );
    }
    found
}
