//! The thread that makes records, puts them into lines and writes those. What can't be written is tried again, and
//! meanwhile the queue takes what it has room for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;

use super::event::ConfigEvent;
use super::queue::{Loss, Place, Queue};
use super::recent::{Recent, Whose};
use super::sink::Drain;
use crate::outcome::Outcome;
use crate::plumbing::{CredentialSource, DecisionsConfig, Subject};
use crate::record::{Captured, Record, mirrored};

/// Most records that are written at once.
const BATCH: usize = 256;
/// How long it is waited before what failed is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A request has ended.
    Decided(Box<Captured>, Box<Outcome>, Place),
    /// A set of files was read.
    Configured(Box<ConfigEvent>),
    /// The file was moved.
    Reopen,
    /// Somebody waits until all before this is written.
    Flush(SyncSender<()>),
    /// The gateway ends.
    End,
}

/// What the thread has.
pub(super) struct Writer {
    messages: Receiver<Message>,
    queue: Arc<Queue>,
    recent: Arc<Recent>,
    config: DecisionsConfig,
    drain: Drain,
    key: Option<hmac::Key>,
    /// Facts that aren't shown, by revision and app.
    mirrored: Vec<(u64, String, Vec<Box<str>>)>,
    lines: Vec<String>,
    places: Vec<Place>,
    waiting: Vec<SyncSender<()>>,
    is_over: bool,
}

impl Writer {
    pub(super) fn new(
        messages: Receiver<Message>,
        queue: Arc<Queue>,
        recent: Arc<Recent>,
        config: DecisionsConfig,
    ) -> Self {
        Self {
            messages,
            queue,
            recent,
            drain: Drain::of(&config),
            key: told_key(&config),
            config,
            mirrored: Vec::new(),
            lines: Vec::new(),
            places: Vec::new(),
            waiting: Vec::new(),
            is_over: false,
        }
    }

    /// Runs until the gateway ends. A fault loses what was being written, is counted, and ends nothing else.
    pub(super) fn run(mut self) {
        while !self.is_over {
            if catch_unwind(AssertUnwindSafe(|| self.turn())).is_err() {
                let lost = u64::try_from(self.places.len().max(1)).unwrap_or(u64::MAX);
                self.queue.dropped(lost, Loss::Fault);
                self.lines.clear();
                self.places.clear();
            }
        }
        self.drain.sync();
    }

    /// Takes what there is, and writes it.
    fn turn(&mut self) {
        match self.messages.recv() {
            Ok(message) => self.take(message),
            // Nobody is left who could say anything.
            Err(_) => self.is_over = true,
        }
        while self.lines.len() < BATCH && !self.is_over {
            match self.messages.try_recv() {
                Ok(message) => self.take(message),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.is_over = true,
            }
        }
        self.write();
        for done in self.waiting.drain(..) {
            // Whoever waited may have given up.
            let _ = done.try_send(());
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Decided(captured, outcome, place) => {
                // Held first: where making the line fails, the place is given back all the same.
                self.places.push(place);
                let record = self.record(&captured, &outcome);
                let line = record.line();
                let whose = match captured.is_of_nobody(&outcome.evidence) {
                    true => Whose::Nobodys,
                    false => Whose::Known,
                };
                self.recent.hold(whose, (&record.decision_id, &line), self.config.recent);
                self.lines.push(line);
            }
            Message::Configured(event) => {
                self.write();
                self.adopt();
                self.lines.push(event.line(now()));
            }
            Message::Reopen => {
                self.write();
                self.drain.reopen();
                self.key = told_key(&self.config);
            }
            Message::Flush(done) => self.waiting.push(done),
            Message::End => self.is_over = true,
        }
    }

