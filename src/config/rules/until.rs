//! Grants that end: `name until 2027-01-31`. The day itself still counts, in the tenant's own calendar.

use jiff::civil::Date;

use super::super::diagnostic::{Diagnostic, Diagnostics, code};
use super::super::raw::Text;
use super::Draft;
use crate::fact::{Literal, Mark};
use crate::policy::{Condition, Leaf, Named, Operand, Operator};

/// How many days ahead the end of a grant is told.
const TOLD_DAYS: i32 = 30;

/// What stands before `until`, and the day after it, if there is one.
pub(in super::super) fn split(value: &str) -> (&str, Option<&str>) {
    let tail = value.strip_suffix(" until").map(|before| (before, ""));
    match tail.or_else(|| value.rsplit_once(" until ")) {
        Some((before, day)) => (before.trim_end(), Some(day.trim())),
        None => match value.strip_prefix("until ") {
            Some(day) => ("", Some(day.trim())),
            None => (value, None),
        },
    }
}

/// The condition that holds until a day has passed, one a day for the whole file. A grant that ends soon is told of.
pub(super) fn condition(
    draft: &mut Draft<'_>,
    text: Text<'_>,
    day: &str,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let day = read(text, day, diagnostics)?;
    tell(draft, text, day, diagnostics);
    let place = draft.place(text.span);
    draft.ends.push((day, place.clone()));
    if let Some(known) = draft.untils.get(&day) {
        return Some(*known);
    }
    let fact = draft.fact("client.time")?;
    let operand = Operand::Literal(Literal::Time(Mark::Day(day)));
    let condition = Condition::Leaf(Leaf { fact, operator: Operator::AtMost, operand });
    let index = draft.conditions.len();
    draft.conditions.push(Named { name: format!("until {day}").into(), condition, place });
    draft.untils.insert(day, index);
    Some(index)
}

/// The condition of a day that some grant of the file ends on.
pub(super) fn known(
    draft: &Draft<'_>,
    text: Text<'_>,
    day: &str,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let day = read(text, day, diagnostics)?;
    let found = draft.untils.get(&day).copied();
    if found.is_none() {
        let message = format!("no grant of this file ends on {day}");
        diagnostics.push(Diagnostic::error(code::UNKNOWN_CONDITION, message).at(text.inner(), ""));
    }
    found
}

fn read(text: Text<'_>, day: &str, diagnostics: &mut Diagnostics) -> Option<Date> {
    if let Some(Mark::Day(date)) = Mark::parse(day) {
        return Some(date);
    }
    let span = if day.is_empty() { text.inner() } else { text.part(day) };
    diagnostics.push(
        Diagnostic::error(code::BAD_VALUE, format!("`{day}` is no day"))
            .at(span, "expected a day of the calendar, such as `until 2027-01-31`"),
    );
    None
}

fn tell(draft: &Draft<'_>, text: Text<'_>, day: Date, diagnostics: &mut Diagnostics) {
    let Some(left) = draft.today.and_then(|today| today.until(day).ok()).map(|span| span.get_days()) else {
        return;
    };
    let days = |count: i32| format!("{count} {}", if count == 1 { "day" } else { "days" });
    let (message, label) = match left {
        ..0 => (format!("this grant ended on {day}, {} ago", days(-left)), "grants nothing any more"),
        0 => (format!("this grant ends today, {day}"), "the day itself still counts"),
        1..=TOLD_DAYS => {
            (format!("this grant ends in {}, after {day}", days(left)), "the day itself still counts")
        }
        _ => return,
    };
    diagnostics.push(Diagnostic::warning(code::GRANT_ENDS, message).at(text.inner(), label));
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn what_stands_after_until_is_a_day() {
        for (value, wanted) in [
            ("orders", ("orders", None)),
            ("orders until 2027-01-31", ("orders", Some("2027-01-31"))),
            ("orders if a, b until 2027-01-31", ("orders if a, b", Some("2027-01-31"))),
            ("yes until soon", ("yes", Some("soon"))),
            ("orders until", ("orders", Some(""))),
            ("until 2027-01-31", ("", Some("2027-01-31"))),
        ] {
            assert_eq!(split(value), wanted, "{value}");
        }
    }
}
