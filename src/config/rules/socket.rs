//! `[socket]`: where it is opened, what is spoken on it, where its token stands, and what the app is told of the caller
//! in place of what the caller says of itself.

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::raw::{Entry, Fields, Node, Raw, Table, Text};
use super::{Draft, OperationDraft, Reached};
use crate::fact::Source;
use crate::policy::socket::{AuthPayload, SocketKind, SocketRules, TokenSource, Told};
use crate::route::{Template, Verb};

/// A socket while the file is read.
#[derive(Debug)]
pub(super) struct SocketDraft {
    pub(super) rules: SocketRules,
    pub(super) span: Span,
}

/// Names that Socket.IO's own events have.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Reads the name of an event.
pub(super) fn event(text: Text<'_>, name: &str, diagnostics: &mut Diagnostics) -> Option<(Verb, Template)> {
    let span = if name.is_empty() { text.inner() } else { text.part(name) };
    let why = if RESERVED.contains(&name) {
        "Socket.IO keeps this name to itself, so no client can send it"
    } else if name.trim().is_empty() || name.trim() != name || name.chars().any(char::is_control) {
        "an event has a name without blanks around it and without controls"
    } else {
        return Some((Verb::Emit, Template::event(name)));
    };
    diagnostics.push(Diagnostic::error(code::ROUTE, why).at(span, "expected `EMIT name`"));
    None
}

/// Reads `[socket]`. What opens it are operations of its own.
pub(super) fn read(draft: &mut Draft<'_>, entry: Option<&Entry>, diagnostics: &mut Diagnostics) {
    let Some(entry) = entry else { return };
    let Some(table) = entry.value.table(diagnostics) else { return };
    let mut fields = Fields::new(table);
    let path = fields.require("path", entry.span, diagnostics).and_then(|node| node.text(diagnostics));
    let kind = fields.take("kind").and_then(|node| kind(node, diagnostics));
    let kind = kind.unwrap_or(SocketKind::SocketIo);
    let namespaces = fields.take("namespaces").map(|node| namespaces(node, diagnostics));
    let token = fields.take("token").map(|node| tokens(node, kind, diagnostics));
    let auth = fields.entry("auth");
    fields.finish(diagnostics);
    if let (SocketKind::WebSocket, Some(odd)) = (kind, auth.or(table.get("namespaces"))) {
        let message = format!("a websocket has no `{}`: nothing on it is read", odd.key);
        diagnostics.push(Diagnostic::error(code::SOCKET, message).at(odd.span, ""));
    }
    let auth = match auth {
        Some(own) => payload(draft, own, diagnostics),
        None => usual_payload(draft),
    };
    let Some((path, template)) = path.and_then(|text| Some((text, template(draft, text, diagnostics)?)))
    else {
        return;
    };
    if kind == SocketKind::SocketIo {
        for verb in [Verb::Get, Verb::Post] {
            let own = OperationDraft::new(verb, template.clone(), path.inner(), Reached::Socket);
            draft.add_operation(own);
        }
    }
    let rules = SocketRules {
        kind,
        path: template,
        namespaces: namespaces.unwrap_or_else(|| vec!["/".into()]).into(),
        token: token.unwrap_or_else(|| vec![TokenSource::Header]).into(),
        auth,
    };
    draft.socket = Some(SocketDraft { rules, span: path.inner() });
}

fn template(draft: &Draft<'_>, text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<Template> {
    let joined =
        if text.value.starts_with('/') { super::join(&draft.base, text.value) } else { String::new() };
    match Template::parse(&joined) {
        Ok(template) => Some(template),
        Err(error) => {
            diagnostics.push(Diagnostic::error(code::ROUTE, error.to_string()).at(text.inner(), ""));
            None
        }
    }
}

fn kind(node: &Node, diagnostics: &mut Diagnostics) -> Option<SocketKind> {
    let text = node.text(diagnostics)?;
    match text.value {
        "socket.io" => Some(SocketKind::SocketIo),
        "websocket" => Some(SocketKind::WebSocket),
        other => {
            diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, format!("`{other}` is no kind of socket"))
                    .at(text.inner(), "")
                    .nearest(text.inner(), other, ["socket.io", "websocket"]),
            );
            None
        }
    }
}

