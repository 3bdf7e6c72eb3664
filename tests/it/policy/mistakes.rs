//! Seeded mistakes in the shipped files: each is found at its exact token, with the suggestion where one is near.

mod beside;
mod grammar;
mod small;

use std::ops::Range;

use gatewarden::config::diagnostic::Severity;
use gatewarden::config::{Carried, Diagnostic, Diagnostics, Sources, Span, compile};

use super::{rendered, shipped};

/// File, what is replaced, and by what: the caret must be under what stands between `‹` and `›`, and nothing else. Where it
/// stands elsewhere, that is the fourth. Last, words that must be said.
const SEEDED: &[(&str, &str, &str, &str, &[&str])] = &[
    (
        "rules/agent-desk.toml",
        "\"state-change\", \"customer-labels\"",
        "\"‹state-chnge›\", \"customer-labels\"",
        "",
        &["GW2002", "did you mean `state-change`?"],
    ),
    (
        "rules/agent-desk.toml",
        "\"customer-schema\", \"customer-list\"",
        "\"‹customer_schema›\", \"customer-list\"",
        "",
        &["GW2002", "did you mean `customer-schema`?"],
    ),
    (
        "rules/agent-desk.toml",
        "[role.supervisor]",
        "[role.supervisor]\n‹manag› = [\"customer-list\"]",
        "",
        &["GW2004", "did you mean `manage`?"],
    ),
    (
        "rules/agent-desk.toml",
        "\"agent GET /cim/customers\"",
        "\"‹agnet› GET /cim/customers\"",
        "",
        &["GW2005", "did you mean `agent`?"],
    ),
    (
        "rules/agent-desk.toml",
        "admin = [\"state-change#view\"",
        "‹admim› = [\"state-change#view\"",
        "",
        &["GW2005", "did you mean `admin`?"],
    ),
    (
        "rules/agent-desk.toml",
        "\"monitoring#view\"]",
        "\"‹monitorin#view›\"]",
        "",
        &["GW2009", "did you mean `monitoring#view`?"],
    ),
    (
        "rules/agent-desk.toml",
        "\"agent DELETE /cim/label\"                                         = \"deny\"",
        "\"agent PUT ‹/cim/lable›\" = \"allow\"",
        "",
        &["GW2009", "no operation is `PUT /cim/lable`"],
    ),
    (
        "rules/agent-desk.toml",
        "tenant = \"default\"",
        "tenant = \"‹defualt›\"",
        "",
        &["GW2006", "did you mean `default`?"],
    ),
    (
        "rules/agent-desk.toml",
        "roles  = \"token.realm_access.roles\"",
        "roles  = \"‹token.realm_access.role›\"",
        "",
        &["GW2003", "did you mean `token.realm_access.roles`?"],
    ),
    (
        "rules/agent-desk.toml",
        "id = \"token.sub\"",
        "id = \"‹token.sbu›\"",
        "",
        &["GW2003", "did you mean `token.sub`?"],
    ),
    (
        "rules/agent-desk.toml",
        "addition = [\"desk-reference\"",
        "addition = [\"‹desk-referense›\"",
        "",
        &["GW3006", "did you mean `desk-reference`?"],
    ),
    (
        "rules/agent-desk.toml",
        "\"Supervisor\"                  = \"supervisor\"",
        "\"Supervisor\"                  = \"‹supervizor›\"",
        "",
        &["GW3006", "did you mean `supervisor`?"],
    ),
    (
        "rules/agent-desk.toml",
        "\"EMIT changeAgentState\"",
        "\"‹EMT› changeAgentState\"",
        "",
        &["GW1008", "is no method"],
    ),
    (
        "rules/agent-desk.toml",
        "keep  = [\"fcm\"]",
        "‹kepe›  = [\"fcm\"]",
        "",
        &["GW1001", "did you mean `keep`?"],
    ),
    (
        "rules/agent-desk.toml",
        "namespaces = [\"/\"]",
        "‹namespace› = [\"/\"]",
        "",
        &["GW1001", "did you mean `namespaces`?"],
    ),
    (
        "rules/calling.toml",
        "use    = [\"create-call if may-call\"",
        "use    = [\"create-call if ‹may-cal›\"",
        "",
        &["GW2001", "did you mean `may-call`?"],
    ),
    (
        "rules/calling.toml",
        "only   = \"caller\"",
        "only   = \"‹calller›\"",
        "",
        &["GW2001", "did you mean `caller`?"],
    ),
    (
        "rules/calling.toml",
        "{ not = \"asked\" }",
        "{ not = \"‹aksed›\" }",
        "",
        &["GW2001", "did you mean `asked`?"],
    ),
    (
        "rules/calling.toml",
        "proven-by = \"member\"",
        "proven-by = \"‹membre›\"",
        "",
        &["did you mean `member`?"],
    ),
    (
        "rules/calling.toml",
        "home         = \"token.tid in tenant.ids\"",
        "home         = \"‹token.tdi› in tenant.ids\"",
        "",
        &["GW2003", "did you mean `token.tid`?"],
    ),
    (
        "rules/calling.toml",
        "home         = \"token.tid in tenant.ids\"",
        "home         = \"token.tid ‹inn› tenant.ids\"",
        "",
        &["GW1007", "did you mean `in`?"],
    ),
    (
        "rules/calling.toml",
        "guest        = \"token.tid in tenant.guests\"",
        "guest        = \"token.tid in ‹tenant.guest›\"",
        "",
        &["GW2003", "did you mean `tenant.guests`?"],
    ),
    (
        "rules/calling.toml",
        "internal     = \"client.ip within tenant.internal-nets\"",
        "internal     = \"‹client.pi› within tenant.internal-nets\"",
        "",
        &["GW2003", "did you mean `client.ip`?"],
    ),
    (
        "rules/calling.toml",
        "by-keyfax    = { all = [\"keyfax\", \"caller\"] }",
        "by-keyfax    = { ‹al› = [\"keyfax\", \"caller\"] }",
        "",
        &["GW1007", "did you mean `all`?"],
    ),
    (
        "rules/calling.toml",
        "issuer = \"entra\"",
        "issuer = \"‹entar›\"",
        "",
        &["GW2007", "did you mean `entra`?"],
    ),
    (
        "rules/calling.toml",
        "isolation = \"ours\"",
        "‹isolaton› = \"ours\"",
        "",
        &["GW1001", "did you mean `isolation`?"],
    ),
    ("rules/calling.toml", "groups = \"set\"", "groups = \"‹ste›\"", "", &["did you mean `set`?"]),
    (
        "rules/calling.toml",
        ", proven-by = \"member\"",
        "",
        "[\"‹header.x-customer›\"",
        &["GW4001", "the caller names the tenant"],
    ),
    (
        "rules/calling.toml",
        "only   = \"home\"",
        "",
        "[role.‹\"Customer Admins\"›]",
        &["GW4002", "has no `only`"],
    ),
    (
        "rules/calling.toml",
        "[\"GET /calls/{call}\", \"GET",
        "[\"‹GTE› /calls/{call}\", \"GET",
        "",
        &["GW1008", "did you mean `GET`?"],
    ),
    (
        "rules/calling.toml",
        "\"GET /calls/{call}/media/{item}\"]",
        "\"GET ‹/calls/{id}/media/{id}›\"]",
        "",
        &["GW1008", "twice"],
    ),
    (
        "rules/calling.toml",
        "operations = [\"POST /calls/{call}/invite\"] }",
        "operations = [\"POST /calls/{call}/invite\"] }\nmore = [\"‹GET /config/splash/{name}›\"]",
        "",
        &["GW3003", "two parameter names"],
    ),
    (
        "rules/admin.toml",
        "\"admin GET /routing-engine/agents\"           = \"allow\"",
        "\"admin GET /routing-engine/agents\" = \"‹deny›\"",
        "",
        &["GW4004", "the rules say `allow`"],
    ),
    (
        "rules/calling.toml",
        "\"Customer ReadOnly Users\" = [\"POST *\"",
        "\"Customer ReadOnly Users\" = [\"‹GET *›\"",
        "",
        &["GW4003", "[never]"],
    ),
    (
        "rules/calling.toml",
        "\"anyone GET /about\"                            = \"allow\"",
        "\"anyone GET /about\" = \"‹alow›\"",
        "",
        &["did you mean `allow`?"],
    ),
    (
        "rules/calling.toml",
        "[never]",
        "[narrow.‹home›]\n\"GET /calls\" = { query = \"x\" }\n[never]",
        "",
        &["GW3008", "more than one `=`"],
    ),
    ("rules/calling.toml", "[never]", "[‹limit›]\n[never]", "", &["GW1011", "limits nothing"]),
    (
        "rules/calling.toml",
        "[never]",
        "[limit]\nrole.\"‹Customer Uzers›\" = \"10/s\"\n[never]",
        "",
        &["GW2005", "did you mean `Customer Users`?"],
    ),
    (
        "rules/calling.toml",
        "\"POST /calls\" = [\"token.tid\", \"token.client\"]",
        "\"POST /calls\" = [\"token.tid\", \"‹token.cleint›\"]",
        "",
        &["GW2003", "did you mean `token.client`?"],
    ),
    ("rules/calling.toml", "step-up = { acr", "‹stepup› = { acr", "", &["GW1001", "did you mean `step-up`?"]),
    (
        "rules/connect.toml",
        "\"SSO Configuration\"                     = [\"GET /sso\", \"PUT /sso\"]",
        "",
        "‹\"SSO Configuration\"›                     = [",
        &["GW3005", "no line in [routes]"],
    ),
    (
        "rules/connect.toml",
        "[\"yes\",              \"no\",                            \"no\",             \"no\",        \"no\"]",
        "‹[\"yes\", \"no\", \"no\", \"no\"]›",
        "",
        &["GW3005", "4 cells for 5 columns"],
    ),
    (
        "rules/connect.toml",
        "\"if subscribed\"",
        "\"if ‹subscribd›\"",
        "",
        &["GW2001", "did you mean `subscribed`?"],
    ),
    ("rules/connect.toml", "\"if profile-key-on\"", "\"‹yess›\"", "", &["did you mean `yes`?"]),
    (
        "rules/connect.toml",
        "role        = { at = \"/role\", type = \"string\" }",
        "role        = { at = \"/role\", type = \"‹strin›\" }",
        "",
        &["did you mean `string`?"],
    ),
    (
        "rules/connect.toml",
        "keep = \"seen\" }",
        "keep = \"‹sean›\" }",
        "",
        &["GW2001", "did you mean `seen`?"],
    ),
    (
        "rules/connect.toml",
        "\"X-View\" = \"header.x-view\"",
        "\"X-View\" = \"‹header.x-veiw›\"",
        "",
        &["GW2003", "did you mean `header.x-view`?"],
    ),
    (
        "rules/connect.toml",
        "\"user.node under tenant.node\"",
        "\"user.node ‹undr› tenant.node\"",
        "",
        &["GW1007", "did you mean `under`?"],
    ),
    ("rules/admin.toml", "owns        = [", "‹own›        = [", "", &["GW1001", "did you mean `owns`?"]),
    (
        "rules/admin.toml",
        "[\"agent-desk\"]                #",
        "[\"‹agent-deks›\"]                #",
        "",
        &["GW2008", "did you mean `agent-desk`?"],
    ),
    (
        "rules/admin.toml",
        "[resource.reason-code]",
        "[resource.reason-code]\nevents = [\"‹EMIT topicUnsubscription›\"]",
        "",
        &["GW1010", "an event without a socket"],
    ),
    (
        "rules/admin.toml",
        "view   = [\"*\"]",
        "view   = [\"*\", \"!‹form›\"]",
        "",
        &["GW2002", "did you mean `forms`?"],
    ),
    (
        "rules/tenants.toml",
        "guests         = [\"bodgit-contractors\"]",
        "guests         = [\"‹bodgit-contractor›\"]",
        "",
        &["GW2006", "did you mean `bodgit-contractors`?"],
    ),
    (
        "rules/tenants.toml",
        "portal-create  = false",
        "portal-create  = ‹\"false\"›",
        "",
        &["GW1002", "expected a value of type bool"],
    ),
    (
        "rules/tenants.toml",
        "call-centres   = []",
        "",
        "[tenant.sunrise-homes.‹settings›]",
        &["GW1003", "no setting `call-centres`"],
    ),
    (
        "rules/tenants.toml",
        "over = \"refuse\" }\napps  = [\"calling\"]",
        "over = \"refuse\" }\napps  = [\"‹caling›\"]",
        "",
        &["GW2008", "did you mean `calling`?"],
    ),
    ("rules/tenants.toml", "over = \"report\"", "over = \"‹reprot›\"", "", &["did you mean `report`?"]),
    (
        "rules/tenants.toml",
        "mfa-groups     = [\"c0ffee",
        "‹mfa-group›     = [\"c0ffee",
        "",
        &["GW1001", "did you mean `mfa-groups`?"],
    ),
    (
        "gateway.toml",
        "audience   = [\"cim\"]",
        "‹audeince›   = [\"cim\"]",
        "",
        &["GW1001", "did you mean `audience`?"],
    ),
    (
        "gateway.toml",
        "kind       = \"keycloak\"",
        "kind       = \"‹keyclock›\"",
        "",
        &["did you mean `keycloak`?"],
    ),
    ("gateway.toml", "servers = [", "‹server› = [", "", &["GW1001", "did you mean `servers`?"]),
    (
        "gateway.toml",
        "algorithms = [\"EdDSA\"]",
        "algorithms = [\"‹EdSDA›\"]",
        "",
        &["did you mean `EdDSA`?"],
    ),
    ("rules/agent-desk.toml", "[role.agent]", "[role.agent‹›", "", &["GW0001"]),
];

