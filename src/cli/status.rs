//! `gatewarden status`: what the running gateway judges by, since when, and what stands in the way of something newer.

use std::path::PathBuf;

use http::Method;
use serde_json::Value;

use super::Exit;
use super::hypothesis::now;
use super::load::print;
use super::rulesets::{admin, member};

/// What the running gateway judges by.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The gateway's file; it says where the gateway hears operators
    #[arg(long, value_name = "FILE", default_value = "gateway.toml", env = "GATEWARDEN_CONFIG")]
    config: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Asks; a negative answer is that what stands on disk was refused.
pub fn run(args: &Args) -> Exit {
    let (_, said) = match admin(&args.config, &Method::GET, "/rules", bytes::Bytes::new()) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    match args.format {
        Format::Json => print(&format!("{said:#}")),
        Format::Human => print(human(&said, now().0).trim_end()),
    }
    if member(&said, "state") == "rejected" { Exit::No } else { Exit::Yes }
}

fn human(said: &Value, now: u64) -> String {
    let hash = member(said, "hash").as_str().unwrap_or_default();
    let files = member(said, "files").as_array().map_or(0, Vec::len);
    let since = moment(member(said, "loaded_at"), now);
    let mut lines = vec![format!(
        "live      revision {}, rules {}, {files} files",
        member(said, "revision"),
        short(hash)
    )];
    lines.push(format!("since     {since}"));
    if let Some(does) = member(said, "does").as_str() {
        lines.push(format!("did       {does}"));
    }
    let refused = member(said, "last_error");
    if !refused.is_null() {
        let hash = member(refused, "hash").as_str().map_or("unreadable", short);
        let count = member(refused, "errors").as_u64().unwrap_or_default();
        let word = if count == 1 { "mistake" } else { "mistakes" };
        lines.push(format!("rejected  {hash}, {count} {word}, {}", moment(member(refused, "at"), now)));
        lines.push(format!("          {}", member(refused, "first").as_str().unwrap_or_default()));
    }
    lines.extend(candidate(member(said, "candidate")));
    let promoting: Vec<&str> =
        member(said, "promoting").as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !promoting.is_empty() {
        lines.push(format!(
            "promoting {}: broken off, edits of these don't count until `gatewarden promote` ends it",
            promoting.join(", ")
        ));
    }
    lines.extend(waiting(said));
    lines.join("\n")
}

/// What is tried beside the live rules, if anything is.
fn candidate(said: &Value) -> Option<String> {
    let state = member(said, "state").as_str().filter(|state| *state != "none")?;
    let hash = member(said, "hash").as_str().map_or_else(String::new, |own| format!(" {}", short(own)));
    let from = member(said, "directory").as_str().or(member(said, "from").as_str());
    let from = from.map_or_else(String::new, |own| format!(" from {own}"));
    let tenants: Vec<_> =
        member(said, "tenants").as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let answers =
        if tenants.is_empty() { String::new() } else { format!(", answers {}", tenants.join(", ")) };
    Some(format!("candidate {state}{hash}{from}{answers}"))
}

/// What waits for a restart, and what a restart would stumble over.
pub(super) fn waiting(rules: &Value) -> Vec<String> {
    let keys: Vec<&str> =
        member(rules, "pending_restart").as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut lines = Vec::new();
    if !keys.is_empty() {
        lines.push(format!("waiting for a restart: {}", keys.join(", ")));
    }
    let unexpected: Vec<&str> =
        member(rules, "unexpected").as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !unexpected.is_empty() {
        lines.push("a restart will refuse these files until what they expect is met or mended:".to_owned());
        lines.extend(unexpected.iter().map(|line| format!("  {line}")));
    }
    lines
}

fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}

fn moment(at: &Value, now: u64) -> String {
    let at = at.as_u64().unwrap_or_default();
    let ago = now.saturating_sub(at);
    let ago = match ago {
        0..=119 => format!("{ago} s ago"),
        120..=7_199 => format!("{} min ago", ago / 60),
        7_200..=172_799 => format!("{} h ago", ago / 3_600),
        _ => format!("{} days ago", ago / 86_400),
    };
    let when = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    when.map_or(ago.clone(), |when| format!("{when}, {ago}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_live_and_what_was_refused_stand_under_each_other() {
        let said = json!({
            "state": "rejected", "revision": 41, "hash": "9c7f22d1aa", "files": [1, 2], "loaded_at": 1_000,
            "last_error": { "hash": "77aa01beff", "errors": 1, "first": "GW2002 desk.toml:8:13 unknown", "at": 1_200 },
            "pending_restart": ["listen.address"],
        });
        let text = human(&said, 1_300);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "live      revision 41, rules 9c7f22d1, 2 files");
        assert!(lines[1].ends_with("5 min ago"), "{text}");
        assert!(lines[2].contains("77aa01be, 1 mistake") && lines[3].contains("desk.toml:8:13"), "{text}");
        assert_eq!(lines[4], "waiting for a restart: listen.address");
    }
}
