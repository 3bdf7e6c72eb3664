//! `[limit]`: how often each address, each acting tenant and each person who holds a role may come.

use std::sync::Arc;

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{Entry, Fields, Node, Text};
use super::Draft;
use crate::budget::{Kind, Limit, NUMBER_MAX, Per, Rate};
use crate::policy::limit::Limits;

/// The rates while the file is read: roles stand below them.
#[derive(Debug, Default)]
pub(super) struct LimitsDraft {
    address: Option<Arc<Limit>>,
    tenant: Option<Arc<Limit>>,
    roles: Vec<RoleRate>,
}

#[derive(Debug)]
struct RoleRate {
    role: Box<str>,
    span: Span,
    rate: Rate,
}

/// Reads `[limit]`.
pub(super) fn read(draft: &mut Draft<'_>, entry: Option<&Entry>, diagnostics: &mut Diagnostics) {
    let Some(entry) = entry else { return };
    let Some(table) = entry.value.table(diagnostics) else { return };
    let mut fields = Fields::new(table);
    let (address, tenant) = (fields.entry("address"), fields.entry("tenant"));
    let roles = fields.entry("role");
    fields.finish(diagnostics);
    if table.entries.is_empty() {
        diagnostics.push(
            Diagnostic::error(code::RATE, "`[limit]` limits nothing")
                .at(entry.span, "expected `address`, `tenant` or `role.NAME`"),
        );
    }
    let whole = |kind: Kind, own: Option<&Entry>, diagnostics: &mut Diagnostics| {
        let own = own?;
        let rate = rate(&own.value, diagnostics)?;
        Some(Arc::new(Limit::new(&draft.name, kind, "", rate, draft.place(own.span))))
    };
    let address = whole(Kind::Address, address, diagnostics);
    let tenant = whole(Kind::Tenant, tenant, diagnostics);
    let rows = roles.and_then(|own| match own.value.as_text() {
        // What is limited would be everyone, whatever they are.
        Some(text) => {
            let message = "`role` is a rate for each role, by name";
            diagnostics.push(
                Diagnostic::error(code::RATE, message).at(text.span, "expected `role.NAME = \"10/s\"`"),
            );
            None
        }
        None => own.value.table(diagnostics),
    });
    let role = |own: &Entry| {
        let rate = rate(&own.value, diagnostics)?;
        Some(RoleRate { role: own.key.as_str().into(), span: Text::of_key(own).inner(), rate })
    };
    let roles = rows.map_or(&[][..], |rows| &rows.entries).iter().filter_map(role).collect();
    draft.limits = LimitsDraft { address, tenant, roles };
}

/// `200/s`, or `200/s burst 400`. Without a burst, what the rate counts may come at once.
fn rate(node: &Node, diagnostics: &mut Diagnostics) -> Option<Rate> {
    let text = node.text(diagnostics)?;
    let mut words = text.value.split(' ').filter(|word| !word.is_empty());
    let (first, second, third, more) = (words.next(), words.next(), words.next(), words.next());
    let mut wrong = |part: &str, message: String| -> Option<Rate> {
        let span = if part.is_empty() { text.inner() } else { text.part(part) };
        diagnostics.push(
            Diagnostic::error(code::RATE, message).at(span, "expected such as `200/s` or `200/m burst 50`"),
        );
        None
    };
    let Some(first) = first else {
        return wrong("", "a rate says how many requests in how much time".into());
    };
    let Some((count, unit)) = first.split_once('/') else {
        return wrong(first, format!("`{first}` doesn't say in how much time"));
    };
    let Some(per) = Per::parse(unit) else {
        return wrong(if unit.is_empty() { first } else { unit }, "a rate is by `s`, `m` or `h`".into());
    };
    let burst = match (second, third, more) {
        (None, ..) => count,
        (Some("burst"), Some(burst), None) => burst,
        (Some("burst"), Some(_), Some(odd)) => return wrong(odd, format!("`{odd}` means nothing here")),
        (Some(word @ "burst"), None, _) => {
            return wrong(word, "`burst` is followed by a number".into());
        }
        (Some(odd), ..) => return wrong(odd, format!("`{odd}` means nothing here")),
    };
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|own| plain && (1..=NUMBER_MAX).contains(own))
    };
    let range = || format!("a whole number from 1 to {NUMBER_MAX}");
    let Some(counted) = number(count) else {
        let hint = if count == "0" { "; what nobody may do isn't granted" } else { "" };
        return wrong(if count.is_empty() { first } else { count }, format!("a rate is {}{hint}", range()));
    };
    let Some(burst) = number(burst).or_else(|| (burst == count).then_some(counted)) else {
        return wrong(burst, format!("a burst is {}", range()));
    };
    Rate::new(counted, per, burst)
}

/// Every role that has a rate is one.
pub(super) fn check(draft: &Draft<'_>, diagnostics: &mut Diagnostics) {
    for own in &draft.limits.roles {
        if !draft.roles.iter().any(|role| *role.name == *own.role) {
            let names = draft.roles.iter().map(|role| &*role.name);
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_ROLE, format!("unknown role `{}`", own.role))
                    .at(own.span, "no [role] and no column of [matrix] is called so")
                    .nearest(own.span, &own.role, names),
            );
        }
    }
}

/// The rates, by the roles' places.
pub(super) fn finish(draft: &Draft<'_>) -> Option<Box<Limits>> {
    let own = &draft.limits;
    let role = |own: &RoleRate| {
        let index = draft.roles.iter().position(|role| *role.name == *own.role)?;
        let place = draft.place(own.span);
        Some((index, Arc::new(Limit::new(&draft.name, Kind::Role, &own.role, own.rate, place))))
    };
    let limits = Limits {
        address: own.address.clone(),
        tenant: own.tenant.clone(),
        roles: own.roles.iter().filter_map(role).collect(),
    };
    let says = limits.address.is_some() || limits.tenant.is_some() || !limits.roles.is_empty();
    says.then(|| Box::new(limits))
}
