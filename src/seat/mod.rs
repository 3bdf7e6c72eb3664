//! Licence seats: who takes one, how many there are, and what follows when there are more people than seats.
//!
//! Two numbers are counted for each tenant in each app. *Named*: people who were let in this month; a seat is held to the
//! month's end, where the tenant is. *Concurrent*: people who were let in during the same quarter of an hour; the month's
//! peak is kept. [`Book`] counts; who remembers books, and writes them down, is `ledger`'s business. That an operation
//! takes a seat is for the rules to say.

mod book;
mod report;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

pub use book::{Book, Current, PAST_MONTHS, Peak, Standing, Summary, Tally};
pub use report::{Row, Seating, rows_to_json};

use crate::request::Timestamp;
use crate::zone::Zone;

/// Most people that one book remembers, and the highest number of seats.
pub const PERSONS_MAX: usize = 100_000;
/// How long "at the same time" is, in seconds. Every zone's months begin where one of these does.
pub const WINDOW_S: u64 = 15 * 60;

/// A person, as far as seats are concerned: a digest, so that no name and no id is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId([u8; 16]);

/// How many seats a tenant has in each of its apps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seats {
    /// People in a month; `None` is counted and never over.
    pub named: Option<u32>,
    /// People in the same quarter of an hour; `None` is counted and never over.
    pub concurrent: Option<u32>,
    /// What happens to those for whom there is no seat.
    pub over: Over,
}

/// What happens to a person for whom there is no seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Over {
    /// Let in, counted and reported.
    #[default]
    Report,
    /// Refused, and not counted.
    Refuse,
}

/// Which of the two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// People in a month.
    Named,
    /// People in the same quarter of an hour.
    Concurrent,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seated {
    /// The person has a seat: one of those paid for, or one that was reported when it was taken.
    Held,
    /// The person was let in just now though there was no seat, which is to be reported. Said once for a person: of a named
    /// seat once in the month, of a concurrent one once in a quarter of an hour.
    Over(Which),
    /// There is no seat, and the tenant says that nobody comes in without one.
    Refused(Which),
}

/// Someone who is to be let in asks for a seat.
#[derive(Clone, Debug)]
pub struct SeatClaim {
    /// The licensor: the acting tenant's name.
    pub tenant: Arc<str>,
    /// The app.
    pub app: Arc<str>,
    /// Who.
    pub person: PersonId,
    /// When.
    pub at: Timestamp,
    /// How many seats there are.
    pub seats: Seats,
    /// Where the tenant's months begin.
    pub zone: Zone,
}

impl PersonId {
    /// The person whom `issuer` knows in `organisation` (the token's `tid`, or nothing where the issuer has only one) as
    /// `subject`. Lengths are part of what is digested, so that no two people run together.
    #[must_use]
    pub fn of(issuer: &str, organisation: &str, subject: &str) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [issuer, organisation, subject] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut id = [0; 16];
        id.iter_mut().zip(context.finish().as_ref()).for_each(|(own, byte)| *own = *byte);
        Self(id)
    }

    /// The person behind 32 hexadecimal digits, as [`PersonId`] is written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain =
            text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let value = u128::from_str_radix(text, 16).ok().filter(|_| plain)?;
        Some(Self(value.to_be_bytes()))
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Seats {
    /// The number of this kind, if there is one.
    #[must_use]
    pub fn limit(&self, which: Which) -> Option<u32> {
        match which {
            Which::Named => self.named,
            Which::Concurrent => self.concurrent,
        }
    }
}

impl Over {
    /// The words that a tenants file may say.
    pub const ALL: [Self; 2] = [Self::Report, Self::Refuse];

    /// The word in files, metrics and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Refuse => "refuse",
        }
    }

    /// What becomes of a person for whom there is no seat of this kind.
    #[must_use]
    pub fn seated(self, which: Which) -> Seated {
        match self {
            Self::Report => Seated::Over(which),
            Self::Refuse => Seated::Refused(which),
        }
    }
}

impl Which {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Named, Self::Concurrent];

    /// The word in files, metrics and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Concurrent => "concurrent",
        }
    }
}
