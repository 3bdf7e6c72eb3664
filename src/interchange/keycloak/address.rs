//! Keycloak's addresses as path templates. Where two resources' addresses have paths in common, Keycloak and the router
//! here may not choose the same one; only pairs where they do are kept.

use super::super::toml_text::unique;
use crate::route::{Segment, Template};

/// An address that is a template here.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// As the export has it.
    pub(super) raw: String,
    /// The templates: of `/x/*` that of `/x` too.
    pub(super) templates: Vec<Template>,
    /// Of which kind it is.
    pub(super) kind: Kind,
}

/// How an address matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One path.
    Exact,
    /// Paths with something in their places.
    Template,
    /// Everything below.
    Below,
}

impl Address {
    /// Reads an address, or says why it can't be one.
    pub(super) fn read(raw: &str) -> Result<Self, &'static str> {
        if !raw.starts_with('/') {
            return Err("an address here begins with `/`");
        }
        if raw.contains(['?', '#', ';']) {
            return Err("a path has no query, fragment or parameters of segments");
        }
        let (body, below) = match raw.strip_suffix("/*") {
            Some(body) => (body, true),
            None => (raw, false),
        };
        if body.contains('*') {
            return Err("`*` stands for something only as the last segment");
        }
        if raw.len() > 1 && raw.ends_with('/') {
            return Err("a trailing slash makes no path of its own here");
        }
        let named = renamed(body)?;
        let parse = |text: &str| Template::parse(text).map_err(|_| "it isn't written as a path is here");
        if !below {
            let template = parse(&named)?;
            let kind = if template.parameters().is_empty() { Kind::Exact } else { Kind::Template };
            return Ok(Self { raw: raw.to_owned(), templates: vec![template], kind });
        }
        let top = parse(if named.is_empty() { "/" } else { &named })?;
        let rest = unique("rest".to_owned(), |name| named.contains(&format!("{{{name}}}")));
        let below = parse(&format!("{}/{{{rest}...}}", named))?;
        Ok(Self { raw: raw.to_owned(), templates: vec![top, below], kind: Kind::Below })
    }

    /// The literal segments that it begins with.
    pub(super) fn prefix(&self) -> Vec<&str> {
        let segments = self.templates.last().map_or(&[][..], Template::segments);
        segments
            .iter()
            .map_while(|segment| match segment {
                Segment::Literal(text) => Some(&**text),
                Segment::Parameter(_) | Segment::Rest(_) => None,
            })
            .collect()
    }

    fn meets(&self, other: &Self) -> bool {
        self.templates.iter().any(|own| other.templates.iter().any(|theirs| own.meets(theirs)))
    }

    fn is_same(&self, other: &Self) -> bool {
        let shape = |address: &Self| address.templates.last().cloned();
        match (shape(self), shape(other)) {
            (Some(own), Some(theirs)) => own.same_shape(&theirs),
            _ => false,
        }
    }

    /// Whether the router here might choose the one where Keycloak chooses the other.
    pub(super) fn contends(&self, other: &Self) -> bool {
        if !self.meets(other) {
            return false;
        }
        if self.is_same(other) {
            return true;
        }
        let only_literals = |own: &Self| {
            own.prefix().len() + usize::from(own.kind == Kind::Below)
                == own.templates.last().map_or(0, |last| last.segments().len())
        };
        match (self.kind, other.kind) {
            // One path is one path: both choose it. The top of everything below is another's, then.
            (Kind::Exact, _) | (_, Kind::Exact) => false,
            // The longer one, if both begin with literals alone.
            (Kind::Below, Kind::Below) => !(only_literals(self) && only_literals(other)),
            // What has places goes before what is below, here as there, if the latter's way is a part of the former's.
            (Kind::Below, Kind::Template) => {
                !(only_literals(self) && other.prefix().starts_with(&self.prefix()))
            }
            (Kind::Template, Kind::Below) => other.contends(self),
            (Kind::Template, Kind::Template) => true,
        }
    }
}

