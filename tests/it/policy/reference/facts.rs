//! Facts and conditions as a reader finds them out: each source by itself, then defaults, then three words, then Kleene.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::evaluate::Judge;
use super::model::{Cond, NARROWABLE};
use super::value::{Kind, Read, Says, Val, compare, of_json, of_literal, of_text, weekday};
use super::words::{BASE, FACTS, Fact, LEAVES, LOOK_UPS, Right, place};
use super::world::{Answer, Tenant};

/// What is settled before the rules are asked.
#[derive(Clone)]
pub(super) struct Facts<'c> {
    pub(super) judge: &'c Judge<'c>,
    pub(super) tenant: &'c Tenant,
    pub(super) parameters: BTreeMap<&'static str, String>,
    /// The conditions that became filters of the list, by index.
    pub(super) narrowed: Vec<usize>,
    /// An element that is a `thing`, in place of the one that the path names.
    pub(super) element: Option<&'c Json>,
}

/// What a source says before a default stands in.
pub(super) enum Said {
    Absent,
    Odd,
    Untold,
    Is(Val),
}

/// What is known of a look-up.
pub(super) enum Told<'c> {
    Found(&'c Json),
    Nothing,
    Untold,
}

impl Said {
    fn typed(value: Option<Val>) -> Self {
        value.map_or(Self::Odd, Self::Is)
    }
}

/// A member of a document. One that is spelled in another case could be the one that the app reads, and nothing is absent
/// from what has no members: a default stands for neither.
fn member(document: &Json, fact: &Fact) -> Said {
    let mut own = document;
    for (depth, part) in place(fact.name).into_iter().enumerate() {
        let next = match own {
            Json::Object(members) => members.get(part),
            Json::Array(items) => part.parse::<usize>().ok().and_then(|at| items.get(at)),
            _ => None,
        };
        let Some(next) = next else {
            let lacks = match own {
                Json::Object(all) => !all.keys().any(|key| key.to_lowercase() == part),
                Json::Array(_) => part.parse::<usize>().is_ok(),
                Json::Null => depth > 0,
                Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
            };
            return if lacks { Said::Absent } else { Said::Odd };
        };
        own = next;
    }
    if own.is_null() { Said::Absent } else { Said::typed(of_json(own, fact.kind)) }
}

/// Whether a value can be one segment of a question's path.
fn is_askable(value: &str) -> bool {
    let is_odd = |c: char| c.is_control() || "/\\%;?#".contains(c);
    !value.is_empty() && value.len() <= 256 && !value.contains(is_odd) && !value.ends_with(['.', ' '])
}

pub(super) fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    value.bytes().map(one).collect()
}

impl<'c> Facts<'c> {
    pub(super) fn fact(&self, name: &str) -> Read {
        self.read(FACTS.iter().find(|own| own.name == name).unwrap())
    }

    pub(super) fn read(&self, fact: &Fact) -> Read {
        match self.said(fact) {
            Said::Is(value) => Read::Known(value),
            Said::Odd => Read::Unknown,
            Said::Untold => Read::Untold,
            Said::Absent => {
                let has_it = |index: &usize| FACTS[*index].name == fact.name;
                let default = fact.default.filter(|_| self.judge.policy.defaults.iter().any(has_it));
                let Some(default) = default.map(|text| text.trim_matches('"')) else { return Read::Unknown };
                if default.contains('.') {
                    return self.fact(default);
                }
                Read::Known(of_literal(default, fact.kind))
            }
        }
    }

