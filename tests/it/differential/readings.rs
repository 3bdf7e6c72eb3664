//! How servers, frameworks and file systems read a path, and whether what they read is a protected place.

use unicode_normalization::UnicodeNormalization;

/// A way to read a path.
pub(super) type Reading = fn(&[u8]) -> Vec<u8>;

/// Every way, with its name.
pub(super) const READINGS: &[(&str, Reading)] = &[
    ("as it is", |path| path.to_vec()),
    ("remove dot segments", remove_dot_segments),
    ("merge slashes", merge_slashes),
    ("decode", decode),
    ("decode twice", |path| decode(&decode(path))),
    ("cut parameters", cut_parameters),
    ("backslash to slash", |path| path.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect()),
    ("fold case", fold_case),
    ("compose", |path| text(path).nfkc().collect::<String>().into_bytes()),
    ("strip ends", strip_ends),
    ("cut at nul", |path| cut(path, b'\0')),
    ("cut at hash", |path| cut(path, b'#')),
    ("cut at question mark", |path| cut(path, b'?')),
    ("drop what isn't seen", drop_unseen),
    ("overlong", decode_overlong),
    ("decode %uXXXX", decode_wide),
    ("ignore broken encodings", ignore_broken),
];

/// Whether a path leads to a place that only a boss may see, read plainly.
pub(super) fn is_protected(path: &[u8]) -> bool {
    let path = text(path);
    let mut segments: Vec<&str> = path.split('/').skip(1).collect();
    if segments.last() == Some(&"") {
        segments.pop();
    }
    match segments.as_slice() {
        ["app", "admin" | "Upper" | "upper", ..] => true,
        // Where the rest of a path is open, its parts are.
        ["app", name, "secret"] => *name != "open" && !name.starts_with("caf"),
        ["app", "files", _, "secret", ..] => true,
        ["app", "open", "private", ..] => true,
        _ => false,
    }
}

/// The readings that lead a path into a protected place: one, or one after the other.
pub(super) fn ways_in(path: &[u8]) -> Vec<String> {
    ways_in_by(path, |_| true)
}

/// The same with some readings.
pub(super) fn ways_in_by(path: &[u8], chosen: impl Fn(&str) -> bool) -> Vec<String> {
    let readings: Vec<_> = READINGS.iter().filter(|(name, _)| chosen(name)).collect();
    let mut found = Vec::new();
    for (first, read) in &readings {
        let once = read(path);
        if is_protected(&once) {
            found.push((*first).to_owned());
            continue;
        }
        for (second, read) in &readings {
            if is_protected(&read(&once)) {
                found.push(format!("{first}, then {second}"));
            }
        }
    }
    found
}

/// The same with three, for those who have time.
pub(super) fn long_ways_in(path: &[u8]) -> Vec<String> {
    let ways = READINGS.iter().map(|(name, read)| (name, ways_in(&read(path))));
    ways.flat_map(|(name, ways)| ways.into_iter().map(move |way| format!("{name}, then {way}"))).collect()
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// RFC 3986 §5.2.4.
fn remove_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let last = segments.len().saturating_sub(1);
    for (index, segment) in segments.into_iter().enumerate() {
        match segment {
            b"." if index == last => kept.push(b""),
            b"." => {}
            b".." => {
                if kept.len() > 1 {
                    kept.pop();
                }
                if index == last {
                    kept.push(b"");
                }
            }
            other => kept.push(other),
        }
    }
    kept.join(&b'/')
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|b, a| *a == b'/' && *b == b'/');
    merged
}

fn hex(byte: Option<&u8>) -> Option<u32> {
    byte.and_then(|byte| char::from(*byte).to_digit(16))
}

pub(super) fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        match (byte, hex(path.get(at + 1)), hex(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high << 4 | low).unwrap());
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

/// `%` without two digits is dropped, as some decoders do.
fn ignore_broken(path: &[u8]) -> Vec<u8> {
    decode(path).into_iter().filter(|byte| *byte != b'%').collect()
}

