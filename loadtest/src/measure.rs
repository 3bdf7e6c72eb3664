//! The run: peers are looked at first, then measured in turn, round after round.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::client::{self, Connection, Order, Pace, Plan, Run, Until};
use crate::peers::{GUARDED_PATH, Peer, Running, Stage, Transport};
use crate::process::{self, Machine, Usage};
use crate::tokens::Issuer;
use crate::workloads::{self, Drive, Kind, Workload};
use crate::{Options, Result, correct, h2load, report};

/// What one measurement of one peer gave.
#[derive(Clone, Copy)]
pub struct Figures {
    /// Processor time of the peer's processes for each request, in microseconds; the upstream itself has none.
    pub cpu_us: Option<f64>,
    /// Requests a second.
    pub rate: f64,
    /// Half of the requests took no longer, in microseconds.
    pub p50_us: f64,
    /// 99 % of the requests took no longer.
    pub p99_us: f64,
    /// Resident memory of the peer's processes, with the connections still open.
    pub rss_mib: Option<f64>,
    /// What part of the cores' time other programs took.
    pub foreign: f64,
    /// What part of it the host took.
    pub steal: f64,
}

/// From this part on, others have disturbed a measurement.
pub const DISTURBED: f64 = 0.15;

/// One peer under one workload; `None` where a round failed.
pub struct Measured {
    /// Who.
    pub peer: Peer,
    /// One for each round.
    pub rounds: Vec<Option<Figures>>,
}

/// Everything that a run found.
pub struct Outcome {
    /// Workloads and their peers.
    pub workloads: Vec<(Kind, String, Vec<Measured>)>,
    /// Who could not be measured, and why.
    pub skipped: Vec<String>,
    /// Measurements that went wrong.
    pub failed: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// The rounds of one peer under one workload.
    pub fn rounds(&self, kind: Kind, peer: Peer) -> Option<&[Option<Figures>]> {
        let (.., peers) = self.workloads.iter().find(|(one, ..)| *one == kind)?;
        Some(&peers.iter().find(|one| one.peer == peer)?.rounds)
    }
}

/// Measures everything that is chosen, `rounds` times in turn, and reports.
pub fn run(options: &Options) -> Result<()> {
    let begun = Instant::now();
    eprintln!("signing tokens …");
    // Signing takes all cores, so it comes before this program leaves the first one.
    let issuer = Issuer::new()?;
    let mut workloads = workloads::chosen(options, &issuer)?;
    process::leave_first_core();
    let stage = Stage::set(options, issuer)?;
    let skipped = skip(&stage, &mut workloads)?;
    let mut outcome = Outcome { workloads: Vec::new(), skipped, failed: Vec::new(), took: Duration::ZERO };
    for workload in &workloads {
        let peers = workload.peers.iter().map(|peer| Measured { peer: *peer, rounds: Vec::new() }).collect();
        outcome.workloads.push((workload.kind, workload.title.clone(), peers));
    }
    for round in 1..=options.rounds() {
        one_round(options, &stage, &workloads, &mut outcome, round);
    }
    outcome.took = begun.elapsed();
    report::print(options, &outcome);
    if let Some(file) = &options.json {
        std::fs::write(file, report::json(options, &outcome).to_string())?;
    }
    match outcome.failed.is_empty() {
        true => Ok(()),
        false => Err(format!("{} measurements failed", outcome.failed.len()).into()),
    }
}

fn one_round(options: &Options, stage: &Stage, workloads: &[Workload], outcome: &mut Outcome, round: u32) {
    for (index, workload) in workloads.iter().enumerate() {
        eprintln!("round {round} of {}: {}", options.rounds(), workload.title);
        // What the gateway reached in this round, for the workload that is half of it.
        let gateway = outcome.rounds(Kind::One, Peer::Gateway).and_then(|rounds| *rounds.last()?);
        for (at, peer) in workload.peers.iter().enumerate() {
            let figures = measure(options, stage, workload, *peer, gateway);
            let figures = figures.map_err(|error| {
                let failed = format!("round {round}, {}, {}: {error}", workload.title, peer.name());
                eprintln!("  {failed}");
                outcome.failed.push(failed);
            });
            if let Some(measured) = outcome.workloads.get_mut(index).and_then(|(.., peers)| peers.get_mut(at))
            {
                measured.rounds.push(figures.ok());
            }
        }
    }
}

/// Takes out who isn't there or answers wrongly, and says why. Without the gateway there is nothing to measure.
fn skip(stage: &Stage, workloads: &mut [Workload]) -> Result<Vec<String>> {
    let mut seen: BTreeMap<(Peer, bool), Result<()>> = BTreeMap::new();
    let mut skipped = Vec::new();
    for workload in workloads {
        let transport = workload.transport();
        workload.peers.retain(|peer| {
            let key = (*peer, transport == Transport::Tls);
            let fit = seen.entry(key).or_insert_with(|| {
                let fit = fitness(stage, *peer, transport);
                if let Err(why) = &fit {
                    let how = if transport == Transport::Tls { " over TLS" } else { "" };
                    skipped.push(format!("{}{how}: {why}", peer.name()));
                    eprintln!("skipped: {}{how}: {why}", peer.name());
                }
                fit
            });
            fit.is_ok()
        });
    }
    match seen.remove(&(Peer::Gateway, false)) {
        Some(Err(why)) => Err(format!("{}: {why}", Peer::Gateway.name()).into()),
        _ => Ok(skipped),
    }
}

