//! What is known of servers across requests and reloads.

use std::time::Instant;

use super::server::{Fault, Slot};
use super::*;
use crate::plumbing::Scheme;

fn config(name: &str, ports: &[u16]) -> UpstreamConfig {
    let server = |port: &u16| ServerAddress { scheme: Scheme::Http, host: "127.0.0.1".into(), port: *port };
    UpstreamConfig::new(name.into(), ports.iter().map(server).collect())
}

fn build(configs: &[UpstreamConfig], previous: Option<&Upstreams>) -> Upstreams {
    Upstreams::build(configs.iter(), &Limits::default(), previous)
}

fn order(upstream: &Upstream) -> Vec<u16> {
    let mut choice = upstream.choice(None);
    std::iter::from_fn(|| choice.next()).map(|server| server.address().port).collect()
}

#[test]
fn a_server_that_stays_keeps_what_is_known_of_it() {
    let old = build(&[config("a", &[1, 2]), config("c", &[1])], None);
    let (a, c) = (old.get(0).unwrap(), old.get(1).unwrap());
    a.servers()[1].failed(Fault::Unreachable, a.servers(), Instant::now());
    let slot = Slot::take(&a.servers()[1], 5).unwrap();
    let new = build(&[config("b", &[3]), config("a", &[2]), config("c", &[1])], Some(&old));
    let kept = &new.get(1).unwrap().servers()[0];
    assert_eq!((kept.ejections(), kept.in_flight(), kept.id()), (1, 1, a.servers()[1].id()));
    drop(slot);
    assert_eq!(kept.in_flight(), 0);
    assert_ne!(new.get(0).unwrap().servers()[0].id(), kept.id());
    let same_place = &new.get(2).unwrap().servers()[0];
    assert_eq!(same_place.id(), c.servers()[0].id(), "each upstream has its own view of a server");
    assert!(new.get(3).is_none());
}

#[test]
fn a_server_that_cant_be_reached_is_tried_last_for_a_while() {
    let upstreams = build(&[config("a", &[1, 2])], None);
    let upstream = upstreams.get(0).unwrap();
    let (server, now) = (&upstream.servers()[0], Instant::now());
    server.failed(Fault::Unreachable, upstream.servers(), now);
    assert!(server.is_ejected(now) && !server.is_ejected(now + Duration::from_secs(1)));
    for _ in 0..4 {
        assert_eq!(order(upstream), [2, 1]);
    }
    let other = &upstream.servers()[1];
    other.failed(Fault::Unreachable, upstream.servers(), now);
    assert!(!other.is_ejected(now), "never more than half");
}

#[test]
fn bad_answers_in_a_row_eject_and_a_good_one_between_forgives() {
    let upstreams = build(&[config("a", &[1, 2])], None);
    let upstream = upstreams.get(0).unwrap();
    let (server, now) = (&upstream.servers()[0], Instant::now());
    let fail = |times| (0..times).for_each(|_| server.failed(Fault::Answer, upstream.servers(), now));
    fail(4);
    server.answered();
    fail(4);
    assert!(!server.is_ejected(now));
    fail(1);
    assert!(server.is_ejected(now));
    assert_eq!(server.ejections(), 1);
    // On its way back one is enough.
    let back = now + Duration::from_secs(2);
    server.failed(Fault::Answer, upstream.servers(), back);
    assert!(server.is_ejected(back + Duration::from_secs(1)));
}

#[test]
fn the_only_server_is_never_left_alone() {
    let upstreams = build(&[config("a", &[1])], None);
    let upstream = upstreams.get(0).unwrap();
    for _ in 0..20 {
        upstream.servers()[0].failed(Fault::Unreachable, upstream.servers(), Instant::now());
    }
    assert!(!upstream.servers()[0].is_marked());
    assert_eq!(order(upstream), [1]);
}

#[test]
fn probes_take_a_server_out_and_bring_it_back() {
    let upstreams = build(&[config("a", &[1, 2])], None);
    let upstream = upstreams.get(0).unwrap();
    let (server, now) = (&upstream.servers()[1], Instant::now());
    assert!(!server.probed(false, 1, 2, now));
    assert!(server.probed(false, 1, 2, now));
    assert_eq!([order(upstream), order(upstream)], [[1, 2], [1, 2]]);
    upstream.servers()[0].probed(false, 1, 1, now);
    assert_eq!([order(upstream), order(upstream)], [[1, 2], [2, 1]], "none is well: all are tried");
    assert!(server.probed(true, 1, 2, now));
    assert!(server.is_marked(), "it gets its share back slowly");
    server.probed(false, 1, 1, now);
    server.unprobed();
    assert!(server.is_well());
}

