//! The editor against a document's tree: parse, edit, write, and it must be the same.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::caseless;
use super::super::strict::{self, Names, Strictness};
use super::super::{Pattern, Segment};
use super::tests::{edits, pattern, run};
use super::{DEPTH_MAX, Editor, Edits, Filter, Unreadable};

/// A document's tree, edited.
fn expected(
    value: &Value,
    masks: &[&[Segment]],
    filters: &[(&[Segment], usize)],
    keep: &dyn Fn(usize, &Value) -> bool,
) -> Option<Value> {
    if masks.iter().any(|mask| mask.is_empty()) {
        return Some(json!("********"));
    }
    let own: Vec<usize> =
        filters.iter().filter(|filter| filter.0.is_empty()).map(|filter| filter.1).collect();
    let inner = |value: &Value, is: &dyn Fn(&str) -> bool| {
        let leads = |segments: &[Segment]| match segments.first() {
            Some(Segment::Any) => true,
            Some(Segment::Named(name)) => is(name),
            None => false,
        };
        let masks: Vec<_> = masks.iter().filter(|mask| leads(mask)).map(|mask| &mask[1..]).collect();
        let filters: Vec<_> = filters.iter().filter(|f| leads(f.0)).map(|f| (&f.0[1..], f.1)).collect();
        expected(value, &masks, &filters, keep)
    };
    match value {
        Value::Array(items) => {
            let mut kept = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let index = index.to_string();
                let edited = inner(item, &|name| name == index)?;
                if own.iter().all(|number| keep(*number, item)) {
                    kept.push(edited);
                }
            }
            Some(Value::Array(kept))
        }
        _ if !own.is_empty() => None,
        Value::Object(members) => {
            let members = members.iter().map(|(key, member)| {
                Some((key.clone(), inner(member, &|name| caseless(name) == caseless(key))?))
            });
            members.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        plain => Some(plain.clone()),
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "c", "0", "1", "é", "x/y", "\"", "😀", "\\", ""]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 80, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..6).prop_map(|members| {
                // Two names that differ in case alone are refused in elements that are judged.
                let mut seen = std::collections::HashSet::new();
                Value::Object(members.into_iter().filter(|(name, _)| seen.insert(caseless(name))).collect())
            }),
        ]
    })
}

fn places() -> impl Strategy<Value = Pattern> {
    let segment =
        prop::sample::select(vec!["*", "*", "a", "B", "c", "0", "1", "É", "x~1y", "\"", "😀", "\\", ""]);
    prop::collection::vec(segment, 0..4)
        .prop_map(|segments| segments.iter().map(|segment| format!("/{segment}")).collect::<String>())
        .prop_map(|text| pattern(&text))
}

/// Writes a tree with white space and escapes wherever they may stand, by the numbers in `seed`.
fn written(value: &Value, seed: &mut dyn Iterator<Item = u8>, out: &mut String) {
    let blank =
        |seed: &mut dyn Iterator<Item = u8>| ["", "", " ", "\n\t"][usize::from(seed.next().unwrap() % 4)];
    out.push_str(blank(seed));
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                written(item, seed, out);
            }
            out.push_str(blank(seed));
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                written(&Value::from(name.as_str()), seed, out);
                out.push(':');
                written(member, seed, out);
            }
            out.push_str(blank(seed));
            out.push('}');
        }
        Value::String(text) => {
            out.push('"');
            for c in text.chars() {
                if seed.next().unwrap().is_multiple_of(8) {
                    c.encode_utf16(&mut [0; 2])
                        .iter()
                        .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
                } else {
                    let quoted = Value::from(c.to_string()).to_string();
                    out.push_str(quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap());
                }
            }
            out.push('"');
        }
        plain => out.push_str(&plain.to_string()),
    }
    out.push_str(blank(seed));
}

fn judge(number: usize) -> impl Fn(&Value) -> bool + Send + Sync + Clone {
    move |value| !(value.to_string().len() + number).is_multiple_of(3)
}

