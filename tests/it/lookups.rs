//! What is asked of an application: put rightly, believed in nothing, and over in time.

mod decisions;
mod exchange;
mod secrets;