/// Whether a peer comes up and answers as it must.
fn fitness(stage: &Stage, peer: Peer, transport: Transport) -> Result<()> {
    let running = peer.start(stage, transport)?;
    if transport == Transport::Tls {
        return h2load::ask(running.address, GUARDED_PATH, &stage.token, 64);
    }
    if peer.judges() {
        return correct::check(stage, &running);
    }
    crate::runtime()?.block_on(async {
        let mut connection = Connection::open(running.address).await?;
        match connection.ask(&client::request(GUARDED_PATH, Some(&stage.token))).await? {
            200 => Ok(()),
            status => Err(format!("it answers with {status}").into()),
        }
    })
}

/// Starts the peer anew, warms it, and measures it.
fn measure(
    options: &Options,
    stage: &Stage,
    workload: &Workload,
    peer: Peer,
    gateway: Option<Figures>,
) -> Result<Figures> {
    // Again if need be: the port that was free may have been given to a client's connection since.
    let transport = workload.transport();
    let running = peer.start(stage, transport).or_else(|_| peer.start(stage, transport))?;
    workload.deck.rewind();
    let time = Duration::from_secs_f64(options.seconds());
    let runtime = crate::runtime()?;
    match workload.drive {
        Drive::Http2 => {
            h2load::ask(running.address, GUARDED_PATH, &stage.token, 4_000)?;
            let mut rss = None;
            let halfway = || rss = running.usage();
            let figures = watched(&running, || {
                h2load::drive(running.address, GUARDED_PATH, &stage.token, time, halfway)
            })?;
            Ok(Figures { rss_mib: rss.map(|usage| usage.rss_mib), ..figures })
        }
        Drive::Http1(..) | Drive::HalfOfGateway => {
            let plan = plan(options, workload, &running, gateway, time)?;
            runtime.block_on(client::drive(&warm_up(&plan)))?;
            watched(&running, || runtime.block_on(client::drive(&plan)))
        }
    }
}

/// How long one token is sent to warm a peer up.
const WARM_UP: Duration = Duration::from_millis(500);

fn plan(
    options: &Options,
    workload: &Workload,
    running: &Running,
    gateway: Option<Figures>,
    time: Duration,
) -> Result<Plan> {
    let (connections, pace) = match workload.drive {
        Drive::Http1(connections, pace) => (connections, pace),
        _ => {
            let gateway = gateway.ok_or("the gateway wasn't measured with one token in this round")?;
            (options.connections, Pace::PerSecond(gateway.rate / 2.0))
        }
    };
    let (target, deck) = (running.address, workload.deck.clone());
    let check = client::status(workload.status);
    Ok(Plan { target, deck, connections, pace, until: Until::Elapsed(time), check })
}

/// Every distinct request once, or, where none is sent twice, a few.
fn warm_up(plan: &Plan) -> Plan {
    let until = match plan.deck.order() {
        Order::Once => Until::Sent(10),
        Order::Round if plan.deck.len() > 1 => Until::Sent(plan.deck.len() / plan.connections + 10),
        Order::Round => Until::Elapsed(WARM_UP),
    };
    Plan { pace: Pace::Unbounded, until, ..plan.clone() }
}

/// Runs it, and reads before and after what the peer, this program and the machine have spent.
fn watched(running: &Running, run: impl FnOnce() -> Result<Run>) -> Result<Figures> {
    let before = Spent::read(running)?;
    let run = run()?;
    let after = Spent::read(running)?;
    let requests = run.latencies.len().max(1) as f64;
    let total = (after.machine.total - before.machine.total).max(1.0);
    let peer = after.peer.zip(before.peer).map(|(after, before)| after.cpu_us - before.cpu_us);
    let ours = after.own_us - before.own_us + peer.unwrap_or(0.0);
    Ok(Figures {
        cpu_us: peer.map(|cpu| cpu / requests),
        rate: run.rate(),
        p50_us: run.quantile_us(0.5),
        p99_us: run.quantile_us(0.99),
        rss_mib: after.peer.map(|usage| usage.rss_mib),
        foreign: ((after.machine.busy - before.machine.busy - ours) / total).max(0.0),
        steal: (after.machine.steal - before.machine.steal) / total,
    })
}

struct Spent {
    machine: Machine,
    peer: Option<Usage>,
    own_us: f64,
}

impl Spent {
    fn read(running: &Running) -> Result<Self> {
        Ok(Self { machine: process::machine()?, peer: running.usage(), own_us: process::own_cpu_us() })
    }
}
