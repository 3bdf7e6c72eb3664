//! Everything that was compiled from the files, immutable, and the one pointer to it that moves.
//!
//! A request loads the pointer once and is judged by that snapshot to its end. Keys, health and counters aren't in
//! here but behind handles, so they outlive a reload. Only `control::reload` publishes.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::plumbing::GatewayConfig;
use crate::policy::{App, Operation};
use crate::route::RouteTable;
use crate::tenant::Directory;
use crate::token::Verifier;

/// An operation of an app, by their indices in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OperationRef {
    /// The app.
    pub app: usize,
    /// The operation in the app.
    pub operation: usize,
}

/// One compiled set of files.
#[derive(Debug)]
pub struct Snapshot {
    /// Its number since the start; the first is 1.
    pub revision: u64,
    /// SHA-256 over the files, in hex, so that replicas can be compared.
    pub hash: Arc<str>,
    /// What `gateway.toml` says.
    pub gateway: GatewayConfig,
    /// Who is trusted to say who is calling.
    pub verifier: Verifier,
    /// The tenants and organisations.
    pub directory: Directory,
    /// The apps, in the order of their files.
    pub apps: Box<[App]>,
    /// Where requests lead.
    pub routes: RouteTable<OperationRef>,
    /// The apps, by index, that have a rate for addresses.
    pub address_limited: Box<[usize]>,
    /// The apps, by index, that say what pages of other origins may do.
    pub cross_origin: Box<[usize]>,
}

impl Snapshot {
    /// The app and operation behind a reference.
    #[must_use]
    pub fn operation(&self, at: OperationRef) -> Option<(&App, &Operation)> {
        let app = self.apps.get(at.app)?;
        Some((app, app.operations.get(at.operation)?))
    }

    /// The app of this name.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&App> {
        self.apps.iter().find(|app| *app.name == *name)
    }
}

/// The pointer to the snapshot that judges now.
#[derive(Debug)]
pub struct Live(ArcSwap<Snapshot>);

impl Live {
    /// Starts with a snapshot.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    /// The snapshot of now; a request asks once.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Makes `next` the snapshot of all requests from now on.
    pub(crate) fn publish(&self, next: Snapshot) {
        self.0.store(Arc::new(next));
    }
}
