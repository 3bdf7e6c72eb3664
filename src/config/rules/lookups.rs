//! What an app is asked about itself, and what of JSON documents its conditions may read: the namespaces of look-ups with
//! their paths, and the members of answers and of bodies.

use std::sync::Arc;
use std::time::Duration;

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::gateway::duration;
use super::super::raw::{Entry, Fields, Node, Raw, Table, Text};
use super::{Draft, facts};
use crate::fact::{Default, Fact, Source, Type};
use crate::json::Pointer;
use crate::policy::LOOK_UPS_MAX;
use crate::policy::obligation::{LookUp, Piece};
use crate::route::{Template, Verb};

/// Longest that an answer may count.
const TTL_MAX: Duration = Duration::from_secs(3600);
/// Longest that an answer may be waited for, and how long it is unless the file says.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(2);
/// What a look-up's table has beside its facts.
const KEYS: [&str; 4] = ["get", "ttl", "timeout", "forget"];

/// A look-up while the file is read.
#[derive(Debug)]
pub(super) struct LookUpDraft {
    pub(super) name: Box<str>,
    pub(super) span: Span,
    /// Its path from the root, with a parameter where a value stands.
    pub(super) template: Template,
    pub(super) segments: Vec<Asked>,
    pub(super) ttl: Duration,
    pub(super) timeout: Duration,
    pub(super) forget: Vec<(Verb, Template, Span)>,
}

/// One segment of a look-up's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// As it stands.
    Text(Box<str>),
    /// The value of a fact, by index.
    Fact(usize),
}

impl LookUpDraft {
    /// The look-up, bound to its upstream. What is stripped is a whole number of segments.
    pub(super) fn finish(&self, (upstream, strip): (usize, &str), place: Arc<str>) -> LookUp {
        let mut target: Vec<Piece> = Vec::new();
        let mut text = String::new();
        for segment in self.segments.iter().skip(strip.matches('/').count()) {
            text.push('/');
            match segment {
                Asked::Text(own) => text.push_str(own),
                Asked::Fact(fact) => {
                    target.push(Piece::Text(std::mem::take(&mut text).into()));
                    target.push(Piece::Fact(*fact));
                }
            }
        }
        if target.is_empty() && text.is_empty() {
            text.push('/');
        }
        if !text.is_empty() {
            target.push(Piece::Text(text.into()));
        }
        LookUp {
            name: (*self.name).into(),
            target: target.into(),
            upstream,
            ttl: self.ttl,
            timeout: self.timeout,
            place,
        }
    }

    /// The facts that stand in its path.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = usize> {
        self.segments.iter().filter_map(|segment| match segment {
            Asked::Text(_) => None,
            Asked::Fact(fact) => Some(*fact),
        })
    }
}

/// Whether a table of `[facts]` is a look-up's, or was meant to be.
pub(super) fn is_look_up(entry: &Entry) -> bool {
    let Some(table) = entry.value.as_table() else { return false };
    let has_place = |own: &Entry| own.value.as_table().is_some_and(|inner| inner.get("at").is_some());
    table.get("get").is_some() || entry.key != "body" && table.entries.iter().any(has_place)
}

