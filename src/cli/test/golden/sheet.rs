//! Tables as vendors publish them, in Markdown or as CSV: heads and cells as plain text, each with its place in the file.
//! What a cell means is [`super::says`]'s.

use crate::config::Span;

/// One table.
#[derive(Clone, Debug, Default)]
pub(super) struct Sheet {
    /// The line of its head, counted from 1.
    pub line: usize,
    /// The line after its last.
    pub end: usize,
    /// The names of its columns.
    pub head: Vec<Text>,
    /// Its rows; each as long as the head.
    pub rows: Vec<Vec<Text>>,
    /// Rows that are longer than the head.
    pub long: Vec<Span>,
    /// Rows that are shorter: what they leave out may be a bar that was forgotten.
    pub short: Vec<Span>,
    /// Cells in which something stands, and no word of it: a picture.
    pub mute: Vec<Span>,
}

/// What a cell says, without marks of emphasis; a break is a line's end.
#[derive(Clone, Debug)]
pub(super) struct Text {
    /// Where it stands.
    pub span: Span,
    /// The words.
    pub text: String,
    /// Whether anything stands there, be it no word.
    pub stands: bool,
}

/// The tables of a file.
pub(super) fn read(file: u32, path: &str, text: &str) -> Vec<Sheet> {
    let is_csv = [".csv", ".tsv"].iter().any(|end| path.to_ascii_lowercase().ends_with(end));
    if is_csv { csv(file, text).into_iter().collect() } else { markdown(file, text) }
}

fn span(file: u32, start: usize, end: usize) -> Span {
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: narrow(start), end: narrow(end) }
}

fn cell(file: u32, whole: &str, start: usize, end: usize) -> Text {
    let raw = whole.get(start..end).unwrap_or_default();
    let lead = raw.len() - raw.trim_start().len();
    let kept = raw.trim().len();
    // An empty cell is pointed at as a whole.
    let place =
        if kept == 0 { span(file, start, end) } else { span(file, start + lead, start + lead + kept) };
    Text { span: place, text: plain(raw), stands: kept > 0 }
}

fn markdown(file: u32, text: &str) -> Vec<Sheet> {
    let mut lines: Vec<(usize, &str)> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        lines.push((at, line.trim_end_matches(['\n', '\r'])));
        at += line.len();
    }
    let mut sheets = Vec::new();
    let (mut number, mut fenced) = (0, false);
    while let Some((start, line)) = lines.get(number) {
        fenced ^= line.trim_start().starts_with("```");
        let ruled = lines.get(number + 1).is_some_and(|(_, next)| is_rule(next));
        if fenced || !ruled || !line.contains('|') {
            number += 1;
            continue;
        }
        let mut sheet = Sheet { line: number + 1, head: cells(file, text, *start, line), ..Sheet::default() };
        number += 2;
        while let Some((start, line)) = lines.get(number).filter(|(_, line)| line.contains('|')) {
            let row = cells(file, text, *start, line);
            push(&mut sheet, row, span(file, *start, start + line.len()));
            number += 1;
        }
        sheet.end = number + 1;
        sheets.push(sheet);
    }
    sheets
}

/// Adds a row; cells that are missing at its end are empty.
fn push(sheet: &mut Sheet, mut row: Vec<Text>, whole: Span) {
    // A bar too many at the end is a habit, no cell.
    while row.len() > sheet.head.len() && row.last().is_some_and(|last| last.text.is_empty()) {
        row.pop();
    }
    if row.len() > sheet.head.len() {
        sheet.long.push(whole);
    }
    if row.len() < sheet.head.len() {
        sheet.short.push(whole);
    }
    let is_mute = |own: &&Text| own.text.is_empty() && own.stands;
    sheet.mute.extend(row.iter().filter(is_mute).map(|own| own.span));
    let end = Span { start: whole.end, ..whole };
    row.resize(sheet.head.len(), Text { span: end, text: String::new(), stands: false });
    sheet.rows.push(row);
}

