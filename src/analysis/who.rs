//! Who could: every role that is granted an operation or a permission, under which conditions, and what is required of
//! whoever asks. It is about rules, not about one request: `nearest` and `trace` speak of those.

use std::sync::Arc;

use super::guard::{self, Verdict};
use super::words::{self, Defined};
use crate::policy::{Access, App, Grant, Operation, PermissionId, TenantRule, Term};
use crate::request::{CanonicalPath, Host, Malformed};
use crate::route::{Match, Verb};
use crate::snapshot::{OperationRef, Snapshot};

/// Who could do one thing of one app.
#[derive(Clone, Debug)]
pub struct Who {
    /// The app.
    pub app: Arc<str>,
    /// `GET /calls/{call}`, `EMIT close`, or `call-resources#view`.
    pub what: String,
    /// The hosts that the app answers to; any where empty.
    pub hosts: Vec<Box<str>>,
    /// The permissions of which one is needed.
    pub permissions: Vec<Arc<str>>,
    /// The operations that a permission is for, where one was asked about.
    pub operations: Vec<String>,
    /// Where it is declared.
    pub place: Arc<str>,
    /// What must be shown to come as far as the grants.
    pub gate: Gate,
    /// The fact that holds the caller's roles.
    pub roles_from: Box<str>,
    /// Whose things are asked for, and how the caller proves to act there.
    pub tenant: String,
    /// What must hold whatever the role.
    pub required: Vec<Required>,
    /// Every grant, by role in the order of the file.
    pub granted: Vec<Granted>,
    /// What the conditions test that are named above.
    pub conditions: Vec<Defined>,
}

/// What must be shown to come as far as the grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Nothing: it is public.
    Public,
    /// A token, and a grant.
    Grant,
    /// A token and a grant of any event; each event is judged for itself.
    Socket,
    /// It is reserved: nobody is granted it until the mark is taken away.
    Reserved,
}

/// What must hold whatever the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    /// The requirement.
    pub name: Arc<str>,
    /// The condition that it asks for, in words.
    pub text: String,
    /// Whether it proves that the caller may act for the tenant.
    pub proves_tenant: bool,
    /// Whether a stronger log-in is asked for in place of a refusal.
    pub steps_up: bool,
    /// The operations that it is required on, where a permission was asked about and it isn't all of its.
    pub on: Vec<String>,
    /// Where it stands.
    pub place: Arc<str>,
}

/// One grant of a role's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The role.
    pub role: Arc<str>,
    /// The strings that mean the role where it is read; none for `anyone`.
    pub claims: Box<[Box<str>]>,
    /// What it is granted.
    pub permission: Arc<str>,
    /// The conditions that must all hold, but for what is required anyway.
    pub conditions: Vec<Box<str>>,
    /// How it comes to it.
    pub through: Through,
    /// Whether no facts whatsoever would make it count.
    pub is_void: bool,
    /// Where the grant stands.
    pub place: Arc<str>,
}

/// How a role comes to a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// Its resource is named.
    Name,
    /// `*` covers it.
    Star,
    /// Every verified caller has it.
    Anyone,
}

impl Through {
    /// The word that the file has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Star => "*",
            Self::Anyone => "anyone",
        }
    }
}

impl Who {
    /// Whether there is anyone who could.
    #[must_use]
    pub fn is_someone(&self) -> bool {
        self.gate == Gate::Public || self.granted.iter().any(|own| !own.is_void)
    }
}

/// What a method and a path lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// These operations.
    Operations(Vec<OperationRef>),
    /// The path is there, with other methods.
    OtherMethods(Vec<Verb>),
    /// Nothing is there.
    Nothing,
}

