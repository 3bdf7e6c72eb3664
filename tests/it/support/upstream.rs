//! An application that does exactly what its script says, on a plain socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::PATIENCE;

/// An upstream. Every connection gets a thread that follows the script.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub(crate) fn scripted(script: impl Fn(&mut Wire) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    /// The same at an address that is already bound.
    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(&mut Wire) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (script, counter, seen) = (Arc::new(script), connections.clone(), heads.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                let (script, heads) = (script.clone(), seen.clone());
                let mut wire = Wire::new(stream.unwrap(), heads);
                thread::spawn(move || drop(script(&mut wire)));
            }
        });
        Self { address, connections, heads }
    }

    /// Answers every request with the head that it received, as text; requests' bodies follow it.
    pub(crate) fn echo() -> Self {
        Self::scripted(|wire| {
            while let Some(head) = wire.read_head()? {
                let body = wire.read_body(&head)?;
                let answer = [head.as_bytes(), &body].concat();
                let length = answer.len();
                wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
                if !head.starts_with("HEAD ") {
                    wire.write(&answer)?;
                }
            }
            Ok(())
        })
    }

    /// Answers every request with these bytes and closes.
    pub(crate) fn saying(answer: &'static [u8]) -> Self {
        Self::scripted(move |wire| {
            wire.read_head()?;
            wire.write(answer)
        })
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// An address that nobody listens on.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The application's end of a connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Wire {
    fn new(stream: TcpStream, heads: Arc<Mutex<Vec<String>>>) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), heads }
    }

    /// The next request's head, with its blank line; `None` at the end of the connection.
    pub(crate) fn read_head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                let head = String::from_utf8_lossy(&head).into_owned();
                self.heads.lock().unwrap().push(head.clone());
                return Ok(Some(head));
            }
            if self.read_more()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Forgets the heads of all requests so far, of every connection.
    pub(crate) fn forget(&self) {
        self.heads.lock().unwrap().clear();
    }

    /// The request's body, as it is framed on the wire: chunks are left in.
    pub(crate) fn read_body(&mut self, head: &str) -> io::Result<Vec<u8>> {
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if head.contains("\r\ntransfer-encoding: chunked") {
            return self.read_until(b"0\r\n\r\n");
        }
        let length: usize = length.unwrap_or(0);
        while self.buffer.len() < length {
            if self.read_more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn read_until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        while !self.buffer.ends_with(end) {
            if self.read_more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    pub(crate) fn read_more(&mut self) -> io::Result<usize> {
        let mut chunk = vec![0; 64 * 1024];
        let length = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..length]);
        Ok(length)
    }

    /// Forgets what was read already and not yet used, and says how many bytes it was.
    pub(crate) fn take_buffered(&mut self) -> usize {
        std::mem::take(&mut self.buffer).len()
    }

    /// Reads to the end of the connection and returns how many bytes came.
    pub(crate) fn drain(&mut self) -> io::Result<u64> {
        let buffered = self.buffer.len() as u64;
        self.buffer.clear();
        Ok(buffered + io::copy(&mut self.stream, &mut io::sink())?)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends the connection the hard way, with what was written still delivered or not.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Both)
    }
}