/// Declares the facts of a look-up; its path waits until all facts are declared.
pub(super) fn declare<'n>(
    draft: &mut Draft<'_>,
    entry: &'n Entry,
    defaults: &mut Vec<(usize, &'n Node)>,
    diagnostics: &mut Diagnostics,
) {
    let Some(table) = entry.value.table(diagnostics) else { return };
    let name = &entry.key;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) && !name.is_empty();
    if !plain || facts::RESERVED.contains(&name.as_str()) {
        let message = format!("`{name}` can't be the name of a look-up");
        let why = if plain { "it is a source of facts of its own" } else { "letters, digits, `-` and `_`" };
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(entry.span, why));
        return;
    }
    let look_up = draft.look_ups.len();
    if look_up == LOOK_UPS_MAX {
        let message = format!("an app has at most {LOOK_UPS_MAX} look-ups");
        diagnostics.push(Diagnostic::error(code::LOOK_UP, message).at(entry.span, "one more than that"));
    }
    draft.look_ups.push(LookUpDraft {
        name: name.as_str().into(),
        span: entry.span,
        template: Template::event(""),
        segments: Vec::new(),
        ttl: read_duration(table, "ttl", TTL_MAX, diagnostics).unwrap_or_default(),
        timeout: read_duration(table, "timeout", TIMEOUT_MAX, diagnostics).unwrap_or(TIMEOUT),
        forget: Vec::new(),
    });
    let own = table.entries.iter().filter(|own| !KEYS.contains(&own.key.as_str()));
    let before = draft.facts.len();
    for own in own {
        let index = member(draft, name, own, |at| Source::LookUp { look_up, at }, diagnostics);
        let standing = own.value.as_table().and_then(|inner| inner.get("default"));
        defaults.extend(index.zip(standing.map(|entry| &entry.value)));
    }
    if draft.facts.len() == before {
        let message = format!("look-up `{name}` has no fact");
        let help = "say where in the answer one is: `name = { at = \"/name\", type = \"string\" }`";
        diagnostics.push(Diagnostic::error(code::MISSING, message).at(entry.span, "").help(help));
    }
}

fn read_duration(table: &Table, key: &str, max: Duration, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let text = table.get(key)?.value.text(diagnostics)?;
    match duration(text.value) {
        Ok(value) if value <= max && (key == "ttl" || !value.is_zero()) => Some(value),
        Ok(_) => {
            let message = format!("`{key}` is at most {}s, and a timeout more than nothing", max.as_secs());
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(text.inner(), ""));
            None
        }
        Err(why) => {
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, why).at(text.inner(), ""));
            None
        }
    }
}

/// Declares the facts of `[facts.body]`.
pub(super) fn body(draft: &mut Draft<'_>, table: &Table, diagnostics: &mut Diagnostics) {
    for own in &table.entries {
        member(draft, "body", own, Source::Body, diagnostics);
        if let Some(default) = own.value.as_table().and_then(|inner| inner.get("default")) {
            let message = "a member of a body has no default: the app is given the body as it is";
            diagnostics.push(
                Diagnostic::error(code::UNKNOWN_KEY, message)
                    .at(default.span, "the app would not be given it")
                    .help("a test of an absent member is unknown, and grants nothing"),
            );
        }
    }
}

/// Declares `name = { at = "/member", type = "string" }`.
fn member(
    draft: &mut Draft<'_>,
    namespace: &str,
    entry: &Entry,
    source: impl FnOnce(Pointer) -> Source,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let plain = entry.key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !plain || entry.key.is_empty() {
        let message = format!("`{}` is no name for a fact", entry.key);
        diagnostics
            .push(Diagnostic::error(code::BAD_VALUE, message).at(entry.span, "letters, digits, `-` and `_`"));
        return None;
    }
    let Some(table) = entry.value.as_table() else {
        let message = format!("`{namespace}.{}` doesn't say where it is", entry.key);
        let written = match &entry.value.value {
            Raw::Text(kind, _) => kind.as_str(),
            _ => "string",
        };
        let help = format!("`{} = {{ at = \"/{}\", type = \"{written}\" }}`", entry.key, entry.key);
        diagnostics.push(Diagnostic::error(code::WRONG_TYPE, message).at(entry.value.span, "").help(help));
        return None;
    };
    let mut fields = Fields::new(table);
    let at = fields.require("at", entry.span, diagnostics).and_then(|node| node.text(diagnostics));
    let kind = fields.require("type", entry.span, diagnostics).and_then(|node| node.text(diagnostics));
    fields.entry("default");
    fields.finish(diagnostics);
    let at = at.and_then(|text| pointer(text, diagnostics));
    let kind = kind.and_then(|text| facts::kind(text, namespace, diagnostics));
    let name = format!("{namespace}.{}", entry.key).into();
    Some(draft.declare(Fact { name, source: source(at?), kind: kind?, default: None }))
}

