//! `--format github`: workflow commands, which GitHub shows at the lines that they are about.

use super::{Checked, Region, sentence};
use crate::config::diagnostic::{LineIndex, Severity};

pub(super) fn commands(checked: &Checked) -> String {
    let lines = LineIndex::of(&checked.sources.files);
    let mut out = String::new();
    for own in checked.told.iter() {
        let command = match own.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let mut properties: Vec<(&str, String)> = Vec::new();
        if let Some(at) = Region::about(&lines, own) {
            let path = checked.sources.files.get(at.file).map(|file| super::sarif::relative(&file.path));
            properties.push(("file", path.unwrap_or_default()));
            properties.push(("line", at.line.to_string()));
            properties.push(("endLine", at.end_line.to_string()));
            // GitHub takes columns of one line alone.
            if at.line == at.end_line {
                properties.push(("col", at.column.to_string()));
                properties.push(("endColumn", at.end_column.to_string()));
            }
        }
        properties.push(("title", own.code.0.to_owned()));
        let properties: Vec<_> =
            properties.iter().map(|(name, value)| format!("{name}={}", property(value))).collect();
        out.push_str(&format!("::{command} {}::{}\n", properties.join(","), data(&sentence(own))));
    }
    out
}

/// What stands after the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property, in which `:` and `,` mean something, too.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command_early() {
        assert_eq!(data("a: 100 %\r\n::error::b"), "a: 100 %25%0D%0A::error::b");
        assert_eq!(property("a,b:c%\n"), "a%2Cb%3Ac%25%0A");
    }
}
