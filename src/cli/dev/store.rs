//! What a demo application knows: one JSON tree, which a request's path is walked through.
//!
//! An object's member is named by its key, an array's element by its `id`. So every route of every demo
//! application is answered by the same few rules, and what is created, changed or deleted is seen by the next
//! request. Three marks in the tree lead elsewhere: `$tenant` to the acting tenant's own member, `$own` to the caller's
//! element of a list, `$any` to an element of whichever list has it. Who may do what is not asked here: that is the
//! gateway's work, in front.

use serde_json::{Map, Value, json};

use super::made;

/// The demo applications' data, by application.
const DEMO: &str = include_str!("demo.json");
/// Longest list; the oldest element goes when one more is created.
const LIST_MAX: usize = 1000;
/// What a service's `key` page shows, and nothing else of it.
const CREDENTIALS: [&str; 2] = ["serviceKey", "jwtTokens"];

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
    /// The decoded query. `_id` names an element of the list; a key that elements have is a filter.
    pub query: &'a [(String, String)],
    /// What the gateway says of the caller.
    pub caller: Caller<'a>,
    /// What was sent, `null` if nothing.
    pub sent: &'a Value,
}

/// What the gateway says of the caller, in headers that nobody else can set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Caller<'a> {
    /// The tenant that is acted for.
    pub tenant: Option<&'a str>,
    /// Who it is.
    pub subject: Option<&'a str>,
    /// The place in the hierarchy that he looks from.
    pub view: Option<&'a str>,
}

impl Ask<'_> {
    fn id(&self) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == "_id").map(|(_, id)| id.as_str())
    }
}

impl Store {
    /// The applications by name, each with its store.
    pub(super) fn demo() -> Result<Vec<(String, Self)>, serde_json::Error> {
        let apps: Map<String, Value> = serde_json::from_str(DEMO)?;
        Ok(apps.into_iter().map(|(name, root)| (name, Self { root, created: 0 })).collect())
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, ask: Ask<'_>) -> Answer {
        let mut path = led(&self.root, ask);
        // An element that the query names, or the document itself, is an element of the list that the path names.
        let named = match (ask.method, walk(&self.root, &path)) {
            ("PUT" | "PATCH" | "DELETE", Some(Value::Array(_))) => {
                ask.id().or(ask.sent.get("id").and_then(Value::as_str))
            }
            _ => None,
        };
        path.extend(named.map(str::to_owned));
        match ask.method {
            "GET" | "HEAD" => self.get(&path, ask),
            "POST" => self.post(&path, ask),
            "PUT" | "PATCH" => self.put(&path, ask),
            "DELETE" => self.delete(&path),
            _ => missing(),
        }
    }

    fn get(&self, path: &[String], ask: Ask<'_>) -> Answer {
        if let Some(found) = walk(&self.root, path) {
            return ok(found, ask);
        }
        match path.split_last() {
            Some((last, of)) if last == "key" => match walk(&self.root, of) {
                Some(Value::Object(service)) => {
                    let shown = CREDENTIALS.iter().filter_map(|key| service.get_key_value(*key));
                    let shown: Map<String, Value> = shown.map(|(k, v)| (k.clone(), v.clone())).collect();
                    if shown.is_empty() { missing() } else { Answer { status: 200, body: shown } }
                }
                _ => missing(),
            },
            _ => missing(),
        }
    }

