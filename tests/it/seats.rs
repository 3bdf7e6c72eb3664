//! Licence seats: how they are configured, kept over a restart, and reported.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use gatewarden::config::diagnostic::Style;
use gatewarden::config::{Carried, FileKind, SourceFile, Sources, compile};
use gatewarden::ledger::Keeper;
use gatewarden::policy::obligation::SeatRule;
use gatewarden::request::Timestamp;
use gatewarden::seat::{Over, PersonId, SeatClaim, Seating, Seats};
use gatewarden::snapshot::Snapshot;
use gatewarden::token::signer::Signer;
use gatewarden::zone::Zone;
use serde_json::{Value, json};

use crate::metrics::promtool;
use crate::process::{FREE_PORTS, Files, Process, RULES};
use crate::support::{Gateway, Upstream, eventually};

const GATEWAY: &str = "[issuers.sso]\nkind = \"oidc\"\nissuer = \"https://sso.example\"\naudience = [\"desk\"]\n\
                       jwks = \"keys.json\"\n[upstreams.desk]\nat = [\"/desk\"]\nservers = [\"http://127.0.0.1:1\"]\n";

/// What these tenants come to, or every mistake in them.
fn tenants(text: &str) -> Result<Snapshot, String> {
    let file = |kind, path: &str, text: &str| SourceFile { kind, path: path.into(), text: text.into() };
    let files = vec![
        file(FileKind::Gateway, "gateway.toml", GATEWAY),
        file(FileKind::Rules, "rules/desk.toml", RULES),
        file(FileKind::Tenants, "rules/tenants.toml", text),
    ];
    let sources = Sources { files, hash: String::new() };
    match compile(&sources, Carried::nothing()) {
        Ok(compiled) => Ok(compiled.snapshot),
        Err(why) => Err(why.render(&sources.files, Style::Plain)),
    }
}

#[test]
fn a_tenants_row_says_how_many_there_are() {
    for (row, expected, zone) in [
        ("", Seats::default(), "UTC"),
        (
            "seats = { named = 50, concurrent = 20, over = \"report\" }\ntime-zone = \"Europe/London\"\n",
            Seats { named: Some(50), concurrent: Some(20), over: Over::Report },
            "Europe/London",
        ),
        ("seats = { named = 0 }\n", Seats { named: Some(0), concurrent: None, over: Over::Report }, "UTC"),
        (
            "seats = { concurrent = 3, over = \"refuse\" }\n",
            Seats { named: None, concurrent: Some(3), over: Over::Refuse },
            "UTC",
        ),
    ] {
        let snapshot = tenants(&format!("[tenant.acme]\n{row}ids = [\"1\"]\napps = [\"desk\"]\n")).unwrap();
        let tenant = snapshot.directory.named("acme").unwrap();
        assert_eq!((tenant.seats(), tenant.zone().name()), (expected, zone), "{row}");
    }
}

#[test]
fn a_mistake_in_the_number_of_seats_is_told() {
    for (row, parts) in [
        ("seats = { named = -1 }", &["between 0 and 100000"][..]),
        ("seats = { named = 100001 }", &["between 0 and 100000"]),
        ("seats = { named = \"5\" }", &["expected an integer"]),
        ("seats = 5", &["expected a table"]),
        ("seats = {}", &["no number of seats"]),
        ("seats = { over = \"refuse\" }", &["no number of seats"]),
        ("seats = { nmaed = 5 }", &["unknown key `nmaed`", "did you mean `named`?", "no number of seats"]),
        ("seats = { named = 5, over = \"refsue\" }", &["did you mean `refuse`?"]),
        ("time-zone = \"Europe/Lodnon\"", &["unknown time zone", "did you mean `Europe/London`?"]),
        ("time-zone = \"europe/london\"", &["unknown time zone", "did you mean `Europe/London`?"]),
        ("time-zone = 1", &["expected a string"]),
    ] {
        let told = tenants(&format!("[tenant.acme]\n{row}\nids = [\"1\"]\napps = [\"desk\"]\n")).unwrap_err();
        for part in parts {
            assert!(told.contains(part), "{row}: {part} not in\n{told}");
        }
    }
    let told = tenants(
        "[tenant.acme]\nids = [\"1\"]\napps = [\"desk\"]\n[organisation.o]\nids = [\"2\"]\nseats = { named = 1 }\n",
    );
    assert!(told.unwrap_err().contains("unknown key `seats`"));
}

