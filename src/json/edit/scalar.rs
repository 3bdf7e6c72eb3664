//! Strings, numbers and words of JSON (RFC 8259), read in pieces that may end anywhere.

use super::Unreadable;

/// A string after its first quote.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text {
    step: TextStep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TextStep {
    #[default]
    Plain,
    /// After a backslash.
    Escape,
    /// In the digits of `\u`: how many are to come, what they say so far, and whether a second half is due.
    Hex {
        left: u8,
        unit: u16,
        half: Half,
    },
    /// After the first half of a pair: the second must follow.
    SecondBackslash,
    SecondU,
    /// In a character of several bytes: how many are to come, and between which bounds the next one is.
    Multi {
        left: u8,
        low: u8,
        high: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    First,
    Second,
}

impl Text {
    /// Reads on; says how many bytes belong to the string, and whether the last of them is its closing quote.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<(usize, bool), Unreadable> {
        let mut used = 0;
        loop {
            if self.step == TextStep::Plain {
                used += plain(input.get(used..).unwrap_or_default());
            }
            let Some(&byte) = input.get(used) else { return Ok((used, false)) };
            used += 1;
            if self.step == TextStep::Plain && byte == b'"' {
                return Ok((used, true));
            }
            if self.step == TextStep::Plain && !byte.is_ascii() {
                // Many at once; the one that is cut off or wrong is left to be looked at byte by byte.
                let whole = whole_characters(input.get(used - 1..).unwrap_or_default());
                if whole > 0 {
                    used += whole - 1;
                    continue;
                }
            }
            self.step = self.step.next(byte)?;
        }
    }
}

impl TextStep {
    fn next(self, byte: u8) -> Result<Self, Unreadable> {
        let multi = |left, low, high| Ok(Self::Multi { left, low, high });
        match (self, byte) {
            (Self::Plain, b'\\') => Ok(Self::Escape),
            (Self::Plain, 0x20..0x80) => Ok(Self::Plain),
            // RFC 3629 §4: nothing overlong, no half of a pair, nothing beyond the last character.
            (Self::Plain, 0xc2..=0xdf) => multi(1, 0x80, 0xbf),
            (Self::Plain, 0xe0) => multi(2, 0xa0, 0xbf),
            (Self::Plain, 0xed) => multi(2, 0x80, 0x9f),
            (Self::Plain, 0xe1..=0xef) => multi(2, 0x80, 0xbf),
            (Self::Plain, 0xf0) => multi(3, 0x90, 0xbf),
            (Self::Plain, 0xf1..=0xf3) => multi(3, 0x80, 0xbf),
            (Self::Plain, 0xf4) => multi(3, 0x80, 0x8f),
            (Self::Multi { left, low, high }, byte) if (low..=high).contains(&byte) => match left {
                0 | 1 => Ok(Self::Plain),
                _ => multi(left - 1, 0x80, 0xbf),
            },
            (Self::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(Self::Plain),
            (Self::Escape, b'u') => Ok(Self::Hex { left: 4, unit: 0, half: Half::First }),
            (Self::SecondBackslash, b'\\') => Ok(Self::SecondU),
            (Self::SecondU, b'u') => Ok(Self::Hex { left: 4, unit: 0, half: Half::Second }),
            (Self::Hex { left, unit, half }, byte) => {
                let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
                let unit = unit << 4 | digit.ok_or(Unreadable)?;
                if left > 1 { Ok(Self::Hex { left: left - 1, unit, half }) } else { half.after(unit) }
            }
            _ => Err(Unreadable),
        }
    }
}

impl Half {
    fn after(self, unit: u16) -> Result<TextStep, Unreadable> {
        match (self, unit) {
            (Self::First, 0xd800..=0xdbff) => Ok(TextStep::SecondBackslash),
            (Self::Second, 0xdc00..=0xdfff) => Ok(TextStep::Plain),
            (Self::First, 0xdc00..=0xdfff) | (Self::Second, _) => Err(Unreadable),
            (Self::First, _) => Ok(TextStep::Plain),
        }
    }
}

const EACH: u64 = 0x0101_0101_0101_0101;
const TOP: u64 = 0x80 * EACH;

/// How many bytes from the first on need no closer look: neither quote nor backslash nor control, and ASCII. Eight at
/// a time.
fn plain(input: &[u8]) -> usize {
    let (words, rest) = input.as_chunks::<8>();
    let mut run = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let is = |byte: u64| {
            let differs = word ^ (byte * EACH);
            differs.wrapping_sub(EACH) & !differs
        };
        // A borrow may mark bytes after the first such byte, never one before it.
        let controls = word.wrapping_sub(0x20 * EACH) & !word;
        let special = (is(0x22) | is(0x5c) | controls | word) & TOP;
        if special != 0 {
            return run + (special.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    let is_special = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\' | 0x80..);
    run + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// How many of the first bytes are whole characters beyond ASCII.
fn whole_characters(input: &[u8]) -> usize {
    let run = input.iter().position(u8::is_ascii).unwrap_or(input.len());
    match str::from_utf8(input.get(..run).unwrap_or_default()) {
        Ok(text) => text.len(),
        Err(fault) => fault.valid_up_to(),
    }
}

/// A number after its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    /// A number begins with this byte.
    pub(super) fn begin(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Whole),
            _ => None,
        }
    }

    /// Reads on; says how many bytes belong to the number. It ended if there are others after them.
    pub(super) fn read(&mut self, input: &[u8]) -> usize {
        let mut used = 0;
        for &byte in input {
            let Some(next) = self.next(byte) else { break };
            *self = next;
            used += 1;
        }
        used
    }

    fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Whole, b'0'..=b'9') | (Self::Minus, b'1'..=b'9') => Some(Self::Whole),
            (Self::Minus, b'0') => Some(Self::Zero),
            (Self::Zero | Self::Whole, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Whole | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::Sign),
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Some(Self::Power),
            _ => None,
        }
    }

    /// Whether it may end here.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Whole | Self::Fraction | Self::Power)
    }
}