    pub(super) fn said(&self, fact: &Fact) -> Said {
        let ask = self.judge.ask;
        let (source, name) = fact.name.split_once('.').unwrap();
        let text = |found: Option<String>| match found {
            None => Said::Absent,
            Some(text) => Said::typed(of_text(&text, fact.kind)),
        };
        let now = i64::try_from(ask.now).unwrap();
        match source {
            "token" => match self.judge.claim(name) {
                Claim::Absent => Said::Absent,
                Claim::Hidden => Said::Odd,
                Claim::Is(json) => Said::typed(of_json(&json, fact.kind)),
            },
            "tenant" => Said::Is(of_literal(self.tenant.setting(fact.name), fact.kind)),
            "path" => text(self.parameters.get(name).cloned()),
            "query" => text(
                ask.query.iter().find(|(key, _)| *key == name).map(|(_, own)| super::evaluate::decoded(own)),
            ),
            "header" => {
                text(ask.headers.iter().find(|(own, _)| *own == name).map(|(_, own)| (*own).to_owned()))
            }
            "client" => Said::Is(match name {
                "ip" => Val::Ip(ask.client),
                "time" => Val::Moment(now),
                _ => Val::Text(weekday(now, self.tenant.zone.1).into()),
            }),
            "body" if self.judge.knows_all => member(&ask.body, fact),
            "body" => Said::Untold,
            _ => match (self.element, self.told(source)) {
                (Some(element), _) if source == "thing" => member(element, fact),
                (_, Told::Found(document)) => member(document, fact),
                (_, Told::Nothing) => Said::Odd,
                (_, Told::Untold) => Said::Untold,
            },
        }
    }

    /// The path that a look-up is asked at; the reason where it can't be asked.
    pub(super) fn asked(&self, look_up: &str) -> Result<String, Read> {
        let own = LOOK_UPS.iter().find(|own| own.name == look_up).unwrap();
        let of_request = Self { element: None, ..self.clone() };
        let value = match own.of {
            "token.sub" => match self.judge.claim("sub") {
                Claim::Is(json) => of_json(&json, Kind::String).map_or(Read::Unknown, Read::Known),
                _ => Read::Unknown,
            },
            name => of_request.fact(name),
        };
        match value {
            Read::Known(Val::Text(text)) if is_askable(&text) => {
                Ok(format!("{BASE}{}/{}", own.path, encoded(&text)))
            }
            Read::Untold => Err(Read::Untold),
            Read::Known(_) | Read::Unknown => Err(Read::Unknown),
        }
    }

    /// What an app says: nothing, where it can't even be asked.
    pub(super) fn told(&self, look_up: &str) -> Told<'c> {
        if !self.judge.knows_all {
            return Told::Untold;
        }
        match self.asked(look_up) {
            Err(Read::Untold) => Told::Untold,
            Err(_) => Told::Nothing,
            Ok(_) => match self.judge.ask.answer(look_up) {
                Answer::Found(document) => Told::Found(document),
                Answer::Nothing => Told::Nothing,
                Answer::None => Told::Untold,
            },
        }
    }

    /// The value that a list is filtered by in place of one of the conditions.
    pub(super) fn filtered_by(&self, condition: usize) -> Read {
        match self.fact(["token.org", "tenant.plan"][condition]) {
            Read::Known(Val::Text(text)) if text.is_empty() => Read::Unknown,
            other => other,
        }
    }

    pub(super) fn named(&self, index: usize) -> Says {
        if index < NARROWABLE && self.narrowed.contains(&index) {
            return match self.filtered_by(index) {
                Read::Known(_) => Says::known(true),
                Read::Unknown => Says::UNKNOWN,
                Read::Untold => Says::UNTOLD,
            };
        }
        self.says(&self.judge.policy.conditions[index])
    }

    pub(super) fn says(&self, cond: &Cond) -> Says {
        let all = |parts: &[Cond]| parts.iter().map(|part| self.says(part)).collect::<Vec<_>>();
        match cond {
            Cond::Named(index) => self.named(*index),
            Cond::All(parts) => Says::all(&all(parts)),
            Cond::Any(parts) => Says::any(&all(parts)),
            Cond::Not(part) => self.says(part).negated(),
            Cond::Leaf(leaf) => {
                let leaf = &LEAVES[*leaf];
                let right = match &leaf.right {
                    Right::Fact(fact) => self.read(fact),
                    Right::Literal(text, kind) => Read::Known(of_literal(text, *kind)),
                };
                compare(leaf.operator, &self.read(&leaf.fact), &right, self.tenant.zone.1)
            }
        }
    }
}

/// What a token says of a claim.
pub(super) enum Claim {
    Absent,
    /// Something stands in its way.
    Hidden,
    Is(Json),
}
