//! Opening a connection that many will share: whoever needs one while it is being opened waits for the same one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};

use super::connect::{self, Dialed, Link, Mark, Obstacle, Use};
use super::connection::Connection;
use super::{Server, pool};

/// How often to wait for a connection that others were quicker to fill, before one of one's own is opened.
const TRIES: usize = 2;

type Opening = Shared<Pin<Box<dyn Future<Output = Result<(), Obstacle>> + Send>>>;
type Pending = WeakShared<Pin<Box<dyn Future<Output = Result<(), Obstacle>> + Send>>>;

thread_local! {
    /// What is being opened. Dropped when nobody waits for it any more.
    static OPENING: RefCell<HashMap<u64, (Mark, Pending), foldhash::fast::RandomState>> = RefCell::default();
}

/// Takes part in a connection that has room, opening one where there is none. Only what stands in the way of a connection
/// makes this fail: that there are many who want one says nothing of the server.
pub(super) async fn share(link: &Link, server: &Arc<Server>) -> Result<Connection, Obstacle> {
    for _ in 0..TRIES {
        if let Some(connection) = pool::take(server, link) {
            return Ok(connection);
        }
        joined(link, server).await?;
    }
    let dialed = connect::dial(link, server, Use::Http).await?;
    Ok(own(server, dialed))
}

/// A part in a connection that was just opened, taken before others see it.
pub(super) fn own(server: &Server, dialed: Dialed) -> Connection {
    match dialed {
        Dialed::Line(line) => {
            let share = line.share();
            pool::keep(server, &line);
            Connection::Shared(share)
        }
        Dialed::Own(connection) => Connection::Own(connection),
    }
}

fn joined(link: &Link, server: &Arc<Server>) -> Opening {
    let mark = link.mark();
    OPENING.with_borrow_mut(|opening| {
        let known = opening.get(&server.id).filter(|(own, _)| *own == mark);
        // One that is over has left its connection where it was looked for already.
        if let Some(going) =
            known.and_then(|(_, going)| going.upgrade()).filter(|going| going.peek().is_none())
        {
            return going;
        }
        opening.retain(|_, (_, going)| going.upgrade().is_some());
        let (link, own) = (link.clone(), server.clone());
        let work = async move {
            match connect::dial(&link, &own, Use::Http).await? {
                Dialed::Line(line) => pool::keep(&own, &line),
                Dialed::Own(connection) => {
                    pool::forget_lines(&own);
                    pool::give(&own, connection, 1);
                }
            }
            Ok(())
        };
        let work: Opening = (Box::pin(work) as Pin<Box<dyn Future<Output = _> + Send>>).shared();
        if let Some(pending) = work.downgrade() {
            opening.insert(server.id, (mark, pending));
        }
        work
    })
}
