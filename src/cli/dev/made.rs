//! What a demo application adds to an element that is created: its id, whose it is and where it stands. What the
//! caller sends never says so, as in a real application.

use serde_json::{Map, Value, json};

use super::store::{Ask, walk};

/// Members that nobody changes by sending them.
pub(super) const KEPT: [&str; 6] = ["id", "customer", "createdBy", "node", "serviceKey", "jwtTokens"];

/// The element that is put into the list at `path`, the `count`th that is created.
pub(super) fn element(root: &Value, path: &[String], ask: Ask<'_>, count: u64) -> Map<String, Value> {
    let id = format!("new-{count}");
    let sent = ask.sent.as_object().into_iter().flatten();
    let mut new: Map<String, Value> = sent
        .filter(|(key, _)| *key == "id" || !KEPT.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    new.entry("id").or_insert_with(|| json!(id));
    let list = path.last().map_or("", String::as_str);
    let view = ask.caller.view.unwrap_or_default();
    match list {
        "calls" => {
            new.insert("customer".into(), json!(ask.caller.tenant));
            new.insert("createdBy".into(), json!(ask.caller.subject));
        }
        "services" => {
            new.insert("serviceKey".into(), json!(format!("sk-{id}")));
            new.insert("jwtTokens".into(), json!([{ "id": "j1", "token": format!("jwt-{id}") }]));
        }
        "apps" => {
            new.insert("shares".into(), json!([]));
        }
        "members" => {
            new.insert("permissions".into(), json!({}));
        }
        _ => {}
    }
    match list {
        "services" | "apps" | "integrations" | "members" => {
            new.insert("node".into(), json!(view));
        }
        "groups" => {
            new.insert("node".into(), json!(format!("{view}/{id}")));
        }
        "teams" => {
            let group = new.get("group").and_then(Value::as_str).unwrap_or_default();
            let beside = path.split_last().map_or(&[][..], |(_, beside)| beside);
            let group = [beside, &["groups".to_owned(), group.to_owned(), "node".to_owned()]].concat();
            let group = walk(root, &group).and_then(Value::as_str).unwrap_or_default();
            new.insert("node".into(), json!(format!("{group}/{id}")));
        }
        _ => {}
    }
    new
}
