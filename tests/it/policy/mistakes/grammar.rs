//! Mistakes in what a rule file says beyond grants: look-ups, narrowings, filters, masks, bodies, headers, sockets, seats
//! and ends. One file has all of them right; each row makes one of them wrong.

use gatewarden::config::{Carried, Sources, compile};
use gatewarden::policy::obligation::{Piece, SeatRule};
use gatewarden::policy::{Access, App};
use gatewarden::request::Timestamp;
use gatewarden::route::Verb;

use super::super::{GATEWAY, compiled, file, rendered};

const TENANTS: &str = "[tenant.acme]\nids = [\"acme\"]\napps = [\"shop\"]\n[tenant.acme.settings]\nnode = \"acme\"\nopen-until = \"2031-01-31\"\n";

const SHOP: &str = r#"app = "shop"
base = "/shop/t/{tenant}"
issuer = "keycloak"
roles = "user.roles"
tenant = { from = ["path.tenant"], proven-by = "member" }
isolation = "ours"
public = ["GET /open"]
[facts.token]
sub = "string"
born = "time"
[facts.tenant]
node = "node"
open-until = "time"
[facts.header]
x-view = { type = "node", default = "user.node" }
[facts.user]
get = "/members/{token.sub}"
ttl = "30s"
timeout = "500ms"
forget = ["PUT /orders/{order}"]
roles = { at = "/roles", type = "set" }
node = { at = "/node", type = "node" }
[facts.order]
get = "/orders/{path.order}"
ttl = "10s"
owner = { at = "/owner", type = "string" }
node = { at = "/node", type = "node" }
[facts.body]
price = { at = "/price", type = "int" }
[when]
member = "user.node under tenant.node"
ours = "order.node = tenant.node"
own = "order.owner = token.sub"
cheap = "body.price <= 10"
by-day = { all = ["client.time >= '08:00'", "client.weekday in ['mon', 'tue']", "client.time <= tenant.open-until"] }
[require]
member = "member"
ours = { is = "ours", on = ["GET /orders"] }
priced = { is = "body.price >= 0", on = ["PUT /orders/{order}", "EMIT *"] }
[narrow.ours]
"GET /orders" = { query = "node", pass = ["page"] }
[narrow.own]
"GET /orders" = { query = "owner", pass = ["page"] }
[filter]
"GET /all" = { items = "", as = "order", keep = "own" }
[mask]
"* /orders..." = { fields = ["/card", "/items/*/card"], except = ["GET /orders/{order}/card"], unless = ["cards", "orders#manage"] }
[body]
"PUT /orders/{order}" = { only = ["/price"] }
[inject]
"X-View" = "header.x-view"
[audit]
"PUT /orders/{order}" = ["path.order", "order.owner", "body.price"]
[socket]
path = "/live"
token = ["header", "query.token", "auth.token"]
[socket.auth]
who = { json = { id = "token.sub", roles = "roles", may = "permissions" } }
keep = ["fcm"]
[resource.orders]
view = ["GET /orders", "GET /orders/{order}", "GET /all"]
manage = { seat = "member", operations = ["PUT /orders/{order}"] }
[resource.cards]
view = { seat = true, operations = ["GET /orders/{order}/card"] }
[resource.live]
send = ["EMIT order changed", "EMIT ping"]
[role.clerk]
view = ["orders if own until 2030-01-31", "cards if by-day"]
send = ["live until 2030-01-31"]
[role.boss]
view = ["*"]
manage = ["orders if cheap"]
[never]
[expect]
"clerk GET /orders" = "if own until 2030-01-31"
"clerk EMIT order changed" = "if until 2030-01-31"
"boss EMIT ping" = "deny"
"boss PUT /orders/{order}" = "if cheap"
"#;

/// The file, with `[never]` where it belongs: guards stand before grants.
fn shop() -> String {
    SHOP.replacen("[never]\n", "", 1)
}

fn set(shop: &str) -> Sources {
    let files = vec![
        file("gateway.toml", GATEWAY),
        file("rules/shop.toml", shop),
        file("rules/tenants.toml", TENANTS),
    ];
    Sources { files, hash: String::new() }
}

