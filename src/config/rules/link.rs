//! Apps put together: whose paths are whose, which route two apps share, and which upstream serves each operation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::diagnostic::{Diagnostic, Diagnostics, Span, code};
use super::super::tenants::{Members, Setting};
use super::{Context, Draft, OperationDraft, Reached, shared};
use crate::analysis::guard;
use crate::fact::{Fact, Source};
use crate::plumbing::{Place, UpstreamConfig};
use crate::policy::obligation::LookUp;
use crate::policy::{Access, App, Operation, RoleClaims, TenantRule};
use crate::route::{RouteTable, RouteTableBuilder, Segment, Template};
use crate::snapshot::OperationRef;
use crate::token::Purpose;

/// Links all apps. Whatever is wrong is reported; the result is only used where nothing was.
pub(in super::super) fn link(
    drafts: Vec<Draft<'_>>,
    context: Context<'_>,
    diagnostics: &mut Diagnostics,
) -> (Vec<App>, RouteTable<OperationRef>) {
    check_names(&drafts, diagnostics);
    check_owners(&drafts, diagnostics);
    check_templates(&drafts, diagnostics);
    check_shared_routes(&drafts, diagnostics);
    shared::tell(&drafts, diagnostics);
    let places = places(context.upstreams);
    let mut builder = RouteTableBuilder::default();
    let mut apps = Vec::new();
    for (index, draft) in drafts.iter().enumerate() {
        check_reach(draft, &drafts, diagnostics);
        let bound = draft
            .operations
            .iter()
            .map(|own| bind(draft, draft.opened_at(own)?, (context.upstreams, &places), diagnostics))
            .collect::<Vec<_>>();
        let asked = look_ups(draft, (context.upstreams, &places), diagnostics);
        let routed = draft.operations.iter().enumerate().filter(|(_, own)| !own.template.is_event());
        for (operation, own) in routed {
            builder.add(&draft.hosts, own.template.clone(), own.verb, OperationRef { app: index, operation });
        }
        // What the file expects of itself is held against what could be read of it, whatever else is wrong.
        let (linked, is_whole) = finish(draft, &bound, asked, context);
        super::expect::check(&linked, draft, diagnostics);
        apps.extend(is_whole.then_some(linked));
    }
    check_shared_claims(&apps, &drafts, diagnostics);
    (apps, builder.build())
}

fn check_names(drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    let mut named: HashMap<&str, &Draft<'_>> = HashMap::new();
    for draft in drafts {
        if let Some(other) = named.get(&*draft.name) {
            diagnostics.push(
                Diagnostic::error(code::DUPLICATE, format!("app `{}` has two files", draft.name))
                    .at(draft.name_span, "again here")
                    .also(other.name_span, "first here"),
            );
        }
        named.entry(&draft.name).or_insert(draft);
    }
    for draft in drafts {
        for (name, span) in &draft.shared_with {
            if !named.contains_key(&**name) {
                diagnostics.push(
                    Diagnostic::error(code::UNKNOWN_APP, format!("unknown app `{name}`"))
                        .at(*span, "no rule file is for it")
                        .nearest(*span, name, drafts.iter().map(|other| &*other.name)),
                );
            }
        }
        if draft.owns.is_empty() {
            let message = format!("app `{}` owns no path", draft.name);
            diagnostics.push(
                Diagnostic::error(code::MISSING, message)
                    .at(draft.name_span, "")
                    .help("add `owns = [\"/prefix\"]`, or a `base`"),
            );
        }
    }
}

/// Whether two places can be asked for by one host.
fn same_host(a: &Place, b: &Place) -> bool {
    a.host.is_none() || b.host.is_none() || a.host == b.host
}

/// A prefix and all that it lies under.
fn upwards(prefix: &str) -> impl Iterator<Item = &str> {
    let ends = prefix.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    let above = ends.filter_map(|end| prefix.get(..end));
    above.chain([prefix]).chain((prefix != "/").then_some("/"))
}

