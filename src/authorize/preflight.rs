//! What a browser is told that asks before it sends a page's request. It permits nothing: the request that follows is
//! judged like any other.

use std::sync::Arc;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::policy::cors::Cors;
use crate::policy::{App, Operation};
use crate::request::RequestView;
use crate::route::{Match, Verb};
use crate::snapshot::Snapshot;

/// What a browser asked beforehand.
#[derive(Clone, Debug)]
pub enum Preflight {
    /// Whether it may send a request for an operation that there is, from a page that may read the answer.
    Allowed {
        /// The app.
        app: Arc<str>,
        /// The operation's path template.
        route: Arc<str>,
        /// What its file says.
        cors: Arc<Cors>,
        /// The origin, as the browser is told.
        origin: HeaderValue,
        /// The methods that the path has for that page.
        methods: Vec<Method>,
    },
    /// The same from a page that may not. It is told what anyone is told who sends an `OPTIONS`.
    Foreign {
        /// The app.
        app: Arc<str>,
    },
}

impl Preflight {
    /// What the request asks, if that is what it is: for an operation of an app that says what pages may do, on a path
    /// that has no `OPTIONS` of its own.
    #[must_use]
    pub fn read(snapshot: &Snapshot, request: &RequestView<'_>) -> Option<Self> {
        if snapshot.cross_origin.is_empty() || *request.method != Method::OPTIONS {
            return None;
        }
        let origin = one(request.headers, &ORIGIN)?;
        let asked = one(request.headers, &ACCESS_CONTROL_REQUEST_METHOD)?;
        let asked = Verb::of(&Method::from_bytes(asked.as_bytes()).ok()?)?;
        if claims(snapshot, request, Verb::Options).next().is_some() {
            return None;
        }
        let allowed = |verb| {
            claims(snapshot, request, verb).find_map(|(app, operation)| {
                let cors = app.cors.as_ref()?;
                Some((app, operation, cors, cors.allowed(origin)?))
            })
        };
        let Some((app, operation, cors, origin)) = allowed(asked) else {
            let mut telling = claims(snapshot, request, asked).filter(|(app, _)| app.cors.is_some());
            return telling.next().map(|(app, _)| Self::Foreign { app: app.name.clone() });
        };
        let verbs: Vec<Verb> = Verb::ALL.into_iter().filter(|verb| allowed(*verb).is_some()).collect();
        Some(Self::Allowed {
            app: app.name.clone(),
            route: operation.route.clone(),
            cors: cors.clone(),
            origin,
            methods: Verb::methods(&verbs),
        })
    }

    /// The word for metrics.
    #[must_use]
    pub fn result(&self) -> &'static str {
        match self {
            Self::Allowed { .. } => "allowed",
            Self::Foreign { .. } => "foreign-origin",
        }
    }

    /// The app that it was put to.
    #[must_use]
    pub fn app(&self) -> &Arc<str> {
        match self {
            Self::Allowed { app, .. } | Self::Foreign { app } => app,
        }
    }
}

fn claims<'s>(
    snapshot: &'s Snapshot,
    request: &RequestView<'_>,
    verb: Verb,
) -> impl Iterator<Item = (&'s App, &'s Operation)> {
    let found = match snapshot.routes.find(request.host, request.path, Some(verb)) {
        Match::Operations(claims) => claims,
        Match::OtherMethods(_) | Match::Nothing => &[],
    };
    found.iter().filter_map(|at| snapshot.operation(*at))
}

/// The one value of a header; what is said twice says nothing.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}
