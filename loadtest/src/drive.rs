//! For profiling: one side of a load test at a time.
//!
//! `--stage DIR` runs the upstream and writes the files that a gateway under load has, and tokens, so that the gateway
//! can be started by hand under whatever profiler. `--drive URL` asks a given URL as fast as it answers.

use std::fs;
use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

use gatewarden::token::Algorithm;
use http::Uri;

use crate::client::{self, Deck, Order, Pace, Plan, Until};
use crate::peers::gateway::{Listener, measured_rules, write};
use crate::peers::{GUARDED_PATH, OPEN_PATH, READER, STRANGER, free_address};
use crate::tokens::Issuer;
use crate::{Options, Result, echo, process};

/// Writes the files, says what to do with them, and serves as upstream until its standard input ends.
pub fn stage(options: &Options, directory: &Path) -> Result<()> {
    let issuer = Issuer::new()?;
    let many = issuer.tokens(Algorithm::Rs256, options.tokens, READER)?;
    process::leave_first_core();
    let upstream = echo::start(&issuer.jwks())?;
    let address = free_address()?;
    fs::create_dir_all(directory)?;
    let config = write(directory, address, free_address()?, upstream, &measured_rules(), Listener::Plain)?;
    fs::write(directory.join("token"), issuer.token(1, READER)?)?;
    fs::write(directory.join("refused"), issuer.token(2, STRANGER)?)?;
    fs::write(directory.join("tokens"), many.join("\n"))?;
    let here = directory.display();
    println!("taskset -c 0 gatewarden run --config {}", config.display());
    println!("loadtest --drive http://{address}{GUARDED_PATH} --token @{here}/token");
    println!("loadtest --drive http://{address}{GUARDED_PATH} --token @{here}/tokens");
    println!("loadtest --drive http://{address}{GUARDED_PATH} --token @{here}/refused --status 403");
    println!("loadtest --drive http://{address}{OPEN_PATH}");
    println!("This is the upstream, until its input ends.");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Asks a URL and says how fast it answered, and what it cost the process that `--pid` names.
pub fn drive(options: &Options, url: &Uri) -> Result<()> {
    let target = url.authority().ok_or("the URL names no host")?;
    let target = format!("{}:{}", target.host(), target.port_u16().unwrap_or(80));
    let target = target.to_socket_addrs()?.next().ok_or("the host has no address")?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let requests = match tokens(options)? {
        tokens if tokens.is_empty() => vec![client::request(path, None)],
        tokens => tokens.iter().map(|token| client::request(path, Some(token))).collect(),
    };
    process::leave_first_core();
    let until = match options.requests {
        Some(count) => Until::Sent(count.div_ceil(options.connections)),
        None => Until::Elapsed(Duration::from_secs_f64(options.seconds())),
    };
    let pace = options.rate.map_or(Pace::Unbounded, Pace::PerSecond);
    let (deck, check) = (Deck::new(requests, Order::Round), client::status(options.status));
    let plan = Plan { target, deck, connections: options.connections, pace, until, check };
    let spent = || options.pid.map(process::usage_of_one).transpose();
    let before = spent()?;
    let run = crate::runtime()?.block_on(client::drive(&plan))?;
    println!(
        "{} requests, {:.0} a second, p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us",
        run.latencies.len(),
        run.rate(),
        run.quantile_us(0.5),
        run.quantile_us(0.99),
        run.quantile_us(0.999)
    );
    if let Some((before, after)) = before.zip(spent()?) {
        let each = (after.cpu_us - before.cpu_us) / run.latencies.len().max(1) as f64;
        println!("{each:.1} us of processor time for each, {:.0} MiB resident", after.rss_mib);
    }
    Ok(())
}

/// The token that is given, or the lines of the file that it names behind an `@`.
fn tokens(options: &Options) -> Result<Vec<String>> {
    match options.token.as_deref() {
        None => Ok(Vec::new()),
        Some(text) => match text.strip_prefix('@') {
            Some(file) => Ok(fs::read_to_string(file)?.lines().map(str::to_owned).collect()),
            None => Ok(vec![text.to_owned()]),
        },
    }
}
