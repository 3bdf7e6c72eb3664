//! Asking one server whether it is well, and where it is. `control` says when.

use std::sync::Arc;
use std::time::Instant;

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use tokio::time::timeout;

use super::connect::{self, Dialed, Use};
use super::connection::Connection;
use super::names::Resolve;
use super::{Outgoing, Server, Upstream};
use crate::plumbing::HealthCheck;

/// What a probe found, where that is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The server gets its requests again.
    Well,
    /// It gets none while others do.
    Unwell,
}

impl Upstream {
    /// Asks a server whether it is well, over a connection of its own, and remembers what it says.
    pub async fn probe(&self, server: &Arc<Server>, check: &HealthCheck) -> Option<News> {
        let passed =
            timeout(check.timeout, self.ask(server, check)).await.is_ok_and(|passed| passed == Some(true));
        let is_news = server.probed(passed, check.healthy, check.unhealthy, Instant::now());
        is_news.then_some(if passed { News::Well } else { News::Unwell })
    }

    async fn ask(&self, server: &Arc<Server>, check: &HealthCheck) -> Option<bool> {
        let mut request = Request::new(Outgoing::Empty);
        *request.uri_mut() = Uri::try_from(&check.path).ok()?;
        let own = request.headers_mut();
        own.insert(HOST, HeaderValue::try_from(server.address().to_string()).ok()?);
        own.insert(USER_AGENT, HeaderValue::from_static("gatewarden"));
        let mut connection = match connect::dial(&self.link, server, Use::Http).await.ok()? {
            Dialed::Own(own) => Connection::Own(own),
            Dialed::Line(line) => Connection::Shared(line.share()),
        };
        let response = connection.send(request).await.ok()?;
        Some(response.status().as_u16() == check.expect)
    }
}

impl Server {
    /// Whether its addresses must be looked up, because it has a name.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.names.is_named()
    }

    /// Whether it is known where it is.
    #[must_use]
    pub fn is_found(&self) -> bool {
        self.names.is_known()
    }

    /// Looks its name up and remembers what was found, unless a look-up is under way.
    pub async fn look_up(&self, resolve: Resolve) -> bool {
        let Some(_seeking) = self.names.seek() else { return false };
        let address = self.address();
        self.names.learn(resolve(address.host.clone(), address.port).await)
    }
}
