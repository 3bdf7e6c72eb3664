//! Who may do what: conditions, grants and the decision over them. Text is `config`'s; identity and tenant are
//! found before a decision is asked for.

pub mod condition;
pub mod cors;
mod decide;
mod facts;
mod grant;
mod known;
pub mod limit;
pub mod lookup;
pub mod obligation;
pub mod socket;

pub use condition::{Condition, Leaf, Named, Operand, Operator, Tester, Truth};
pub use decide::{
    Decision, Denial, Granted, Open, RoleSet, Standing, decide, holds_one, prove, require, test,
};
pub use facts::Facts;
pub use grant::{
    Access, App, Grant, Obligations, Operation, Permission, PermissionId, Requirement, Role, RoleClaims,
    StepUp, TenantRule, Term,
};
pub use known::{Known, LOOK_UPS_MAX, Missed, Needs, Stage, Trail};

/// What becomes of the caller's own token towards the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenHandling {
    /// It is passed on.
    Pass,
    /// It is removed.
    Strip,
}
