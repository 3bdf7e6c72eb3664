//! What the editor does, case by case.

use std::sync::Arc;

use serde_json::Value;

use super::super::Pattern;
use super::{DEPTH_MAX, ELEMENT_MAX_BYTES, Editor, Edits, Filter, NAME_MAX_BYTES, Unreadable};

/// An array, and what stays in it.
pub(super) type Kept<'k> = (&'k str, fn(&Value) -> bool);

pub(super) fn pattern(text: &str) -> Pattern {
    if text.is_empty() { Pattern::root() } else { Pattern::parse(text).unwrap() }
}

pub(super) fn edits(masks: &[&str], filters: &[Kept]) -> Edits {
    let filter = |(items, keep): &Kept| Filter { items: pattern(items), keep: Arc::new(*keep) };
    Edits {
        masks: masks.iter().map(|text| pattern(text)).collect(),
        filters: filters.iter().map(filter).collect(),
    }
}

/// The whole answer, fed in pieces of these lengths, again and again.
pub(super) fn run(edits: &Edits, input: &[u8], lengths: &[usize]) -> Result<Vec<u8>, Unreadable> {
    let mut editor = Editor::new(edits);
    let mut out = Vec::new();
    let mut rest = input;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        editor.feed(piece, &mut out)?;
        rest = after;
    }
    editor.finish()?;
    Ok(out)
}

/// Whole, byte by byte, and in threes: which must not matter.
fn edit(edits: &Edits, input: &[u8]) -> Result<String, Unreadable> {
    let whole = run(edits, input, &[usize::MAX]);
    for lengths in [&[1][..], &[3], &[7, 1]] {
        assert_eq!(run(edits, input, lengths), whole, "{}", String::from_utf8_lossy(input));
    }
    whole.map(|out| String::from_utf8(out).unwrap())
}

#[track_caller]
fn becomes(masks: &[&str], filters: &[Kept], input: &str, output: &str) {
    assert_eq!(edit(&edits(masks, filters), input.as_bytes()).as_deref(), Ok(output), "{input}");
}

fn odd(value: &Value) -> bool {
    value.as_i64().is_some_and(|value| value % 2 == 1)
}

fn own(value: &Value) -> bool {
    value.pointer("/own") == Some(&Value::Bool(true))
}

fn all(_: &Value) -> bool {
    true
}

#[test]
fn everything_else_is_passed_on_as_it_came() {
    let text = " {\"a\" :\t[1 , -0.5e+7,\r\n\"x\\u00e9\\\\\\\"\", true,false,null,{ },[ ] ], \"é\":\"\\ud83d\\ude00😀\"} \n";
    becomes(&[], &[], text, text);
    becomes(&["/none", "/a/*/none", "/a/99"], &[("/none/*", all)], text, text);
    for text in ["1", "-0", "\"\"", "null", " true ", "[]", "{}"] {
        becomes(&[], &[], text, text);
    }
}

