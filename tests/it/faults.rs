//! Applications and clients that fail under load, in processes of their own where a process is what fails. Each test says how
//! many requests were sent, and what became of them: nobody may wait for ever, and nobody may get an answer that isn't his.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::upstream::{Upstream, Wire, nobody};
use crate::support::{Client, Gateway, eventually};

/// Says to this very test binary that it is an application, and where.
const ADDRESS: &str = "GATEWARDEN_TEST_UPSTREAM";
/// Whoever has no answer by then has none at all.
const HUNG: Duration = Duration::from_secs(10);

/// An application in a process of its own.
struct Process {
    address: SocketAddr,
    child: Child,
}

impl Process {
    fn start() -> Self {
        let address = nobody();
        Self { child: Self::spawn(address), address }
    }

    fn spawn(address: SocketAddr) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "faults::application", "--ignored", "--nocapture"]);
        let child = command
            .env(ADDRESS, address.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the application's start", || std::net::TcpStream::connect(address).is_ok());
        child
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn again(&mut self) {
        self.child = Self::spawn(self.address);
    }

    fn signal(&self, name: &str) {
        let sent = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &sent]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No test: what the test binary does when it is started as an application.
#[test]
#[ignore = "a part of other tests"]
fn application() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let _upstream = Upstream::on(TcpListener::bind(address).unwrap(), behave);
    loop {
        std::thread::park();
    }
}

/// Answers with the path and the body that it was asked with. In every third answer of a kind, it does what the path says.
fn behave(wire: &mut Wire) -> io::Result<()> {
    while let Some(head) = wire.read_head()? {
        let body = wire.read_body(&head)?;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = [path.as_bytes(), &body].concat();
        let framed =
            [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len()).as_bytes(), &answer]
                .concat();
        let number: usize = path.rsplit('/').next().and_then(|last| last.parse().ok()).unwrap_or(0);
        match path.split('/').nth(2).filter(|_| number.is_multiple_of(3)).unwrap_or_default() {
            "reset" => {
                wire.write(&framed[..framed.len() - 3])?;
                socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            "cut" => {
                wire.write(&framed[..framed.len() - 3])?;
                return wire.close();
            }
            "garbage" => wire.write(&[b"\x16\x03\x01\x00garbage\r\n\r\n", &framed[..]].concat())?,
            "late-garbage" => {
                wire.write(&[&framed[..], b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"].concat())?
            }
            "half" => {
                wire.write(&framed)?;
                wire.stream.shutdown(Shutdown::Write)?;
            }
            "half-early" => wire.stream.shutdown(Shutdown::Write)?,
            _ => wire.write(&framed)?,
        }
    }
    Ok(())
}

/// What became of the requests of a test.
#[derive(Debug, Default)]
struct Tally {
    sent: AtomicUsize,
    succeeded: AtomicUsize,
    refused: AtomicUsize,
    cut: AtomicUsize,
    hung: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn count(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn of(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::Relaxed)
    }

    fn line(&self, what: &str) -> String {
        format!(
            "{what}: {} sent, {} succeeded, {} refused cleanly, {} visibly cut, {} hung, {} wrong",
            Self::of(&self.sent),
            Self::of(&self.succeeded),
            Self::of(&self.refused),
            Self::of(&self.cut),
            Self::of(&self.hung),
            self.wrong.lock().unwrap().len()
        )
    }

    /// Nothing hung, nothing was wrong, and every request has an end.
    #[track_caller]
    fn holds(&self, what: &str) -> String {
        let line = self.line(what);
        assert!(self.wrong.lock().unwrap().is_empty(), "{line}: {:?}", self.wrong.lock().unwrap());
        assert_eq!(Self::of(&self.hung), 0, "{line}");
        let ended = Self::of(&self.succeeded) + Self::of(&self.refused) + Self::of(&self.cut);
        assert_eq!(ended, Self::of(&self.sent), "{line}");
        assert!(Self::of(&self.succeeded) > 0, "{line}");
        line
    }
}

/// Asks until it is told to stop, every third time with a body; an answer is right if it is what was asked.
fn ask_on(gateway: &Gateway, kind: &str, worker: usize, tally: &Tally, stop: &AtomicBool) {
    let mut open: Option<Client> = None;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let path = format!("/app/{kind}/{worker}/{number}");
        let body = if number % 3 == 1 { "b".repeat(number % 100) } else { String::new() };
        let verb = if body.is_empty() { "GET" } else { "POST" };
        let mut client = open.take().unwrap_or_else(|| {
            let client = gateway.client();
            client.stream.set_read_timeout(Some(HUNG)).unwrap();
            client
        });
        let length = body.len();
        let request =
            format!("{verb} {path} HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {length}\r\n\r\n{body}");
        Tally::count(&tally.sent);
        let _ = client.stream.write_all(request.as_bytes());
        match client.read(false) {
            Ok(response) if response.status == 200 => {
                if response.body == [path.as_bytes(), body.as_bytes()].concat() {
                    Tally::count(&tally.succeeded);
                } else {
                    tally.wrong.lock().unwrap().push(format!("{path}: {}", response.text()));
                }
            }
            Ok(response)
                if matches!(response.status, 502..=504) && response.text().contains("urn:gatewarden:") =>
            {
                Tally::count(&tally.refused);
            }
            Ok(response) => {
                tally.wrong.lock().unwrap().push(format!("{path}: {} {}", response.status, response.text()))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Tally::count(&tally.hung);
                return;
            }
            Err(_) => {
                Tally::count(&tally.cut);
                continue;
            }
        }
        open = Some(client);
    }
}

/// Eight clients ask while something happens.
fn under_load(gateway: &Gateway, kind: &str, happens: impl FnOnce(&Tally)) -> Tally {
    let (tally, stop) = (Tally::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (tally, stop) = (&tally, &stop);
            scope.spawn(move || ask_on(gateway, kind, worker, tally, stop));
        }
        happens(&tally);
        stop.store(true, Ordering::Relaxed);
    });
    tally
}

