//! What a document says that a scope holds, held against the scope's operations: `N/A` is a scope that there isn't, and of
//! `Create, Edit` both must be there, and no `Delete`.

use super::names::letters;
use super::reading::Reading;
use super::says::{Saying, Says};
use super::word;
use crate::policy::{App, Operation};
use crate::route::Verb;

/// Words for what writes, and the methods that do it.
const WRITES: [(&str, &[Verb]); 3] =
    [("create", &[Verb::Post]), ("edit", &[Verb::Put, Verb::Patch]), ("delete", &[Verb::Delete])];
/// Words for what reads; how it does isn't said.
const READS: [&str; 3] = ["view", "list", "read"];

/// What is wrong about a cell that describes a scope.
pub(super) fn described(app: &App, reading: &Reading, saying: &Saying) -> Vec<String> {
    let (resource, scope) = (&saying.resource, &saying.scope);
    let id = app.permissions.iter().find(|(_, own)| *own.resource == **resource && *own.scope == **scope);
    let operations: Vec<&Operation> = id.map_or_else(Vec::new, |(id, _)| {
        app.operations.iter().filter(|own| own.permissions().any(|other| other == *id)).collect()
    });
    match (&saying.says, operations.is_empty()) {
        (Says::No, true) => Vec::new(),
        (Says::No, false) => {
            vec![format!("the document says \"{}\", the rules have `{resource}#{scope}`", saying.text)]
        }
        (Says::Yes(_), true) => {
            vec![format!("the document describes `{resource}#{scope}`, which the rules don't have")]
        }
        (Says::Yes(_), false) if reading.explains(resource, Some(scope)) => Vec::new(),
        (Says::Yes(_), false) => of_words(&saying.text, &operations),
    }
}

/// Holds the words against the methods, where all of them are known; prose is for people.
fn of_words(text: &str, operations: &[&Operation]) -> Vec<String> {
    let words: Vec<String> = word::names(text).iter().map(|own| letters(&word::split(own).0)).collect();
    let is_write = |word: &String| WRITES.iter().any(|(own, _)| own == word);
    let is_known = |word: &String| is_write(word) || READS.contains(&word.as_str());
    if !words.iter().all(is_known) || !words.iter().any(is_write) {
        return Vec::new();
    }
    let has = |verbs: &[Verb]| operations.iter().any(|own| verbs.contains(&own.verb));
    let mut wrong = Vec::new();
    for (name, verbs) in WRITES {
        match (words.iter().any(|own| own == name), has(verbs)) {
            (true, false) => {
                wrong.push(format!("the document says \"{text}\", no operation is there to {name}"))
            }
            (false, true) => {
                wrong.push(format!("the document says \"{text}\", an operation is there to {name}"))
            }
            _ => {}
        }
    }
    wrong
}