#[test]
fn a_value_is_hidden_whatever_its_type() {
    for value in ["1", "-1.5E9", "\"a\\\"b\"", "null", "[1,[2,{\"s\":3}]]", "{\"s\":{\"t\":[]}}", "[]", "{}"]
    {
        becomes(
            &["/s"],
            &[],
            &format!("{{\"a\":1,\"s\" : {value} ,\"b\":2}}"),
            "{\"a\":1,\"s\" : \"********\" ,\"b\":2}",
        );
        becomes(&["/0"], &[], &format!("[{value}, {value}]"), &format!("[\"********\", {value}]"));
        becomes(&[""], &[], &format!(" {value}\n"), " \"********\"\n");
    }
    becomes(
        &["/*/s", "/x/t"],
        &[],
        r#"{"x":{"s":1,"t":2},"y":{"s":3,"t":4}}"#,
        r#"{"x":{"s":"********","t":"********"},"y":{"s":"********","t":4}}"#,
    );
    becomes(&["/a", "/a/b"], &[], r#"{"a":{"b":1}}"#, r#"{"a":"********"}"#);
}

#[test]
fn a_name_is_found_however_it_is_spelt() {
    for name in [
        "secret",
        "Secret",
        "SECRET",
        "\\u0073ecret",
        "\\u0053ECRET",
        "ſecret",
        "\\u017fecret",
        "se\\u0063ret",
    ] {
        becomes(&["/secret"], &[], &format!("{{\"{name}\":1}}"), &format!("{{\"{name}\":\"********\"}}"));
    }
    becomes(&["/schlüssel/a~1b"], &[], r#"{"SCHLÜSSEL":{"a\/b":1}}"#, r#"{"SCHLÜSSEL":{"a\/b":"********"}}"#);
    becomes(
        &["/secret"],
        &[],
        r#"{"secret":1,"secret":2,"secrets":3,"secre":4}"#,
        r#"{"secret":"********","secret":"********","secrets":3,"secre":4}"#,
    );
    becomes(&["/1"], &[], r#"[0,1,{"1":2}]"#, r#"[0,"********",{"1":2}]"#);
    becomes(&["/01"], &[], "[0,1]", "[0,1]");
}

#[test]
fn an_element_stays_only_if_it_is_kept() {
    becomes(&[], &[("", odd)], "[ 1 , 2,3 ,4 ]", "[1,3]");
    becomes(&[], &[("", odd)], "[2,4]", "[]");
    becomes(&[], &[("", odd)], "[2,1]", "[1]");
    becomes(&[], &[("", odd)], " [] ", " [] ");
    becomes(
        &[],
        &[("/items", own)],
        r#"{"items":[{"own":false,"x":1},{"own":true,"x":2}],"n":[2]}"#,
        r#"{"items":[{"own":true,"x":2}],"n":[2]}"#,
    );
    becomes(
        &[],
        &[("/*/v", odd)],
        r#"{"a":{"v":[1,2]},"b":{"v":[2]},"v":[2]}"#,
        r#"{"a":{"v":[1]},"b":{"v":[]},"v":[2]}"#,
    );
    becomes(&[], &[("/a", all), ("/*", odd)], r#"{"a":[1,2],"b":[2,3]}"#, r#"{"a":[1],"b":[3]}"#);
}

#[test]
fn masks_and_filters_reach_into_kept_elements() {
    becomes(
        &["/*/key"],
        &[("", own)],
        r#"[{"own":true,"key":1},{"key":2}]"#,
        r#"[{"own":true,"key":"********"}]"#,
    );
    // What will be hidden may be what is judged.
    becomes(&["/*/own"], &[("", own)], r#"[{"own":true},{"own":false}]"#, r#"[{"own":"********"}]"#);
    becomes(&["/1"], &[("", odd)], "[1,3,5]", r#"[1,"********",5]"#);
    becomes(&["/items"], &[("/items", odd)], r#"{"items":7}"#, r#"{"items":"********"}"#);
    becomes(
        &["/*/in/*/key"],
        &[("", own), ("/*/in", own)],
        r#"[{"in":[{"own":true,"key":1}, {"key":2} ,{"own":true}], "own":true},{"in":[{"own":true}]},{"own":true,"in":[ ]}]"#,
        r#"[{"in":[{"own":true,"key":"********"},{"own":true}], "own":true},{"own":true,"in":[]}]"#,
    );
    becomes(&[], &[("", all), ("/*", odd), ("/*/*", all)], "[[]]", "[[]]");
}

#[test]
fn what_should_be_a_list_and_is_none_is_not_passed_on() {
    let own = edits(&[], &[("/items", own)]);
    for text in [
        r#"{"items":{}}"#,
        r#"{"items":"x"}"#,
        r#"{"ITEMS":1}"#,
        r#"{"items":null}"#,
        r#"{"items":[{"own":true,"own":true}]}"#,
    ] {
        assert_eq!(edit(&own, text.as_bytes()), Err(Unreadable), "{text}");
    }
    for text in [r#"{"other":1}"#, "{}", "[]", "1"] {
        assert_eq!(edit(&own, text.as_bytes()).as_deref(), Ok(text));
    }
    assert_eq!(edit(&edits(&[], &[("", all)]), b"{}"), Err(Unreadable));
}

#[test]
fn what_is_no_json_is_not_passed_on() {
    for text in [
        &b""[..],
        b" ",
        b"nul",
        b"nulL",
        b"truex",
        b"1 2",
        b"01",
        b"-",
        b"1.",
        b".5",
        b"1e",
        b"+1",
        b"1e+",
        b"NaN",
        b"Infinity",
        b"[1,]",
        b"[,1]",
        b"[1 2]",
        b"[",
        b"]",
        b"[}",
        b"{",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{,}",
        b"{a:1}",
        b"{\"a\" 1}",
        b"{1:1}",
        b"'a'",
        b"\"a",
        b"\"\\x\"",
        b"\"\\u12g4\"",
        b"\"\n\"",
        b"\"\x00\"",
        b"\"\\ud800\"",
        b"\"\\ud800x\"",
        b"\"\\ud800\\n\"",
        b"\"\\ud800\\u0041\"",
        b"\"\\udc00\"",
        b"\"\xff\"",
        b"\"\xc0\x80\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xf4\x90\x80\x80\"",
        b"\"\xe2\x82\"",
        b"\xef\xbb\xbf{}",
        b"{}{}",
        b"{}\0",
        b"//\n1",
        b"[1]x",
        b"[1.]",
        b"[-]",
        b"[1e]",
        b"[1e+ ]",
        b"{\"a\":-}",
        b"[01]",
        b"[-01]",
    ] {
        for masks in [&[][..], &["/a"], &[""]] {
            assert_eq!(edit(&edits(masks, &[]), text), Err(Unreadable), "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(
            edit(&edits(&[], &[("", all)]), text),
            Err(Unreadable),
            "{}",
            String::from_utf8_lossy(text)
        );
    }
}

#[test]
fn nothing_goes_out_after_a_fault() {
    let mut editor = Editor::new(&edits(&["/s"], &[]));
    let mut out = Vec::new();
    editor.feed(b"{\"a\":1,", &mut out).unwrap();
    // The mask makes a beginning of this piece ready before the fault is found.
    assert_eq!(editor.feed(b"\"b\":2,\"s\":3,}", &mut out), Err(Unreadable));
    assert_eq!(out, b"{\"a\":1,");
    assert_eq!(editor.feed(b"", &mut out), Err(Unreadable));
    assert_eq!(editor.feed(b"1", &mut out), Err(Unreadable));
    assert_eq!(editor.finish(), Err(Unreadable));
    assert_eq!(out, b"{\"a\":1,");
}

#[test]
fn nothing_that_is_held_is_without_a_bound() {
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    let plain = edits(&["/s"], &[]);
    assert!(edit(&plain, &nested(DEPTH_MAX)).is_ok());
    assert_eq!(edit(&plain, &nested(DEPTH_MAX + 1)), Err(Unreadable));
    assert_eq!(run(&plain, &b"[".repeat(1 << 20), &[4096]), Err(Unreadable));
    assert_eq!(run(&edits(&[""], &[]), &b"[".repeat(1 << 20), &[4096]), Err(Unreadable));

    let named = |length: usize| format!("{{\"{}\":1}}", "n".repeat(length)).into_bytes();
    assert!(edit(&plain, &named(NAME_MAX_BYTES)).is_ok());
    assert_eq!(edit(&plain, &named(NAME_MAX_BYTES + 1)), Err(Unreadable));

    let element = |length: usize| format!("[\"{}\"]", "e".repeat(length - 2)).into_bytes();
    let list = edits(&[], &[("", all)]);
    for lengths in [&[usize::MAX][..], &[1000], &[65_536]] {
        assert!(run(&list, &element(ELEMENT_MAX_BYTES), lengths).is_ok());
        assert_eq!(run(&list, &element(ELEMENT_MAX_BYTES + 1), lengths), Err(Unreadable));
    }
    // A list without an end is held an element at a time.
    let mut editor = Editor::new(&list);
    let mut out = Vec::new();
    editor.feed(b"[1", &mut out).unwrap();
    for _ in 0..100 {
        editor.feed(&b",\"xxxxxxxxxxxxxxx\"".repeat(1000), &mut out).unwrap();
        out.clear();
    }
    assert!(editor.capacity() < 100_000);
}
