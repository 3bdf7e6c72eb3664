//! Where lines go.

use std::io::{self, Write};

use super::chain;
use super::file::LogFile;
use crate::plumbing::{Chain, DecisionsConfig, Sink};

/// An open sink.
#[derive(Debug)]
pub(super) enum Drain {
    File(LogFile),
    Stdout {
        chain: Chain,
        last: Option<String>,
    },
    /// Only the last few are held in memory.
    Nowhere,
}

impl Drain {
    pub(super) fn of(config: &DecisionsConfig) -> Self {
        match &config.sink {
            Some(Sink::File { path, rotate }) => Self::File(LogFile::new(path, *rotate, config.chain)),
            Some(Sink::Stdout) => Self::Stdout { chain: config.chain, last: None },
            None => Self::Nowhere,
        }
    }

    /// The label.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Stdout { .. } => "stdout",
            Self::Nowhere => "memory",
        }
    }

    /// Writes lines, all or none.
    pub(super) fn append(&mut self, lines: &[String], now: jiff::Timestamp) -> io::Result<()> {
        match self {
            Self::File(file) => file.append(lines, now),
            Self::Stdout { chain, last } => {
                let mut text = String::new();
                let mut value = last.clone();
                let begins = (*chain == Chain::Yes && last.is_none()).then(|| chain::beginning(None, now));
                for line in begins.iter().chain(lines) {
                    match chain {
                        Chain::No => text += line,
                        Chain::Yes => {
                            let (sealed, next) =
                                chain::seal(value.as_deref().unwrap_or(chain::GENESIS), line);
                            text += &sealed;
                            value = Some(next);
                        }
                    }
                    text.push('\n');
                }
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()?;
                *last = value;
                Ok(())
            }
            Self::Nowhere => Ok(()),
        }
    }

    pub(super) fn reopen(&mut self) {
        if let Self::File(file) = self {
            file.reopen();
        }
    }

    pub(super) fn sync(&self) {
        if let Self::File(file) = self {
            file.sync();
        }
    }
}
