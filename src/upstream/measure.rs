//! How much of a request's body may pass: so many bytes in all, or so many in each message of a call, however many
//! messages there are. Nothing is collected: a message is measured by the length at its front.

use std::time::Duration;

use super::outgoing::{BodyFault, BodyLimits};

/// What the bytes of a body are counted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The whole body.
    Whole,
    /// Each message of a gRPC call.
    Messages {
        /// Time for each next piece, once the first message is there.
        silence: Duration,
    },
}

/// What stands before a gRPC message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// How far a body is.
#[derive(Debug)]
pub(super) enum Measured {
    Whole { left: u64 },
    Messages { most: u64, prefix: [u8; PREFIX], read: usize, left: u64, whole: u64 },
}

impl Measured {
    pub(super) fn new(limits: BodyLimits) -> Self {
        match limits.measure {
            Measure::Whole => Self::Whole { left: limits.bytes },
            Measure::Messages { .. } => {
                Self::Messages { most: limits.bytes, prefix: [0; PREFIX], read: 0, left: 0, whole: 0 }
            }
        }
    }

    /// Whether a message of a call has arrived whole.
    pub(super) fn has_message(&self) -> bool {
        matches!(self, Self::Messages { whole: 1.., .. })
    }

    /// The next piece, if there is room for it.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<(), BodyFault> {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        match self {
            Self::Whole { left } => {
                *left = left.checked_sub(length).ok_or(BodyFault::TooLarge)?;
                Ok(())
            }
            Self::Messages { most, prefix, read, left, whole } => {
                let mut rest = data;
                while !rest.is_empty() {
                    if *left > 0 {
                        let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                        rest = rest.get(skipped..).unwrap_or_default();
                        *left = left.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
                        *whole = whole.saturating_add(u64::from(*left == 0));
                        continue;
                    }
                    let Some((first, more)) = rest.split_first() else { break };
                    if let Some(place) = prefix.get_mut(*read) {
                        *place = *first;
                    }
                    (rest, *read) = (more, *read + 1);
                    if *read == PREFIX {
                        let [_, a, b, c, d] = *prefix;
                        (*read, *left) = (0, u64::from(u32::from_be_bytes([a, b, c, d])));
                        if *left > *most {
                            return Err(BodyFault::TooLarge);
                        }
                        *whole = whole.saturating_add(u64::from(*left == 0));
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: Measure = Measure::Messages { silence: Duration::from_secs(9) };

    fn measured(bytes: u64, measure: Measure) -> Measured {
        Measured::new(BodyLimits { bytes, timeout: Duration::from_secs(1), measure })
    }

    #[test]
    fn a_body_is_as_long_as_it_may_be() {
        let mut whole = measured(5, Measure::Whole);
        assert_eq!(whole.take(b"abc"), Ok(()));
        assert_eq!(whole.take(b"de"), Ok(()));
        assert_eq!(whole.take(b""), Ok(()));
        assert_eq!(whole.take(b"f"), Err(BodyFault::TooLarge));
    }

    #[test]
    fn many_messages_may_be_longer_than_one() {
        let call = [b"\0\0\0\0\x03abc".as_slice(), b"\0\0\0\0\0", b"\x01\0\0\0\x04defg"].concat();
        for piece in 1..=call.len() {
            let mut messages = measured(4, MESSAGES);
            for _ in 0..3 {
                for data in call.chunks(piece) {
                    assert_eq!(messages.take(data), Ok(()), "pieces of {piece}");
                }
            }
            assert_eq!(messages.take(b"\0\0\0\0\x05"), Err(BodyFault::TooLarge), "pieces of {piece}");
        }
    }

    #[test]
    fn a_message_is_there_with_its_last_byte() {
        for (call, last) in [(b"\0\0\0\0\x03abc".as_slice(), b'd'), (b"\0\0\0\0\0".as_slice(), b'\0')] {
            let mut messages = measured(4, MESSAGES);
            let (end, front) = call.split_last().unwrap();
            for byte in front {
                assert_eq!(messages.take(&[*byte]), Ok(()));
                assert!(!messages.has_message());
            }
            assert_eq!(messages.take(&[*end, last]), Ok(()));
            assert!(messages.has_message());
        }
        let mut whole = measured(9, Measure::Whole);
        assert_eq!(whole.take(b"\0\0\0\0\0"), Ok(()));
        assert!(!whole.has_message());
    }
}
