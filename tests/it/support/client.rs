//! A client that sends the bytes it is given and reads what comes back, as strictly as it can.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// A client's connection.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

/// A response, as it was framed.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Every value of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The one value of a header.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} occurs more than once: {}", self.head);
        all.first().copied()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The value of a header in the request that an echoing upstream received.
    pub(crate) fn echoed(&self, name: &str) -> Option<String> {
        let lines = self.text().lines().skip(1).take_while(|line| !line.is_empty());
        let mut values = lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value);
        let first = values.next().map(str::to_owned);
        assert_eq!(values.next(), None, "{name} arrived more than once: {}", self.text());
        first
    }
}

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: Read + Write> Client<S> {
    /// Speaks over this stream.
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request and reads the response.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(&request);
        let is_head = request.as_ref().starts_with(b"HEAD ");
        self.read(is_head).expect("a whole response")
    }

    /// Sends `METHOD TARGET` with these header lines.
    #[track_caller]
    pub(crate) fn request(&mut self, line: &str, headers: &[&str]) -> Response {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        self.ask(format!("{line} HTTP/1.1\r\nHost: gateway.test\r\n{lines}\r\n"))
    }

    /// Reads a response; an error if it isn't whole. Interim responses are skipped.
    pub(crate) fn read(&mut self, is_head: bool) -> io::Result<Response> {
        loop {
            let head = String::from_utf8(self.read_until(b"\r\n\r\n")?).map_err(io::Error::other)?;
            let status = head.get(9..12).and_then(|digits| digits.parse().ok());
            let status = status.ok_or_else(|| io::Error::other(head.clone()))?;
            let mut response = Response { status, head, body: Vec::new() };
            if (100..200).contains(&status) {
                continue;
            }
            if !is_head && status != 204 && status != 304 {
                response.body = self.read_body(&response)?;
            }
            return Ok(response);
        }
    }

    fn read_body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        if response.header("transfer-encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let line = self.read_until(b"\r\n")?;
                let size = std::str::from_utf8(&line)
                    .ok()
                    .and_then(|line| usize::from_str_radix(line.trim(), 16).ok());
                let size = size.ok_or_else(|| io::Error::other("a bad chunk size"))?;
                let chunk = self.read_exactly(size + 2)?;
                if size == 0 {
                    return Ok(body);
                }
                body.extend_from_slice(&chunk[..size]);
            }
        }
        match response.header("content-length") {
            Some(length) => self.read_exactly(length.parse().map_err(io::Error::other)?),
            None => {
                while self.read_more()? != 0 {}
                Ok(std::mem::take(&mut self.buffer))
            }
        }
    }

    pub(crate) fn read_until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|bytes| bytes == end) {
                let rest = self.buffer.split_off(at + end.len());
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            self.need_more()?;
        }
    }

    fn read_exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.need_more()?;
        }
        let rest = self.buffer.split_off(length);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    fn need_more(&mut self) -> io::Result<()> {
        if self.read_more()? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
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

    /// Whether the gateway has closed the connection, or does so without sending anything more.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && matches!(self.read_more(), Ok(0) | Err(_))
    }
}

impl Client<TcpStream> {
    /// Whether the connection is known to be closed, without waiting.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let seen = self.read_more();
        self.stream.set_nonblocking(false).unwrap();
        match seen {
            Ok(length) => length == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}
