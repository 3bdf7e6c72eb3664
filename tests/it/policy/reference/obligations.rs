//! What an allow carries along, as a file says it.

use std::collections::BTreeSet;

use super::model::{Cond, Policy, names, operation, tidy, written};
use super::words::{OPERATIONS, SCOPES, namespace};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    Always,
    If(usize),
}

impl Seat {
    pub(super) fn written(self) -> String {
        match self {
            Self::Always => "true".into(),
            Self::If(index) => format!("\"c{index}\""),
        }
    }
}

/// A list whose query is filtered by one of the conditions that may be.
#[derive(Clone, Debug)]
pub(super) struct Narrow {
    pub(super) condition: usize,
    pub(super) on: usize,
}

/// What a narrowing sets and lets pass; those of one list differ in the key alone.
pub(super) const NARROW_KEYS: [&str; 2] = ["owner", "team"];
pub(super) const NARROW_PASS: [&str; 2] = ["n", "view"];

#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) on: usize,
    pub(super) keep: Cond,
}

#[derive(Clone, Debug)]
pub(super) struct Mask {
    pub(super) on: &'static str,
    pub(super) except: Option<&'static str>,
    pub(super) field: &'static str,
    /// A resource, or one scope of it.
    pub(super) unless: Option<(usize, Option<usize>)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Obligations {
    pub(super) narrows: Vec<Narrow>,
    pub(super) filter: Option<Filter>,
    pub(super) masks: Vec<Mask>,
    /// An operation and the only fields of its body.
    pub(super) body: Option<(usize, Vec<&'static str>)>,
    /// A header and the fact that is its value.
    pub(super) inject: Option<(&'static str, &'static str)>,
}

/// The operations that a pattern means: `METHOD /path`, `* *`, and `...` for all below.
pub(super) fn means(pattern: &str, (method, path): (&str, &str)) -> bool {
    let (own, wanted) = pattern.split_once(' ').unwrap();
    let is_path = match wanted.strip_suffix("...") {
        _ if wanted == "*" => true,
        Some(above) => path == above || path.starts_with(&format!("{above}/")),
        None => path == wanted,
    };
    (own == "*" || own == method) && is_path
}

pub(super) const ANCHOR: (&str, &str) = ("PUT", "/anchor/{id}");

impl Obligations {
    /// Leaves out what belongs to no operation of the policy, or says nothing.
    pub(super) fn tidied(mut self, policy: &Policy) -> Self {
        let protected = policy.protected();
        let mut seen = BTreeSet::new();
        self.narrows.retain(|own| protected.contains(&own.on) && seen.insert((own.condition, own.on)));
        self.filter = self.filter.filter(|own| protected.contains(&own.on));
        if let Some(own) = &mut self.filter {
            tidy(&mut own.keep, &policy.conditions);
            let mut read = BTreeSet::new();
            names(&own.keep, &policy.conditions, &mut read);
            if !read.iter().any(|name| namespace(name) == "thing") {
                self.filter = None;
            }
        }
        let all: Vec<_> = protected.iter().map(|own| OPERATIONS[*own]).chain([ANCHOR]).collect();
        let meets = |one: &str, other: &str| all.iter().any(|own| means(one, *own) && means(other, *own));
        let mut seen = BTreeSet::new();
        self.masks.retain(|own| policy.public.is_empty() && meets(own.on, own.on) && seen.insert(own.on));
        for own in &mut self.masks {
            own.except = own.except.filter(|except| meets(own.on, except));
            own.unless = own.unless.filter(|(resource, scope)| match scope {
                Some(scope) => policy.has(*resource, *scope),
                None => *resource < policy.resources.len(),
            });
        }
        self.body = self.body.filter(|(on, _)| protected.contains(on));
        self
    }

    pub(super) fn reads(&self, named: &[Cond]) -> BTreeSet<&'static str> {
        let mut read: BTreeSet<&'static str> = self.inject.iter().map(|(_, fact)| *fact).collect();
        self.filter.iter().for_each(|own| names(&own.keep, named, &mut read));
        read
    }

    pub(super) fn written(&self) -> String {
        let mut text = String::new();
        for (condition, key) in NARROW_KEYS.iter().enumerate() {
            let own: Vec<_> = self.narrows.iter().filter(|own| own.condition == condition).collect();
            if own.is_empty() {
                continue;
            }
            text += &format!("[narrow.c{condition}]\n");
            for narrow in own {
                text +=
                    &format!("{} = {{ query = \"{key}\", pass = {NARROW_PASS:?} }}\n", operation(narrow.on));
            }
        }
        if let Some(own) = &self.filter {
            let keep = written(&own.keep);
            text += &format!(
                "[filter]\n{} = {{ items = \"/items\", as = \"thing\", keep = {keep} }}\n",
                operation(own.on)
            );
        }
        for (index, own) in self.masks.iter().enumerate() {
            if index == 0 {
                text += "[mask]\n";
            }
            let except = own.except.map(|own| format!(", except = [\"{own}\"]")).unwrap_or_default();
            let unless = own.unless.map(|(resource, scope)| match scope {
                Some(scope) => format!(", unless = \"r{resource}#{}\"", SCOPES[scope]),
                None => format!(", unless = \"r{resource}\""),
            });
            let unless = unless.unwrap_or_default();
            text += &format!("\"{}\" = {{ fields = [\"{}\"]{except}{unless} }}\n", own.on, own.field);
        }
        if let Some((on, only)) = &self.body {
            text += &format!("[body]\n{} = {{ only = {only:?} }}\n", operation(*on));
        }
        if let Some((header, fact)) = self.inject {
            text += &format!("[inject]\n\"{header}\" = \"{fact}\"\n");
        }
        text
    }
}
