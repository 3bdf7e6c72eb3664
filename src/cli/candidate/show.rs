//! What a candidate is and would change, for a person.

use serde_json::Value;

const ANSWERS: [&str; 4] = ["allow", "differently", "deny", "unknown"];
/// Kinds of difference that are printed; JSON has them all.
const KINDS_SHOWN: usize = 40;

/// The whole state, and how much it differs from what is live.
pub(super) fn status(status: &Value, differences: Option<&str>) -> String {
    let hash = word(&status["hash"]);
    let hash = hash.get(..8).unwrap_or(hash);
    let from = match word(&status["from"]) {
        "directory" => word(&status["directory"]),
        _ => "an operator, until the gateway ends",
    };
    match word(&status["state"]) {
        "judged" => format!(
            "candidate {hash} from {from}, on top of revision {}\n{}{}{}{}",
            status["over"],
            files(status),
            differences.map_or_else(String::new, |own| format!("{own}\n")),
            canary(status),
            decisions(&status["decisions"])
        ),
        "same" => {
            format!("the candidate from {from} is what is live: nothing to judge\n{}", files(status))
        }
        "rejected" => format!(
            "{}the candidate from {from} has mistakes: nothing is judged by it, what is live isn't concerned\n",
            word(&status["last_error"]["rendered"])
        ),
        _ => "there is no candidate\n".to_owned(),
    }
}

/// Whose requests it answers.
pub(super) fn canary(status: &Value) -> String {
    let names = words(&status["tenants"]).join(", ");
    let mut text = if names.is_empty() {
        "it answers nobody: its answers are only compared\n".to_owned()
    } else {
        format!("it answers the requests of {names}\n")
    };
    for name in words(&status["unknown_tenants"]) {
        text.push_str(&format!("there is no tenant `{name}`\n"));
    }
    if status["state"] != "judged" && !names.is_empty() {
        text.push_str("as soon as there is a candidate\n");
    }
    text
}

fn files(status: &Value) -> String {
    let paths = status["files"].as_array().into_iter().flatten();
    let mut text = String::new();
    for path in paths.map(|file| word(&file["path"])) {
        text.push_str(&format!("  {path}\n"));
    }
    text
}

fn decisions(said: &Value) -> String {
    let cell = |live: &str, answer: &str| said["cells"][live][answer].as_u64().unwrap_or(0);
    let total: u64 = ["allow", "deny"].iter().flat_map(|live| ANSWERS.map(|own| cell(live, own))).sum();
    let answered = match said["answered"].as_u64() {
        None | Some(0) => String::new(),
        Some(1) => "1 decision was its own\n".to_owned(),
        Some(answered) => format!("{answered} decisions were its own\n"),
    };
    if total == 0 {
        return format!("{answered}no decision was compared yet\n");
    }
    let row = |head: &str, cells: [String; 4]| {
        let cells = cells.map(|cell| format!("{cell:>12}")).concat();
        format!("{head:<12}{cells}\n")
    };
    let mut text = format!("{answered}{total} decisions were compared\n\n");
    text.push_str(&row("live", ANSWERS.map(str::to_owned)));
    for live in ["allow", "deny"] {
        text.push_str(&row(live, ANSWERS.map(|answer| cell(live, answer).to_string())));
    }
    let changes = said["changes"].as_u64().unwrap_or(0);
    let requests = if changes == 1 { "request" } else { "requests" };
    text.push_str(&format!("\n{changes} {requests} would change\n"));
    let kinds = said["kinds"].as_array().map_or(&[][..], Vec::as_slice);
    kinds.iter().take(KINDS_SHOWN).for_each(|own| text.push_str(&kind(own)));
    if kinds.len() > KINDS_SHOWN {
        text.push_str(&format!("  and {} kinds more (--format json)\n", kinds.len() - KINDS_SHOWN));
    }
    match said["unlisted"].as_u64() {
        None | Some(0) => {}
        Some(unlisted) => text.push_str(&format!("  and {unlisted} requests of kinds that are not listed\n")),
    }
    text
}

fn kind(own: &Value) -> String {
    let roles = words(&own["roles"]).join(", ");
    let roles = if roles.is_empty() { "no role".to_owned() } else { roles };
    let example = &own["example"];
    let side = |name: &str| {
        let side = &example[name];
        let carries = words(&side["carries"]);
        let rule = side["rule"].as_str().map_or_else(String::new, |rule| format!(" {rule}"));
        let carries = if carries.is_empty() { String::new() } else { format!(": {}", carries.join("; ")) };
        format!("{}{rule}{carries}", word(&side["reason"]))
    };
    let operation = match own["route"].as_str() {
        Some(route) => format!("{} {route}", word(&own["method"])),
        None => format!("{} (no operation)", word(&own["method"])),
    };
    format!(
        "  {:>7}  {} -> {}  {} {operation}  as {roles}\n           e.g. {}  {}\n             live       {}\n             candidate  {}\n",
        own["count"].as_u64().unwrap_or(0),
        word(&own["live"]),
        word(&own["candidate"]),
        own["app"].as_str().unwrap_or("-"),
        word(&example["request_id"]),
        word(&example["path"]),
        side("live"),
        side("candidate"),
    )
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