/// Reads a JSON pointer.
fn pointer(text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<Pointer> {
    match Pointer::parse(text.value) {
        Ok(at) => Some(at),
        Err(why) => {
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, why.to_string()).at(text.inner(), ""));
            None
        }
    }
}

/// Reads the paths of all look-ups, and whose answers they rest on.
pub(super) fn paths(draft: &mut Draft<'_>, facts: &Table, diagnostics: &mut Diagnostics) {
    for entry in &facts.entries {
        let Some(look_up) = draft.look_ups.iter().position(|own| *own.name == *entry.key) else { continue };
        let Some(table) = entry.value.as_table() else { continue };
        let get = match table.get("get") {
            Some(get) => get.value.text(diagnostics),
            None => {
                let message = format!("look-up `{}` has no `get`", entry.key);
                let help = "the path that the app answers it at: `get = \"/things/{path.thing}\"`";
                diagnostics
                    .push(Diagnostic::error(code::MISSING, message).at(entry.span, "needs `get`").help(help));
                None
            }
        };
        let path = get.and_then(|text| path(draft, text, diagnostics));
        let forget = table.get("forget").and_then(|own| own.value.texts(diagnostics)).unwrap_or_default();
        let forget: Vec<_> = forget
            .into_iter()
            .filter_map(|text| draft.route(text, diagnostics).map(|(verb, path)| (verb, path, text.inner())))
            .collect();
        if let Some(own) = draft.look_ups.get_mut(look_up) {
            own.forget = forget;
            if let Some((template, segments)) = path {
                (own.template, own.segments) = (template, segments);
            }
        }
    }
}

