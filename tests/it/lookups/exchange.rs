//! One question to one application that answers as it likes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gatewarden::lookup::{LookUps, Question};
use gatewarden::plumbing::{Credential, CredentialSource, Limits, Scheme, ServerAddress, UpstreamConfig};
use gatewarden::policy::lookup::{Forget, LookUpKey, LookedUp, NoAnswer};
use gatewarden::telemetry::{Metrics, Mode};
use gatewarden::upstream::Upstreams;
use http::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::{PATIENCE, Upstream, Wire};

/// Someone who asks an application.
struct Asker {
    runtime: Runtime,
    upstreams: Arc<Upstreams>,
    credential: Credential,
    lookups: Arc<LookUps>,
    metrics: Arc<Metrics>,
}

impl Asker {
    fn of(app: &Upstream) -> Self {
        let credential = Credential::new(CredentialSource::Env("NOT_READ".into()));
        credential.hold("s3cret").unwrap();
        let host = app.address.ip().to_string();
        let server = ServerAddress { scheme: Scheme::Http, host, port: app.address.port() };
        let config = UpstreamConfig {
            credential: Some(credential.clone()),
            connect_timeout: PATIENCE,
            read_timeout: PATIENCE,
            total_timeout: PATIENCE,
            ..UpstreamConfig::new("connect".into(), vec![server])
        };
        let metrics = Arc::new(Metrics::new(Mode::Run).unwrap());
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            upstreams: Arc::new(Upstreams::build([config].iter(), &Limits::default(), None)),
            credential,
            lookups: Arc::new(LookUps::new(metrics.clone())),
            metrics,
        }
    }

    fn ask(&self, question: &Question) -> LookedUp {
        self.runtime.block_on(self.lookups.ask(&self.upstreams, question))
    }

    #[track_caller]
    fn counted(&self, result: &str, times: usize) {
        let line = format!(
            "gatewarden_lookups_total{{app=\"connect\",namespace=\"user\",result=\"{result}\"}} {times}"
        );
        let text = self.metrics.render();
        assert!(text.lines().any(|own| own == line), "{line} not in\n{text}");
    }
}

fn question(target: &str) -> Question {
    let key = LookUpKey {
        revision: 1,
        app: "connect".into(),
        tenant: "acme".into(),
        namespace: "user".into(),
        upstream: 0,
        target: target.into(),
    };
    Question { key, headers: Vec::new(), ttl: Duration::from_secs(60), timeout: PATIENCE }
}

fn json_answer(body: &str) -> Vec<u8> {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
    format!("{head}{length}\r\n\r\n{body}").into_bytes()
}

/// An application that gives every question this answer.
fn app_saying(answer: Vec<u8>) -> Upstream {
    Upstream::scripted(move |wire| {
        while wire.read_head()?.is_some() {
            wire.write(&answer)?;
        }
        Ok(())
    })
}

fn unavailable(why: NoAnswer) -> LookedUp {
    LookedUp::Unavailable(why)
}

