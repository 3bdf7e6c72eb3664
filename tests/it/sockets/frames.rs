//! Socket.IO over a WebSocket from the start.

use serde_json::{Value, json};

use super::backend::Backend;
use super::client::{PATH, Socket};
use super::{desk, desk_with};
use crate::support::Gateway;

/// Connects someone with these roles.
#[track_caller]
fn connected(gateway: &Gateway, roles: &[&str]) -> Socket {
    Socket::connected(gateway, &[&gateway.token(roles)])
}

#[test]
fn an_allowed_event_passes_byte_for_byte() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let mut socket = connected(&gateway, &["user"]);
    let event = r#"42["publishCimEvent", {"text":"h\u00e9 ☎", "n":1.0}]"#;
    socket.say(event);
    assert_eq!(socket.text(), r#"42["onCimEvent",["publishCimEvent", {"text":"h\u00e9 ☎", "n":1.0}]]"#);
    backend.saw(event);
    socket.say(r#"4217["publishCimEvent",{}]"#);
    assert_eq!(socket.text(), "4317[true]");
    gateway
        .counts("gatewarden_requests_total", &["method=\"EMIT\"", "code=\"200\"", "publishCimEvent", " 2"]);
    gateway.counts("gatewarden_sockets", &["app=\"app\"", " 1"]);
}

/// Those that can be read in two ways once had no id, and were never counted.
#[test]
fn an_event_is_judged_by_its_first_argument_and_one_that_cant_be_read_is_recorded_too() {
    let backend = Backend::start();
    let rules = "app = \"app\"\nowns = [\"/app-guarded\"]\nissuer = \"test\"\nroles = \"token.roles\"\ntenant = \"default\"\n\
         [facts.token]\nroles = \"set\"\n[facts.body]\nroom = { at = \"/room\", type = \"string\" }\n\
         [when]\nlobby = \"body.room = 'lobby'\"\n[socket]\npath = \"/app-guarded/socket.io\"\n\
         [resource.rooms]\nenter = [\"EMIT enter\"]\n[role.user]\nenter = [\"rooms if lobby\"]\n";
    let gateway = Gateway::setup().upstream("app", &[backend.address()]).rules("app", rules).start();
    let mut socket = connected(&gateway, &["user"]);
    let mut status = |data: &str| {
        socket.say(&format!("421{data}"));
        let told = socket.text();
        let told: Value = serde_json::from_str(told.strip_prefix("431").unwrap()).unwrap();
        let id = told[0]["error"]["request_id"].as_str().map(str::len);
        (told[0]["error"]["status"].as_u64(), id)
    };
    assert_eq!(status(r#"["enter",{"room":"lobby"},{"room":"vault"}]"#), (None, None));
    for vault in [
        r#"["enter",{"room":"vault"},{"room":"lobby"}]"#,
        r#"["enter"]"#,
        r#"["enter",[{"room":"lobby"}]]"#,
        r#"["enter","{\"room\":\"lobby\"}"]"#,
    ] {
        assert_eq!(status(vault), (Some(403), Some(36)), "{vault}");
    }
    for two in
        [r#"["enter",{"room":"lobby","room":"vault"}]"#, r#"["enter",{"room":"lobby","Room":"vault"}]"#]
    {
        assert_eq!(status(two), (Some(400), Some(36)), "{two}");
    }
    gateway.counts("gatewarden_requests_total", &["method=\"EMIT\"", "code=\"400\"", " 2"]);
    assert_eq!(backend.packets().len(), 2);
}

#[test]
fn a_refused_event_is_answered_and_the_connection_stays() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let mut socket = connected(&gateway, &["user"]);
    socket.say(r#"42["deletePullModeRequest",{"id":1}]"#);
    let told = socket.text();
    let told: Value = serde_json::from_str(told.strip_prefix("42").unwrap()).unwrap();
    assert_eq!(told[0], "errors");
    assert_eq!((&told[1]["status"], &told[1]["event"]), (&json!(403), &json!("deletePullModeRequest")));
    assert_eq!(told[1]["type"], "urn:gatewarden:not-permitted");

    socket.say(r#"428["deletePullModeRequest"]"#);
    let told = socket.text();
    let told: Value = serde_json::from_str(told.strip_prefix("438").unwrap()).unwrap();
    assert_eq!(told[0]["error"]["status"], 403);

    // A name that no rule knows, and the known one in another spelling.
    for event in [r#"42["shutdown"]"#, r#"42["deletePullMode\u0052equest"]"#, r#"42["publishcimevent"]"#] {
        socket.say(event);
        assert!(socket.text().starts_with("42[\"errors\","), "{event}");
    }
    socket.say(r#"42["publish\u0043imEvent",1]"#);
    assert!(socket.text().starts_with("42[\"onCimEvent\","));
    assert_eq!(backend.packets(), [connect(&["user"]).as_str(), r#"42["publish\u0043imEvent",1]"#]);
    gateway.counts("gatewarden_requests_total", &["method=\"EMIT\"", "code=\"403\"", " 3"]);
    gateway.counts("gatewarden_decisions_total", &["effect=\"deny\"", "app=\"app\""]);
}

/// What the backend is told of someone with these roles.
fn connect(roles: &[&str]) -> String {
    let agent = json!({ "roles": roles }).to_string();
    format!("40{}", json!({ "agent": agent }))
}

#[test]
fn what_a_client_says_of_itself_is_replaced() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let mut socket = Socket::io(&gateway, &[&gateway.token(&["user"])]);
    socket.say(r#"40{"agent":"{\"roles\":[\"boss\"]}","fcm":"device-7","admin":true}"#);
    assert_eq!(socket.text(), r#"40{"sid":"io"}"#);
    let agent = json!({ "roles": ["user"] }).to_string();
    assert_eq!(backend.packets(), [format!("40{}", json!({ "agent": agent, "fcm": "device-7" }))]);
}

#[test]
fn attachments_share_the_fate_of_their_event() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let mut socket = connected(&gateway, &["user"]);
    let placeholder = |n: u8| format!(r#"{{"_placeholder":true,"num":{n}}}"#);
    socket.say(&format!(r#"452-["publishCimEvent",{},{}]"#, placeholder(0), placeholder(1)));
    socket.say_bytes(&[1, 2, 3]);
    socket.say_bytes(&[4]);
    assert!(socket.text().starts_with("42[\"onCimEvent\","));
    backend.saw("b<1>");

    socket.say(&format!(r#"452-["deletePullModeRequest",{},{}]"#, placeholder(0), placeholder(1)));
    socket.say_bytes(&[1, 2, 3, 4, 5, 6, 7]);
    // A pong may come in between: it is of another layer.
    socket.say("3");
    socket.say_bytes(&[1, 2, 3, 4, 5, 6, 7]);
    assert!(socket.text().starts_with("42[\"errors\","));
    socket.say(r#"421["publishCimEvent"]"#);
    assert_eq!(socket.text(), "431[true]");
    assert!(!backend.packets().contains(&"b<7>".to_owned()), "{:?}", backend.packets());
}

#[test]
fn only_declared_namespaces_are_entered() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let mut socket = connected(&gateway, &["user"]);
    socket.say("40/admin,");
    assert_eq!(socket.text(), r#"44/admin,{"message":"Invalid namespace"}"#);
    socket.say(r#"421["publishCimEvent"]"#);
    assert_eq!(socket.text(), "431[true]");
    socket.say(r#"42/admin,["publishCimEvent"]"#);
    assert_eq!(socket.closed().0, 1002);
    assert!(!backend.packets().iter().any(|packet| packet.contains("/admin")));
}

#[test]
fn what_is_no_opening_is_refused_before_the_backend_hears_of_it() {
    let backend = Backend::start();
    let gateway = desk(&backend);
    let user = gateway.token(&["user"]);
    for (query, status) in [
        ("EIO=3&transport=websocket", 400),
        ("EIO=4&transport=websocket&sid=unknown", 400),
        ("EIO=4&transport=webtransport", 400),
        ("EIO=4&EIO=4&transport=websocket", 400),
        ("transport=websocket", 400),
    ] {
        let refused = Socket::open(&gateway, &format!("{PATH}?{query}"), &[&user]);
        assert_eq!(refused.err(), Some(status), "{query}");
    }
    let target = format!("{PATH}?EIO=4&transport=websocket");
    assert_eq!(Socket::open(&gateway, &target, &[]).err(), Some(401));
    assert_eq!(Socket::open(&gateway, &target, &[&gateway.token(&["nobody"])]).err(), Some(403));
    let plain = gateway.request(&format!("GET {target}"), &[&user]);
    assert_eq!((plain.status, plain.text().contains(r#""code":3"#)), (400, true), "{}", plain.text());
    assert!(backend.heads().is_empty(), "{:?}", backend.heads());
}

#[test]
fn a_token_may_come_with_the_first_packet() {
    let backend = Backend::start();
    let gateway = desk_with(&backend, &["auth.token"]);
    let bearer = gateway.token(&["user"]);
    let token = bearer.strip_prefix("Authorization: Bearer ").unwrap();

    let mut socket = Socket::io(&gateway, &[]);
    socket.say(&format!("40{}", json!({ "token": token, "fcm": "x" })));
    assert_eq!(socket.text(), r#"40{"sid":"io"}"#);
    socket.say(r#"421["publishCimEvent"]"#);
    assert_eq!(socket.text(), "431[true]");
    assert!(backend.packets().iter().all(|packet| !packet.contains(token)));

    let mut socket = Socket::io(&gateway, &[]);
    socket.say(r#"40{"token":"not.a.token"}"#);
    assert!(socket.text().starts_with("44{\"message\":"));
    assert_eq!(socket.closed(), (4401, "not authenticated".to_owned()));

    let before = backend.packets().len();
    let mut socket = Socket::io(&gateway, &[]);
    socket.say(r#"42["publishCimEvent"]"#);
    assert_eq!(socket.closed().0, 4401);
    let said: Vec<_> = backend.packets()[before..].iter().filter(|own| *own != "closed").cloned().collect();
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn a_token_in_the_query_opens_a_socket_where_the_app_says_so() {
    let backend = Backend::start();
    let gateway = desk_with(&backend, &["query.token"]);
    let bearer = gateway.token(&["user"]);
    let token = bearer.strip_prefix("Authorization: Bearer ").unwrap();
    let open = |query: &str| {
        Socket::open(&gateway, &format!("{PATH}?EIO=4&transport=websocket&{query}"), &[]).map(|_| ())
    };
    assert_eq!(open(&format!("token={token}")), Ok(()));
    assert_eq!(open("token=a.b.c"), Err(401));
    assert_eq!(open(&format!("other={token}")), Err(401));
    assert_eq!(open(&format!("token={token}&token={token}")), Err(400));
}
