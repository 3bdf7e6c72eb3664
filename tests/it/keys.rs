//! Keys as they are fetched: from a server of our own that changes its mind, misbehaves and goes away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gatewarden::control::fetch::{FetchError, FetchLimits, Fetcher};
use gatewarden::control::keys::{Cadence, Keyring};
use gatewarden::plumbing::{IssuerConfig, KeySource};
use gatewarden::request::Timestamp;
use gatewarden::token::signer::Signer;
use gatewarden::token::{
    Algorithm, CacheLimits, DevTokens, Issuer, IssuerKind, KeyCell, TokenError, Verifier,
};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A server that answers each path with the bytes that it was given for it.
#[derive(Clone, Default)]
struct Provider {
    answers: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    fn answer(&self, path: &str, status: &str, body: &str) {
        let bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.answers.lock().unwrap().insert(path.to_owned(), bytes.into_bytes());
    }

    async fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let provider = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(provider.clone().serve(stream));
            }
        });
        port
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        if let Some(answer) = answer {
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        } else {
            // Never answers; the other side gives up.
            let _ = stream.read_u8().await;
        }
    }
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

fn fetcher() -> Fetcher {
    Fetcher::trusting(RootCertStore::empty(), FetchLimits::default()).unwrap()
}

/// Looks often, but fetches again only when asked to or after a failure.
fn cadence() -> Cadence {
    let short = Duration::from_millis(5);
    let long = Duration::from_secs(3600);
    Cadence {
        refresh: long,
        jitter: Duration::ZERO,
        file: short,
        unknown_key: short,
        retry_first: short,
        retry_most: short,
        tick: short,
    }
}

/// A cell that is kept fresh from there.
fn tended(ring: &Keyring, keys: KeySource) -> Arc<KeyCell> {
    let cell = Arc::new(KeyCell::empty());
    ring.tend(&configured(keys), &cell);
    cell
}

fn configured(keys: KeySource) -> IssuerConfig {
    IssuerConfig {
        name: "sso".into(),
        kind: IssuerKind::Oidc,
        issuer: "https://sso.example".into(),
        audience: vec!["api".into()],
        algorithms: vec!["EdDSA".into()],
        keys,
        leeway: Duration::from_secs(30),
    }
}

fn verifier(keys: &Arc<KeyCell>) -> Verifier {
    let issuer = Issuer {
        name: "sso".into(),
        kind: IssuerKind::Oidc,
        issuer: "https://sso.example".into(),
        audience: vec!["api".into()],
        algorithms: vec![Algorithm::EdDsa],
        leeway_s: 30,
        keys: Arc::clone(keys),
    };
    Verifier::new(vec![issuer], DevTokens::Refused, CacheLimits::default()).unwrap()
}

fn token(signer: &Signer) -> String {
    let claims = json!({"iss": "https://sso.example", "sub": "ada", "aud": "api", "exp": now().0 + 300});
    signer.sign(&claims).unwrap()
}

fn verdict(verifier: &Verifier, raw: &str) -> Result<(), TokenError> {
    verifier.verify(raw, now()).map(|_| ()).map_err(|refused| refused.error)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} never came");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn keys_follow_a_rotation_that_a_token_tells_of() {
    let (old, new) = (
        Signer::generate(Algorithm::EdDsa, "old").unwrap(),
        Signer::generate(Algorithm::EdDsa, "new").unwrap(),
    );
    let provider = Provider::default();
    let port = provider.start().await;
    let metadata =
        json!({"issuer": "https://sso.example", "jwks_uri": format!("http://127.0.0.1:{port}/keys")});
    provider.answer("/metadata", "200 OK", &metadata.to_string());
    provider.answer("/keys", "200 OK", &old.jwks());
    let ring = Keyring::new(fetcher(), cadence());
    let keys = tended(&ring, KeySource::Metadata(format!("http://127.0.0.1:{port}/metadata")));
    let verifier = verifier(&keys);
    let (old_token, new_token) = (token(&old), token(&new));
    until("the first keys", || verdict(&verifier, &old_token).is_ok()).await;
    provider.answer("/keys", "200 OK", &new.jwks());
    assert_eq!(verdict(&verifier, &new_token), Err(TokenError::UnknownKey));
    until("the new keys", || verdict(&verifier, &new_token).is_ok()).await;
    assert_eq!(verdict(&verifier, &old_token), Err(TokenError::UnknownKey), "nothing outlives its key");
}

