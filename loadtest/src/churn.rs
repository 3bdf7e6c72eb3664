//! Rule files swapped under load: no request may fail, and every answer must be wholly one set's.
//!
//! Two sets differ in two ways that must agree. Set A calls the caller's role `first` and what permits it
//! `alpha#one`; set B calls them `second` and `beta#two`. The upstream answers with what the gateway told it, so a
//! request that was judged by half of each would say so. Broken files are swapped in between and must change nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{self, Check, Connection, Deck, Order, Pace, Plan, Until};
use crate::peers::gateway::{GUARDS, Gateway, Listener};
use crate::tokens::Issuer;
use crate::{Options, Result, echo, process};

/// How long a swap may take to be in force.
const APPLIED_WITHIN: Duration = Duration::from_secs(10);

struct Set {
    role: &'static str,
    resource: &'static str,
    scope: &'static str,
}

const A: Set = Set { role: "first", resource: "alpha", scope: "one" };
const B: Set = Set { role: "second", resource: "beta", scope: "two" };

impl Set {
    fn rules(&self) -> String {
        let Self { role, resource, scope } = self;
        format!(
            "{GUARDS}[resource.{resource}]\n{scope} = [\"GET /churn/both\", \"GET /churn/only-{resource}\"]\n\
             [role.{role}]\nclaim = [\"caller\"]\n{scope} = [\"{resource}\"]\n"
        )
    }

    fn answer(&self) -> String {
        format!("{}|{}#{}", self.role, self.resource, self.scope)
    }
}

/// Files that must never be in force: cut off, of unknown names, and not TOML.
fn broken_rules() -> [String; 3] {
    let a = A.rules();
    let cut = a.len() - "\"alpha\"]\n".len();
    [a.chars().take(cut).collect(), a.replace("[\"alpha\"]", "[\"alfa\"]"), "this is no rule file".into()]
}

#[derive(Default)]
struct Seen {
    a: AtomicU64,
    b: AtomicU64,
    refused: AtomicU64,
}

