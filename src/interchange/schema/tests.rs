//! A schema agrees with what reads the files: what is shipped is valid, every key that a reader knows is in it, and a key
//! that no reader knows is a mistake for both.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;

/// What of draft-07 the schemas use, read plainly: the mistakes of a value.
fn mistakes(schema: &Value, root: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        return mistakes(target, root, value, at, found);
    }
    if let Some(ways) = schema["anyOf"].as_array() {
        let fits = |way: &Value| {
            let mut own = Vec::new();
            mistakes(way, root, value, at, &mut own);
            own.is_empty()
        };
        if !ways.iter().any(fits) {
            found.push(format!("{at}: fits none"));
        }
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        found.push(format!("{at}: {value} is none of {words:?}"));
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        other => panic!("{other}"),
    };
    match &schema["type"] {
        Value::String(kind) if !is(kind) => found.push(format!("{at}: is no {kind}")),
        Value::Array(kinds) if !kinds.iter().any(|kind| is(kind.as_str().unwrap())) => {
            found.push(format!("{at}: is none of {kinds:?}"));
        }
        _ => {}
    }
    if let Some(table) = value.as_object() {
        for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !table.contains_key(key) {
                found.push(format!("{at}: no {key}"));
            }
        }
        for (key, own) in table {
            let at = format!("{at}.{key}");
            match (schema["properties"].get(key), &schema["additionalProperties"]) {
                (Some(known), _) => mistakes(known, root, own, &at, found),
                (None, Value::Bool(false)) => found.push(format!("{at}: unknown")),
                (None, Value::Object(_)) => mistakes(&schema["additionalProperties"], root, own, &at, found),
                _ => {}
            }
        }
    }
    for (index, own) in
        value.as_array().into_iter().flatten().enumerate().filter(|_| schema["items"].is_object())
    {
        mistakes(&schema["items"], root, own, &format!("{at}[{index}]"), found);
    }
}

fn checked(schema: &Value, text: &str) -> Vec<String> {
    let value: Value = toml::from_str(text).unwrap();
    let mut found = Vec::new();
    mistakes(schema, schema, &value, "", &mut found);
    found
}

fn shipped() -> Vec<(File, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![(File::Gateway, "gateway.toml".to_owned())];
    for entry in std::fs::read_dir(root.join("rules")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".toml") {
            found.push((
                if name == "tenants.toml" { File::Tenants } else { File::Rules },
                format!("rules/{name}"),
            ));
        }
    }
    assert!(found.len() > 5);
    let read = |(file, name): (File, String)| {
        let text = std::fs::read_to_string(root.join(&name)).unwrap();
        (file, name, text)
    };
    found.into_iter().map(read).collect()
}

fn snapshot() -> crate::snapshot::Snapshot {
    let kind = |file| match file {
        File::Gateway => crate::config::FileKind::Gateway,
        File::Tenants => crate::config::FileKind::Tenants,
        File::Rules => crate::config::FileKind::Rules,
    };
    let files = shipped()
        .into_iter()
        .map(|(file, name, text)| crate::config::SourceFile { kind: kind(file), path: name.into(), text })
        .collect();
    let sources = crate::config::Sources { files, hash: String::new() };
    crate::config::compile(&sources, crate::config::Carried::nothing()).unwrap().snapshot
}

#[test]
fn what_is_shipped_is_valid_with_names_and_without() {
    let snapshot = snapshot();
    for (file, name, text) in shipped() {
        assert_eq!(checked(&schema(file, None), &text), [""; 0], "{name}");
        assert_eq!(checked(&schema(file, Some(&Names::of(&snapshot, None))), &text), [""; 0], "{name}");
    }
    let names = schema(File::Rules, Some(&Names::of(&snapshot, Some("agent-desk")))).to_string();
    assert!(
        names.contains("\"supervisor\"")
            && names.contains("\"!state-change\"")
            && !names.contains("Customer Admins")
    );
}

/// Every key that stands in quotes in a reader's `take`, `require` or `entry`.
fn known_to_readers(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(known_to_readers(&path));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for call in [".take(\"", ".require(\"", ".entry(\""] {
            let keys = code.split(call).skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(keys.map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_key_that_is_read_is_in_a_schema() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    for (directory, files) in [("rules", &[File::Rules][..]), ("gateway", &[File::Gateway])] {
        let text: String = files.iter().map(|file| schema(*file, None).to_string()).collect();
        let known = known_to_readers(&source.join(directory));
        assert!(known.len() > 20, "{known:?}");
        // What is read to be refused.
        for key in known.iter().filter(|key| !["methods", "tenants"].contains(&key.as_str())) {
            assert!(
                text.contains(&format!("\"{key}\"")),
                "`{key}` is read under {directory} and in no schema"
            );
        }
    }
}

#[test]
fn a_key_that_nobody_reads_is_a_mistake_for_both() {
    for (file, name, right, wrong) in [
        (File::Rules, "rules/agent-desk.toml", "owns ", "onws "),
        (File::Rules, "rules/agent-desk.toml", "[socket]", "[sockets]"),
        (File::Rules, "rules/agent-desk.toml", "path       =", "paht       ="),
        (File::Rules, "rules/calling.toml", "step-up", "stepup"),
        (File::Rules, "rules/calling.toml", "proven-by", "proven"),
        (File::Rules, "rules/calling.toml", "query = ", "qeury = "),
        (File::Rules, "rules/calling.toml", "{ only = [\"/property\"", "{ onyl = [\"/property\""),
        (File::Rules, "rules/calling.toml", "operations = [\"GET /calls\"]", "operation = [\"GET /calls\"]"),
        (File::Tenants, "rules/tenants.toml", "concurrent", "concurent"),
        (File::Tenants, "rules/tenants.toml", "time-zone", "timezone"),
        (File::Tenants, "rules/tenants.toml", "[organisation.", "[organization."),
        (File::Gateway, "gateway.toml", "audience", "audiences"),
        (File::Gateway, "gateway.toml", "read-timeout", "read_timeout"),
        (File::Gateway, "gateway.toml", "[ledger]", "[leger]"),
    ] {
        let (.., text) = shipped().into_iter().find(|(_, own, _)| own == name).unwrap();
        assert!(text.contains(right), "{name} {right}");
        let text = text.replacen(right, wrong, 1);
        assert_ne!(checked(&schema(file, None), &text), [""; 0], "{name} {wrong}");
    }
}
