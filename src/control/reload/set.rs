//! One set of files on its way to being live: compiled whole, its issuers' keys tended, its things counted.

use std::sync::Arc;

use super::super::keys::Keyring;
use super::super::provision;
use crate::config::diagnostic::code;
use crate::config::{
    Carried, Compiled, Diagnostic, Diagnostics, FileKind, Sources, Span, Trust, compile, compile_unexpected,
};
use crate::snapshot::Snapshot;

/// What a set needs beside its files.
#[derive(Clone)]
pub struct Needs {
    /// Whose tokens count.
    pub trust: Arc<dyn Fn() -> Trust + Send + Sync>,
    /// What `gateway.toml` must say, where the plumbing isn't an operator's to change.
    pub fixed: Option<Arc<str>>,
    /// Who keeps the issuers' keys fresh.
    pub keyring: Arc<Keyring>,
}

impl Needs {
    /// Compiles a set. Its issuers have their keys before it can judge anything, where they come from a file; of the
    /// others those that were fetched before. Must be called on a runtime.
    pub(super) fn compile(
        &self,
        sources: &Sources,
        previous: Option<&Snapshot>,
    ) -> Result<Compiled, Diagnostics> {
        self.compiled(sources, previous, compile)
    }

    /// The same, though its files may expect something else of it.
    pub(super) fn compile_unexpected(
        &self,
        sources: &Sources,
        previous: Option<&Snapshot>,
    ) -> Result<Compiled, Diagnostics> {
        self.compiled(sources, previous, compile_unexpected)
    }

    fn compiled(
        &self,
        sources: &Sources,
        previous: Option<&Snapshot>,
        compile: fn(&Sources, Carried<'_>) -> Result<Compiled, Diagnostics>,
    ) -> Result<Compiled, Diagnostics> {
        self.is_as_started(sources)?;
        let trust = (self.trust)();
        let configured = matches!(trust, Trust::Configured);
        let compiled = compile(sources, Carried { previous, trust, now: Some(super::now()) })?;
        provision::read_all(sources, &compiled.snapshot.gateway, super::now())?;
        if configured {
            self.keyring.tend_all(&compiled.snapshot);
        }
        Ok(compiled)
    }

    /// Compiles rules that are tried out on the plumbing of the live ones: the keys and everything else are tended already.
    pub(in super::super) fn compile_beside(
        &self,
        sources: &Sources,
        live: &Snapshot,
    ) -> Result<Snapshot, Diagnostics> {
        let trust = (self.trust)();
        let carried = Carried { previous: Some(live), trust, now: Some(super::now()) };
        let snapshot = compile(sources, carried)?.snapshot;
        let (own, most) = (cells(&snapshot), CELLS_MAX.max(cells(live).saturating_mul(CELLS_OVER)));
        if own <= most {
            return Ok(snapshot);
        }
        let message =
            format!("{own} roles by permissions are more than a candidate may have beside these ({most})");
        let mut why = Diagnostics::default();
        why.push(Diagnostic::error(code::NOT_SUPPORTED, message));
        Err(why)
    }

    /// Whether the plumbing is what it must be, if it must be something.
    fn is_as_started(&self, sources: &Sources) -> Result<(), Diagnostics> {
        let Some(fixed) = &self.fixed else { return Ok(()) };
        let mut files = sources.files.iter().zip(0u32..);
        match files.find(|(file, _)| file.kind == FileKind::Gateway) {
            Some((file, _)) if *file.text == **fixed => Ok(()),
            found => {
                let message = "this gateway's own file can't be changed while it runs";
                let mut diagnostic = Diagnostic::error(code::NOT_SUPPORTED, message)
                    .help("files to start from: `gatewarden dev --eject DIR`");
                if let Some((_, file)) = found {
                    diagnostic = diagnostic.at(Span { file, start: 0, end: 0 }, "");
                }
                let mut diagnostics = Diagnostics::default();
                diagnostics.push(diagnostic);
                Err(diagnostics)
            }
        }
    }
}

/// Roles by permissions that a candidate may have in any case, and how many times those of the live set.
const CELLS_MAX: usize = 2_000_000;
const CELLS_OVER: usize = 4;

/// What comparing a set costs: every role with every permission, app by app.
fn cells(snapshot: &Snapshot) -> usize {
    let of = |app: &crate::policy::App| app.roles.len().saturating_mul(app.permissions.len());
    snapshot.apps.iter().map(of).fold(0, usize::saturating_add)
}

/// How much a snapshot holds of each kind of thing.
pub(super) fn loaded(snapshot: &Snapshot) -> [(&'static str, usize); 6] {
    let sum = |of: fn(&crate::policy::App) -> usize| snapshot.apps.iter().map(of).sum();
    [
        ("apps", snapshot.apps.len()),
        ("roles", sum(|app| app.roles.len())),
        ("permissions", sum(|app| app.permissions.len())),
        ("operations", sum(|app| app.operations.len())),
        ("conditions", sum(|app| app.conditions.len())),
        ("tenants", snapshot.directory.tenants().len()),
    ]
}

/// When grants of a snapshot end, soonest first: by app, the last day on which they hold, and that day's end in UTC.
pub(super) fn ends(snapshot: &Snapshot) -> Vec<(Arc<str>, String, i64)> {
    let end = |day: &jiff::civil::Date| {
        let next = day.tomorrow().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(next.timestamp().as_second())
    };
    let mut ends: Vec<_> = snapshot
        .apps
        .iter()
        .flat_map(|app| app.grants_end.iter().map(move |(day, _)| (app, day)))
        .filter_map(|(app, day)| Some((app.name.clone(), day.to_string(), end(day)?)))
        .collect();
    ends.sort_by(|a, b| (a.2, &a.0).cmp(&(b.2, &b.0)));
    ends.dedup();
    ends
}
