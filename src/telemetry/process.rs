//! What the operating system knows about this process, under the names that every Prometheus client uses.
//! Read from `/proc` when a scraper asks; elsewhere there is nothing to read and nothing is exported.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

/// Clock ticks a second in `/proc/self/stat`: fixed by the Linux ABI.
const TICKS_PER_SECOND: f64 = 100.0;

/// Exports `process_*`.
#[derive(Debug, Default)]
pub(super) struct Process;

impl Collector for Process {
    /// None: the families differ with the system, and the registry asks for descriptions only to find clashes.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let open = std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as f64).ok();
        [
            family("process_cpu_seconds_total", "Time on a processor.", Kind::Counter, cpu_seconds(&stat)),
            family(
                "process_start_time_seconds",
                "When the process began, since the Unix epoch.",
                Kind::Gauge,
                start_time(&stat, &boot),
            ),
            family(
                "process_resident_memory_bytes",
                "Memory in use.",
                Kind::Gauge,
                status_value(&status, "VmRSS:").map(|kib| kib * 1024.0),
            ),
            family("process_threads", "Threads.", Kind::Gauge, status_value(&status, "Threads:")),
            family("process_open_fds", "Open file descriptors.", Kind::Gauge, open),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

enum Kind {
    Counter,
    Gauge,
}

fn family(name: &str, help: &str, kind: Kind, value: Option<f64>) -> Option<MetricFamily> {
    let value = value?;
    let mut metric = Metric::default();
    let mut family = MetricFamily::default();
    match kind {
        Kind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
            family.set_field_type(MetricType::COUNTER);
        }
        Kind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
            family.set_field_type(MetricType::GAUGE);
        }
    }
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_metric(vec![metric]);
    Some(family)
}

/// Field `n` of `/proc/self/stat`, counted from 1 as `proc(5)` does, for `n` > 2: the second, the command's
/// name, may hold blanks and brackets.
fn stat_field(stat: &str, n: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(n.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_time(stat: &str, boot: &str) -> Option<f64> {
    let booted: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(booted + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn status_value(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 5 6 7 8 150 50 0 0 20 0 9 0 1000 2 3";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(start_time(stat, "cpu 1\nbtime 500\n"), Some(510.0));
        assert_eq!(status_value("Name:\tx\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12.0));
        assert_eq!(cpu_seconds(""), None);
    }
}