/// Whether an address that couldn't be read might have paths in common with another.
pub(super) fn might_meet(unread: &str, other: &str) -> bool {
    if unread.contains("*.") {
        return true;
    }
    let literal = |raw: &str| raw.split(['{', '*', '?', ';']).next().unwrap_or("").to_lowercase();
    let (own, theirs) = (literal(unread), literal(other));
    own.starts_with(&theirs) || theirs.starts_with(&own)
}

/// The same with parameters called as ours may be, each by a name of its own.
fn renamed(raw: &str) -> Result<String, &'static str> {
    let mut names: Vec<String> = Vec::new();
    let mut out = String::new();
    for part in raw.split('/').skip(1) {
        out.push('/');
        let Some(name) = part.strip_prefix('{') else {
            if part.is_empty() {
                return Err("an empty segment");
            }
            out.push_str(part);
            continue;
        };
        let name = name.strip_suffix('}').filter(|name| !name.contains(['{', '}']));
        let name = name.ok_or("a place is a whole segment: `{name}`")?;
        let plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
        let plain = if plain.is_empty() { "id".to_owned() } else { plain };
        let plain = unique(plain, |own| names.iter().any(|other| other == own));
        out.push_str(&format!("{{{plain}}}"));
        names.push(plain);
    }
    Ok(out)
}

/// Gives templates of one shape, up to any place in them, one spelling: the first one's.
pub(in crate::interchange) fn one_spelling(templates: &mut [&mut Template]) {
    let mut spellings: std::collections::HashMap<String, String> = std::collections::HashMap::new();
    for template in templates {
        let (mut text, mut shape) = (String::new(), String::new());
        let mut used: Vec<String> = Vec::new();
        for segment in template.segments() {
            let (own, kind) = match segment {
                Segment::Literal(literal) => (literal.to_string(), literal.to_string()),
                Segment::Parameter(name) => (name.to_string(), "{}".to_owned()),
                Segment::Rest(name) => (name.to_string(), "{...}".to_owned()),
            };
            shape.push('/');
            shape.push_str(&kind);
            text.push('/');
            if matches!(segment, Segment::Literal(_)) {
                text.push_str(&own);
                continue;
            }
            let free = unique(own, |name| used.iter().any(|other| other == name));
            let name = spellings.entry(shape.clone()).or_insert(free).clone();
            used.push(name.clone());
            let dots = if matches!(segment, Segment::Rest(_)) { "..." } else { "" };
            text.push_str(&format!("{{{name}{dots}}}"));
        }
        if let Ok(spelt) = Template::parse(if text.is_empty() { "/" } else { &text }) {
            **template = spelt;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(raw: &str) -> Address {
        Address::read(raw).unwrap()
    }

    #[test]
    fn addresses_become_templates_or_are_refused() {
        let texts = |raw: &str| address(raw).templates.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts("/customers"), ["/customers"]);
        assert_eq!(texts("/customers/*"), ["/customers", "/customers/{rest...}"]);
        assert_eq!(texts("/*"), ["/", "/{rest...}"]);
        assert_eq!(texts("/a/{id}/b/{id}/{x.y}"), ["/a/{id}/b/{id-2}/{x-y}"]);
        for odd in [
            "",
            "customers",
            "/*.html",
            "/a*",
            "/a/*/b",
            "/a/",
            "/a//b",
            "/a/{b",
            "/a/x{b}",
            "/a?b=1",
            "/a/{}}",
        ] {
            assert!(Address::read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn only_pairs_that_both_routers_read_alike_are_kept() {
        for (one, other, contends) in [
            ("/a/*", "/b/*", false),
            ("/a/*", "/a/b", false),
            ("/a/*", "/a", false),
            ("/a/*", "/a/b/*", false),
            ("/*", "/a/{id}", false),
            ("/a/{id}", "/a/{key}", true),
            ("/a/{id}/x", "/a/b/*", true),
            ("/a/{id}/x", "/a/b/{y}", true),
            ("/a/{id}/*", "/a/b/*", true),
            ("/a", "/a", true),
        ] {
            assert_eq!(address(one).contends(&address(other)), contends, "{one} {other}");
            assert_eq!(address(other).contends(&address(one)), contends, "{other} {one}");
        }
    }
}
