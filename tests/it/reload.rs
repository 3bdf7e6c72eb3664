//! Reload as operators meet it: however a file is saved, the new set is live soon, whole, and no other set ever is.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gatewarden::config::Trust;
use gatewarden::control::fetch::{FetchLimits, Fetcher};
use gatewarden::control::keys::{Cadence, Keyring};
use gatewarden::control::reload::{self, Handle, Hints, Loaded, Needs, Reloaded};
use gatewarden::control::sources;
use gatewarden::control::status::{Board, Status};
use gatewarden::snapshot::Live;
use gatewarden::telemetry::{Metrics, Mode, Trigger};
use rustls::RootCertStore;

const GATEWAY: &str = r#"
[issuers.sso]
kind     = "oidc"
issuer   = "https://sso.example"
audience = ["desk"]
jwks     = "keys.json"
[upstreams.desk]
at      = ["/desk"]
servers = ["http://127.0.0.1:1"]
"#;

/// A rule file that grants `what` to agents.
fn rules(what: &str) -> String {
    format!(
        "app = \"desk\"\nbase = \"/desk\"\nissuer = \"sso\"\nroles = \"token.roles\"\ntenant = \"acme\"\n\
         [facts.token]\nroles = \"set\"\n\
         [resource.customers]\nview = [\"GET /customers\"]\nedit = [\"PUT /customers\"]\n\
         [role.agent]\n{what} = [\"customers\"]\n"
    )
}
const TENANTS: &str = "[tenant.acme]\nids = [\"1\"]\napps = [\"desk\"]\n";

/// A gateway's files.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        fs::create_dir(place.path("rules")).unwrap();
        fs::write(place.gateway(), GATEWAY).unwrap();
        fs::write(place.path("keys.json"), "{\"keys\":[]}").unwrap();
        fs::write(place.path("rules/tenants.toml"), TENANTS).unwrap();
        fs::write(place.rule(), rules("view")).unwrap();
        place
    }
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
    fn gateway(&self) -> PathBuf {
        self.path("gateway.toml")
    }
    fn rule(&self) -> PathBuf {
        self.path("rules/desk.toml")
    }
}

/// A gateway's control plane, running.
struct Running {
    place: Place,
    live: Arc<Live>,
    board: Arc<Board>,
    handle: Handle,
    metrics: Arc<Metrics>,
    runtime: tokio::runtime::Runtime,
}

impl Running {
    fn start(place: Place, hints: Hints) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let inside = runtime.enter();
        let metrics = Arc::new(Metrics::new(Mode::Run).unwrap());
        let fetcher = Fetcher::trusting(RootCertStore::empty(), FetchLimits::default()).unwrap();
        let needs = Needs {
            fixed: None,
            trust: Arc::new(|| Trust::Configured),
            keyring: Arc::new(Keyring::new(fetcher, Cadence::default())),
        };
        let loaded = reload::load(place.gateway(), needs, metrics.clone());
        let loaded = loaded.unwrap_or_else(|not| {
            panic!("{}", not.why.render(&not.files, gatewarden::config::diagnostic::Style::Plain))
        });
        let Loaded { live, reloader, handle, board, .. } = loaded;
        runtime.spawn(reloader.run(hints));
        drop(inside);
        Self { place, live, board, handle, metrics, runtime }
    }

    fn reload(&self, trigger: Trigger) -> Reloaded {
        self.runtime.block_on(self.handle.reload(trigger)).unwrap()
    }

    /// Waits until the board shows what is expected; the time is the bar, and some for a busy machine.
    #[track_caller]
    fn until(&self, what: &str, expected: impl Fn(&Status) -> bool) -> Arc<Status> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let status = self.board.read();
            if expected(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "never {what}: {status:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn has_metric(&self, line: &str) {
        let text = self.metrics.render();
        assert!(text.lines().any(|own| own == line), "{line} not in\n{text}");
    }
}

