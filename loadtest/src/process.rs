//! Child processes: where they run, what they have cost so far, and their end with this program.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Result;

/// How long a process may take to end when told to, before it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// A process group that ends when this value does.
pub struct Guarded {
    child: Child,
    log: PathBuf,
}

impl Guarded {
    /// Starts it on the first core if the machine has several, so that client and upstream keep another. What it says
    /// goes to `log` in this directory.
    pub fn start(program: &Path, arguments: &[&str], directory: &Path) -> Result<Self> {
        let mut command = on_core(Core::Proxy, program);
        let log = directory.join("log");
        let child = command
            .args(arguments)
            .env("GATEWARDEN_LOG", "warn")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .map_err(|error| format!("{} can't be started: {error}", program.display()))?;
        Ok(Self { child, log })
    }

    /// Its process id, which is its group's as well; what pins it becomes the program, so it is the program's own.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error, with what it said, if it has ended already.
    pub fn still_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("it has ended ({status}): {}", self.said()).into()),
            None => Ok(()),
        }
    }

    /// The first lines of its log, which say what was wrong.
    pub fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect::<Vec<_>>().join(" | ")
    }

    fn signal(&self, name: &str) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args([name, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.signal("-TERM");
        let begun = Instant::now();
        while begun.elapsed() < ENDS_WITHIN {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}

/// Where something runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// What is measured.
    Proxy,
    /// Client and upstream.
    Client,
}

impl Core {
    fn number(self) -> usize {
        match self {
            Self::Proxy => 0,
            Self::Client => 1,
        }
    }
}

/// A command that runs on this core, where the machine has several and util-linux is there.
pub fn on_core(core: Core, program: &Path) -> Command {
    if PINNED.get().is_none() {
        return Command::new(program);
    }
    // It ends with this program even if that is killed: the next run would find its core taken.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "taskset", "-c", &core.number().to_string()]).arg(program);
    command
}

/// Set once this program has moved to its own core.
static PINNED: OnceLock<()> = OnceLock::new();

/// Moves this program off the core that the measured get. Called before any thread is started.
pub fn leave_first_core() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let core = Core::Client.number().to_string();
    let pid = std::process::id().to_string();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "taskset", "-cp", &core, &pid]);
    let moved = command.stdout(Stdio::null()).status();
    if cores >= 2 && moved.is_ok_and(|status| status.success()) {
        let _ = PINNED.set(());
    } else {
        eprintln!("note: one core, or no `taskset` and `setpriv`: client and proxy share cores");
    }
}

/// What a process group has used so far.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// Microseconds of processor time, user and system.
    pub cpu_us: f64,
    /// Resident memory in MiB.
    pub rss_mib: f64,
}

/// Reads the usage of every process of this group from `/proc`.
pub fn usage(group: u32) -> Result<Usage> {
    let mut sum = Usage::default();
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process that has ended meanwhile isn't this group's any more.
        let Some(one) = one_process(pid).filter(|one| one.group == group) else { continue };
        sum.cpu_us += cpu_us(pid).unwrap_or_default();
        sum.rss_mib += one.rss_mib;
    }
    Ok(sum)
}

/// Reads the usage of one process.
pub fn usage_of_one(pid: u32) -> Result<Usage> {
    let one = one_process(pid).ok_or_else(|| format!("there is no process {pid}"))?;
    Ok(Usage { cpu_us: cpu_us(pid)?, rss_mib: one.rss_mib })
}

/// Microseconds of processor time, user and system, of a process and the threads that it has had: what `/proc` says in
/// hundredths of a second, in nanoseconds.
fn cpu_us(pid: u32) -> Result<f64> {
    let time = clock_gettime(clock_getcpuclockid(Pid::from_raw(pid.try_into()?))?)?;
    Ok(Duration::from(time).as_nanos() as f64 / 1000.0)
}

/// This program's own processor time, and that of the children that it has waited for, in microseconds.
pub fn own_cpu_us() -> f64 {
    let pid = std::process::id();
    cpu_us(pid).unwrap_or_default() + one_process(pid).map_or(0.0, |one| one.waited_for_us)
}

struct OneProcess {
    group: u32,
    waited_for_us: f64,
    rss_mib: f64,
}

fn one_process(pid: u32) -> Option<OneProcess> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold blanks; fields are counted from behind it.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<f64> = after_name.split_whitespace().map(|text| text.parse().unwrap_or(0.0)).collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0.0);
    Some(OneProcess {
        group: field(2) as u32,
        // Linux counts in hundredths of a second here, whatever the kernel's own clock is.
        waited_for_us: (field(13) + field(14)) * 10_000.0,
        rss_mib: field(21) * 4096.0 / (1024.0 * 1024.0),
    })
}

/// Microseconds that the two cores of a measurement spent, or all cores where nothing is pinned.
#[derive(Clone, Copy, Default)]
pub struct Machine {
    /// Everything, idle included.
    pub total: f64,
    /// For any process, and for interrupts.
    pub busy: f64,
    /// Taken by the host for others.
    pub steal: f64,
}

/// Reads the cores' counters.
pub fn machine() -> Result<Machine> {
    let stat = fs::read_to_string("/proc/stat")?;
    let cores: &[&str] = if PINNED.get().is_some() { &["cpu0", "cpu1"] } else { &["cpu"] };
    let mut sum = Machine::default();
    for line in stat.lines() {
        let mut fields = line.split_whitespace();
        if !fields.next().is_some_and(|name| cores.contains(&name)) {
            continue;
        }
        // user nice system idle iowait irq softirq steal; the last two repeat what user time already holds.
        let spent: Vec<f64> = fields.take(8).filter_map(|text| text.parse::<f64>().ok()).collect();
        let at = |index: usize| spent.get(index).copied().unwrap_or(0.0) * 10_000.0;
        let total = (0..8).map(at).sum::<f64>();
        sum.total += total;
        sum.steal += at(7);
        sum.busy += total - at(3) - at(4) - at(7);
    }
    Ok(sum)
}
