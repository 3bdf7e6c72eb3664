//! What a demo application knows: one JSON tree, which a request's path is walked through.
//!
//! An object's member is named by its key, an array's element by its `id`. So every route of every demo
//! application is answered by the same few rules, and what is created, changed or deleted is seen by the next
//! request. Who may do what is not asked here: that is the gateway's work, in front.

use serde_json::{Map, Value, json};

/// The demo applications' data, by application.
const DEMO: &str = include_str!("demo.json");
/// Longest list; the oldest element goes when one more is created.
const LIST_MAX: usize = 1000;

/// One application's data.
#[derive(Clone, Debug)]
pub(super) struct Store {
    root: Value,
    created: u64,
}

/// A status and what is answered with it.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Always an object.
    pub body: Map<String, Value>,
}

/// One request as a store sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The decoded path segments.
    pub path: &'a [String],
    /// `_id` of the query: some routes name their element there.
    pub query_id: Option<&'a str>,
    /// The tenant that the gateway says is acted for: elements of another `customer` aren't there.
    pub tenant: Option<&'a str>,
    /// What was sent, `null` if nothing.
    pub sent: &'a Value,
}

impl Store {
    /// The applications by name, each with its store.
    pub(super) fn demo() -> Result<Vec<(String, Self)>, serde_json::Error> {
        let apps: Map<String, Value> = serde_json::from_str(DEMO)?;
        Ok(apps.into_iter().map(|(name, root)| (name, Self { root, created: 0 })).collect())
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, ask: Ask<'_>) -> Answer {
        // An element that the query names is an element of the list that the path names.
        let mut path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
        let sent_id = ask.sent.get("id").and_then(Value::as_str);
        let named = match (ask.method, walk(&self.root, &path, ask.tenant)) {
            ("PUT" | "PATCH" | "DELETE", Some(Value::Array(_))) => ask.query_id.or(sent_id),
            _ => None,
        };
        path.extend(named);
        match ask.method {
            "GET" | "HEAD" => match walk(&self.root, &path, ask.tenant) {
                Some(found) => ok(found, ask.tenant),
                None => missing(),
            },
            "POST" => self.post(&path, ask),
            "PUT" | "PATCH" => self.put(&path, ask),
            "DELETE" => self.delete(&path, ask),
            _ => missing(),
        }
    }

    /// Into a list: create. Onto a document: a question asked by POST, or a command.
    fn post(&mut self, path: &[&str], ask: Ask<'_>) -> Answer {
        self.created += 1;
        let id = format!("new-{}", self.created);
        match walk_mut(&mut self.root, path, ask.tenant) {
            Some(Value::Array(list)) => {
                let mut element = ask.sent.as_object().cloned().unwrap_or_default();
                element.entry("id").or_insert_with(|| json!(id));
                if let Some(tenant) = ask.tenant.filter(|_| list.iter().any(|e| e.get("customer").is_some()))
                {
                    element.insert("customer".into(), json!(tenant));
                }
                if list.len() >= LIST_MAX {
                    list.remove(0);
                }
                list.push(Value::Object(element.clone()));
                Answer { status: 201, body: element }
            }
            Some(found) => ok(found, ask.tenant),
            None => match path.split_last() {
                Some((command, of)) if walk(&self.root, of, ask.tenant).is_some_and(|v| !v.is_array()) => {
                    answer(202, json!({ "accepted": command }))
                }
                _ => missing(),
            },
        }
    }

    /// Onto a document: its members are replaced by those sent. A member that isn't there yet is made.
    fn put(&mut self, path: &[&str], ask: Ask<'_>) -> Answer {
        match walk_mut(&mut self.root, path, ask.tenant) {
            Some(Value::Object(document)) => {
                let changes = ask.sent.as_object().into_iter().flatten();
                for (key, value) in changes.filter(|(key, _)| !matches!(key.as_str(), "id" | "customer")) {
                    document.insert(key.clone(), value.clone());
                }
                Answer { status: 200, body: document.clone() }
            }
            Some(found) => ok(found, ask.tenant),
            None => {
                let Some((member, of)) = path.split_last() else { return missing() };
                match walk_mut(&mut self.root, of, ask.tenant) {
                    Some(Value::Object(parent)) => {
                        parent.insert((*member).to_owned(), ask.sent.clone());
                        ok(ask.sent, ask.tenant)
                    }
                    _ => missing(),
                }
            }
        }
    }

    fn delete(&mut self, path: &[&str], ask: Ask<'_>) -> Answer {
        let Some((id, of)) = path.split_last() else { return missing() };
        match walk_mut(&mut self.root, of, ask.tenant) {
            Some(Value::Array(list)) if list.iter().any(|element| is_visible(element, id, ask.tenant)) => {
                list.retain(|element| !is_visible(element, id, ask.tenant));
                answer(200, json!({ "deleted": id }))
            }
            _ => missing(),
        }
    }
}

