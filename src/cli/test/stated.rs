//! What a table states of a caller and of what he asks for: claims, facts, headers, a body, a tenant, a moment. Read with
//! every mistake reported at its place; what becomes of it is [`super::case`]'s.

use serde_json::{Map, Value};

use crate::config::diagnostic::code;
use crate::config::raw::{Entry, Fields, Node, Raw};
use crate::config::{Diagnostic, Diagnostics, Span};
use crate::fact::{Fact, Source, Type};
use crate::policy::App;
use crate::seat::{Seated, Which};

/// A caller, and what is known of him and of what he asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Stated {
    /// Claims of his token.
    pub claims: Map<String, Value>,
    /// Headers of the request.
    pub headers: Vec<(String, String)>,
    /// Facts by name: what the app answers when it is asked, and whatever else the rules read.
    pub with: Vec<(String, Value, Span)>,
    /// The request's body.
    pub body: Option<Value>,
    /// The peer's address.
    pub peer: Option<String>,
    /// Whether there is no token at all.
    pub anonymous: bool,
    /// What becomes of a claim to a seat; there is one, unless said.
    pub seat: Option<Seated>,
    /// The tenant that is acted for, by name or id; the caller is at home there, unless said.
    pub tenant: Option<(String, Span)>,
    /// When it is asked.
    pub time: Option<jiff::Timestamp>,
}

/// The keys that [`Stated::read`] takes.
pub(super) const KEYS: [&str; 10] =
    ["claims", "headers", "without", "with", "body", "peer", "anonymous", "seat", "tenant", "time"];

impl Stated {
    /// Takes its keys from a table; what isn't said there is as in `before`.
    pub(super) fn read(
        fields: &mut Fields<'_>,
        before: &Self,
        app: Option<&App>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let mut own = before.clone();
        if let Some(claims) = fields.take("claims") {
            merge(&mut own.claims, object(claims, diagnostics));
        }
        for (name, value) in fields.take("headers").map(|node| object(node, diagnostics)).unwrap_or_default()
        {
            own.header(name, value.as_str().unwrap_or_default().to_owned());
        }
        for namespace in fields.take("without").map(|node| texts(node, diagnostics)).unwrap_or_default() {
            own.with.retain(|(known, ..)| known.split_once('.').is_none_or(|(own, _)| own != namespace));
        }
        let with = fields.take("with").and_then(|node| node.table(diagnostics));
        for entry in with.map_or(&[][..], |table| &table.entries) {
            if app.is_none_or(|app| is_fact(app, entry, diagnostics)) {
                own.with.retain(|(known, ..)| *known != entry.key);
                own.with.push((entry.key.clone(), json(&entry.value, diagnostics), entry.span));
            }
        }
        if let Some(body) = fields.take("body") {
            own.body = Some(json(body, diagnostics));
        }
        if let Some(peer) = fields.take("peer").and_then(|node| node.text(diagnostics)) {
            own.peer = Some(peer.value.to_owned());
        }
        own.anonymous |= fields.take("anonymous").and_then(|node| node.bool(diagnostics)).unwrap_or_default();
        own.seat = fields.take("seat").map_or(own.seat, |node| seat(node, diagnostics));
        if let Some(tenant) = fields.take("tenant").and_then(|node| node.text(diagnostics)) {
            own.tenant = Some((tenant.value.to_owned(), tenant.span));
        }
        own.time = fields.take("time").map_or(own.time, |node| time(node, diagnostics));
        own
    }

    /// What another says stands over what this says.
    pub(super) fn under(&self, other: &Self) -> Self {
        let mut own = self.clone();
        merge(&mut own.claims, other.claims.clone());
        for (name, value) in &other.headers {
            own.header(name.clone(), value.clone());
        }
        for said in &other.with {
            own.with.retain(|(known, ..)| *known != said.0);
            own.with.push(said.clone());
        }
        own.body = other.body.clone().or(own.body);
        own.peer = other.peer.clone().or(own.peer);
        own.anonymous |= other.anonymous;
        own.seat = other.seat.or(own.seat);
        own.tenant = other.tenant.clone().or(own.tenant);
        own.time = other.time.or(own.time);
        own
    }

    fn header(&mut self, name: String, value: String) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
    }
}

