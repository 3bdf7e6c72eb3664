//! The house's order, held by reading the source: a module uses only what stands above it in `src/lib.rs`, the pure
//! half has no clock, socket, file or `async`, and nothing grows past what one can read at a sitting.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file without its tests; a longer one wants to be split.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function; a longer one wants to be split.
const FUNCTION_LINES_MAX: usize = 70;
/// Where the effects begin: everything above is pure.
const FIRST_EFFECT: &str = "upstream";
/// What may be longer, and why.
const LONG: &[(&str, &str)] = &[];
/// What the pure half never mentions.
const EFFECTS: &[&str] = &[
    "SystemTime::now",
    "Instant::now",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "tokio::",
    "async fn",
    ".await",
    "std::env",
    "std::process",
    "std::thread",
    "tracing::",
];

struct Source {
    module: String,
    path: PathBuf,
    /// The code, without comments and without what comes after `#[cfg(test)]`.
    code: Vec<String>,
}

fn order() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let below = path.strip_prefix(&root).unwrap().to_owned();
                let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
                let module = first.strip_suffix(".rs").unwrap_or(first).to_owned();
                let is_tests = below.file_name().unwrap() == "tests.rs";
                if module != "lib" && module != "main" && !is_tests {
                    found.push(Source {
                        module,
                        code: code(&fs::read_to_string(&path).unwrap()),
                        path: below,
                    });
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn code(text: &str) -> Vec<String> {
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]" || line.starts_with(' '));
    lines.map(|line| line.split("//").next().unwrap_or("").to_owned()).collect()
}

#[test]
fn every_module_stands_in_the_order() {
    let order = order();
    assert!(order.len() > 15, "the order can't be read from lib.rs: {order:?}");
    for source in sources() {
        assert!(order.contains(&source.module), "{} is in no declared module", source.path.display());
    }
}

#[test]
fn a_module_uses_only_what_stands_above_it() {
    let order = order();
    let rank = |name: &str| order.iter().position(|own| own == name);
    let mut upward = Vec::new();
    for source in sources() {
        let own = rank(&source.module).unwrap();
        for (number, line) in (1..).zip(&source.code) {
            for used in line.split("crate::").skip(1) {
                let name: String =
                    used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if rank(&name).is_some_and(|rank| rank > own) {
                    upward.push(format!("{}:{number} uses {name}", source.path.display()));
                }
            }
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn the_pure_half_has_no_clock_no_socket_no_file_and_no_async() {
    let order = order();
    let effects = order.iter().position(|own| own == FIRST_EFFECT).unwrap();
    let mut impure = Vec::new();
    for source in sources() {
        if order.iter().position(|own| *own == source.module).unwrap() >= effects {
            continue;
        }
        for (number, line) in (1..).zip(&source.code) {
            if let Some(effect) = EFFECTS.iter().find(|effect| line.contains(*effect)) {
                impure.push(format!("{}:{number} {effect}", source.path.display()));
            }
        }
    }
    assert!(impure.is_empty(), "{impure:#?}");
}

#[test]
fn no_file_and_no_function_is_too_long_to_be_read_at_a_sitting() {
    let mut long = Vec::new();
    for source in sources() {
        let name = source.path.to_str().unwrap().to_owned();
        if source.code.len() > FILE_LINES_MAX && !LONG.iter().any(|(own, _)| *own == name) {
            long.push(format!("{name}: {} lines", source.code.len()));
        }
        for (function, lines) in functions(&source.code) {
            let whole = format!("{name} {function}");
            if lines > FUNCTION_LINES_MAX && !LONG.iter().any(|(own, _)| *own == whole) {
                long.push(format!("{whole}: {lines} lines"));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// Functions with their lengths, told by indentation: rustfmt closes a function where it opened it.
fn functions(code: &[String]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, line) in code.iter().enumerate() {
        let trimmed = line.trim_start();
        let words: Vec<&str> = trimmed.split([' ', '(', '<']).collect();
        let Some(at) = words.iter().position(|word| *word == "fn") else { continue };
        if !trimmed.starts_with("fn")
            && !trimmed.starts_with("pub")
            && !trimmed.starts_with("async")
            && !trimmed.starts_with("const")
        {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - trimmed.len()]);
        let Some(length) = code[start..].iter().position(|line| *line == close) else { continue };
        found.push((words.get(at + 1).copied().unwrap_or("").to_owned(), length + 1));
    }
    found
}

/// Only the control plane's reload publishes a snapshot, and only what forwards nothing supposes a caller.
#[test]
fn what_few_may_call_few_do_call() {
    for (call, allowed) in [
        ("live.publish(", &["control"][..]),
        ("shadow.stand(", &["control"]),
        ("suppose(", &["analysis", "authorize", "cli"]),
        ("VerifiedToken::hypothetical(", &["analysis", "token", "cli"]),
        ("suppose_knowing(", &["analysis", "authorize"]),
        ("posed::", &["analysis", "cli", "control", "hindsight", "record", "shadow"]),
        ("DevTokens::Accepted", &["token", "config", "proxy"]),
        ("Trust::Development", &["config", "cli"]),
    ] {
        for source in sources().iter().filter(|source| !allowed.contains(&source.module.as_str())) {
            let called = source.code.iter().any(|line| line.contains(call));
            assert!(!called, "{} has {call}", source.path.display());
        }
    }
}