/// A file that is cut off may not let in more people than the whole one.
#[test]
fn seats_that_refuse_are_not_the_last_that_is_said() {
    let last = "[tenant.acme]\nids = [\"1\"]\napps = [\"desk\"]\nseats = { named = 1, over = \"refuse\" }\n";
    let told = tenants(last).unwrap_err();
    assert!(told.contains("GW1005") && told.contains("write `seats` above `apps`"), "{told}");
    let own_table = "[tenant.acme]\nids = [\"1\"]\napps = [\"desk\"]\n[tenant.acme.seats]\nnamed = 1\nover = \"refuse\"\n";
    assert!(tenants(own_table).unwrap_err().contains("GW1005"));
    tenants(&last.replace("refuse", "report")).unwrap();
    let zone = "[tenant.acme]\nids = [\"1\"]\napps = [\"desk\"]\ntime-zone = \"Europe/London\"\n";
    assert!(
        tenants(zone).unwrap_err().contains("write `time-zone` above `apps`"),
        "days and hours are rules too"
    );
    let first = "[tenant.acme]\nseats = { named = 1, over = \"refuse\" }\nids = [\"1\"]\napps = [\"desk\"]\n";
    for end in 0..=first.len() {
        if let Ok(snapshot) = tenants(&first[..end]) {
            let refuses = |own: &gatewarden::tenant::Tenant| own.seats().over == Over::Refuse;
            let known = snapshot.directory.named("acme");
            assert!(known.is_none_or(|own| refuses(own)), "cut at {end}");
        }
    }
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

fn claim(app: &str, who: &str, at: Timestamp, over: Over) -> SeatClaim {
    SeatClaim {
        tenant: "acme".into(),
        app: app.into(),
        person: PersonId::of("sso", "", who),
        at,
        seats: Seats { named: Some(2), concurrent: Some(5), over },
        zone: Zone::named("Europe/London").unwrap(),
    }
}

/// Books as a gateway leaves them: these people were at the desk.
fn left_by(people: &[&str], path: &Path, at: Timestamp) {
    let keeper = Keeper::open(Some(path), at);
    for who in people {
        keeper.ledger().take(&claim("desk", who, at, Over::Report));
    }
    keeper.write();
}

fn files(more: &str) -> Files {
    Files::new("127.0.0.1:1".parse().unwrap(), &format!("{FREE_PORTS}{more}"))
}

/// `gatewarden report seats` on these files: how it ended, what it printed, what it complained of.
fn report(files: &Files, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatewarden"));
    command.args(["report", "seats", "--config"]).arg(files.path("gateway.toml")).args(arguments);
    let output = command.env_remove("GATEWARDEN_CONFIG").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const LEDGER: &str = "ledger.file = \"state/seats.json\"\n";

#[test]
fn a_gateway_goes_on_counting_after_a_restart() {
    let upstream = Upstream::echo();
    let files = Files::new(upstream.address, &format!("{FREE_PORTS}{LEDGER}"));
    left_by(&["ada", "bob", "eve"], &files.path("state/seats.json"), now());
    let mut process = Process::start(files);
    assert!(!process.log().contains("seats"), "{}", process.log());
    let answer = process.admin("GET /seats", &[]);
    let shown: Value = serde_json::from_str(answer.text()).unwrap();
    let row = &shown["rows"][0];
    assert_eq!((&row["tenant"], &row["app"]), (&"acme".into(), &"desk".into()));
    assert_eq!((&row["named"]["used"], &row["named"]["of"]), (&3.into(), &2.into()));
    assert_eq!((&row["concurrent"]["peak"], &row["is_over"]), (&3.into(), &true.into()));
    let metrics = process.admin("GET /metrics", &[]).text().to_owned();
    for line in [
        "gatewarden_seats_named{app=\"desk\",tenant=\"acme\"} 3",
        "gatewarden_seats_concurrent_peak{app=\"desk\",tenant=\"acme\"} 3",
        "gatewarden_seats_limit{app=\"desk\",kind=\"named\",tenant=\"acme\"} 2",
        "gatewarden_seats_limit{app=\"desk\",kind=\"concurrent\",tenant=\"acme\"} 5",
        "gatewarden_seats_over_total{app=\"desk\",effect=\"refuse\",kind=\"named\",tenant=\"acme\"} 0",
        "gatewarden_seats_write_failures_total 0",
    ] {
        assert!(metrics.lines().any(|own| own == line), "{line} not in\n{metrics}");
    }
    promtool(&metrics);
    assert_eq!(process.admin("POST /seats", &[]).status, 405);
    process.signal("TERM");
    assert_eq!(process.end(), 0);
    let (code, out, _) = report(&process.files, &[]);
    assert_eq!(code, 1, "three people, two seats");
    assert!(out.contains("3 of 2"), "{out}");
}

#[test]
fn a_broken_file_stops_nobody() {
    let files = files(LEDGER);
    fs::create_dir(files.path("state")).unwrap();
    files.write("state/seats.json", "{\"schema\":");
    let process = Process::start(files);
    process.until("seats are counted from nothing");
    assert_eq!(fs::read_to_string(process.files.path("state/seats.json.broken")).unwrap(), "{\"schema\":");
    let shown: Value = serde_json::from_str(process.admin("GET /seats", &[]).text()).unwrap();
    assert_eq!(shown["rows"], Value::Array(Vec::new()));
}

#[test]
fn without_a_file_seats_are_counted_all_the_same() {
    let process = Process::start(files(""));
    assert!(!process.log().contains("seats"), "{}", process.log());
    assert_eq!(process.admin("GET /seats", &[]).status, 200);
    let (code, _, complaint) = report(&process.files, &[]);
    assert_eq!(code, 4);
    assert!(complaint.contains("no `[ledger] file`") && complaint.contains("/seats"), "{complaint}");
}

#[test]
fn the_report_is_a_table_that_one_can_read() {
    let files = files(LEDGER);
    let (code, _, complaint) = report(&files, &[]);
    assert_eq!(code, 4, "{complaint}");
    assert!(complaint.contains("no gateway has written it yet"), "{complaint}");
    let path = files.path("state/seats.json");
    let keeper = Keeper::open(Some(&path), now());
    let october = Timestamp(1_792_843_200); // 2026-10-24 12:00 UTC
    let november = Timestamp(1_795_262_400); // 2026-11-21 12:00 UTC
    for (app, who, at, over) in [
        ("desk", "ada", october, Over::Report),
        ("desk", "bob", october, Over::Report),
        ("desk", "eve", october, Over::Report),
        ("desk", "ada", november, Over::Report),
        ("calling", "ada", october, Over::Refuse),
        ("calling", "bob", Timestamp(october.0 + 900), Over::Refuse),
        ("calling", "eve", Timestamp(october.0 + 900), Over::Refuse),
        ("calling", "eve", Timestamp(october.0 + 901), Over::Refuse),
        ("calling", "ada", november, Over::Refuse),
    ] {
        keeper.ledger().take(&claim(app, who, at, over));
    }
    keeper.write();
    let (code, out, complaint) = report(&files, &["--month", "2026-10"]);
    let expected = "\
Tenant  App      Month     Named    Peak  Peak at           Time zone      Without a seat
------  -------  -------  ------  ------  ----------------  -------------  ---------------
acme    calling  2026-10  2 of 2  1 of 5  2026-10-24 13:00  Europe/London  2 named refused
acme    desk     2026-10  3 of 2  3 of 5  2026-10-24 13:00  Europe/London  1 named let in
";
    assert_eq!((code, out.as_str()), (1, expected), "{complaint}");
    let (code, out, _) = report(&files, &["--month", "2026-11", "--format", "json"]);
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, shown["rows"].as_array().unwrap().len()), (0, 2), "{out}");
    assert_eq!(shown["rows"][1]["concurrent"]["peak_at"], "2026-11-21 12:00");
    let (code, out, _) = report(&files, &["--month", "2025-01"]);
    assert_eq!((code, out.as_str()), (0, "nobody is known to have had a seat in 2025-01\n"));
    assert_eq!(report(&files, &["--month", "November"]).0, 2);
}