fn told(sources: &Sources, now: Option<Timestamp>) -> String {
    match compile(sources, Carried { now, ..Carried::nothing() }) {
        Ok(compiled) => rendered(&compiled.remarks, sources),
        Err(mistakes) => rendered(&mistakes, sources),
    }
}

fn app(shop: &str) -> App {
    compiled(&set(shop)).apps[0].clone()
}

#[test]
fn a_file_with_everything_loads_and_means_what_it_says() {
    let sources = set(&shop());
    let out = told(&sources, None);
    assert!(!out.contains("error[") && !out.contains("warning["), "{out}");
    assert!(out.contains("note[GW4008]: `ours` doesn't reach `GET /all`, `EMIT order changed`"), "{out}");
    let app = app(&shop());
    let text = |text: &str| Piece::Text(text.into());
    let user = &app.look_ups[0];
    let fact = |name: &str| app.facts.iter().position(|fact| &*fact.name == name).unwrap();
    let path = [
        text("/shop/t/"),
        Piece::Fact(fact("path.tenant")),
        text("/members/"),
        Piece::Fact(fact("token.sub")),
    ];
    assert_eq!(
        (&*user.name, &*user.target, user.ttl.as_secs(), user.timeout.as_millis()),
        ("user", &path[..], 30, 500)
    );
    let operation = |verb: Verb, path: &str| {
        let found =
            |own: &&gatewarden::policy::Operation| own.verb == verb && own.template.to_string() == path;
        app.operations.iter().find(found).unwrap()
    };
    let list = &operation(Verb::Get, "/shop/t/{tenant}/orders").obligations;
    assert_eq!(list.narrows.iter().map(|own| &*own.query).collect::<Vec<_>>(), ["node", "owner"]);
    assert_eq!(operation(Verb::Get, "/shop/t/{tenant}/all").obligations.filters.len(), 1);
    let put = &operation(Verb::Put, "/shop/t/{tenant}/orders/{order}").obligations;
    assert_eq!((put.masks.len(), put.masks[0].unless.len(), put.audit.len()), (1, 2, 3));
    assert_eq!((&*put.forgets, put.body_only.as_ref().unwrap().len()), (&[0][..], 1));
    assert!(operation(Verb::Get, "/shop/t/{tenant}/orders/{order}/card").obligations.masks.is_empty());
    assert!(operation(Verb::Get, "/shop/t/{tenant}/open").obligations.masks.is_empty());
    for verb in [Verb::Get, Verb::Post] {
        let opening = operation(verb, "/shop/t/{tenant}/live");
        let events: Vec<_> =
            opening.permissions().map(|id| app.permission(id).unwrap().name.to_string()).collect();
        assert!(matches!(opening.access, Access::Socket { .. }) && events == ["live#send"], "{opening:?}");
    }
    let mut events: Vec<_> = app.events.keys().map(|name| name.to_string()).collect();
    events.sort();
    assert_eq!(events, ["order changed", "ping"]);
    let seat = |name: &str| app.permissions.iter().find(|(_, own)| &*own.name == name).unwrap().1.seat;
    assert_eq!((seat("orders#view"), seat("cards#view")), (SeatRule::Free, SeatRule::Always));
    assert!(matches!(seat("orders#manage"), SeatRule::If(index) if &*app.conditions[index].name == "member"));
    assert_eq!(app.grants_end.len(), 2);
    assert_eq!(app.conditions.iter().filter(|own| own.name.starts_with("until ")).count(), 1);
}

/// What isolates the tenants joins every operation that names its object, whatever its own `on` says.
#[test]
fn isolation_joins_what_names_the_object() {
    let app = app(&shop());
    let under = |own: &&gatewarden::policy::Operation| {
        own.requirements().iter().any(|index| &*app.requirements[*index].name == "ours")
    };
    let mut found: Vec<_> = app.operations.iter().filter(under).map(|own| own.route.to_string()).collect();
    found.sort();
    let base = "/shop/t/{tenant}/orders";
    assert_eq!(
        found,
        [base, &format!("{base}/{{order}}"), &format!("{base}/{{order}}"), &format!("{base}/{{order}}/card")]
    );
}

