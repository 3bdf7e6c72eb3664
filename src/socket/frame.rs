//! Where the frames of a WebSocket end (RFC 6455 §5.2), so that a tunnel that has to end can say so between two of them.

/// Longest head of a frame.
const HEAD_MAX_BYTES: usize = 14;

/// Follows one direction of a WebSocket, piece by piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boundary {
    head: [u8; HEAD_MAX_BYTES],
    seen: usize,
    /// Bytes of the present frame's payload that haven't passed.
    left: u64,
}

impl Boundary {
    /// These bytes passed.
    pub fn passed(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(self.left);
                self.left -= length;
                bytes =
                    usize::try_from(length).ok().and_then(|length| bytes.get(length..)).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.head.get_mut(self.seen) {
                *place = *first;
            }
            self.seen += 1;
            bytes = rest;
            if let Some(length) = self.length() {
                (self.left, self.seen) = (length, 0);
            }
        }
    }

    /// Whether a frame may be put in here.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.seen == 0
    }

    /// The payload's length, once the head is whole.
    fn length(&self) -> Option<u64> {
        let [_, second, extended @ ..] = self.head;
        let (digits, short) = match second & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            short => (0, u64::from(short)),
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if self.seen < 2 + digits + mask {
            return None;
        }
        Some(extended.iter().take(digits).fold(short, |length, byte| length << 8 | u64::from(*byte)))
    }
}

/// A server's close frame.
#[must_use]
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    /// Most bytes of a reason: a control frame has at most 125.
    const REASON_MAX_BYTES: usize = 123;
    let reason = reason.as_bytes().get(..REASON_MAX_BYTES.min(reason.len())).unwrap_or_default();
    let length = u8::try_from(reason.len() + 2).unwrap_or(2);
    [&[0x88, length], &code.to_be_bytes()[..], reason].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_end_where_they_end() {
        for length in [0usize, 1, 125, 126, 127, 65_535, 65_536] {
            for mask in [&[][..], &[1, 2, 3, 4]] {
                let bit = if mask.is_empty() { 0 } else { 0x80 };
                let mut frame = vec![0x82];
                match length {
                    0..=125 => frame.push(bit | length as u8),
                    126..=65_535 => {
                        frame.push(bit | 126);
                        frame.extend((length as u16).to_be_bytes());
                    }
                    _ => {
                        frame.push(bit | 127);
                        frame.extend((length as u64).to_be_bytes());
                    }
                }
                frame.extend(mask);
                frame.extend(std::iter::repeat_n(0x88, length));
                let mut boundary = Boundary::default();
                assert!(boundary.is_between());
                for (index, byte) in frame.iter().enumerate() {
                    boundary.passed(&[*byte]);
                    assert_eq!(boundary.is_between(), index + 1 == frame.len(), "{length} at {index}");
                }
                let twice = [&frame[..], &frame[..frame.len() - 1]].concat();
                boundary.passed(&twice);
                assert!(!boundary.is_between());
                boundary.passed(&frame[frame.len() - 1..]);
                assert!(boundary.is_between());
            }
        }
    }

    #[test]
    fn a_close_frame_is_a_frame() {
        let frame = close(4401, "token expired");
        assert_eq!(frame[..4], [0x88, 15, 0x11, 0x31]);
        let mut boundary = Boundary::default();
        boundary.passed(&frame);
        assert!(boundary.is_between());
        assert_eq!(close(1001, &"x".repeat(500)).len(), 127);
    }
}
