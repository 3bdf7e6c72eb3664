//! Tenants, the customers whose things are asked for, and organisations that they let in: data that conditions
//! read. Which of them a request acts for is `authorize`'s question.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;

use crate::fact::Literal;
use crate::seat::Seats;
use crate::spelling;
use crate::zone::Zone;

/// What is set for a tenant, by name.
pub type Settings = HashMap<Box<str>, Literal, foldhash::fast::RandomState>;

/// A customer.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name in the tenants file; the metric label.
    pub name: Arc<str>,
    /// The apps where it is a customer.
    pub apps: Box<[Box<str>]>,
    header: HeaderValue,
    ids: Literal,
    settings: Settings,
    seats: Seats,
    zone: Zone,
}

impl Tenant {
    /// A tenant with what it is called by tokens and what is set for it.
    #[must_use]
    pub fn new(name: Arc<str>, ids: Vec<Box<str>>, apps: Box<[Box<str>]>, settings: Settings) -> Self {
        let (seats, zone) = (Seats::default(), Zone::utc());
        Self { header: spelling::alone(&name), name, apps, ids: Literal::set(ids), settings, seats, zone }
    }

    /// The tenant with this many seats in each of its apps.
    #[must_use]
    pub fn with_seats(mut self, seats: Seats) -> Self {
        self.seats = seats;
        self
    }

    /// The tenant where clocks show this zone's time.
    #[must_use]
    pub fn with_zone(mut self, zone: Zone) -> Self {
        self.zone = zone;
        self
    }

    /// How many seats it has in each of its apps.
    #[must_use]
    pub fn seats(&self) -> Seats {
        self.seats
    }

    /// Where its days and months begin.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Its name, as upstreams are told.
    #[must_use]
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// A setting, or `ids`.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&Literal> {
        if name == "ids" { Some(&self.ids) } else { self.settings.get(name) }
    }

    /// The settings by name, in no order.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Literal)> {
        self.settings.iter().map(|(name, value)| (&**name, value))
    }

    /// Whether it is a customer of `app`.
    #[must_use]
    pub fn uses(&self, app: &str) -> bool {
        self.apps.iter().any(|own| **own == *app)
    }

    /// What tokens and headers call it.
    #[must_use]
    pub fn ids(&self) -> &[Box<str>] {
        match &self.ids {
            Literal::Set(ids) => ids,
            _ => &[],
        }
    }
}

/// Every tenant and organisation that the files name.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    tenants: Vec<Arc<Tenant>>,
    by_id: HashMap<Box<str>, Known>,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    Tenant(usize),
    Organisation,
}

impl Directory {
    /// A directory; an id belongs to one row, which the caller has made sure of.
    #[must_use]
    pub fn new(tenants: Vec<Arc<Tenant>>, organisations: impl IntoIterator<Item = Box<str>>) -> Self {
        let mut by_id: HashMap<_, _> =
            organisations.into_iter().map(|id| (id, Known::Organisation)).collect();
        for (index, tenant) in tenants.iter().enumerate() {
            by_id.extend(tenant.ids().iter().map(|id| (id.clone(), Known::Tenant(index))));
        }
        Self { tenants, by_id }
    }

    /// The tenant with this id, if it is a customer of `app`.
    #[must_use]
    pub fn customer(&self, id: &str, app: &str) -> Option<&Arc<Tenant>> {
        match self.by_id.get(id)? {
            Known::Tenant(index) => self.tenants.get(*index).filter(|tenant| tenant.uses(app)),
            Known::Organisation => None,
        }
    }

    /// The tenant of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.tenants.iter().find(|tenant| *tenant.name == *name)
    }

    /// Whether any tenant or organisation is known by this id.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Every id of a tenant or organisation, in no order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().map(|id| &**id)
    }

    /// Every tenant, in the order of the file.
    #[must_use]
    pub fn tenants(&self) -> &[Arc<Tenant>] {
        &self.tenants
    }
}
