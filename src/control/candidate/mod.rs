//! Candidate rules: where they come from, and whether there are any. A directory beside the rules, or files that an
//! operator sent, stand on top of the live set, so that one file alone can be tried. They are compiled anew whenever
//! either changes; a mistake in them is reported and touches nothing that is live.

mod endpoint;

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify};

pub(super) use self::endpoint::answer;
use super::reload::{InTurn, Needs, beside, blocking, now, short};
use super::sources;
use super::status::{Board, Refusal};
use crate::audit::{ConfigEvent, Happened, Log};
use crate::config::{Diagnostics, SourceFile, Sources};
use crate::request::Timestamp;
use crate::shadow::{Candidate, Shadow};
use crate::snapshot::{Live, Snapshot};
use crate::telemetry::{CandidateState, Metrics, Trigger};

/// Where candidates' revisions begin, so that none is ever a live one's.
const REVISIONS_FROM: u64 = 1 << 48;

/// Keeps candidate rules at what operators have written or sent.
pub struct Candidates {
    needs: Needs,
    live: Arc<Live>,
    board: Arc<Board>,
    shadow: Arc<Shadow>,
    metrics: Arc<Metrics>,
    turn: Mutex<Turn>,
    shown: ArcSwap<Shown>,
    log: OnceLock<Arc<Log>>,
    hints: Notify,
}

/// What only one at a time may change.
#[derive(Default)]
struct Turn {
    /// What an operator sent; it counts before what stands in a directory, and ends with the process.
    sent: Option<Vec<SourceFile>>,
    /// The tenants that an operator named while it runs; else those of `gateway.toml`.
    tenants: Option<Vec<Box<str>>>,
    /// The live set and the files that were looked at last.
    seen: Option<(u64, String)>,
    /// Candidates so far.
    count: u64,
    /// What is being written down.
    telling: InTurn,
}

/// Where a candidate came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    #[default]
    None,
    /// A directory beside the rules.
    Directory(String),
    /// An operator sent it.
    Sent,
}

/// The state of the candidate, for operators.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// How it is.
    pub state: CandidateState,
    /// Where it came from.
    pub origin: Origin,
    /// Its own files; all others are the live set's.
    pub files: Vec<SourceFile>,
    /// The hash of the whole set.
    pub hash: String,
    /// The live set that it stands on top of.
    pub over: u64,
    /// What is wrong with it.
    pub refusal: Option<Refusal>,
    /// Since when.
    pub since: Timestamp,
    /// The tenants whose requests it answers.
    pub tenants: Vec<Box<str>>,
    /// Those of them that there aren't.
    pub unknown_tenants: Vec<Box<str>>,
}

impl Candidates {
    /// None yet.
    pub(super) fn new(
        needs: Needs,
        (live, board): (Arc<Live>, Arc<Board>),
        shadow: Arc<Shadow>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (turn, shown) = (Mutex::default(), ArcSwap::default());
        let (log, hints) = (OnceLock::new(), Notify::new());
        Arc::new(Self { needs, live, board, shadow, metrics, turn, shown, log, hints })
    }

    /// Has every change of it written to the decision log.
    pub(super) fn writing_to(&self, log: Arc<Log>) {
        let _ = self.log.set(log);
    }

