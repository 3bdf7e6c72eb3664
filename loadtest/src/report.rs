//! The table that is printed, and the same figures as JSON.

use serde_json::{Value, json};

use crate::Options;
use crate::measure::{Figures, Measured};

/// The upstream asked without anything between.
pub const DIRECT: &str = "direct, no proxy";
/// A public operation through the gateway.
pub const PASS_THROUGH: &str = "pass-through";
/// The same through nginx.
pub const NGINX: &str = "nginx pass-through";

/// Prints medians with minimum and maximum over the rounds, and the ratios to nginx if it was measured.
pub fn print(options: &Options, measured: &[Measured]) {
    let base = median_of(measured, DIRECT, |figures| figures.alone_p50_us).unwrap_or(0.0);
    println!(
        "{} connections, {} s each, {} rounds in turn: median (minimum-maximum)\n",
        options.connections, options.seconds, options.rounds
    );
    println!(
        "{:<22}{:<24}{:<20}{:<26}{:<20}{:<20}{:>8}{:>8}",
        "workload",
        "requests/s",
        "CPU us/request",
        "p50/p99/p99.9 us",
        "alone p50 us",
        "alone p99 us",
        "added",
        "RSS MiB"
    );
    for one in measured {
        let pick = |pick: fn(&Figures) -> f64| Spread::of(one.rounds.iter().map(pick));
        let latency = format!(
            "{:.0}/{:.0}/{:.0}",
            pick(|f| f.p50_us).median,
            pick(|f| f.p99_us).median,
            pick(|f| f.p999_us).median
        );
        let cpu = one.rounds.iter().filter_map(|f| f.cpu_us);
        // Of the first round: later ones begin with what the others have left behind.
        let rss = one.rounds.first().and_then(|f| f.usage).map_or(0.0, |usage| usage.rss_mib);
        let alone = pick(|f| f.alone_p50_us);
        println!(
            "{:<22}{:<24}{:<20}{:<26}{:<20}{:<20}{:>8.0}{:>8.0}",
            one.name,
            pick(|f| f.rate).show(0),
            Spread::of(cpu).show(1),
            latency,
            alone.show(0),
            pick(|f| f.alone_p99_us).show(0),
            alone.median - base,
            rss
        );
    }
    println!(
        "\nadded: the p50 of one request at a time beyond {DIRECT}'s. Host steal: {:.1} % at most.",
        measured.iter().flat_map(|one| &one.rounds).map(|f| f.steal).fold(0.0, f64::max) * 100.0
    );
    for (name, ratio) in ratios(measured) {
        println!("CPU per request, {name} / {NGINX}: {}", ratio.show(2));
    }
}

/// Every figure of every round.
pub fn json(options: &Options, measured: &[Measured]) -> Value {
    let workloads: Vec<Value> = measured
        .iter()
        .map(|one| {
            let rounds: Vec<Value> = one.rounds.iter().map(figures_json).collect();
            json!({ "name": one.name, "rounds": rounds })
        })
        .collect();
    let ratios: Vec<Value> = ratios(measured)
        .iter()
        .map(|(name, ratio)| {
            json!({ "name": name, "median": ratio.median, "minimum": ratio.minimum, "maximum": ratio.maximum })
        })
        .collect();
    json!({
        "schema": "loadtest/1", "connections": options.connections, "seconds": options.seconds,
        "tokens": options.tokens, "workloads": workloads, "cpu_ratio_to_nginx": ratios,
    })
}

fn figures_json(figures: &Figures) -> Value {
    json!({
        "requests_per_s": figures.rate, "p50_us": figures.p50_us, "p99_us": figures.p99_us,
        "p999_us": figures.p999_us, "alone_p50_us": figures.alone_p50_us, "alone_p99_us": figures.alone_p99_us,
        "cpu_us_per_request": figures.cpu_us, "threads": figures.usage.map(|usage| usage.threads),
        "rss_mib": figures.usage.map(|usage| usage.rss_mib), "steal": figures.steal,
    })
}

/// Processor time of each workload through the gateway over nginx's, round by round.
fn ratios(measured: &[Measured]) -> Vec<(&'static str, Spread)> {
    let Some(nginx) = measured.iter().find(|one| one.name == NGINX) else { return Vec::new() };
    measured
        .iter()
        .filter(|one| one.name != NGINX && one.name != DIRECT)
        .map(|one| {
            let pairs = one.rounds.iter().zip(&nginx.rounds);
            (one.name, Spread::of(pairs.filter_map(|(a, b)| Some(a.cpu_us? / b.cpu_us?))))
        })
        .collect()
}

fn median_of(measured: &[Measured], name: &str, pick: fn(&Figures) -> f64) -> Option<f64> {
    let one = measured.iter().find(|one| one.name == name)?;
    Some(Spread::of(one.rounds.iter().map(pick)).median)
}

/// Median, least and greatest of some values; not-a-number where there are none.
#[derive(Debug, Clone, Copy)]
struct Spread {
    median: f64,
    minimum: f64,
    maximum: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self { median: (at(last / 2) + at(last.div_ceil(2))) / 2.0, minimum: at(0), maximum: at(last) }
    }

    fn show(self, digits: usize) -> String {
        if self.median.is_nan() {
            return "-".into();
        }
        format!("{:.digits$} ({:.digits$}-{:.digits$})", self.median, self.minimum, self.maximum)
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_stands_between_the_extremes() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0].into_iter()).show(0), "2 (1-3)");
        assert_eq!(Spread::of([1.0, 2.0].into_iter()).show(1), "1.5 (1.0-2.0)");
        assert_eq!(Spread::of(std::iter::empty()).show(0), "-");
    }
}