/// `|---|:-:|`, with bars at its ends or without.
fn is_rule(line: &str) -> bool {
    let inner = line.trim().trim_matches('|');
    let is_part = |part: &str| {
        let part = part.trim().trim_start_matches(':').trim_end_matches(':');
        !part.is_empty() && part.bytes().all(|own| own == b'-')
    };
    line.contains('|') && inner.split('|').all(is_part)
}

/// The cells of a line; a bar after a backslash is a bar.
fn cells(file: u32, whole: &str, start: usize, line: &str) -> Vec<Text> {
    let mut bounds = Vec::new();
    let (mut from, mut escaped) = (0, false);
    for (at, own) in line.char_indices() {
        if own == '|' && !escaped {
            bounds.push((from, at));
            from = at + 1;
        }
        escaped = own == '\\' && !escaped;
    }
    bounds.push((from, line.len()));
    let is_blank = |(from, to): &(usize, usize)| line.get(*from..*to).is_none_or(|own| own.trim().is_empty());
    if line.trim_start().starts_with('|') {
        bounds.remove(0);
    }
    if line.trim_end().ends_with('|') && bounds.last().is_some_and(is_blank) {
        bounds.pop();
    }
    bounds.into_iter().map(|(from, to)| cell(file, whole, start + from, start + to)).collect()
}

/// One table: fields apart by the first of tab, semicolon and comma that its head has; quoted ones may hold anything.
fn csv(file: u32, text: &str) -> Option<Sheet> {
    let head = text.lines().next().unwrap_or_default();
    let apart = ['\t', ';', ','].into_iter().find(|own| head.contains(*own)).unwrap_or(',');
    let mut rows: Vec<(usize, Vec<Text>)> = Vec::new();
    let (mut row, mut from, mut begun, mut quoted) = (Vec::new(), 0, 0, false);
    let field = |from: usize, to: usize| {
        let raw = text.get(from..to).unwrap_or_default().trim();
        let inner =
            raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).map(|own| own.replace("\"\"", "\""));
        let own = cell(file, text, from, to);
        Text {
            text: inner.map_or(own.text, |inner| plain(&inner)),
            span: own.span,
            stands: own.stands && raw != "\"\"",
        }
    };
    for (at, own) in text.char_indices() {
        match own {
            '"' => quoted = !quoted,
            own if own == apart && !quoted => {
                row.push(field(from, at));
                from = at + 1;
            }
            '\n' if !quoted => {
                row.push(field(from, at));
                rows.push((begun, std::mem::take(&mut row)));
                (from, begun) = (at + 1, at + 1);
            }
            _ => {}
        }
    }
    if from < text.len() {
        row.push(field(from, text.len()));
        rows.push((begun, row));
    }
    let mut rows = rows.into_iter().filter(|(_, row)| row.iter().any(|own| !own.text.is_empty()));
    let mut sheet = Sheet { line: 1, head: rows.next()?.1, end: usize::MAX, ..Sheet::default() };
    rows.for_each(|(start, row)| push(&mut sheet, row, span(file, start, start)));
    Some(sheet)
}