/// What is replaced, by what, and words that must be said.
const MISTAKES: &[(&str, &str, &str)] = &[
    // Look-ups.
    ("get = \"/orders/{path.order}\"", "get = \"/orders/{order}\"", "did you mean `path.order`"),
    (
        "get = \"/orders/{path.order}\"",
        "get = \"/orders/{path.oder}\"",
        "`path.oder` is a parameter of no operation",
    ),
    ("get = \"/orders/{path.order}\"", "get = \"/orders/{user.roles}\"", "is of type set"),
    ("get = \"/orders/{path.order}\"", "get = \"/orders?id={path.order}\"", "has no query"),
    ("get = \"/orders/{path.order}\"", "get = \"orders/{path.order}\"", "begins with `/`"),
    ("get = \"/orders/{path.order}\"", "get = \"/orders/x{path.order}\"", "a parameter is a whole segment"),
    ("get = \"/orders/{path.order}\"", "get = \"/orders/{order.owner}\"", "in a circle: order → order"),
    (
        "get = \"/members/{token.sub}\"",
        "get = \"/members/{order.owner}/{header.x-view}\"",
        "in a circle: user → user",
    ),
    ("get = \"/orders/{path.order}\"\n", "", "look-up `order` has no `get`"),
    ("ttl = \"10s\"", "ttl = \"10\"", "a duration is a whole number and a unit"),
    ("ttl = \"10s\"", "ttl = \"2h\"", "`ttl` is at most 3600s"),
    ("timeout = \"500ms\"", "timeout = \"0s\"", "a timeout more than nothing"),
    ("timeout = \"500ms\"", "timeuot = \"500ms\"", "doesn't say where it is"),
    (
        "forget = [\"PUT /orders/{order}\"]",
        "forget = [\"PUT /order/{order}\"]",
        "did you mean `PUT /orders/{order}`?",
    ),
    (
        "owner = { at = \"/owner\", type = \"string\" }",
        "owner = \"string\"",
        "`order.owner` doesn't say where it is",
    ),
    (
        "owner = { at = \"/owner\", type = \"string\" }",
        "owner = { at = \"owner\", type = \"string\" }",
        "begins with `/`",
    ),
    (
        "owner = { at = \"/owner\", type = \"string\" }",
        "owner = { at = \"/owner\", type = \"strng\" }",
        "did you mean `string`?",
    ),
    (
        "owner = { at = \"/owner\", type = \"string\" }",
        "owner = { at = \"/owner\", type = \"nets\" }",
        "can't be nets",
    ),
    ("[facts.order]", "[facts.client]", "can't be the name of a look-up"),
    ("[facts.user]", "[facts.\"us er\"]", "can't be the name of a look-up"),
    (
        "roles = { at = \"/roles\", type = \"set\" }",
        "roles = { at = \"/roles\", type = \"set\", default = [\"boss\"] }",
        "a default would give roles",
    ),
    (
        "tenant = { from = [\"path.tenant\"]",
        "tenant = { from = [\"order.owner\"]",
        "is named by a string of the request",
    ),
    (
        "[facts.order]",
        "[facts.path]\norder = \"int\"\n[facts.order]",
        "`path.order` is text in the request, of which a number has several",
    ),
    // Bodies and times.
    (
        "price = { at = \"/price\", type = \"int\" }",
        "price = \"int\"",
        "`price = { at = \"/price\", type = \"int\" }`",
    ),
    (
        "price = { at = \"/price\", type = \"int\" }",
        "price = { at = \"/price\", type = \"int\", default = 0 }",
        "has no default",
    ),
    ("\"body.price <= 10\"", "\"body.price != 10\"", "GW4006"),
    ("\"body.price <= 10\"", "{ not = \"body.price > 10\" }", "GW4006"),
    ("own = \"order.owner = token.sub\"", "own = \"order.node != header.x-view\"", "GW4006"),
    ("'08:00'", "'8:00'", "can't be compared"),
    ("['mon', 'tue']", "['mon', 'tuesday']", "`tuesday` is no day of the week"),
    ("client.weekday", "client.weekdy", "did you mean `client.weekday`?"),
    // Narrowing.
    ("[narrow.own]", "[narrow.oun]", "did you mean `own`?"),
    ("[narrow.own]", "[narrow.by-day]", "more than one `=`"),
    ("[narrow.own]", "[narrow.member]", "more than one `=`"),
    (
        "\"GET /orders\" = { query = \"owner\"",
        "\"GET /oders\" = { query = \"owner\"",
        "did you mean `GET /orders`?",
    ),
    (
        "\"GET /orders\" = { query = \"owner\"",
        "\"GET /orders/{order}\" = { query = \"owner\"",
        "nothing to narrow by in `own`",
    ),
    ("\"GET /orders\" = { query = \"owner\"", "\"PUT /orders/{order}\" = { query = \"owner\"", "is no list"),
    (
        "\"GET /orders\" = { query = \"owner\"",
        "\"GET /open\" = { query = \"owner\"",
        "is public, so nothing is known of who asks",
    ),
    (
        "\"GET /orders\" = { query = \"owner\"",
        "\"GET /orders\" = { query = \"node\"",
        "narrowed by this query already",
    ),
    ("query = \"owner\", pass = [\"page\"]", "query = \"owner\", pass = []", "they must be the same"),
    (
        "query = \"owner\", pass = [\"page\"]",
        "query = \"page\", pass = [\"page\"]",
        "the client's own can't pass",
    ),
    ("query = \"owner\", pass", "qery = \"owner\", pass", "did you mean `query`?"),
    (
        "priced =",
        "strange = { is = { not = \"own\" }, on = [\"GET /orders\"] }\npriced =",
        "stands under `not` in a rule",
    ),
    ("orders if own until", "orders until", "so this narrows nothing"),
    // Requirements and isolation.
    (
        "ours = { is = \"ours\", on = [\"GET /orders\"] }",
        "ours = { is = \"member\", on = [\"GET /nothing\"] }",
        "names an operation that the file doesn't have",
    ),
    ("isolation = \"ours\"", "isolation = \"member\"", "`member` isolates nothing"),
    (
        "priced = { is = \"body.price >= 0\", on = [\"PUT /orders/{order}\", \"EMIT *\"] }",
        "priced = \"body.price >= 0\"",
        "refuses everyone",
    ),
    ("priced = {", "mine = \"own\"\npriced = {", "`on = [\"{order}\"]`"),
    // Filters, masks, bodies, headers, records.
    ("\"GET /all\" = { items", "\"GET /al\" = { items", "did you mean `GET /all`?"),
    ("as = \"order\"", "as = \"oder\"", "did you mean `order`?"),
    ("keep = \"own\"", "keep = \"member\"", "doesn't depend on any `order`"),
    ("keep = \"own\"", "keep = { all = [\"own\", \"path.order = 'x'\"] }", "nothing would ever be kept"),
    ("items = \"\"", "items = \"items\"", "begins with `/`"),
    ("\"* /orders...\" =", "\"* /oders...\" =", "no operation is `* /oders...`"),
    ("\"* /orders...\" =", "\"* *\" =", "which has no answer"),
    ("\"* /orders...\" =", "\"* /...\" =", "what anyone may fetch isn't edited"),
    ("except = [\"GET /orders/{order}/card\"]", "except = [\"GET /all\"]", "isn't masked here anyway"),
    ("unless = [\"cards\", \"orders#manage\"]", "unless = \"cads\"", "did you mean `cards`?"),
    ("fields = [\"/card\", \"/items/*/card\"]", "fields = []", "no field is named"),
    ("fields = [\"/card\", \"/items/*/card\"]", "fields = [\"card\"]", "begins with `/`"),
    ("{ only = [\"/price\"] }", "{ olny = [\"/price\"] }", "did you mean `only`?"),
    ("\"X-View\" =", "\"Host\" =", "only the gateway itself sets this header"),
    ("\"X-View\" =", "\"X-Gatewarden-Subject\" =", "only the gateway itself sets this header"),
    ("\"X-View\" =", "\"X View\" =", "no name of a header"),
    ("= \"header.x-view\"\n[audit]", "= \"user.roles\"\n[audit]", "which is no header's value"),
    (
        "= \"header.x-view\"\n[audit]",
        "= \"path.order\"\n[audit]",
        "what `X-View` is set to is never known on",
    ),
    ("\"order.owner\", \"body.price\"]", "\"oder.owner\", \"body.price\"]", "did you mean `order.owner`?"),
    (
        "[audit]\n",
        "[audit]\n\"GET /orders\" = [\"path.order\"]\n",
        "`path.order` is never known on `GET /orders`",
    ),
    // The socket and its events.
    ("path = \"/live\"", "path = \"/orders\"", "is the socket's own path"),
    ("path = \"/live\"", "path = \"/live\"\nkind = \"socketio\"", "did you mean `socket.io`?"),
    ("path = \"/live\"", "path = \"/live\"\nkind = \"websocket\"", "nothing on it is read"),
    ("path = \"/live\"", "path = \"/live\"\nnamespaces = []", "nobody could connect"),
    ("path = \"/live\"", "path = \"/live\"\nnamespaces = [\"admin\"]", "`admin` is no namespace"),
    ("\"query.token\"", "\"cookie.token\"", "`cookie.token` is no place of a token"),
    ("\"query.token\"", "\"header\"", "`header` stands twice"),
    ("id = \"token.sub\", roles", "id = \"token.sbu\", roles", "did you mean `token.sub`?"),
    ("id = \"token.sub\", roles", "id = \"user.node\", roles", "isn't known when a socket is opened"),
    ("keep = [\"fcm\"]", "keep = [\"who\"]", "the client's own can't survive"),
    ("EMIT ping\"]", "EMIT disconnect\"]", "Socket.IO keeps this name to itself"),
    ("EMIT ping\"]", "EMIT \"]", "an event has a name"),
    (
        "public = [\"GET /open\"]",
        "public = [\"GET /open\", \"EMIT ping\"]",
        "an event, whose sender is known",
    ),
    (
        "public = [\"GET /open\"]",
        "public = [\"GET /open\", \"GET /live\"]",
        "the socket's own, whose events have roles",
    ),
    // Seats and ends.
    ("seat = true, operations", "seat = \"membr\", operations", "did you mean `member`?"),
    ("seat = true, operations", "operations", "`seat` is missing"),
    ("seat = true, operations", "seat = 1, operations", "true, false or the name of a condition"),
    ("live until 2030-01-31", "live until 2030-02-31", "`2030-02-31` is no day"),
    ("live until 2030-01-31", "live until", "is no day"),
    ("live until 2030-01-31", "live until 2030-01-31 if own", "is no day"),
    ("\"if until 2030-01-31\"", "\"if until 2030-01-30\"", "no grant of this file ends on"),
    ("\"if until 2030-01-31\"", "\"allow\"", "the rules say `if until 2030-01-31`"),
    ("\"clerk EMIT order changed\" =", "\"clerk EMIT order\" =", "no operation is `EMIT order`"),
    ("[resource.orders]", "[never]\nclerk = [\"EMIT *\"]\n[resource.orders]", "which [never] rules out"),
    (
        "[resource.orders]",
        "[never]\nclerk = [\"EMIT pong\"]\n[resource.orders]",
        "`EMIT pong` is nothing that this file has",
    ),
];

