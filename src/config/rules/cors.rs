//! `[cors]`: which pages of other origins may read answers, and what browsers are told that they may send.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::gateway::duration;
use super::super::raw::{Entry, Fields, Node, Text};
use super::Draft;
use crate::policy::cors::{Cors, Credentials, Origins};
use crate::request::Host;

/// What a page may send unless the file says: its token, and what a body is.
const HEADERS: [&str; 2] = ["authorization", "content-type"];
/// What the gateway itself says, which a page may always read.
const EXPOSED: [&str; 3] = ["x-request-id", "retry-after", "www-authenticate"];
/// How long a browser may remember what it was told, unless the file says.
const MAX_AGE: Duration = Duration::from_secs(600);
/// No browser remembers for longer.
const MAX_AGE_MOST: Duration = Duration::from_secs(24 * 3600);

/// Reads `[cors]`.
pub(super) fn read(draft: &mut Draft<'_>, entry: Option<&Entry>, diagnostics: &mut Diagnostics) {
    let Some(entry) = entry else { return };
    let Some(table) = entry.value.table(diagnostics) else { return };
    let mut fields = Fields::new(table);
    let origins = fields.require("origins", entry.span, diagnostics);
    let credentials = fields.entry("credentials");
    let headers = fields.take("headers");
    let expose = fields.take("expose");
    let max_age = fields.take("max-age");
    if let Some(methods) = fields.entry("methods") {
        diagnostics.push(
            Diagnostic::error(code::CORS, "`methods` isn't said here")
                .at(methods.span, "the operations of a path are its methods"),
        );
    }
    fields.finish(diagnostics);
    let sent = credentials.and_then(|own| own.value.bool(diagnostics)).unwrap_or(false);
    let origins = origins.and_then(|node| self::origins(node, diagnostics));
    if let (Some(Origins::Any), true, Some(own)) = (&origins, sent, credentials) {
        diagnostics.push(
            Diagnostic::error(
                code::CORS,
                "every page of the web would act with the cookies of whoever looks at it",
            )
            .at(own.span, "together with the origin `*`")
            .help("name the origins, or leave `credentials` out: tokens that a page sends itself need none"),
        );
    }
    let (asked, shown) = (headers, expose);
    let headers = asked.map_or_else(|| names(&HEADERS), |node| header_names(node, &[], diagnostics));
    let expose = shown.map_or_else(|| names(&EXPOSED), |node| header_names(node, &EXPOSED, diagnostics));
    let max_age = max_age.and_then(|node| age(node, diagnostics)).unwrap_or(MAX_AGE);
    let Some((origins, (headers, expose))) = origins.zip(headers.zip(expose)) else { return };
    draft.cors = Some(Arc::new(Cors {
        origins,
        credentials: if sent { Credentials::Sent } else { Credentials::Omitted },
        headers,
        expose,
        max_age: HeaderValue::from(max_age.as_secs()),
        place: draft.place(entry.span),
    }));
}

fn names(all: &[&str]) -> Option<HeaderValue> {
    HeaderValue::try_from(all.join(", ")).ok()
}

/// The origins; nothing where one of them is none.
fn origins(node: &Node, diagnostics: &mut Diagnostics) -> Option<Origins> {
    let texts = node.texts(diagnostics)?;
    if texts.is_empty() {
        diagnostics.push(Diagnostic::error(code::CORS, "`origins` names none").at(node.span, "").help(
            "without `[cors]` no page of another origin reads anything, unless the app itself lets it",
        ));
        return None;
    }
    if let [only] = texts.as_slice()
        && only.value == "*"
    {
        return Some(Origins::Any);
    }
    let mut listed = Vec::new();
    for text in &texts {
        let read = origin(*text, diagnostics)?;
        if listed.contains(&read) {
            let message = format!("`{}` stands twice", text.value);
            diagnostics.push(Diagnostic::error(code::DUPLICATE, message).at(text.inner(), ""));
        }
        listed.push(read);
    }
    Some(Origins::Listed(listed.into()))
}