/// A gateway whose guarded operations take a seat.
fn with_seats(row: &'static str) -> (Upstream, Gateway) {
    let upstream = Upstream::echo();
    let gateway = Gateway::setup().upstream("app", &[upstream.address]).tenant(row).compiled(|snapshot| {
        let permissions = snapshot.apps.iter_mut().flat_map(|app| &mut app.permissions);
        permissions.for_each(|(_, own)| own.seat = SeatRule::Always);
    });
    (upstream, gateway.start())
}

/// The status of one request of this caller's for something that takes a seat.
#[track_caller]
fn ask(gateway: &Gateway, who: &str, roles: &[&str]) -> u16 {
    gateway.request("GET /app-guarded/x", &[&gateway.token_of(who, roles)]).status
}

fn used(gateway: &Gateway) -> Vec<(u32, u32)> {
    let of = |own: Seating| (own.standing.now.named, own.standing.now.peak.people);
    gateway.ledger.seatings(now()).into_iter().map(of).collect()
}

#[test]
fn whoever_has_no_seat_is_refused_where_the_tenant_says_so() {
    let (_upstream, gateway) = with_seats("seats = { named = 2, over = \"refuse\" }");
    assert_eq!(ask(&gateway, "zoe", &[]), 403, "no role");
    assert_eq!(gateway.request("GET /app/open", &[&gateway.token_of("zoe", &["user"])]).status, 200);
    assert!(used(&gateway).is_empty(), "who is denied, or asks for what is public, takes no seat");
    for (who, status) in [("ada", 200), ("bob", 200), ("eve", 403), ("ada", 200), ("bob", 200), ("eve", 403)]
    {
        assert_eq!(ask(&gateway, who, &["user"]), status, "{who}");
    }
    assert_eq!(used(&gateway), [(2, 2)]);
    let refused = gateway.request("GET /app-guarded/x", &[&gateway.token_of("eve", &["user"])]);
    assert!(refused.text().contains("no-licence-seat"), "{}", refused.text());
    gateway.counts("gatewarden_decisions_total", &["tenant=\"default\"", "reason=\"no-seat\""]);
}

