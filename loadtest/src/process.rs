//! Child processes: what they have cost so far, and their end with this program.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::Result;

/// A child process that ends when this value does.
pub struct Guarded(Child);

impl Guarded {
    /// Starts it, on the first core if the machine has several, so that client and upstream keep the others.
    pub fn start(program: &std::path::Path, arguments: &[&str]) -> Result<Self> {
        let mut command = match pinning() {
            true => {
                let mut command = Command::new("taskset");
                command.args(["-c", "0"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        let child = command
            .args(arguments)
            .env("GATEWARDEN_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("{} can't be started: {error}", program.display()))?;
        Ok(Self(child))
    }

    /// Its process id; `taskset` becomes the program, so the id is the program's.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// An error if it has ended already.
    pub fn still_running(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            Some(status) => Err(format!("the program under load has ended: {status}").into()),
            None => Ok(()),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Nginx's master ends its worker on TERM; a plain kill would leave it behind.
        let told = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        if !told.is_ok_and(|status| status.success()) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

/// Whether `taskset` and a second core are there.
fn pinning() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // This program has given up core 0 itself, so count it back in.
    (cores >= 2 || PINNED.get().is_some())
        && Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
}

static PINNED: std::sync::OnceLock<()> = std::sync::OnceLock::new();

/// Moves this program off core 0, which the children get. Called before any thread is started.
pub fn leave_first_core() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if !pinning() {
        eprintln!("note: one core, or no `taskset`: client and gateway share cores");
        return;
    }
    let others = format!("1-{}", cores - 1);
    let pid = std::process::id().to_string();
    let moved = Command::new("taskset").args(["-cp", &others, &pid]).stdout(Stdio::null()).status();
    if moved.is_ok_and(|status| status.success()) {
        let _ = PINNED.set(());
    }
}

/// What a process and its children have used so far.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// Microseconds of processor time, user and system.
    pub cpu_us: f64,
    /// Threads.
    pub threads: u64,
    /// Resident memory in MiB.
    pub rss_mib: f64,
}

/// Reads the usage of a process and of its direct children from `/proc`.
pub fn usage(pid: u32) -> Result<Usage> {
    let mut sum = usage_of_one(pid)?;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace() {
        let one = usage_of_one(child.parse()?)?;
        sum.cpu_us += one.cpu_us;
        sum.threads += one.threads;
        sum.rss_mib += one.rss_mib;
    }
    Ok(sum)
}

fn usage_of_one(pid: u32) -> Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold blanks; fields are counted from behind it.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).ok_or("unreadable /proc stat")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    Ok(Usage {
        // Linux counts in hundredths of a second here, whatever the kernel's own clock is.
        cpu_us: (ticks(11) + ticks(12)) * 10_000.0,
        threads: line("Threads:") as u64,
        rss_mib: line("VmRSS:") / 1024.0,
    })
}

/// Hundredths of a second that the whole machine spent: busy, and stolen by its host.
#[derive(Clone, Copy)]
pub struct Machine {
    /// Everything, idle included.
    pub total: f64,
    /// Taken by the host for others.
    pub steal: f64,
}

/// Reads the machine's counters.
pub fn machine() -> Result<Machine> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|text| text.parse().ok())
        .collect();
    // The last two repeat what user time already holds.
    Ok(Machine { total: fields.iter().take(8).sum(), steal: fields.get(7).copied().unwrap_or(0.0) })
}
