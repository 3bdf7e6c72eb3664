//! The PROXY protocol, version 2: a load balancer says who its client is before that client says anything. It is read only
//! from those whom the operator names, who then must speak it; from others it would be a way to choose one's address.
//! Version 1, which has no length in front, is refused.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every header begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes up to the end of the length.
const START: usize = 16;
/// Most bytes after that: addresses, and what some balancers add.
const REST_MAX: usize = 4 * 1024;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The balancer's client.
    Client(IpAddr),
    /// The balancer itself, such as when it looks whether anyone is here; or it doesn't know.
    Socket,
}

/// The fixed part of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    kind: Kind,
    length: usize,
}

/// What the rest of a header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    V4,
    V6,
    Nothing,
}

/// Takes the header off a stream, and not a byte more.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Said> {
    let mut start = [0; START];
    stream.read_exact(&mut start).await?;
    let start = read_start(&start).ok_or(io::ErrorKind::InvalidData)?;
    let mut rest = vec![0; start.length];
    stream.read_exact(&mut rest).await?;
    read_rest(start.kind, &rest).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read_start(bytes: &[u8; START]) -> Option<Start> {
    let (signature, [command, family, high, low]) = bytes.split_at(SIGNATURE.len()) else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if signature != SIGNATURE || length > REST_MAX {
        return None;
    }
    let kind = match (command, family) {
        // LOCAL: whatever it says of addresses is to be left aside.
        (0x20, _) => Kind::Nothing,
        (0x21, 0x11) => Kind::V4,
        (0x21, 0x21) => Kind::V6,
        (0x21, 0x00) => Kind::Nothing,
        // Datagrams, Unix sockets, and what nobody has said what it is.
        _ => return None,
    };
    Some(Start { kind, length })
}

fn read_rest(kind: Kind, rest: &[u8]) -> Option<Said> {
    // The client's address stands first; the one that it came to, the ports and what some add behind them don't matter.
    Some(match kind {
        Kind::Nothing => Said::Socket,
        Kind::V4 if rest.len() >= 12 => Said::Client(Ipv4Addr::from(*rest.first_chunk::<4>()?).into()),
        Kind::V6 if rest.len() >= 36 => {
            Said::Client(IpAddr::from(Ipv6Addr::from(*rest.first_chunk::<16>()?)).to_canonical())
        }
        Kind::V4 | Kind::V6 => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    /// What is read of these bytes, and how many are left.
    fn taken(bytes: &[u8]) -> (Option<Said>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut left = bytes;
        let said = runtime.block_on(read(&mut left)).ok();
        (said, left.len())
    }

    fn v4(source: [u8; 4]) -> Vec<u8> {
        [&source[..], &[10, 0, 0, 1, 0xd4, 0x31, 1, 0xbb]].concat()
    }

    #[test]
    fn the_client_is_the_first_address() {
        let v6 = |text: &str| [&text.parse::<Ipv6Addr>().unwrap().octets()[..], &[0; 20]].concat();
        for (bytes, said) in [
            (header(0x21, 0x11, &v4([192, 0, 2, 7])), Said::Client("192.0.2.7".parse().unwrap())),
            (header(0x21, 0x21, &v6("2001:db8::7")), Said::Client("2001:db8::7".parse().unwrap())),
            (header(0x21, 0x21, &v6("::ffff:192.0.2.7")), Said::Client("192.0.2.7".parse().unwrap())),
            (header(0x20, 0x00, &[]), Said::Socket),
            (header(0x20, 0x11, &v4([192, 0, 2, 7])), Said::Socket),
            (header(0x21, 0x00, &[1, 2, 3]), Said::Socket),
        ] {
            let more = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(taken(&more), (Some(said), 16), "{bytes:?}");
        }
        // What stands behind the addresses is part of the header.
        let with_more = [v4([192, 0, 2, 7]), vec![4, 0, 1, 0]].concat();
        let (said, left) = taken(&[header(0x21, 0x11, &with_more), b"GET".to_vec()].concat());
        assert_eq!((said, left), (Some(Said::Client("192.0.2.7".parse().unwrap())), 3));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            b"PROXY TCP4 192.0.2.7 10.0.0.1 54321 443\r\nGET / HTTP/1.1\r\n".to_vec(),
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            header(0x11, 0x11, &v4([1; 4])),
            header(0x22, 0x11, &v4([1; 4])),
            header(0x21, 0x12, &v4([1; 4])),
            header(0x21, 0x31, &[0; 216]),
            header(0x21, 0x11, &[1; 11]),
            header(0x21, 0x21, &[1; 35]),
            header(0x21, 0x11, &[1; REST_MAX + 1]),
            header(0x21, 0x11, &v4([1; 4]))[..27].to_vec(),
        ] {
            assert_eq!(taken(&bytes).0, None, "{bytes:?}");
        }
    }

    proptest! {
        /// Whatever comes: no panic, and never more is taken than the header says that it is long.
        #[test]
        fn any_bytes_are_read_or_refused(
            is_signed: bool,
            command in prop_oneof![Just(0x20_u8), Just(0x21), any::<u8>()],
            family in prop_oneof![Just(0x11_u8), Just(0x21), Just(0), any::<u8>()],
            length in prop_oneof![0_u16..64, any::<u16>()],
            rest in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut bytes = [&SIGNATURE[..], &[command, family], &length.to_be_bytes(), &rest].concat();
            if !is_signed {
                bytes[0] ^= 1;
            }
            let (said, left) = taken(&bytes);
            prop_assert!(said.is_none() || is_signed);
            if said.is_some() {
                prop_assert_eq!(left, rest.len() - usize::from(length));
            }
        }
    }
}
