//! What a browser is told about pages of other origins (Fetch §3.2), in place of whatever the application says of it: two
//! authorities could contradict each other.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::policy::cors::{Cors, Credentials, Origins};

/// What every header that speaks of other origins begins with.
const PREFIX: &str = "access-control-";
const ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// Says in an answer whether a page of this origin may read it.
pub fn mark(headers: &mut HeaderMap, cors: &Cors, origin: Option<&HeaderValue>) {
    let said: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in said {
        headers.remove(name);
    }
    // Whoever keeps the answer keeps it for this origin, even where it is for none.
    if matches!(cors.origins, Origins::Listed(_)) && !varies_by_origin(headers) {
        headers.append(VARY, ORIGIN);
    }
    let Some(allowed) = origin.and_then(|origin| cors.allowed(origin)) else { return };
    allow(headers, cors, allowed);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, cors.expose.clone());
}

/// The answer to a browser that asks before it sends a page's request: the methods that there are, and the rest from the
/// file.
#[must_use]
pub fn told_beforehand(cors: &Cors, allowed: HeaderValue, methods: &[Method]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    allow(&mut headers, cors, allowed);
    let methods: Vec<_> = methods.iter().map(Method::as_str).collect();
    if let Ok(methods) = HeaderValue::try_from(methods.join(", ")) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, cors.headers.clone());
    headers.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.clone());
    headers.insert(
        VARY,
        HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    );
    headers
}

fn allow(headers: &mut HeaderMap, cors: &Cors, allowed: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if cors.credentials == Credentials::Sent {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

fn varies_by_origin(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(VARY).iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .any(|name| name == "*" || name.eq_ignore_ascii_case("origin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: Origins, credentials: Credentials) -> Cors {
        Cors {
            origins,
            credentials,
            headers: HeaderValue::from_static("authorization"),
            expose: HeaderValue::from_static("x-total"),
            max_age: HeaderValue::from_static("600"),
            place: "x".into(),
        }
    }

    #[test]
    fn the_application_has_no_say() {
        let desk = HeaderValue::from_static("https://desk.example");
        let cors = cors(Origins::Listed([desk.clone()].into()), Credentials::Sent);
        let answer = || {
            let mut headers = HeaderMap::new();
            for (name, value) in [
                ("access-control-allow-origin", "*"),
                ("access-control-allow-origin", "https://evil.example"),
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-private-network", "true"),
                ("vary", "Accept"),
            ] {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            headers
        };
        let lines = |headers: &HeaderMap| -> Vec<String> {
            let mut lines: Vec<_> =
                headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            lines.sort();
            lines
        };
        for origin in [None, Some(&HeaderValue::from_static("https://evil.example"))] {
            let mut headers = answer();
            mark(&mut headers, &cors, origin);
            assert_eq!(lines(&headers), ["vary: Accept", "vary: Origin"], "{origin:?}");
        }
        let mut headers = answer();
        mark(&mut headers, &cors, Some(&desk));
        let expected = [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://desk.example",
            "access-control-expose-headers: x-total",
            "vary: Accept",
            "vary: Origin",
        ];
        assert_eq!(lines(&headers), expected);
        mark(&mut headers, &cors, Some(&desk));
        assert_eq!(lines(&headers), expected, "said once");
    }

    #[test]
    fn an_answer_for_everyone_is_the_same_for_everyone() {
        let mut headers = HeaderMap::new();
        mark(
            &mut headers,
            &cors(Origins::Any, Credentials::Omitted),
            Some(&HeaderValue::from_static("null")),
        );
        assert_eq!(headers.get(ACCESS_CONTROL_ALLOW_ORIGIN), Some(&HeaderValue::from_static("*")));
        assert!(!headers.contains_key(VARY) && !headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
}
