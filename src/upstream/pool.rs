//! Connections of this thread: idle ones, the one used last first, so that those which aren't needed grow old, and those
//! that many exchanges share. Opening one is `connect`'s work.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Server;
use super::connect::Link;
use super::connection::{Connection, Own};
use super::line::Line;
use crate::plumbing::Protocol;

struct Idle {
    connection: Own,
    since: Instant,
}

struct Kept {
    line: Arc<Line>,
    idle_since: Instant,
}

type ByServer<T> = RefCell<HashMap<u64, Vec<T>, foldhash::fast::RandomState>>;

thread_local! {
    static IDLE: ByServer<Idle> = RefCell::default();
    /// A server that has an entry chose HTTP/2 when it was connected to last.
    static LINES: ByServer<Kept> = RefCell::default();
}

/// Takes a connection to `server`: a share in one that has room, or an idle one. One that still finishes its last exchange
/// stays where it is.
pub(super) fn take(server: &Server, link: &Link) -> Option<Connection> {
    let mark = link.mark();
    if link.protocol != Protocol::Http1 {
        let found = LINES.with_borrow(|lines| {
            let lines = lines.get(&server.id)?.iter().map(|kept| &kept.line);
            let is_fit = |line: &&Arc<Line>| line.mark() == mark && server.names.has(&line.peer());
            lines.filter(is_fit).find_map(|line| line.share_if_room())
        });
        if let Some(share) = found {
            return Some(Connection::Shared(share));
        }
    }
    IDLE.with_borrow_mut(|idle| {
        let stack = idle.get_mut(&server.id)?;
        let is_fit = |idle: &Idle| idle.connection.past.mark == mark && idle.connection.sender.is_ready();
        let position = stack.iter().rposition(is_fit)?;
        Some(Connection::Own(stack.remove(position).connection))
    })
}

/// Keeps a connection whose answer was read to its end, unless there are `most` already, or it has grown old, or leads to
/// where the server no longer is.
pub(super) fn give(server: &Server, connection: Own, most: usize) {
    let since = Instant::now();
    if connection.sender.is_closed()
        || since >= connection.past.until
        || !server.names.has(&connection.past.peer)
    {
        return;
    }
    IDLE.with_borrow_mut(|idle| {
        let stack = idle.entry(server.id).or_default();
        if stack.len() < most {
            stack.push(Idle { connection, since });
        }
    });
}

/// Keeps a connection that others may share.
pub(super) fn keep(server: &Server, line: &Arc<Line>) {
    let kept = Kept { line: line.clone(), idle_since: Instant::now() };
    LINES.with_borrow_mut(|lines| lines.entry(server.id).or_default().push(kept));
}

/// Whether the server chose HTTP/2 when it was connected to last.
pub(super) fn has_lines(server: &Server) -> bool {
    LINES.with_borrow(|lines| lines.contains_key(&server.id))
}

/// The server chose HTTP/1.1.
pub(super) fn forget_lines(server: &Server) {
    LINES.with_borrow_mut(|lines| lines.remove(&server.id));
}

/// Closes this thread's connections that have been idle for `timeout`, and forgets those that were closed on us.
pub fn sweep(timeout: Duration, now: Instant) {
    IDLE.with_borrow_mut(|idle| {
        idle.retain(|_, stack| {
            stack.retain(|idle| {
                let is_old = now >= idle.connection.past.until;
                let has_waited = now.saturating_duration_since(idle.since) >= timeout;
                !(idle.connection.sender.is_closed() || is_old || has_waited)
            });
            !stack.is_empty()
        });
    });
    LINES.with_borrow_mut(|lines| {
        lines.retain(|_, kept| {
            kept.retain_mut(|kept| {
                if kept.line.was_used() {
                    kept.idle_since = now;
                }
                let idle = now.saturating_duration_since(kept.idle_since);
                kept.line.is_open() && idle < timeout && now < kept.line.until()
            });
            !kept.is_empty()
        });
    });
}
