//! How a gateway ends and how another one takes its place, without a request lost.

mod descriptors;
mod farewell;
mod handover;
mod load;
mod service;
mod streams;

use std::process::Command;

use crate::process::{Files, Process, signal};
use crate::support::eventually;

/// A gateway whose successors end with the test.
struct Line(Process);

impl Line {
    fn start(files: Files) -> Self {
        Self(Process::start(files))
    }

    /// The process ids of those that were started in its place, in order.
    fn successors(&self) -> Vec<u32> {
        let log = self.0.log();
        let lines = log.lines().filter(|line| line.contains("starting a new process"));
        lines.map(|line| after(line, "pid=").parse().unwrap()).collect()
    }

    /// Asks the newest to be replaced, and waits until it is.
    #[track_caller]
    fn replace(&self, newest: u32) -> u32 {
        let before = self.count("another process serves from now on");
        signal("USR2", newest);
        eventually("another process to serve", || self.count("another process serves from now on") > before);
        *self.successors().last().unwrap()
    }

    fn count(&self, part: &str) -> usize {
        self.0.log().matches(part).count()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for pid in self.successors() {
            let _ = Command::new("sh").args(["-c", &format!("kill -9 {pid} 2>/dev/null")]).status();
        }
    }
}

/// What stands between a key and the next blank.
fn after<'l>(line: &'l str, key: &str) -> &'l str {
    line.split(key).nth(1).unwrap().split(' ').next().unwrap()
}