/// The rest of the word that begins with this byte.
pub(super) fn word(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b't' => Some(b"rue"),
        b'f' => Some(b"alse"),
        b'n' => Some(b"ull"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_run_ends_before_what_needs_a_look() {
        for special in [0, 1, 0x1f, b'"', b'\\', 0x80, 0xff] {
            for length in 0..40 {
                let mut input = vec![b'a'; length];
                assert_eq!(plain(&input), length);
                input.extend([special, special, b'"', b'b', 0x20, 0x7f, 0x21, 0x23, 0x5b, 0x5d]);
                assert_eq!(plain(&input), length, "{special}");
            }
        }
        let all: Vec<u8> = (0x20..0x80).filter(|b| !b"\"\\".contains(b)).collect();
        assert_eq!(plain(&all), all.len());
    }

    /// Every pair of bytes, and some longer ones, as the standard library sees them.
    #[test]
    fn characters_are_those_of_utf8() {
        let mut texts: Vec<Vec<u8>> = (0..=255).flat_map(|a| (0..=255).map(move |b| vec![a, b])).collect();
        for lead in [0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5] {
            for second in [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0] {
                texts.extend([
                    vec![lead, second, 0x80],
                    vec![lead, second, 0x80, 0xbf],
                    vec![lead, second, 0xc0],
                ]);
            }
        }
        for mut text in
            texts.into_iter().filter(|text| !text.iter().any(|b| *b < 0x20 || b"\"\\".contains(b)))
        {
            let is_text = str::from_utf8(&text).is_ok();
            text.push(b'"');
            let whole = Text::default().read(&text);
            assert_eq!(whole.is_ok_and(|(_, ended)| ended), is_text, "{text:x?}");
        }
    }
}
