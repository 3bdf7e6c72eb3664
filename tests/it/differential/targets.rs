//! Targets as clients could write them: paths that lead somewhere, with what turns one path into another put in, and
//! pieces put together at random.

use proptest::prelude::*;
use proptest::sample::select;

/// Paths that lead somewhere, open or protected.
const PLACES: &[&str] = &[
    "/app",
    "/app/x",
    "/app/x/info",
    "/app/admin",
    "/app/admin/users",
    "/app/x/secret",
    "/app/files/x",
    "/app/files/secret",
    "/app/files/x/part",
    "/app/files/x/secret",
    "/app/files/x/secret/deep",
    "/app/open/x",
    "/app/open/x/y/z",
    "/app/open/private",
    "/app/open/private/x",
    "/app/open/x/private",
    "/app/Upper",
    "/app/Upper/x",
    "/app/caf%C3%A9/x",
];

/// Names of which a path is made.
const WORDS: &[&str] = &[
    "app", "open", "admin", "files", "secret", "private", "info", "Upper", "x", "a.b", "5b%C3%A9", "x~1",
    "$DATA",
];

/// What stands between two segments.
const SEPARATORS: &[&str] = &[
    "/",
    "/",
    "/",
    "/",
    "/",
    "/",
    "/",
    "//",
    "/./",
    "/../",
    "/%2e/",
    "/%2E%2e/",
    "/..;/",
    "/;/",
    "/;a=b/",
    "%2f",
    "%2F",
    "%252f",
    "%255c",
    "\\",
    "%5c",
    "%5C",
    "/%5c",
    "\\/",
    "%c0%af",
    "%c1%9c",
    "%e0%80%af",
    "%u002f",
    "\u{2215}",
    "\u{ff0f}",
    "%EF%BC%8F",
    "%E2%88%95",
    "/%20/",
    "/ /",
    "/\t/",
    "/%00/",
    "/.../",
    "/%2e%2e%2f",
    "/..%2f",
    "/..%5c",
    "/..\\",
    "/.%2e/",
    "/%252e%252e/",
    "/%c0%ae%c0%ae/",
    "/\u{ff0e}\u{ff0e}/",
    "/%EF%BC%8E%EF%BC%8E/",
    "/%u002e%u002e/",
    "/*/",
    "/~/",
];

/// What is put in somewhere.
const INSERTED: &[&str] = &[
    ".",
    "..",
    "...",
    "/",
    "//",
    "/.",
    "/..",
    "/../",
    "%2e",
    "%2E",
    "%2e%2e",
    "%2f",
    "%5c",
    "\\",
    "%00",
    "%00.png",
    "\0",
    "%01",
    "%0a",
    "%0d%0a",
    "%09",
    "\t",
    " ",
    "%20",
    "+",
    "%",
    "%%",
    "%2",
    "%zz",
    "%25",
    "%2525",
    "%252e",
    "%252f",
    "%u002e",
    ";",
    ";x=1",
    "%3b",
    "%3bx=1",
    "#",
    "#/../admin",
    "%23",
    "?",
    "?x=1",
    "?/../admin",
    "%3f",
    "%3F",
    "%E2%80%8B",
    "%C2%AD",
    "%EF%BB%BF",
    "%CC%87",
    "%C0%80",
    "%ff",
    "%EF%BC%8E",
    "~1",
    "::$DATA",
    ":",
    "@",
    "*",
    "|",
    "\"",
    "<",
    "{",
    "}",
    "^",
    "`",
    "[",
    "]",
    "&",
    "=",
    "!",
    "'",
    "(",
    ",",
    "\u{e9}",
    "\u{7f}",
    "\r",
    "\n",
];

/// What takes the place of a letter: other cases, other letters that fold or compose to it, encodings.
fn instead_of(letter: char) -> Vec<String> {
    let byte = u32::from(letter);
    let mut others = vec![
        letter.to_ascii_uppercase().to_string(),
        letter.to_ascii_lowercase().to_string(),
        format!("%{byte:02x}"),
        format!("%{byte:02X}"),
        format!("%25{byte:02x}"),
        format!("%2525{byte:02x}"),
        format!("%u{byte:04x}"),
        format!("%{:02x}%{:02x}", 0xc0 | byte >> 6, 0x80 | byte & 0x3f),
        format!("%e0%{:02x}%{:02x}", 0x80 | byte >> 6, 0x80 | byte & 0x3f),
        format!("%{:02x}", 0x80 | byte),
    ];
    let wide = match letter {
        'a'..='z' | 'A'..='Z' => char::from_u32(byte + 0xfee0),
        _ => None,
    };
    let alike = match letter {
        'i' | 'I' => "\u{131}\u{130}\u{456}",
        's' | 'S' => "\u{17f}\u{455}",
        'k' | 'K' => "\u{212a}",
        'a' | 'A' => "\u{430}\u{aa}\u{e5}",
        'e' | 'E' => "\u{435}\u{212f}",
        'p' | 'P' => "\u{440}",
        'f' | 'F' => "\u{fb01}",
        _ => "",
    };
    others.extend(wide.into_iter().chain(alike.chars()).map(encoded));
    others
}

