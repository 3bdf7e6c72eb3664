//! The vendors' own tables, held against the rules cell by cell: each cell counts, whichever side it is changed on, and so
//! does each departure that a rule file names.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatewarden::analysis::{example, guard};
use gatewarden::snapshot::OperationRef;
use serde_json::Value;

use super::{NOW, root};

/// Processes at once: most of each one's time is spent on waiting for its files to stay as they are.
const AT_ONCE: usize = 6;

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gatewarden"))
        .args(arguments)
        .env_remove("GATEWARDEN_CONFIG")
        .current_dir(root())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// Holds each of these changed tables against the shipped rules.
fn hold_each(app: &str, changed: &[(String, String)], check: impl Fn(&str, i32, &str, &str) + Sync) {
    let (place, next) = (tempfile::tempdir().unwrap(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((what, text)) = changed.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = what.replace(|own: char| !own.is_ascii_alphanumeric(), "-");
                    let path = place.path().join(format!("{name}.md"));
                    std::fs::write(&path, text).unwrap();
                    let (code, out, err) = run(&["test", "--app", app, "--golden", path.to_str().unwrap()]);
                    check(what, code, &out, &err);
                }
            });
        }
    });
}

/// The cells of a table's line, with where they stand in it.
fn cells(line: &str) -> Vec<(usize, &str)> {
    let mut at = 0;
    line.split('|')
        .map(|cell| {
            let own = (at, cell);
            at += cell.len() + 1;
            own
        })
        .collect()
}

#[test]
fn every_cell_of_the_vendors_tables_is_as_the_rules_are() {
    for (app, cells, departures) in
        [("connect", 21 * 5, 8), ("agent-desk", 20 + 52, 7), ("admin", 32, 0), ("calling", 27, 4)]
    {
        let path = format!("rules/tests/{app}.md");
        let (code, out, err) = run(&["test", "--golden", &path]);
        assert_eq!(code, 0, "{out}{err}");
        let line = format!("{path}: {cells} of {cells} cells, {departures} departures named in [reading]");
        assert_eq!(out.trim_end(), line);
    }
    let (_, out, _) = run(&["test", "--format", "json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["golden"].as_array().unwrap().len(), 4, "`gatewarden test` holds them too: {report}");
}

#[test]
fn a_changed_cell_of_a_feature_table_is_told_with_its_place() {
    let text = shipped("rules/tests/connect.md");
    let mut changed = Vec::new();
    for (number, line) in text.lines().enumerate().skip(7).filter(|(_, line)| line.contains(" | ")) {
        for (at, cell) in cells(line).into_iter().skip(1).filter(|(_, cell)| !cell.trim().is_empty()) {
            let flipped = if cell.trim().starts_with("Yes") { " No " } else { " Yes " };
            let new = format!("{}{flipped}{}", &line[..at], &line[at + cell.len()..]);
            let what = format!("{}:{at}", number + 1);
            let lines = text.lines().enumerate();
            let lines = lines.map(|(own, line)| if own == number { new.as_str() } else { line });
            changed.push((what, lines.collect::<Vec<_>>().join("\n")));
        }
    }
    assert_eq!(changed.len(), 105);
    hold_each("connect", &changed, |what, code, out, err| {
        let line = what.split(':').next().unwrap();
        assert_eq!(code, 1, "{what}: {out}{err}");
        let stale = out.contains("[reading] names");
        assert!(stale || out.contains(&format!(".md:{line}\n")), "{what}: {out}{err}");
        assert!(out.contains("104 of 105 cells") || stale, "{what}: {out}{err}");
    });
}

#[test]
fn a_changed_entry_of_a_list_or_of_a_scope_is_told() {
    let text = shipped("rules/tests/agent-desk.md");
    let mut changed = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.contains(" | ")) {
        let mut put = |what: String, new: String| {
            let lines = text.lines().enumerate();
            let lines = lines.map(|(own, line)| if own == number { new.as_str() } else { line });
            changed.push((what, lines.collect::<Vec<_>>().join("\n")));
        };
        let own = cells(line);
        let is_head = own.iter().any(|(_, cell)| cell.contains("Description"));
        match own.len() {
            _ if is_head => {}
            // What each scope holds.
            5 => own[2..4].iter().for_each(|(at, cell)| {
                let flipped = if cell.trim() == "N/A" { " list " } else { " N/A " };
                put(
                    format!("{number} {at}"),
                    format!("{}{flipped}{}", &line[..*at], &line[at + cell.len()..]),
                );
            }),
            // What each role is granted: names in brackets, one taken out at a time. One stands there twice.
            4 => {
                let (at, cell) = own[2];
                let names = cell.split(['(', ',', ')']).map(str::trim);
                let names =
                    names.filter(|own| !own.is_empty() && !own.starts_with("View") && *own != "Manage");
                for name in names.filter(|own| !(line.starts_with("Agent") && *own == "Customer Labels")) {
                    let Some(found) = cell.find(name) else { continue };
                    let (before, after) = (&cell[..found], &cell[found + name.len()..]);
                    let new = format!("{}{before}{after}{}", &line[..at], &line[at + cell.len()..]);
                    put(
                        format!("{number} {name}"),
                        new.replace("(, ", "(").replace(", ,", ",").replace(", )", ")"),
                    );
                }
            }
            _ => {}
        }
    }
    assert!(changed.len() > 20 + 18, "{}", changed.len());
    hold_each("agent-desk", &changed, |what, code, out, err| {
        // A list that names nothing, or an exception from nothing, can't be read any more.
        assert!(
            code == 1 || code == 3 && err.contains("agent-desk") | err.contains(".md:"),
            "{what}: {out}{err}"
        );
    });
}

/// The shipped files in a place of their own, with one changed.
fn elsewhere(place: &Path, file: &str, text: &str) -> PathBuf {
    std::fs::create_dir_all(place.join("rules")).unwrap();
    std::fs::copy(root().join("gateway.toml"), place.join("gateway.toml")).unwrap();
    for entry in std::fs::read_dir(root().join("rules")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, place.join("rules").join(path.file_name().unwrap())).unwrap();
        }
    }
    std::fs::write(place.join(file), text).unwrap();
    place.join("gateway.toml")
}