#[test]
fn whoever_has_no_seat_is_reported_else() {
    let (_upstream, gateway) = with_seats("seats = { named = 1, concurrent = 1 }");
    for who in ["ada", "bob", "bob", "ada", "eve"] {
        assert_eq!(ask(&gateway, who, &["user"]), 200, "{who}");
    }
    let seatings = gateway.ledger.seatings(now());
    assert_eq!(seatings[0].standing.now.named, 3);
    assert_eq!(seatings[0].standing.now.tally.named_reported, 2, "each person once");
}

/// The role whose scope takes a seat comes first, and so it was taken to be the one that permits.
#[test]
fn a_role_more_never_costs_a_seat_that_the_others_spare() {
    const RULES: &str = r#"
app = "app"
base = "/app"
issuer = "test"
roles = "token.roles"
tenant = "default"
[facts.token]
roles = "set"
tier = "string"
[when]
gold = "token.tier = 'gold'"
[resource.leased]
use = { seat = true, operations = ["GET /x", "GET /y"] }
[resource.owned]
use = ["GET /x"]
[role.tenant]
use = ["leased"]
[role.owner]
use = ["owned"]
[role.member]
use = ["owned if gold"]
"#;
    let upstream = Upstream::echo();
    let gateway = Gateway::setup().upstream("app", &[upstream.address]).rules("app", RULES);
    let gateway = gateway.tenant("seats = { named = 0, over = \"refuse\" }").start();
    let ask = |path: &str, roles: &[&str]| {
        gateway.request(&format!("GET /app/{path}"), &[&gateway.token_of("ada", roles)]).status
    };
    assert_eq!(ask("x", &["owner"]), 200);
    assert_eq!(ask("x", &["owner", "tenant"]), 200, "a role more takes nothing away");
    assert_eq!(ask("x", &["tenant"]), 403);
    assert_eq!(ask("x", &["member", "tenant"]), 403, "a grant that doesn't hold spares nothing");
    assert_eq!(ask("y", &["owner", "tenant"]), 403);
    assert!(used(&gateway).iter().all(|own| *own == (0, 0)), "{:?}", used(&gateway));
}

