//! Idle connections of this thread, the one used last first, so that those which aren't needed grow old. Opening one is
//! `connect`'s work.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use hyper::client::conn::http1;
use tokio::task::JoinHandle;

use super::{Outgoing, Server};

/// An open connection. Dropping it closes it at once, whatever it was doing.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: http1::SendRequest<Outgoing>,
    pub(super) task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Idle {
    connection: Connection,
    since: Instant,
}

thread_local! {
    static IDLE: RefCell<HashMap<u64, Vec<Idle>, foldhash::fast::RandomState>> = RefCell::default();
}

/// Takes an idle connection to `server`. One that still finishes its last exchange stays where it is.
pub(super) fn take(server: &Server) -> Option<Connection> {
    IDLE.with_borrow_mut(|idle| {
        let stack = idle.get_mut(&server.id)?;
        let position = stack.iter().rposition(|idle| idle.connection.sender.is_ready())?;
        Some(stack.remove(position).connection)
    })
}

/// Keeps a connection whose answer was read to its end, unless there are `most` already.
pub(super) fn give(server: &Server, connection: Connection, most: usize, now: Instant) {
    if connection.sender.is_closed() {
        return;
    }
    IDLE.with_borrow_mut(|idle| {
        let stack = idle.entry(server.id).or_default();
        if stack.len() < most {
            stack.push(Idle { connection, since: now });
        }
    });
}

/// Closes this thread's connections that have been idle for `timeout`, and forgets those that were closed on us.
pub fn sweep(timeout: Duration, now: Instant) {
    IDLE.with_borrow_mut(|idle| {
        idle.retain(|_, stack| {
            stack.retain(|idle| {
                !idle.connection.sender.is_closed() && now.saturating_duration_since(idle.since) < timeout
            });
            !stack.is_empty()
        });
    });
}