/// A rule file without what it expects of itself, which would refuse a change before the table is looked at.
fn unexpecting(file: &str) -> String {
    let text = shipped(file);
    let (text, _) = text.split_once("\n[expect]").unwrap();
    let (never, reading) = (text.find("[never]").unwrap(), text.find("[reading]").unwrap());
    format!("{}{}", &text[..never], &text[reading..])
}

/// Holds the shipped table against each of these changed rule files.
fn hold_each_rules(app: &str, changed: &[(String, String)]) {
    let (place, next) = (tempfile::tempdir().unwrap(), AtomicUsize::new(0));
    let golden = root().join(format!("rules/tests/{app}.md"));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((what, text)) = changed.get(number) else { break };
                    let config =
                        elsewhere(&place.path().join(number.to_string()), &format!("rules/{app}.toml"), text);
                    let golden = golden.to_str().unwrap();
                    let arguments =
                        ["test", "--config", config.to_str().unwrap(), "--app", app, "--golden", golden];
                    let (code, out, err) = run(&arguments);
                    assert_eq!(code, 1, "{what}: {out}{err}");
                    assert!(out.contains("FAIL"), "{what}: {out}{err}");
                }
            });
        }
    });
}

#[test]
fn a_changed_cell_of_the_rules_is_told() {
    let text = unexpecting("rules/connect.toml");
    let mut changed = Vec::new();
    let (before, matrix) = text.split_once("[matrix]").unwrap();
    for (number, line) in matrix.lines().enumerate().take_while(|(_, line)| !line.starts_with("# In no row"))
    {
        let Some((name, row)) = line.split_once("= [").filter(|(name, _)| name.starts_with('"')) else {
            continue;
        };
        let mut cells: Vec<&str> = row.split('"').collect();
        for cell in (1..cells.len()).step_by(2) {
            let own = std::mem::take(&mut cells[cell]);
            cells[cell] = if own == "yes" {
                "no"
            } else if own == "no" {
                "yes"
            } else {
                "no"
            };
            let kinds: &[&str] = if own.starts_with("if") { &["no", "yes"] } else { &[cells[cell]] };
            for kind in kinds {
                cells[cell] = kind;
                let new = format!("{name}= [{}", cells.join("\""));
                let lines = matrix.lines().enumerate();
                let lines = lines.map(|(own, line)| if own == number { new.as_str() } else { line });
                let matrix = lines.collect::<Vec<_>>().join("\n");
                changed.push((format!("{name} {cell} {kind}"), format!("{before}[matrix]{matrix}\n")));
            }
            cells[cell] = own;
        }
    }
    assert!(changed.len() >= 105, "{}", changed.len());
    hold_each_rules("connect", &changed);
}

