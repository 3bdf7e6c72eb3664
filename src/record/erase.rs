//! What is left out of a record on purpose. What is left out is named, so that nobody takes it for absent.

use super::{Effect, Record};
use crate::fact::Source;
use crate::json::{Pattern, Segment};
use crate::plumbing::{DecisionsConfig, Mask, Subject, Written};
use crate::policy::App;
use crate::route::Template;

/// Facts that name a person, whatever the rules call them.
const OF_PERSONS: [&str; 10] = [
    "client.certificate.subject",
    "token.sub",
    "token.oid",
    "token.email",
    "token.upn",
    "token.preferred_username",
    "token.unique_name",
    "token.name",
    "token.given_name",
    "token.family_name",
];

/// A fact that may hold a session, which whoever reads the log could go on with.
const OF_A_SESSION: &str = "header.cookie";
/// How long a text may be that was refused to somebody of whom nothing is known.
const OF_NOBODY_BYTES: usize = 256;

impl Record {
    /// Leaves out what isn't to be written: what `[decisions]` says, and the facts of `mirrored`. The caller is named by
    /// what `hash` makes of the name; where that is nothing, not at all.
    pub fn erase(
        &mut self,
        config: &DecisionsConfig,
        mirrored: &[Box<str>],
        hash: &dyn Fn(&str) -> Option<String>,
    ) {
        let hides = |fact: &str| config.mask.iter().any(|mask| mask.hides(fact));
        let is_plain = config.subject == Subject::Plain && !hides("token.sub");
        let of_person = |fact: &str| !is_plain && OF_PERSONS.contains(&fact);
        let gone = |fact: &str| {
            let is_mirrored = mirrored.iter().any(|own| **own == *fact);
            hides(fact) || of_person(fact) || is_mirrored || fact == OF_A_SESSION
        };
        // Whoever proves nothing doesn't fill the log with what they like.
        let of_nobody = self.sub.is_none() && self.effect == Effect::Deny;
        let is_long = |text: &str| of_nobody && text.len() > OF_NOBODY_BYTES;
        let (mut erased, mut facts) = (Vec::new(), std::mem::take(&mut self.facts));
        facts.retain(|name, value| {
            let stays = !gone(name) && !value.as_str().is_some_and(is_long);
            if !stays {
                erased.push(pointer("facts", name));
            }
            stays
        });
        self.facts = facts;
        self.audited.retain(|name, _| {
            let stays = !gone(name);
            if !stays {
                erased.push(pointer("audited", name));
            }
            stays
        });
        if !is_plain && let Some(subject) = self.sub.take() {
            erased.push("/sub".to_owned());
            self.sub = if matches!(config.subject, Subject::Hash(_)) { hash(&subject) } else { None };
        }
        let is_hidden = |path: &String| is_long(path) || hides_path(config, self.route.as_deref());
        if self.path.as_ref().is_some_and(is_hidden) {
            self.path = None;
            erased.push("/path".to_owned());
        }
        self.erased.append(&mut erased);
    }
}

/// Whether the path of a request isn't to be written down, by the route that it has, if it has one.
#[must_use]
pub fn hides_path(config: &DecisionsConfig, route: Option<&str>) -> bool {
    let hides = |fact: &str| config.mask.iter().any(|mask| mask.hides(fact));
    let says_hidden = || match route.map(Template::parse) {
        Some(Ok(template)) => template.parameters().iter().any(|(name, _)| hides(&format!("path.{name}"))),
        // Where no route is known, any part of the path may be what is hidden.
        _ => config.mask.iter().any(Mask::is_of_path),
    };
    config.path == Written::No || says_hidden()
}

/// Facts of an app's look-ups that are what `[mask]` hides in its answers: a log isn't the place to show them.
#[must_use]
pub fn mirrored(app: &App) -> Vec<Box<str>> {
    let masks = || app.operations.iter().flat_map(|own| &own.obligations.masks).flat_map(|own| &own.fields);
    let last = |pattern: &Pattern| match pattern.segments().last() {
        Some(Segment::Named(name)) => Some(name.clone()),
        Some(Segment::Any) | None => None,
    };
    let hidden: Vec<Box<str>> = masks().filter_map(last).collect();
    let is_hidden = |source: &Source| match source {
        Source::LookUp { at, .. } => at.segments().any(|own| hidden.iter().any(|name| **name == *own)),
        _ => false,
    };
    app.facts.iter().filter(|fact| is_hidden(&fact.source)).map(|fact| fact.name.clone()).collect()
}

