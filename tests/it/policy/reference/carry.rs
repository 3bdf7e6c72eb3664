//! What an allow carries along: the narrowed query, headers, a body of certain fields, a seat, and edits of the answer.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::evaluate::Allowed;
use super::facts::{Facts, Said};
use super::model::{Acting, name};
use super::obligations::{ANCHOR, NARROW_KEYS, NARROW_PASS, Seat, means};
use super::value::{Read, Val};
use super::words::{FACTS, OPERATIONS, SCOPES};

impl Facts<'_> {
    /// What an allow carries along, or what stands against it after all.
    pub(super) fn carry(
        &self,
        operation: Option<usize>,
        (narrowed, granted): (Vec<usize>, BTreeSet<(usize, usize)>),
    ) -> Result<Allowed, &'static str> {
        let (policy, ask) = (self.judge.policy, self.judge.ask);
        let claimed = self.claimed().unwrap();
        let roles = self.held(&claimed).into_iter().map(|(index, _)| name(index)).collect();
        let mut query = match narrowed.as_slice() {
            [] => self.judge.query(|_| true),
            _ => self.judge.query(|key| NARROW_PASS.contains(&key)),
        };
        for own in &narrowed {
            let Read::Known(Val::Text(value)) = self.filtered_by(*own) else { panic!("filtered by nothing") };
            query.push((NARROW_KEYS[*own].into(), value));
        }
        let mut allowed = Allowed { roles, query, ..Allowed::default() };
        self.take_for_granted(&mut allowed);
        if !self.judge.knows_all {
            return Err("unanswered");
        }
        if let Some((_, only)) = policy.carried.body.as_ref().filter(|(on, _)| Some(*on) == operation)
            && !has_only(&ask.body, only)
        {
            return Err("field");
        }
        if let Some((header, fact)) = policy.carried.inject {
            let value = match self.fact(fact) {
                Read::Known(value) => plain(&value).filter(|own| !own.is_empty()),
                Read::Unknown => None,
                Read::Untold => return Err("unanswered"),
            };
            allowed.headers.insert(header.to_lowercase(), value.ok_or("denied")?);
        }
        let is_spared = |own: &(usize, usize)| match policy.seats.get(own) {
            None => true,
            Some(Seat::Always) => false,
            Some(Seat::If(condition)) => self.named(*condition).now == Some(false),
        };
        // Whoever has a grant that needs no seat needs none.
        if !granted.iter().any(is_spared) && !ask.seated {
            return Err("no-seat");
        }
        allowed.permissions =
            granted.iter().map(|(resource, scope)| format!("r{resource}#{}", SCOPES[*scope])).collect();
        self.edit(operation, &claimed, &mut allowed);
        allowed.query.sort();
        Ok(allowed)
    }

    /// What is hidden and dropped in the answer.
    fn edit(&self, operation: Option<usize>, claimed: &BTreeSet<String>, allowed: &mut Allowed) {
        let carried = &self.judge.policy.carried;
        let route = operation.map_or(ANCHOR, |own| OPERATIONS[own]);
        let holdings = self.holdings(claimed);
        for mask in carried.masks.iter().filter(|own| means(own.on, route)) {
            let is_excepted = mask.except.is_some_and(|except| means(except, route));
            let is_held = mask.unless.is_some_and(|(resource, scope)| {
                let wanted =
                    |own: &(usize, usize)| own.0 == resource && scope.is_none_or(|scope| scope == own.1);
                holdings.iter().any(|(own, says)| wanted(own) && says.holds())
            });
            if !is_excepted && !is_held {
                allowed.masks.insert(mask.field.into());
            }
        }
        if let Some(filter) = carried.filter.as_ref().filter(|own| Some(own.on) == operation) {
            let keeps =
                |element: &Json| Facts { element: Some(element), ..self.clone() }.says(&filter.keep).holds();
            allowed.kept = Some(self.judge.ask.elements.iter().map(keeps).collect());
        }
    }

    /// What was judged is what is forwarded: the tenant in its header, and defaults in their places.
    fn take_for_granted(&self, allowed: &mut Allowed) {
        if let (Acting::Named { .. }, Some(id)) = (self.judge.policy.acting, self.judge.tenant_id()) {
            allowed.headers.insert("x-tenant".into(), id);
        }
        for index in self.judge.policy.declared() {
            let fact = &FACTS[index];
            let (source, name) = fact.name.split_once('.').unwrap();
            if !matches!(source, "header" | "query") {
                continue;
            }
            if let (Said::Absent, Read::Known(Val::Text(text))) = (self.said(fact), self.read(fact)) {
                match source {
                    "header" => drop(allowed.headers.insert(name.into(), text)),
                    _ => allowed.query.push((name.into(), text)),
                }
            }
        }
    }
}

/// Whether a body is an object, or nothing, that has no field but these. `/tags/*` are the elements of a field.
fn has_only(body: &Json, only: &[&str]) -> bool {
    let fits = |(name, value): (&String, &Json)| {
        only.iter().any(|own| match own.strip_prefix('/').unwrap().split_once('/') {
            None => own[1..] == **name,
            Some((outer, _)) => outer == name && (value.is_array() || value.is_object()),
        })
    };
    match body {
        Json::Null => true,
        Json::Object(members) => members.iter().all(fits),
        _ => false,
    }
}

/// A value as a header's.
fn plain(value: &Val) -> Option<String> {
    let text = match value {
        Val::Text(text) => text.clone(),
        Val::Bool(value) => value.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Ip(value) => value.to_string(),
        _ => return None,
    };
    text.chars().all(|c| c == '\t' || (' '..='~').contains(&c)).then_some(text)
}
