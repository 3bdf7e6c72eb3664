//! The words of cells: yes, no, scopes, and what limits them.

/// Words that a document grants with.
const YES: [&str; 14] =
    ["yes", "allowed", "true", "full", "all", "y", "✓", "✔", "✔\u{fe0f}", "✅", "☑", "☑\u{fe0f}", "●", "🗸"];
/// Words that it refuses with.
const NO: [&str; 19] = [
    "no",
    "not allowed",
    "not available",
    "not applicable",
    "n/a",
    "na",
    "none",
    "false",
    "n",
    "x",
    "✗",
    "✘",
    "✕",
    "✖",
    "❌",
    "×",
    "-",
    "–",
    "—",
];

/// Words behind a yes that take nothing from it.
const PLAIN: [&str; 12] = [
    "always",
    "all",
    "full",
    "fully",
    "unlimited",
    "every",
    "everything",
    "everyone",
    "any",
    "entire",
    "complete",
    "unrestricted",
];

/// What a cell says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It grants, and is perhaps limited by what stands behind it.
    Yes(Limit),
    /// It refuses.
    No,
    /// It names things, each perhaps limited.
    Named(Vec<(String, Limit)>),
}

/// What stands behind a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Nothing.
    None,
    /// Words of the cell's own: `Except other Owners`.
    Words,
    /// A mark of a footnote: `*`, `1`, `a`.
    Mark(String),
}

impl Word {
    /// Reads a cell.
    pub(super) fn read(text: &str) -> Self {
        let text = text.trim();
        if text.is_empty() {
            return Self::No;
        }
        if let Some(rest) = YES.iter().find_map(|word| behind(text, word)) {
            return Self::Yes(Limit::read(rest));
        }
        let rests = NO.iter().filter_map(|word| behind(text, word));
        if rests.into_iter().any(adds_nothing) {
            return Self::No;
        }
        Self::Named(names(text).into_iter().map(|name| split(&name)).collect())
    }
}

impl Limit {
    /// Reads what stands behind a word.
    pub(super) fn read(rest: &str) -> Self {
        let rest = rest.trim();
        let bare = rest.trim_matches(['[', ']', '(', ')', '^', ' ']);
        match bare.chars().count() {
            0 => Self::None,
            1 => Self::Mark(digit(bare)),
            2 if bare.bytes().all(|own| own.is_ascii_digit() || own == b'*') => Self::Mark(bare.to_owned()),
            _ if is_no_limit(bare) => Self::None,
            _ => Self::Words,
        }
    }
}

/// Whether words behind a yes say that it is a whole one: `always`, `under all circumstances`; not `all but archived`.
fn is_no_limit(text: &str) -> bool {
    const BESIDE: [&str; 15] = [
        "under",
        "in",
        "at",
        "of",
        "to",
        "the",
        "and",
        "with",
        "for",
        "access",
        "cases",
        "circumstances",
        "rights",
        "times",
        "permissions",
    ];
    let words = || text.split(|own: char| !own.is_alphanumeric()).filter(|own| !own.is_empty());
    let is_of = |list: &[&str], word: &str| list.iter().any(|own| own.eq_ignore_ascii_case(word));
    words().any(|word| is_of(&PLAIN, word)) && words().all(|word| is_of(&PLAIN, word) || is_of(&BESIDE, word))
}

/// Whether what stands behind a no leaves it one: nothing, brackets, or a mark. `No restrictions` is no no.
fn adds_nothing(rest: &str) -> bool {
    let rest = rest.trim_start_matches(['.', ',', ';', ':', '!', ' ']);
    let is_in_brackets = rest.starts_with(['(', '[']);
    is_in_brackets || matches!(Limit::read(rest), Limit::None | Limit::Mark(_)) && !is_no_limit(rest)
}