/// An origin as browsers write it (RFC 6454 §6.2).
fn origin(text: Text<'_>, diagnostics: &mut Diagnostics) -> Option<HeaderValue> {
    let mut wrong = |message: &str, label: &str, instead: Option<String>| -> Option<HeaderValue> {
        let mut diagnostic = Diagnostic::error(code::CORS, message).at(text.inner(), label);
        if let Some(instead) = instead {
            diagnostic = diagnostic.help(format!("did you mean `{instead}`?"));
            diagnostic.suggestion = Some((text.inner(), instead));
        }
        diagnostics.push(diagnostic);
        None
    };
    const EXPECTED: &str = "expected `https://host` or `https://host:port`";
    match text.value {
        "*" => return wrong("`*` is every origin, so it stands alone", "", None),
        "null" => {
            return wrong(
                "`null` is the origin of any sandboxed page and file",
                "nobody's in particular",
                None,
            );
        }
        _ => {}
    }
    let Some((scheme, rest)) = text.value.split_once("://") else {
        return wrong("an origin has a scheme", EXPECTED, Some(format!("https://{}", text.value)));
    };
    if !matches!(scheme, "https" | "http") {
        return wrong("a page's scheme is https or http", EXPECTED, None);
    }
    if rest.contains('*') {
        return wrong("each origin is named as a whole", "no part of it is a pattern", None);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.len() < rest.len() {
        let instead = format!("{scheme}://{authority}");
        return wrong("an origin has no path, and no slash at its end", EXPECTED, Some(instead));
    }
    let Ok(host) = Host::parse(authority) else { return wrong("that is no origin", EXPECTED, None) };
    let port = authority.strip_prefix(host.as_str()).map(|port| port.trim_start_matches(':'));
    let usual = if scheme == "https" { "443" } else { "80" };
    let canonical = match port {
        Some("") => authority == host.as_str(),
        Some(port) => {
            port != usual && port.parse::<u16>().is_ok_and(|own| own > 0 && own.to_string() == port)
        }
        None => false,
    };
    if !canonical {
        let port = port.filter(|port| *port != usual && !port.is_empty());
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let instead = (text.value != format!("{scheme}://{}{port}", host.as_str()))
            .then(|| format!("{scheme}://{}{port}", host.as_str()));
        return wrong(
            "no browser writes this origin so",
            "lower case, and no port that goes without saying",
            instead,
        );
    }
    if scheme == "http" && !is_here(host.as_str()) {
        diagnostics.push(
            Diagnostic::warning(code::CORS, "a page over plain http can be anyone's on its way")
                .at(text.inner(), "whoever is on the wire speaks for it"),
        );
    }
    HeaderValue::from_str(text.value).ok()
}

fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Names of headers, with some that go without saying.
fn header_names(node: &Node, always: &[&str], diagnostics: &mut Diagnostics) -> Option<HeaderValue> {
    let mut all: Vec<String> = always.iter().map(|name| (*name).to_owned()).collect();
    for text in node.texts(diagnostics)? {
        let name = HeaderName::from_bytes(text.value.as_bytes()).ok().filter(|_| text.value != "*");
        let Some(name) = name else {
            let message = format!("`{}` is no name of a header", text.value);
            let label =
                if text.value == "*" { "each is named: `*` would leave out `Authorization`" } else { "" };
            diagnostics.push(Diagnostic::error(code::CORS, message).at(text.inner(), label));
            continue;
        };
        if all.iter().any(|own| *own == name.as_str()) {
            let message = format!("`{}` stands twice, or goes without saying", text.value);
            diagnostics.push(Diagnostic::warning(code::CORS, message).at(text.inner(), ""));
            continue;
        }
        all.push(name.as_str().to_owned());
    }
    HeaderValue::try_from(all.join(", ")).ok()
}

fn age(node: &Node, diagnostics: &mut Diagnostics) -> Option<Duration> {
    let text = node.text(diagnostics)?;
    let whole = |age: &Duration| age.subsec_nanos() == 0 && *age <= MAX_AGE_MOST;
    match duration(text.value) {
        Ok(age) if whole(&age) => Some(age),
        Ok(_) => {
            told(text.inner(), "whole seconds, at most 24h: no browser remembers for longer", diagnostics);
            None
        }
        Err(why) => {
            told(text.inner(), why, diagnostics);
            None
        }
    }
}

fn told(span: Span, why: &str, diagnostics: &mut Diagnostics) {
    diagnostics.push(Diagnostic::error(code::CORS, why).at(span, ""));
}
