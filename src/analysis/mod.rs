//! What compiled rules mean: who may reach an operation under which conditions, as tables and lists. It reads
//! snapshots and prints nothing; `cli` does.

pub mod beside;
pub mod carried;
pub mod closest;
pub mod coverage;
pub mod diff;
pub mod example;
pub mod feasible;
pub mod guard;
pub mod lint;
pub mod matrix;
pub mod missed;
pub mod nearest;
pub mod posed;
pub mod trace;
pub mod trial;
pub mod who;
pub mod words;