fn check_owners(drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    let mut owned: HashMap<&str, Vec<(usize, &Place, Span)>> = HashMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        for (place, span) in &draft.owns {
            owned.entry(&place.prefix).or_default().push((index, place, *span));
        }
    }
    // Of two places that overlap one lies under the other.
    let mut pairs = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        for (place, span) in &draft.owns {
            for (other, theirs, at) in upwards(&place.prefix).filter_map(|above| owned.get(above)).flatten() {
                let is_other = drafts.get(*other).is_some_and(|other| other.name != draft.name);
                if is_other && same_host(place, theirs) {
                    let later = (index.max(*other), if index > *other { *span } else { *at });
                    let first = (index.min(*other), if index > *other { *at } else { *span });
                    pairs.entry((later, first.0)).or_insert(first.1);
                }
            }
        }
    }
    for (((later, span), other), first) in pairs {
        let (Some(draft), Some(other)) = (drafts.get(later), drafts.get(other)) else { continue };
        diagnostics.push(
            Diagnostic::error(
                code::OVERLAP,
                format!("`{}` and `{}` own the same paths", other.name, draft.name),
            )
            .at(span, format!("`{}` owns this", draft.name))
            .also(first, format!("`{}` owns this", other.name))
            .help("one app owns a path; it may let another claim operations there with `shared-with`"),
        );
    }
}

fn literals(prefix: &str) -> Vec<Box<str>> {
    prefix.split('/').filter(|part| !part.is_empty()).map(Into::into).collect()
}

/// Whether an app owns what is under a template, on these hosts.
pub(super) fn owns(draft: &Draft<'_>, template: &Template, hosts: &[Box<str>]) -> bool {
    draft.owns.iter().any(|(place, _)| {
        let host_fits = match &place.host {
            None => true,
            Some(host) => !hosts.is_empty() && hosts.iter().all(|own| **own == **host),
        };
        host_fits && template.is_under(&literals(&place.prefix))
    })
}

/// Whether an operation lies under what its own app owns.
pub(super) fn is_own(draft: &Draft<'_>, operation: &OperationDraft) -> bool {
    draft.owns.iter().any(|(place, _)| operation.template.is_under(&literals(&place.prefix)))
}

/// Every operation lies under what its app owns, or what an owner shares with it.
fn check_reach(draft: &Draft<'_>, drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    for operation in draft.operations.iter().filter(|own| !own.template.is_event()) {
        if is_own(draft, operation) {
            continue;
        }
        let owner = drafts.iter().find(|other| owns(other, &operation.template, &draft.hosts));
        let route = format!("{} {}", operation.verb, operation.template);
        match owner {
            Some(owner) if !owner.shared_with.iter().any(|(name, _)| **name == *draft.name) => diagnostics
                .push(
                    Diagnostic::error(code::OVERLAP, format!("`{route}` belongs to `{}`", owner.name))
                        .at(operation.span, format!("claimed by `{}`", draft.name))
                        .also(owner.name_span, "its owner")
                        .help(format!(
                            "`shared-with = [\"{}\"]` in the owner's file would let it",
                            draft.name
                        )),
                ),
            Some(owner) if operation.reached == Reached::Public => diagnostics.push(
                Diagnostic::error(code::OVERLAP, format!("only `{}` may make `{route}` public", owner.name))
                    .at(operation.span, "")
                    .also(owner.name_span, "its owner"),
            ),
            Some(owner) => {
                let opened = |own: &&OperationDraft| {
                    own.reached == Reached::Public
                        && own.verb == operation.verb
                        && own.template.same_shape(&operation.template)
                };
                if let Some(public) = owner.operations.iter().find(opened) {
                    let message = format!("`{route}` is public, so `{}` can't guard it", draft.name);
                    diagnostics.push(
                        Diagnostic::error(code::DUPLICATE, message)
                            .at(operation.span, "guarded here")
                            .also(public.span, "public without any role"),
                    );
                }
            }
            None => diagnostics.push(
                Diagnostic::error(
                    code::OVERLAP,
                    format!("`{route}` is outside of what `{}` owns", draft.name),
                )
                .at(operation.span, "")
                .also(draft.name_span, "see its `owns` and `base`"),
            ),
        }
    }
}