/// A raised digit is the digit.
fn digit(mark: &str) -> String {
    const RAISED: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹";
    let at = mark.chars().next().and_then(|own| RAISED.chars().position(|other| other == own));
    at.map_or_else(|| mark.to_owned(), |at| at.to_string())
}

/// What stands behind a word that a text begins with.
fn behind<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    let ends = !rest.starts_with(|own: char| own.is_alphanumeric() && own.is_ascii() || own == '/');
    // A dash begins many things; alone, or with a space behind it, it is a no.
    let is_dash = matches!(word, "-" | "–" | "—" | "x" | "n" | "y" | "×");
    let ends = if is_dash { rest.is_empty() || rest.starts_with([' ', '(', '[', '*']) } else { ends };
    (head.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

/// The parts of a list: apart by commas, lines, slashes and `and`; brackets keep what is in them together.
pub(super) fn names(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0usize;
    for own in text.chars() {
        match own {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (own, parts.last_mut()) {
            (',' | ';' | '\n' | '&' | '/' | '+', _) if depth == 0 => parts.push(String::new()),
            (own, Some(last)) => last.push(own),
            (_, None) => {}
        }
    }
    let of_and = |part: &String| part.split(" and ").map(|own| own.trim().to_owned()).collect::<Vec<_>>();
    let parts = parts.iter().flat_map(of_and).map(|own| own.trim_start_matches("and ").to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

/// A name, and what limits it: `view(a)`, `View (own calls)`, `manage*`.
pub(super) fn split(text: &str) -> (String, Limit) {
    let at = text.find(['(', '[', '*', '†', '‡', '¹', '²', '³']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    (name.trim().to_owned(), Limit::read(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_yes_no_or_names() {
        for text in ["Yes", "✓", "✅", "Y", "yes.", "Full"] {
            assert!(matches!(Word::read(text), Word::Yes(_)), "{text}");
        }
        for text in
            ["", "No", "-", "—", "N/A", "x", "X", "✗", "No (Except support)", "none", "No*", "No.", "no [1]"]
        {
            assert_eq!(Word::read(text), Word::No, "{text}");
        }
        assert_eq!(Word::read("Yes (Except Owner)"), Word::Yes(Limit::Words));
        assert_eq!(Word::read("✅ only when shared"), Word::Yes(Limit::Words));
        for (text, mark) in
            [("Yes*", "*"), ("Yes[1]", "1"), ("Yes¹", "1"), ("yes(a)", "a"), ("Yes [^2]", "2")]
        {
            assert_eq!(Word::read(text), Word::Yes(Limit::Mark(mark.into())), "{text}");
        }
        let named = |parts: &[(&str, Limit)]| {
            Word::Named(parts.iter().map(|(name, limit)| ((*name).to_owned(), limit.clone())).collect())
        };
        assert_eq!(Word::read("View, Manage"), named(&[("View", Limit::None), ("Manage", Limit::None)]));
        assert_eq!(
            Word::read("search(b) view(b)"),
            named(&[("search", Limit::Words)]),
            "apart by a space alone is for whoever knows the names"
        );
        assert_eq!(
            Word::read("Create/Edit and Delete"),
            named(&[("Create", Limit::None), ("Edit", Limit::None), ("Delete", Limit::None)])
        );
        for text in ["No restrictions", "None withheld", "no limit", "No, all"] {
            assert!(matches!(Word::read(text), Word::Named(_)), "{text}");
        }
        for text in ["Yes (always)", "Yes, under all circumstances", "Full access, unlimited"] {
            assert_eq!(Word::read(text), Word::Yes(Limit::None), "{text}");
        }
        assert_eq!(Word::read("Yes (all except archived)"), Word::Yes(Limit::Words));
        assert_eq!(Word::read("Yes (every assigned team)"), Word::Yes(Limit::Words));
        assert!(matches!(Word::read("Not sure"), Word::Named(_)));
        assert!(matches!(Word::read("Xylophone"), Word::Named(_)));
    }
}