    /// Into a list: create. Onto a document: a question asked by POST, or a command.
    fn post(&mut self, path: &[String], ask: Ask<'_>) -> Answer {
        self.created += 1;
        let new = made::element(&self.root, path, ask, self.created);
        match walk_mut(&mut self.root, path) {
            // A list of names grows by the node that is sent: sharing an asset.
            Some(Value::Array(list)) if path.last().is_some_and(|last| last == "shares") => {
                let node = ask.sent.get("node").cloned().unwrap_or_default();
                if !list.contains(&node) && list.len() < LIST_MAX {
                    list.push(node);
                }
                answer(201, json!({ "shares": list }))
            }
            Some(Value::Array(list)) => {
                if list.len() >= LIST_MAX {
                    list.remove(0);
                }
                list.push(Value::Object(new.clone()));
                Answer { status: 201, body: new }
            }
            Some(found) => ok(found, ask),
            None => match path.split_last() {
                Some((command, of)) if walk(&self.root, of).is_some_and(|v| !v.is_array()) => {
                    answer(202, json!({ "accepted": command }))
                }
                _ => missing(),
            },
        }
    }

    /// Onto a document: its members are replaced by those sent. A member that isn't there yet is made.
    fn put(&mut self, path: &[String], ask: Ask<'_>) -> Answer {
        match walk_mut(&mut self.root, path) {
            Some(Value::Object(document)) => {
                let changes = ask.sent.as_object().into_iter().flatten();
                for (key, value) in changes.filter(|(key, _)| !made::KEPT.contains(&key.as_str())) {
                    document.insert(key.clone(), value.clone());
                }
                Answer { status: 200, body: document.clone() }
            }
            Some(found) => ok(found, ask),
            None => {
                let Some((member, of)) = path.split_last() else { return missing() };
                match walk_mut(&mut self.root, of) {
                    Some(Value::Object(parent)) => {
                        parent.insert(member.clone(), ask.sent.clone());
                        ok(ask.sent, ask)
                    }
                    _ => missing(),
                }
            }
        }
    }

    fn delete(&mut self, path: &[String]) -> Answer {
        let Some((id, of)) = path.split_last() else { return missing() };
        match walk_mut(&mut self.root, of) {
            Some(Value::Array(list)) if list.iter().any(|element| is_named(element, id)) => {
                list.retain(|element| !is_named(element, id));
                answer(200, json!({ "deleted": id }))
            }
            _ => missing(),
        }
    }
}

/// The path without marks: where it leads for this caller.
fn led(root: &Value, ask: Ask<'_>) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    let mut rest = ask.path.iter();
    while let Some(segment) = rest.next() {
        let beside = path.clone();
        path.push(segment.clone());
        let Some(Value::Object(marks)) = walk(root, &path) else { continue };
        if marks.contains_key("$tenant") {
            path.extend(["$tenant".to_owned(), ask.caller.tenant.unwrap_or_default().to_owned()]);
        } else if let Some(list) = marks.get("$own").and_then(Value::as_str) {
            let subject = ask.caller.subject.unwrap_or_default();
            path = [&beside[..], &[list.to_owned(), subject.to_owned(), segment.clone()]].concat();
        } else if let Some(Value::Array(lists)) = marks.get("$any") {
            let Some(id) = rest.next() else { continue };
            let of = |list: &str| [&beside[..], &[list.to_owned(), id.clone()]].concat();
            let mut lists = lists.iter().filter_map(Value::as_str).map(of);
            let nowhere = [&path[..], std::slice::from_ref(id)].concat();
            path = lists.find(|path| walk(root, path).is_some()).unwrap_or(nowhere);
        }
    }
    path
}

/// What stands at a path.
pub(super) fn walk<'v>(root: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(root, |at, segment| match at {
        Value::Object(members) => members.get(segment),
        Value::Array(list) => list.iter().find(|element| is_named(element, segment)),
        _ => None,
    })
}

fn walk_mut<'v>(root: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(root, |at, segment| match at {
        Value::Object(members) => members.get_mut(segment),
        Value::Array(list) => list.iter_mut().find(|element| is_named(element, segment)),
        _ => None,
    })
}

fn is_named(element: &Value, id: &str) -> bool {
    element.get("id").and_then(Value::as_str) == Some(id)
}