/// Waits for so many more answers that are right.
fn more(tally: &Tally, count: usize) {
    let before = Tally::of(&tally.succeeded);
    eventually("answers", || Tally::of(&tally.succeeded) >= before + count);
}

fn gateway(servers: &[SocketAddr]) -> Gateway {
    let setup = Gateway::setup().upstream("app", servers);
    setup.read_timeout(Duration::from_millis(400)).workers(2).start()
}

fn killed_and_returned(times: usize) -> String {
    let mut application = Process::start();
    let gateway = gateway(&[application.address]);
    let tally = under_load(&gateway, "plain", |tally| {
        for _ in 0..times {
            more(tally, 200);
            application.kill();
            let failed = || Tally::of(&tally.refused) + Tally::of(&tally.cut);
            let before = failed();
            eventually("a failure", || failed() > before);
            application.again();
            more(tally, 200);
        }
    });
    assert!(Tally::of(&tally.refused) > 0);
    tally.holds("killed and returned")
}

fn one_of_two_killed(times: usize) -> String {
    let (mut one, two) = (Process::start(), Process::start());
    let gateway = gateway(&[one.address, two.address]);
    let tally = under_load(&gateway, "plain", |tally| {
        for _ in 0..times {
            more(tally, 200);
            one.kill();
            more(tally, 500);
            one.again();
            more(tally, 200);
        }
    });
    let (sent, refused) = (Tally::of(&tally.sent), Tally::of(&tally.refused) + Tally::of(&tally.cut));
    assert!(refused <= 16 * times, "{refused} of {sent} failed though a server was there");
    tally.holds("one of two killed")
}

fn frozen_and_thawed(times: usize) -> String {
    let application = Process::start();
    let gateway = gateway(&[application.address]);
    let tally = under_load(&gateway, "plain", |tally| {
        for _ in 0..times {
            more(tally, 200);
            application.signal("STOP");
            let before = Tally::of(&tally.refused);
            eventually("a refusal", || Tally::of(&tally.refused) > before);
            application.signal("CONT");
            more(tally, 200);
        }
    });
    tally.holds("frozen and thawed")
}

fn broken_answers(kind: &str, answers: usize) -> String {
    let application = Process::start();
    let gateway = gateway(&[application.address]);
    let tally = under_load(&gateway, kind, |tally| more(tally, answers));
    tally.holds(kind)
}

/// Clients that leave in the middle of what they send, beside others that stay.
fn clients_that_leave(answers: usize) -> String {
    let application = Upstream::on(TcpListener::bind("127.0.0.1:0").unwrap(), behave);
    let gateway = gateway(&[application.address]);
    let left = AtomicUsize::new(0);
    let tally = under_load(&gateway, "plain", |tally| {
        let before = Tally::of(&tally.succeeded);
        let until = Instant::now() + Duration::from_secs(60);
        while Tally::of(&tally.succeeded) < before + answers {
            assert!(Instant::now() < until, "{}", tally.line("clients that leave"));
            let mut client = gateway.client();
            client.send("POST /app/left/1 HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 50000\r\n\r\nGET /app/smuggled HTTP/1.1\r\n\r\n");
            let _ = client.stream.write_all(&[b'x'; 20_000]);
            if left.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            // All have one address, and those who left are counted as its connections until they are seen to have left.
            more(tally, 1);
        }
    });
    let refused = Tally::of(&tally.refused) + Tally::of(&tally.cut);
    assert_eq!(refused, 0, "who stays pays for those who leave: {}", tally.line("clients that leave"));
    assert!(application.heads().iter().all(|head| !head.starts_with("GET /app/smuggled")));
    gateway.counts("gatewarden_requests_in_flight", &[" 0"]);
    format!("{}, {} left", tally.holds("clients that leave"), left.load(Ordering::Relaxed))
}

#[test]
fn an_application_that_is_killed_and_returns() {
    println!("{}", killed_and_returned(2));
}

#[test]
fn one_application_of_two_is_killed() {
    println!("{}", one_of_two_killed(1));
}

#[test]
fn an_application_that_freezes() {
    println!("{}", frozen_and_thawed(2));
}

#[test]
fn answers_that_break_off_or_are_none() {
    for kind in ["reset", "cut", "garbage", "late-garbage", "half", "half-early"] {
        println!("{}", broken_answers(kind, 200));
    }
}

#[test]
fn clients_leave_in_the_middle() {
    println!("{}", clients_that_leave(500));
}

#[test]
#[ignore = "long"]
fn soak_faults() {
    println!("soak: {}", killed_and_returned(20));
    println!("soak: {}", one_of_two_killed(20));
    println!("soak: {}", frozen_and_thawed(20));
    for kind in ["reset", "cut", "garbage", "late-garbage", "half", "half-early"] {
        println!("soak: {}", broken_answers(kind, 10_000));
    }
    println!("soak: {}", clients_that_leave(10_000));
}
