//! A process without file descriptors left: it accepts when some are free again, and until then does nothing but its work.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::process::{FREE_PORTS, Files, Process, ask};
use crate::support::{Client, Upstream};

const OPEN: &str = "GET /desk/open HTTP/1.1\r\nHost: localhost\r\n\r\n";
const DESCRIPTORS: usize = 128;
const CONNECTIONS: usize = 150;

/// Time on a processor, in hundredths of a second.
fn ticks(process: &Process) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn callers_wait_while_there_are_no_descriptors() {
    let upstream = Upstream::echo();
    let files = Files::new(upstream.address, &format!("listen.workers = 2\n{FREE_PORTS}"));
    let plain = files.command(&[]);
    let mut command = Command::new("sh");
    let limited = format!("ulimit -n {DESCRIPTORS}; exec \"$@\"");
    command.args(["-c", &limited, "sh"]).arg(plain.get_program()).args(plain.get_args());
    command.env_remove("GATEWARDEN_LOG");
    let process = Process::begin_as(files, command);
    process.until(" ready");
    assert!(process.log().contains("too few file descriptors"), "{}", process.log());
    let address = process.address("callers");
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::connect(address)).collect();
    process.until("no file descriptors are left for callers");

    let before = ticks(&process);
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks(&process) - before;
    assert!(used < 20, "{used} hundredths of a second while it waited");

    // Who is in is served, on connections of their own to the upstream.
    for client in &mut clients[..10] {
        assert_eq!(client.ask(OPEN).status, 200);
    }
    let admin = process.address("operators");
    assert_eq!(ask(admin, "GET /readyz", &[]).status, 200);
    let metrics = ask(admin, "GET /metrics", &[]);
    let counted = "gatewarden_limit_hits_total{limit=\"descriptors\"} 1";
    assert!(metrics.text().contains(counted), "{}", metrics.text());

    // Who waited is served when others leave.
    let mut last = clients.pop().unwrap();
    clients.clear();
    assert_eq!(last.ask(OPEN).status, 200);
    assert_eq!(process.log().matches("no file descriptors are left").count(), 1, "once an episode");
}