fn random_edits(masks: Vec<Pattern>, filters: Vec<Pattern>) -> Edits {
    let filter = |(number, items)| Filter { items, keep: Arc::new(judge(number)) };
    Edits { masks, filters: filters.into_iter().enumerate().map(filter).collect() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What comes out is the edited tree, however the document was written and cut.
    #[test]
    fn the_editor_does_what_editing_the_tree_does(
        document in document(),
        masks in prop::collection::vec(places(), 0..4),
        filters in prop::collection::vec(places(), 0..3),
        lengths in prop::collection::vec(1..40usize, 1..8),
        seed in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        let mut text = String::new();
        written(&document, &mut seed.iter().copied().cycle(), &mut text);
        // Fractions are not read to their last digit.
        let document: Value = serde_json::from_str(&text).unwrap();
        let masked: Vec<_> = masks.iter().map(Pattern::segments).collect();
        let filtered: Vec<_> = filters.iter().enumerate().map(|(number, items)| (items.segments(), number)).collect();
        let tree = expected(&document, &masked, &filtered, &|number, value| judge(number)(value));
        let edits = random_edits(masks.clone(), filters.clone());
        let whole = run(&edits, text.as_bytes(), &[usize::MAX]);
        prop_assert_eq!(&run(&edits, text.as_bytes(), &lengths), &whole);
        let read = whole.map(|out| strict::read(&out, Strictness { depth: DEPTH_MAX, names: Names::Exact }).unwrap());
        prop_assert_eq!(read.ok(), tree, "{}", text);
    }

    /// A hidden value is nowhere in what comes out, however its name is spelt and wherever the document breaks off.
    #[test]
    fn a_hidden_value_never_comes_out(
        document in document(),
        cut in any::<prop::sample::Index>(),
        lengths in prop::collection::vec(1..40usize, 1..8),
        name in prop::sample::select(vec!["hush", "HUSH", "hu\\u0073h"]),
        secret in prop::sample::select(vec!["\"S3CRET\"", "[1,\"S3CRET\",{}]", "{\"x\":{\"S3CRET\":1}}"]),
    ) {
        let text = format!("{{\"before\":{document},\"{name}\":{secret},\"after\":{document}}}");
        let edits = edits(&["/hush"], &[]);
        let out = String::from_utf8(run(&edits, text.as_bytes(), &lengths).unwrap()).unwrap();
        prop_assert!(!out.contains("S3CRET") && out.contains("********"));
        let (mut editor, mut out) = (Editor::new(&edits), Vec::new());
        for piece in text.as_bytes()[..cut.index(text.len())].chunks(lengths[0]) {
            editor.feed(piece, &mut out).unwrap();
        }
        prop_assert_eq!(editor.finish(), Err(Unreadable));
        prop_assert!(!String::from_utf8_lossy(&out).contains("S3CRET"));
    }

    /// Any bytes: no panic, what is accepted is JSON, and how it was cut doesn't matter.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            prop::collection::vec(prop::sample::select(b"[]{}\"\\,:au0019.-eE+tf \n\xc3\xa9truefalsenull".to_vec()), 0..40),
        ],
        masks in prop::collection::vec(places(), 0..3),
        filters in prop::collection::vec(places(), 0..2),
        lengths in prop::collection::vec(1..9usize, 1..5),
    ) {
        let edits = random_edits(masks, filters);
        let whole = run(&edits, &bytes, &[usize::MAX]);
        prop_assert_eq!(&run(&edits, &bytes, &lengths), &whole);
        let plain = run(&Edits::default(), &bytes, &lengths);
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
        prop_assert!(!is_json || plain.is_ok() || has_lone_surrogate(&bytes));
        if let Ok(out) = plain {
            prop_assert!(is_json);
            prop_assert_eq!(out, bytes);
        }
        if let Ok(out) = whole {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&out).is_ok());
        }
    }
}

/// serde_json skips what it ignores without a look at `\u`.
fn has_lone_surrogate(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_err()
}
