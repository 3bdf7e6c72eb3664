//! Faults of the gateway's own (panics): counted, and told once for each place in the program. What a fault says isn't
//! written down, for it may hold a piece of a request.

use std::collections::HashSet;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};

use super::Metrics;

/// Places that are told of; a program has no more that can fail.
const PLACES_MAX: usize = 1_000;

/// From now on, and for the whole process, a panic is one line in the log and one in `gatewarden_panics_total`.
pub fn watch(metrics: Arc<Metrics>) {
    let told = Mutex::new(HashSet::new());
    std::panic::set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        metrics.panicked();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.len() < PLACES_MAX && told.insert(place.clone());
        drop(told);
        if is_news {
            let thread = std::thread::current();
            tracing::error!(
                place,
                thread = thread.name().unwrap_or_default(),
                "a fault of the gateway's own ended what it was doing there; told once, counted each time"
            );
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Mode;

    #[test]
    fn a_fault_is_counted_and_its_words_are_nobodys() {
        let metrics = Arc::new(Metrics::new(Mode::Run).unwrap());
        assert!(metrics.render().contains("gatewarden_panics_total 0"));
        watch(metrics.clone());
        for _ in 0..2 {
            std::thread::spawn(|| panic!("somebody's token")).join().unwrap_err();
        }
        drop(std::panic::take_hook());
        assert!(metrics.render().contains("gatewarden_panics_total 2"), "{}", metrics.render());
    }
}
