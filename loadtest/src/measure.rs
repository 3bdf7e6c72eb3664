//! The workloads, measured in interleaved rounds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{self, Check, Plan, Until};
use crate::gateway::{self, Gateway};
use crate::nginx::Nginx;
use crate::process::{self, Usage};
use crate::report;
use crate::tokens::Signer;
use crate::{Options, Result, echo};

/// One workload: who is asked what, and whose processor time is counted.
struct Workload {
    name: &'static str,
    target: SocketAddr,
    process: Option<u32>,
    requests: Arc<Vec<Vec<u8>>>,
    check: Arc<Check>,
}

/// What one measurement of one workload gave.
#[derive(Clone)]
pub struct Figures {
    /// Requests a second.
    pub rate: f64,
    /// Latency under load, in microseconds: half, 99 %, 99.9 % of the requests took no longer.
    pub p50_us: f64,
    /// See `p50_us`.
    pub p99_us: f64,
    /// See `p50_us`.
    pub p999_us: f64,
    /// Latency of one request at a time, in microseconds.
    pub alone_p50_us: f64,
    /// See `alone_p50_us`.
    pub alone_p99_us: f64,
    /// Processor time of the measured process for each request, in microseconds.
    pub cpu_us: Option<f64>,
    /// Its threads and memory at the end.
    pub usage: Option<Usage>,
    /// What part of the machine's time its host took meanwhile.
    pub steal: f64,
}

/// A workload's name and its figures, one for each round.
pub struct Measured {
    /// The workload.
    pub name: &'static str,
    /// One for each round.
    pub rounds: Vec<Figures>,
}

/// Starts everything, measures all workloads in turn, `rounds` times, and reports.
pub fn run(options: &Options) -> Result<()> {
    process::leave_first_core();
    let signer = Signer::new()?;
    let upstream = echo::start(signer.jwks())?;
    let open = gateway::open_request();
    let gateway = Gateway::start(options, upstream, &gateway::measured_rules(), &open)?;
    let nginx = options.nginx.then(|| Nginx::start(upstream, options.connections)).transpose()?;
    eprintln!("signing {} tokens …", options.tokens);
    let workloads = workloads(options, &signer, upstream, &gateway, nginx.as_ref())?;
    let runtime = crate::runtime()?;
    let mut measured: Vec<Measured> =
        workloads.iter().map(|workload| Measured { name: workload.name, rounds: Vec::new() }).collect();
    for round in 1..=options.rounds {
        for (workload, into) in workloads.iter().zip(&mut measured) {
            eprintln!("round {round} of {}: {}", options.rounds, workload.name);
            into.rounds.push(runtime.block_on(measure(options, workload))?);
        }
    }
    report::print(options, &measured);
    if let Some(file) = &options.json {
        std::fs::write(file, report::json(options, &measured).to_string())?;
    }
    Ok(())
}

fn workloads(
    options: &Options,
    signer: &Signer,
    upstream: SocketAddr,
    gateway: &Gateway,
    nginx: Option<&Nginx>,
) -> Result<Vec<Workload>> {
    let one = |request: Vec<u8>| Arc::new(vec![request]);
    let guarded = |token: &str| client::request(gateway::GUARDED_PATH, Some(token));
    let many = (0..options.tokens.max(1))
        .map(|subject| Ok(guarded(&signer.token(subject, "reader")?)))
        .collect::<Result<Vec<_>>>()?;
    let open = gateway::open_request();
    let through_gateway = |name, requests, status| Workload {
        name,
        target: gateway.address,
        process: Some(gateway.process.id()),
        requests,
        check: client::status(status),
    };
    let elsewhere = |name, target, process| Workload {
        name,
        target,
        process,
        requests: one(open.clone()),
        check: client::status(200),
    };
    let mut all = vec![
        elsewhere(report::DIRECT, upstream, None),
        through_gateway(report::PASS_THROUGH, one(open.clone()), 200),
    ];
    if let Some(nginx) = nginx {
        all.push(elsewhere(report::NGINX, nginx.address, Some(nginx.process.id())));
    }
    all.push(through_gateway("allowed, one token", one(guarded(&signer.token(1, "reader")?)), 200));
    all.push(through_gateway("refused (403)", one(guarded(&signer.token(2, "nobody")?)), 403));
    all.push(through_gateway("allowed, many tokens", Arc::new(many), 200));
    Ok(all)
}

async fn measure(options: &Options, workload: &Workload) -> Result<Figures> {
    let plan = |connections, until| Plan {
        target: workload.target,
        requests: workload.requests.clone(),
        connections,
        until,
        check: workload.check.clone(),
    };
    // Every distinct request at least once, so that what is measured is warm.
    let each = (workload.requests.len() / options.connections + 1).max(50);
    client::drive(&plan(options.connections, Until::Sent(each))).await?;

    let time = Duration::from_secs_f64(options.seconds);
    let machine_before = process::machine()?;
    let before = workload.process.map(process::usage).transpose()?;
    let run = client::drive(&plan(options.connections, Until::Elapsed(time))).await?;
    let after = workload.process.map(process::usage).transpose()?;
    let machine_after = process::machine()?;
    let alone = client::drive(&plan(1, Until::Elapsed(time / 3))).await?;

    let requests = run.latencies.len().max(1) as f64;
    let total = (machine_after.total - machine_before.total).max(1.0);
    Ok(Figures {
        rate: run.rate(),
        p50_us: run.quantile_us(0.5),
        p99_us: run.quantile_us(0.99),
        p999_us: run.quantile_us(0.999),
        alone_p50_us: alone.quantile_us(0.5),
        alone_p99_us: alone.quantile_us(0.99),
        cpu_us: before.zip(after).map(|(before, after)| (after.cpu_us - before.cpu_us) / requests),
        usage: after,
        steal: (machine_after.steal - machine_before.steal) / total,
    })
}