fn namespaces(node: &Node, diagnostics: &mut Diagnostics) -> Vec<Box<str>> {
    let texts = node.texts(diagnostics).unwrap_or_default();
    if texts.is_empty() {
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, "`namespaces` names none, so nobody could connect")
                .at(node.span, "")
                .help("`/` is the one without a name"),
        );
    }
    for text in &texts {
        let odd = text.value.contains([',', '?', '#']) || text.value.chars().any(char::is_control);
        if odd || !text.value.starts_with('/') {
            let message = format!("`{}` is no namespace", text.value);
            diagnostics.push(
                Diagnostic::error(code::BAD_VALUE, message).at(text.inner(), "expected `/` or `/name`"),
            );
        }
    }
    texts.iter().map(|text| text.value.into()).collect()
}

fn tokens(node: &Node, kind: SocketKind, diagnostics: &mut Diagnostics) -> Vec<TokenSource> {
    let texts = node.texts(diagnostics).unwrap_or_default();
    if texts.is_empty() {
        let message = "`token` names no place, so nobody could open the socket";
        diagnostics.push(Diagnostic::error(code::BAD_VALUE, message).at(node.span, ""));
    }
    let mut sources = Vec::new();
    for text in texts {
        let source = match text.value.split_once('.') {
            None if text.value == "header" => Some(TokenSource::Header),
            Some(("query", key)) if !key.is_empty() => Some(TokenSource::Query(key.into())),
            Some(("auth", key)) if !key.is_empty() => Some(TokenSource::Auth(key.into())),
            _ => None,
        };
        let message = match &source {
            None => format!("`{}` is no place of a token", text.value),
            Some(TokenSource::Auth(_)) if kind == SocketKind::WebSocket => {
                "a websocket has no packet that could hold its token".to_owned()
            }
            Some(known) if sources.contains(known) => format!("`{}` stands twice", text.value),
            Some(_) => {
                sources.extend(source);
                continue;
            }
        };
        diagnostics.push(
            Diagnostic::error(code::BAD_VALUE, message)
                .at(text.inner(), "expected `header`, `query.name` or `auth.name`"),
        );
    }
    sources
}

/// What the app is told unless the file says: who the caller is, and what it may do.
fn usual_payload(draft: &Draft<'_>) -> AuthPayload {
    let subject = draft.fact_names.get("token.sub").map(|fact| ("subject".into(), Told::Fact(*fact)));
    let rest = [("roles".into(), Told::Roles), ("permissions".into(), Told::Permissions)];
    AuthPayload { told: subject.into_iter().chain(rest).collect(), keep: Box::default() }
}

fn payload(draft: &mut Draft<'_>, entry: &Entry, diagnostics: &mut Diagnostics) -> AuthPayload {
    let Some(table) = entry.value.table(diagnostics) else { return AuthPayload::default() };
    let kept = table.get("keep").filter(|own| matches!(own.value.value, Raw::List(_)));
    let keep = kept.and_then(|own| own.value.texts(diagnostics)).unwrap_or_default();
    for text in keep.iter().filter(|text| table.get(text.value).is_some_and(|own| own.key != "keep")) {
        let message = format!("`{}` is told by the gateway, so the client's own can't survive", text.value);
        diagnostics.push(Diagnostic::error(code::DUPLICATE, message).at(text.inner(), ""));
    }
    let members = table.entries.iter().filter(|own| kept.is_none_or(|kept| kept.span != own.span));
    let told = members.filter_map(|own| member(draft, own, diagnostics)).collect();
    AuthPayload { told, keep: keep.iter().map(|text| text.value.into()).collect() }
}

fn member(draft: &mut Draft<'_>, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<(Box<str>, Told)> {
    let told = match &entry.value.value {
        Raw::Table(table) => match table.entries.as_slice() {
            [only] if only.key == "json" && only.value.as_table().is_some() => {
                Told::Text(object(draft, only.value.as_table()?, diagnostics))
            }
            _ => Told::Object(object(draft, table, diagnostics)),
        },
        // A list means something under `keep` alone.
        Raw::List(_) if entry.key != "keep" => {
            let unknown = Diagnostic::error(code::UNKNOWN_KEY, format!("unknown key `{}`", entry.key));
            let unknown = unknown.at(entry.span, "what is told is a fact, `roles`, `permissions` or a table");
            diagnostics.push(unknown.nearest(entry.span, &entry.key, ["keep"]));
            return None;
        }
        _ => {
            let text = entry.value.text(diagnostics)?;
            match text.value {
                "roles" => Told::Roles,
                "permissions" => Told::Permissions,
                name => Told::Fact(fact(draft, text, name, diagnostics)?),
            }
        }
    };
    Some((entry.key.as_str().into(), told))
}