    /// Whether operators may send rules and name tenants while it runs.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.live.load().gateway.candidate.remote
    }

    /// The state of now.
    #[must_use]
    pub fn shown(&self) -> Arc<Shown> {
        self.shown.load_full()
    }

    /// The candidate that is judged by, if there is one.
    #[must_use]
    pub fn standing(&self) -> Option<Arc<Candidate>> {
        self.shadow.candidate()
    }

    /// Something may have changed: it is looked at soon.
    pub(super) fn hint(&self) {
        self.hints.notify_one();
    }

    /// Looks now, and after every hint.
    pub(super) async fn tend(self: Arc<Self>) {
        self.look(Trigger::Start).await;
        loop {
            self.hints.notified().await;
            self.look(Trigger::Watch).await;
        }
    }

    /// Leaves its tasks to another process, which knows nothing of what was sent and said to this one.
    pub async fn hand_over(&self) {
        let mut turn = self.turn.lock().await;
        if turn.sent.is_none() && turn.tenants.is_none() {
            return;
        }
        tracing::warn!(
            sent = turn.sent.is_some(),
            tenants = turn.tenants.is_some(),
            "the candidate that was sent and the tenants that were named while it ran are dropped: send them again"
        );
        if turn.sent.is_some() {
            self.shadow.stand(None);
        }
        (turn.sent, turn.tenants, turn.seen) = (None, None, None);
        self.look_in(&mut turn, Trigger::Signal).await;
    }

    /// Looks at the live set and at the candidate's files, and has decisions judged by what they are now.
    pub async fn look(&self, trigger: Trigger) {
        self.look_in(&mut *self.turn.lock().await, trigger).await;
    }

    /// Takes files for the candidate, in place of any others; `None` takes back what was sent.
    pub async fn send(self: &Arc<Self>, files: Option<Vec<SourceFile>>) {
        let own = self.clone();
        // It isn't broken off in the middle because the sender leaves.
        let sent = tokio::spawn(async move {
            let mut turn = own.turn.lock().await;
            turn.sent = files;
            turn.seen = None;
            own.look_in(&mut turn, Trigger::Admin).await;
        });
        let _ = sent.await;
    }

    /// Names the tenants whose requests the candidate answers; `None` for those of `gateway.toml`.
    pub async fn answer_for(self: &Arc<Self>, tenants: Option<Vec<Box<str>>>) {
        let own = self.clone();
        let named = tokio::spawn(async move {
            let mut turn = own.turn.lock().await;
            turn.tenants = tenants;
            own.look_in(&mut turn, Trigger::Admin).await;
        });
        let _ = named.await;
    }

    async fn look_in(&self, turn: &mut Turn, trigger: Trigger) {
        let before = self.shown();
        self.find(turn).await;
        let now = self.shown();
        if !Arc::ptr_eq(&before, &now) {
            self.write(turn, &before, &now, trigger);
        }
    }

    async fn find(&self, turn: &mut Turn) {
        let live = self.live.load();
        let status = self.board.read();
        if status.revision != live.revision {
            // It is being published just now, and looked at again when that is done.
            return;
        }
        if !live.gateway.candidate.remote && (turn.sent.is_some() || turn.tenants.is_some()) {
            tracing::warn!("`[candidate] remote` is off: what was sent or said to this gateway is dropped");
            (turn.sent, turn.tenants, turn.seen) = (None, None, None);
        }
        let tenants = turn.tenants.clone().unwrap_or_else(|| live.gateway.candidate.tenants.clone());
        let (origin, reading) = self.files(turn, &live).await;
        let found = (live.revision, sources::fingerprint(&reading));
        let before = self.shown();
        if turn.seen.as_ref() == Some(&found) && before.origin == origin {
            return self.answer_others(&before, tenants, &live);
        }
        turn.seen = Some(found);
        let unknown_tenants = unknown(&tenants, &live);
        let over = live.revision;
        let shown = Shown { origin, over, since: now(), tenants, unknown_tenants, ..Shown::default() };
        let files = match reading {
            Ok(own) => own.files,
            Err(why) => return self.reject(shown, Refusal::of(&Sources::default(), &why, now())),
        };
        let sources = Arc::new(sources::overlaid(&status.sources, &files));
        let shown = Shown { hash: sources.hash.clone(), files, ..shown };
        if shown.files.is_empty() || sources.hash == status.hash {
            let state = if shown.files.is_empty() { CandidateState::None } else { CandidateState::Same };
            return self.leave(Shown { state, ..shown });
        }
        turn.count += 1;
        self.compile(shown, &sources, live, turn.count).await;
    }

    async fn compile(&self, shown: Shown, sources: &Arc<Sources>, live: Arc<Snapshot>, count: u64) {
        let (needs, input, beside) = (self.needs.clone(), sources.clone(), live.clone());
        let compiled = blocking(move || needs.compile_beside(&input, &beside)).await;
        match compiled.and_then(|compiled| compiled) {
            Ok(mut snapshot) => {
                snapshot.revision = REVISIONS_FROM + count;
                let candidate = Candidate::new(Arc::new(snapshot), &live).answering(&shown.tenants);
                self.judge_by(Shown { state: CandidateState::Judged, ..shown }, candidate);
            }
            Err(mut why) => {
                why.sort();
                let refusal = Refusal::of(sources, &why, now());
                self.reject(shown, refusal);
            }
        }
    }

    /// The candidate's own files, and where they are from.
    async fn files(&self, turn: &Turn, live: &Snapshot) -> (Origin, Result<Sources, Diagnostics>) {
        if let Some(files) = &turn.sent {
            return (Origin::Sent, Ok(sources::of(files.clone())));
        }
        let directory = live.gateway.candidate.rules.clone();
        let origin = Origin::Directory(directory.to_string_lossy().into_owned());
        let seen = turn.seen.as_ref().map(|(_, mark)| mark.clone());
        let reading = blocking(move || {
            let look = || sources::read_optional(&directory);
            let first = look();
            // Nothing, or nothing new, needs no second look.
            let is_known = Some(sources::fingerprint(&first)) == seen;
            let is_empty = matches!(&first, Ok(found) if found.files.is_empty());
            if is_known || is_empty { first } else { sources::steady(look, std::thread::sleep) }
        });
        match reading.await.and_then(|reading| reading) {
            Ok(own) if own.files.is_empty() => (Origin::None, Ok(own)),
            other => (origin, other),
        }
    }

    /// The same rules, perhaps for others.
    fn answer_others(&self, before: &Shown, tenants: Vec<Box<str>>, live: &Snapshot) {
        if before.tenants == tenants {
            return;
        }
        if let Some(candidate) = self.shadow.candidate() {
            tracing::info!(tenants = tenants.join(", "), "candidate rules answer these tenants");
            self.shadow.stand(Some(Arc::new(candidate.answering(&tenants))));
        }
        let unknown_tenants = unknown(&tenants, live);
        self.shown.store(Arc::new(Shown { tenants, unknown_tenants, ..before.clone() }));
    }

    fn judge_by(&self, shown: Shown, candidate: Candidate) {
        tracing::info!(
            hash = short(&shown.hash),
            live = self.live.load().revision,
            files = names(&shown.files),
            from = shown.origin.as_str(),
            tenants = shown.tenants.join(", "),
            "candidate rules are judged beside the live ones"
        );
        self.metrics.candidate_is(shown.state, Some(&shown.hash));
        self.shadow.stand(Some(Arc::new(candidate)));
        self.shown.store(Arc::new(shown));
    }

    fn reject(&self, shown: Shown, refusal: Refusal) {
        tracing::error!(
            hash = refusal.hash.as_deref().map_or("unreadable", short),
            errors = refusal.errors,
            first = refusal.first,
            from = shown.origin.as_str(),
            "candidate rules rejected: nothing is judged by them, the live ones aren't concerned"
        );
        self.shadow.stand(None);
        let state = CandidateState::Rejected;
        self.metrics.candidate_is(state, None);
        self.shown.store(Arc::new(Shown { state, refusal: Some(refusal), since: now(), ..shown }));
    }

    fn leave(&self, shown: Shown) {
        if self.shown().state != shown.state {
            match shown.state {
                CandidateState::Same => tracing::info!("candidate rules are what is live: nothing to judge"),
                _ => tracing::info!("there are no candidate rules any more"),
            }
        }
        self.shadow.stand(None);
        self.metrics.candidate_is(shown.state, None);
        self.shown.store(Arc::new(shown));
    }

    /// Writes down what became of it, after what was written before. Nobody waits for that.
    fn write(&self, turn: &mut Turn, before: &Shown, now: &Shown, trigger: Trigger) {
        let is_same = now.state == before.state && now.hash == before.hash && now.tenants == before.tenants;
        let is_known = is_same && now.over == before.over && now.refusal == before.refusal;
        let is_something = |own: &Shown| own.state != CandidateState::None;
        let is_of_note = !is_known && (is_something(before) || is_something(now));
        let Some(log) = self.log.get().filter(|_| is_of_note) else {
            return;
        };
        let (log, live) = (log.clone(), self.live.load());
        let candidate = self.shadow.candidate().filter(|own| own.over == live.revision);
        let mut event = ConfigEvent {
            happened: Happened::Candidate {
                state: now.state.as_str(),
                from: now.origin.as_str().to_owned(),
                tenants: now.tenants.clone(),
            },
            trigger,
            revision: live.revision,
            hash: (!now.hash.is_empty()).then(|| now.hash.clone()),
            was: Some(live.hash.to_string()),
            errors: now.refusal.as_ref().map_or(0, |own| own.errors),
            first: now.refusal.as_ref().map(|own| own.first.clone()),
            diff: None,
        };
        turn.telling.then(async move {
            if let Some(candidate) = candidate {
                let found = beside(live.clone(), candidate.snapshot.clone()).await;
                event.diff = found.map(|own| own.to_record());
            }
            log.configured(event, &live.gateway.decisions);
        });
    }

    /// The state in short, as a part of `/rules`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.shown().to_json()
    }
}