fn pointer(member: &str, name: &str) -> String {
    format!("/{member}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plumbing::CredentialSource;

    fn record() -> Record {
        serde_json::from_value(json!({
            "schema": super::super::SCHEMA, "ts": "2027-01-15T08:00:00.000000Z", "decision_id": "7",
            "effect": "allow", "reason": "granted", "sub": "ada", "path": "/x/things/7", "route": "/x/things/{id}",
            "facts": {"token.sub": "ada", "token.email": "ada@x", "body.a": 1, "body.b/c": null, "path.id": "7"},
            "audited": {"body.a": "1"},
        }))
        .unwrap()
    }

    fn erased(config: &DecisionsConfig) -> Record {
        let mut record = record();
        record.erase(config, &[], &|name| Some(format!("#{name}")));
        record
    }

    #[test]
    fn nothing_is_left_out_unless_somebody_says_so() {
        assert_eq!(erased(&DecisionsConfig::default()), record());
    }

    #[test]
    fn what_is_left_out_is_named() {
        let mask = ["body.*", "path.id"].map(|text| Mask::parse(text).unwrap()).into();
        let own = erased(&DecisionsConfig { mask, ..DecisionsConfig::default() });
        assert_eq!(own.facts.keys().collect::<Vec<_>>(), ["token.email", "token.sub"]);
        assert_eq!((own.path, own.audited.len()), (None, 0), "the path says what its parameter does");
        assert_eq!(
            own.erased,
            ["/facts/body.a", "/facts/body.b~1c", "/facts/path.id", "/audited/body.a", "/path"]
        );
    }

    #[test]
    fn a_path_without_a_route_may_be_what_any_mask_of_a_path_hides() {
        let mask = [Mask::parse("path.id").unwrap()].into();
        let config = DecisionsConfig { mask, ..DecisionsConfig::default() };
        let mut own = Record { route: None, ..record() };
        own.erase(&config, &[], &|_| None);
        assert_eq!(own.path, None);
        let mask = [Mask::parse("body.id").unwrap()].into();
        let mut own = Record { route: None, ..record() };
        own.erase(&DecisionsConfig { mask, ..config }, &[], &|_| None);
        assert!(own.path.is_some());
    }

    #[test]
    fn a_session_is_never_written_and_whoever_proves_nothing_writes_little() {
        let text = |len| json!("x".repeat(len));
        let facts = json!({"header.cookie": "s=1", "header.x": text(257), "header.y": text(256)});
        let facts = facts.as_object().unwrap();
        let path = Some("/x".repeat(129));
        for (sub, effect, left) in [
            (Some("ada"), Effect::Deny, &["/facts/header.cookie"][..]),
            (None, Effect::Allow, &["/facts/header.cookie"]),
            (None, Effect::Deny, &["/facts/header.cookie", "/facts/header.x", "/path"]),
        ] {
            let (sub, facts, path) = (sub.map(str::to_owned), facts.clone(), path.clone());
            let mut own = Record { sub, effect, facts, path, ..record() };
            own.erase(&DecisionsConfig::default(), &[], &|_| None);
            assert_eq!(own.erased, left);
        }
    }

    #[test]
    fn a_person_is_named_nowhere_where_the_subject_isnt() {
        let hash = Subject::Hash(CredentialSource::Env("K".into()));
        for (subject, sub) in [(Subject::Off, None), (hash, Some("#ada".to_owned()))] {
            let own = erased(&DecisionsConfig { subject, ..DecisionsConfig::default() });
            assert_eq!(own.sub, sub);
            assert_eq!(own.erased, ["/facts/token.email", "/facts/token.sub", "/sub"]);
        }
        let mask = [Mask::parse("token.*").unwrap()].into();
        let own = erased(&DecisionsConfig { mask, ..DecisionsConfig::default() });
        assert_eq!(own.sub, None, "a masked fact isn't shown by another name");
    }
}