#[test]
fn each_mistake_is_told() {
    for (from, to, words) in MISTAKES {
        let shop = shop();
        assert!(shop.contains(from), "the file has no {from}");
        let out = told(&set(&shop.replacen(from, to, 1)), None);
        assert!(out.contains(words), "{to}: no {words} in\n{out}");
    }
}

/// What is only a warning loads; all others refuse the set.
#[test]
fn each_mistake_refuses_the_set_unless_it_harms_nobody() {
    let harmless = ["so this narrows nothing", "`path.order` is never known on `GET /orders`"];
    for (from, to, words) in MISTAKES {
        let out = told(&set(&shop().replacen(from, to, 1)), None);
        let is_error = out.contains("error[");
        assert!(is_error || harmless.contains(words), "{to}: loads with\n{out}");
    }
}

#[test]
fn an_event_needs_its_socket_and_a_socket_its_events() {
    let shop = shop();
    let (start, end) = (shop.find("[socket]").unwrap(), shop.find("[resource.orders]").unwrap());
    let out = told(&set(&format!("{}{}", &shop[..start], &shop[end..])), None);
    assert!(out.contains("error[GW1010]: an event without a socket"), "{out}");
    let quiet = [
        ("[resource.live]\nsend = [\"EMIT order changed\", \"EMIT ping\"]\n", ""),
        ("send = [\"live until 2030-01-31\"]\n", ""),
        ("\"clerk EMIT order changed\" = \"if until 2030-01-31\"\n", ""),
        ("\"boss EMIT ping\" = \"deny\"\n", ""),
        (", \"EMIT *\"]", "]"),
    ];
    let quiet = quiet.iter().fold(shop, |shop, (from, to)| shop.replacen(from, to, 1));
    let out = told(&set(&quiet), None);
    assert!(out.contains("warning[GW1010]: a socket without events") && !out.contains("error["), "{out}");
    let web = quiet.replacen("token = [\"header\", \"query.token\", \"auth.token\"]\n[socket.auth]\nwho = { json = { id = \"token.sub\", roles = \"roles\", may = \"permissions\" } }\nkeep = [\"fcm\"]\n", "kind = \"websocket\"\n", 1);
    assert!(told(&set(&web), None).contains("who may open this websocket?"));
    let opened = web.replacen("view = [\"GET /orders\",", "view = [\"GET /live\", \"GET /orders\",", 1);
    let out = told(&set(&opened), None);
    assert!(!out.contains("error["), "{out}");
    // What it carries isn't read, so nothing in it can be hidden.
    for (from, to) in [
        ("\"* /orders...\" = { fields", "\"* /...\" = { fields"),
        ("\"GET /all\" = { items", "\"GET /live\" = { items"),
    ] {
        let edited = opened.replacen(from, to, 1);
        let out = told(&set(&edited), None);
        assert!(out.contains("`GET /live` opens the websocket, of which nothing is read"), "{out}");
    }
}

