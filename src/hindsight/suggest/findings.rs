//! What is concluded from a period: values for whoever prints them.

use std::sync::Arc;

/// Everything that there is to say.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Roles that nobody came with.
    pub absent: Vec<OfRole>,
    /// Grants that were of no use.
    pub unused: Vec<Unused>,
    /// Per role that somebody came with, the least that would have sufficed.
    pub least: Vec<Needed>,
    /// Conditions that stood against nobody.
    pub held: Vec<Held>,
    /// What was asked for in vain, again and again, the most frequent first.
    pub denied: Vec<Denied>,
    /// Requests for operations that these rules don't have any more.
    pub gone: u64,
}

/// A role of an app's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfRole {
    /// The app.
    pub app: Arc<str>,
    /// The role.
    pub role: Arc<str>,
    /// Where it stands.
    pub place: Arc<str>,
}

/// A grant that was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// The app.
    pub app: Arc<str>,
    /// The role.
    pub role: Arc<str>,
    /// What it is granted.
    pub permission: Arc<str>,
    /// Where the grant stands.
    pub place: Arc<str>,
    /// Why it was of no use.
    pub why: Why,
}

/// Why a grant was of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing that it permits was asked for by anyone with the role.
    NeverUsed,
    /// All that was asked for is permitted by what the role needs anyway.
    NotNeeded,
}

/// The least that would have sufficed for a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The app.
    pub app: Arc<str>,
    /// The role.
    pub role: Arc<str>,
    /// People who came with it, and their requests.
    pub people: usize,
    /// The requests that were allowed by it.
    pub requests: u64,
    /// What they needed.
    pub permissions: Vec<Used>,
    /// How much the role is granted.
    pub granted: usize,
}

/// A permission in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The permission.
    pub permission: Arc<str>,
    /// The requests that needed it.
    pub requests: u64,
    /// By so many people.
    pub people: usize,
}

/// A condition that stood against nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The app.
    pub app: Arc<str>,
    /// The role and the permission that it limits; none for a requirement.
    pub grant: Option<(Arc<str>, Arc<str>)>,
    /// Its name.
    pub condition: Box<str>,
    /// Where it stands.
    pub place: Arc<str>,
    /// Requests that it was met by.
    pub requests: u64,
    /// People.
    pub people: usize,
}

/// Something asked for in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The app.
    pub app: String,
    /// The operation.
    pub operation: String,
    /// The roles of those who asked.
    pub roles: Vec<String>,
    /// Why, in the reason's word.
    pub reason: String,
    /// The condition or requirement that stood against it.
    pub condition: Option<String>,
    /// How often.
    pub requests: u64,
    /// By so many people.
    pub people: usize,
    /// What would have let them in.
    pub repaired: Repaired,
}

/// What would have let someone in. Each of it is a widening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// A grant.
    Grant {
        /// Of this permission.
        permission: Arc<str>,
        /// The operations that it would permit beside.
        beside: Vec<String>,
    },
    /// The grant that there is, without the condition.
    Unconditional {
        /// To this role.
        role: String,
        /// Of this permission.
        permission: String,
    },
    /// No grant: a requirement, a tenant or a state stood against it.
    NoGrant,
    /// Nothing: the operation isn't there any more, or is reserved.
    Nothing,
}
