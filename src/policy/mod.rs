//! Who may do what: conditions, grants and the decision over them. Text is `config`'s; identity and tenant are
//! found before a decision is asked for.

pub mod condition;
mod decide;
mod facts;
mod grant;
pub mod lookup;

pub use condition::{Condition, Leaf, Named, Operand, Operator, Truth};
pub use decide::{Decision, Denial, Granted, RoleSet, decide, test};
pub use facts::Facts;
pub use grant::{
    Access, App, Grant, Operation, Permission, PermissionId, Requirement, Role, RoleClaims, StepUp,
    TenantRule,
};

/// What becomes of the caller's own token towards the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenHandling {
    /// It is passed on.
    Pass,
    /// It is removed.
    Strip,
}