/// Whether an element is one that the query asks for. A key that elements don't have asks for nothing.
fn is_asked_for(element: &Value, query: &[(String, String)]) -> bool {
    query.iter().all(|(key, wanted)| {
        let key = if key == "creator" { "createdBy" } else { key };
        element.get(key).and_then(Value::as_str).is_none_or(|own| own == wanted)
    })
}

fn ok(found: &Value, ask: Ask<'_>) -> Answer {
    match found {
        Value::Object(_) => answer(200, found.clone()),
        Value::Array(list) => {
            let items: Vec<&Value> = list.iter().filter(|element| is_asked_for(element, ask.query)).collect();
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

    const ACME: Caller<'_> = Caller { tenant: Some("acme-housing"), subject: Some("ann"), view: None };
    const OWNER: Caller<'_> =
        Caller { tenant: Some("acme-retail"), subject: Some("dev-full-access-user"), view: Some("acme") };

    fn ask(store: &mut Store, method: &str, path: &str, caller: Caller<'_>, sent: Value) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query: Vec<_> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        store.answer(Ask { method, path: &path, query: &query, caller, sent: &sent })
    }

    fn get(store: &mut Store, path: &str, caller: Caller<'_>) -> Answer {
        ask(store, "GET", path, caller, Value::Null)
    }

    fn store(app: &str) -> Store {
        Store::demo().unwrap().into_iter().find(|(name, _)| name == app).unwrap().1
    }

    #[test]
    fn what_is_created_changed_and_deleted_is_seen() {
        let mut desk = store("agent-desk");
        let nobody = Caller::default();
        let created = ask(&mut desk, "POST", "/cim/label", nobody, json!({ "name": "New" }));
        assert_eq!(created.status, 201);
        let id = created.body["id"].as_str().unwrap().to_owned();
        let renamed =
            ask(&mut desk, "PUT", &format!("/cim/label?_id={id}"), nobody, json!({ "name": "Old" }));
        assert_eq!((renamed.status, &renamed.body["name"]), (200, &json!("Old")));
        assert_eq!(get(&mut desk, "/cim/label", nobody).body["total"], 3);
        let delete = format!("/cim/label?_id={id}");
        assert_eq!(ask(&mut desk, "DELETE", &delete, nobody, Value::Null).status, 200);
        assert_eq!(ask(&mut desk, "DELETE", &delete, nobody, Value::Null).status, 404);
    }

    #[test]
    fn a_list_is_narrowed_by_what_the_query_asks_for() {
        let mut calling = store("calling");
        let total = |answer: Answer| answer.body["total"].as_u64().unwrap();
        assert_eq!(total(get(&mut calling, "/calls", ACME)), 6, "without a question it tells all");
        assert_eq!(total(get(&mut calling, "/calls?customer=acme-housing", ACME)), 4);
        let made = ask(&mut calling, "POST", "/calls", ACME, json!({ "customer": "sunrise-homes" }));
        assert_eq!(
            (&made.body["customer"], &made.body["createdBy"]),
            (&json!("acme-housing"), &json!("ann"))
        );
        assert_eq!(total(get(&mut calling, "/calls?customer=acme-housing&creator=ann&limit=5", ACME)), 1);
    }

    #[test]
    fn a_call_says_whose_it_is_and_settings_are_the_tenants_own() {
        let mut calling = store("calling");
        let call = get(&mut calling, "/calls/c3", Caller::default());
        assert_eq!(call.body["customer"], "sunrise-homes");
        assert_eq!(get(&mut calling, "/config", ACME).body["company"], "Acme Housing");
        let sunrise = Caller { tenant: Some("sunrise-homes"), ..ACME };
        ask(&mut calling, "PUT", "/config/splash/mobile", sunrise, json!({ "text": "Hi" }));
        assert_eq!(get(&mut calling, "/config", sunrise).body["splash"]["mobile"]["text"], "Hi");
        assert_ne!(get(&mut calling, "/config", ACME).body["splash"]["mobile"]["text"], "Hi");
        assert_eq!(get(&mut calling, "/config", Caller::default()).status, 404);
    }

    #[test]
    fn an_asset_is_found_in_whichever_list_has_it() {
        let mut connect = store("connect");
        for (id, node) in [("s2", "acme/retail"), ("a1", "acme"), ("i2", "acme/retail")] {
            let found = get(&mut connect, &format!("/connect/t/acme/assets/{id}"), OWNER);
            assert_eq!(found.body["node"], node, "{id}");
        }
        assert_eq!(get(&mut connect, "/connect/t/acme/assets/u1", OWNER).status, 404);
        let shared = json!({ "node": "acme/retail" });
        ask(&mut connect, "POST", "/connect/t/acme/apps/a2/shares", OWNER, shared);
        assert_eq!(
            get(&mut connect, "/connect/t/acme/assets/a2", OWNER).body["shares"],
            json!(["acme/retail"])
        );
    }

    #[test]
    fn switches_are_the_callers_own_and_a_role_can_change() {
        let mut connect = store("connect");
        let at = "/connect/t/acme/permissions/service-key";
        assert_eq!(ask(&mut connect, "PUT", at, OWNER, json!({ "enabled": true })).status, 200);
        let member = "/connect/t/acme/members/dev-full-access-user";
        assert_eq!(get(&mut connect, member, OWNER).body["permissions"]["service-key"]["enabled"], true);
        ask(&mut connect, "PATCH", member, OWNER, json!({ "role": "Read Only" }));
        assert_eq!(get(&mut connect, member, OWNER).body["role"], "Read Only");
    }

    #[test]
    fn a_new_service_has_credentials_and_they_have_a_page() {
        let mut connect = store("connect");
        let made =
            ask(&mut connect, "POST", "/connect/t/acme/services", OWNER, json!({ "name": "New" })).body;
        assert_eq!(made["node"], "acme");
        assert!(made["serviceKey"].is_string() && made["jwtTokens"][0]["token"].is_string());
        let page = format!("/connect/t/acme/services/{}/key", made["id"].as_str().unwrap());
        let page = get(&mut connect, &page, OWNER).body;
        assert_eq!((page.len(), &page["serviceKey"]), (2, &made["serviceKey"]));
        assert_eq!(get(&mut connect, "/connect/t/acme/apps/a1/key", OWNER).status, 404);
    }

    #[test]
    fn a_team_stands_in_its_group_and_a_teammate_where_he_was_invited() {
        let mut connect = store("connect");
        let team = json!({ "name": "South", "group": "retail" });
        let team = ask(&mut connect, "POST", "/connect/t/acme/teams", OWNER, team).body;
        assert_eq!(team["node"], format!("acme/retail/{}", team["id"].as_str().unwrap()));
        let invited = json!({ "email": "new@dev.example", "role": "Read Only" });
        let invited = ask(&mut connect, "POST", "/connect/t/acme/members", OWNER, invited).body;
        assert_eq!(invited["node"], "acme");
    }

    #[test]
    fn a_list_has_a_bound() {
        let mut calling = store("calling");
        for _ in 0..LIST_MAX + 10 {
            ask(&mut calling, "POST", "/classifiers", ACME, json!({}));
        }
        let length = get(&mut calling, "/classifiers", ACME).body["total"].clone();
        assert_eq!(length, LIST_MAX);
    }

    #[test]
    fn commands_and_questions_by_post_change_nothing() {
        let mut calling = store("calling");
        assert_eq!(ask(&mut calling, "POST", "/calls/c1/invite", ACME, Value::Null).status, 202);
        let mut desk = store("agent-desk");
        let asked = ask(&mut desk, "POST", "/realtime-reports/queued-chats/detail", ACME, json!({ "x": 1 }));
        assert_eq!((asked.status, asked.body.get("x")), (200, None));
        assert_eq!(ask(&mut desk, "POST", "/cim/customers/nobody/x", ACME, Value::Null).status, 404);
    }
}