#[test]
fn many_at_once_are_given_no_more_seats_than_there_are() {
    let (_upstream, gateway) = with_seats("seats = { named = 5, concurrent = 3, over = \"refuse\" }");
    let gateway = &gateway;
    let let_in: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..12)
            .map(|who| scope.spawn(move || usize::from(ask(gateway, &format!("p{who}"), &["user"]) == 200)))
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    // A quarter of an hour may have ended meanwhile.
    assert!((3..=5).contains(&let_in), "{let_in}");
    assert!(used(gateway)[0].1 <= 3);
}

/// An app whose operations take seats, for tenants whose time is Berlin's.
const SEATED: &str = r#"
app    = "desk"
base   = "/desk"
issuer = "sso"
roles  = "token.roles"
tenant = "acme"
[facts.token]
roles = "set"
kind  = "string"
[when]
outsider = "token.kind = 'outsider'"
[resource.customers]
view = { seat = true, operations = ["GET /customers/{id}"] }
call = { seat = "outsider", operations = ["POST /customers/{id}"] }
[resource.about]
view = ["GET /about"]
[role.agent]
view = ["customers", "about"]
call = ["customers"]
"#;

/// Files of a gateway that takes these people's tokens and keeps its seats.
fn seated(upstream: &Upstream, signer: &Signer) -> Files {
    let files = Files::new(upstream.address, &format!("{FREE_PORTS}{LEDGER}"));
    files.write("keys.json", &signer.jwks());
    let gateway = fs::read_to_string(files.path("gateway.toml")).unwrap();
    files.write("gateway.toml", &gateway.replace("jwks =", "algorithms = [\"EdDSA\"]\njwks ="));
    files.write("rules/desk.toml", SEATED);
    files.write(
        "rules/tenants.toml",
        "[tenant.acme]\nseats = { named = 2, over = \"refuse\" }\ntime-zone = \"Europe/Berlin\"\n\
         ids = [\"1\"]\napps = [\"desk\"]\n",
    );
    files
}

/// The status of one request of this person's.
#[track_caller]
fn status(process: &Process, signer: &Signer, who: &str, kind: &str, line: &str) -> u16 {
    let claims = json!({
        "iss": "https://sso.example", "aud": "desk", "sub": who, "roles": ["agent"], "kind": kind,
        "iat": now().0, "exp": now().0 + 300,
    });
    let token = format!("Authorization: Bearer {}", signer.sign(&claims).unwrap());
    crate::process::ask(process.address("callers"), line, &[&token]).status
}

/// Who asks a gateway that has two seats and keeps them.
pub(crate) struct Seated(Signer);