/// A character as a client must write it in a path.
fn encoded(c: char) -> String {
    c.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// One change.
#[derive(Clone, Debug)]
enum Change {
    /// Another spelling of the letter here.
    Letter(prop::sample::Index, prop::sample::Index),
    /// Another case of every letter of the segment here.
    Case(prop::sample::Index),
    /// Something put in here.
    Insert(prop::sample::Index, &'static str),
    /// Something put in at the end, or at the end of a segment.
    Append(&'static str),
    /// Another separator for a slash here.
    Separate(prop::sample::Index, &'static str),
}

impl Change {
    fn of(self, path: &str) -> String {
        let letters: Vec<char> = path.chars().collect();
        let put = |at: usize, skipped: usize, piece: &str| -> String {
            let (before, after) = (&letters[..at], &letters[at + skipped..]);
            before.iter().copied().chain(piece.chars()).chain(after.iter().copied()).collect()
        };
        match self {
            Self::Letter(at, which) => {
                let at = at.index(letters.len());
                let others = instead_of(letters[at]);
                let other: &String = which.get(&others);
                put(at, 1, other)
            }
            Self::Case(at) => {
                let segments: Vec<&str> = path.split('/').collect();
                let chosen = at.index(segments.len());
                let case = |(index, own): (usize, &&str)| match index == chosen {
                    true if own.contains('%') => (*own).to_owned(),
                    true if own.chars().any(char::is_uppercase) => own.to_lowercase(),
                    true => own.to_uppercase(),
                    false => (*own).to_owned(),
                };
                segments.iter().enumerate().map(case).collect::<Vec<_>>().join("/")
            }
            Self::Insert(at, piece) => put(at.index(letters.len() + 1), 0, piece),
            Self::Append(piece) => format!("{path}{piece}"),
            Self::Separate(at, piece) => {
                let slashes: Vec<usize> =
                    letters.iter().enumerate().filter(|(_, c)| **c == '/').map(|(index, _)| index).collect();
                match slashes.as_slice() {
                    [] => path.to_owned(),
                    some => put(*at.get(some), 1, piece),
                }
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), at()).prop_map(|(at, which)| Change::Letter(at, which)),
        2 => at().prop_map(Change::Case),
        3 => (at(), select(INSERTED)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        2 => select(INSERTED).prop_map(Change::Append),
        2 => (at(), select(SEPARATORS)).prop_map(|(at, piece)| Change::Separate(at, piece)),
    ]
}

/// A place, changed a little.
fn changed() -> impl Strategy<Value = String> {
    let changes = prop::collection::vec(change(), 0..4);
    (select(PLACES), changes).prop_map(|(place, changes)| {
        changes.into_iter().fold(place.to_owned(), |path, change| change.of(&path))
    })
}

/// Pieces, put together.
fn put_together() -> impl Strategy<Value = String> {
    let piece = (select(SEPARATORS), select(WORDS));
    let ends = select(&["", "", "", "/", "/..", "%", "?x", "#x", ".", ";"][..]);
    let begins =
        select(&["/app", "/app", "/app", "/APP", "/app%2f", "app", "//app", "/./app", "/x/../app", ""][..]);
    (begins, prop::collection::vec(piece, 0..5), ends).prop_map(|(begin, pieces, end)| {
        let middle: String =
            pieces.into_iter().map(|(separator, word)| format!("{separator}{word}")).collect();
        format!("{begin}{middle}{end}")
    })
}

/// The forms that a target can have (RFC 9112 §3.2).
fn formed(path: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    const FORMS: &[&str] = &[
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "http://gateway.test",
        "http://u@gateway.test:1",
        "//gateway.test",
        "*",
        "gateway.test:80",
    ];
    (select(FORMS), path).prop_map(|(form, path)| format!("{form}{path}"))
}

/// Any target.
pub(super) fn target() -> impl Strategy<Value = String> {
    formed(prop_oneof![3 => changed(), 1 => put_together()])
}
