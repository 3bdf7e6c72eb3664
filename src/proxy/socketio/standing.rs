//! Who opened a socket, and how: what is needed to judge its opening again, and each of its events, by the rules of now.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, SEC_WEBSOCKET_KEY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::Notify;

use crate::authorize::{self, Event, Evidence, Opening, Permit, Ruling, Upgrade};
use crate::json::strict::{self, Strictness};
use crate::lookup::Forgetting;
use crate::outcome::Ending;
use crate::policy::App;
use crate::policy::socket::SocketRules;
use crate::proxy::answering::{Answering, Instead, now};
use crate::proxy::forward::Outbound;
use crate::proxy::plane::Plane;
use crate::proxy::record::Recorder;
use crate::rejection::Rejection;
use crate::request::{
    CanonicalPath, ClientCertificate, Credential, Host, Malformed, Query, RequestView, read_host,
};
use crate::snapshot::Snapshot;
use crate::token::VerifiedToken;

/// Longest time that an application may say nothing, whatever it says of itself.
const SILENCE_MAX_MS: u64 = 600_000;

/// Who opened a socket, and how.
#[derive(Debug)]
pub(in crate::proxy) struct Standing {
    app: Arc<str>,
    /// What the opening was judged by last; `None` where nothing but the opening is judged.
    rules: Option<Mutex<Arc<SocketRules>>>,
    head: Head,
    caller: Mutex<Option<Arc<VerifiedToken>>>,
    /// Whether each request carries the token itself.
    pub(super) is_carried: bool,
    /// The caller's token is another one now.
    pub(super) changed: Notify,
    pub(super) began: Instant,
    /// Milliseconds that the application may say nothing, once that is known.
    silence_ms: AtomicU64,
    /// Milliseconds from the beginning to what it said last.
    heard_ms: AtomicU64,
    /// Which rules held when the opening was judged last.
    mark: AtomicU64,
    /// The app's writes that the opening was judged after last.
    written: AtomicU64,
}

/// The opening's head, in memory of its own: what hyper reads holds on to its whole buffer.
#[derive(Debug)]
struct Head {
    method: Method,
    host: Host,
    path: Box<str>,
    query: Box<str>,
    headers: HeaderMap,
    client: IpAddr,
    certificate: Option<Arc<ClientCertificate>>,
}

/// Why an event isn't passed on.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) rejection: Rejection,
    /// The id under which it is recorded.
    pub(super) id: HeaderValue,
}