fn hash_on_disk(place: &Place) -> String {
    sources::read(&place.gateway()).unwrap().hash
}

/// Saves `new` over the one rule file, in some editor's or deploy tool's way.
type Save = fn(&Place, &str);

const SAVES: [(&str, Save); 8] = [
    ("in place", |place, new| fs::write(place.rule(), new).unwrap()),
    ("truncated, then written slowly", |place, new| {
        fs::write(place.rule(), "").unwrap();
        // Shorter than the quiet time: a slow writer, not a stopped one.
        for end in [new.len() / 3, new.len() * 2 / 3, new.len()] {
            std::thread::sleep(Duration::from_millis(30));
            fs::write(place.rule(), &new[..end]).unwrap();
        }
    }),
    ("renamed over", |place, new| {
        fs::write(place.path("rules/.desk.toml.tmp"), new).unwrap();
        fs::rename(place.path("rules/.desk.toml.tmp"), place.rule()).unwrap();
    }),
    ("vim", |place, new| {
        fs::write(place.path("rules/4913"), "").unwrap();
        fs::remove_file(place.path("rules/4913")).unwrap();
        fs::rename(place.rule(), place.path("rules/desk.toml~")).unwrap();
        fs::write(place.rule(), new).unwrap();
        fs::remove_file(place.path("rules/desk.toml~")).unwrap();
    }),
    ("deleted and created", |place, new| {
        fs::remove_file(place.rule()).unwrap();
        fs::write(place.rule(), new).unwrap();
    }),
    ("same size and time", |place, new| {
        let before = fs::metadata(place.rule()).unwrap();
        assert_eq!(before.len(), new.len() as u64);
        fs::write(place.rule(), new).unwrap();
        let file = fs::File::options().write(true).open(place.rule()).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
    }),
    ("directory replaced", |place, new| {
        let next = place.path("rules-next");
        fs::create_dir(&next).unwrap();
        fs::write(next.join("tenants.toml"), TENANTS).unwrap();
        fs::write(next.join("desk.toml"), new).unwrap();
        let old = place.path(&format!("rules-{}", new.len()));
        fs::rename(place.path("rules"), &old).unwrap();
        fs::rename(next, place.path("rules")).unwrap();
        fs::remove_dir_all(old).unwrap();
    }),
    ("config map swapped", |place, new| {
        let rules = place.path("rules");
        let (old, next) = (fs::read_link(rules.join("..data")).ok(), format!("..{}", next_number()));
        fs::create_dir(rules.join(&next)).unwrap();
        fs::write(rules.join(&next).join("tenants.toml"), TENANTS).unwrap();
        fs::write(rules.join(&next).join("desk.toml"), new).unwrap();
        symlink(&next, rules.join("..data_tmp")).unwrap();
        fs::rename(rules.join("..data_tmp"), rules.join("..data")).unwrap();
        for name in ["tenants.toml", "desk.toml"] {
            if !rules.join(name).is_symlink() {
                symlink(Path::new("..data").join(name), rules.join(format!("{name}.new"))).unwrap();
                fs::rename(rules.join(format!("{name}.new")), rules.join(name)).unwrap();
            }
        }
        if let Some(old) = old {
            fs::remove_dir_all(rules.join(old)).unwrap();
        }
    }),
];

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Saves twice, as the first save may change what the second meets (a new inode, a new link), and watches
/// every set that is ever live.
fn saved(hints: Hints, name: &str, save: Save) {
    let running = Running::start(Place::new(), hints);
    let mut allowed = BTreeSet::from([hash_on_disk(&running.place)]);
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let sampler = {
        let (live, seen, stop) = (running.live.clone(), seen.clone(), stop.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                seen.lock().unwrap().insert(live.load().hash.to_string());
                std::thread::sleep(Duration::from_micros(500));
            }
        })
    };
    for what in ["edit", "view"] {
        save(&running.place, &rules(what));
        let wanted = hash_on_disk(&running.place);
        allowed.insert(wanted.clone());
        running.until(name, |status| status.hash == wanted && status.rejected.is_none());
        assert_eq!(*running.live.load().hash, *wanted, "{name}");
    }
    stop.store(true, Ordering::Relaxed);
    sampler.join().unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.is_subset(&allowed), "{name}: a set that nobody saved was live");
}

