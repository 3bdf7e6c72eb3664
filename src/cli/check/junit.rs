//! `--format junit`: a test a file, which fails where the file has a mistake.

use super::{Checked, Deny, Region, is_denied, sentence};
use crate::config::Diagnostic;
use crate::config::diagnostic::LineIndex;

pub(super) fn document(checked: &Checked, deny: Option<Deny>) -> String {
    let lines = LineIndex::of(&checked.sources.files);
    let file_of = |own: &Diagnostic| own.primary.as_ref().map(|(span, _)| span.file as usize);
    let fails = |own: &&Diagnostic| is_denied(deny, own.severity);
    let mut cases = String::new();
    let (mut tests, mut failed) = (0, 0);
    let paths = checked.sources.files.iter().enumerate().map(|(index, file)| (Some(index), &*file.path));
    for (index, path) in paths.chain([(None, "gatewarden")]) {
        let own: Vec<_> = checked.told.iter().filter(|own| file_of(own) == index).collect();
        // What stands in no file has a test of its own, where there is something to say.
        if index.is_none() && own.is_empty() {
            continue;
        }
        tests += 1;
        let (bad, remarks): (Vec<_>, Vec<_>) = own.into_iter().partition(fails);
        cases.push_str(&format!("  <testcase classname=\"gatewarden.check\" name=\"{}\">\n", escaped(path)));
        let line = |own: &Diagnostic| {
            let at = Region::about(&lines, own);
            let at = at.map(|at| format!("{path}:{}:{}: ", at.line, at.column)).unwrap_or_default();
            escaped(&format!("{at}{} {}", own.code.0, sentence(own)))
        };
        if let Some(first) = bad.first() {
            failed += 1;
            let all: Vec<_> = bad.iter().map(|own| line(own)).collect();
            cases.push_str(&format!(
                "    <failure type=\"{}\" message=\"{}\">{}</failure>\n",
                first.code.0,
                escaped(&first.message),
                all.join("\n")
            ));
        }
        if !remarks.is_empty() {
            let all: Vec<_> = remarks.iter().map(|own| line(own)).collect();
            cases.push_str(&format!("    <system-out>{}</system-out>\n", all.join("\n")));
        }
        cases.push_str("  </testcase>\n");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"gatewarden check\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\">\n{cases}</testsuite>\n"
    )
}

/// Text and attributes of XML 1.0, which has no room for most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_xml_has_no_room_for_is_replaced() {
        assert_eq!(escaped("<a b=\"c\">&\u{1b}[0m\n"), "&lt;a b=&quot;c&quot;&gt;&amp;\u{fffd}[0m\n");
    }
}
