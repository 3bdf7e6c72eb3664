//! What is compared: every answer of the rules, and never at the cost of one.

use serde_json::Value;

use super::{RULES, Trial, turned};
use crate::process::ask;
use crate::support::{Upstream, eventually};

const VIEW: &str = "GET /desk/customers/7";
const EDIT: &str = "PUT /desk/customers/7";

#[test]
fn the_four_cells_are_counted_with_an_example_of_each_difference() {
    let trial = Trial::start("", |_| {});
    assert_eq!(trial.candidate()["state"], "none");
    trial.try_out("desk.toml", &turned());
    assert_eq!(trial.candidate()["state"], "judged");
    assert_eq!(trial.asks(&["agent"], VIEW), 200);
    assert_eq!(trial.asks(&["agent"], VIEW), 200);
    assert_eq!(trial.asks(&["agent"], EDIT), 403);
    assert_eq!(trial.asks(&["boss"], VIEW), 200);
    assert_eq!(trial.asks(&["clerk"], VIEW), 403);
    // No route, nobody, and a public one.
    let callers = trial.process.address("callers");
    assert_eq!(ask(callers, "GET /desk/nothing", &[]).status, 404);
    assert_eq!(ask(callers, VIEW, &[]).status, 401);
    assert_eq!(ask(callers, "GET /desk/open", &[]).status, 200);
    // What no rule refused isn't compared.
    assert_eq!(ask(callers, VIEW, &["Authorization: Bearer nonsense"]).status, 401);
    assert_eq!(ask(callers, "GET /desk//x", &[]).status, 400);
    trial.cell("allow", "deny", 2);
    trial.cell("deny", "allow", 1);
    trial.cell("allow", "allow", 2);
    trial.cell("deny", "deny", 3);
    let said = &trial.candidate()["decisions"];
    assert_eq!((&said["changes"], &said["unlisted"]), (&3.into(), &0.into()), "{said:#}");
    let kinds = said["kinds"].as_array().unwrap();
    assert_eq!(kinds.len(), 2, "{said:#}");
    let lost = kinds.iter().find(|kind| kind["live"] == "allow").unwrap();
    assert_eq!(
        (&lost["candidate"], &lost["count"], &lost["method"]),
        (&"deny".into(), &2.into(), &"GET".into())
    );
    assert_eq!(lost["route"], "/desk/customers/{id}");
    assert_eq!(lost["roles"], serde_json::json!(["agent"]));
    assert_eq!(lost["example"]["path"], "/desk/customers/7");
    let rule = |side: &str| lost["example"][side]["rule"].as_str().unwrap().to_owned();
    assert!(rule("live").contains("rules/desk.toml:"), "{lost:#}");
    assert!(rule("candidate").contains("rules-next/desk.toml:"), "{lost:#}");
    for line in [
        "gatewarden_shadow_decisions_total{app=\"desk\",candidate=\"deny\",live=\"allow\",tenant=\"acme\"} 2",
        "gatewarden_shadow_decisions_total{app=\"desk\",candidate=\"allow\",live=\"deny\",tenant=\"acme\"} 1",
        "gatewarden_shadow_dropped_total{reason=\"queue-full\"} 0",
        "gatewarden_shadow_dropped_total{reason=\"not-replayed\"} 0",
        "gatewarden_candidate{state=\"judged\"} 1",
    ] {
        trial.counts(line);
    }
}

/// Says who owns what.
fn owners() -> Upstream {
    Upstream::scripted(|wire| {
        while let Some(head) = wire.read_head()? {
            wire.read_body(&head)?;
            let body = "{\"owner\":\"ada\"}";
            wire.write(
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
                .as_bytes(),
            )?;
        }
        Ok(())
    })
}

#[test]
fn what_was_not_asked_is_unknown_and_never_an_allow() {
    let trial = Trial::before(owners(), "", |_| {});
    let asking =
        RULES.replace("[role.agent]\nview = [\"customers\"]", "[role.agent]\nview = [\"customers if own\"]");
    trial.try_out("desk.toml", &asking);
    assert_eq!(trial.asks(&["agent"], VIEW), 200);
    trial.cell("allow", "unknown", 1);
    let said = &trial.candidate()["decisions"];
    assert_eq!(said["changes"], 0);
    assert_eq!(said["kinds"][0]["example"]["candidate"]["reason"], "would ask desk for its customer");
    // The other way round the answer is there: the live rules asked.
    let before = trial._upstream.heads().len();
    trial.files().write("rules/desk.toml", &asking);
    trial.try_out("desk.toml", &asking.replace("customer.owner = token.sub", "customer.owner != token.sub"));
    assert_eq!(trial.asks(&["agent"], VIEW), 200);
    trial.cell("allow", "deny", 1);
    // The request and the one question of the live rules.
    assert_eq!(trial._upstream.heads().len() - before, 2);
    // Another question about another thing has no answer.
    let other = asking.replace("/owners/{path.id}", "/owners/{token.sub}");
    trial.try_out("desk.toml", &other);
    assert_eq!(trial.asks(&["agent"], VIEW), 200);
    trial.cell("allow", "unknown", 1);
}