/// The operations of a method and a path, whichever host is asked; the path may be a template as the files write it.
pub fn operations(snapshot: &Snapshot, verb: Option<Verb>, path: &str) -> Result<Found, Malformed> {
    let mut found: Vec<OperationRef> = all(snapshot)
        .filter(|(_, _, own)| Some(own.verb) == verb && own.template.to_string() == path)
        .map(|(at, ..)| at)
        .collect();
    if !found.is_empty() {
        return Ok(Found::Operations(found));
    }
    let path = CanonicalPath::parse(path)?;
    let mut others: Vec<Verb> = Vec::new();
    let hosts = snapshot.apps.iter().flat_map(|app| app.hosts.iter().map(|host| &**host));
    for host in hosts.chain(["gateway.invalid"]).filter_map(|host| Host::parse(host).ok()) {
        match snapshot.routes.find(&host, &path, verb) {
            Match::Operations(claims) => {
                for at in claims {
                    if !found.contains(at) {
                        found.push(*at);
                    }
                }
            }
            Match::OtherMethods(verbs) => others.extend(verbs),
            Match::Nothing => {}
        }
    }
    others.sort_unstable();
    others.dedup();
    Ok(match (found.is_empty(), others.is_empty()) {
        (false, _) => Found::Operations(found),
        (true, false) => Found::OtherMethods(others),
        (true, true) => Found::Nothing,
    })
}

/// The operations that are events of this name.
#[must_use]
pub fn events(snapshot: &Snapshot, name: &str) -> Vec<OperationRef> {
    let of = |(app, own): (usize, &App)| {
        own.events.get(name).map(|operation| OperationRef { app, operation: *operation })
    };
    snapshot.apps.iter().enumerate().filter_map(of).collect()
}

fn all(snapshot: &Snapshot) -> impl Iterator<Item = (OperationRef, &App, &Operation)> {
    snapshot.apps.iter().enumerate().flat_map(|(app, own)| {
        let operations = own.operations.iter().enumerate();
        operations.map(move |(operation, its)| (OperationRef { app, operation }, own, its))
    })
}

/// Who could do an operation.
#[must_use]
pub fn of_operation(app: &App, operation: &Operation) -> Who {
    let permissions: Vec<PermissionId> = operation.permissions().collect();
    let gate = match operation.access {
        Access::Public => Gate::Public,
        Access::Guarded { .. } => Gate::Grant,
        Access::Socket { .. } => Gate::Socket,
    };
    let what = format!("{} {}", operation.verb, operation.template);
    let is_void = |role| guard::compare(app, role, operation, &[]) == Verdict::Never;
    let required = required(app, &[operation]);
    Who { what, gate, place: operation.place.clone(), ..who(app, &permissions, required, is_void) }
}

/// Who is granted a permission.
#[must_use]
pub fn of_permission(app: &App, id: PermissionId) -> Option<Who> {
    let permission = app.permission(id)?;
    let needs = |own: &&Operation| own.permissions().any(|other| other == id);
    let guarded = app.operations.iter().filter(|own| matches!(own.access, Access::Guarded { .. }));
    let operations: Vec<&Operation> = guarded.filter(needs).collect();
    let is_void = |role| {
        let never = |own: &&Operation| guard::compare(app, role, own, &[]) == Verdict::Never;
        !operations.is_empty() && operations.iter().all(never)
    };
    Some(Who {
        what: permission.name.to_string(),
        gate: if permission.reserved { Gate::Reserved } else { Gate::Grant },
        place: permission.place.clone(),
        operations: operations.iter().map(|own| format!("{} {}", own.verb, own.template)).collect(),
        ..who(app, &[id], required(app, &operations), is_void)
    })
}