/// Apps share whole templates. A literal of one where the other has a parameter would take paths away from it, and
/// with them its rules.
fn check_shared_routes(drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    for draft in drafts {
        let beyond = draft.operations.iter().filter(|own| !own.template.is_event() && !is_own(draft, own));
        for operation in beyond {
            let whole = |other: &&Draft<'_>| {
                other.operations.iter().any(|own| own.template.same_shape(&operation.template))
            };
            // Whoever has the whole template too has settled what its own literals take from it.
            let others = drafts.iter().filter(|other| other.name != draft.name && !whole(other));
            let theirs = others.flat_map(|other| other.operations.iter().map(move |own| (other, own)));
            let found = theirs.into_iter().find(|(_, theirs)| theirs.template.meets(&operation.template));
            let Some((other, theirs)) = found else { continue };
            let message = format!(
                "`{}` of `{}` and `{}` of `{}` have paths in common",
                operation.template, draft.name, theirs.template, other.name
            );
            diagnostics.push(
                Diagnostic::error(code::OVERLAP, message)
                    .at(operation.span, "some of these paths")
                    .also(theirs.span, "are some of these")
                    .help("apps share whole templates only, written alike in both files"),
            );
        }
    }
}

/// One template has one spelling, in one file and across files.
fn check_templates(drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    let mut seen = HashMap::new();
    let shape = |template: &Template| -> String {
        let part = |segment: &Segment| match segment {
            Segment::Literal(text) => format!("/{text}"),
            Segment::Parameter(_) => "/{}".to_owned(),
            Segment::Rest(_) => "/{...}".to_owned(),
        };
        template.segments().iter().map(part).collect()
    };
    for draft in drafts {
        for operation in draft.operations.iter().filter(|own| !own.template.is_event()) {
            let key = (&draft.hosts, shape(&operation.template));
            match seen.get(&key) {
                None => {
                    seen.insert(key, (&operation.template, operation.span));
                }
                Some((first, span)) if *first != &operation.template => {
                    let message = format!(
                        "`{}` and `{first}` are one template under two parameter names",
                        operation.template
                    );
                    diagnostics.push(
                        Diagnostic::error(code::PARAMETER_NAMES, message)
                            .at(operation.span, "this name here")
                            .also(*span, "another name here"),
                    );
                }
                Some(_) => {}
            }
        }
    }
}

/// Which upstream serves a place, by its host and its prefix in decoded segments.
type Places<'u> = HashMap<(Option<&'u str>, Vec<Box<str>>), usize>;

fn places(upstreams: &[UpstreamConfig]) -> Places<'_> {
    let mut places = Places::new();
    for (index, upstream) in upstreams.iter().enumerate() {
        for place in &upstream.at {
            places.entry((place.host.as_deref(), literals(&place.prefix))).or_insert(index);
        }
    }
    places
}