/// Reads a path below the base: each segment is text, or the value of one fact. A parameter of the base is the request's.
fn path(
    draft: &mut Draft<'_>,
    text: Text<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<(Template, Vec<Asked>)> {
    if text.value.contains(['?', '#']) {
        let message = "a look-up's path has no query";
        let help = "what the app is asked about stands in the path, one value a segment";
        diagnostics.push(Diagnostic::error(code::LOOK_UP, message).at(text.inner(), "").help(help));
        return None;
    }
    let mut segments = Vec::new();
    let mut written = String::new();
    let base = draft.base.clone();
    for segment in base.split('/').skip(1) {
        match inside(segment) {
            Some(name) => push_fact(&mut segments, &mut written, draft.fact(&format!("path.{name}"))?),
            None => push_text(&mut segments, &mut written, segment),
        }
    }
    if !text.value.starts_with('/') {
        let message = "a look-up's path begins with `/`";
        diagnostics.push(Diagnostic::error(code::LOOK_UP, message).at(text.inner(), "below the app's base"));
        return None;
    }
    for segment in text.value.split('/').skip(1) {
        match inside(segment) {
            Some(name) => {
                let fact = placeholder(draft, text, name, diagnostics)?;
                push_fact(&mut segments, &mut written, fact);
            }
            None => push_text(&mut segments, &mut written, segment),
        }
    }
    match Template::parse(&written) {
        Ok(template) => Some((template, segments)),
        Err(error) => {
            diagnostics.push(Diagnostic::error(code::LOOK_UP, error.to_string()).at(text.inner(), ""));
            None
        }
    }
}

fn inside(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

fn push_text(segments: &mut Vec<Asked>, written: &mut String, text: &str) {
    written.push('/');
    written.push_str(text);
    segments.push(Asked::Text(text.into()));
}

fn push_fact(segments: &mut Vec<Asked>, written: &mut String, fact: usize) {
    written.push_str(&format!("/{{value-{}}}", segments.len()));
    segments.push(Asked::Fact(fact));
}

/// The fact of a placeholder.
fn placeholder(
    draft: &mut Draft<'_>,
    text: Text<'_>,
    name: &str,
    diagnostics: &mut Diagnostics,
) -> Option<usize> {
    let span = if name.is_empty() { text.inner() } else { text.part(name) };
    let Some(index) = draft.fact(name) else {
        let mut diagnostic = Diagnostic::error(code::UNKNOWN_FACT, format!("unknown fact `{name}`"))
            .at(span, "a placeholder is the full name of a fact");
        let parameter = format!("path.{name}");
        diagnostic = if name.contains('.') {
            diagnostic.nearest(span, name, draft.fact_names.keys().map(|key| &**key))
        } else {
            let mut meant = diagnostic.help(format!("did you mean `{parameter}`, the path's parameter?"));
            meant.suggestion = (!name.is_empty()).then_some((span, parameter));
            meant
        };
        diagnostics.push(diagnostic);
        return None;
    };
    draft.mention(index, span);
    let fact = draft.facts.get(index)?;
    let kind = fact.kind;
    let is_text = matches!(fact.source, Source::Path(_) | Source::Query(_) | Source::Header(_));
    if kind == Type::Int && is_text {
        // The app may keep `7`, `07` and `+7` apart, and would be asked about another thing than the request is for.
        let message = format!("`{name}` is text in the request, of which a number has several");
        diagnostics.push(
            Diagnostic::error(code::TYPES, message).at(span, "declare it as a `string`, or not at all"),
        );
        return None;
    }
    if !matches!(kind, Type::String | Type::Node | Type::Int) {
        let message = format!("`{name}` is of type {kind}, which can't stand in a path");
        diagnostics.push(
            Diagnostic::error(code::TYPES, message).at(span, "expected a `string`, a `node` or an `int`"),
        );
        return None;
    }
    Some(index)
}

/// The look-ups that must be answered before a fact is known, its default's included.
pub(super) fn look_ups_of(draft: &Draft<'_>, fact: usize) -> impl Iterator<Item = usize> {
    let of = |fact: &Fact| match &fact.source {
        Source::LookUp { look_up, .. } => Some(*look_up),
        _ => None,
    };
    let own = draft.facts.get(fact);
    let standing = own.and_then(|own| match own.default {
        Some(Default::Fact(other)) => draft.facts.get(other),
        _ => None,
    });
    own.and_then(of).into_iter().chain(standing.and_then(of))
}

/// The look-ups that must be answered before one can be asked.
fn before(draft: &Draft<'_>, look_up: usize) -> Vec<usize> {
    let own = draft.look_ups.get(look_up).into_iter().flat_map(LookUpDraft::placeholders);
    own.flat_map(|fact| look_ups_of(draft, fact)).collect()
}

/// Look-ups that wait for each other could never be asked.
pub(super) fn check_circles(draft: &Draft<'_>, diagnostics: &mut Diagnostics) {
    for start in 0..draft.look_ups.len() {
        let Some(circle) = circle_through(draft, start) else { continue };
        // Told once, where its first member stands.
        if circle.iter().any(|own| *own < start) {
            continue;
        }
        let name = |own: &usize| draft.look_ups.get(*own).map_or("", |own| &*own.name).to_owned();
        let names: Vec<String> = circle.iter().chain(std::iter::once(&start)).map(name).collect();
        let Some(own) = draft.look_ups.get(start) else { continue };
        let message = format!("look-ups ask for each other in a circle: {}", names.join(" → "));
        diagnostics.push(
            Diagnostic::error(code::LOOK_UP, message)
                .at(own.span, "none of them could ever be asked")
                .help("a value in a look-up's path must be known before it"),
        );
    }
}

/// The shortest way from a look-up back to itself.
fn circle_through(draft: &Draft<'_>, start: usize) -> Option<Vec<usize>> {
    let mut ways: Vec<Vec<usize>> = vec![vec![start]];
    let mut seen = vec![false; draft.look_ups.len()];
    let mut at = 0;
    while let Some(way) = ways.get(at).cloned() {
        at += 1;
        for next in before(draft, *way.last()?) {
            if next == start {
                return Some(way);
            }
            if let Some(seen) = seen.get_mut(next).filter(|seen| !**seen) {
                *seen = true;
                ways.push(way.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}
