//! The load client: keep-alive HTTP/1.1 over raw sockets, one request in flight on each connection.
//!
//! It reads no more of an answer than its status and its length, so that the client costs little beside what it
//! measures. An answer without a length, a broken connection or an unexpected status is an error, never skipped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Result;

/// Looks at one answer; its error ends the run.
pub type Check = dyn Fn(u16, &[u8]) -> Result<()> + Send + Sync;

/// Whole requests as bytes, which all connections of a run draw from in turn.
pub struct Deck {
    requests: Vec<Vec<u8>>,
    next: AtomicUsize,
    order: Order,
}

/// What comes when every request of a deck has been drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first again.
    Round,
    /// Nothing: none is sent twice.
    Once,
}

impl Deck {
    /// A deck of these requests.
    pub fn new(requests: Vec<Vec<u8>>, order: Order) -> Arc<Self> {
        Arc::new(Self { requests, next: AtomicUsize::new(0), order })
    }

    /// How many distinct requests there are.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// What comes after the last.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Begins at the first request again, for another server that has seen none of them.
    pub fn rewind(&self) {
        self.next.store(0, Ordering::Relaxed);
    }

    fn draw(&self) -> Option<&[u8]> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        match self.order {
            Order::Round => self.requests.get(index % self.requests.len().max(1)),
            Order::Once => self.requests.get(index),
        }
        .map(Vec::as_slice)
    }
}

/// What to send, where to, for how long.
#[derive(Clone)]
pub struct Plan {
    /// Who is asked.
    pub target: SocketAddr,
    /// What is sent.
    pub deck: Arc<Deck>,
    /// Keep-alive connections.
    pub connections: usize,
    /// How fast.
    pub pace: Pace,
    /// When to stop.
    pub until: Until,
    /// What each answer must be.
    pub check: Arc<Check>,
}

/// How fast requests are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// Each connection sends its next request as soon as it has the answer.
    Unbounded,
    /// So many a second on all connections together, evenly spread.
    PerSecond(f64),
}

/// When a run ends, if its deck doesn't end before.
#[derive(Clone, Copy)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many requests on each connection.
    Sent(usize),
}

/// What a run took.
pub struct Run {
    /// Nanoseconds from the first byte written to the last byte read, of every request, sorted.
    pub latencies: Vec<u32>,
    /// How long the whole run took.
    pub elapsed: Duration,
    /// The connections, still open, so that what they cost the server can be looked at.
    pub connections: Vec<Connection>,
}

impl Run {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latencies, in microseconds.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let index = (last as f64 * quantile).round() as usize;
        self.latencies.get(index).map_or(0.0, |nanos| f64::from(*nanos) / 1000.0)
    }
}

/// A request for this path, with a token or without.
pub fn request(path: &str, token: Option<&str>) -> Vec<u8> {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n{authorization}\r\n").into_bytes()
}

/// Every answer must have this status.
pub fn status(expected: u16) -> Arc<Check> {
    Arc::new(move |status, body| match status == expected {
        true => Ok(()),
        false => Err(format!("expected {expected}, got {status}: {}", String::from_utf8_lossy(body)).into()),
    })
}

/// Opens the connections, then sends on all of them at once until the plan ends. They stay open with the result.
pub async fn drive(plan: &Plan) -> Result<Run> {
    let mut connections = Vec::new();
    for _ in 0..plan.connections {
        connections.push(Connection::open(plan.target).await?);
    }
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (index, connection) in connections.into_iter().enumerate() {
        tasks.spawn(keep_asking(connection, plan.clone(), index, begun));
    }
    let mut run = Run { latencies: Vec::new(), elapsed: Duration::ZERO, connections: Vec::new() };
    while let Some(done) = tasks.join_next().await {
        let (connection, mut latencies) = done??;
        run.latencies.append(&mut latencies);
        run.connections.push(connection);
    }
    run.elapsed = begun.elapsed();
    run.latencies.sort_unstable();
    Ok(run)
}

async fn keep_asking(
    mut connection: Connection,
    plan: Plan,
    index: usize,
    begun: Instant,
) -> Result<(Connection, Vec<u32>)> {
    let mut latencies = Vec::new();
    loop {
        let due = plan.due(index, latencies.len(), begun);
        let over = match plan.until {
            Until::Elapsed(time) => {
                begun.elapsed().max(due.map_or(Duration::ZERO, |due| due - begun)) >= time
            }
            Until::Sent(count) => latencies.len() >= count,
        };
        let Some(request) = (!over).then(|| plan.deck.draw()).flatten() else { break };
        let sent = wait_for(due).await;
        let status = connection.ask(request).await?;
        latencies.push(u32::try_from(sent.elapsed().as_nanos()).unwrap_or(u32::MAX));
        (plan.check)(status, connection.body())?;
    }
    Ok((connection, latencies))
}

