//! Every code has a page, and every page is true: its first example is told of under that code, its second one isn't and loads.

use gatewarden::analysis::lint::Weight;
use gatewarden::config::diagnostic::Diagnostic;
use gatewarden::config::{Carried, Sources, codes, compile, lint};

use super::{NOW, file, root};

const GATEWAY: &str = r#"
[issuers.sso]
kind     = "oidc"
issuer   = "https://sso.example"
audience = ["orders"]
[upstreams.orders]
at      = ["/"]
servers = ["http://127.0.0.1:3000"]
"#;

const TENANTS: &str = r#"
[tenant.acme]
ids  = ["acme"]
apps = ["shop"]
"#;

/// What an example's lines are put into: a table of the example replaces the one of the same name.
const SHOP: &str = r#"app = "shop"
base = "/shop"
issuer = "sso"
roles = "token.roles"
tenant = "acme"
[facts.token]
roles = "set"
tier = "string"
[when]
gold = "token.tier = 'gold'"
[resource.orders]
view = ["GET /orders", "GET /orders/{order}"]
manage = ["POST /orders"]
[role.clerk]
view = ["orders"]
[role.boss]
view = ["orders"]
manage = ["orders if gold"]
"#;

const ORDER: [&str; 16] = [
    "", "facts", "when", "require", "narrow", "filter", "mask", "inject", "limit", "cors", "socket", "never",
    "reading", "resource", "role", "expect",
];

/// A file as its lines before the first table, and its tables.
fn tables(text: &str) -> Vec<(String, Vec<&str>)> {
    let mut found = vec![(String::new(), Vec::new())];
    for line in text.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('[') {
            found.push((line.trim_matches(['[', ']']).to_owned(), Vec::new()));
        }
        found.last_mut().unwrap().1.push(line);
    }
    found
}

fn rank(name: &str) -> usize {
    let first = name.split('.').next().unwrap();
    let first = if matches!(first, "matrix" | "routes") { "resource" } else { first };
    ORDER.iter().position(|own| *own == first).unwrap_or(ORDER.len())
}

/// A whole file with an example's lines in it.
fn merged(base: &str, example: &str) -> String {
    let mut own = tables(base);
    let mut after = None;
    for (name, lines) in tables(example) {
        if name.is_empty() {
            for line in &lines {
                let is_gone = line.starts_with("# no `");
                let key = if is_gone { line.split('`').nth(1) } else { line.split(['=', ' ']).next() };
                let is_same = |other: &&str| other.split(['=', ' ']).next() == key;
                own[0].1.retain(|other| !is_same(other));
                if !is_gone {
                    own[0].1.push(line);
                }
            }
        } else if let Some(at) = own.iter().position(|(other, _)| *other == name) {
            own[at].1 = lines;
            after = Some(at);
        } else {
            let by_rank = own.iter().rposition(|(other, _)| rank(other) <= rank(&name)).unwrap();
            let at = after.filter(|_| rank(&name) < rank(&own[after.unwrap()].0)).unwrap_or(by_rank) + 1;
            own.insert(at, (name, lines));
            after = Some(at);
        }
    }
    own.into_iter().flat_map(|(_, lines)| lines).map(|line| format!("{line}\n")).collect()
}

fn set(example: &str) -> Sources {
    let mut parts: Vec<(&str, String)> = vec![("rules/shop.toml", String::new())];
    for line in example.lines() {
        match line.strip_prefix("# ").filter(|name| name.ends_with(".toml")) {
            Some(name) => parts.push((name, String::new())),
            None => parts.last_mut().unwrap().1.push_str(&format!("{line}\n")),
        }
    }
    let text = |wanted: &str, base: &str| {
        let part = parts.iter().find(|(name, _)| *name == wanted);
        merged(base, part.map_or("", |(_, text)| text))
    };
    let mut files = vec![
        file("gateway.toml", &text("gateway.toml", GATEWAY)),
        file("rules/shop.toml", &text("rules/shop.toml", SHOP)),
        file("rules/tenants.toml", &text("rules/tenants.toml", TENANTS)),
    ];
    if parts.iter().any(|(name, _)| *name == "rules/till.toml") {
        files.push(file("rules/till.toml", &text("rules/till.toml", "")));
        files[2].text = TENANTS.replace("\"shop\"", "\"shop\", \"till\"");
    }
    Sources { files, hash: String::new() }
}

/// Everything that is told of a set, and whether it loads.
fn told(sources: &Sources) -> (Vec<(&'static str, Weight, String)>, bool) {
    let line = |weight: Weight, own: &Diagnostic| (own.code.0, weight, own.message.clone());
    match compile(sources, Carried::nothing_at(NOW)) {
        Ok(compiled) => {
            let lints = lint::remarks(sources, &compiled.snapshot);
            let lints = lints.iter().map(|(weight, own)| line(*weight, own));
            (compiled.remarks.iter().map(|own| line(Weight::Note, own)).chain(lints).collect(), true)
        }
        Err(mistakes) => (mistakes.iter().map(|own| line(Weight::Warning, own)).collect(), false),
    }
}

fn examples(text: &str) -> (String, String) {
    let mut parts =
        text.split("```toml\n").skip(1).map(|part| part.split("\n```").next().unwrap().to_owned());
    (parts.next().unwrap(), parts.next().unwrap())
}

#[test]
fn each_example_of_a_page_is_told_of_as_the_page_says() {
    let mut wrong = Vec::new();
    for page in codes::ALL {
        let (bad, good) = examples(page.text);
        // What can't be read is no matter of what the files say.
        let bad = if page.code == "GW9001" {
            let mut set = set("");
            set.files.retain(|file| !file.path.ends_with("shop.toml"));
            set
        } else {
            set(&bad)
        };
        let (on_bad, _) = told(&bad);
        let weight = on_bad.iter().filter(|own| own.0 == page.code).map(|own| own.1).max();
        let Some(weight) = weight else {
            wrong.push(format!("{}: the first example is told of as {on_bad:#?}", page.code));
            continue;
        };
        let good = set(&good);
        let (on_good, loads) = told(&good);
        if !loads || on_good.iter().any(|own| own.0 == page.code && own.1 >= weight) {
            wrong.push(format!(
                "{}: the second example is told of as {on_good:#?}\n{}",
                page.code, good.files[1].text
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn each_code_has_its_page_and_each_page_its_code() {
    let source = std::fs::read_to_string(root().join("src/config/diagnostic/code.rs")).unwrap();
    let declared: Vec<&str> =
        source.lines().filter_map(|line| line.split("Code(\"").nth(1)?.split('"').next()).collect();
    let pages: Vec<&str> = codes::ALL.iter().map(|page| page.code).collect();
    assert_eq!(declared, pages);
    for page in codes::ALL {
        assert!(page.text.starts_with(&format!("# {}: ", page.code)), "{}", page.code);
        assert!(!page.title().is_empty() && page.plain().contains("    "), "{}", page.code);
    }
    assert!(codes::page("gw2002").is_some() && codes::page("GW2999").is_none());
    assert!(codes::is_code("GW2999") && !codes::is_code("GET") && !codes::is_code("GW20022"));
}
