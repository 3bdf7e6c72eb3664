//! What hostile clients and hostile applications put on the wire, in whole suites: the other side's mistakes end its own
//! request or its own connection, reach nobody else, and cost the gateway no more than a bounded amount of anything.

mod answers;
pub(crate) mod floods;
mod frames;
mod heads;
mod identity;
mod smuggling;