/// A seeded mistake at its place: the edit, and where the caret must be.
struct Seed {
    row: usize,
    file: usize,
    text: String,
    edit: Range<usize>,
    caret: Range<usize>,
}

impl Seed {
    fn of(row: usize, sources: &Sources) -> Self {
        let (path, from, to, elsewhere, _) = SEEDED[row];
        let file = sources.files.iter().position(|file| &*file.path == path).unwrap();
        let text = &sources.files[file].text;
        let start = text.find(from).unwrap_or_else(|| panic!("{path} has no {from}"));
        let edit = start..start + from.len();
        let (replacement, token) = unmarked(to);
        let caret = if elsewhere.is_empty() {
            start + token.start..start + token.end
        } else {
            let mut edited = text.clone();
            edited.replace_range(edit.clone(), &replacement);
            let (anchor, token) = unmarked(elsewhere);
            let at = edited.find(&anchor).unwrap_or_else(|| panic!("{path} has no {anchor}"));
            at + token.start..at + token.end
        };
        Self { row, file, text: replacement, edit, caret }
    }
}

/// A text without its marks, and where they stood.
fn unmarked(text: &str) -> (String, Range<usize>) {
    let start = text.find('‹').unwrap_or(0);
    let plain = text.replace('‹', "");
    let end = plain.find('›').unwrap_or(0);
    (plain.replace('›', ""), start..end)
}