#[tokio::test]
async fn a_provider_that_is_down_costs_neither_the_start_nor_the_last_keys() {
    let signer = Signer::generate(Algorithm::EdDsa, "k").unwrap();
    let provider = Provider::default();
    let port = provider.start().await;
    provider.answer("/keys", "503 Service Unavailable", "");
    let ring = Keyring::new(fetcher(), cadence());
    let keys = tended(&ring, KeySource::Url(format!("http://127.0.0.1:{port}/keys")));
    let verifier = verifier(&keys);
    let raw = token(&signer);
    assert_eq!(verdict(&verifier, &raw), Err(TokenError::KeysUnavailable));
    until("a failure", || keys.status().failures > 1).await;
    provider.answer("/keys", "200 OK", &signer.jwks());
    until("the keys", || verdict(&verifier, &raw).is_ok()).await;
    for (status, body) in [("500 Oops", ""), ("200 OK", "<html>"), ("200 OK", r#"{"keys":[]}"#)] {
        provider.answer("/keys", status, body);
        let before = keys.status().failures;
        keys.want_refresh();
        until("another failure", || keys.status().failures > before).await;
        assert_eq!(verdict(&verifier, &raw), Ok(()), "{body}");
    }
    assert_eq!(keys.status().keys, 1);
}

#[tokio::test]
async fn a_cell_is_tended_once_and_for_as_long_as_it_is_held() {
    let provider = Provider::default();
    let port = provider.start().await;
    provider.answer("/keys", "200 OK", &Signer::generate(Algorithm::EdDsa, "k").unwrap().jwks());
    let ring = Keyring::new(fetcher(), cadence());
    let keys = KeySource::Url(format!("http://127.0.0.1:{port}/keys"));
    let cell = tended(&ring, keys.clone());
    ring.tend(&configured(keys), &cell);
    assert_eq!(Arc::weak_count(&cell), 2, "the ring knows it, and one task tends it");
    until("the keys", || cell.status().keys == 1).await;
    cell.want_refresh();
    until("the second fetch", || provider.asked.load(Ordering::SeqCst) == 2).await;
    let watch = Arc::downgrade(&cell);
    drop(cell);
    until("the end of the task", || watch.strong_count() == 0).await;
}

#[tokio::test]
async fn a_key_file_is_read_at_once_and_again_when_it_changes() {
    let (old, new) = (
        Signer::generate(Algorithm::EdDsa, "old").unwrap(),
        Signer::generate(Algorithm::EdDsa, "new").unwrap(),
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, old.jwks()).unwrap();
    let ring = Keyring::new(fetcher(), cadence());
    let keys = tended(&ring, KeySource::File(path.clone()));
    let verifier = verifier(&keys);
    assert_eq!(verdict(&verifier, &token(&old)), Ok(()));
    std::fs::write(&path, new.jwks()).unwrap();
    until("the new keys", || verdict(&verifier, &token(&new)).is_ok()).await;
    for break_it in [
        |path: &std::path::Path| std::fs::write(path, "{"),
        |path: &std::path::Path| std::fs::remove_file(path),
    ] {
        break_it(&path).unwrap();
        let before = keys.status().failures;
        until("a failure", || keys.status().failures > before + 1).await;
        assert_eq!(verdict(&verifier, &token(&new)), Ok(()));
    }
    std::fs::write(&path, " ".repeat(300 * 1024) + &old.jwks()).unwrap();
    let before = keys.status().failures;
    until("a failure", || keys.status().failures > before + 1).await;
    assert_eq!(verdict(&verifier, &token(&old)), Err(TokenError::UnknownKey), "too large to be read");
}

#[tokio::test]
async fn a_fetch_is_bounded_and_goes_where_it_was_told() {
    let provider = Provider::default();
    let port = provider.start().await;
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let limits = FetchLimits { bytes: 1000, within: Duration::from_millis(300) };
    let fetcher = Fetcher::trusting(RootCertStore::empty(), limits).unwrap();
    provider.answer("/fits?a=b", "200 OK", &"x".repeat(1000));
    assert_eq!(fetcher.get(&at("/fits?a=b")).await.unwrap().len(), 1000);
    provider.answer("/large", "200 OK", &"x".repeat(1001));
    assert!(matches!(fetcher.get(&at("/large")).await, Err(FetchError::TooLarge)));
    let unbounded = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(5000));
    provider.answers.lock().unwrap().insert("/endless".into(), unbounded.into_bytes());
    assert!(matches!(fetcher.get(&at("/endless")).await, Err(FetchError::TooLarge)));
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec();
    provider.answers.lock().unwrap().insert("/cut".into(), cut);
    assert!(matches!(fetcher.get(&at("/cut")).await, Err(FetchError::Broken)));
    provider.answers.lock().unwrap().insert("/odd".into(), b"SSH-2.0-x\r\n\r\n".to_vec());
    assert!(matches!(fetcher.get(&at("/odd")).await, Err(FetchError::Http(_))));
    let header = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    provider.answers.lock().unwrap().insert("/head".into(), header.into_bytes());
    assert!(matches!(fetcher.get(&at("/head")).await, Err(FetchError::Http(_))));
    assert!(matches!(fetcher.get(&at("/silent")).await, Err(FetchError::TimedOut)));
    let before = provider.asked.load(Ordering::SeqCst);
    let moved = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", at("/fits?a=b"));
    provider.answers.lock().unwrap().insert("/moved".into(), moved.into_bytes());
    assert!(matches!(fetcher.get(&at("/moved")).await, Err(FetchError::Status(status)) if status == 302));
    assert_eq!(provider.asked.load(Ordering::SeqCst), before + 1, "a redirect isn't followed");
}

#[tokio::test]
async fn a_fetch_over_tls_needs_a_certificate_that_is_trusted() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = Provider::default();
    answers.answer("/keys", "200 OK", "{}");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(answers.clone().serve(stream));
            }
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let trusting = Fetcher::trusting(roots, FetchLimits::default()).unwrap();
    assert_eq!(trusting.get(&format!("https://localhost:{port}/keys")).await.unwrap(), "{}");
    assert!(trusting.get(&format!("https://127.0.0.1:{port}/keys")).await.is_err(), "the name must fit");
    assert!(fetcher().get(&format!("https://localhost:{port}/keys")).await.is_err());
}
