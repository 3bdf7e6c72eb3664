//! Each policy as a formula: whom it lets in. A kind that has no counterpart, or a part that can't be resolved, is
//! unknown, and told once, where the policy stands.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::DateTime;
use serde_json::Value;

use super::super::report::{Report, Weight, code, shown};
use super::export::{Policy, Realm, Settings, Strategy};
use super::logic::{Atom, Bounds, Formula, majority};

/// Deepest chain of policies over policies.
const CHAIN_MAX: usize = 32;

/// The policies of a client, read on demand.
#[derive(Debug)]
pub(super) struct Policies<'e> {
    settings: &'e Settings,
    realm: &'e Realm,
    zone: Option<jiff::tz::TimeZone>,
    by_name: HashMap<&'e str, Vec<usize>>,
    atoms: Vec<Atom>,
    known: BTreeMap<usize, Bounds>,
    open: Vec<usize>,
}

impl<'e> Policies<'e> {
    pub(super) fn new(settings: &'e Settings, realm: &'e Realm, zone: Option<jiff::tz::TimeZone>) -> Self {
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, own) in settings.policies.iter().enumerate() {
            by_name.entry(&own.name).or_default().push(index);
            if let Some(id) = own.id.as_deref().filter(|id| *id != own.name) {
                by_name.entry(id).or_default().push(index);
            }
        }
        let (atoms, known, open) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { settings, realm, zone, by_name, atoms, known, open }
    }

    pub(super) fn atoms(&self) -> &[Atom] {
        &self.atoms
    }

    /// Whether some permission has asked for it.
    pub(super) fn is_used(&self, index: usize) -> bool {
        self.known.contains_key(&index)
    }

    /// Whom the policies that a permission or an aggregate applies let in, made one by its strategy.
    pub(super) fn applied(&mut self, policy: &Policy, report: &mut Report) -> Bounds {
        let names = match policy.names("applyPolicies") {
            Ok(names) => names,
            Err(why) => return unknown(policy, code::SHAPE, &why, report),
        };
        let Some(strategy) = policy.strategy else {
            return unknown(policy, code::SHAPE, "its decisionStrategy is none that is known", report);
        };
        let (mut seen, mut parts) = (Vec::new(), Vec::new());
        for name in names {
            if seen.contains(&name) {
                continue;
            }
            parts.push(match self.by_name.get(name.as_str()).map(Vec::as_slice) {
                Some([index]) => self.policy(*index, report),
                Some(_) => {
                    let why = format!("it applies `{}`, and more than one policy is called so", shown(&name));
                    unknown(policy, code::REFERENCE, &why, report)
                }
                None => {
                    let why = format!("it applies `{}`, which isn't in the export", shown(&name));
                    unknown(policy, code::REFERENCE, &why, report)
                }
            });
            seen.push(name);
        }
        if parts.is_empty() {
            return unknown(policy, code::REFERENCE, "it applies no policy", report);
        }
        let of = parts.len();
        match strategy {
            Strategy::Unanimous => Bounds::combined(parts, Formula::all),
            Strategy::Affirmative => Bounds::combined(parts, Formula::any),
            Strategy::Consensus => {
                let (lower, upper): (Vec<_>, Vec<_>) =
                    parts.into_iter().map(|own| (own.lower, own.upper)).unzip();
                match (majority(&lower, of), majority(&upper, of)) {
                    (Some(lower), Some(upper)) => Bounds { lower, upper },
                    _ => unknown(
                        policy,
                        code::TOO_MANY,
                        "a majority of so many can come about in too many ways",
                        report,
                    ),
                }
            }
        }
    }

    /// Whom a policy lets in.
    fn policy(&mut self, index: usize, report: &mut Report) -> Bounds {
        if let Some(known) = self.known.get(&index) {
            return known.clone();
        }
        let settings = self.settings;
        let Some(own) = settings.policies.get(index) else { return Bounds::unknown() };
        if self.open.contains(&index) || self.open.len() >= CHAIN_MAX {
            return unknown(
                own,
                code::REFERENCE,
                "it rests on itself, or on too long a chain of others",
                report,
            );
        }
        self.open.push(index);
        let bounds = self.read(own, report);
        self.open.pop();
        let bounds = match own.negative {
            Some(false) => bounds,
            Some(true) => {
                if !bounds.is_exact() {
                    let why = "its logic is NEGATIVE, and what it turns round isn't known exactly";
                    report.add(Weight::Denied, code::NEGATIVE, format!("{}.logic", own.at), named(own), why);
                } else if bounds.lower != Formula::Const(false) {
                    let why = "its logic is NEGATIVE: whoever's token lacks the claim altogether is let in by Keycloak, and isn't here";
                    report.add(Weight::Stricter, code::ABSENT, format!("{}.logic", own.at), named(own), why);
                }
                bounds.negated()
            }
            None => unknown(own, code::SHAPE, "its logic is neither POSITIVE nor NEGATIVE", report),
        };
        self.known.insert(index, bounds.clone());
        bounds
    }

    fn read(&mut self, own: &Policy, report: &mut Report) -> Bounds {
        let outcome = match own.kind.as_str() {
            "role" => self.roles(own),
            "group" => self.groups(own, report),
            "client" => own
                .names("clients")
                .map_err(|why| (code::SHAPE, why))
                .and_then(|names| self.each(names, |client| sayable(&client).map(|()| Atom::Client(client)))),
            "user" => self.users(own),
            "time" => self.time(own),
            "aggregate" => return self.applied(own, report),
            "js" => Err((code::PROGRAM, "it runs JavaScript, which can't be translated".to_owned())),
            kind if kind.starts_with("script-") => {
                Err((code::PROGRAM, "it runs a script of the server's, which can't be translated".to_owned()))
            }
            "resource" | "scope" => Err((code::REFERENCE, "a permission is applied as a policy".to_owned())),
            "uma" => {
                Err((code::KIND, "what users grant each other stands in Keycloak's database".to_owned()))
            }
            kind => Err((code::KIND, format!("policies of type `{}` have no counterpart", shown(kind)))),
        };
        outcome.unwrap_or_else(|(code, why)| unknown(own, code, &why, report))
    }

    fn atom(&mut self, atom: Atom) -> Formula {
        let found = self.atoms.iter().position(|own| *own == atom);
        Formula::Is(found.unwrap_or_else(|| {
            self.atoms.push(atom);
            self.atoms.len() - 1
        }))
    }

    fn each(
        &mut self,
        names: Vec<String>,
        atom: impl Fn(String) -> Result<Atom, Unresolved>,
    ) -> Result<Bounds, Unresolved> {
        let mut parts = Vec::new();
        for name in names {
            let own = atom(name)?;
            parts.push(self.atom(own));
        }
        Ok(Bounds::exactly(Formula::any(parts)))
    }

    /// Every required role, and at least one of all.
    fn roles(&mut self, own: &Policy) -> Result<Bounds, Unresolved> {
        let asks_server =
            own.config.get("fetchRoles").is_some_and(|own| own == "true" || *own == Value::Bool(true));
        let (mut required, mut any) = (Vec::new(), Vec::new());
        for item in own.list("roles").map_err(|why| (code::SHAPE, why))? {
            let (id, is_required) = match &item {
                Value::String(id) => (id.as_str(), false),
                Value::Object(role) => {
                    let is_required = match role.get("required") {
                        None | Some(Value::Bool(false) | Value::Null) => false,
                        Some(Value::Bool(true)) => true,
                        Some(_) => {
                            return Err((code::SHAPE, "`required` is neither true nor false".to_owned()));
                        }
                    };
                    let id = role.get("id").and_then(Value::as_str);
                    (id.ok_or_else(|| (code::SHAPE, "a role has no id".to_owned()))?, is_required)
                }
                _ => return Err((code::SHAPE, "a role is neither a name nor an object".to_owned())),
            };
            let atom = self.role(id)?;
            let formula = self.atom(atom);
            if is_required {
                required.push(formula.clone());
            }
            any.push(formula);
        }
        let formula = Formula::all(required.into_iter().chain([Formula::any(any)]));
        // The server knows of roles that the token may not carry.
        let upper = if asks_server { Formula::Const(true) } else { formula.clone() };
        Ok(Bounds { lower: formula, upper })
    }

    /// What a role's id in an export means: `role`, `client/role`, or an id that the realm's export knows.
    fn role(&self, id: &str) -> Result<Atom, Unresolved> {
        let by_id = |own: &Option<String>| own.as_deref() == Some(id);
        let client_role = |client: &str, role: &str| -> Result<Atom, Unresolved> {
            sayable(role)?;
            if !client.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) || client.is_empty() {
                let why = format!("the client `{}` has a name that no fact can have", shown(client));
                return Err((code::UNRESOLVED, why));
            }
            Ok(Atom::ClientRole(client.to_owned(), role.to_owned()))
        };
        if let Some((client, role)) = id.split_once('/') {
            return client_role(client, role);
        }
        let own_client = (self.settings.client.clone(), id.to_owned());
        let realm = self.realm;
        if !realm.roles.contains_key(id) {
            if let Some((name, _)) = realm.roles.iter().find(|(_, own)| by_id(own)) {
                sayable(name)?;
                return Ok(Atom::RealmRole(name.clone()));
            }
            if let Some(((client, role), _)) = realm.client_roles.iter().find(|(_, own)| by_id(own)) {
                return client_role(client, role);
            }
            if realm.client_roles.contains_key(&own_client) {
                return client_role(&self.settings.client, id);
            }
            if realm.name.is_some() {
                return Err((code::UNRESOLVED, format!("the realm's export has no role `{}`", shown(id))));
            }
            if id.len() == 36 && id.bytes().filter(|b| *b == b'-').count() == 4 {
                let why =
                    format!("the role is named by the id `{id}`: only the realm's export says which that is");
                return Err((code::UNRESOLVED, why));
            }
        }
        sayable(id)?;
        Ok(Atom::RealmRole(id.to_owned()))
    }

    fn groups(&mut self, own: &Policy, report: &mut Report) -> Result<Bounds, Unresolved> {
        match own.text("groupsClaim") {
            Some("groups") => {}
            Some(other) => {
                let why = format!(
                    "its groups are read from the claim `{}`; only `groups` is translated",
                    shown(other)
                );
                return Err((code::KIND, why));
            }
            None => {
                let why = "it asks Keycloak's database, not a claim of the token: give the policy the claim `groups`";
                return Err((code::KIND, why.to_owned()));
            }
        }
        let (mut parts, mut is_exact) = (Vec::new(), true);
        for item in own.list("groups").map_err(|why| (code::SHAPE, why))? {
            let path = item.get("path").and_then(Value::as_str).filter(|path| path.starts_with('/'));
            let path = path.ok_or_else(|| (code::UNRESOLVED, "a group has no path".to_owned()))?;
            sayable(path)?;
            parts.push(self.atom(Atom::Group(path.to_owned())));
            // Where tokens carry names without paths, Keycloak compares these.
            if let Some((_, name)) = path.rsplit_once('/').filter(|(_, name)| sayable(name).is_ok()) {
                parts.push(self.atom(Atom::Group(name.to_owned())));
            }
            if item.get("extendChildren").is_some_and(|own| *own != Value::Bool(false)) {
                is_exact = false;
                let below = format!("{path}/");
                let known: Vec<&String> =
                    self.realm.groups.iter().filter(|own| own.starts_with(&below)).collect();
                for group in known.into_iter().filter(|own| sayable(own).is_ok()) {
                    parts.push(self.atom(Atom::Group(group.clone())));
                }
                let why = "Keycloak takes every group whose path begins so; here it is the groups that the export has, and a new one has to be added";
                report.add(
                    Weight::Stricter,
                    code::PARTLY,
                    format!("{}.config.groups", own.at),
                    named(own),
                    why,
                );
            }
        }
        let formula = Formula::any(parts);
        let upper = if is_exact { formula.clone() } else { Formula::Const(true) };
        Ok(Bounds { lower: formula, upper })
    }

    fn users(&mut self, own: &Policy) -> Result<Bounds, Unresolved> {
        let names = own.names("users").map_err(|why| (code::SHAPE, why))?;
        let realm = self.realm;
        self.each(names, |name| {
            let known = realm.users.get(&name).cloned();
            let id = known.or_else(|| realm.users.values().find(|id| **id == name).cloned());
            let id = id.ok_or_else(|| {
                let why = format!(
                    "user `{}`: only an export of the realm with its users says who that is",
                    shown(&name)
                );
                (code::UNRESOLVED, why)
            })?;
            sayable(&id)?;
            Ok(Atom::User(id))
        })
    }

    /// `nbf` and `noa` are moments, hours are hours of the day; both of the server's zone, which no export says.
    fn time(&mut self, own: &Policy) -> Result<Bounds, Unresolved> {
        let odd = |key: &str| (code::TIME, format!("`{key}` can't be read"));
        for key in ["dayMonth", "dayMonthEnd", "month", "monthEnd", "year", "yearEnd", "minute", "minuteEnd"]
        {
            if own.text(key).is_some() || own.config.get(key).is_some_and(Value::is_number) {
                return Err((code::TIME, format!("`{key}` has no counterpart")));
            }
        }
        let Some(zone) = self.zone.clone() else {
            let why = "its times are of the zone where Keycloak runs, which no export says: name it with --time-zone";
            return Err((code::TIME, why.to_owned()));
        };
        let mut parts = Vec::new();
        for (key, is_start) in [("nbf", true), ("noa", false)] {
            let Some(text) = own.text(key) else { continue };
            let moment: DateTime = text.trim().replacen(' ', "T", 1).parse().map_err(|_| odd(key))?;
            let moment = moment.to_zoned(zone.clone()).map_err(|_| odd(key))?.timestamp().to_string();
            parts.push(self.atom(if is_start { Atom::From(moment) } else { Atom::Until(moment) }));
        }
        let hour = |key: &str| -> Result<Option<u8>, Unresolved> {
            let text = match own.config.get(key) {
                None | Some(Value::Null) => return Ok(None),
                Some(Value::String(text)) if text.is_empty() => return Ok(None),
                Some(Value::String(text)) => text.trim().to_owned(),
                Some(other) => other.to_string(),
            };
            text.parse().ok().filter(|hour| *hour < 24).map(Some).ok_or_else(|| odd(key))
        };
        if let Some(from) = hour("hour")? {
            let until = hour("hourEnd")?.unwrap_or(from);
            parts.push(self.atom(Atom::ClockFrom(format!("{from:02}:00"))));
            parts.push(self.atom(Atom::ClockUntil(format!("{until:02}:59"))));
        }
        Ok(Bounds::exactly(Formula::all(parts)))
    }
}

type Unresolved = (&'static str, String);

/// Whether a text can stand in a condition.
fn sayable(text: &str) -> Result<(), Unresolved> {
    let is_plain = !text.is_empty()
        && text.trim() == text
        && !text.contains('\'')
        && !text.chars().any(char::is_control);
    if is_plain && text.len() <= 256 {
        return Ok(());
    }
    Err((
        code::NAME,
        format!("`{}` can't stand in a rule: a quote, a blank at an end, or too long", shown(text)),
    ))
}

fn unknown(policy: &Policy, code: &'static str, why: &str, report: &mut Report) -> Bounds {
    report.add(Weight::Denied, code, policy.at.clone(), named(policy), why);
    Bounds::unknown()
}

fn named(policy: &Policy) -> String {
    let word = if policy.is_permission() { "permission" } else { "policy" };
    format!("{word} `{}`", shown(&policy.name))
}