/// What is told of the shipped files with these mistakes in them, of different places.
fn told(shipped: &Sources, seeds: &[&Seed]) -> (Diagnostics, Sources) {
    let mut sources = shipped.clone();
    let mut ordered: Vec<&&Seed> = seeds.iter().collect();
    ordered.sort_by_key(|seed| std::cmp::Reverse(seed.edit.start));
    for seed in ordered {
        sources.files[seed.file].text.replace_range(seed.edit.clone(), &seed.text);
    }
    match compile(&sources, Carried::nothing()) {
        Err(diagnostics) => (diagnostics, sources),
        Ok(_) => panic!("{:?} loads", seeds.iter().map(|seed| SEEDED[seed.row].2).collect::<Vec<_>>()),
    }
}

/// Whether a mistake is told of at its very token, where the others of the file moved it.
fn is_told(seed: &Seed, seeds: &[&Seed], diagnostics: &Diagnostics) -> bool {
    let moved: isize = seeds
        .iter()
        .filter(|other| {
            other.file == seed.file && other.edit.start < seed.caret.start && other.row != seed.row
        })
        .map(|other| other.text.len() as isize - other.edit.len() as isize)
        .sum();
    let at = |place: usize| u32::try_from(place as isize + moved).unwrap();
    let caret = Span {
        file: u32::try_from(seed.file).unwrap(),
        start: at(seed.caret.start),
        end: at(seed.caret.end),
    };
    let says = |own: &Diagnostic| {
        let text = format!("{} {} {:?} {:?}", own.code.0, own.message, own.primary, own.help);
        SEEDED[seed.row].4.iter().all(|word| text.contains(word))
    };
    let here = |own: &&Diagnostic| {
        own.severity == Severity::Error && own.primary.as_ref().is_some_and(|own| own.0 == caret)
    };
    diagnostics.iter().filter(here).any(says)
}

