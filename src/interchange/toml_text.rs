//! Pieces of TOML as our own files have them: strings, keys, and lines whose `=` stand under each other.

/// A string between quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key, in quotes where it needs them.
pub(super) fn key(text: &str) -> String {
    let is_bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if is_bare { text.to_owned() } else { quoted(text) }
}

/// An array of strings: on one line if it is short, else one a line.
pub(super) fn array(items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| self::quoted(item)).collect();
    let line = format!("[{}]", quoted.join(", "));
    if line.len() <= 120 {
        return line;
    }
    let lines: String = quoted.iter().map(|item| format!("  {item},\n")).collect();
    format!("[\n{lines}]")
}

/// `key = value` lines with their `=` under each other.
pub(super) fn aligned(rows: &[(String, String)]) -> String {
    // A key that is much longer than the others stands out by itself.
    let width = rows.iter().map(|(key, _)| key.chars().count()).filter(|own| *own <= 32).max().unwrap_or(0);
    rows.iter().map(|(key, value)| format!("{key:<width$} = {value}\n")).collect()
}

/// Text as the rest of a comment's line.
pub(super) fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A name made of what conditions, apps and parameters may be called.
pub(super) fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            c if c.is_ascii_alphanumeric() => out.push(c),
            _ if out.ends_with('-') || out.is_empty() => {}
            _ => out.push('-'),
        }
        if out.len() >= 48 {
            break;
        }
    }
    let trimmed = out.trim_end_matches('-');
    if trimmed.is_empty() { "x".to_owned() } else { trimmed.to_owned() }
}

/// A name that isn't taken yet: the wanted one, or one with a number.
pub(super) fn unique(wanted: String, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&wanted) {
        return wanted;
    }
    let numbered = (2u32..).map(|number| format!("{wanted}-{number}"));
    numbered.take(100_000).find(|name| !is_taken(name)).unwrap_or(wanted)
}
