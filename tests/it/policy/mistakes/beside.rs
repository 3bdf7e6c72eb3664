//! Mistakes in `[limit]` and `[cors]`: each is told of at its exact token.

use gatewarden::budget::{Kind, Limit};
use gatewarden::config::{Carried, Sources, compile};
use gatewarden::policy::cors::Origins;
use gatewarden::snapshot::Snapshot;

use super::super::{GATEWAY, file, rendered};

fn sources(table: &str) -> Sources {
    let rules = format!(
        "app = \"shop\"\nbase = \"/shop\"\nissuer = \"keycloak\"\nroles = \"token.roles\"\ntenant = \"acme\"\n\
         [facts.token]\nroles = \"set\"\n{table}\n[resource.orders]\nview = [\"GET /orders\"]\n\
         [role.clerk]\nview = [\"orders\"]\n[role.boss]\nview = [\"*\"]\n"
    );
    let files = vec![
        file("gateway.toml", GATEWAY),
        file("rules/shop.toml", &rules),
        file("rules/tenants.toml", "[tenant.acme]\nids = [\"acme\"]\napps = [\"shop\"]\n"),
    ];
    Sources { files, hash: String::new() }
}

#[track_caller]
fn loaded(table: &str) -> Snapshot {
    let sources = sources(table);
    match compile(&sources, Carried::nothing()) {
        Ok(compiled) => {
            assert!(compiled.remarks.is_empty(), "{}", rendered(&compiled.remarks, &sources));
            compiled.snapshot
        }
        Err(why) => panic!("{}", rendered(&why, &sources)),
    }
}

/// Holds each mistake against the text under its caret and the words about it.
#[track_caller]
fn told(rows: &[(&str, &str, &str)]) {
    for (table, token, words) in rows {
        let sources = sources(table);
        let told = match compile(&sources, Carried::nothing()) {
            Ok(compiled) => compiled.remarks,
            Err(why) => why,
        };
        let out = rendered(&told, &sources);
        let under = |own: &gatewarden::config::Diagnostic| {
            let (span, _) = own.primary.as_ref()?;
            sources.files[span.file as usize].text.get(span.start as usize..span.end as usize)
        };
        assert!(told.iter().any(|own| under(own) == Some(token)), "no caret under {token} of {table}\n{out}");
        assert!(out.contains(words), "{table}: no `{words}` in\n{out}");
    }
}

#[test]
fn rates_as_they_are_meant() {
    let snapshot = loaded(
        "[limit]\naddress = \"20/s burst 40\"\ntenant = \"6000/m\"\nrole.clerk = \"1/h  burst 7\"\n\"role\".boss = \"5/s\"",
    );
    let limits = snapshot.apps[0].limits.as_ref().unwrap();
    let text = |limit: &Limit| (limit.kind, limit.rate.to_string(), limit.place.to_string());
    let row = |kind, rate: &str, line| (kind, rate.to_owned(), format!("rules/shop.toml:{line}"));
    assert_eq!(text(limits.address.as_ref().unwrap()), row(Kind::Address, "20/s burst 40", 9));
    assert_eq!(text(limits.tenant.as_ref().unwrap()), row(Kind::Tenant, "6000/m burst 6000", 10));
    assert_eq!(text(limits.of_role(0).unwrap()), row(Kind::Role, "1/h burst 7", 11));
    assert_eq!(text(limits.of_role(1).unwrap()), row(Kind::Role, "5/s burst 5", 12));
    assert_eq!((&*snapshot.address_limited, &*snapshot.cross_origin), (&[0][..], &[][..]));
    assert!(loaded("").apps[0].limits.is_none());
}

#[test]
fn rates_that_mean_nothing() {
    told(&[
        ("[limit]", "limit", "limits nothing"),
        ("[limit]\ntenants = \"5/s\"", "tenants", "did you mean `tenant`?"),
        ("[limit]\nclient.ip = \"5/s\"", "client", "unknown key `client`"),
        ("[limit]\ntenant = 5", "5", "expected a string"),
        ("[limit]\ntenant = \"\"", "", "how many requests in how much time"),
        ("[limit]\ntenant = \"200\"", "200", "doesn't say in how much time"),
        ("[limit]\ntenant = \"200/\"", "200/", "by `s`, `m` or `h`"),
        ("[limit]\ntenant = \"200/d\"", "d", "by `s`, `m` or `h`"),
        ("[limit]\ntenant = \"200/S\"", "S", "by `s`, `m` or `h`"),
        ("[limit]\ntenant = \"0/s\"", "0", "what nobody may do isn't granted"),
        ("[limit]\ntenant = \"-1/s\"", "-1", "from 1 to 1000000"),
        ("[limit]\ntenant = \"+1/s\"", "+1", "from 1 to 1000000"),
        ("[limit]\ntenant = \"1.5/s\"", "1.5", "from 1 to 1000000"),
        ("[limit]\ntenant = \"1000001/s\"", "1000001", "from 1 to 1000000"),
        ("[limit]\ntenant = \"/s\"", "/s", "from 1 to 1000000"),
        ("[limit]\ntenant = \"5/s burst\"", "burst", "followed by a number"),
        ("[limit]\ntenant = \"5/s burst 0\"", "0", "a burst is a whole number"),
        ("[limit]\ntenant = \"5/s burst 1x\"", "1x", "a burst is a whole number"),
        ("[limit]\ntenant = \"5/s brust 9\"", "brust", "means nothing here"),
        ("[limit]\ntenant = \"5/s burst 9 10\"", "10", "means nothing here"),
        ("[limit]\nrole = \"5/s\"", "\"5/s\"", "a rate for each role, by name"),
        ("[limit]\nrole.clrek = \"5/s\"", "clrek", "did you mean `clerk`?"),
        ("[limit]\nrole.\"clerk \" = \"5/s\"", "clerk ", "did you mean `clerk`?"),
    ]);
}