#[test]
fn a_question_is_asked_with_the_gateways_own_credential_and_once() {
    let app = app_saying(json_answer(r#"{"role":"owner"}"#));
    let asker = Asker::of(&app);
    let mut asked = question("/members/ada");
    for (name, value) in [("x-tenant", "t-1"), ("authorization", "Bearer callers"), ("host", "else.where")] {
        asked.headers.push((HeaderName::from_static(name), HeaderValue::from_static(value)));
    }
    let found = LookedUp::Found(Arc::new(json!({ "role": "owner" })));
    assert_eq!(asker.lookups.cached(&asked.key, Instant::now()), None);
    for _ in 0..3 {
        assert_eq!(asker.ask(&asked), found);
    }
    assert_eq!(asker.lookups.cached(&asked.key, Instant::now()), Some(found));
    let [head] = &app.heads()[..] else { panic!("{:?}", app.heads()) };
    let mut lines: Vec<_> = head.trim_end().lines().map(str::to_ascii_lowercase).collect();
    lines[1..].sort();
    let host = format!("host: {}", app.address);
    let expected = [
        "get /members/ada http/1.1",
        "accept-encoding: identity",
        "accept: application/json",
        "authorization: bearer s3cret",
        &host,
        "user-agent: gatewarden",
        "x-gatewarden-lookup: 1",
        "x-tenant: t-1",
    ];
    assert_eq!(lines, expected);
    asker.counted("found", 1);
    asker.counted("hit", 3);
}

#[test]
fn a_connection_is_used_again_and_a_new_secret_at_once() {
    let app = app_saying(json_answer("{}"));
    let asker = Asker::of(&app);
    asker.ask(&question("/members/1"));
    asker.credential.hold("n3w").unwrap();
    asker.ask(&question("/members/2"));
    assert_eq!(app.connections(), 1);
    assert!(app.heads()[1].contains("Bearer n3w") || app.heads()[1].contains("bearer n3w"));
}

#[test]
fn only_200_with_json_is_an_answer() {
    let plain = |status: &str, head: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{head}\r\n{body}").into_bytes()
    };
    let json = "Content-Type: application/json\r\n";
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    for (answer, expected) in [
        (plain("404 Not Found", json, "{}"), LookedUp::Nothing),
        (plain("410 Gone", "", ""), LookedUp::Nothing),
        (plain("401 Unauthorized", json, "{}"), unavailable(NoAnswer::NotAllowed)),
        (plain("403 Forbidden", json, "{}"), unavailable(NoAnswer::NotAllowed)),
        (plain("508 Loop Detected", json, "{}"), unavailable(NoAnswer::Loop)),
        (plain("500 Oh No", json, "{}"), unavailable(NoAnswer::Status)),
        (plain("204 No Content", json, ""), unavailable(NoAnswer::Status)),
        (plain("206 Partial Content", json, "{}"), unavailable(NoAnswer::Status)),
        (plain("302 Found", "Location: /members/root\r\n", ""), unavailable(NoAnswer::Status)),
        (plain("200 OK", "", "{}"), unavailable(NoAnswer::Unreadable)),
        (plain("200 OK", "Content-Type: text/html\r\n", "{}"), unavailable(NoAnswer::Unreadable)),
        (
            plain("200 OK", &format!("{json}Content-Encoding: gzip\r\n"), "{}"),
            unavailable(NoAnswer::Unreadable),
        ),
        (plain("200 OK", json, ""), unavailable(NoAnswer::Unreadable)),
        (plain("200 OK", json, "{\"role\":\"a\",\"role\":\"b\"}"), unavailable(NoAnswer::Unreadable)),
        (plain("200 OK", json, "{} {}"), unavailable(NoAnswer::Unreadable)),
        (plain("200 OK", json, &deep), unavailable(NoAnswer::Unreadable)),
        (b"nonsense\r\n\r\n".to_vec(), unavailable(NoAnswer::Broken)),
    ] {
        let shown = String::from_utf8_lossy(&answer).chars().take(120).collect::<String>();
        let asker = Asker::of(&app_saying(answer));
        assert_eq!(asker.ask(&question("/members/1")), expected, "{shown}");
        if let LookedUp::Unavailable(why) = expected {
            asker.counted(why.as_str(), 1);
        }
    }
}

#[test]
fn an_application_that_breaks_off_has_not_answered() {
    let app = Upstream::saying(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\"",
    );
    assert_eq!(Asker::of(&app).ask(&question("/members/1")), unavailable(NoAnswer::Broken));
}

/// Sends without end, until the other side has had enough.
fn flood(wire: &mut Wire, head: &[u8], piece: &[u8]) -> io::Result<()> {
    wire.read_head()?;
    wire.write(head)?;
    loop {
        wire.write(piece)?;
    }
}

#[test]
fn an_answer_has_an_end() {
    let announced = Upstream::scripted(|wire| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10485760\r\n\r\n";
        flood(wire, head, &[b' '; 4096])
    });
    let chunked = Upstream::scripted(|wire| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        flood(wire, head, b"8\r\n        \r\n")
    });
    for app in [announced, chunked] {
        let asker = Asker::of(&app);
        assert_eq!(asker.ask(&question("/members/1")), unavailable(NoAnswer::TooLarge));
        asker.counted("too-large", 1);
    }
}