/// Whether the rules read such a fact, and someone can state it.
fn is_fact(app: &App, entry: &Entry, diagnostics: &mut Diagnostics) -> bool {
    let Some(fact) = app.facts.iter().find(|fact| *fact.name == *entry.key) else {
        let message = format!("the rules of `{}` read no fact `{}`", app.name, entry.key);
        let names = app.facts.iter().filter(|fact| is_statable(fact)).map(|fact| &*fact.name);
        diagnostics.push(
            Diagnostic::error(code::UNKNOWN_FACT, message)
                .at(entry.span, "so it changes nothing")
                .nearest(entry.span, &entry.key, names),
        );
        return false;
    };
    if !is_statable(fact) {
        let message = format!("`{}` is said by the request's path or by tenants.toml", fact.name);
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(entry.span, "can't be stated"));
        return false;
    }
    if !fits(fact, &entry.value) {
        let message =
            format!("`{}` is {} here, and {} of the app", fact.name, entry.value.type_name(), fact.kind);
        diagnostics.push(Diagnostic::error(code::WRONG_TYPE, message).at(entry.value.span, ""));
        return false;
    }
    true
}

fn is_statable(fact: &Fact) -> bool {
    !matches!(fact.source, Source::Path(_) | Source::Tenant(_) | Source::ClientWeekday)
}

fn fits(fact: &Fact, node: &Node) -> bool {
    let sent_as_text = matches!(fact.source, Source::Header(_) | Source::Query(_));
    match (&node.value, fact.kind) {
        (Raw::Text(..), _) if sent_as_text => true,
        (Raw::Text(..), Type::String | Type::Node | Type::Ip | Type::Time | Type::Set) => true,
        (Raw::Bool(_), Type::Bool) | (Raw::Int(_), Type::Int) | (Raw::List(_), Type::Set) => true,
        // Moments may be numbers, as claims have them.
        (Raw::Int(_), Type::Time) => true,
        _ => false,
    }
}

fn seat(node: &Node, diagnostics: &mut Diagnostics) -> Option<Seated> {
    let text = node.text(diagnostics)?;
    match text.value {
        "over" => Some(Seated::Over(Which::Named)),
        "refused" => Some(Seated::Refused(Which::Named)),
        _ => {
            let message = format!("`{}` is nothing that becomes of a seat", text.value);
            let wanted = "\"over\" or \"refused\"";
            diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(text.span, wanted));
            None
        }
    }
}

fn time(node: &Node, diagnostics: &mut Diagnostics) -> Option<jiff::Timestamp> {
    let text = node.text(diagnostics)?;
    let read = text.value.parse().ok();
    if read.is_none() {
        let message = format!("`{}` is no moment", text.value);
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, message).at(text.inner(), "such as 2027-01-31T08:00:00Z"),
        );
    }
    read
}

/// Adds claims to claims: an object grows, anything else is replaced.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(own)), Value::Object(more)) => merge(own, more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// An array of strings.
pub(super) fn texts(node: &Node, diagnostics: &mut Diagnostics) -> Vec<String> {
    node.texts(diagnostics).unwrap_or_default().iter().map(|text| text.value.to_owned()).collect()
}

fn object(node: &Node, diagnostics: &mut Diagnostics) -> Map<String, Value> {
    match json(node, diagnostics) {
        Value::Object(members) => members,
        _ => {
            let _ = node.table(diagnostics);
            Map::new()
        }
    }
}

/// Any value, as JSON.
pub(super) fn json(node: &Node, diagnostics: &mut Diagnostics) -> Value {
    match &node.value {
        Raw::Text(text, _) => Value::String(text.clone()),
        Raw::Int(number) => Value::from(*number),
        Raw::Bool(value) => Value::Bool(*value),
        Raw::List(items) => items.iter().map(|item| json(item, diagnostics)).collect(),
        Raw::Table(table) => {
            let member = |entry: &Entry, diagnostics: &mut Diagnostics| {
                (entry.key.clone(), json(&entry.value, diagnostics))
            };
            Value::Object(table.entries.iter().map(|entry| member(entry, diagnostics)).collect())
        }
        Raw::Other(name) => {
            diagnostics.push(
                Diagnostic::error(code::WRONG_TYPE, format!("{name} is no value here")).at(node.span, ""),
            );
            Value::Null
        }
    }
}