fn object(draft: &mut Draft<'_>, table: &Table, diagnostics: &mut Diagnostics) -> Box<[(Box<str>, Told)]> {
    table.entries.iter().filter_map(|own| member(draft, own, diagnostics)).collect()
}

/// A fact that is known when a socket is opened, without anyone being asked.
fn fact(draft: &mut Draft<'_>, text: Text<'_>, name: &str, diagnostics: &mut Diagnostics) -> Option<usize> {
    let found = draft.fact(name);
    let source = found.and_then(|index| draft.facts.get(index)).map(|own| &own.source);
    let diagnostic = match source {
        None => {
            let known = draft.fact_names.keys().map(|key| &**key).chain(["roles", "permissions"]);
            Diagnostic::error(code::UNKNOWN_FACT, format!("unknown fact `{name}`"))
                .at(text.inner(), "neither `roles` nor `permissions` nor a fact")
                .nearest(text.inner(), name, known)
        }
        Some(Source::Body(_) | Source::LookUp { .. }) => {
            Diagnostic::error(code::SOCKET, format!("`{name}` isn't known when a socket is opened"))
                .at(text.inner(), "it would never be told")
        }
        Some(_) => return found,
    };
    diagnostics.push(diagnostic);
    None
}

/// What the file says of its socket against the operations that it has.
pub(super) fn check(draft: &Draft<'_>, diagnostics: &mut Diagnostics) {
    let event = draft.operations.iter().find(|own| own.template.is_event());
    let Some(socket) = &draft.socket else {
        if let Some(event) = event {
            diagnostics.push(
                Diagnostic::error(code::SOCKET, "an event without a socket that it could be sent on")
                    .at(event.span, "")
                    .help("`[socket]` with its `path` stands among the guards"),
            );
        }
        return;
    };
    let at_path = |own: &&OperationDraft| own.template.same_shape(&socket.rules.path);
    let others = draft.operations.iter().filter(|own| own.reached != Reached::Socket);
    for other in others.filter(at_path).filter(|_| socket.rules.kind == SocketKind::SocketIo) {
        let message = format!("`{}` is the socket's own path", draft.written(other));
        diagnostics.push(
            Diagnostic::error(code::SOCKET, message)
                .at(other.span, "who may open the socket follows from who may send its events")
                .also(socket.span, "the socket"),
        );
    }
    match (socket.rules.kind, event) {
        (SocketKind::SocketIo, Some(_)) => {}
        (SocketKind::SocketIo, None) => diagnostics.push(
            Diagnostic::warning(code::SOCKET, "a socket without events, so nobody may open it")
                .at(socket.span, "")
                .help("an event is an operation of a resource: `\"EMIT name\"`"),
        ),
        (SocketKind::WebSocket, Some(event)) => diagnostics.push(
            Diagnostic::error(code::SOCKET, "an event on a websocket, of which nothing is read")
                .at(event.span, "it can't be judged")
                .also(socket.span, "the socket"),
        ),
        (SocketKind::WebSocket, None) => {
            let is_edited = |own: &&OperationDraft| {
                !own.obligations.masks.is_empty() || !own.obligations.filters.is_empty()
            };
            for edited in draft.operations.iter().filter(at_path).filter(is_edited) {
                let message =
                    format!("`{}` opens the websocket, of which nothing is read", draft.written(edited));
                diagnostics.push(
                    Diagnostic::error(code::SOCKET, message)
                        .at(edited.span, "what its [mask] and [filter] hide would pass")
                        .also(socket.span, "the socket"),
                );
            }
            let mut opening = draft.operations.iter().filter(|own| own.verb == Verb::Get).filter(at_path);
            if !opening.any(|own| own.reached == Reached::Guarded) {
                let message = format!("`GET {}` is no operation of a resource", socket.rules.path);
                diagnostics.push(
                    Diagnostic::error(code::SOCKET, message)
                        .at(socket.span, "who may open this websocket?")
                        .help("name it in a resource, like any other operation"),
                );
            }
        }
    }
}
