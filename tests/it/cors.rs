//! `[cors]` through a gateway: what a browser is told beforehand, and what it is told with every answer.

use crate::support::upstream::nobody;
use crate::support::{Gateway, Response, Upstream};

/// What an application says that has its own mind about other origins.
const OPINIONATED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nVary: Accept\r\n\
    Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nX-Total: 7\r\n\r\nok";

fn rules(cors: &str) -> String {
    format!(
        "app = \"app\"\nowns = [\"/app\"]\nissuer = \"test\"\nroles = \"token.roles\"\ntenant = \"default\"\n\
         public = [\"GET /app/open\", \"GET /app/own\", \"OPTIONS /app/own\"]\n[facts.token]\nroles = \"set\"\n{cors}\n\
         [resource.things]\nuse = [\"GET /app/things\", \"PUT /app/things\", \"POST /app/made\"]\n\
         [role.user]\nuse = [\"things\"]\n[role.guest]\n"
    )
}

const DESK: &str =
    "[cors]\norigins = [\"https://desk.example\", \"http://localhost:3000\"]\nexpose = [\"x-total\"]\n";

fn gateway(cors: &str) -> Gateway {
    let upstream = Upstream::saying(OPINIONATED);
    Gateway::setup().upstream("app", &[upstream.address]).rules("app", &rules(cors)).start()
}

fn spoken(response: &Response) -> Vec<String> {
    let lines = response.head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let mut lines: Vec<_> = lines
        .map(|(name, value)| (name.to_lowercase(), value))
        .filter(|(name, _)| name.starts_with("access-control-"))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    lines.sort();
    lines
}

const DESK_MAY: [&str; 2] = [
    "access-control-allow-origin: https://desk.example",
    "access-control-expose-headers: x-request-id, retry-after, www-authenticate, x-total",
];
const FROM_DESK: &str = "Origin: https://desk.example";
const FROM_EVIL: &str = "Origin: https://evil.example";