#[tokio::test]
async fn no_more_are_in_flight_than_may_be_and_few_wait() {
    let mut config = config("a", &[1, 2]);
    (config.in_flight, config.pending) = (2, 1);
    config.pending_timeout = Duration::from_millis(10);
    let upstreams = build(&[config], None);
    let upstream = upstreams.get(0).unwrap().clone();
    let [one, two] = upstream.servers() else { panic!() };
    let first = upstream.enter(one).await.unwrap();
    let second = upstream.enter(two).await.unwrap();
    assert_eq!(upstream.enter(one).await.unwrap_err(), Failure::Overloaded, "waited in vain");
    let waiting = tokio::spawn({
        let (upstream, one) = (upstream.clone(), one.clone());
        async move { upstream.enter(&one).await.map(drop) }
    });
    while upstream.pending() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(upstream.enter(two).await.unwrap_err(), Failure::Overloaded, "one waits already");
    assert_eq!(upstream.overloads(), 2);
    drop(second);
    waiting.await.unwrap().unwrap();
    assert_eq!((upstream.pending(), one.in_flight(), two.in_flight()), (0, 1, 0));
    drop(first);
}

#[tokio::test]
async fn a_name_leads_elsewhere_after_the_next_look_up() {
    fn fake(host: String, port: u16) -> names::Looking {
        static TIMES: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let time = TIMES.fetch_add(1, Ordering::Relaxed);
        assert_eq!((&*host, port), ("app.example", 7));
        Box::pin(async move {
            match time {
                0 => Ok(vec!["10.0.0.1:7".parse().unwrap(), "10.0.0.2:7".parse().unwrap()]),
                1 => Err(std::io::ErrorKind::TimedOut.into()),
                _ => Ok(vec!["10.0.0.2:7".parse().unwrap()]),
            }
        })
    }
    let gone = "10.0.0.1:7".parse().unwrap();
    let address = ServerAddress { scheme: Scheme::Http, host: "app.example".into(), port: 7 };
    let upstreams = build(&[UpstreamConfig::new("a".into(), vec![address])], None);
    let server = &upstreams.get(0).unwrap().servers()[0];
    assert!(server.is_named());
    assert!(server.look_up(fake).await);
    assert!(!server.look_up(fake).await);
    assert!(server.names.has(&gone), "a look-up that fails changes nothing");
    assert!(server.look_up(fake).await);
    assert!(!server.names.has(&gone));
}

/// Every request once looked the name up by itself, on threads that verify tokens as well.
#[tokio::test]
async fn a_request_waits_for_the_name_and_never_looks_it_up() {
    fn nothing(_: String, _: u16) -> names::Looking {
        Box::pin(async { Err(std::io::ErrorKind::NotFound.into()) })
    }
    fn silent(_: String, _: u16) -> names::Looking {
        Box::pin(std::future::pending())
    }
    fn found(_: String, port: u16) -> names::Looking {
        Box::pin(async move { Ok(vec![([127, 0, 0, 1], port).into()]) })
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // A name that the system would find.
    let address = ServerAddress { scheme: Scheme::Http, host: "localhost".into(), port };
    let mut config = UpstreamConfig::new("a".into(), vec![address]);
    config.connect_timeout = Duration::from_millis(50);
    let upstreams = build(&[config.clone()], None);
    let upstream = upstreams.get(0).unwrap();
    let server = &upstream.servers()[0];
    let ask = || upstream.send(http::Request::new(Outgoing::Empty), None);
    assert_eq!(ask().await.unwrap_err(), Failure::Unreachable);
    assert_eq!((upstream.unopened(Obstacle::Name), server.opened()), (1, 0));

    let mut looking = Box::pin(server.look_up(silent));
    assert!(futures_util::FutureExt::now_or_never(&mut looking).is_none());
    assert!(!server.look_up(found).await && !server.is_found(), "one look-up at a time");
    drop(looking);

    config.connect_timeout = Duration::from_secs(60);
    let upstreams = build(&[config], Some(&upstreams));
    let upstream = upstreams.get(0).unwrap();
    let server = &upstream.servers()[0];
    let failing = upstream.send(http::Request::new(Outgoing::Empty), None);
    let (failed, _) = tokio::join!(failing, server.look_up(nothing));
    assert_eq!(failed.unwrap_err(), Failure::Unreachable, "at once, not when the time is over");
    assert!(server.look_up(found).await);
    let mut asked = Box::pin(upstream.send(http::Request::new(Outgoing::Empty), None));
    tokio::select! {
        _ = &mut asked => panic!("nobody answers"),
        accepted = listener.accept() => drop(accepted.unwrap()),
    }
}
