//! What the decision log says of sockets.

use gatewarden::authorize::Ruling;
use gatewarden::record::{Effect, Record, lines};

use super::backend::Backend;
use super::client::Socket;
use super::setup;
use crate::support::eventually;

#[test]
fn an_event_of_a_socket_is_a_decision_too() {
    let backend = Backend::start();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log/d.ndjson");
    let gateway = setup(&[backend.address()], &["header"]).decisions(&format!("file = {path:?}")).start();
    let user = gateway.token(&["user"]);
    let read = || -> Vec<Record> {
        let text = std::fs::read(&path).unwrap_or_default();
        lines(text.as_slice()).map(|line| line.unwrap().1).collect()
    };
    let mut socket = Socket::connected(&gateway, &[&user]);
    socket.say("421[\"publishCimEvent\",{}]");
    socket.say("422[\"deletePullModeRequest\",{}]");
    let mut events = Vec::new();
    eventually("both are written", || {
        events = read().into_iter().filter(|own| own.event.is_some()).collect();
        events.len() == 2
    });
    let told = |own: &Record| (own.method.clone().unwrap(), own.event.clone().unwrap(), own.effect);
    let mut told: Vec<_> = events.iter().map(told).collect();
    told.sort_by(|a, b| a.1.cmp(&b.1));
    let emit = |name: &str, effect| ("EMIT".to_owned(), name.to_owned(), effect);
    assert_eq!(told, [emit("deletePullModeRequest", Effect::Deny), emit("publishCimEvent", Effect::Allow)]);
    let snapshot = gateway.snapshot();
    for own in &events {
        let posed = own.posed(&snapshot).unwrap();
        let again = posed
            .decide(&snapshot, |_, ruling| match ruling {
                Ruling::Permit(..) => Effect::Allow,
                _ => Effect::Deny,
            })
            .unwrap();
        assert_eq!(again, own.effect, "{}", own.line());
    }
}
