//! JSON that can be read in one way only: no member twice, no deep nesting, nothing after the end.
//!
//! `serde_json` keeps the last of two members with one name, other readers the first. What an identity provider
//! signs or serves, and what a rule judges of a request's body, has to mean the same to everyone, so it is refused
//! instead.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::caseless;

/// Deepest nesting of arrays and objects in what is signed or served as keys.
pub const TOKEN_DEPTH_MAX: usize = 16;
/// Deepest nesting of arrays and objects in a body.
pub const BODY_DEPTH_MAX: usize = 64;

/// The bytes can't be read in exactly one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the JSON can't be read, or can be read in two ways")]
pub struct Ambiguous;

/// How much is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strictness {
    /// Deepest nesting of arrays and objects that is read.
    pub depth: usize,
    /// Which members of an object are one member twice.
    pub names: Names,
}

/// When two members of an object have one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// When they are equal.
    Exact,
    /// When they are equal but for case too: some readers don't look at it.
    Caseless,
}

impl Strictness {
    /// For tokens and keys.
    pub const TOKEN: Self = Self { depth: TOKEN_DEPTH_MAX, names: Names::Exact };
    /// For the body of a request, which an application behind us reads again.
    pub const BODY: Self = Self { depth: BODY_DEPTH_MAX, names: Names::Caseless };
}

/// Reads one document.
pub fn read(bytes: &[u8], strictness: Strictness) -> Result<Value, Ambiguous> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0, strictness }.deserialize(&mut reader).map_err(|_| Ambiguous)?;
    reader.end().map_err(|_| Ambiguous)?;
    Ok(value)
}

/// Reads one document that is an object.
pub fn object(bytes: &[u8], strictness: Strictness) -> Result<Map<String, Value>, Ambiguous> {
    match read(bytes, strictness)? {
        Value::Object(map) => Ok(map),
        _ => Err(Ambiguous),
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
    strictness: Strictness,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > self.strictness.depth {
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(inner)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member occurs twice"));
            }
        }
        if self.strictness.names == Names::Caseless && occurs_twice_but_for_case(&members) {
            return Err(A::Error::custom("a member occurs twice but for case"));
        }
        Ok(Value::Object(members))
    }
}

fn occurs_twice_but_for_case(members: &Map<String, Value>) -> bool {
    // Plain small letters are never equal but for case; most names are nothing else.
    let is_plain = |name: &String| name.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase());
    if members.keys().all(is_plain) {
        return false;
    }
    let mut seen = HashSet::with_capacity(members.len());
    !members.keys().all(|name| seen.insert(caseless(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(text: &[u8]) -> [Result<Value, Ambiguous>; 2] {
        [read(text, Strictness::TOKEN), read(text, Strictness::BODY)]
    }

    #[test]
    fn a_document_is_what_serde_json_reads() {
        for text in [
            r#" {"a":[1,-2,3.5,true,null,"x\n\u00e9\ud83d\ude00"],"b":{"c":{}}} "#,
            "[]",
            "null",
            "18446744073709551615",
            "\"\"",
        ] {
            let plain: Value = serde_json::from_str(text).unwrap();
            assert_eq!(both(text.as_bytes()), [Ok(plain.clone()), Ok(plain)]);
        }
        assert_eq!(object(b"[]", Strictness::TOKEN), Err(Ambiguous));
        assert_eq!(object(b"{\"a\":1}", Strictness::TOKEN).unwrap().len(), 1);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"[{"b":1,"b":2}]"#,
            r#"{"a":1}{}"#,
            r#"{"a":1,}"#,
            r#"{"a":NaN}"#,
            r#"{"a":Infinity}"#,
            r#"{"a":1e999}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00\ud800"}"#,
            r#"{"a":01}"#,
            r#"{'a':1}"#,
            r#"{"a":1}//"#,
            r#"{"a":"#,
            "",
            " ",
            "\u{feff}{}",
            "{}\0",
        ] {
            assert_eq!(both(text.as_bytes()), [Err(Ambiguous), Err(Ambiguous)], "{text}");
        }
        assert_eq!(both(b"{\"a\":\"\xff\"}"), [Err(Ambiguous), Err(Ambiguous)]);
        assert_eq!(both(b"{\"a\":\"\n\"}"), [Err(Ambiguous), Err(Ambiguous)]);
    }

    #[test]
    fn members_that_differ_in_case_are_one_where_a_reader_may_think_so() {
        for text in [
            r#"{"role":1,"Role":2}"#,
            r#"{"a":[{"role":1,"ROL\u0045":2}]}"#,
            r#"{"key":1,"\u212aey":2}"#,
            r#"{"straße":1,"STRASSE":2}"#,
        ] {
            assert!(read(text.as_bytes(), Strictness::TOKEN).is_ok(), "{text}");
            assert_eq!(read(text.as_bytes(), Strictness::BODY), Err(Ambiguous), "{text}");
        }
        assert!(read(br#"{"role":1,"inner":{"Role":2}}"#, Strictness::BODY).is_ok());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        for strictness in [Strictness::TOKEN, Strictness::BODY] {
            let depth = strictness.depth;
            assert!(read(nested(depth - 1).as_bytes(), strictness).is_ok());
            assert_eq!(read(nested(depth).as_bytes(), strictness), Err(Ambiguous));
            assert_eq!(read(nested(40_000).as_bytes(), strictness), Err(Ambiguous));
            assert_eq!(read("[".repeat(40_000).as_bytes(), strictness), Err(Ambiguous));
        }
    }
}