impl Plan {
    /// When the connection with this index sends its request with this number, if there is a pace.
    fn due(&self, index: usize, number: usize, begun: Instant) -> Option<Instant> {
        let Pace::PerSecond(rate) = self.pace else { return None };
        let before = number * self.connections + index;
        Some(begun + Duration::from_secs_f64(before as f64 / rate))
    }
}

/// The moment that a request's latency counts from: now, or when it was due if the answer before it came too late.
async fn wait_for(due: Option<Instant>) -> Instant {
    let now = Instant::now();
    match due {
        None => now,
        Some(due) if due < now => due,
        Some(due) => {
            tokio::time::sleep_until(due.into()).await;
            Instant::now()
        }
    }
}

/// One connection and the answer that it read last.
pub struct Connection {
    target: SocketAddr,
    stream: TcpStream,
    after: After,
    buffer: Vec<u8>,
    filled: usize,
    body: std::ops::Range<usize>,
}

impl Connection {
    /// Connects.
    pub async fn open(target: SocketAddr) -> Result<Self> {
        let buffer = vec![0; 16 * 1024];
        Ok(Self { target, stream: dial(target).await?, after: After::Keep, buffer, filled: 0, body: 0..0 })
    }

    /// Sends one request and reads its whole answer; returns the status.
    pub async fn ask(&mut self, request: &[u8]) -> Result<u16> {
        if self.after == After::Close {
            self.stream = dial(self.target).await?;
        }
        self.stream.write_all(request).await?;
        self.filled = 0;
        let head = loop {
            self.read_more().await?;
            if let Some(head) = read_head(&self.buffer[..self.filled])? {
                break head;
            }
        };
        let end = head.body_at + head.length;
        while self.filled < end {
            self.read_more().await?;
        }
        if self.filled != end {
            return Err("more bytes than the answer's length says".into());
        }
        self.body = head.body_at..end;
        self.after = head.after;
        Ok(head.status)
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    async fn read_more(&mut self) -> Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let count = self.stream.read(&mut self.buffer[self.filled..]).await?;
        if count == 0 {
            return Err("the connection was closed in the middle of an answer".into());
        }
        self.filled += count;
        Ok(())
    }
}

async fn dial(target: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What becomes of the connection behind an answer: servers close one after so many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body_at: usize,
    length: usize,
    after: After,
}

/// The answer's head, once it is whole.
fn read_head(bytes: &[u8]) -> Result<Option<Head>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end])?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3))
        .ok_or_else(|| format!("not an HTTP/1.1 answer: {text}"))?
        .parse()?;
    let mut length = None;
    let mut after = After::Keep;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse()?);
        } else if name.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close") {
            after = After::Close;
        }
    }
    let length = length.ok_or_else(|| format!("an answer without a length: {text}"))?;
    Ok(Some(Head { status, body_at: end + 4, length, after }))
}

#[cfg(test)]
mod tests {
    use super::{After, Deck, Head, Order, Run, read_head};
    use std::time::Duration;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        assert_eq!(read_head(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap(), None);
        let whole = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        let head = Head { status: 403, body_at: 64, length: 2, after: After::Close };
        assert_eq!(read_head(whole).unwrap(), Some(head));
        assert!(read_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }

    #[test]
    fn quantiles_are_of_the_sorted_latencies() {
        let latencies = (0..=1000).map(|n| n * 1000).collect();
        let run = Run { latencies, elapsed: Duration::from_secs(1), connections: Vec::new() };
        assert_eq!(run.quantile_us(0.5), 500.0);
        assert_eq!(run.quantile_us(0.999), 999.0);
    }

    #[test]
    fn a_deck_that_is_dealt_once_ends() {
        let requests = vec![vec![1], vec![2]];
        let once = Deck::new(requests.clone(), Order::Once);
        assert_eq!([once.draw(), once.draw(), once.draw()], [Some(&[1][..]), Some(&[2][..]), None]);
        let round = Deck::new(requests, Order::Round);
        assert_eq!(
            [round.draw(), round.draw(), round.draw()],
            [Some(&[1][..]), Some(&[2][..]), Some(&[1][..])]
        );
    }
}
