//! The verbs, one file each: what they read from the command line and what they print.

pub mod dev;
pub mod token;
