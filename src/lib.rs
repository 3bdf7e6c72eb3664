//! Gatewarden stands in front of existing applications, verifies who is calling, decides from rule files
//! whether that caller may do that operation on that resource, and forwards or refuses.
//!
//! # Map
//! Modules in their one order: a module uses only what stands above it (`tests/it/architecture.rs` holds it).
//!
//! Values and pure decisions, without clock, socket, file or `async`:
//!
//! | module | what lives there |
//! |---|---|
//! | [`request`] | the one reading of a request: host, canonical path, query, credential |
//! | [`fact`] | the typed values that conditions compare |
//! | [`token`] | bytes → proof: signatures, keys, time and audience claims |
//! | [`tenant`] | tenants and organisations, their ids and settings |
//! | [`identity`] | verified token → principal, by kind of issuer |
//! | [`route`] | host + path + method → operation |
//! | [`policy`] | conditions, grants, the decision |
//! | [`plumbing`] | the values of `gateway.toml`: listeners, issuers, upstreams, limits and their defaults |
//! | [`headers`] | what is stripped, re-made and passed on, in both directions |
//! | [`balance`] | which endpoint of an upstream comes next |
//! | [`rejection`] | every refusal: its status, code and public text |
//! | [`snapshot`] | everything compiled from the files, and the one pointer to it that moves |
//! | [`authorize`] | snapshot × request × credential × now → ruling |
//! | [`analysis`] | what a snapshot means: matrix, who, nearest roles |
//! | [`outcome`] | what happened to one request, written once |
//! | [`config`] | text → snapshot, with every mistake reported |
//!
//! Effects: [`upstream`] (connections to the apps), [`telemetry`] (metrics, log).
//!
//! Planes: [`proxy`] carries requests, [`control`] changes what they meet, [`cli`] holds the verbs.

pub mod request;
pub mod fact;
pub mod token;
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
pub mod config;
pub mod upstream;
pub mod telemetry;
pub mod proxy;
pub mod control;
pub mod cli;
