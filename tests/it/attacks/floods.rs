//! Clients that send more than anyone needs: each is cut off or held back at a bound, the memory that they cost is bounded,
//! and everybody else is served meanwhile.

use std::time::{Duration, Instant};

use crate::support::h2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, H2, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, head, length,
};
use crate::support::{Gateway, Upstream};

/// Resident memory of this process, which holds the gateway, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What a flood came to.
#[derive(Debug)]
struct Flood {
    /// Bytes that could be written before the connection was gone, or all.
    written: usize,
    /// Whether the gateway ended it.
    ended: bool,
    grown_kib: usize,
}

/// Writes frames for as long as the gateway takes them, at most so many bytes, and looks at what it cost.
fn flood(gateway: &Gateway, opening: &[u8], most: usize, mut next: impl FnMut(u32) -> Vec<u8>) -> Flood {
    use std::io::Write;
    let before = resident();
    let mut client = H2::connect(gateway.address);
    client.send(opening);
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // What comes back has to be read, or the gateway waits for that.
    let mut reading = client.stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
    let (mut written, mut turn) = (0, 0);
    let mut failed = false;
    while written < most && !failed && !reader.is_finished() {
        let mut piece = Vec::new();
        while piece.len() < 16 * 1024 {
            piece.extend(next(turn));
            turn += 1;
        }
        failed = client.stream.write_all(&piece).is_err();
        written += piece.len();
        // Not faster than it can be read, or what waits in the kernel is all that is measured.
        std::thread::sleep(Duration::from_micros(300));
        // The others are served meanwhile.
        if turn % 64 == 0 {
            assert_eq!(gateway.request("GET /app/other", &[]).status, 200);
        }
    }
    let grown_kib = resident().saturating_sub(before);
    assert_eq!(gateway.request("GET /app/after", &[]).status, 200);
    let ended = failed || reader.is_finished();
    let _ = client.stream.shutdown(std::net::Shutdown::Both);
    let _ = reader.join();
    Flood { written, ended, grown_kib }
}

const MIB: usize = 1024 * 1024;
/// More than any flood may cost. What the allocator keeps back is in it.
const COST_KIB: usize = 24 * 1024;

#[track_caller]
fn cut_off(name: &str, flood: &Flood) {
    assert!(flood.ended, "{name} is taken without end: {flood:?}");
    assert!(flood.grown_kib < COST_KIB, "{name}: {flood:?}");
}

#[track_caller]
fn borne(name: &str, flood: &Flood) {
    assert!(flood.grown_kib < COST_KIB, "{name}: {flood:?}");
}

/// An application that never answers, so that streams pile up.
pub(crate) fn silent() -> Upstream {
    Upstream::scripted(|wire| {
        while let Some(head) = wire.read_head()? {
            if head.starts_with("GET /app/other") || head.starts_with("GET /app/after") {
                wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            } else {
                wire.drain()?;
            }
        }
        Ok(())
    })
}

fn get() -> Vec<u8> {
    block(&head("GET", "/app/x"))
}

/// Streams that are opened and reset at once.
fn rapid_reset(gateway: &Gateway) -> Flood {
    let rapid = get();
    flood(gateway, &[], 8 * MIB, |turn| {
        let stream = turn * 2 + 1;
        [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &rapid),
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    })
}

/// Some floods at a gateway before a silent application; those that have an end are cut off.
pub(crate) fn round(gateway: &Gateway) {
    cut_off("rapid reset", &rapid_reset(gateway));
    let open = frame(HEADERS, END_HEADERS, 1, &block(&head("POST", "/app/x")));
    cut_off("empty data", &flood(gateway, &open, 8 * MIB, |_| frame(DATA, 0, 1, &[])));
    let filler = block(&[("x-filler", "v".repeat(8_000))]);
    let begun = frame(HEADERS, END_STREAM, 1, &get());
    cut_off("continuation", &flood(gateway, &begun, 8 * MIB, |_| frame(CONTINUATION, 0, 1, &filler)));
    borne("pings", &flood(gateway, &[], MIB / 2, |_| frame(PING, 0, 0, &[0; 8])));
    borne("settings", &flood(gateway, &[], MIB / 2, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])));
}

#[test]
fn streams_that_are_reset_at_once_are_cut_off() {
    let upstream = silent();
    let gateway = Gateway::before(upstream.address);
    cut_off("rapid reset", &rapid_reset(&gateway));
    gateway.counts("gatewarden_limit_hits_total{limit=\"h2-flood\"}", &[" 1"]);
    assert!(upstream.heads().len() < 2_000, "{}", upstream.heads().len());
}