#[test]
fn each_seeded_mistake_is_found_at_its_exact_token() {
    let shipped = shipped();
    assert!(SEEDED.len() >= 40);
    let mut wrong = Vec::new();
    for (row, _) in SEEDED.iter().enumerate() {
        let seed = Seed::of(row, &shipped);
        let (diagnostics, sources) = told(&shipped, &[&seed]);
        if !is_told(&seed, &[&seed], &diagnostics) {
            let under: Vec<_> = diagnostics
                .iter()
                .filter(|own| own.severity == Severity::Error)
                .filter_map(|own| own.primary.as_ref())
                .map(|(span, _)| {
                    &sources.files[span.file as usize].text[span.start as usize..span.end as usize]
                })
                .collect();
            wrong.push(format!(
                "{:?}: carets under {under:?}\n{}",
                SEEDED[row],
                rendered(&diagnostics, &sources)
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), SEEDED.len(), wrong.join("\n"));
}

/// What stops a file's reading: nothing can be said of the rest of it, and only of that.
const STOPS: [&str; 2] = ["GW0001", "GW2007"];

#[test]
fn no_mistake_hides_another() {
    let shipped = shipped();
    let seeds: Vec<Seed> = (0..SEEDED.len()).map(|row| Seed::of(row, &shipped)).collect();
    let stops = |seed: &&Seed| SEEDED[seed.row].4.iter().any(|word| STOPS.contains(word));
    let apart =
        |a: &Seed, b: &Seed| a.file != b.file || a.edit.end <= b.edit.start || b.edit.end <= a.edit.start;
    // As many rounds as it takes to have every two of them together that can be.
    let mut left: Vec<&Seed> = seeds.iter().filter(|seed| !stops(seed)).collect();
    let mut hidden = Vec::new();
    while let Some(first) = left.pop() {
        let mut together = vec![first];
        for seed in seeds.iter().filter(|seed| !stops(seed)) {
            if together.iter().all(|other| apart(other, seed)) {
                together.push(seed);
            }
        }
        left.retain(|seed| !together.iter().any(|other| other.row == seed.row));
        let (diagnostics, _) = told(&shipped, &together);
        let missing = together.iter().filter(|seed| !is_told(seed, &together, &diagnostics));
        hidden.extend(missing.map(|seed| SEEDED[seed.row]));
    }
    for stop in seeds.iter().filter(stops) {
        let mut together = vec![stop];
        for seed in seeds.iter().filter(|seed| !stops(seed) && seed.file != stop.file) {
            if together.iter().all(|other| apart(other, seed)) {
                together.push(seed);
            }
        }
        let (diagnostics, _) = told(&shipped, &together);
        let missing = together.iter().filter(|seed| !is_told(seed, &together, &diagnostics));
        hidden.extend(missing.map(|seed| SEEDED[seed.row]));
    }
    assert!(hidden.is_empty(), "{hidden:#?}");
}

#[test]
fn mistakes_in_several_files_are_told_in_one_run() {
    let mut sources = shipped();
    for file in &mut sources.files[1..] {
        file.text = file.text.replacen("\n[", "\nnonsense = 1\n[", 1);
    }
    let diagnostics = compile(&sources, Carried::nothing()).unwrap_err();
    assert!(diagnostics.errors() >= sources.files.len() - 1, "{}", rendered(&diagnostics, &sources));
}