#[test]
fn a_browser_that_asks_beforehand_is_answered_without_the_app() {
    let upstream = Upstream::echo();
    let gateway = Gateway::setup().upstream("app", &[upstream.address]).rules("app", &rules(DESK)).start();
    let asked = |path: &str, origin: &str, method: &str| {
        let method = format!("Access-Control-Request-Method: {method}");
        gateway
            .request(&format!("OPTIONS {path}"), &[origin, &method, "Access-Control-Request-Headers: x-odd"])
    };
    let told = asked("/app/things", FROM_DESK, "PUT");
    assert_eq!(told.status, 204);
    assert_eq!(
        spoken(&told),
        [
            "access-control-allow-headers: authorization, content-type",
            "access-control-allow-methods: GET, HEAD, PUT",
            "access-control-allow-origin: https://desk.example",
            "access-control-max-age: 600",
        ]
    );
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    assert_eq!(told.header("vary"), Some(vary));
    assert!(told.header("x-request-id").is_some() && told.header("content-length").is_none());
    assert_eq!(asked("/app/open", "Origin: http://localhost:3000", "HEAD").status, 204);
    gateway.counts("gatewarden_preflights_total", &["app=\"app\"", "result=\"allowed\"", " 2"]);
    gateway.counts("gatewarden_requests_total", &["method=\"OPTIONS\"", "code=\"204\"", "/app/things", " 1"]);

    // Whoever isn't to know is told what anyone is told.
    let plain = |path: &str| gateway.request(&format!("OPTIONS {path}"), &[]);
    for (path, origin, method) in [
        ("/app/things", FROM_EVIL, "PUT"),
        ("/app/things", "Origin: null", "PUT"),
        ("/app/things", "Origin: https://desk.example.evil.example", "PUT"),
        ("/app/things", "Origin: https://desk.example:8443", "PUT"),
        ("/app/things", "Origin: http://desk.example", "PUT"),
        ("/app/things", "Origin: HTTPS://DESK.EXAMPLE", "PUT"),
        ("/app/things", "Origin: https://desk.example https://evil.example", "PUT"),
        ("/app/things", FROM_DESK, "DELETE"),
        ("/app/things", FROM_DESK, "BREW"),
        ("/app/things", FROM_DESK, "EMIT"),
        ("/app/nowhere", FROM_DESK, "GET"),
        ("/nowhere", FROM_DESK, "GET"),
    ] {
        let (told, anyone) = (asked(path, origin, method), plain(path));
        assert_eq!((told.status, told.header("allow")), (anyone.status, anyone.header("allow")));
        assert!(matches!(told.status, 404 | 405), "{path} {origin} {method}");
        assert_eq!(spoken(&told), [""; 0], "{path} {origin} {method}");
    }
    let twice =
        gateway.request("OPTIONS /app/things", &[FROM_DESK, FROM_EVIL, "Access-Control-Request-Method: PUT"]);
    assert_eq!((twice.status, spoken(&twice)), (405, vec![]));
    gateway.counts("gatewarden_preflights_total", &["app=\"app\"", "result=\"foreign-origin\"", " 7"]);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn every_answer_says_who_may_read_it_and_refusals_too() {
    let gateway = gateway(DESK);
    let (user, guest) = (gateway.token(&["user"]), gateway.token(&["guest"]));
    for (line, headers, status) in [
        ("GET /app/open", vec![], 200),
        ("GET /app/things", vec![&*user], 200),
        ("GET /app/things", vec![], 401),
        ("GET /app/things", vec!["Authorization: Bearer a.b.c"], 401),
        ("GET /app/things", vec![&*guest], 403),
        ("GET /app/things", vec!["Authorization: Bearer x", "Authorization: Bearer y"], 400),
    ] {
        let of = |origin: &str| gateway.request(line, &[&headers[..], &[origin]].concat());
        let (desk, evil, none) = (of(FROM_DESK), of(FROM_EVIL), of("X-Not: there"));
        assert_eq!(
            [desk.status, evil.status, none.status],
            [status; 3],
            "{line}: no origin decides anything"
        );
        assert_eq!(spoken(&desk), DESK_MAY, "{line} {status}");
        assert_eq!(spoken(&none), [""; 0], "{line} {status}");
        assert_eq!(spoken(&evil), [""; 0], "{line} {status}");
        for own in [&desk, &evil] {
            let vary = own.all("vary");
            assert_eq!(vary.iter().filter(|own| **own == "Origin").count(), 1, "{line} {status} {vary:?}");
            assert_eq!(vary.contains(&"Accept"), status == 200, "{line} {status} {vary:?}");
        }
    }
}

#[test]
fn an_app_that_can_not_be_reached_is_a_refusal_that_a_page_can_read() {
    let gateway = Gateway::setup().upstream("app", &[nobody()]).rules("app", &rules(DESK)).start();
    let told = gateway.request("GET /app/open", &[FROM_DESK]);
    assert_eq!((told.status, spoken(&told)), (503, DESK_MAY.map(str::to_owned).to_vec()));
    let limited = rules(&format!("{DESK}[limit]\naddress = \"1/h\"")).replace("[facts.tenant]", "");
    let gateway = Gateway::setup().upstream("app", &[nobody()]).rules("app", &limited).start();
    let told = [0; 2].map(|_| gateway.request("GET /app/things", &[FROM_DESK]));
    assert_eq!(told.each_ref().map(|own| own.status), [401, 429]);
    assert_eq!(spoken(&told[1]), DESK_MAY);
}

/// An operation of that name is the application's own, and so is what it says.
#[test]
fn an_app_that_answers_options_itself_speaks_for_itself() {
    let gateway = gateway(DESK);
    let own = gateway.request("OPTIONS /app/own", &[FROM_EVIL, "Access-Control-Request-Method: GET"]);
    assert_eq!(own.status, 200);
    assert_eq!(spoken(&own), ["access-control-allow-credentials: true", "access-control-allow-origin: *"]);
    assert_eq!(spoken(&gateway.request("GET /app/own", &[FROM_EVIL])), [""; 0], "but only there");
}

#[test]
fn cookies_go_where_the_file_says_so() {
    let gateway = gateway(
        "[cors]\norigins = [\"https://desk.example\"]\ncredentials = true\nmax-age = \"0s\"\nheaders = [\"X-One\"]\n",
    );
    let told = gateway.request("OPTIONS /app/made", &[FROM_DESK, "Access-Control-Request-Method: POST"]);
    assert_eq!(
        spoken(&told),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-headers: x-one",
            "access-control-allow-methods: POST",
            "access-control-allow-origin: https://desk.example",
            "access-control-max-age: 0",
        ]
    );
    let told = gateway.request("GET /app/open", &[FROM_DESK]);
    assert!(spoken(&told).contains(&"access-control-allow-credentials: true".to_owned()));
}

#[test]
fn an_answer_for_every_page_says_so() {
    let gateway = gateway("[cors]\norigins = [\"*\"]\n");
    let told = gateway.request("GET /app/open", &[FROM_EVIL]);
    assert!(spoken(&told).contains(&"access-control-allow-origin: *".to_owned()));
    assert!(!spoken(&told).contains(&"access-control-allow-credentials: true".to_owned()));
    assert_eq!(told.all("vary"), ["Accept"]);
}

#[test]
fn without_the_table_nothing_changes() {
    let gateway = gateway("");
    let told = gateway.request("GET /app/open", &[FROM_EVIL]);
    assert_eq!(spoken(&told), ["access-control-allow-credentials: true", "access-control-allow-origin: *"]);
    assert_eq!(told.all("vary"), ["Accept"]);
    let told = gateway.request("OPTIONS /app/things", &[FROM_DESK, "Access-Control-Request-Method: PUT"]);
    assert_eq!((told.status, spoken(&told)), (405, vec![]));
}
