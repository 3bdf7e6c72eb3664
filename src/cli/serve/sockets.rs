//! Where the listening sockets come from: bound here, or inherited from a service manager or from the gateway that this
//! one replaces. Both speak systemd's protocol (`LISTEN_FDS`, `LISTEN_FDNAMES`).
//!
//! What a manager gives is where the gateway listens, whatever `gateway.toml` says. What a gateway hands over counts as
//! long as `gateway.toml` still asks for that address.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use listenfd::ListenFd;

use crate::plumbing::GatewayConfig;
use crate::proxy::Server;

/// What `LISTEN_FDNAMES` calls the socket on which a new gateway tells the old one that it is ready.
pub(super) const HANDOVER: &str = "handover";
/// Marks a socket that a manager gave, when it is handed on.
const GIVEN: &str = ".given";
/// More than anyone can mean.
const INHERITED_MAX: usize = 64;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Callers,
    Admin,
    Metrics,
}

impl Role {
    const ALL: [Self; 3] = [Self::Callers, Self::Admin, Self::Metrics];

    fn name(self) -> &'static str {
        match self {
            Self::Callers => "callers",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Callers => "[listen] address",
            Self::Admin => "[admin] address",
            Self::Metrics => "[metrics] address",
        }
    }
}

/// Whose word counts for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The manager's that gave the socket.
    Manager,
    /// `gateway.toml`'s.
    File,
}

#[derive(Debug)]
struct Given {
    role: Option<Role>,
    origin: Origin,
    address: SocketAddr,
    listener: TcpListener,
}

/// The sockets that the process was started with.
#[derive(Debug, Default)]
pub struct Inherited {
    given: Vec<Given>,
    predecessor: Option<UnixDatagram>,
}

/// Why the gateway doesn't listen.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotBound {
    #[error("can't listen on {0} (`{1}`): {2}")]
    Taken(SocketAddr, &'static str, String),
    #[error("can't use an inherited socket: {0}")]
    Inherited(String),
}

/// A listener, and what is to be said of it when it is handed on.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) role: Role,
    origin: Origin,
    pub(super) listener: TcpListener,
}

impl Listening {
    /// The listener's name in `LISTEN_FDNAMES`.
    pub(super) fn label(&self) -> String {
        let given = if self.origin == Origin::Manager { GIVEN } else { "" };
        format!("{}{given}", self.role.name())
    }

    /// The same listener once more.
    pub(super) fn again(&self) -> std::io::Result<Self> {
        Ok(Self { listener: self.listener.try_clone()?, ..*self })
    }
}

impl Inherited {
    /// Takes what the process was started with. To be called while there is one thread: it clears the variables.
    pub fn take() -> Result<Self, String> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut fds = ListenFd::from_env();
        if fds.len() > INHERITED_MAX {
            return Err(format!("there are {} of them", fds.len()));
        }
        let names: Vec<&str> = names.split(':').collect();
        let is_handover = fds.len() > 0 && names.contains(&HANDOVER);
        let mut inherited = Self::default();
        for at in 0..fds.len() {
            let name = names.get(at).copied().unwrap_or_default();
            let called = |why: &dyn std::fmt::Display| format!("`{name}`, number {}: {why}", at + 1);
            if is_handover && name == HANDOVER {
                inherited.predecessor = fds.take_unix_datagram(at).map_err(|why| called(&why))?;
                continue;
            }
            let listener = fds.take_tcp_listener(at).map_err(|why| called(&why))?;
            let listener = listener.ok_or_else(|| called(&"it was given twice"))?;
            if !rustix::net::sockopt::socket_acceptconn(listener.as_fd()).map_err(|why| called(&why))? {
                return Err(called(&"it doesn't listen"));
            }
            let address = listener.local_addr().map_err(|why| called(&why))?;
            let own = name.strip_suffix(GIVEN);
            let origin = if is_handover && own.is_none() { Origin::File } else { Origin::Manager };
            let role = Role::ALL.into_iter().find(|role| role.name() == own.unwrap_or(name));
            inherited.given.push(Given { role, origin, address, listener });
        }
        Ok(inherited)
    }

    /// The gateway that waits for this one, if there is one.
    pub(super) fn predecessor(&mut self) -> Option<UnixDatagram> {
        self.predecessor.take()
    }

    /// Every listener that `gateway.toml` and the manager ask for. What nobody asks for any more is closed.
    pub(super) fn listen(mut self, config: &GatewayConfig) -> Result<Vec<Listening>, NotBound> {
        let mut all =
            vec![self.obtain(Role::Callers, config.listen.address)?, self.obtain(Role::Admin, config.admin)?];
        let metrics = match config.metrics {
            Some(address) => Some(self.obtain(Role::Metrics, address)?),
            None => self.named(Role::Metrics, None),
        };
        all.extend(metrics);
        for left in self.given {
            match left.origin {
                Origin::File => {
                    tracing::info!(address = %left.address, "no longer asked for: closed");
                }
                Origin::Manager => {
                    let why = "is none of the listeners in gateway.toml: give it the name `callers`, `admin` or `metrics`, each once";
                    return Err(NotBound::Inherited(format!("{} {why}", left.address)));
                }
            }
        }
        Ok(all)
    }

    fn obtain(&mut self, role: Role, asked: SocketAddr) -> Result<Listening, NotBound> {
        let found = self.named(role, Some(asked)).or_else(|| self.at(role, asked));
        if let Some(found) = found {
            let is_safe = role != Role::Admin
                || found.listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
            return if is_safe {
                Ok(found)
            } else {
                Err(NotBound::Inherited("operators come in by a loopback address only".to_owned()))
            };
        }
        let bound = match role {
            Role::Callers => Server::bind(asked).and_then(|server| server.socket()),
            Role::Admin | Role::Metrics => TcpListener::bind(asked),
        };
        let listener = bound.map_err(|why| NotBound::Taken(asked, role.key(), in_words(&why)))?;
        Ok(Listening { role, origin: Origin::File, listener })
    }

    /// The socket of this name, if its address is one that counts.
    fn named(&mut self, role: Role, asked: Option<SocketAddr>) -> Option<Listening> {
        let counts = |given: &Given| {
            given.role == Some(role)
                && (given.origin == Origin::Manager || asked.is_some_and(|asked| fits(asked, given.address)))
        };
        let given = self.given.remove(self.given.iter().position(counts)?);
        if let Some(asked) = asked.filter(|asked| !fits(*asked, given.address)) {
            tracing::warn!(given = %given.address, %asked, key = role.key(), "listening where the service manager says");
        }
        Some(Listening { role, origin: given.origin, listener: given.listener })
    }

    /// The socket without a name of ours that has the address.
    fn at(&mut self, role: Role, asked: SocketAddr) -> Option<Listening> {
        let found = self.given.iter().position(|given| given.role.is_none() && fits(asked, given.address))?;
        let given = self.given.remove(found);
        Some(Listening { role, origin: given.origin, listener: given.listener })
    }
}

/// Whether a socket is where the file asks for one. Port 0 asks for any.
fn fits(asked: SocketAddr, given: SocketAddr) -> bool {
    asked.ip() == given.ip() && (asked.port() == 0 || asked.port() == given.port())
}

fn in_words(why: &std::io::Error) -> String {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    match why.kind() {
        AddrInUse => "another program listens there".to_owned(),
        PermissionDenied => "this user may not use that port".to_owned(),
        AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => why.to_string(),
    }
}
