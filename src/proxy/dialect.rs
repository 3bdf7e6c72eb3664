//! How a caller takes its answer: whether trailers reach it, and whether refusals are to be gRPC statuses.

use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::body::Body;
use super::record::Recorder;
use super::respond::written_down;
use super::taking::Taking;
use crate::headers::REQUEST_ID;
use crate::rejection::Rejection;

/// What a gRPC message escapes (the gRPC protocol's `Percent-Encoded`).
const ESCAPED: AsciiSet = CONTROLS.add(b'%');

/// How a caller takes its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// HTTP without trailers.
    Plain,
    /// HTTP, and trailers arrive.
    Trailers,
    /// gRPC.
    Grpc,
}

impl Dialect {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        if request.version() != Version::HTTP_2 {
            return if takes_trailers(headers) { Self::Trailers } else { Self::Plain };
        }
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let is_call = types.next().is_some_and(is_grpc) && types.next().is_none();
        if is_call && *request.method() == Method::POST { Self::Grpc } else { Self::Trailers }
    }
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(TE).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// `application/grpc`, and with the encoding of its messages. `application/grpc-web` is another protocol.
fn is_grpc(value: &HeaderValue) -> bool {
    let value = value.as_bytes();
    let Some((own, rest)) = value.split_at_checked(b"application/grpc".len()) else { return false };
    own.eq_ignore_ascii_case(b"application/grpc") && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// A refusal, as gRPC says it: a head that is all there is.
pub(super) fn refused_call(
    rejection: &Rejection,
    mut recorder: Recorder,
    taking: Option<Taking>,
) -> Response<Body> {
    written_down(rejection, &mut recorder);
    let detail = rejection.detail();
    let message = utf8_percent_encode(&detail, &ESCAPED).to_string();
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(rejection.grpc_status()));
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert("grpc-message", message);
    }
    headers.insert(REQUEST_ID, recorder.request_id().clone());
    response.map(|()| Body::own(bytes::Bytes::new(), recorder, taking))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC;x=y", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grp", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&HeaderValue::from_static(value)), expected, "{value}");
        }
    }

    #[test]
    fn who_says_so_takes_trailers() {
        let dialect = |version, lines: &[(&'static str, &'static str)]| {
            let mut request = Request::post("/").version(version);
            for (name, value) in lines {
                request = request.header(*name, *value);
            }
            Dialect::of(&request.body(()).unwrap())
        };
        let grpc = ("content-type", "application/grpc");
        assert_eq!(dialect(Version::HTTP_11, &[]), Dialect::Plain);
        assert_eq!(dialect(Version::HTTP_11, &[("te", "gzip;q=0.5, Trailers"), grpc]), Dialect::Trailers);
        assert_eq!(dialect(Version::HTTP_11, &[("te", "x-trailers")]), Dialect::Plain);
        assert_eq!(dialect(Version::HTTP_2, &[]), Dialect::Trailers);
        assert_eq!(dialect(Version::HTTP_2, &[grpc]), Dialect::Grpc);
        let json = ("content-type", "application/json");
        for two in [[grpc, json], [json, grpc], [grpc, grpc]] {
            assert_eq!(dialect(Version::HTTP_2, &two), Dialect::Trailers, "who says two things says neither");
        }
    }
}