fn walk<'v>(root: &'v Value, path: &[&str], tenant: Option<&str>) -> Option<&'v Value> {
    path.iter().try_fold(root, |at, segment| match at {
        Value::Object(members) => members.get(*segment),
        Value::Array(list) => list.iter().find(|element| is_visible(element, segment, tenant)),
        _ => None,
    })
}

fn walk_mut<'v>(root: &'v mut Value, path: &[&str], tenant: Option<&str>) -> Option<&'v mut Value> {
    path.iter().try_fold(root, |at, segment| match at {
        Value::Object(members) => members.get_mut(*segment),
        Value::Array(list) => list.iter_mut().find(|element| is_visible(element, segment, tenant)),
        _ => None,
    })
}

fn is_visible(element: &Value, id: &str, tenant: Option<&str>) -> bool {
    element.get("id").and_then(Value::as_str) == Some(id) && is_of(element, tenant)
}

/// Whether an element is the tenant's, or nobody's in particular.
fn is_of(element: &Value, tenant: Option<&str>) -> bool {
    match (element.get("customer").and_then(Value::as_str), tenant) {
        (Some(customer), Some(tenant)) => customer == tenant,
        _ => true,
    }
}

fn ok(found: &Value, tenant: Option<&str>) -> Answer {
    match found {
        Value::Object(_) => answer(200, found.clone()),
        Value::Array(list) => {
            let items: Vec<&Value> = list.iter().filter(|element| is_of(element, tenant)).collect();
            answer(200, json!({ "total": items.len(), "items": items }))
        }
        other => answer(200, json!({ "value": other })),
    }
}

fn missing() -> Answer {
    answer(404, json!({ "error": "the demo application has nothing there" }))
}

fn answer(status: u16, body: Value) -> Answer {
    match body {
        Value::Object(body) => Answer { status, body },
        other => Answer { status, body: Map::from_iter([("value".to_owned(), other)]) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(store: &mut Store, method: &str, path: &str, tenant: Option<&str>, sent: Value) -> Answer {
        let (path, query) = path.split_once("?_id=").map_or((path, None), |(path, id)| (path, Some(id)));
        let path: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
        store.answer(Ask { method, path: &path, query_id: query, tenant, sent: &sent })
    }

    fn store(app: &str) -> Store {
        Store::demo().unwrap().into_iter().find(|(name, _)| name == app).unwrap().1
    }

    #[test]
    fn what_is_created_changed_and_deleted_is_seen() {
        let mut desk = store("agent-desk");
        let created = ask(&mut desk, "POST", "/cim/label", None, json!({ "name": "New" }));
        assert_eq!(created.status, 201);
        let id = created.body["id"].as_str().unwrap().to_owned();
        let renamed = ask(&mut desk, "PUT", &format!("/cim/label?_id={id}"), None, json!({ "name": "Old" }));
        assert_eq!((renamed.status, &renamed.body["name"]), (200, &json!("Old")));
        assert_eq!(ask(&mut desk, "GET", "/cim/label", None, Value::Null).body["total"], 3);
        assert_eq!(ask(&mut desk, "DELETE", &format!("/cim/label?_id={id}"), None, Value::Null).status, 200);
        assert_eq!(ask(&mut desk, "DELETE", &format!("/cim/label?_id={id}"), None, Value::Null).status, 404);
    }

    #[test]
    fn a_list_keeps_tenants_apart_by_the_header_it_is_given() {
        let mut calling = store("calling");
        let acme = ask(&mut calling, "GET", "/calls", Some("acme-housing"), Value::Null);
        assert_eq!(acme.body["total"], 2);
        assert_eq!(ask(&mut calling, "GET", "/calls/c3", Some("acme-housing"), Value::Null).status, 404);
        assert_eq!(ask(&mut calling, "GET", "/calls/c3", Some("sunrise-homes"), Value::Null).status, 200);
        let made =
            ask(&mut calling, "POST", "/calls", Some("sunrise-homes"), json!({ "customer": "acme-housing" }));
        assert_eq!(made.body["customer"], "sunrise-homes");
    }

    #[test]
    fn a_list_has_a_bound() {
        let mut calling = store("calling");
        for _ in 0..LIST_MAX + 10 {
            ask(&mut calling, "POST", "/classifiers", None, json!({}));
        }
        let length = ask(&mut calling, "GET", "/classifiers", None, Value::Null).body["total"].clone();
        assert_eq!(length, LIST_MAX);
    }

    #[test]
    fn commands_and_questions_by_post_change_nothing() {
        let mut calling = store("calling");
        assert_eq!(ask(&mut calling, "POST", "/calls/c1/invite", None, Value::Null).status, 202);
        let mut desk = store("agent-desk");
        let asked = ask(&mut desk, "POST", "/realtime-reports/queued-chats/detail", None, json!({ "x": 1 }));
        assert_eq!((asked.status, asked.body.get("x")), (200, None));
        assert_eq!(ask(&mut desk, "POST", "/cim/customers/nobody/x", None, Value::Null).status, 404);
    }
}
