//! What is printed, and the same figures as JSON.

use serde_json::{Value, json};

use crate::Options;
use crate::measure::{DISTURBED, Figures, Measured, Outcome};
use crate::spread::Spread;
use crate::targets::{self, Verdict};

/// Prints a table for each workload, then the ratios.
pub fn print(options: &Options, outcome: &Outcome) {
    println!(
        "{} s each, {} rounds in turn, every peer started anew for each; median (minimum-maximum)",
        options.seconds(),
        options.rounds()
    );
    for (_, title, peers) in &outcome.workloads {
        println!(
            "\n{title}\n{:<22} {:<21} {:<21} {:<24} {:<27} {:<15} foreign/steal",
            "", "CPU us/request", "requests/s", "p50 us", "p99 us", "RSS MiB"
        );
        peers.iter().for_each(print_row);
    }
    print_notes(outcome);
    print_targets(outcome);
}

fn print_row(measured: &Measured) {
    let over =
        |pick: fn(&Figures) -> Option<f64>| Spread::of(measured.rounds.iter().flatten().filter_map(pick));
    let disturbed = measured.rounds.iter().flatten().filter(|f| is_disturbed(f)).count();
    let mark = if disturbed > 0 { format!("  ! {disturbed} disturbed") } else { String::new() };
    println!(
        "{:<22} {:<21} {:<21} {:<24} {:<27} {:<15} {:.0}/{:.0} %{mark}",
        measured.peer.name(),
        over(|f| f.cpu_us).show(1),
        over(|f| Some(f.rate)).show(0),
        over(|f| Some(f.p50_us)).show(0),
        over(|f| Some(f.p99_us)).show(0),
        over(|f| f.rss_mib).show(0),
        over(|f| Some(f.foreign)).median * 100.0,
        over(|f| Some(f.steal)).median * 100.0,
    );
}

fn is_disturbed(figures: &Figures) -> bool {
    figures.foreign > DISTURBED
}

fn print_notes(outcome: &Outcome) {
    println!("\nDisturbed: other programs took more than {:.0} % of the two cores.", DISTURBED * 100.0);
    let rounds = outcome.workloads.iter().flat_map(|(.., peers)| peers).map(|one| one.rounds.len()).max();
    for round in 0..rounds.unwrap_or_default() {
        let all = || {
            let peers = outcome.workloads.iter().flat_map(|(.., peers)| peers);
            peers.filter_map(move |one| one.rounds.get(round).copied().flatten())
        };
        let foreign = Spread::of(all().map(|f| f.foreign * 100.0));
        let steal = Spread::of(all().map(|f| f.steal * 100.0));
        let marked = all().filter(is_disturbed).count();
        println!(
            "round {}: foreign CPU {} %, steal {} %, {marked} of {} measurements disturbed",
            round + 1,
            foreign.show(0),
            steal.show(0),
            all().count()
        );
    }
    outcome.skipped.iter().for_each(|skipped| println!("skipped: {skipped}"));
    outcome.failed.iter().for_each(|failed| println!("FAILED: {failed}"));
    println!("It took {:.0} s.", outcome.took.as_secs_f64());
}

fn print_targets(outcome: &Outcome) {
    println!(
        "\n{:<52} {:>8}  {:<20} reached",
        "CPU per request of gatewarden, over that of", "target", "measured"
    );
    for row in targets::rows(outcome) {
        let most = row.most.map_or_else(|| "none".to_owned(), |most| format!("<= {most}"));
        let verdict = match row.verdict {
            Verdict::Pass => "PASS",
            Verdict::Miss => "miss",
            Verdict::NoTarget => "",
            Verdict::Unknown => "not measured",
        };
        println!("{:<52} {most:>8}  {:<20} {verdict}", row.text, row.measured.show(2));
    }
}

/// Every figure of every round.
pub fn json(options: &Options, outcome: &Outcome) -> Value {
    let workloads = outcome.workloads.iter().map(|(kind, title, peers)| {
        let peers = peers.iter().map(|one| {
            let rounds: Vec<Value> =
                one.rounds.iter().map(|figures| figures.as_ref().map_or(Value::Null, figures_json)).collect();
            json!({ "peer": one.peer.name(), "rounds": rounds })
        });
        json!({ "name": format!("{kind:?}"), "title": title, "peers": peers.collect::<Vec<_>>() })
    });
    let targets = targets::rows(outcome).into_iter().map(|row| {
        json!({
            "name": row.text, "target": row.most, "median": row.measured.median, "minimum": row.measured.minimum,
            "maximum": row.measured.maximum, "verdict": format!("{:?}", row.verdict),
        })
    });
    json!({
        "schema": "loadtest/2", "connections": options.connections, "seconds": options.seconds(),
        "rounds": options.rounds(), "workloads": workloads.collect::<Vec<_>>(),
        "targets": targets.collect::<Vec<_>>(), "skipped": outcome.skipped, "failed": outcome.failed,
    })
}

fn figures_json(figures: &Figures) -> Value {
    json!({
        "cpu_us_per_request": figures.cpu_us, "requests_per_s": figures.rate, "p50_us": figures.p50_us,
        "p99_us": figures.p99_us, "rss_mib": figures.rss_mib, "foreign": figures.foreign, "steal": figures.steal,
        "disturbed": is_disturbed(figures),
    })
}
