//! Rates: how many requests may come at once, and how many over time.
//!
//! A [`Bucket`] holds tokens that come back one by one; a request takes one, and where there is none it is refused. It is
//! written down as one moment, that at which the bucket is full again: a full bucket is one that needn't be remembered.
//! Time is an argument, on a clock that only this process reads. Who remembers buckets, and how many, is `ledger`'s
//! business; whom a rate holds for is for the rules to say.

mod bucket;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

pub use bucket::{Bucket, Moment, Wait};

use crate::seat::PersonId;

/// The highest number of a rate, and of a burst.
pub const NUMBER_MAX: u32 = 1_000_000;
/// The part of an IPv6 address that one customer of a network has to himself.
const NETWORK_BITS: u32 = 64;

/// So many requests in so much time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    per: Per,
    burst: u32,
}

/// What a rate counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// `/s`.
    Second,
    /// `/m`.
    Minute,
    /// `/h`.
    Hour,
}

impl Per {
    /// The unit of this letter.
    #[must_use]
    pub fn parse(letter: &str) -> Option<Self> {
        [Self::Second, Self::Minute, Self::Hour].into_iter().find(|own| own.as_str() == letter)
    }

    /// The letter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }

    fn nanos(self) -> u64 {
        const SECOND: u64 = 1_000_000_000;
        match self {
            Self::Second => SECOND,
            Self::Minute => 60 * SECOND,
            Self::Hour => 3600 * SECOND,
        }
    }
}

impl Rate {
    /// A rate; nothing where a number is zero or beyond [`NUMBER_MAX`].
    #[must_use]
    pub fn new(count: u32, per: Per, burst: u32) -> Option<Self> {
        let fits = |number: u32| (1..=NUMBER_MAX).contains(&number);
        (fits(count) && fits(burst)).then_some(Self { count, per, burst })
    }

    /// How many may come at once.
    #[must_use]
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// Nanoseconds until the next token: rounded up, so that never more come than the rate says.
    #[must_use]
    pub fn interval(self) -> u64 {
        self.per.nanos().div_ceil(u64::from(self.count.max(1)))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} burst {}", self.count, self.per.as_str(), self.burst)
    }
}

/// Whom a rate holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Each address that requests come from.
    Address,
    /// Each acting tenant.
    Tenant,
    /// Each person, by way of a role.
    Role,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Address, Self::Tenant, Self::Role];

    /// The word for metrics and logs, where one was reached.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Address => "limit-address",
            Self::Tenant => "limit-tenant",
            Self::Role => "limit-role",
        }
    }
}

/// A rate of an app's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Whom it holds for.
    pub kind: Kind,
    /// The rate.
    pub rate: Rate,
    /// Tells it apart from all others. The same line of a file has the same id in the next set of files, so that its
    /// buckets stay.
    pub id: u64,
    /// Where it stands.
    pub place: Arc<str>,
}

impl Limit {
    /// A rate of this app, and of this role if it is a role's.
    #[must_use]
    pub fn new(app: &str, kind: Kind, role: &str, rate: Rate, place: Arc<str>) -> Self {
        let mut id = DefaultHasher::new();
        (app, kind, role, rate).hash(&mut id);
        Self { kind, rate, id: id.finish(), place }
    }
}

/// Who has a bucket of his own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An address, or the network that is one customer's.
    Address(IpAddr),
    /// A tenant, by name.
    Tenant(Arc<str>),
    /// A person.
    Person(PersonId),
    /// All those together for whom there is no room.
    Others,
}

impl Subject {
    /// Whoever sends from an address.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(customer(address))
    }
}

/// The address that stands for all that its owner may have. IPv6 comes in networks of 64 bits: whoever has one address has
/// them all.
#[must_use]
pub fn customer(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(own) => IpAddr::V6(Ipv6Addr::from_bits(own.to_bits() & !(u128::MAX >> NETWORK_BITS))),
    }
}

/// A token that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of which rate.
    pub limit: Arc<Limit>,
    /// Of whose bucket.
    pub subject: Subject,
}

/// What a request that is to be permitted costs: a token of the tenant's and a token of one of the person's roles, as
/// far as there are rates for them. All of it, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetClaim {
    /// The tenant's.
    pub tenant: Option<Wanted>,
    /// The roles', of which one suffices; none where some role lets the person do it without a rate.
    pub roles: Vec<Wanted>,
}

impl BudgetClaim {
    /// Whether it costs nothing.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.tenant.is_none() && self.roles.is_empty()
    }
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Budgeted {
    /// There were tokens, and they are taken.
    Within,
    /// There was none, and nothing is taken.
    Over {
        /// Of which kind.
        kind: Kind,
        /// Seconds until there is one.
        wait_s: u32,
        /// Where the rate stands; of several roles' the one with the shortest wait.
        place: Arc<str>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_of_a_network_has_one_bucket() {
        let of = |text: &str| Subject::of_address(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_limit_is_the_same_as_long_as_its_text_is() {
        let rate = |count, burst| Rate::new(count, Per::Second, burst).unwrap();
        let limit = |app, kind, role, rate| Limit::new(app, kind, role, rate, "x".into()).id;
        let first = limit("desk", Kind::Role, "agent", rate(10, 10));
        assert_eq!(first, limit("desk", Kind::Role, "agent", rate(10, 10)));
        for other in [
            limit("desk", Kind::Role, "agent", rate(10, 20)),
            limit("desk", Kind::Role, "boss", rate(10, 10)),
            limit("desk", Kind::Tenant, "agent", rate(10, 10)),
            limit("till", Kind::Role, "agent", rate(10, 10)),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_rate_is_neither_nothing_nor_everything() {
        for (count, burst) in [(0, 1), (1, 0), (NUMBER_MAX + 1, 1), (1, NUMBER_MAX + 1)] {
            assert_eq!(Rate::new(count, Per::Hour, burst), None);
        }
        assert_eq!(Rate::new(7, Per::Second, 1).unwrap().interval(), 142_857_143, "rounded up");
    }
}
