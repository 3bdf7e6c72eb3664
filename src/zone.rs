//! A clock on the wall: which month a moment falls in, where a tenant is, and how the moment is written there.
//!
//! The rules of all time zones are part of the program. Nothing here asks the machine what time it is, where it stands,
//! or for its files of zones: two gateways of one version agree.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::request::Timestamp;

/// A time zone by its IANA name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A month of a year, somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i16,
    month: i8,
}

/// The text is no month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a month is a year and a number, such as 2026-11")]
pub struct NoMonth;

impl Default for Zone {
    fn default() -> Self {
        Self::utc()
    }
}

impl Zone {
    /// The zone that needs no rules.
    #[must_use]
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The zone of this name, written as IANA writes it: one zone, one spelling.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let zone = Self(zones().get(name).ok()?);
        (zone.name() == name).then_some(zone)
    }

    /// Every name that there is.
    #[must_use]
    pub fn names() -> Vec<String> {
        zones().available().map(|name| name.as_str().to_owned()).collect()
    }

    /// What clocks and calendars show there.
    #[must_use]
    pub fn datetime(&self, at: jiff::Timestamp) -> jiff::civil::DateTime {
        self.0.to_datetime(at)
    }

    /// When clocks and calendars show this there; nothing beyond all calendars.
    #[must_use]
    pub fn instant(&self, there: jiff::civil::DateTime) -> Option<jiff::Timestamp> {
        self.0.to_timestamp(there).ok()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The month that `at` falls in.
    #[must_use]
    pub fn month(&self, at: Timestamp) -> Month {
        let date = self.0.to_datetime(moment(at)).date();
        Month { year: date.year(), month: date.month() }
    }

    /// `at` to the minute, as a clock there shows it: `2026-11-21 09:15`.
    #[must_use]
    pub fn minute(&self, at: Timestamp) -> String {
        let there = self.0.to_datetime(moment(at));
        format!(
            "{:04}-{:02}-{:02} {:02}:{:02}",
            there.year(),
            there.month(),
            there.day(),
            there.hour(),
            there.minute()
        )
    }
}

/// What is beyond all calendars counts as their last moment.
fn moment(at: Timestamp) -> jiff::Timestamp {
    let seconds = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}

fn zones() -> &'static TimeZoneDatabase {
    static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
    ZONES.get_or_init(TimeZoneDatabase::bundled)
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = NoMonth;

    fn from_str(text: &str) -> Result<Self, NoMonth> {
        let (year, month) = text.split_once('-').ok_or(NoMonth)?;
        let digits = |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(year, 4) || !digits(month, 2) {
            return Err(NoMonth);
        }
        let (year, month) = (year.parse().map_err(|_| NoMonth)?, month.parse().map_err(|_| NoMonth)?);
        if (1..=12).contains(&month) { Ok(Self { year, month }) } else { Err(NoMonth) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-10-31 23:30 UTC.
    const LATE: Timestamp = Timestamp(1_793_489_400);

    #[test]
    fn a_month_begins_where_the_tenant_is() {
        for (zone, month, clock) in [
            ("UTC", "2026-10", "2026-10-31 23:30"),
            ("Europe/London", "2026-10", "2026-10-31 23:30"),
            ("Europe/Berlin", "2026-11", "2026-11-01 00:30"),
            ("Asia/Kathmandu", "2026-11", "2026-11-01 05:15"),
            ("America/New_York", "2026-10", "2026-10-31 19:30"),
        ] {
            let zone = Zone::named(zone).unwrap();
            assert_eq!(zone.month(LATE).to_string(), month, "{zone:?}");
            assert_eq!(zone.minute(LATE), clock, "{zone:?}");
        }
        let summer = Timestamp(1_782_858_600); // 2026-06-30 22:30 UTC
        assert_eq!(Zone::named("Europe/London").unwrap().minute(summer), "2026-06-30 23:30");
    }

    #[test]
    fn a_zone_has_one_spelling() {
        for bad in ["europe/london", "Europe/Londno", "", "+01:00", "../etc/passwd", "EST5EDT4"] {
            assert_eq!(Zone::named(bad), None, "{bad}");
        }
        assert!(Zone::names().iter().any(|name| name == "Europe/London"));
        assert_eq!(Zone::named("UTC").map(|zone| zone.name().to_owned()).as_deref(), Some("UTC"));
    }

    #[test]
    fn no_moment_is_beyond_reading() {
        for at in [0, u64::MAX] {
            assert!(!Zone::utc().minute(Timestamp(at)).is_empty());
        }
    }

    #[test]
    fn months_are_read_as_they_are_written() {
        let month: Month = "2026-11".parse().unwrap();
        assert_eq!(month.to_string(), "2026-11");
        assert!("2026-12".parse::<Month>().unwrap() > month);
        assert!("2027-01".parse::<Month>().unwrap() > "2026-12".parse::<Month>().unwrap());
        for bad in ["", "2026", "2026-13", "2026-00", "2026-1", "26-11", "+026-11", "2026-11-01"] {
            assert_eq!(bad.parse::<Month>(), Err(NoMonth), "{bad}");
        }
    }
}