impl Standing {
    /// Of a permitted opening, which the recorder has the evidence of.
    pub(in crate::proxy) fn new(
        outbound: &Outbound,
        opening: Option<&Opening>,
        recorder: &Recorder,
    ) -> Result<Self, Rejection> {
        let (parts, evidence) = (&outbound.parts, recorder.evidence());
        let mut headers = HeaderMap::with_capacity(parts.headers.len());
        for (name, value) in &parts.headers {
            if name != AUTHORIZATION && name != SEC_WEBSOCKET_KEY {
                let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| Rejection::Internal)?;
                headers.append(name, value);
            }
        }
        let caller = evidence.caller.clone();
        let app = evidence.app.clone().ok_or(Rejection::Internal)?;
        let written = recorder.plane().lookups().written(&app);
        Ok(Self {
            app,
            rules: opening.map(|opening| Mutex::new(opening.rules.clone())),
            head: Head {
                method: parts.method.clone(),
                host: read_host(parts.version, &parts.uri, &parts.headers)?,
                path: parts.uri.path().into(),
                query: parts.uri.query().unwrap_or_default().into(),
                headers,
                client: outbound.origin.client,
                certificate: outbound.origin.certificate.clone(),
            },
            is_carried: caller.is_some(),
            caller: Mutex::new(caller),
            changed: Notify::new(),
            began: Instant::now(),
            silence_ms: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            mark: AtomicU64::new(recorder.mark()),
            written: AtomicU64::new(written),
        })
    }

    pub(in crate::proxy) fn app(&self) -> &Arc<str> {
        &self.app
    }

    pub(super) fn rules(&self) -> Option<Arc<SocketRules>> {
        let rules = self.rules.as_ref()?;
        Some(rules.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Notes by what the opening was judged. A socket stays what it is: nobody would judge the events of one that was
    /// a tunnel so far.
    fn judged_by(&self, upgrade: &Upgrade) -> Result<(), Rejection> {
        match (&self.rules, upgrade) {
            (Some(rules), Upgrade::SocketIo(opening)) => {
                *rules.lock().unwrap_or_else(PoisonError::into_inner) = opening.rules.clone();
                Ok(())
            }
            (None, Upgrade::WebSocket) => Ok(()),
            _ => Err(Rejection::Denied),
        }
    }

    /// Who the caller is, if that was proven.
    pub(super) fn caller(&self) -> Option<Arc<VerifiedToken>> {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The caller's token, or the same caller's newer one.
    pub(super) fn proven(&self, token: Arc<VerifiedToken>) {
        let mut caller = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = caller.as_ref().is_none_or(|own| !Arc::ptr_eq(own, &token));
        if is_other {
            *caller = Some(token);
            drop(caller);
            self.changed.notify_one();
        }
    }

    /// Whether this is the caller, or may be because nobody knows the caller yet.
    pub(super) fn is_of(&self, token: &VerifiedToken) -> bool {
        let is_same =
            |own: Arc<VerifiedToken>| own.issuer() == token.issuer() && own.subject() == token.subject();
        self.caller().is_none_or(is_same)
    }

    /// The application said something.
    pub(super) fn heard(&self) {
        let age = self.began.elapsed().as_millis();
        self.heard_ms.store(u64::try_from(age).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The application may say nothing for so long.
    pub(super) fn may_be_silent(&self, silence: Duration) {
        let silence = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX).min(SILENCE_MAX_MS);
        self.silence_ms.store(silence, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// When the application has said nothing for too long, if that is known.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        let silence = self.silence_ms.load(Ordering::Relaxed);
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        (silence > 0).then(|| self.began + heard + Duration::from_millis(silence))
    }

    /// Whether other rules hold than those that the opening was judged by last, or what its app said then may have been
    /// changed by a write.
    pub(super) fn is_outdated(&self, plane: &Plane) -> bool {
        self.mark.load(Ordering::Relaxed) != plane.load_marked().1
            || self.written.load(Ordering::Relaxed) != plane.lookups().written(&self.app)
    }

    /// Judges the opening by the rules of now, for the caller of now.
    pub(super) async fn reopen(&self, plane: &Arc<Plane>) -> Result<Upgrade, Rejection> {
        let ((snapshot, mark), path) = (plane.load_marked(), CanonicalPath::parse(&self.head.path)?);
        let written = plane.lookups().written(&self.app);
        let view = self.head.view(&path)?;
        let ruling = authorize::reopen(&snapshot, &view, self.caller().as_ref(), now());
        let other: Instead<'_> = &|rules, caller, _| authorize::reopen(rules, &view, Some(caller), now());
        let judged = Asked { snapshot: &snapshot, view: &view, event: None };
        let settled = settled(plane, judged, (ruling, other)).await;
        self.mark.store(mark, Ordering::Relaxed);
        self.written.store(written, Ordering::Relaxed);
        let upgrade = settled.map_err(|refused| refused.rejection)?.upgrade().clone();
        self.judged_by(&upgrade)?;
        Ok(upgrade)
    }

    /// Judges the opening for whoever a token proves.
    pub(super) async fn admit(&self, plane: &Arc<Plane>, token: &str) -> Result<Arc<Opening>, Rejection> {
        let (snapshot, path) = (plane.load(), CanonicalPath::parse(&self.head.path)?);
        let view = self.head.view(&path)?;
        let ruling = authorize::authorize(&snapshot, &view, Credential::Bearer(token.as_bytes()), now());
        let other: Instead<'_> = &|rules, own, body| authorize::instead(rules, &view, own, body, now());
        let judged = Asked { snapshot: &snapshot, view: &view, event: None };
        let permit = settled(plane, judged, (ruling, other)).await.map_err(|refused| refused.rejection)?;
        let Upgrade::SocketIo(opening) = permit.upgrade() else { return Err(Rejection::Denied) };
        let token = opening.caller.clone().ok_or(Rejection::CredentialMissing)?;
        if !self.is_of(&token) {
            return Err(Rejection::Denied);
        }
        self.proven(token);
        Ok(opening.clone())
    }

    /// Judges an event.
    pub(super) async fn event(
        &self,
        plane: &Arc<Plane>,
        name: &str,
        first: Option<&str>,
    ) -> Result<(), Refused> {
        let snapshot = plane.load();
        let unjudged = |rejection: Rejection| unjudged(plane, &snapshot, rejection);
        let path = CanonicalPath::parse(&self.head.path).map_err(|why| unjudged(why.into()))?;
        let view = self.head.view(&path).map_err(|why| unjudged(why.into()))?;
        let caller = self.caller().ok_or(Rejection::CredentialMissing).map_err(unjudged)?;
        let said = Said { app: &self.app, name, first };
        let event = said.to(&snapshot).map_err(unjudged)?;
        let ruling = authorize::event(&snapshot, &view, &caller, &event, now());
        let other: Instead<'_> = &|rules, caller, _| match said.to(rules) {
            Ok(event) => authorize::event(rules, &view, caller, &event, now()),
            Err(why) => Ruling::Refuse(why, Evidence::default()),
        };
        let judged = Asked { snapshot: &snapshot, view: &view, event: Some(&event) };
        let mut permit = settled(plane, judged, (ruling, other)).await?;
        // When the app is done with an event nobody sees; what is remembered goes at once, and again later.
        let _write = Forgetting::new(plane.lookups().clone(), permit.take_forgets());
        Ok(())
    }
}

/// An event as it was sent.
#[derive(Clone, Copy)]
struct Said<'a> {
    app: &'a str,
    name: &'a str,
    first: Option<&'a str>,
}

impl<'a> Said<'a> {
    /// As these rules number apps, with what they read of it.
    fn to(self, rules: &Snapshot) -> Result<Event<'a>, Rejection> {
        let app = rules.apps.iter().position(|own| *own.name == *self.app).ok_or(Rejection::NoRoute)?;
        let reads = rules.apps.get(app).is_some_and(App::reads_body);
        let payload = match self.first.filter(|_| reads) {
            Some(first) => {
                let read = strict::read(first.as_bytes(), Strictness::BODY);
                Some(Arc::new(read.map_err(|_| Malformed::Body)?))
            }
            None => None,
        };
        Ok(Event { app, name: self.name, payload })
    }
}

impl Head {
    fn view<'h>(&'h self, path: &'h CanonicalPath<'h>) -> Result<RequestView<'h>, Malformed> {
        Ok(RequestView {
            method: &self.method,
            host: &self.host,
            path,
            query: Query::parse(&self.query)?,
            headers: &self.headers,
            client: self.client,
            certificate: self.certificate.as_deref(),
        })
    }
}