#[test]
fn origins_as_they_are_meant() {
    let listed = "[cors]\norigins = [\"https://desk.example\", \"http://localhost:3000\", \"https://[::1]:8443\"]\n\
                  headers = [\"X-One\", \"authorization\"]\nexpose = [\"X-Total\"]\nmax-age = \"5m\"";
    let snapshot = loaded(listed);
    let cors = snapshot.apps[0].cors.as_ref().unwrap();
    let Origins::Listed(origins) = &cors.origins else { panic!("{:?}", cors.origins) };
    assert_eq!(origins.len(), 3);
    assert_eq!(cors.headers, "x-one, authorization");
    assert_eq!(cors.expose, "x-request-id, retry-after, www-authenticate, x-total");
    assert_eq!((cors.max_age.to_str().unwrap(), &*cors.place), ("300", "rules/shop.toml:8"));
    assert_eq!(&*snapshot.cross_origin, [0]);
    let any = loaded("[cors]\norigins = [\"*\"]");
    assert_eq!(any.apps[0].cors.as_ref().unwrap().origins, Origins::Any);
}

#[test]
fn origins_that_are_none() {
    let row = |text: &'static str| -> String { format!("[cors]\norigins = [\"{text}\"]") };
    for (text, words) in [
        ("null", "`null` is the origin of any sandboxed page"),
        ("desk.example", "did you mean `https://desk.example`?"),
        ("https://desk.example/", "did you mean `https://desk.example`?"),
        ("https://desk.example/app", "no path"),
        ("https://Desk.example", "did you mean `https://desk.example`?"),
        ("https://desk.example:443", "did you mean `https://desk.example`?"),
        ("http://localhost:80", "did you mean `http://localhost`?"),
        ("https://desk.example:0", "no browser writes this origin so"),
        ("https://desk.example:08443", "no browser writes this origin so"),
        ("https://desk.example:", "origin"),
        ("https://*.example", "each origin is named as a whole"),
        ("https://user@desk.example", "that is no origin"),
        ("https://", "that is no origin"),
        ("https://désk.example", "origin"),
        ("ftp://desk.example", "https or http"),
        ("http://desk.example", "a page over plain http can be anyone's"),
    ] {
        told(&[(&row(text), text, words)]);
    }
    told(&[
        ("[cors]", "cors", "`origins` is missing"),
        ("[cors]\norigins = []", "[]", "names none"),
        ("[cors]\norigins = \"https://a.example\"", "\"https://a.example\"", "expected an array"),
        ("[cors]\norigins = [\"https://a.example\", \"*\"]", "*", "it stands alone"),
        ("[cors]\norigins = [\"https://a.example\", \"https://a.example\"]", "https://a.example", "twice"),
        ("[cors]\norigins = [\"*\"]\ncredentials = true", "credentials", "together with the origin `*`"),
        ("[cors]\norigins = [\"*\"]\ncredentials = \"yes\"", "\"yes\"", "expected true or false"),
        (
            "[cors]\norigins = [\"*\"]\nmethods = [\"GET\"]",
            "methods",
            "the operations of a path are its methods",
        ),
        ("[cors]\norigins = [\"*\"]\nheaders = [\"*\"]", "*", "each is named"),
        ("[cors]\norigins = [\"*\"]\nheaders = [\"x y\"]", "x y", "no name of a header"),
        ("[cors]\norigins = [\"*\"]\nexpose = [\"retry-after\"]", "retry-after", "goes without saying"),
        ("[cors]\norigins = [\"*\"]\nmax-age = \"25h\"", "25h", "at most 24h"),
        ("[cors]\norigins = [\"*\"]\nmax-age = \"1500ms\"", "1500ms", "whole seconds"),
        ("[cors]\norigins = [\"*\"]\nmax-age = \"long\"", "long", "a duration is"),
        ("[cors]\norigin = [\"*\"]", "origin", "did you mean `origins`?"),
    ]);
}