/// The upstream of an operation and the prefix that is cut off before it: the longest place that holds its template,
/// one of the app's own host before one of any.
fn bind(
    draft: &Draft<'_>,
    (template, span): (&Template, Span),
    (upstreams, places): (&[UpstreamConfig], &Places<'_>),
    diagnostics: &mut Diagnostics,
) -> Option<Bound> {
    let only_host = match &*draft.hosts {
        [first, more @ ..] if more.iter().all(|own| own == first) => Some(&**first),
        _ => None,
    };
    let mut prefix: Vec<Box<str>> = Vec::new();
    for segment in template.segments() {
        let Segment::Literal(text) = segment else { break };
        prefix.push(text.clone());
    }
    let longest = |host: Option<&str>| {
        (0..=prefix.len()).rev().find_map(|end| places.get(&(host, prefix.get(..end)?.to_vec())).copied())
    };
    let found = only_host.and_then(|host| longest(Some(host))).or_else(|| longest(None));
    let Some(index) = found else {
        let mut diagnostic =
            Diagnostic::error(code::NO_UPSTREAM, format!("no upstream serves `{template}`")).at(span, "");
        if !diagnostics.is_crowded() {
            let places: Vec<_> =
                upstreams.iter().flat_map(|own| &own.at).map(|place| place.prefix.as_str()).collect();
            diagnostic =
                diagnostic.help(format!("the upstreams of gateway.toml are at {}", places.join(", ")));
        }
        diagnostics.push(diagnostic);
        return None;
    };
    let strip = upstreams.get(index).and_then(|upstream| upstream.strip.as_deref()).unwrap_or("");
    if !template.is_under(&literals(strip)) {
        let message = format!("`{template}` doesn't begin with `{strip}`, which its upstream strips");
        diagnostics.push(Diagnostic::error(code::NO_UPSTREAM, message).at(span, ""));
    }
    Some((index, strip.into()))
}

/// The look-ups, each bound like an operation: an app is asked nothing outside of what it owns.
fn look_ups(
    draft: &Draft<'_>,
    upstreams: (&[UpstreamConfig], &Places<'_>),
    diagnostics: &mut Diagnostics,
) -> Option<Vec<LookUp>> {
    let mut bound = Vec::new();
    for own in draft.look_ups.iter().filter(|own| !own.segments.is_empty()) {
        if !draft.owns.iter().any(|(place, _)| own.template.is_under(&literals(&place.prefix))) {
            let message = format!("look-up `{}` asks outside of what `{}` owns", own.name, draft.name);
            diagnostics.push(
                Diagnostic::error(code::OVERLAP, message)
                    .at(own.span, format!("at `{}`", own.template))
                    .also(draft.name_span, "see its `owns` and `base`"),
            );
        }
        let found = bind(draft, (&own.template, own.span), upstreams, diagnostics);
        bound.extend(found.map(|(upstream, strip)| own.finish((upstream, &strip), draft.place(own.span))));
    }
    (bound.len() == draft.look_ups.len()).then_some(bound)
}

/// An upstream, by index, and the prefix that is cut off before it.
type Bound = (usize, Arc<str>);

/// The app, and whether all of it could be read: what couldn't be, something stands in for.
fn finish(
    draft: &Draft<'_>,
    bound: &[Option<Bound>],
    look_ups: Option<Vec<LookUp>>,
    context: Context<'_>,
) -> (App, bool) {
    let mut operations = Vec::new();
    let is_bound = bound.iter().all(Option::is_some);
    for (own, bound) in draft.operations.iter().zip(bound) {
        let (upstream, strip) = bound.clone().unwrap_or_default();
        operations.push(Operation {
            verb: own.verb,
            template: own.template.clone(),
            route: own.template.to_string().into(),
            access: access(draft, own),
            obligations: own.obligations.clone(),
            upstream,
            strip,
            place: draft.place(own.span),
        });
    }
    let tenant = match draft.tenant.clone() {
        Some(TenantRule::Constant(tenant)) => {
            context.directory.named(&tenant.name).cloned().map(TenantRule::Constant)
        }
        rule => rule,
    };
    let is_whole = is_bound && tenant.is_some() && draft.roles_fact.is_some() && look_ups.is_some();
    let names = |wanted: fn(&Source) -> Option<&Box<str>>| -> Box<[Box<str>]> {
        draft.facts.iter().filter_map(|fact| wanted(&fact.source).cloned()).collect()
    };
    let mut app = App {
        name: draft.name.clone(),
        issuer: draft.issuer.clone(),
        hosts: draft.hosts.clone().into(),
        base: draft.base.clone(),
        roles_fact: draft.roles_fact.unwrap_or_default(),
        purpose: Purpose::unique(),
        tenant: tenant.unwrap_or(TenantRule::From { sources: Box::default(), proven_by: None }),
        authorization: draft.authorization,
        read_queries: names(|source| match source {
            Source::Query(key) => Some(key),
            _ => None,
        }),
        read_headers: names(|source| match source {
            Source::Header(name) => Some(name),
            _ => None,
        }),
        facts: draft.facts.clone().into(),
        conditions: draft.conditions.clone().into(),
        requirements: draft.requirements.iter().map(|own| own.requirement.clone()).collect(),
        permissions: draft.permissions.clone().into(),
        anyone: draft.roles.iter().position(|role| *role.name == *super::roles::ANYONE),
        roles: draft.roles.clone().into(),
        role_claims: role_claims(draft),
        look_ups: look_ups.unwrap_or_default().into(),
        injects: draft.injects.clone().into(),
        limits: super::limits::finish(draft),
        cors: draft.cors.clone(),
        socket: draft.socket.as_ref().map(|own| Arc::new(own.rules.clone())),
        events: events(&operations),
        operations: operations.into(),
        grants_end: draft.ends.clone().into(),
        features: draft.features.clone().into(),
        required_everywhere: Box::default(),
    };
    app.required_everywhere = guard::required_everywhere(&app).into();
    (app, is_whole)
}

fn role_claims(draft: &Draft<'_>) -> RoleClaims {
    let mut meant = RoleClaims::default();
    for (index, role) in draft.roles.iter().enumerate() {
        for claim in &role.claims {
            meant.entry(claim.clone()).or_default().push(index);
        }
    }
    meant
}

fn events(operations: &[Operation]) -> HashMap<Box<str>, usize, foldhash::fast::RandomState> {
    let events = operations.iter().enumerate().filter(|(_, own)| own.template.is_event());
    events.map(|(index, own)| (own.template.to_string().into(), index)).collect()
}

fn access(draft: &Draft<'_>, operation: &OperationDraft) -> Access {
    let masks = |operations: &mut dyn Iterator<Item = &OperationDraft>| -> Box<[(u16, u64)]> {
        let mut masks: Vec<(u16, u64)> = Vec::new();
        for id in operations.flat_map(|own| &own.permissions) {
            match masks.iter_mut().find(|(word, _)| *word == id.word) {
                Some((_, mask)) => *mask |= id.mask(),
                None => masks.push((id.word, id.mask())),
            }
        }
        masks.into()
    };
    let requirements = operation.requirements.clone().into();
    match operation.reached {
        Reached::Public => Access::Public,
        Reached::Guarded => Access::Guarded { masks: masks(&mut std::iter::once(operation)), requirements },
        Reached::Socket => {
            let mut events = draft.operations.iter().filter(|own| own.template.is_event());
            Access::Socket { masks: masks(&mut events), requirements }
        }
    }
}

/// One role string of one issuer that means a role in several apps: whoever holds it in one holds it in all.
fn check_shared_claims(apps: &[App], drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    let mut holders: BTreeMap<(&str, &str, &str), Vec<&App>> = BTreeMap::new();
    // What an app answers about the caller is its own word, whatever string it is.
    let of_token = |app: &&App| {
        app.facts.get(app.roles_fact).is_some_and(|fact| matches!(fact.source, Source::Token(_)))
    };
    for app in apps.iter().filter(of_token) {
        let fact = app.facts.get(app.roles_fact).map_or("", |fact| &fact.name);
        for claim in app.role_claims.keys() {
            holders.entry((&app.issuer, fact, claim)).or_default().push(app);
        }
    }
    let span = |app: &App| drafts.iter().find(|draft| draft.name == app.name).map(|draft| draft.name_span);
    for ((issuer, _, claim), apps) in holders {
        let [first, second, more @ ..] = apps.as_slice() else { continue };
        let (Some(here), Some(there)) = (span(first), span(second)) else { continue };
        let others = if more.is_empty() { String::new() } else { format!(", and in {} more", more.len()) };
        let names = format!("`{}` and in `{}`{others}", first.name, second.name);
        diagnostics.push(
            Diagnostic::note(
                code::SHARED_CLAIM,
                format!("`{claim}` in tokens of `{issuer}` means a role in {names}"),
            )
            .at(here, "who holds it here")
            .also(there, "holds it there")
            .help("give one of them a `claim` of its own if that isn't meant"),
        );
    }
}

/// The tenant settings that an app declares. One of type `tenants` holds tenants and organisations by name, any other set
/// strings as they are.
pub(in super::super) fn settings(draft: &Draft<'_>) -> Vec<Setting> {
    let setting = |(index, fact): (usize, &Fact)| match &fact.source {
        Source::Tenant(name) if **name != *"ids" => {
            let named = draft.organisations.contains(&index);
            let members = if named { Members::Tenants } else { Members::Strings };
            Some(Setting { app: draft.name.clone(), name: name.clone(), kind: fact.kind, members })
        }
        _ => None,
    };
    draft.facts.iter().enumerate().filter_map(setting).collect()
}