#[test]
fn a_token_that_nobody_verified_makes_a_new_route_unknown() {
    let trial = Trial::start("", |_| {});
    let more = RULES.replace("[resource.owners]\n", "[resource.owners]\nlist = [\"GET /owners\"]\n");
    trial.try_out("desk.toml", &more);
    assert_eq!(trial.asks(&["boss"], "GET /desk/owners"), 404);
    trial.cell("deny", "unknown", 1);
    assert_eq!(trial.asks(&["boss"], "GET /desk/nowhere"), 404);
    trial.cell("deny", "deny", 1);
}

#[test]
fn another_mask_or_tenant_is_an_allow_that_differs() {
    let trial = Trial::before(owners(), "", |_| {});
    let masked = RULES.replace(
        "[resource.customers]",
        "[mask]\n\"GET /customers/{id}\" = { fields = [\"/owner\"] }\n[resource.customers]",
    );
    trial.try_out("desk.toml", &masked);
    assert_eq!(trial.candidate()["state"], "judged", "{}", trial.candidate());
    assert_eq!(trial.asks(&["agent"], VIEW), 200);
    trial.cell("allow", "differently", 1);
    let said = &trial.candidate()["decisions"];
    assert_eq!(said["changes"], 1);
    let carries = said["kinds"][0]["example"]["candidate"]["carries"].to_string();
    assert!(carries.contains("/owner hidden in the answer"), "{carries}");
}

#[test]
fn nobody_waits_for_a_candidate_and_what_was_too_much_is_counted() {
    let trial = Trial::start("", |_| {});
    trial.try_out("desk.toml", &turned());
    let token = trial.token("1", &["agent"]);
    let address = trial.process.address("callers");
    let mut client = crate::support::Client::connect(address);
    for _ in 0..500 {
        assert_eq!(client.request(VIEW, &[&token]).status, 200);
    }
    let total = |metrics: &str, name: &str| -> u64 {
        let own = metrics.lines().filter(|line| line.starts_with(name));
        own.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    eventually("each is compared or counted as dropped", || {
        let metrics = trial.process.admin("GET /metrics", &[]);
        let (compared, dropped) = (
            total(metrics.text(), "gatewarden_shadow_decisions_total"),
            total(metrics.text(), "gatewarden_shadow_dropped_total"),
        );
        compared + dropped == 500
    });
}

#[test]
fn no_example_holds_what_a_caller_sent_beside_the_path() {
    let trial = Trial::start("", |_| {});
    trial.try_out("desk.toml", &turned());
    let token = trial.token("1", &["agent"]);
    let line = "GET /desk/customers/7?secret=s3same";
    ask(trial.process.address("callers"), line, &[&token, "X-Secret: s3same"]);
    trial.cell("allow", "deny", 1);
    let shown = trial.candidate().to_string();
    let bearer = token.split(' ').nth(2).unwrap();
    assert!(!shown.contains("s3same") && !shown.contains(bearer), "{shown}");
    let example: &Value = &trial.candidate()["decisions"]["kinds"][0]["example"];
    assert_eq!(example["request_id"].as_str().unwrap().len(), 36, "{example}");
    // Nor a fact's value, of what only the candidate sends along.
    trial.try_out(
        "desk.toml",
        &RULES.replace("[resource.customers]", "[inject]\n\"X-Who\" = \"token.sub\"\n[resource.customers]"),
    );
    assert_eq!(trial.asks(&["agent"], VIEW), 200);
    trial.cell("allow", "differently", 1);
    let shown = trial.candidate()["decisions"].to_string();
    assert!(shown.contains("with x-who") && !shown.contains("ada"), "{shown}");
}

#[test]
fn a_path_that_holds_what_is_masked_is_in_no_example() {
    let trial = Trial::start("[decisions]\nfile = \"decisions.ndjson\"\nmask = [\"path.id\"]\n", |_| {});
    trial.try_out("desk.toml", &turned());
    assert_eq!(trial.asks(&["agent"], "GET /desk/customers/s3same"), 200);
    trial.cell("allow", "deny", 1);
    let example = trial.candidate()["decisions"]["kinds"][0]["example"].clone();
    assert!(example["path"].is_null() && !example.to_string().contains("s3same"), "{example}");
}

#[test]
fn a_path_that_is_not_written_down_is_in_no_example_either() {
    let trial = Trial::start("[decisions]\nfile = \"decisions.ndjson\"\npath = false\n", |_| {});
    trial.try_out("desk.toml", &turned());
    assert_eq!(trial.asks(&["agent"], VIEW), 200);
    trial.cell("allow", "deny", 1);
    let kind = trial.candidate()["decisions"]["kinds"][0].clone();
    assert_eq!((&kind["example"]["path"], &kind["route"]), (&Value::Null, &"/desk/customers/{id}".into()));
}
