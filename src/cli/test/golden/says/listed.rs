//! Lists of what a role is granted: `View (A, B), Manage (A)`, `View and manage (all resources) except for A`, or a line with
//! a bullet for each resource. What a list leaves out isn't granted.

use super::super::names::{Kind, Names};
use super::super::sheet::Text;
use super::super::word::{self, Limit};
use super::{Saying, Says};
use crate::config::diagnostic::code;
use crate::config::{Diagnostic, Diagnostics, Span};

/// What marks a line as one of a list.
const BULLETS: [char; 5] = ['·', '•', '‣', '-', '–'];

/// Reads a cell of a role's row.
pub(super) fn read(
    names: &Names<'_>,
    cell: &Text,
    role: &str,
    into: &mut Vec<Saying>,
    diagnostics: &mut Diagnostics,
) {
    let mut granted: Vec<(String, Option<String>)> = Vec::new();
    let list = List { names, cell };
    if cell.text.trim_start().starts_with(|own: char| own.is_alphabetic()) && list.begins_with_scope() {
        list.grouped(&mut granted, diagnostics);
    } else {
        list.bulleted(&mut granted, diagnostics);
    }
    if granted.is_empty() {
        let message = format!("nothing is listed for `{role}`");
        diagnostics
            .push(Diagnostic::error(code::BAD_VALUE, message).at(cell.span, "expected names of resources"));
    }
    let is_granted = |resource: &str, scope: &str| {
        granted.iter().any(|(own, of)| own == resource && of.as_ref().is_none_or(|of| of == scope))
    };
    let mut add = |resource: &str, scope: &str, says: Says| {
        let text = if says == Says::No { "not listed" } else { "listed" };
        let (span, text) = (cell.span, text.to_owned());
        let (resource, scope) = (resource.to_owned(), scope.to_owned());
        into.push(Saying { span, text, role: Some(role.to_owned()), resource, scope, says });
    };
    for (_, own) in &names.app.permissions {
        let says = if is_granted(&own.resource, &own.scope) { Says::Yes(Limit::None) } else { Says::No };
        add(&own.resource, &own.scope, says);
    }
    // What the document grants and the rules don't have at all.
    for (resource, scope) in granted.iter().filter_map(|(own, scope)| Some((own, scope.as_ref()?))) {
        if !names.scopes(resource).contains(&scope.as_str()) {
            add(resource, scope, Says::Yes(Limit::None));
        }
    }
}

struct List<'l> {
    names: &'l Names<'l>,
    cell: &'l Text,
}

impl List<'_> {
    fn begins_with_scope(&self) -> bool {
        let words = self.cell.text.split(['(', ',']).next().unwrap_or_default();
        let first = words.split(" and ").next().unwrap_or_default();
        self.names.find(Kind::Scope, first).is_some()
    }

    /// `View (A, B), Manage (all) except for C`.
    fn grouped(&self, into: &mut Vec<(String, Option<String>)>, diagnostics: &mut Diagnostics) {
        let mut rest = self.cell.text.as_str();
        while let Some((before, after)) = rest.split_once('(') {
            let Some((inside, behind)) = after.split_once(')') else {
                let message = "a bracket isn't closed";
                diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(self.cell.span, ""));
                return;
            };
            let before = before.trim_start_matches([',', ';', '.', ' ', '*']);
            let scopes: Vec<&str> = word::names(before)
                .iter()
                .filter_map(|name| self.named(Kind::Scope, name, "scope", diagnostics))
                .collect();
            let (except, behind) = except(behind);
            let except: Vec<&str> = except
                .iter()
                .filter_map(|name| self.named(Kind::Resource, name, "resource", diagnostics))
                .collect();
            for resource in self.inside(inside, diagnostics).into_iter().filter(|own| !except.contains(own)) {
                into.extend(scopes.iter().filter_map(|scope| {
                    // Of all, only what there is.
                    let there = !is_all(inside) || self.names.scopes(resource).contains(scope);
                    there.then(|| (resource.to_owned(), Some((*scope).to_owned())))
                }));
            }
            rest = behind;
        }
        let left = rest.trim_matches(['.', ',', ';', '*', ' ']);
        if !left.is_empty() {
            self.names.unknown((self.place(left), left), &[Kind::Scope], "list of a scope", diagnostics);
        }
    }

    fn inside(&self, inside: &str, diagnostics: &mut Diagnostics) -> Vec<&str> {
        if is_all(inside) {
            let mut all = self.names.all(Kind::Resource);
            all.retain(|own| !self.names.additions.iter().any(|other| other == own));
            return all;
        }
        let names = word::names(inside);
        names.iter().filter_map(|name| self.named(Kind::Resource, name, "resource", diagnostics)).collect()
    }

    /// A line with a bullet for each; other lines are prose.
    fn bulleted(&self, into: &mut Vec<(String, Option<String>)>, diagnostics: &mut Diagnostics) {
        let lines = self.cell.text.lines().map(str::trim).filter(|line| line.starts_with(BULLETS));
        for line in lines {
            let name = line.trim_start_matches(BULLETS).trim();
            let found = self.named(Kind::Resource, name, "resource", diagnostics);
            into.extend(found.map(|own| (own.to_owned(), None)));
        }
    }

    fn named(&self, kind: Kind, name: &str, what: &str, diagnostics: &mut Diagnostics) -> Option<&str> {
        let found = self.names.find(kind, name);
        if found.is_none() {
            self.names.unknown((self.place(name), name), &[kind], what, diagnostics);
        }
        found
    }

    /// Where a part of the cell stands, as far as the cell's text is the file's.
    fn place(&self, part: &str) -> Span {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(0);
        let length = (self.cell.span.end - self.cell.span.start) as usize;
        match self.cell.text.find(part).filter(|_| self.cell.text.len() == length) {
            Some(at) => {
                let start = self.cell.span.start + narrow(at);
                Span { start, end: start + narrow(part.len()), ..self.cell.span }
            }
            None => self.cell.span,
        }
    }
}

fn is_all(inside: &str) -> bool {
    ["all", "allresources", "everything"].contains(&super::letters(inside).as_str())
}

/// `except for the A and B`, and what stands behind.
fn except(behind: &str) -> (Vec<String>, &str) {
    let text = behind.trim_start();
    let Some(text) = text.strip_prefix("except") else { return (Vec::new(), behind) };
    let end = text.find([',', ';', '.', '(']).unwrap_or(text.len());
    let (named, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let named = named.trim().trim_start_matches("for ").trim_start_matches("the ");
    (word::names(named), rest)
}