/// A cell's words: emphasis, tags and links are taken off, entities and escapes are what they stand for.
fn plain(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(own) = rest.chars().next() {
        let taken = match own {
            '<' => tag(rest, &mut text),
            '&' => entity(rest, &mut text),
            '[' => link(rest, &mut text),
            '\\' => escape(rest, &mut text),
            '*' if rest.starts_with("**") => 2,
            '_' if rest.starts_with("__") => 2,
            '`' => 1,
            _ => 0,
        };
        if taken == 0 {
            text.push(own);
        }
        rest = rest.get(taken.max(own.len_utf8() * usize::from(taken == 0))..).unwrap_or_default();
    }
    let lines = text.split('\n').map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// A tag says nothing, but where a line ends; what is raised is a mark of a footnote.
fn tag(rest: &str, into: &mut String) -> usize {
    let Some(end) = rest.find('>') else { return 0 };
    let name = rest.get(1..end).unwrap_or_default().trim_end_matches('/').trim().to_ascii_lowercase();
    let name = name.split_whitespace().next().unwrap_or_default();
    let is_name = name.trim_start_matches('/').bytes().all(|own| own.is_ascii_alphanumeric());
    if !is_name || name.is_empty() {
        return 0;
    }
    match name {
        "br" | "/p" | "/li" | "/div" => into.push('\n'),
        "sup" => into.push('['),
        "/sup" => into.push(']'),
        "li" => into.push_str("\n· "),
        _ => {}
    }
    end + 1
}

fn entity(rest: &str, into: &mut String) -> usize {
    const KNOWN: [(&str, char); 8] = [
        ("&amp;", '&'),
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&quot;", '"'),
        ("&#39;", '\''),
        ("&nbsp;", ' '),
        ("&#x20;", ' '),
        ("&#124;", '|'),
    ];
    let found = KNOWN.iter().find(|(name, _)| rest.starts_with(name));
    found.map_or(0, |(name, own)| {
        into.push(*own);
        name.len()
    })
}

/// `[text](address)` is its text; a footnote's `[^1]` stays.
fn link(rest: &str, into: &mut String) -> usize {
    let Some((text, after)) = rest.get(1..).and_then(|rest| rest.split_once("](")) else { return 0 };
    match after.find(')') {
        Some(end) if !text.contains(['[', ']']) => {
            into.push_str(text);
            text.len() + end + 4
        }
        _ => 0,
    }
}

fn escape(rest: &str, into: &mut String) -> usize {
    match rest.chars().nth(1).filter(char::is_ascii_punctuation) {
        Some(own) => {
            into.push(own);
            2
        }
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(row: &[Text]) -> Vec<&str> {
        row.iter().map(|own| own.text.as_str()).collect()
    }

    #[test]
    fn tables_are_read_as_vendors_write_them() {
        let text = "# Roles\n\nFeature | **Owner** | Read Only |\n---|---|---|\nA \\| B | Yes (Except<br>others) | ✗ |\n\n\
                    ```\n| no | table |\n|---|---|\n```\n| a | b |\n|:--|--:|\n| `x` | [y](http://z) |\n| &amp; |\n| 1 | 2 | 3 |\n";
        let sheets = read(0, "roles.md", text);
        assert_eq!(sheets.iter().map(|own| own.line).collect::<Vec<_>>(), [3, 11]);
        assert_eq!(texts(&sheets[0].head), ["Feature", "Owner", "Read Only"]);
        assert_eq!(texts(&sheets[0].rows[0]), ["A | B", "Yes (Except\nothers)", "✗"]);
        assert_eq!(texts(&sheets[1].rows[0]), ["x", "y"]);
        assert_eq!(texts(&sheets[1].rows[1]), ["&", ""]);
        assert_eq!((sheets[1].long.len(), sheets[1].short.len()), (1, 1));
        let pictured = read(0, "roles.md", "| a | b |\n|---|---|\n| x | <img src=\"yes.png\"> |\n| y | |\n");
        assert_eq!((pictured[0].mute.len(), pictured[0].short.len()), (1, 0));
        let span = sheets[0].rows[0][2].span;
        assert_eq!(text.get(span.start as usize..span.end as usize), Some("✗"));
    }

    #[test]
    fn quoted_fields_hold_anything() {
        let text = "Feature;Owner\n\"a; \"\"b\"\"\nc\";Yes<sup>1</sup>\n;\nlast;No";
        let sheets = read(0, "roles.CSV", text);
        let rows: Vec<_> = sheets[0].rows.iter().map(|row| texts(row)).collect();
        assert_eq!(rows, [["a; \"b\"\nc", "Yes[1]"], ["last", "No"]]);
    }
}