impl Seen {
    /// 200 with one set's whole answer, or 403 (the other set's path).
    fn check(&self, status: u16, body: &[u8]) -> Result<()> {
        let counter = match status {
            200 if body == A.answer().as_bytes() => &self.a,
            200 if body == B.answer().as_bytes() => &self.b,
            404 | 403 => &self.refused,
            _ => {
                return Err(format!("mixed or failed: {status} {}", String::from_utf8_lossy(body)).into());
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Swaps files under load and holds every answer against the sets.
pub fn run(options: &Options) -> Result<()> {
    process::leave_first_core();
    let issuer = Issuer::new()?;
    let token = issuer.token(1, "caller")?;
    let upstream = echo::start(&issuer.jwks())?;
    let both = client::request("/churn/both", Some(&token));
    let program = options.gateway()?;
    let gateway = Gateway::start(&program, upstream, &A.rules(), Listener::Plain)?;
    gateway.wait_for(&both)?;

    let seen = Arc::new(Seen::default());
    let stop = Arc::new(AtomicBool::new(false));
    let load = start_load(options, &gateway, &token, seen.clone(), stop.clone())?;
    let swapped = swap_files(options, &gateway, &both, &load);
    stop.store(true, Ordering::Relaxed);
    let requests = load.join().map_err(|_| "the load client panicked")??;
    let mut times = swapped?;

    times.sort_unstable();
    let at = |quantile: f64| {
        let index = (times.len().saturating_sub(1) as f64 * quantile).round() as usize;
        times.get(index).copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{requests} requests: {} by set A, {} by set B, {} refused; none failed, none mixed",
        count(&seen.a),
        count(&seen.b),
        count(&seen.refused)
    );
    if let Some(file) = &options.json {
        let report = json!({
            "schema": "loadtest.churn/1", "requests": requests, "by_a": count(&seen.a), "by_b": count(&seen.b),
            "refused": count(&seen.refused), "swaps": times.len(), "broken": options.broken,
            "in_force_ms": { "p50": at(0.5), "p99": at(0.99), "max": at(1.0) },
        });
        fs::write(file, report.to_string())?;
    }
    println!(
        "{} swaps in force after {:.0} ms (half), {:.0} ms (99 %), {:.0} ms (all); {} broken files changed nothing",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        options.broken
    );
    match count(&seen.a) > 0 && count(&seen.b) > 0 {
        true => Ok(()),
        false => Err("only one set was ever seen, so nothing was proven".into()),
    }
}

type Load = std::thread::JoinHandle<Result<usize>>;

fn start_load(
    options: &Options,
    gateway: &Gateway,
    token: &str,
    seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
) -> Result<Load> {
    let requests = ["/churn/both", "/churn/only-alpha", "/churn/only-beta"]
        .map(|path| client::request(path, Some(token)))
        .to_vec();
    let check: Arc<Check> = Arc::new(move |status, body| seen.check(status, body));
    let plan = Plan {
        target: gateway.address,
        deck: Deck::new(requests, Order::Round),
        connections: options.connections,
        pace: Pace::Unbounded,
        until: Until::Sent(1000),
        check,
    };
    let runtime = crate::runtime()?;
    Ok(std::thread::Builder::new().name("load".into()).spawn(move || {
        let mut requests = 0;
        while !stop.load(Ordering::Relaxed) {
            requests += runtime.block_on(client::drive(&plan))?.latencies.len();
        }
        Ok(requests)
    })?)
}

fn swap_files(options: &Options, gateway: &Gateway, both: &[u8], load: &Load) -> Result<Vec<Duration>> {
    let runtime = crate::runtime()?;
    let broken = broken_rules();
    let every = (options.swaps / options.broken.max(1)).max(1);
    let mut times = Vec::new();
    let mut broken_done = 0;
    for swap in 0..options.swaps {
        let set = if swap % 2 == 0 { B } else { A };
        replace(&gateway.rules(), &set.rules())?;
        times.push(runtime.block_on(in_force(gateway.address, both, &set))?);
        if swap % every == 0 && broken_done < options.broken {
            replace(&gateway.rules(), &broken[broken_done as usize % broken.len()])?;
            runtime.block_on(rejected(gateway.admin))?;
            runtime.block_on(in_force(gateway.address, both, &set))?;
            broken_done += 1;
        }
        if load.is_finished() {
            return Err("the load ended early".into());
        }
    }
    Ok(times)
}

/// A new file takes the old one's place in one step.
fn replace(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, text)?;
    Ok(fs::rename(&beside, path)?)
}

async fn in_force(gateway: SocketAddr, request: &[u8], set: &Set) -> Result<Duration> {
    let begun = Instant::now();
    let mut connection = Connection::open(gateway).await?;
    while begun.elapsed() < APPLIED_WITHIN {
        connection.ask(request).await?;
        if connection.body() == set.answer().as_bytes() {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Err(format!("the set that says {} did not come into force", set.answer()).into())
}

/// Waits until the gateway says that it refused the files on disk.
async fn rejected(admin: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    let mut connection = Connection::open(admin).await?;
    let request = client::request("/metrics", None);
    while begun.elapsed() < APPLIED_WITHIN {
        connection.ask(&request).await?;
        let text = String::from_utf8_lossy(connection.body());
        if text.lines().any(|line| line == "gatewarden_config_last_reload_successful 0") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err("the broken file was not reported".into())
}

#[cfg(test)]
mod tests {
    use super::{A, B, Seen};

    #[test]
    fn an_answer_of_both_sets_is_an_error() {
        let seen = Seen::default();
        assert!(seen.check(200, A.answer().as_bytes()).is_ok());
        assert!(seen.check(200, B.answer().as_bytes()).is_ok());
        assert!(seen.check(200, b"first|beta#two").is_err());
        assert!(seen.check(503, b"").is_err());
    }
}
