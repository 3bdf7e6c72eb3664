//! The blanks within a value, and where brackets and strings begin and end.

/// What a reader of lines is in the middle of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    depth: usize,
    inside: Option<Quote>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    Basic,
    Literal,
    LongBasic,
    LongLiteral,
}

impl Quote {
    fn text(self) -> &'static str {
        match self {
            Self::Basic => "\"",
            Self::Literal => "'",
            Self::LongBasic => "\"\"\"",
            Self::LongLiteral => "'''",
        }
    }

    fn at(rest: &str) -> Option<Self> {
        [Self::LongBasic, Self::LongLiteral, Self::Basic, Self::Literal]
            .into_iter()
            .find(|own| rest.starts_with(own.text()))
    }

    fn escapes(self) -> bool {
        matches!(self, Self::Basic | Self::LongBasic)
    }
}

impl Scan {
    /// How many arrays are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Whether a string of several lines is open.
    pub(super) fn is_in_text(&self) -> bool {
        self.inside.is_some()
    }

    /// Reads a line.
    pub(super) fn line(&mut self, line: &str) {
        let mut rest = line;
        while !rest.is_empty() {
            rest = self.step(rest);
        }
        // A string of one line ends with it.
        self.inside = self.inside.filter(|own| own.text().len() == 3);
    }

    /// Reads one piece, and gives what is left.
    fn step<'l>(&mut self, rest: &'l str) -> &'l str {
        let skip = |count: usize| rest.get(count..).unwrap_or("");
        if let Some(quote) = self.inside {
            if quote.escapes() && rest.starts_with('\\') {
                let escaped = rest.chars().nth(1).map_or(1, |c| 1 + c.len_utf8());
                return skip(escaped);
            }
            if rest.starts_with(quote.text()) {
                self.inside = None;
                return skip(quote.text().len());
            }
            return skip(rest.chars().next().map_or(1, char::len_utf8));
        }
        if let Some(quote) = Quote::at(rest) {
            self.inside = Some(quote);
            return skip(quote.text().len());
        }
        match rest.chars().next() {
            Some('#') | None => "",
            Some(c) => {
                match c {
                    // A table in an array is no step of its own.
                    '[' => self.depth += 1,
                    ']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                skip(c.len_utf8())
            }
        }
    }
}

/// A value on one line behind its key, `column` being where it began: blanks where they belong, those that make columns
/// kept, its comment where it was if there is room.
pub(super) fn tidy(head: &str, value: &str, column: usize) -> String {
    let (mut scan, mut rest) = (Scan::default(), value);
    let mut out = String::from(head);
    let mut comment = None;
    while !rest.is_empty() {
        if !scan.is_in_text() && rest.starts_with('#') {
            comment = Some((column + value.chars().count() - rest.chars().count(), rest));
            break;
        }
        let was_in_text = scan.is_in_text();
        let left = scan.step(rest);
        let piece = rest.get(..rest.len() - left.len()).unwrap_or("");
        if was_in_text || scan.is_in_text() {
            out.push_str(piece);
        } else {
            plain(&mut out, piece, left);
        }
        rest = left;
    }
    let mut out = out.trim_end().to_owned();
    if let Some((column, comment)) = comment {
        let end = out.chars().count();
        let blanks = if column > end { column - end } else { 2 };
        out.push_str(&" ".repeat(blanks));
        out.push_str(comment);
    }
    out
}

/// One character outside of strings.
fn plain(out: &mut String, piece: &str, left: &str) {
    let trim = |out: &mut String| out.truncate(out.trim_end().len());
    match piece {
        "]" => {
            trim(out);
            out.push(']');
        }
        "}" => {
            trim(out);
            out.push_str(if out.ends_with('{') { "}" } else { " }" });
        }
        "," => {
            trim(out);
            out.push(',');
            if !left.starts_with([' ', '\t']) && !left.trim_start().starts_with([']', '}']) {
                out.push(' ');
            }
        }
        "=" => {
            if !out.ends_with(' ') {
                out.push(' ');
            }
            out.push('=');
            if !left.starts_with(' ') {
                out.push(' ');
            }
        }
        "{" => {
            out.push('{');
            if !left.trim_start().starts_with('}') {
                out.push(' ');
            }
        }
        " " | "\t" if out.ends_with('[') || out.ends_with("{ ") || out.ends_with('{') => {}
        "\t" => out.push(' '),
        piece => out.push_str(piece),
    }
}