fn who(
    app: &App,
    permissions: &[PermissionId],
    required: Vec<(usize, Required)>,
    is_void: impl Fn(usize) -> bool,
) -> Who {
    // What every operation that was asked about requires is told once, not with each grant.
    let common: Vec<usize> =
        required.iter().filter(|(_, own)| own.on.is_empty()).map(|(own, _)| *own).collect();
    let mut named: Vec<usize> =
        required.iter().flat_map(|(condition, _)| words::beneath(app, *condition)).collect();
    let mut granted: Vec<Granted> = Vec::new();
    for (index, role) in app.roles.iter().enumerate() {
        let grants: Vec<&Grant> = permissions.iter().flat_map(|own| role.grants_of(*own)).collect();
        let is_void = !grants.is_empty() && is_void(index);
        for grant in grants {
            let conditions: Vec<usize> =
                grant.conditions.iter().copied().filter(|own| !common.contains(own)).collect();
            named.extend(&conditions);
            let through = match grant.term {
                _ if app.anyone == Some(index) => Through::Anyone,
                Term::Name => Through::Name,
                Term::Star => Through::Star,
            };
            let names = conditions.iter().filter_map(|own| app.conditions.get(*own));
            let line = Granted {
                role: role.name.clone(),
                claims: role.claims.clone(),
                permission: app
                    .permission(grant.permission)
                    .map_or_else(|| "".into(), |own| own.name.clone()),
                conditions: names.map(|own| own.name.clone()).collect(),
                through,
                is_void,
                place: grant.place.clone(),
            };
            if !granted.contains(&line) {
                granted.push(line);
            }
        }
    }
    let name = |id: &PermissionId| app.permission(*id).map(|own| own.name.clone());
    Who {
        app: app.name.clone(),
        what: String::new(),
        hosts: app.hosts.to_vec(),
        permissions: permissions.iter().filter_map(name).collect(),
        operations: Vec::new(),
        place: "".into(),
        gate: Gate::Grant,
        roles_from: app.facts.get(app.roles_fact).map_or_else(Box::default, |fact| fact.name.clone()),
        tenant: tenant(app),
        required: required.into_iter().map(|(_, own)| own).collect(),
        granted,
        conditions: words::defined(app, named),
    }
}

/// The requirements of some operations, each with its condition. The one that proves the tenant comes first.
fn required(app: &App, operations: &[&Operation]) -> Vec<(usize, Required)> {
    let guarded: Vec<&&Operation> =
        operations.iter().filter(|own| !matches!(own.access, Access::Public)).collect();
    let proven_by = match &app.tenant {
        TenantRule::From { proven_by, .. } if !guarded.is_empty() => *proven_by,
        _ => None,
    };
    let of = |index: usize| {
        let own = app.requirements.get(index)?;
        let on: Vec<String> = guarded
            .iter()
            .filter(|operation| operation.requirements().contains(&index))
            .map(|operation| format!("{} {}", operation.verb, operation.template))
            .collect();
        let proves_tenant = proven_by == Some(index);
        if on.is_empty() && !proves_tenant {
            return None;
        }
        let is_everywhere = proves_tenant || on.len() == guarded.len();
        let text = app.conditions.get(own.condition).map(|named| words::of(app, &named.condition));
        let required = Required {
            name: own.name.clone(),
            text: text.unwrap_or_default(),
            proves_tenant,
            steps_up: own.step_up.is_some(),
            on: if is_everywhere { Vec::new() } else { on },
            place: own.place.clone(),
        };
        Some((own.condition, required))
    };
    let rest = (0..app.requirements.len()).filter(|index| Some(*index) != proven_by);
    proven_by.into_iter().chain(rest).filter_map(of).collect()
}

/// Whose things are asked for, in words.
fn tenant(app: &App) -> String {
    match &app.tenant {
        TenantRule::Constant(tenant) => format!("always {}", tenant.name),
        TenantRule::From { sources, proven_by } => {
            let names: Vec<&str> =
                sources.iter().filter_map(|at| app.facts.get(*at)).map(|fact| &*fact.name).collect();
            let proof = proven_by.and_then(|at| app.requirements.get(at));
            let proof = proof
                .map_or_else(|| ", the token's own".to_owned(), |own| format!(", proven by {}", own.name));
            match names.as_slice() {
                [only] => format!("{only}{proof}"),
                names => format!("the first stated of {}{proof}", names.join(", ")),
            }
        }
    }
}