#[test]
fn a_grant_taken_out_of_a_role_is_told() {
    let text = unexpecting("rules/agent-desk.toml");
    let (before, roles) = text.split_once("[role.agent]").unwrap();
    let mut changed = Vec::new();
    for (at, _) in roles.match_indices('"').step_by(2) {
        let end = at + 1 + roles[at + 1..].find('"').unwrap();
        let line = roles[..at].rsplit('\n').next().unwrap();
        let name = &roles[at + 1..end];
        // In comments stand words in quotes, too.
        if line.contains('#') || name.starts_with("View and manage") {
            continue;
        }
        // An exception from what there is not: the document says N/A.
        if line.starts_with("manage") && name == "!state-change" {
            continue;
        }
        let rest = roles[end + 1..].trim_start_matches(',');
        changed.push((format!("{name} at {at}"), format!("{before}[role.agent]{}{rest}\n", &roles[..at])));
    }
    assert!(changed.len() > 20, "{}", changed.len());
    hold_each_rules("agent-desk", &changed);
}

/// What a role can be let through to, it is let through to with facts that are found; what it can't, with none.
#[test]
fn an_example_is_found_of_all_that_is_granted() {
    let snapshot = super::compiled(&super::shipped());
    let mut found = 0;
    for (app_index, app) in snapshot.apps.iter().enumerate() {
        for (role, own) in app.roles.iter().enumerate() {
            for (index, operation) in app.operations.iter().enumerate() {
                let at = OperationRef { app: app_index, operation: index };
                let standing = guard::standing(app, role, operation);
                let example = example::allowed(&snapshot, at, role, NOW);
                assert_eq!(
                    example.is_some(),
                    standing != guard::Standing::Nothing,
                    "{} {} {} {}",
                    app.name,
                    own.name,
                    operation.verb,
                    operation.template
                );
                found += usize::from(example.is_some());
            }
        }
    }
    assert!(found > 200, "{found}");
}

#[test]
fn departures_are_named_or_none() {
    let place = tempfile::tempdir().unwrap();
    let text = shipped("rules/connect.toml");
    let golden = root().join("rules/tests/connect.md");
    let told = |change: (&str, &str), code: i32, words: &str| {
        assert!(text.contains(change.0), "{}", change.0);
        let config = elsewhere(place.path(), "rules/connect.toml", &text.replacen(change.0, change.1, 1));
        let golden = golden.to_str().unwrap();
        let (found, out, err) = run(&["test", "--config", config.to_str().unwrap(), "--golden", golden]);
        assert_eq!(found, code, "{}: {out}{err}", change.1);
        assert!(out.contains(words) || err.contains(words), "{words} not in\n{out}{err}");
    };
    let key = "\"Full Access User Profile Key\"     = ";
    told((key, "\"Profile Key of Full Access\" = "), 1, "[reading] doesn't name the cell");
    let new = "\"Read Only Get Numbers\" = \"x\"\n\"Full Access User Profile Key\" = ";
    told((key, new), 1, "[reading] names `Read Only Get Numbers`, and the rules do as the document says");
    // A sentence alone doesn't stand for a refusal of what the document grants; said so, it does.
    let row = "\"Get Numbers\"                           = [\"yes\",              \"yes\"";
    let refused = "\"Get Numbers\" = [\"yes\", \"no\"";
    told((row, refused), 1, "the document says \"Yes\", the rules don't grant it");
    let both = text.replacen(row, refused, 1);
    for (value, code) in
        [("\"x\"", 1), ("{ is = \"if\", why = \"x\" }", 1), ("{ is = \"no\", why = \"x\" }", 0)]
    {
        let named = both.replacen(key, &format!("\"Full Access User Get Numbers\" = {value}\n{key}"), 1);
        let config = elsewhere(place.path(), "rules/connect.toml", &named);
        let (found, out, err) =
            run(&["test", "--config", config.to_str().unwrap(), "--golden", golden.to_str().unwrap()]);
        assert_eq!(found, code, "{value}: {out}{err}");
    }
    told(
        (key, "\"Owner Profile Key\" = { is = \"maybe\", why = \"x\" }\n\"x\" = "),
        3,
        "expected yes, no or if",
    );
    told(
        ("addition = [", "addition = [\"Get Numbers\", "),
        1,
        "calls `Get Numbers` an addition, and the document has it",
    );
    let addition = ("  \"List Teammates\", ", "  ");
    told(addition, 1, "the rules have the resource `List Teammates`, the document doesn't");
}

