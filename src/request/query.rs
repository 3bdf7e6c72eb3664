//! The query of a request: its parameters as the client wrote them, each read in one way or not at all.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{Malformed, hex};

/// The parameter by which a form says which method is meant (Rails, Laravel, Symfony and others).
const METHOD_KEY: &str = "_method";

/// The query as it came; keys are decoded only when a rule reads one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'r>(&'r str);

impl<'r> Query<'r> {
    /// Accepts visible ASCII without `#`.
    pub fn parse(raw: &'r str) -> Result<Self, Malformed> {
        let plain = raw.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'#');
        match plain {
            true if names_a_method(raw) => Err(Malformed::QueryMethod),
            true => Ok(Self(raw)),
            false => Err(Malformed::QueryCharacter),
        }
    }

    /// The bytes as the client sent them, without the `?`.
    #[must_use]
    pub fn raw(self) -> &'r str {
        self.0
    }

    /// The decoded key of each parameter, with the parameter as the client sent it.
    pub fn pairs(self) -> impl Iterator<Item = (Result<Cow<'r, str>, Malformed>, &'r str)> {
        let key = |pair: &'r str| {
            let is_split_elsewhere = pair.contains(';');
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            if is_split_elsewhere { Err(Malformed::QueryAmbiguous) } else { decode_form(name) }
        };
        self.0.split('&').filter(|pair| !pair.is_empty()).map(move |pair| (key(pair), pair))
    }

    /// The one value of `key`. A second occurrence, another case, an array spelling (`key[]`, `key.0`)
    /// or a `;` that some servers take for `&` is refused: an app could read another value than the rule.
    pub fn get(self, key: &str) -> Result<Option<Cow<'r, str>>, Malformed> {
        if self.0.contains(';') {
            return Err(Malformed::QueryAmbiguous);
        }
        let mut found = None;
        for pair in self.0.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode_form(name)?;
            if *name == *key {
                if found.replace(decode_form(value)?).is_some() {
                    return Err(Malformed::QueryAmbiguous);
                }
            } else if reads_alike(&name, key) {
                return Err(Malformed::QueryAmbiguous);
            }
        }
        Ok(found)
    }
}

/// Whether a query has the parameter by which servers let a form say another method than the request's.
fn names_a_method(raw: &str) -> bool {
    let key = |pair: &str| {
        decode_form(pair.split_once('=').map_or(pair, |(name, _)| name)).ok().map(Cow::into_owned)
    };
    let is_one = |pair: &str| {
        pair.len() >= METHOD_KEY.len() && key(pair).is_some_and(|own| reads_alike(&own, METHOD_KEY))
    };
    raw.len() >= METHOD_KEY.len() && raw.split(['&', ';']).any(is_one)
}

/// Whether a server might take `name` for `key`: case aside, or as an element of an array or object.
fn reads_alike(name: &str, key: &str) -> bool {
    let stem = name.split(['[', '.', '\0', ' ']).next().unwrap_or(name);
    // PHP reads `a.b`, `a b` and `a[b` as `a_b`.
    let plain = |byte: u8| if b"[. ".contains(&byte) { b'_' } else { byte.to_ascii_lowercase() };
    stem.eq_ignore_ascii_case(key) || name.trim().bytes().map(plain).eq(key.bytes().map(plain))
}

fn decode_form(text: &str) -> Result<Cow<'_, str>, Malformed> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let valid = byte != b'%'
            || matches!((bytes.next().and_then(hex), bytes.next().and_then(hex)), (Some(_), Some(_)));
        if !valid {
            return Err(Malformed::QueryAmbiguous);
        }
    }
    let decoded = match text.contains('+') {
        true => Cow::Owned(
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8()
                .map_err(|_| Malformed::QueryAmbiguous)?
                .into_owned(),
        ),
        false => percent_decode_str(text).decode_utf8().map_err(|_| Malformed::QueryAmbiguous)?,
    };
    if decoded.chars().any(char::is_control) { Err(Malformed::QueryAmbiguous) } else { Ok(decoded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_key_that_decides_has_one_value() {
        let get = |raw, key| Query::parse(raw).unwrap().get(key).map(|v| v.map(Cow::into_owned));
        assert_eq!(get("a=1&view=acme%2Fsales", "view"), Ok(Some("acme/sales".into())));
        assert_eq!(get("a=1", "view"), Ok(None));
        for raw in [
            "view=1&view=2",
            "view=1&VIEW=2",
            "view[]=1",
            "view[0]=1",
            "view.a=1",
            "a=1;view=2",
            "%76iew=1&view=2",
            "view=%0a",
            "view=%4",
        ] {
            assert_eq!(get(raw, "view"), Err(Malformed::QueryAmbiguous), "{raw}");
        }
        for raw in ["at_view=1&at.view=2", "at_view=1&at%20view=2", "At+View=2", "at%5Bview=2", "+at_view=2"]
        {
            assert_eq!(get(raw, "at_view"), Err(Malformed::QueryAmbiguous), "{raw}");
        }
        assert_eq!(get("at_view=1&at-view=2&atview=3", "at_view"), Ok(Some("1".into())));
        assert!(Query::parse("a#b").is_err());
    }

    #[test]
    fn a_query_names_no_method() {
        for raw in
            ["_method=DELETE", "a=1&_Method=put", "%5fm%65thod=x", "_method", "_method[]=x", "a;_method=x"]
        {
            assert_eq!(Query::parse(raw).map(Query::raw), Err(Malformed::QueryMethod), "{raw}");
        }
        for raw in ["method=x", "a_method=x", "a=_method", "_methods=x", ""] {
            assert!(Query::parse(raw).is_ok(), "{raw}");
        }
    }
}
