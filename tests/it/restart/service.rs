//! What a service manager gives and is told: sockets, and how it goes. The manager is this test.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};

use super::Line;
use crate::process::{FREE_PORTS, Files, Process, ask};
use crate::support::{PATIENCE, Upstream, eventually};

/// The gateway, started with these sockets under these names.
fn given(files: &Files, sockets: Vec<OwnedFd>, names: &str) -> Command {
    let plain = files.command(&[]);
    let mut command = Command::new("sh");
    // The number that systemd would know.
    command.args(["-c", "LISTEN_PID=$$ exec \"$@\"", "sh"]).arg(plain.get_program()).args(plain.get_args());
    command.env_remove("GATEWARDEN_LOG").env("LISTEN_FDS", sockets.len().to_string());
    command.env("LISTEN_FDNAMES", names);
    let numbered = sockets.into_iter().zip(3..);
    command
        .fd_mappings(numbered.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect())
        .unwrap();
    command
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn it_listens_where_the_manager_says() {
    let upstream = Upstream::echo();
    for names in ["callers:admin:metrics", "metrics:callers:admin"] {
        let sockets = [listener(), listener(), listener()];
        let files = Files::new(upstream.address, FREE_PORTS);
        let addresses = sockets.each_ref().map(|own| own.local_addr().unwrap());
        let command = given(&files, sockets.map(OwnedFd::from).into(), names);
        let line = Line(Process::begin_as(files, command));
        line.0.until(" ready");
        for (address, name) in addresses.into_iter().zip(names.split(':')) {
            let whom = match name {
                "callers" => "callers",
                "admin" => "operators",
                _ => "scrapers",
            };
            assert_eq!(line.0.address(whom), address);
        }
        // And hands them on.
        line.replace(line.0.id());
        assert_eq!(ask(line.0.address("callers"), "GET /desk/open", &[]).status, 200);
        assert_eq!(line.count(&format!("{}", line.0.address("scrapers"))), 2, "{}", line.0.log());
    }
}

#[test]
fn sockets_without_a_name_are_known_by_their_address() {
    let upstream = Upstream::echo();
    let sockets = [listener(), listener()];
    let [admin, callers] = sockets.each_ref().map(|own| own.local_addr().unwrap());
    let more = format!("listen.address = \"{callers}\"\nadmin.address = \"{admin}\"\n");
    let files = Files::new(upstream.address, &more);
    let command = given(&files, sockets.map(OwnedFd::from).into(), "gatewarden.socket:gatewarden.socket");
    let process = Process::begin_as(files, command);
    assert_eq!((process.address("operators"), process.address("callers")), (admin, callers));
    assert_eq!(ask(callers, "GET /desk/open", &[]).status, 200);
}

#[test]
fn what_is_no_listener_of_the_gateways_is_refused_with_words() {
    let upstream = Upstream::echo();
    let connected = || OwnedFd::from(std::net::TcpStream::connect(upstream.address).unwrap());
    let everywhere = || OwnedFd::from(TcpListener::bind("0.0.0.0:0").unwrap());
    let datagram = || OwnedFd::from(UnixDatagram::unbound().unwrap());
    for (socket, name, said) in [
        (connected(), "callers", "it doesn't listen"),
        (datagram(), "callers", "not a valid tcp socket"),
        (everywhere(), "admin", "loopback address only"),
        (everywhere(), "other", "is none of the listeners"),
    ] {
        let files = Files::new(upstream.address, FREE_PORTS);
        let output = given(&files, vec![socket], name).stdout(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{stderr}");
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
}

/// What a manager hears until it hears this.
#[track_caller]
fn heard(manager: &UnixDatagram, word: &str) -> String {
    let mut all = String::new();
    let mut buffer = [0; 4096];
    while !all.contains(word) {
        let length = manager.recv(&mut buffer).unwrap_or_else(|why| panic!("{why}: only {all}"));
        all += &String::from_utf8_lossy(&buffer[..length]);
    }
    all
}

#[test]
fn the_manager_is_told_how_it_goes() {
    let upstream = Upstream::echo();
    let files = Files::new(upstream.address, FREE_PORTS);
    let path = files.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = files.command(&[]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let mut line = Line(Process::begin_as(files, command));
    let first = heard(&manager, "READY=1");
    assert!(!first.contains("STOPPING"), "{first}");
    heard(&manager, "WATCHDOG=1");
    line.0.signal("HUP");
    let reloading = heard(&manager, "RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    heard(&manager, "READY=1");
    let newest = line.replace(line.0.id());
    // The new one says that it is ready before the old one says who is the service now, or just after.
    let told = heard(&manager, &format!("MAINPID={newest}"));
    if !told.contains("READY=1") {
        heard(&manager, "READY=1");
    }
    assert_eq!(line.0.end(), 0);
    heard(&manager, "WATCHDOG=1");
    crate::process::signal("TERM", newest);
    let last = heard(&manager, "STOPPING=1");
    assert!(last.contains("STATUS=draining") || heard(&manager, "STATUS").contains("draining"), "{last}");
    eventually("its end", || !std::fs::exists(format!("/proc/{newest}")).unwrap());
}

#[test]
fn a_gateway_that_ends_is_never_said_to_be_ready() {
    let upstream = Upstream::echo();
    let files = Files::new(upstream.address, &format!("drain-delay = \"600s\"\n{FREE_PORTS}"));
    let path = files.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = files.command(&[]);
    command.env("NOTIFY_SOCKET", &path);
    let mut process = Process::begin_as(files, command);
    heard(&manager, "READY=1");
    process.signal("TERM");
    heard(&manager, "STOPPING=1");
    process.signal("HUP");
    process.until("rules unchanged");
    process.signal("TERM");
    assert_eq!(process.end(), 1, "{}", process.log());
    manager.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length) = manager.recv(&mut buffer) {
        let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(!told.contains("READY=1") && !told.contains("RELOADING=1"), "{told}");
    }
}