#[test]
fn what_a_table_says_that_the_rules_have_no_name_for_has_its_place() {
    let place = tempfile::tempdir().unwrap();
    let text = shipped("rules/tests/connect.md");
    let path = place.path().join("roles.md");
    for (right, wrong, caret, words) in [
        ("| Read Only |", "| Raed Only |", "6:", "did you mean `Read Only`?"),
        ("Get Numbers |", "Get Numbrs |", ":1\n", "did you mean `Get Numbers`?"),
        ("Get Numbers | Yes", "Get Numbers | Maybe", ":15\n", "`Maybe` is no yes, no or scope of `connect`"),
    ] {
        assert!(text.contains(right), "{right}");
        std::fs::write(&path, text.replacen(right, wrong, 1)).unwrap();
        let (code, out, err) = run(&["test", "--app", "connect", "--golden", path.to_str().unwrap()]);
        assert_eq!(code, 3, "{out}{err}");
        assert!(err.contains(words) && err.contains(caret), "{words}, {caret} not in\n{err}");
    }
    std::fs::write(&path, "no table").unwrap();
    assert_eq!(run(&["test", "--golden", path.to_str().unwrap()]).0, 3);
    std::fs::write(&path, text.replacen("| Read Only |", "| Raed Only |", 1)).unwrap();
    let (code, _, err) = run(&["test", "--golden", path.to_str().unwrap()]);
    assert!(code == 3 && err.contains("--app says whose it is"), "{err}");
}

#[test]
fn the_same_table_may_be_written_in_many_ways() {
    let place = tempfile::tempdir().unwrap();
    let text = shipped("rules/tests/connect.md");
    let rows: Vec<Vec<String>> = text
        .lines()
        .filter(|line| line.contains(" | "))
        .map(|line| {
            line.trim_end_matches(" |")
                .split(" | ")
                .map(|own| own.trim_matches([' ', '|']).to_owned())
                .collect()
        })
        .collect();
    let quoted = |row: &[String]| row.iter().map(|own| format!("\"{own}\"")).collect::<Vec<_>>().join(";");
    let csv = rows.iter().map(|row| quoted(row)).collect::<Vec<_>>().join("\r\n");
    let columns = rows[0].len();
    let turned: Vec<Vec<String>> =
        (0..columns).map(|at| rows.iter().map(|row| row[at].clone()).collect()).collect();
    let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | "));
    let rule = |columns: usize| format!("|{}\n", "---|".repeat(columns));
    let signs =
        |text: &str| text.replace("| No |", "| ✗ |").replace("| No |", "| - |").replace("| Yes |", "| ✅ |");
    let noted = text.replace("Yes (Except other Owners)", "Yes<sup>1</sup>").replace("| **", "|");
    let turned = format!(
        "{}{}{}",
        line(&turned[0]),
        rule(rows.len()),
        turned[1..].iter().map(line).collect::<String>()
    );
    let two = format!("| a | b |\n|---|---|\n| 1 | 2 |\n\n{text}");
    let written = [
        ("roles.csv", csv, vec![]),
        ("turned.md", turned, vec![]),
        ("signs.md", signs(&text), vec![]),
        ("noted.md", format!("{noted}\n<sup>1</sup> Except other Owners.\n"), vec![]),
        ("second.md", two.clone(), vec!["--table", "2"]),
        ("line.md", two, vec!["--line", "12"]),
    ];
    for (name, text, more) in written {
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        let (code, out, err) =
            run(&[&["test", "--app", "connect", "--golden", path.to_str().unwrap()], &more[..]].concat());
        assert!(code == 0 && out.contains("105 of 105 cells"), "{name}: {out}{err}");
    }
    // What `matrix` prints is such a table.
    let (_, printed, _) = run(&["matrix", "--app", "calling", "--format", "md"]);
    let path = place.path().join("matrix.md");
    std::fs::write(&path, printed).unwrap();
    let (code, out, err) = run(&["test", "--app", "calling", "--golden", path.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
}