/// IIS' `%uXXXX`.
fn decode_wide(path: &[u8]) -> Vec<u8> {
    let text = text(path);
    let mut decoded = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("%u") {
        decoded.push_str(before);
        let wide = after.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match wide.and_then(char::from_u32) {
            Some(wide) => {
                decoded.push(wide);
                rest = &after[4..];
            }
            None => {
                decoded.push_str("%u");
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    decoded.into_bytes()
}

/// A servlet container's path parameters.
fn cut_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/').map(|own| cut(own, b';'));
    segments.collect::<Vec<_>>().join(&b'/')
}

/// Both ways, so that what has no single other case folds too.
fn fold_case(path: &[u8]) -> Vec<u8> {
    text(path).to_uppercase().to_lowercase().into_bytes()
}

/// What Windows drops from a name's end.
fn strip_ends(path: &[u8]) -> Vec<u8> {
    let stripped = path.split(|byte| *byte == b'/').map(|own| {
        let end = own.iter().rposition(|byte| !b". \t".contains(byte)).map_or(0, |last| last + 1);
        own[..end].to_vec()
    });
    stripped.collect::<Vec<_>>().join(&b'/')
}

fn cut(path: &[u8], at: u8) -> Vec<u8> {
    path.split(|byte| *byte == at).next().unwrap_or_default().to_vec()
}

fn drop_unseen(path: &[u8]) -> Vec<u8> {
    let is_unseen = |c: &char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text(path).chars().filter(|c| !is_unseen(c)).collect::<String>().into_bytes()
}

/// Two and three bytes where one would do.
fn decode_overlong(path: &[u8]) -> Vec<u8> {
    let bytes = decode(path);
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (*byte, bytes.get(at + 1).copied(), bytes.get(at + 2).copied()) {
            (0xc0 | 0xc1, Some(low @ 0x80..=0xbf), _) => {
                decoded.push((byte & 1) << 6 | low & 0x3f);
                at += 2;
            }
            (0xe0, Some(mid @ 0x80..=0x9f), Some(low @ 0x80..=0xbf)) if mid < 0x82 => {
                decoded.push((mid & 1) << 6 | low & 0x3f);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

#[test]
fn the_readings_read() {
    let read = |name: &str, path: &str| {
        let (_, read) = READINGS.iter().find(|(own, _)| *own == name).unwrap();
        text(&read(path.as_bytes()))
    };
    for (name, path, expected) in [
        ("remove dot segments", "/a/b/../c/./d", "/a/c/d"),
        ("remove dot segments", "/a/../../b", "/b"),
        ("remove dot segments", "/a/b/..", "/a/"),
        ("merge slashes", "//a///b/", "/a/b/"),
        ("decode", "/%61%2fb%2", "/a/b%2"),
        ("decode twice", "/%2561", "/a"),
        ("cut parameters", "/a;b/c;d=e", "/a/c"),
        ("backslash to slash", "/a\\b", "/a/b"),
        ("fold case", "/AdM\u{131}n\u{17f}", "/admins"),
        ("compose", "/\u{ff41}\u{212a}", "/aK"),
        ("strip ends", "/a. /b..", "/a/b"),
        ("cut at nul", "/a\0b", "/a"),
        ("drop what isn't seen", "/a\u{200b}b", "/ab"),
        ("overlong", "/%c1%a1%c0%af%e0%80%ae", "/a/."),
        ("decode %uXXXX", "/%u0061%u", "/a%u"),
        ("ignore broken encodings", "/%%61", "/a"),
    ] {
        assert_eq!(read(name, path), expected, "{name}: {path}");
    }
}

#[test]
fn known_ways_in_are_found() {
    for path in [
        "/app/admin",
        "/app/open/../admin/x",
        "/app/open/%2e%2e/admin",
        "/app/open/%252e%252e/admin",
        "/app/x/..;/admin",
        "/app/open//private",
        "/app/open%2fprivate",
        "/app/open\\private",
        "/app/ADMIN",
        "/app/adm\u{131}n",
        "/app/adm%C4%B1n",
        "/app/%EF%BD%81dmin",
        "/app/admin.",
        "/app/admin%20",
        "/app/admin;x=1",
        "/app/admin%00.png",
        "/app/admin#x",
        "/app/admin%3fx",
        "/app/adm%E2%80%8Bin",
        "/app/%c1%a1dmin",
        "/app/%u0061dmin",
        "/app/%61dmin",
        "/app/x/%73ecret",
        "/app/files/a/b/../secret",
        "/app/upper",
        "/app/UPPER/x",
    ] {
        assert!(!ways_in(path.as_bytes()).is_empty(), "{path}");
    }
    for path in
        ["/app", "/app/x/info", "/app/files/secrets", "/app/open/admin", "/app/open/x/private", "/", ""]
    {
        assert!(ways_in(path.as_bytes()).is_empty(), "{path}: {:?}", ways_in(path.as_bytes()));
    }
}