#[test]
fn a_grant_that_ends_is_told_of_a_month_before() {
    let at = |day: &str| -> String {
        let seconds = format!("{day}T12:00:00Z").parse::<jiff::Timestamp>().unwrap().as_second();
        told(&set(&shop()), Some(Timestamp(u64::try_from(seconds).unwrap())))
    };
    assert!(!at("2030-01-01").contains("GW4009") || at("2030-01-01").contains("ends in 30 days"));
    assert!(!at("2029-12-31").contains("GW4009"));
    assert!(at("2030-01-30").contains("warning[GW4009]: this grant ends in 1 day, after 2030-01-31"));
    assert!(at("2030-01-31").contains("ends today"));
    let ended = at("2030-02-02");
    assert!(ended.contains("ended on 2030-01-31, 2 days ago") && !ended.contains("error["), "{ended}");
}

/// Cut off anywhere, a file gives nobody more: no seat is forgotten, no end, no mask.
#[test]
fn every_prefix_grants_no_more() {
    use std::collections::HashSet;

    fn grants(app: &App) -> HashSet<String> {
        let mut found = HashSet::new();
        for operation in &app.operations {
            let route = format!("{} {}", operation.verb, operation.template);
            let carried = format!("{:?} {:?}", operation.obligations.masks, operation.obligations.filters);
            for role in &app.roles {
                for id in operation.permissions() {
                    for grant in role.grants_of(id) {
                        let names: Vec<_> =
                            grant.conditions.iter().map(|own| app.conditions[*own].name.clone()).collect();
                        let required: Vec<_> = operation
                            .requirements()
                            .iter()
                            .map(|own| app.requirements[*own].name.clone())
                            .collect();
                        let seat = app.permission(id).unwrap().seat;
                        found.insert(format!(
                            "{} {route} if {names:?} {required:?} {seat:?} {carried}",
                            role.name
                        ));
                    }
                }
            }
        }
        found
    }
    let whole = shop();
    let allowed = grants(&app(&whole));
    let mut loaded = 0;
    for end in (0..whole.len()).filter(|end| whole[..*end].parse::<toml::Table>().is_ok()) {
        let Ok(cut) = compile(&set(&whole[..end]), Carried::nothing()) else { continue };
        loaded += 1;
        let found = grants(&cut.snapshot.apps[0]);
        let more: Vec<_> = found.difference(&allowed).collect();
        assert!(more.is_empty(), "cut at byte {end}: {more:#?}");
    }
    assert!(loaded > 3, "{loaded} prefixes load");
}
