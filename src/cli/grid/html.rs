//! Tables as one page that needs no other file: it runs no script, fetches nothing, keeps its heads in sight, follows the
//! reader's light or dark, and can be printed. Colours are never the only sign.

use std::fmt::Write as _;

use super::{Cell, Footnotes, Grid, Kind, letters};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--line:#d1d9e0;--ground:#fff;--head:#f3f5f7;--yes:#116329;--if:#7d4e00;--no:#8c959f}\
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--ground:#0d1117;--head:#161b22;--yes:#4ac26b;--if:#e0a33e;--no:#6e7681}}\
*{box-sizing:border-box}\
body{margin:0;padding:1.5rem;background:var(--ground);color:var(--ink);font:15px/1.45 system-ui,sans-serif}\
section{margin:0 0 2.5rem}h2{font-size:1.2rem;margin:0 0 .6rem}\
table{border-collapse:separate;border-spacing:0;border-top:1px solid var(--line);border-left:1px solid var(--line)}\
th,td{padding:.35rem .7rem;border-right:1px solid var(--line);border-bottom:1px solid var(--line);text-align:left;vertical-align:top;background:var(--ground)}\
thead th{position:sticky;top:0;z-index:2;background:var(--head)}\
tbody th{position:sticky;left:0;z-index:1;font-weight:500;background:var(--head)}\
tbody tr:hover td{background:var(--head)}\
.right{text-align:right;font-variant-numeric:tabular-nums}\
.yes{color:var(--yes)}.if{color:var(--if)}.no{color:var(--no)}\
sup a{color:inherit}dl{margin:.8rem 0;display:grid;grid-template-columns:max-content 1fr;gap:.15rem .8rem}\
dt{font-weight:600}dd{margin:0}:target{background:var(--head)}.means dd{font-family:ui-monospace,monospace;color:var(--soft)}\
@media print{:root{--ink:#000;--soft:#333;--line:#999;--ground:#fff;--head:#eee;--yes:#000;--if:#000;--no:#666}\
body{padding:0;font-size:10px}thead{display:table-header-group}thead th,tbody th{position:static}tr,dl{break-inside:avoid}section{break-after:page}section:last-child{break-after:auto}}";

/// The page.
pub(super) fn page(grids: &[Grid]) -> String {
    let titles: Vec<String> = grids.iter().map(|grid| escaped(&grid.title)).collect();
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        titles.join(", ")
    );
    for (number, grid) in (1..).zip(grids) {
        section(&mut text, number, grid);
    }
    text.push_str("</body>\n</html>");
    text
}

// Writing to a String can't fail, so what `write!` answers is dropped.

fn section(text: &mut String, number: usize, grid: &Grid) {
    let mut notes = Footnotes::default();
    text.push_str("<section>\n");
    if !grid.title.is_empty() {
        let _ = writeln!(text, "<h2>{}</h2>", escaped(&grid.title));
    }
    let side = |column: usize| if grid.right.contains(&column) { "right" } else { "" };
    text.push_str("<table>\n<thead><tr>");
    for (column, head) in grid.head.iter().enumerate() {
        let _ = write!(text, "<th scope=\"col\"{}>{}</th>", class(&[side(column)]), escaped(head));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in &grid.rows {
        text.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let shown = shown(cell, number, &mut notes);
            let class = class(&[side(column), kind(cell.kind)]);
            let _ = match column {
                0 => write!(text, "<th scope=\"row\"{class}>{shown}</th>"),
                _ => write!(text, "<td{class}>{shown}</td>"),
            };
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table>\n");
    let lines: Vec<_> = notes.lines().collect();
    if !lines.is_empty() {
        text.push_str("<dl>\n");
        for (letter, note) in lines {
            let _ = writeln!(text, "<dt id=\"n{number}-{letter}\">{letter}</dt><dd>{}</dd>", escaped(note));
        }
        text.push_str("</dl>\n");
    }
    if !grid.meanings.is_empty() {
        text.push_str("<dl class=\"means\">\n");
        for (name, meaning) in &grid.meanings {
            let _ = writeln!(text, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(meaning));
        }
        text.push_str("</dl>\n");
    }
    text.push_str("</section>\n");
}

fn shown(cell: &Cell, number: usize, notes: &mut Footnotes) -> String {
    let words = cell.words.iter().map(|word| {
        let text = escaped(&word.text);
        let Some(under) = &word.under else { return text };
        let letter = letters(notes.mark(under));
        let (title, href) = (escaped(under), format!("#n{number}-{letter}"));
        format!("{text}<sup><a href=\"{href}\" title=\"{title}\">{letter}</a></sup>")
    });
    words.collect::<Vec<_>>().join(" ")
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Plain => "",
        Kind::Yes => "yes",
        Kind::No => "no",
        Kind::Under => "if",
    }
}

fn class(names: &[&str]) -> String {
    let names: Vec<&str> = names.iter().copied().filter(|name| !name.is_empty()).collect();
    if names.is_empty() { String::new() } else { format!(" class=\"{}\"", names.join(" ")) }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for own in text.chars() {
        match own {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            own => out.push(own),
        }
    }
    out
}
