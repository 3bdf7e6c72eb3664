//! The operations of an OpenAPI document. Only what matters to rules is read: paths, methods, tags, names, and which
//! operations ask for no security. Schemas, examples and `x-` extensions aren't looked at; `$ref` isn't followed.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::keycloak::one_spelling;
use super::super::report::{Report, Weight, code, shown};
use super::super::toml_text::unique;
use crate::route::{Template, Verb};

/// An operation of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its method.
    pub verb: Verb,
    /// Its path below the server's, parameters named as ours may be.
    pub template: Template,
    /// Its path as the document has it.
    pub path: String,
    /// Its first tag.
    pub tag: Option<String>,
    /// Its `operationId`, or its summary.
    pub name: Option<String>,
    /// Whether the document asks for no security.
    pub open: bool,
}

/// A document.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What it calls itself.
    pub title: String,
    /// The path of its first server, without a slash at its end.
    pub base: String,
    /// Its operations, by path.
    pub operations: Vec<Operation>,
    /// Whether it says anywhere that security is asked for.
    pub speaks_of_security: bool,
}

/// Most paths that are read.
const PATHS_MAX: usize = 20_000;
/// Methods that stand beside an operation's.
const NOT_METHODS: [&str; 4] = ["parameters", "summary", "description", "servers"];

impl Spec {
    /// Reads a document.
    pub fn read(text: &str, report: &mut Report) -> Result<Self, String> {
        let root = value(text)?;
        let Value::Object(root) = root else { return Err("an OpenAPI document is an object".to_owned()) };
        match root.get("openapi").and_then(Value::as_str) {
            Some(version) if version.starts_with("3.") => {}
            Some(version) => {
                return Err(format!("OpenAPI {} isn't read, only 3.0 and 3.1 are", shown(version)));
            }
            None if root.contains_key("swagger") => {
                return Err("this is Swagger 2.0: convert it to OpenAPI 3 first".to_owned());
            }
            None => return Err("it has no `openapi`: is it an OpenAPI document?".to_owned()),
        }
        let base = base(&root, report)?;
        let title = root.get("info").and_then(|info| info.get("title")).and_then(Value::as_str);
        let secured = root.get("security").map(is_open);
        let mut own = Self {
            title: title.unwrap_or("an API").to_owned(),
            base,
            operations: Vec::new(),
            speaks_of_security: secured == Some(false),
        };
        let empty = Map::new();
        let paths = root.get("paths").and_then(Value::as_object).unwrap_or(&empty);
        if paths.len() > PATHS_MAX {
            return Err(format!("it has more than {PATHS_MAX} paths"));
        }
        for (path, item) in paths {
            own.path(path, item, secured, report);
        }
        if root.contains_key("webhooks") {
            report.add(
                Weight::Note,
                code::FOLLOWED,
                "webhooks",
                "webhooks",
                "they are what the application sends, not what it is asked",
            );
        }
        one_spelling(&mut own.operations.iter_mut().map(|own| &mut own.template).collect::<Vec<_>>());
        own.drop_repeated(report);
        Ok(own)
    }

    fn path(&mut self, path: &str, item: &Value, secured: Option<bool>, report: &mut Report) {
        let at = format!("paths.{path}");
        if path.starts_with("x-") {
            return;
        }
        let Some(item) = item.as_object() else {
            report.add(Weight::Denied, code::SHAPE, at, shown(path), "a path is an object");
            return;
        };
        if item.contains_key("$ref") {
            report.add(
                Weight::Denied,
                code::FOLLOWED,
                at,
                shown(path),
                "a path that stands elsewhere (`$ref`) isn't followed",
            );
            return;
        }
        let template = match template(path) {
            Ok(template) => template,
            Err(why) => {
                report.add(Weight::Denied, code::ADDRESS, at, shown(path), why);
                return;
            }
        };
        let has = |key: &str| item.contains_key(key);
        for (method, operation) in item {
            if method.starts_with("x-") || NOT_METHODS.contains(&method.as_str()) {
                continue;
            }
            let what = format!("{} {}", shown(&method.to_uppercase()), shown(path));
            let place = format!("{at}.{method}");
            if method == "head" && has("get") {
                continue;
            }
            let verb = match verb(method) {
                Ok(verb) => verb,
                Err(why) => {
                    report.add(Weight::Denied, code::VERB, place, what, why);
                    continue;
                }
            };
            let Some(operation) = operation.as_object() else {
                report.add(Weight::Denied, code::SHAPE, place, what, "an operation is an object");
                continue;
            };
            if operation.contains_key("servers") || has("servers") {
                let why = "it has servers of its own: the path is taken to be below the document's";
                report.add(Weight::Review, code::SERVER, place.clone(), what.clone(), why);
            }
            let own = operation.get("security").map(is_open);
            self.speaks_of_security |= own == Some(false);
            let open = own.or(secured).unwrap_or(true);
            let text = |key: &str| operation.get(key).and_then(Value::as_str).map(str::to_owned);
            let tag = operation.get("tags").and_then(Value::as_array).and_then(|tags| tags.first());
            self.operations.push(Operation {
                verb,
                template: template.clone(),
                path: path.to_owned(),
                tag: tag.and_then(Value::as_str).map(str::to_owned),
                name: text("operationId").or_else(|| text("summary")),
                open,
            });
        }
    }

