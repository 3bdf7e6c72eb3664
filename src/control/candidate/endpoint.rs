//! `/candidate` on the operators' listener: what a candidate is and has said, its files, sending one, taking it back, and
//! whose requests it answers.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::Candidates;
use crate::config::SourceFile;
use crate::control::admin::{is_from_a_page, json_response, not_allowed, text};
use crate::control::sources;
use crate::telemetry::CandidateState;

type Answer = Response<Full<Bytes>>;

/// Why a document isn't taken.
struct Refused {
    code: StatusCode,
    why: String,
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        text(refused.code, refused.why)
    }
}

/// Answers a request for `/candidate` and what is below it.
pub(in super::super) async fn answer(candidates: &Arc<Candidates>, parts: &Parts, body: Incoming) -> Answer {
    let reading = matches!(parts.method, Method::GET | Method::HEAD);
    if !reading && is_from_a_page(&parts.headers) {
        return text(StatusCode::FORBIDDEN, "a web page may not change the candidate\n");
    }
    let is_put = parts.method == Method::PUT;
    if is_put && matches!(parts.uri.path(), "/candidate" | "/candidate/tenants") && !candidates.is_remote() {
        return text(StatusCode::FORBIDDEN, NOT_REMOTE);
    }
    match (parts.uri.path(), parts.method.as_str()) {
        ("/candidate", "GET" | "HEAD") => json_response(StatusCode::OK, &status(candidates)),
        ("/candidate", "PUT") => match read(parts, body).await.and_then(|said| files(&said)) {
            Ok(files) => {
                candidates.send(Some(files)).await;
                changed(candidates)
            }
            Err(refused) => refused.into(),
        },
        ("/candidate", "DELETE") => {
            candidates.send(None).await;
            changed(candidates)
        }
        ("/candidate", _) => not_allowed("GET, HEAD, PUT, DELETE"),
        ("/candidate/sources", "GET" | "HEAD") => json_response(StatusCode::OK, &texts(candidates)),
        ("/candidate/sources", _) => not_allowed("GET, HEAD"),
        ("/candidate/tenants", "PUT") => match read(parts, body).await.and_then(|said| tenants(&said)) {
            Ok(tenants) => {
                candidates.answer_for(tenants).await;
                changed(candidates)
            }
            Err(refused) => refused.into(),
        },
        ("/candidate/tenants", _) => not_allowed("PUT"),
        _ => text(StatusCode::NOT_FOUND, "there is no such endpoint\n"),
    }
}

/// What it is, and what it has said.
fn status(candidates: &Candidates) -> Value {
    let mut status = json!({ "schema": "gatewarden.candidate/1" });
    if let (Value::Object(status), Value::Object(own)) = (&mut status, candidates.to_json()) {
        status.extend(own);
        let said = candidates.standing().map(|own| own.tally.to_json());
        status.insert("decisions".to_owned(), said.unwrap_or(Value::Null));
    }
    status
}

/// Its own files with their texts.
fn texts(candidates: &Candidates) -> Value {
    let shown = candidates.shown();
    let file = |file: &SourceFile| json!({ "path": *file.path, "text": file.text });
    json!({
        "schema": "gatewarden.candidate-sources/1",
        "hash": shown.hash,
        "files": shown.files.iter().map(file).collect::<Vec<_>>(),
    })
}

fn changed(candidates: &Candidates) -> Answer {
    let code = match candidates.shown().state {
        CandidateState::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
        CandidateState::None | CandidateState::Same | CandidateState::Judged => StatusCode::OK,
    };
    json_response(code, &status(candidates))
}

/// Reads a document. That its type is said keeps out what a page could send without being asked for permission.
async fn read(parts: &Parts, body: Incoming) -> Result<Map<String, Value>, Refused> {
    let said = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if said.and_then(|said| said.split(';').next()) != Some("application/json") {
        let why = "send it as application/json\n".to_owned();
        return Err(Refused { code: StatusCode::UNSUPPORTED_MEDIA_TYPE, why });
    }
    let bytes = Limited::new(body, SENT_MAX_BYTES).collect().await.map_err(|_| {
        let why = format!("it can't be read whole, or is longer than {} MiB\n", SENT_MAX_BYTES >> 20);
        Refused { code: StatusCode::PAYLOAD_TOO_LARGE, why }
    })?;
    match serde_json::from_slice(&bytes.to_bytes()) {
        Ok(Value::Object(said)) => Ok(said),
        Ok(_) => Err(odd("is no object")),
        Err(why) => Err(odd(&why.to_string())),
    }
}

/// `{"files": {"calling.toml": "…"}}`: the files that stand for those of their names.
fn files(said: &Map<String, Value>) -> Result<Vec<SourceFile>, Refused> {
    only(said, "files")?;
    let Some(Value::Object(files)) = said.get("files") else { return Err(odd("has no table `files`")) };
    if files.is_empty() {
        return Err(odd("names no file; DELETE takes a candidate back"));
    }
    if files.len() > sources::FILES_MAX {
        return Err(odd("names too many files"));
    }
    let file = |(name, content): (&String, &Value)| {
        let is_name = sources::is_rule_file(name) && !name.contains(['/', '\\']) && name.len() <= NAME_MAX;
        let Some(content) = content.as_str().filter(|_| is_name) else {
            return Err(odd(&format!("`{name}` is no name of a rule file with its text")));
        };
        if name.chars().any(char::is_control) {
            return Err(odd("holds a name with a character that can't be seen"));
        }
        let path = format!("candidate/{name}").into();
        Ok(SourceFile { kind: sources::kind_of(name), path, text: content.to_owned() })
    };
    files.iter().map(file).collect()
}

/// `{"tenants": ["acme"]}`, or `null` for those of `gateway.toml`.
fn tenants(said: &Map<String, Value>) -> Result<Option<Vec<Box<str>>>, Refused> {
    only(said, "tenants")?;
    match said.get("tenants") {
        Some(Value::Null) => Ok(None),
        Some(Value::Array(names)) if names.len() <= TENANTS_MAX => {
            let name = |name: &Value| match name.as_str() {
                Some(name) if name.len() <= NAME_MAX => Ok(name.into()),
                Some(_) => Err(odd(&format!("names a tenant by more than {NAME_MAX} bytes"))),
                None => Err(odd("names a tenant that is no text")),
            };
            names.iter().map(name).collect::<Result<_, _>>().map(Some)
        }
        Some(Value::Array(_)) => Err(odd(&format!("names more than {TENANTS_MAX} tenants"))),
        _ => Err(odd("has no list `tenants`")),
    }
}

fn only(said: &Map<String, Value>, key: &str) -> Result<(), Refused> {
    match said.keys().find(|own| *own != key) {
        Some(other) => Err(odd(&format!("has `{other}`, which means nothing here"))),
        None => Ok(()),
    }
}

fn odd(why: &str) -> Refused {
    Refused { code: StatusCode::BAD_REQUEST, why: format!("the document {why}\n") }
}

/// Longest document.
const SENT_MAX_BYTES: usize = 2 << 20;
/// Longest name of a file, or of a tenant.
const NAME_MAX: usize = 200;
/// Why nothing is taken.
const NOT_REMOTE: &str = "this gateway takes neither rules nor tenants to try them from here: `remote = true` under \
    `[candidate]` in gateway.toml lets it. A directory of rules, and `tenants` in gateway.toml, need no such key.\n";
/// Most tenants that are named while it runs.
const TENANTS_MAX: usize = 1_000;