/// What is asked about a socket: one of its events, or its opening once more.
#[derive(Clone, Copy)]
struct Asked<'a> {
    snapshot: &'a Arc<Snapshot>,
    view: &'a RequestView<'a>,
    event: Option<&'a Event<'a>>,
}

/// Answers a ruling's questions, and writes down what came of it.
async fn settled(
    plane: &Arc<Plane>,
    asked: Asked<'_>,
    (ruling, other): (Ruling, Instead<'_>),
) -> Result<Permit, Refused> {
    let Asked { snapshot, view, event } = asked;
    let mut recorder = Recorder::of_event(plane.enter(snapshot.gateway.limits.requests));
    recorder.judged_by(snapshot.revision);
    let settled = match recorder.is_over_capacity() {
        true => Err(Rejection::Overloaded),
        false => {
            let upstreams = plane.upstreams(snapshot);
            let answering = Answering { plane, upstreams: &upstreams, snapshot };
            let settled = answering.settle(ruling, view, None, other).await;
            // An opening was compared when it was a request.
            if event.is_some() || settled.candidate.is_some() {
                recorder.compared((snapshot, view), event, &settled);
            }
            let asked = (view, event.map(|own| own.name));
            let kept = recorder.keep(snapshot, asked, &settled);
            recorder.decided(settled.evidence);
            settled.ruled.and_then(|permit| kept.map(|()| permit))
        }
    };
    match settled {
        Ok(permit) => {
            recorder.responded(StatusCode::OK);
            recorder.ended(Ending::Answered);
            Ok(permit)
        }
        Err(rejection) => {
            recorder.responded(rejection.status());
            recorder.ended(Ending::Own(rejection.reason()));
            Err(Refused { id: recorder.request_id().clone(), rejection })
        }
    }
}

/// A refusal of something that no rule was asked about, recorded like any other.
fn unjudged(plane: &Arc<Plane>, snapshot: &Snapshot, rejection: Rejection) -> Refused {
    let mut recorder = Recorder::of_event(plane.enter(snapshot.gateway.limits.requests));
    recorder.judged_by(snapshot.revision);
    recorder.keep_refusal();
    recorder.responded(rejection.status());
    recorder.ended(Ending::Own(rejection.reason()));
    Refused { id: recorder.request_id().clone(), rejection }
}
