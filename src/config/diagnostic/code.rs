//! The codes of mistakes and remarks. A code is never reused: whoever looked one up years ago finds the same thing. Each has
//! its page in `config::codes`.

use super::Code;

/// The file isn't TOML.
pub const SYNTAX: Code = Code("GW0001");
/// A key that means nothing here.
pub const UNKNOWN_KEY: Code = Code("GW1001");
/// A value of another type than expected.
pub const WRONG_TYPE: Code = Code("GW1002");
/// A key that must be there isn't.
pub const MISSING: Code = Code("GW1003");
/// A value of the right type that makes no sense.
pub const BAD_VALUE: Code = Code("GW1004");
/// A table in the wrong place: a cut-off file could grant more than the whole one.
pub const ORDER: Code = Code("GW1005");
/// Part of the grammar that this version doesn't enforce, so it refuses to load it.
pub const NOT_SUPPORTED: Code = Code("GW1006");
/// A condition's text that can't be read.
pub const CONDITION: Code = Code("GW1007");
/// A route that can't be read.
pub const ROUTE: Code = Code("GW1008");
/// A look-up that can't be asked.
pub const LOOK_UP: Code = Code("GW1009");
/// A socket that can't be opened, or an event that can't be sent on it.
pub const SOCKET: Code = Code("GW1010");
/// A rate that can't be read.
pub const RATE: Code = Code("GW1011");
/// An origin, or another word about pages of other origins, that can't be meant so.
pub const CORS: Code = Code("GW1012");
/// A condition that isn't declared.
pub const UNKNOWN_CONDITION: Code = Code("GW2001");
/// A resource that isn't declared.
pub const UNKNOWN_RESOURCE: Code = Code("GW2002");
/// A fact that isn't declared.
pub const UNKNOWN_FACT: Code = Code("GW2003");
/// A scope that the resource doesn't have.
pub const UNKNOWN_SCOPE: Code = Code("GW2004");
/// A role that isn't declared.
pub const UNKNOWN_ROLE: Code = Code("GW2005");
/// A tenant or organisation that isn't declared.
pub const UNKNOWN_TENANT: Code = Code("GW2006");
/// An issuer that `gateway.toml` doesn't have.
pub const UNKNOWN_ISSUER: Code = Code("GW2007");
/// An app that no rule file is for.
pub const UNKNOWN_APP: Code = Code("GW2008");
/// An operation that no resource names.
pub const UNKNOWN_OPERATION: Code = Code("GW2009");
/// A name that differs from another in its spelling alone.
pub const NEAR_DUPLICATE: Code = Code("GW2010");
/// The same thing declared twice.
pub const DUPLICATE: Code = Code("GW3001");
/// Two apps claim the same paths.
pub const OVERLAP: Code = Code("GW3002");
/// One template under two parameter names.
pub const PARAMETER_NAMES: Code = Code("GW3003");
/// No upstream serves the route.
pub const NO_UPSTREAM: Code = Code("GW3004");
/// A matrix row and its routes don't fit each other.
pub const MATRIX: Code = Code("GW3005");
/// A reading that nothing in the file bears out.
pub const STALE_READING: Code = Code("GW3006");
/// Types that can't be compared.
pub const TYPES: Code = Code("GW3007");
/// An obligation that can't be carried out as it is written.
pub const OBLIGATION: Code = Code("GW3008");
/// An operation that a rule refuses to everyone, or a rule that reaches nothing.
pub const UNREACHABLE: Code = Code("GW3009");
/// Routes that two apps claim and are judged under each.
pub const SHARED_ROUTES: Code = Code("GW3010");
/// A route that no path leads to.
pub const UNREACHABLE_ROUTE: Code = Code("GW3011");
/// Paths that two routes fit.
pub const AMBIGUOUS_ROUTE: Code = Code("GW3012");
/// A condition that says the same whatever the facts are.
pub const CONSTANT: Code = Code("GW3013");
/// Two conditions that always say the same.
pub const SAME_CONDITION: Code = Code("GW3014");
/// A condition or fact that nothing reads.
pub const UNREAD: Code = Code("GW3015");
/// A grant that another one makes superfluous.
pub const IDLE_GRANT: Code = Code("GW3016");
/// A role that is another one, or part of it.
pub const SAME_ROLE: Code = Code("GW3017");
/// A permission that nobody is granted.
pub const NEVER_GRANTED: Code = Code("GW3018");
/// A role that grants nothing.
pub const EMPTY_ROLE: Code = Code("GW3019");
/// A scope that is granted and permits no operation.
pub const EMPTY_SCOPE: Code = Code("GW3020");
/// A grant whose condition can't be known on an operation.
pub const NEVER_KNOWN: Code = Code("GW3021");
/// A tenant that the caller names, without a requirement that proves it.
pub const UNPROVEN_TENANT: Code = Code("GW4001");
/// A role without `only` where the acting tenant can be another's.
pub const UNLIMITED_ROLE: Code = Code("GW4002");
/// A `[never]` row that the rules break.
pub const NEVER: Code = Code("GW4003");
/// An `[expect]` row that the rules don't meet.
pub const EXPECT: Code = Code("GW4004");
/// One role string means two roles.
pub const SHARED_CLAIM: Code = Code("GW4005");
/// A fact that only the client vouches for is used in an unsafe way.
pub const CLIENT_STATED: Code = Code("GW4006");
/// Keys are fetched where others could replace them.
pub const PLAIN_KEYS: Code = Code("GW4007");
/// What the isolation of tenants reaches, and what it doesn't.
pub const ISOLATION: Code = Code("GW4008");
/// A grant that ends soon, or has ended.
pub const GRANT_ENDS: Code = Code("GW4009");
/// Operations that change something under a scope for looking.
pub const WRITE_IN_VIEW: Code = Code("GW4010");
/// Operations that no role is needed for.
pub const OPEN: Code = Code("GW4011");
/// Operations that nothing is required for.
pub const UNREQUIRED: Code = Code("GW4012");
/// A file or directory that can't be read.
pub const UNREADABLE: Code = Code("GW9001");