#[test]
fn an_application_that_hangs_is_waited_for_no_longer_than_said() {
    let silent = Upstream::scripted(|wire| {
        wire.read_head()?;
        wire.drain().map(drop)
    });
    let dripping = Upstream::scripted(|wire| {
        wire.read_head()?;
        wire.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n")?;
        loop {
            wire.write(b" ")?;
            thread::sleep(Duration::from_millis(10));
        }
    });
    for app in [silent, dripping] {
        let asker = Asker::of(&app);
        let asked = Question { timeout: Duration::from_millis(150), ..question("/members/1") };
        let began = Instant::now();
        assert_eq!(asker.ask(&asked), unavailable(NoAnswer::Timeout));
        assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
        // It isn't asked again at once, and another question is.
        assert_eq!(asker.ask(&asked), unavailable(NoAnswer::Timeout));
        assert_eq!(app.heads().len(), 1);
        assert_eq!(asker.lookups.cached(&question("/members/2").key, Instant::now()), None);
    }
}

#[test]
fn what_cant_be_asked_is_not_asked() {
    let app = app_saying(json_answer("{}"));
    let asker = Asker::of(&app);
    for target in ["", "members", "/members/../root", "/members//1", "/a b", "/members/%2e%2e"] {
        assert_eq!(asker.ask(&question(target)), unavailable(NoAnswer::Unaskable), "{target}");
    }
    let mut nowhere = question("/members/1");
    nowhere.key.upstream = 7;
    assert_eq!(asker.ask(&nowhere), unavailable(NoAnswer::Unaskable));
    assert_eq!(app.connections(), 0);
}

#[test]
fn a_write_is_asked_about_again() {
    let answers = AtomicUsize::new(0);
    let app = Upstream::scripted(move |wire| {
        while wire.read_head()?.is_some() {
            let number = answers.fetch_add(1, Ordering::SeqCst);
            wire.write(&json_answer(&format!("{{\"n\":{number}}}")))?;
        }
        Ok(())
    });
    let asker = Asker::of(&app);
    let asked = question("/members/1");
    let number = |answer| match answer {
        LookedUp::Found(value) => value["n"].as_u64().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!((number(asker.ask(&asked)), number(asker.ask(&asked))), (0, 0));
    let LookUpKey { app: name, tenant, namespace, .. } = asked.key.clone();
    asker.lookups.forget_all(&[Forget { app: name, tenant, namespace }]);
    assert_eq!(number(asker.ask(&asked)), 1);
    let newer = Question { key: LookUpKey { revision: 2, ..asked.key.clone() }, ..asked };
    assert_eq!(number(asker.ask(&newer)), 2, "other rules ask for themselves");
}

#[test]
fn an_upstream_is_asked_so_much_at_once_and_no_more() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (busy, peak) = (now.clone(), most.clone());
    let app = Upstream::scripted(move |wire| {
        while wire.read_head()?.is_some() {
            peak.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(20));
            busy.fetch_sub(1, Ordering::SeqCst);
            wire.write(&json_answer("{}"))?;
        }
        Ok(())
    });
    let asker = Asker::of(&app);
    asker.runtime.block_on(async {
        let mut askers = tokio::task::JoinSet::new();
        for number in 0..200 {
            let (lookups, upstreams) = (asker.lookups.clone(), asker.upstreams.clone());
            askers.spawn(
                async move { lookups.ask(&upstreams, &question(&format!("/members/{number}"))).await },
            );
        }
        let found = LookedUp::Found(Arc::new(json!({})));
        while let Some(answer) = askers.join_next().await {
            assert_eq!(answer.unwrap(), found);
        }
    });
    assert_eq!(app.heads().len(), 200);
    assert!((2..=64).contains(&most.load(Ordering::SeqCst)), "{most:?}");
}