#[test]
fn streams_that_make_the_gateway_reset_them_are_cut_off() {
    let upstream = silent();
    let gateway = Gateway::before(upstream.address);
    let begun = block(&head("POST", "/app/x"));
    let flood = flood(&gateway, &[], 16 * MIB, |turn| {
        let stream = turn * 2 + 1;
        [frame(HEADERS, END_HEADERS, stream, &begun), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    });
    cut_off("made you reset", &flood);
}

#[test]
fn a_head_without_end_is_cut_off() {
    let upstream = silent();
    let gateway = Gateway::before(upstream.address);
    for (name, piece) in [
        ("continuation", block(&[("x-filler", "v".repeat(8_000))])),
        ("empty continuation", Vec::new()),
        ("tiny continuation", vec![0]),
    ] {
        let flood = flood(&gateway, &frame(HEADERS, END_STREAM, 1, &get()), 16 * MIB, |_| {
            frame(CONTINUATION, 0, 1, &piece)
        });
        cut_off(name, &flood);
        assert!(flood.written <= 4 * MIB, "{name}: {flood:?}");
    }
}

#[test]
fn small_heads_that_grow_are_refused() {
    let upstream = silent();
    let gateway = Gateway::before(upstream.address);
    // One large field in the table, then one byte for each time that it is meant.
    let mut bomb = get();
    bomb.push(0x40);
    length(&mut bomb, 1, 7);
    bomb.push(b'a');
    length(&mut bomb, 3_000, 7);
    bomb.extend(vec![b'v'; 3_000]);
    bomb.extend(vec![0xbe; 12_000]);
    let before = resident();
    let mut client = H2::connect(gateway.address);
    client.frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    let outcome = client.outcome(1);
    assert_eq!(outcome.status().unwrap_or(431), 431, "{outcome:?}");
    let grown = resident().saturating_sub(before);
    println!("one byte for three thousand: {outcome:?}, {grown} KiB");
    assert!(grown < COST_KIB, "{grown}");
    assert_eq!(upstream.heads().len(), 0);
    // A cookie in very many pieces.
    let mut crumbs = get();
    for _ in 0..4_000 {
        crumbs.extend(block(&[("cookie", "")]));
    }
    let mut client = H2::connect(gateway.address);
    let mut pieces = crumbs.chunks(16_000).peekable();
    let mut kind = HEADERS;
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        let ends = if kind == HEADERS { END_STREAM } else { 0 };
        client.frame(kind, last | ends, 1, piece);
        kind = CONTINUATION;
    }
    let outcome = client.outcome(1);
    assert_eq!(outcome.status().unwrap_or(431), 431, "{outcome:?}");
    assert_eq!(upstream.heads().len(), 0);
}

#[test]
fn frames_that_ask_for_work_cost_no_memory() {
    let upstream = silent();
    let gateway = Gateway::before(upstream.address);
    borne("settings", &flood(&gateway, &[], 4 * MIB, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])));
    borne("settings acknowledged", &flood(&gateway, &[], 4 * MIB, |_| frame(SETTINGS, ACK, 0, &[])));
    borne("pings", &flood(&gateway, &[], 4 * MIB, |_| frame(PING, 0, 0, &[0; 8])));
    borne("pings answered", &flood(&gateway, &[], 4 * MIB, |_| frame(PING, ACK, 0, &[0; 8])));
    borne(
        "priorities",
        &flood(&gateway, &[], 4 * MIB, |turn| frame(PRIORITY, 0, turn * 2 + 1, &[0, 0, 0, 0, 1])),
    );
    borne("frames that nobody knows", &flood(&gateway, &[], 4 * MIB, |_| frame(0xbb, 0, 0, &[0; 1024])));
    let open = frame(HEADERS, END_HEADERS, 1, &block(&head("POST", "/app/x")));
    borne("windows", &flood(&gateway, &open, 2 * MIB, |_| frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])));
}

#[test]
fn bodies_of_nothing_are_cut_off() {
    let upstream = silent();
    let gateway = Gateway::before(upstream.address);
    let open = frame(HEADERS, END_HEADERS, 1, &block(&head("POST", "/app/x")));
    let flood = flood(&gateway, &open, 8 * MIB, |_| frame(DATA, 0, 1, &[]));
    cut_off("empty data", &flood);
}

#[test]
fn pings_whose_answers_nobody_reads_cost_no_memory() {
    use std::io::Write;
    let upstream = silent();
    let gateway = Gateway::before(upstream.address);
    let before = resident();
    let mut client = H2::connect(gateway.address);
    client.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(4_000);
    let settings = frame(SETTINGS, 0, 0, &[]).repeat(4_000);
    let mut written = 0;
    while written < 64 * MIB
        && client.stream.write_all(&pings).and_then(|()| client.stream.write_all(&settings)).is_ok()
    {
        written += pings.len() + settings.len();
    }
    let grown = resident().saturating_sub(before);
    println!("unread pings: {written} bytes, {grown} KiB");
    assert!(written < 64 * MIB, "the gateway takes whatever comes");
    assert!(grown < COST_KIB, "{grown}");
    assert_eq!(gateway.request("GET /app/other", &[]).status, 200);
}

#[test]
fn no_more_streams_are_open_than_may_be() {
    let upstream = silent();
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.h2_streams = 10).start();
    let mut client = H2::connect(gateway.address);
    for turn in 0..40 {
        client.frame(HEADERS, END_HEADERS | END_STREAM, turn * 2 + 1, &get());
    }
    // The last one has no room, whatever becomes of the first.
    let outcome = client.outcome(79);
    assert!(
        matches!(outcome, crate::support::h2::Outcome::Reset(7) | crate::support::h2::Outcome::GoAway(_)),
        "{outcome:?}"
    );
    assert!(upstream.heads().len() <= 10, "{}", upstream.heads().len());
}

#[test]
fn a_window_that_stays_shut_is_not_waited_for() {
    let body = "v".repeat(200_000);
    let upstream = Upstream::scripted(move |wire| {
        while wire.read_head()?.is_some() {
            wire.write(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes(),
            )?;
        }
        Ok(())
    });
    let setup = Gateway::setup().upstream("app", &[upstream.address]);
    let gateway = setup.limits(|limits| limits.idle_timeout = Duration::from_millis(200)).start();
    let started = Instant::now();
    let mut client = H2::with_settings(gateway.address, &[(1, 0), (4, 0)]);
    for turn in 0..20 {
        client.frame(HEADERS, END_HEADERS | END_STREAM, turn * 2 + 1, &get());
    }
    client.end();
    assert!(started.elapsed() < crate::support::PATIENCE, "it is held for ever");
    assert_eq!(gateway.request("GET /app/x", &[]).status, 200);
}
