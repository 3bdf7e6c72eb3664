//! What a rule file says of its socket: where it is, where its token comes from, and what the app is told of the caller
//! in place of what the caller says of itself. Frames and packets are `socket`'s and `proxy`'s.

use crate::route::Template;

/// A socket of an app.
#[derive(Clone, Debug)]
pub struct SocketRules {
    /// What is spoken on it.
    pub kind: SocketKind,
    /// Where it is opened.
    pub path: Template,
    /// The namespaces that a client may connect to; `/` is the one without a name.
    pub namespaces: Box<[Box<str>]>,
    /// Where the token is, in order: the first that is present decides.
    pub token: Box<[TokenSource]>,
    /// What the app is told of the caller.
    pub auth: AuthPayload,
}

/// What is spoken on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// Socket.IO over Engine.IO 4: each event is judged.
    SocketIo,
    /// Anything: its opening is judged, as an operation of a resource, and then it is a tunnel.
    WebSocket,
}

/// Where a socket's token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization`.
    Header,
    /// A parameter of the opening's query.
    Query(Box<str>),
    /// A member of the packet that connects to a namespace.
    Auth(Box<str>),
}

/// What the app is given as the client's `auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthPayload {
    /// Members that are made of what is proven.
    pub told: Box<[(Box<str>, Told)]>,
    /// Members of the client's own that survive.
    pub keep: Box<[Box<str>]>,
}

/// A value that the app is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A fact, by index; left out where it is unknown.
    Fact(usize),
    /// The names of the caller's roles.
    Roles,
    /// The names of the permissions that the caller's roles hold under no condition: `resource#scope`.
    Permissions,
    /// An object.
    Object(Box<[(Box<str>, Told)]>),
    /// An object, as a string of JSON.
    Text(Box<[(Box<str>, Told)]>),
}