#[test]
fn every_way_to_save_is_noticed() {
    std::thread::scope(|scope| {
        for (name, save) in SAVES {
            scope.spawn(move || saved(Hints::FileSystem, name, save));
        }
    });
}

#[test]
fn every_way_to_save_is_noticed_without_file_events() {
    std::thread::scope(|scope| {
        for (name, save) in SAVES {
            scope.spawn(move || saved(Hints::None, name, save));
        }
    });
}

#[test]
fn break_revert_break_repair_is_visible_each_time() {
    let running = Running::start(Place::new(), Hints::FileSystem);
    let good = rules("view");
    let first = running.board.read();
    let healthy = || {
        running.has_metric("gatewarden_config_last_reload_successful 1");
    };
    healthy();
    for _ in 0..2 {
        fs::write(running.place.rule(), good.replace("customers\"]\n", "custmers\"]\n")).unwrap();
        let broken = running.until("rejected", |status| status.rejected.is_some());
        let refusal = broken.rejected.clone().unwrap();
        assert!(refusal.first.contains("GW2002") && refusal.first.contains("desk.toml:"), "{refusal:?}");
        assert!(refusal.rendered.contains("did you mean `customers`?"), "{}", refusal.rendered);
        assert_eq!((&broken.hash, broken.revision), (&first.hash, first.revision));
        assert_eq!(*running.live.load().hash, *first.hash);
        running.has_metric("gatewarden_config_last_reload_successful 0");
        running.has_metric(&format!("gatewarden_config_info{{hash=\"{}\"}} 1", first.hash));
        fs::write(running.place.rule(), &good).unwrap();
        let back = running.until("reverted", |status| status.rejected.is_none());
        assert_eq!(back.revision, first.revision, "nothing was compiled again");
        healthy();
    }
    fs::write(running.place.rule(), "app = ").unwrap();
    running.until("rejected", |status| status.rejected.is_some());
    fs::write(running.place.rule(), rules("edit")).unwrap();
    let repaired = running.until("repaired", |status| status.rejected.is_none());
    assert_eq!(repaired.revision, first.revision + 1);
    healthy();
}

#[test]
fn an_empty_or_vanished_directory_keeps_the_live_rules() {
    let running = Running::start(Place::new(), Hints::FileSystem);
    let first = running.live.load().hash.clone();
    fs::rename(running.place.path("rules"), running.place.path("gone")).unwrap();
    let status = running.until("rejected", |status| status.rejected.is_some());
    assert!(status.rejected.as_ref().unwrap().first.starts_with("GW9001 the rule directory"), "{status:?}");
    fs::create_dir(running.place.path("rules")).unwrap();
    let empty = |status: &Status| {
        status.rejected.as_ref().is_some_and(|refusal| refusal.first.contains("holds no rule file"))
    };
    running.until("rejected as empty", empty);
    assert_eq!(running.live.load().hash, first);
    fs::remove_dir(running.place.path("rules")).unwrap();
    fs::rename(running.place.path("gone"), running.place.path("rules")).unwrap();
    running.until("back", |status| status.rejected.is_none());
}