    /// Two paths that are one template: the first counts.
    fn drop_repeated(&mut self, report: &mut Report) {
        let mut seen = BTreeSet::new();
        self.operations.retain(|own| {
            let is_new = seen.insert((own.verb, own.template.to_string()));
            if !is_new {
                let what = format!("{} {}", own.verb, shown(&own.path));
                report.add(
                    Weight::Note,
                    code::CLAIMED,
                    format!("paths.{}", own.path),
                    what,
                    "another path is the same template",
                );
            }
            is_new
        });
    }
}

/// The verb of a method's key.
fn verb(method: &str) -> Result<Verb, &'static str> {
    if method == "head" {
        return Err("HEAD is judged as GET, and the path has no GET");
    }
    let is_lower = method.chars().all(|c| c.is_ascii_lowercase());
    Verb::parse(&method.to_uppercase()).filter(|_| is_lower).ok_or("no operation can have this method")
}

/// JSON, or else YAML: every JSON document begins with a brace.
fn value(text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|why| format!("this is no JSON: {why}"));
    }
    serde_saphyr::from_str(text)
        .map_err(|why| format!("this is neither JSON nor YAML: {}", shown(&why.to_string())))
}

/// Whether a list of securities lets in who has none.
fn is_open(security: &Value) -> bool {
    match security.as_array() {
        Some(list) => list.is_empty() || list.iter().any(|own| own.as_object().is_some_and(Map::is_empty)),
        None => false,
    }
}

/// The path of the first server.
fn base(root: &Map<String, Value>, report: &mut Report) -> Result<String, String> {
    let servers: Vec<&Value> = root.get("servers").and_then(Value::as_array).into_iter().flatten().collect();
    let paths: Vec<String> = servers.iter().filter_map(|own| server_path(own)).collect();
    let Some(first) = paths.first() else { return Ok(String::new()) };
    if paths.iter().any(|other| other != first) {
        let why = format!("its servers have different paths; the first one's counts: `{}`", shown(first));
        report.add(Weight::Review, code::SERVER, "servers", "servers", why);
    }
    if first.is_empty() {
        return Ok(String::new());
    }
    template(first)
        .map(|template| template.to_string())
        .map_err(|why| format!("the server's path `{}`: {why}", shown(first)))
}

/// The path of a server's address, variables replaced by what they are by default.
fn server_path(server: &Value) -> Option<String> {
    let mut url = server.get("url")?.as_str()?.to_owned();
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
        let standing = variable.get("default").and_then(Value::as_str).unwrap_or("");
        url = url.replace(&format!("{{{name}}}"), standing);
    }
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path).to_owned(),
        None => url.trim_start_matches('/').to_owned(),
    };
    let path = path.split(['?', '#']).next().unwrap_or("").trim_end_matches('/');
    Some(if path.is_empty() { String::new() } else { format!("/{path}") })
}

/// A path with its parameters named as ours may be.
fn template(path: &str) -> Result<Template, &'static str> {
    let rest = path.strip_prefix('/').ok_or("a path begins with `/`")?;
    if rest.is_empty() {
        return Template::parse("/").map_err(|_| "");
    }
    let (mut out, mut names): (String, Vec<String>) = (String::new(), Vec::new());
    for part in rest.split('/') {
        out.push('/');
        let inner = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        match inner.filter(|name| !name.contains(['{', '}'])) {
            Some(name) => {
                let plain: String = name
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
                    .collect();
                let plain = if plain.is_empty() { "id".to_owned() } else { plain };
                let plain = unique(plain, |own| names.iter().any(|other| other == own));
                out.push_str(&format!("{{{plain}}}"));
                names.push(plain);
            }
            None if part.contains(['{', '}']) => return Err("a parameter is a whole segment here"),
            None if part.is_empty() => return Err("an empty segment, or a slash at its end"),
            None => out.push_str(part),
        }
    }
    Template::parse(&out).map_err(|_| "it isn't written as a path is here")
}
