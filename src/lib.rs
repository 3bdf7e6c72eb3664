//! Gatewarden stands in front of existing applications, verifies who is calling, decides from rule files
//! whether that caller may do that operation on that resource, and forwards or refuses.
//!
//! Goals, ranked: refuse safely > explain every answer > stay up > go fast > stay small.
//!
//! # A request's life
//! ```text
//! bytes -- proxy::server -- proxy::handle -- authorize -- proxy::forward -- upstream
//!            accept,          one canonical    pure: who,    strips, re-makes,
//!            limits, drain    view of request  what, may?    streams
//! ```
//! One reading of the request, or 400. Route: host, path, then method, or 404, or 405. Identify: the token is judged by
//! the issuer that it names, or 401. Acting tenant: the first source that is present decides, and the rules prove it, or
//! 403. Decide: permission bits of the caller's roles AND the operation's mask, then what is required, then the conditions
//! of the few grants that have some, or 403. What nobody knows yet (what the app says, what the body says, whether there is
//! room within a rate, whether there is a seat) is a question, answered outside, and only if nothing refuses without it; no
//! answer is 503, no room 429. Permit: a value that only the decision makes, and that forwarding needs; what the allow carries
//! along rides on it. Outcome: one record, written when the last byte is gone. An event of a socket is judged like a request.
//!
//! # Map
//! Modules in their one order: a module uses only what stands above it.
//!
//! Values and pure decisions, without clock, socket, file or `async`:
//!
//! | module | what lives there |
//! |---|---|
//! | [`request`] | the one reading of a request: host, canonical path, query, credential |
//! | [`zone`] | which month a moment falls in, where a tenant is |
//! | [`spelling`] | how a name is written in a header that the gateway makes |
//! | [`json`] | JSON bodies: places in them, reading that can't be misunderstood, editing on the way |
//! | [`socket`] | Engine.IO and Socket.IO packets, and the opening of a WebSocket, as values |
//! | [`fact`] | the typed values that conditions compare, and where they come from |
//! | [`token`] | bytes → proof: signatures, keys, time and audience claims; what was proven is remembered |
//! | [`seat`] | licence seats: people in a month and at the same time, and what follows when there are too few |
//! | [`budget`] | rates: how many requests may come at once, and over time |
//! | [`tenant`] | tenants and organisations, their ids and settings |
//! | [`identity`] | verified token → principal, by kind of issuer |
//! | [`route`] | host + path + method → operation |
//! | [`policy`] | conditions, grants, the decision |
//! | [`plumbing`] | the values of `gateway.toml`: listeners, issuers, upstreams, limits and their defaults |
//! | [`headers`] | what is stripped, re-made and passed on, in both directions |
//! | [`balance`] | which server of an upstream comes next, how one that failed comes back, and what may be sent again |
//! | [`rejection`] | every refusal: its status, code and public text |
//! | [`snapshot`] | everything compiled from the files, and the one pointer to it that moves |
//! | [`authorize`] | snapshot × request × credential × now → ruling: permit, refusal, or a question to be answered first |
//! | [`analysis`] | what a snapshot means: guards, matrix, nearest roles, the trace of a ruling |
//! | [`outcome`] | what happened to one request, written once |
//! | [`record`] | one decision as a line of the log, and a line as a request that can be decided again |
//! | [`hindsight`] | what the rules of now say of recorded decisions: replayed, explained, and what they suggest |
//! | [`config`] | text → snapshot, with every mistake reported at its place |
//! | [`interchange`] | our files and those of others: imports, exports, the schema for editors, the layout of a file |
//!
//! Effects: [`upstream`] (connections to the applications), [`ledger`] (what is remembered across requests: who has a seat, who came how often),
//! [`telemetry`] (metrics, log), [`audit`] (the decision log and where it is written), [`lookup`] (what is asked of an application itself),
//! [`shadow`] (candidate rules, judged beside the live ones).
//!
//! Planes: [`proxy`] carries requests; [`control`] changes what they meet (reload, keys, operators' endpoints); [`cli`] holds
//! the verbs, one file each, and `dev` with its demo applications.
//!
//! Three words for an answer: a *decision* is the policy's, a *ruling* is authorize's, a *rejection* is how a refusal looks
//! from outside.
//!
//! # Invariants
//! Each with the test that holds it (`tests/it/…`, or beside the code).
//!
//! - A module uses only what stands above it; the pure half has no clock, socket, file or `async`; no file and no function is
//!   too long to be read at a sitting (`architecture`).
//! - One `Live::load` per request, and per event of a socket. Only `control::reload` publishes, and only what compiled whole (`architecture`, `reload`).
//! - Candidate rules answer only for the tenants that try them, as the live rules see who is acted for, and before anything is
//!   spent; whatever they are, no other answer depends on them, and what they would have to ask is never an allow (`candidate`).
//! - The compiled rules say what a naive reading of the design says (`policy::reference`).
//! - Unknown never allows, and no default is "allow" (`policy::properties`). An empty, vanished or broken rule directory never
//!   widens anything (`reload`).
//! - Truncation can only remove access: every prefix of every shipped rule file grants no more than the whole
//!   (`policy::prefixes`).
//! - Grants only add up: holding one role more never takes access away (`policy::properties`).
//! - What was judged is what is forwarded; what can be read in two ways is refused (`request`, `forwarding::messages`), and no common way
//!   of reading a path that was permitted leads where the same caller may not go (`differential`).
//! - A body that a rule reads is forwarded byte for byte (`forwarding::reading`).
//! - An answer that should be edited and can't be read is not passed on (`json::edit`, `forwarding::transforms`).
//! - An answer that broke off never looks whole (`forwarding::broken_upstreams`, `h2_upstreams`).
//! - What a write makes stale falls before the write is answered (`lookups`); an answer about one tenant is never used for another.
//! - No event of a socket reaches an application unjudged, and no word of the client's about itself (`sockets`).
//! - Nothing that a client sends sets, hides or shadows an identity header (`forwarding::headers`).
//! - A token is judged only by the issuer that it names; a remembered one dies with its key, its issuer's configuration and
//!   its `exp` (`tokens`).
//! - A development token is refused by whatever `run` serves, whatever is configured (`dev`, `tokens`).
//! - Every request ends in exactly one outcome, also one whose client left (`forwarding::lives`).
//! - Where a tenant refuses people without a seat, no more hold one than there are; a refusal spends none, and a clock that is
//!   put back frees none (`seat`).
//! - No more requests pass than a rate says, whatever the clock does; a refusal spends nothing, and nobody gets a new count by
//!   making many come (`budget`, `ledger`, `limits`).
//! - No limit is optional, and no buffer grows without a bound (`forwarding::bodies`, `config::gateway`).
//! - Unknown keys, and what this version can't enforce, are errors (`policy::mistakes`).
//!
//! # Absent, on purpose
//! No forbid rules and no order between rules. No mode that lets a request pass because something failed. No expression
//! language: conditions are three words, so that they can be analysed exactly.

pub mod request;
pub mod zone;
pub mod spelling;
pub mod json;
pub mod socket;
pub mod fact;
pub mod token;
pub mod seat;
pub mod budget;
pub mod tenant;
pub mod identity;
pub mod route;
pub mod policy;
pub mod plumbing;
pub mod headers;
pub mod balance;
pub mod rejection;
pub mod snapshot;
pub mod authorize;
pub mod analysis;
pub mod outcome;
pub mod record;
pub mod hindsight;
pub mod config;
pub mod interchange;
pub mod upstream;
pub mod ledger;
pub mod telemetry;
pub mod audit;
pub mod lookup;
pub mod shadow;
pub mod proxy;
pub mod control;
pub mod cli;
