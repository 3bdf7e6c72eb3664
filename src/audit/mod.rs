//! The decision log: takes records of requests that have ended, and writes them down on a thread of its own.
//!
//! Nobody waits for it. What doesn't fit into the bounded queue is counted and the next line says how many were lost;
//! a request whose operation must be on record has its [`Place`] before it is forwarded, and is refused where there is
//! none. What a record holds is [`record`](crate::record)'s; when one is made is `proxy`'s. Beside decisions the log has
//! every set of files that was applied or refused ([`ConfigEvent`]).

pub mod chain;
mod event;
mod file;
mod maker;
mod open;
mod queue;
mod recent;
mod sink;
mod writer;

use std::io;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use self::event::{ConfigEvent, Happened};
pub use self::maker::key;
pub use self::queue::Place;
use self::queue::{Loss, Queue};
use self::recent::Recent;
use self::writer::{Message, Writer};
use crate::outcome::Outcome;
use crate::plumbing::DecisionsConfig;
use crate::record::Captured;
use crate::telemetry::Metrics;

/// How long a gateway that ends waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Takes what is to be written, from any thread.
#[derive(Debug)]
pub struct Log {
    queue: Arc<Queue>,
    recent: Arc<Recent>,
    /// None for a log that nobody reads.
    messages: Option<Sender<Message>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// A log that writes as `config` says, until it is told otherwise.
    pub fn start(config: &DecisionsConfig, metrics: Arc<Metrics>) -> io::Result<Arc<Self>> {
        let (sender, receiver) = channel();
        let queue = Arc::new(Queue::new(config, metrics));
        let recent = Arc::new(Recent::default());
        let writer = Writer::new(receiver, queue.clone(), recent.clone(), config.clone());
        let thread = std::thread::Builder::new().name("decisions".into()).spawn(move || writer.run())?;
        Ok(Arc::new(Self { queue, recent, messages: Some(sender), thread: Mutex::new(Some(thread)) }))
    }

    /// A log that writes nothing.
    #[must_use]
    pub fn nowhere(metrics: Arc<Metrics>) -> Arc<Self> {
        let queue = Arc::new(Queue::new(&DecisionsConfig::default(), metrics));
        Arc::new(Self { queue, recent: Arc::default(), messages: None, thread: Mutex::default() })
    }

    /// A place for what must be written; nothing where there is none, or where it is worth nothing because nothing can be written.
    #[must_use]
    pub fn reserve(&self, bytes: usize) -> Option<Place> {
        self.messages.as_ref()?;
        self.queue.reserve(bytes)
    }

    /// Has a request's record written. Never waits.
    pub fn decided(&self, captured: Box<Captured>, outcome: Outcome, place: Option<Place>) {
        let Some(messages) = &self.messages else { return };
        if place.is_none() && captured.snapshot.gateway.decisions.sink.is_none() {
            return self.recent.keep(*captured, outcome);
        }
        if place.is_none() && captured.is_of_nobody(&outcome.evidence) && !self.queue.takes_nobodys() {
            return self.queue.dropped(1, Loss::Nobodys);
        }
        let place = place.map(Place::ended).or_else(|| self.queue.place(captured.weight(&outcome.evidence)));
        let Some(place) = place else { return self.queue.dropped(1, Loss::Full) };
        if messages.send(Message::Decided(captured, Box::new(outcome), place)).is_err() {
            self.queue.dropped(1, Loss::Fault);
        }
    }

    /// Has it written that a set of files was applied or refused, and writes from now on as `config` says.
    pub fn configured(&self, event: ConfigEvent, config: &DecisionsConfig) {
        self.queue.want(config);
        self.tell(Message::Configured(Box::new(event)));
    }

    /// Opens its file anew, after somebody else has moved it.
    pub fn reopen(&self) {
        self.tell(Message::Reopen);
    }

    /// Waits until everything that was given to it so far is written, or for as long as the patience lasts.
    pub fn flush(&self, patience: Duration) {
        let (done, wait) = sync_channel(1);
        self.tell(Message::Flush(done));
        let _ = wait.recv_timeout(patience);
    }

    /// Writes what is left, and ends.
    pub fn end(&self) {
        self.queue.end();
        self.tell(Message::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some() {
            self.flush(LAST_LINES);
        }
        let lost = self.queue.waiting();
        if lost > 0 {
            tracing::error!(lost, "the decision log ended before everything was written");
        }
    }

    /// One of the last decisions, by the id that the caller was given: its line.
    #[must_use]
    pub fn recent(&self, id: &str) -> Option<Arc<str>> {
        self.recent.find(id)
    }

    /// How many wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    fn tell(&self, message: Message) {
        if let Some(messages) = &self.messages {
            let _ = messages.send(message);
        }
    }
}