impl Origin {
    fn as_str(&self) -> &str {
        match self {
            Self::None => "",
            Self::Directory(path) => path,
            Self::Sent => "sent",
        }
    }
}

impl Shown {
    fn to_json(&self) -> Value {
        let file =
            |file: &SourceFile| json!({ "path": *file.path, "sha256": sources::file_hash(&file.text) });
        let (from, directory) = match &self.origin {
            Origin::None => (Value::Null, Value::Null),
            Origin::Directory(path) => ("directory".into(), path.as_str().into()),
            Origin::Sent => ("sent".into(), Value::Null),
        };
        let is_there = self.state != CandidateState::None;
        json!({
            "state": self.state.as_str(),
            "from": from,
            "directory": directory,
            "hash": is_there.then_some(&self.hash),
            "over": is_there.then_some(self.over),
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
            "since": is_there.then_some(self.since.0),
            "last_error": self.refusal.as_ref().map(Refusal::to_json),
            "tenants": self.tenants,
            "unknown_tenants": self.unknown_tenants,
        })
    }
}

fn unknown(tenants: &[Box<str>], live: &Snapshot) -> Vec<Box<str>> {
    let unknown = tenants.iter().filter(|name| live.directory.named(name).is_none());
    unknown.cloned().collect()
}

fn names(files: &[SourceFile]) -> String {
    files.iter().map(|file| sources::file_name(&file.path)).collect::<Vec<_>>().join(", ")
}
