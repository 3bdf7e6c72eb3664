//! A TCP connection to one of a server's addresses: each gets a head start, and none that says nothing holds up the rest
//! (after RFC 8305).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

/// How long an address is alone before the next one is tried as well.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first that answers.
pub(super) async fn dial(addresses: &[SocketAddr]) -> io::Result<(TcpStream, SocketAddr)> {
    let connect = async |address: SocketAddr| Ok((TcpStream::connect(address).await?, address));
    // The usual case, without the machinery.
    if let [only] = addresses {
        return connect(*only).await;
    }
    let mut left = addresses.iter();
    let mut tried = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let has_more = match left.next() {
            Some(address) => {
                tried.push(connect(*address));
                left.len() > 0
            }
            None => false,
        };
        tokio::select! {
            ended = tried.next() => match ended {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(why)) => failure = why,
                None => return Err(failure),
            },
            () = tokio::time::sleep(HEAD_START), if has_more => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn an_address_that_refuses_costs_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        // A port of another protocol stays free of listeners for as long as it is held.
        let held = UdpSocket::bind("127.0.0.2:0").unwrap();
        let bad = held.local_addr().unwrap();
        let began = Instant::now();
        assert_eq!(dial(&[bad, bad, good]).await.unwrap().1, good);
        assert!(began.elapsed() < HEAD_START * 4);
        assert!(dial(&[bad, bad]).await.is_err());
        assert!(dial(&[]).await.is_err());
    }
}
