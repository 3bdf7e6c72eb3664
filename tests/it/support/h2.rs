//! A client that writes HTTP/2 frames as it is told, right or wrong (RFC 9113), and reads what comes back.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags.
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITISED: u8 = 0x20;

/// One frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// How a stream, or the whole connection, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With an answer.
    Answer(u16, Vec<u8>),
    /// With a stream error of this code.
    Reset(u32),
    /// With a connection error of this code.
    GoAway(u32),
    /// With the connection's end.
    Closed,
    /// Not at all, as long as the client waited.
    Silence,
}

impl Outcome {
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(status, _) => Some(*status),
            _ => None,
        }
    }

    pub(crate) fn is_connection_error(&self) -> bool {
        match self {
            Self::GoAway(code) => *code != 0,
            Self::Closed => true,
            Self::Answer(..) | Self::Reset(_) | Self::Silence => false,
        }
    }
}

/// A client's connection.
pub(crate) struct H2 {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl H2 {
    /// A connection on which nothing was said.
    #[track_caller]
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// A connection that was opened as it should be; it asks for answers without a table.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::with_settings(address, &[(1, 0)])
    }

    #[track_caller]
    pub(crate) fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(address);
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat());
        client
    }

    /// Sends bytes; that the gateway has closed already is not the sender's problem.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(&frame(kind, flags, stream, payload));
    }

    /// Sends a whole head that ends its stream.
    pub(crate) fn ask(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields));
    }

    /// The next frame.
    pub(crate) fn read(&mut self) -> io::Result<Frame> {
        self.need(9)?;
        let length = usize::from(self.buffer[0]) << 16
            | usize::from(self.buffer[1]) << 8
            | usize::from(self.buffer[2]);
        self.need(9 + length)?;
        let rest = self.buffer.split_off(9 + length);
        let whole = std::mem::replace(&mut self.buffer, rest);
        let stream = u32::from_be_bytes(whole[5..9].try_into().unwrap()) & 0x7fff_ffff;
        Ok(Frame { kind: whole[3], flags: whole[4], stream, payload: whole[9..].to_vec() })
    }

    fn need(&mut self, length: usize) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        while self.buffer.len() < length {
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => self.buffer.extend_from_slice(&chunk[..more]),
            }
        }
        Ok(())
    }

    /// Reads until a stream has its answer, or until there will be none. Settings and pings are answered on the way.
    #[track_caller]
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        let (mut status, mut body) = (None, Vec::new());
        loop {
            let frame = match self.read() {
                Ok(frame) => frame,
                Err(error) if is_timeout(&error) => return Outcome::Silence,
                Err(_) => return Outcome::Closed,
            };
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
                PING if frame.flags & ACK == 0 => self.frame(PING, ACK, 0, &frame.payload),
                GOAWAY => {
                    let code = code(&frame.payload[4..]);
                    if code != 0 {
                        return Outcome::GoAway(code);
                    }
                }
                RST_STREAM if frame.stream == stream => return Outcome::Reset(code(&frame.payload)),
                HEADERS if frame.stream == stream => status = status.or(status_of(&frame.payload)),
                DATA if frame.stream == stream => body.extend_from_slice(&frame.payload),
                _ => continue,
            }
            let ends = matches!(frame.kind, HEADERS | DATA)
                && frame.stream == stream
                && frame.flags & END_STREAM != 0;
            if let (true, Some(status)) = (ends, status) {
                return Outcome::Answer(status, body);
            }
        }
    }

    /// Reads until the whole connection has ended; the code of its last farewell, if it said one.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Option<u32> {
        let mut farewell = None;
        loop {
            match self.read() {
                Ok(frame) if frame.kind == GOAWAY => farewell = Some(code(&frame.payload[4..])),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => panic!("the connection stays open"),
                Err(_) => return farewell,
            }
        }
    }

    /// Whether a ping is still answered.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.frame(PING, 0, 0, b"stillup?");
        loop {
            match self.read() {
                Ok(frame) if frame.kind == PING && frame.payload == b"stillup?" => return true,
                Ok(frame) if frame.kind == GOAWAY && code(&frame.payload[4..]) != 0 => return false,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn code(bytes: &[u8]) -> u32 {
    bytes.get(..4).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()))
}

/// A frame's bytes, whatever its length.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block without any compression.
pub(crate) fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_ref(), value.as_ref()] {
            length(&mut block, text.len(), 7);
            block.extend_from_slice(text);
        }
    }
    block
}

/// An integer of HPACK (RFC 7541 §5.1), with nothing before its prefix.
pub(crate) fn length(block: &mut Vec<u8>, mut value: usize, prefix: u8) {
    let most = (1 << prefix) - 1;
    if value < most {
        block.push(u8::try_from(value).unwrap());
        return;
    }
    block.push(u8::try_from(most).unwrap());
    value -= most;
    while value >= 128 {
        block.push(u8::try_from(value % 128 + 128).unwrap());
        value /= 128;
    }
    block.push(u8::try_from(value).unwrap());
}

/// What every good request begins with.
pub(crate) fn head<'f>(method: &'f str, path: &'f str) -> Vec<(&'f str, &'f str)> {
    vec![(":method", method), (":scheme", "http"), (":authority", "gateway.test"), (":path", path)]
}

/// `:status` is the first field of an answer; its name is in the static table, its value there or three digits.
fn status_of(block: &[u8]) -> Option<u16> {
    let block = match block {
        [update, rest @ ..] if update & 0xe0 == 0x20 => rest,
        block => block,
    };
    match block {
        [indexed, ..] if indexed & 0x80 != 0 => match indexed & 0x7f {
            8 => Some(200),
            9 => Some(204),
            10 => Some(206),
            11 => Some(304),
            12 => Some(400),
            13 => Some(404),
            14 => Some(500),
            _ => None,
        },
        [_, length, digits @ ..] if length & 0x80 != 0 => {
            digits_of(digits.get(..usize::from(length & 0x7f))?)
        }
        [_, 3, digits @ ..] => std::str::from_utf8(digits.get(..3)?).ok()?.parse().ok(),
        _ => None,
    }
}

/// Three digits in HPACK's Huffman code: five bits for 0 to 2, six for the others.
fn digits_of(bytes: &[u8]) -> Option<u16> {
    let bits: Vec<u16> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1))).collect();
    let (mut at, mut number) = (0, 0);
    let take = |at: usize, count: usize| -> Option<u16> {
        Some(bits.get(at..at + count)?.iter().fold(0, |sum, bit| sum << 1 | bit))
    };
    for _ in 0..3 {
        let short = take(at, 5)?;
        let (digit, length) = if short <= 2 { (short, 5) } else { (take(at, 6)?.checked_sub(0x19)? + 3, 6) };
        number = number * 10 + digit;
        at += length;
    }
    Some(number)
}

#[test]
fn statuses_are_read() {
    assert_eq!(status_of(&[0x88]), Some(200));
    assert_eq!(status_of(&[0x20, 0x8c]), Some(400));
    assert_eq!(status_of(b"\x08\x03431"), Some(431));
    // RFC 7541 appendix C.6: 302 and 307.
    assert_eq!(status_of(&[0x48, 0x82, 0x64, 0x02]), Some(302));
    assert_eq!(status_of(&[0x48, 0x83, 0x64, 0x0e, 0xff]), Some(307));
}
