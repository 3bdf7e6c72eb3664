//! A page for every code: what is wrong, an example of it, and what is right. The texts stand in `codes/`, one file each;
//! every example is compiled by a test.

/// The page of a code.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The code.
    pub code: &'static str,
    /// Its text, in Markdown.
    pub text: &'static str,
}

macro_rules! page {
    ($code:literal) => {
        Page { code: $code, text: include_str!(concat!("codes/", $code, ".md")) }
    };
}

/// Every page, by code.
pub const ALL: &[Page] = &[
    page!("GW0001"),
    page!("GW1001"),
    page!("GW1002"),
    page!("GW1003"),
    page!("GW1004"),
    page!("GW1005"),
    page!("GW1006"),
    page!("GW1007"),
    page!("GW1008"),
    page!("GW1009"),
    page!("GW1010"),
    page!("GW1011"),
    page!("GW1012"),
    page!("GW2001"),
    page!("GW2002"),
    page!("GW2003"),
    page!("GW2004"),
    page!("GW2005"),
    page!("GW2006"),
    page!("GW2007"),
    page!("GW2008"),
    page!("GW2009"),
    page!("GW2010"),
    page!("GW3001"),
    page!("GW3002"),
    page!("GW3003"),
    page!("GW3004"),
    page!("GW3005"),
    page!("GW3006"),
    page!("GW3007"),
    page!("GW3008"),
    page!("GW3009"),
    page!("GW3010"),
    page!("GW3011"),
    page!("GW3012"),
    page!("GW3013"),
    page!("GW3014"),
    page!("GW3015"),
    page!("GW3016"),
    page!("GW3017"),
    page!("GW3018"),
    page!("GW3019"),
    page!("GW3020"),
    page!("GW3021"),
    page!("GW4001"),
    page!("GW4002"),
    page!("GW4003"),
    page!("GW4004"),
    page!("GW4005"),
    page!("GW4006"),
    page!("GW4007"),
    page!("GW4008"),
    page!("GW4009"),
    page!("GW4010"),
    page!("GW4011"),
    page!("GW4012"),
    page!("GW9001"),
];

/// The page of a code.
#[must_use]
pub fn page(code: &str) -> Option<Page> {
    ALL.iter().copied().find(|page| page.code.eq_ignore_ascii_case(code))
}

/// Whether a word looks like a code, be there such a one or not.
#[must_use]
pub fn is_code(word: &str) -> bool {
    let digits = word.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("gw")).and_then(|_| word.get(2..));
    digits.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
}

impl Page {
    /// What is wrong, in a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        let first = self.text.lines().next().unwrap_or("");
        first.split_once(": ").map_or(first, |(_, title)| title)
    }

    /// The text without marks: examples are indented.
    #[must_use]
    pub fn plain(self) -> String {
        let mut out = String::new();
        let mut is_example = false;
        for line in self.text.lines() {
            if line.starts_with("```") {
                is_example = !is_example;
                continue;
            }
            let line =
                if is_example { format!("    {line}") } else { line.trim_start_matches("# ").to_owned() };
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}
