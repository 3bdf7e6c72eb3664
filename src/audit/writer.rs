//! The thread that has records made, puts them into lines and writes those. What can't be written is tried again, and
//! meanwhile the queue takes what it has room for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, SystemTime};

use super::event::ConfigEvent;
use super::maker::Maker;
use super::queue::{Loss, Place, Queue};
use super::recent::{Recent, Whose};
use super::sink::Drain;
use crate::outcome::Outcome;
use crate::plumbing::DecisionsConfig;
use crate::record::Captured;

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
    maker: Maker,
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
            maker: Maker::of(&config),
            config,
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
                let mut record = self.maker.record(&captured, &outcome);
                record.dropped_before = self.queue.take_lost();
                let line = record.line();
                let whose = Whose::of(&captured, &outcome);
                self.recent.hold(whose, (&record.decision_id, &line), self.config.recent);
                self.lines.push(line);
            }
            Message::Configured(event) => {
                self.write();
                self.adopt();
                // Else what was decided by rules that are gone would hold them.
                self.recent.write_down();
                self.lines.push(event.line(now()));
            }
            Message::Reopen => {
                self.write();
                self.drain.reopen();
                self.maker = Maker::of(&self.config);
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
        self.maker = Maker::of(&config);
        self.config = config;
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

fn now() -> jiff::Timestamp {
    jiff::Timestamp::try_from(SystemTime::now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}