    /// Goes on as `[decisions]` says now.
    fn adopt(&mut self) {
        let Some(config) = self.queue.take_wanted().filter(|own| *own != self.config) else { return };
        if config.sink != self.config.sink || config.chain != self.config.chain {
            self.drain.sync();
            self.drain = Drain::of(&config);
        }
        self.key = told_key(&config);
        self.config = config;
    }

    fn record(&mut self, captured: &Captured, outcome: &Outcome) -> Record {
        let mut record = Record::of(captured, outcome);
        record.dropped_before = self.queue.take_lost();
        let config = &captured.snapshot.gateway.decisions;
        let key = &self.key;
        let hash = |name: &str| {
            let tag = hmac::sign(key.as_ref()?, name.as_bytes());
            let hex: String = tag.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            Some(format!("hmac:{hex}"))
        };
        let hidden = match &record.app {
            Some(app) => {
                self.mirrored.iter().position(|own| own.0 == captured.snapshot.revision && own.1 == *app)
            }
            None => None,
        };
        let hidden = match (hidden, &record.app) {
            (Some(at), _) => at,
            (None, None) => {
                record.erase(config, &[], &hash);
                return record;
            }
            (None, Some(app)) => {
                self.mirrored.retain(|own| own.0 + 1 >= captured.snapshot.revision);
                let own = captured.snapshot.app(app).map(mirrored).unwrap_or_default();
                self.mirrored.push((captured.snapshot.revision, app.clone(), own));
                self.mirrored.len() - 1
            }
        };
        let hidden = self.mirrored.get(hidden).map_or(&[][..], |own| &own.2);
        record.erase(config, hidden, &hash);
        record
    }

    /// Writes the lines, as often as it takes; a gateway that ends tries once more and gives up.
    fn write(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        loop {
            self.queue.writes();
            match self.drain.append(&self.lines, now()) {
                Ok(()) => {
                    if self.queue.is_failing() {
                        tracing::info!(to = self.drain.name(), "decisions are written again");
                    }
                    let count = u64::try_from(self.lines.len()).unwrap_or(u64::MAX);
                    self.queue.wrote(self.drain.name(), count);
                    break;
                }
                Err(why) => {
                    if self.queue.failed(self.drain.name()) {
                        tracing::error!(
                            to = self.drain.name(), %why,
                            "decisions can't be written: what must be on record is refused, the rest is lost once the queue is full"
                        );
                    }
                    if self.queue.is_ending() {
                        // Their places stay taken, so that it can be said how many they were.
                        std::mem::forget(std::mem::take(&mut self.places));
                        break;
                    }
                    std::thread::sleep(AGAIN);
                    self.drain.reopen();
                    self.adopt();
                }
            }
        }
        self.lines.clear();
        self.places.clear();
    }
}

/// The key that subjects are hashed with. Without one they aren't written at all.
fn told_key(config: &DecisionsConfig) -> Option<hmac::Key> {
    key(config).unwrap_or_else(|why| {
        tracing::error!(%why, "the key of [decisions] can't be used: no decision says whose it is");
        None
    })
}

/// Reads the key that subjects are hashed with, if they are; else says why it can't be used.
pub fn key(config: &DecisionsConfig) -> Result<Option<hmac::Key>, String> {
    let Subject::Hash(source) = &config.subject else { return Ok(None) };
    let secret = match source {
        CredentialSource::File(path) => read(path),
        // The value isn't in the error: not even one that isn't text.
        CredentialSource::Env(name) => {
            std::env::var(name).map_err(|_| format!("environment variable `{name}` isn't set, or isn't text"))
        }
    }?;
    match secret.trim_end_matches(['\r', '\n']) {
        own if own.len() < KEY_MIN_BYTES => Err(format!("it is shorter than {KEY_MIN_BYTES} bytes")),
        own => Ok(Some(hmac::Key::new(hmac::HMAC_SHA256, own.as_bytes()))),
    }
}

/// Shorter keys can be found by trying.
const KEY_MIN_BYTES: usize = 16;

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::try_from(SystemTime::now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}
