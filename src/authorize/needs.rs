//! What must be found out, spelled out: questions that somebody outside can answer.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::Question;
use super::case::Case;
use crate::fact::Source;
use crate::headers;
use crate::policy::lookup::{LookUpKey, LookedUp, NoAnswer, segment};
use crate::policy::obligation::Piece;
use crate::policy::{Facts, Known, Missed, Needs, TenantRule};
use crate::tenant::Tenant;

/// Look-ups whose own questions rest on other look-ups, at most so many deep: none goes round in a circle, but a fault
/// must end.
const DEPTH_MAX: usize = 64;

impl Case<'_> {
    /// The questions that would tell what is needed. What can't be asked, because a value that belongs in the question
    /// is unknown itself, is noted as known: there is nothing to be found.
    pub(super) fn questions(&self, needs: Needs, facts: &Facts<'_>, settled: &mut Known) -> Vec<Question> {
        let mut questions = Vec::new();
        if needs.body {
            questions.push(Question::Body);
        }
        let mut open: Vec<(usize, usize)> = needs.look_ups().map(|look_up| (look_up, 0)).collect();
        let mut seen = 0u64;
        while let Some((look_up, depth)) = open.pop() {
            if seen >> look_up & 1 == 1 || depth > DEPTH_MAX {
                continue;
            }
            seen |= 1 << look_up;
            match self.spell(look_up, facts) {
                Spelled::Question(question) => questions.push(question),
                Spelled::After(others) => {
                    if others.body && !questions.contains(&Question::Body) {
                        questions.push(Question::Body);
                    }
                    open.extend(others.look_ups().map(|other| (other, depth + 1)));
                }
                Spelled::Never(answer) => settled.learn(self.at.app, look_up, answer),
            }
        }
        questions
    }

    fn spell(&self, look_up: usize, facts: &Facts<'_>) -> Spelled {
        let Some((asked, tenant)) = self.app.look_ups.get(look_up).zip(facts.tenant) else {
            return Spelled::Never(LookedUp::Nothing);
        };
        let mut target = String::new();
        let mut after = Needs::default();
        for piece in &asked.target {
            let fact = match piece {
                Piece::Text(text) => {
                    target.push_str(text);
                    continue;
                }
                Piece::Fact(fact) => *fact,
            };
            let _before = facts.trail.take();
            let value = facts.get(fact).and_then(crate::fact::Value::plain);
            let (needs, missed) = facts.trail.take();
            match (value.as_deref().and_then(segment), missed) {
                (Some(value), _) => target.push_str(&value),
                (None, _) if !needs.is_empty() => after = after.and(needs),
                (None, Missed::Something) => {
                    return Spelled::Never(LookedUp::Unavailable(NoAnswer::Unaskable));
                }
                (None, Missed::Nothing) => return Spelled::Never(LookedUp::Nothing),
            }
        }
        if !after.is_empty() {
            return Spelled::After(after);
        }
        Spelled::Question(Question::LookUp(Box::new(LookUpQuestion {
            app: self.at.app,
            look_up,
            key: LookUpKey {
                revision: self.snapshot.revision,
                app: self.app.name.clone(),
                tenant: tenant.name.clone(),
                namespace: asked.name.clone(),
                upstream: asked.upstream,
                target: target.into(),
            },
            headers: self.told_of(tenant),
            ttl: asked.ttl,
            timeout: asked.timeout,
        })))
    }

    /// How the app is told whose things it is asked for, as on a forwarded request.
    fn told_of(&self, tenant: &Tenant) -> Vec<(HeaderName, HeaderValue)> {
        let mut told = vec![(headers::TENANT, tenant.header().clone())];
        if let TenantRule::From { sources, .. } = &self.app.tenant {
            let id = tenant.ids().first().and_then(|id| HeaderValue::from_str(id).ok());
            let named = sources.iter().filter_map(|source| match &self.app.facts.get(*source)?.source {
                Source::Header(name) => HeaderName::from_bytes(name.as_bytes()).ok(),
                _ => None,
            });
            told.extend(named.zip(id.into_iter().cycle()));
        }
        told
    }
}

enum Spelled {
    /// It can be asked.
    Question(Question),
    /// Something else must be known before.
    After(Needs),
    /// It can't be asked, so this is the answer.
    Never(LookedUp),
}

/// A question to an app about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookUpQuestion {
    /// The app, by index.
    pub app: usize,
    /// The look-up, by index.
    pub look_up: usize,
    /// What is asked.
    pub key: LookUpKey,
    /// What is told along with it: whose things are asked for.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long an answer counts.
    pub ttl: Duration,
    /// How long to wait for one.
    pub timeout: Duration,
}