#[test]
fn asking_for_a_reload_answers_with_what_came_of_it() {
    // Without hints, and asked for at once: nothing but the request brings it in.
    let running = Running::start(Place::new(), Hints::None);
    assert_eq!(running.reload(Trigger::Signal), Reloaded::Unchanged);
    fs::write(running.place.rule(), rules("edit")).unwrap();
    let applied = running.reload(Trigger::Admin);
    // The poll may have been a moment faster; then there is nothing left to apply.
    assert!(matches!(applied, Reloaded::Applied | Reloaded::Unchanged), "{applied:?}");
    assert_eq!(*running.live.load().hash, *hash_on_disk(&running.place));
    fs::write(running.place.rule(), "app = ").unwrap();
    for _ in 0..2 {
        let Reloaded::Rejected(refusal) = running.reload(Trigger::Admin) else { panic!("it is broken") };
        assert!(refusal.errors > 0 && refusal.rendered.contains("GW"), "{refusal:?}");
    }
}

#[test]
fn what_only_narrows_goes_live_where_that_is_asked_for() {
    let expecting = |grants: &str, row: &str| {
        rules("view").replace("view = [\"customers\"]\n", &format!("{grants}\n[expect]\n{row}\n"))
    };
    let place = Place::new();
    let row = "\"agent GET /customers\" = \"allow\"";
    fs::write(place.rule(), expecting("view = [\"customers\"]", row)).unwrap();
    let running = Running::start(place, Hints::None);
    let narrow = || running.runtime.block_on(running.handle.narrow(Trigger::Admin)).unwrap();
    fs::write(running.place.rule(), expecting("view = []", row)).unwrap();
    let Reloaded::Rejected(refusal) = running.reload(Trigger::Admin) else {
        panic!("nothing was expected of it")
    };
    assert!(refusal.rendered.contains("GW4004"), "{}", refusal.rendered);
    assert_eq!(narrow(), Reloaded::Applied);
    let does = running.board.read().does.clone().unwrap();
    assert_eq!(does, "it only narrows: 0 gained, 1 lost, 0 answered differently, 0 settings");
    // It stays told: the files as they are can't be started with.
    let unexpected = running.board.read().unexpected.clone();
    assert!(unexpected.len() == 1 && unexpected[0].contains("GW4004"), "{unexpected:?}");
    assert_eq!(running.reload(Trigger::Admin), Reloaded::Unchanged);
    assert_eq!(running.board.read().to_json()["unexpected"], serde_json::json!(unexpected));
    // The same again, and more: that isn't narrower.
    fs::write(running.place.rule(), expecting("edit = [\"customers\"]", row)).unwrap();
    let Reloaded::Rejected(refusal) = narrow() else { panic!("it widens") };
    assert!(refusal.rendered.contains("agent gains customers#edit"), "{}", refusal.rendered);
    assert_eq!(running.board.read().revision, 2);
    // A mistake is a mistake.
    fs::write(running.place.rule(), "app = ").unwrap();
    assert!(matches!(narrow(), Reloaded::Rejected(_)));
}

#[test]
fn what_needs_a_restart_is_said_and_the_rest_goes_live() {
    let running = Running::start(Place::new(), Hints::FileSystem);
    let changed = format!("[listen]\naddress = \"127.0.0.1:1\"\n{GATEWAY}connect-timeout = \"1s\"\n");
    fs::write(running.place.gateway(), changed).unwrap();
    let status = running.until("pending", |status| !status.pending_restart.is_empty());
    assert_eq!(status.pending_restart, ["listen.address"]);
    assert_eq!(running.live.load().gateway.upstreams[0].connect_timeout, Duration::from_secs(1));
    fs::write(running.place.gateway(), GATEWAY).unwrap();
    running.until("taken back", |status| status.pending_restart.is_empty());
}

#[test]
fn an_issuers_keys_survive_a_reload() {
    let running = Running::start(Place::new(), Hints::FileSystem);
    let keys = |running: &Running| running.live.load().verifier.issuers().next().unwrap().keys.clone();
    let before = keys(&running);
    fs::write(running.place.rule(), rules("edit")).unwrap();
    running.until("applied", |status| status.revision == 2);
    assert!(Arc::ptr_eq(&before, &keys(&running)));
}