impl Seated {
    /// What somebody gets who needs a seat.
    #[track_caller]
    pub(crate) fn asks(&self, process: &Process, who: &str) -> u16 {
        status(process, &self.0, who, "home", "GET /desk/customers/7")
    }
}

/// The files of a gateway with two seats.
pub(crate) fn two_seats(upstream: &Upstream) -> (Files, Seated) {
    let signer = Signer::from_seed(&[9; 32], "k").unwrap();
    (seated(upstream, &signer), Seated(signer))
}

#[test]
fn whoever_has_a_seat_has_it_after_a_restart() {
    let (upstream, signer) = (Upstream::echo(), Signer::from_seed(&[9; 32], "k").unwrap());
    let mut process = Process::start(seated(&upstream, &signer));
    let view = "GET /desk/customers/7";
    let asks = |process: &Process, who: &str| status(process, &signer, who, "home", view);
    assert_eq!(status(&process, &signer, "zoe", "home", "GET /desk/about"), 200, "takes no seat");
    assert_eq!(status(&process, &signer, "zoe", "home", "POST /desk/customers/7"), 200, "takes none either");
    assert_eq!(status(&process, &signer, "bob", "outsider", "POST /desk/customers/7"), 200);
    assert_eq!(["ada", "bob", "eve", "zoe"].map(|who| asks(&process, who)), [200, 200, 403, 403]);
    process.signal("TERM");
    assert_eq!(process.end(), 0);
    let process = process.again();
    assert_eq!(["eve", "bob", "ada"].map(|who| asks(&process, who)), [403, 200, 200]);
    let shown: Value = serde_json::from_str(process.admin("GET /seats", &[]).text()).unwrap();
    let row = &shown["rows"][0];
    assert_eq!((&row["named"]["used"], &row["time_zone"]), (&2.into(), &"Europe/Berlin".into()));
    let text = fs::read_to_string(process.files.path("state/seats.json")).unwrap();
    assert!(!["ada", "bob"].iter().any(|who| text.contains(who)), "no names: {text}");
}

#[test]
fn a_gateway_that_is_killed_forgets_a_few_seconds_at_most() {
    let (upstream, signer) = (Upstream::echo(), Signer::from_seed(&[9; 32], "k").unwrap());
    let mut process = Process::start(seated(&upstream, &signer));
    assert_eq!(status(&process, &signer, "ada", "home", "GET /desk/customers/7"), 200);
    let path = process.files.path("state/seats.json");
    let kept =
        || gatewarden::ledger::read(&path).ok().and_then(|books| Some(books.first()?.current.named.len()));
    eventually("the seat to be written", || kept() == Some(1));
    process.signal("KILL");
    process.gone();
    assert_eq!(report(&process.files, &[]).0, 0);
    let process = process.again();
    let shown: Value = serde_json::from_str(process.admin("GET /seats", &[]).text()).unwrap();
    assert_eq!(shown["rows"][0]["named"]["used"], 1);
}

#[test]
fn the_seat_that_an_allow_takes_is_explained() {
    let (upstream, signer) = (Upstream::echo(), Signer::from_seed(&[9; 32], "k").unwrap());
    let files = seated(&upstream, &signer);
    let explain = |request: [&str; 2]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatewarden"));
        command.args(["explain", "--role", "agent", "--with", "token.kind=home", "--config"]);
        command.arg(files.path("gateway.toml")).args(request);
        String::from_utf8(command.env_remove("GATEWARDEN_CONFIG").output().unwrap().stdout).unwrap()
    };
    let view = explain(["GET", "/desk/customers/7"]);
    assert!(view.contains("a licence seat of acme is taken (2 named; whoever is over is refused)"), "{view}");
    let call = explain(["POST", "/desk/customers/7"]);
    assert!(call.starts_with("ALLOW") && !call.contains("seat"), "{call}");
}
