//! A rule file to begin with: the document's operations as resources, by tag or by the first part of the path. Nobody is
//! granted anything, and nothing is public.

use super::super::keycloak::prefixes;
use super::super::report::{Report, Weight, code, shown};
use super::super::toml_text::{aligned, array, comment, key, quoted, slug, unique};
use super::super::trial::Surroundings;
use super::spec::{Operation, Spec};
use crate::route::{Segment, Template, Verb};

/// What an operator says about a file that is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The app's name; made of the document's title where there is none.
    pub app: Option<String>,
    /// The issuer's name in `gateway.toml`.
    pub issuer: String,
    /// The tenant's name in `rules/tenants.toml`.
    pub tenant: String,
    /// The fact that holds the caller's roles.
    pub roles: String,
    /// The prefix of the paths, in place of the document's.
    pub base: Option<String>,
}

/// A rule file that was made.
#[derive(Clone, Debug)]
pub struct Suggested {
    /// What it needs of other files; the app's name is in it.
    pub around: Surroundings,
    /// Its text.
    pub text: String,
}

struct Resource<'s> {
    name: String,
    view: Vec<&'s Operation>,
    manage: Vec<&'s Operation>,
}

/// Makes a rule file.
#[must_use]
pub fn suggest(spec: &Spec, options: &Options, report: &mut Report) -> Suggested {
    let app = options.app.clone().unwrap_or_else(|| slug(&spec.title));
    let base = options.base.clone().unwrap_or_else(|| spec.base.clone());
    let base = base.trim_end_matches('/').to_owned();
    let owns = match base.split("/{").next().unwrap_or("") {
        "" => prefixes(spec.operations.iter().map(|own| &own.template), &app),
        literal => vec![literal.to_owned()],
    };
    let around = Surroundings {
        app,
        issuer: options.issuer.clone(),
        issuer_url: "https://issuer.example/realms/realm".to_owned(),
        audience: "api".to_owned(),
        tenant: options.tenant.clone(),
        time_zone: None,
        owns,
    };
    let resources = resources(spec);
    let open: Vec<String> = open(spec, report);
    let text = file(spec, &resources, &around, (&base, &options.roles), &open);
    report.source = format!("OpenAPI document `{}`", shown(&spec.title));
    report.result = format!(
        "{} operations in {} resources; {} left out, {} to be confirmed; nobody is granted anything",
        spec.operations.len(),
        resources.len(),
        report.count(Weight::Denied),
        report.count(Weight::Review),
    );
    report.needs = around.needs();
    Suggested { around, text }
}

/// Operations that the document opens; told, and not opened.
fn open(spec: &Spec, report: &mut Report) -> Vec<String> {
    if !spec.speaks_of_security {
        let why = "it asks for no security anywhere, so which operations are meant to be public isn't known";
        report.add(Weight::Review, code::OPEN, "security", "the document", why);
        return Vec::new();
    }
    let mut found = Vec::new();
    for own in spec.operations.iter().filter(|own| own.open) {
        let text = format!("{} {}", own.verb, own.template);
        let why = "the document asks for no security: `public` is the place for it, if that is meant; here it isn't public";
        report.add(Weight::Review, code::OPEN, format!("paths.{}", own.path), text.clone(), why);
        found.push(text);
    }
    found
}

fn resources(spec: &Spec) -> Vec<Resource<'_>> {
    let mut found: Vec<(String, Resource<'_>)> = Vec::new();
    for own in &spec.operations {
        let wanted = slug(&own.tag.clone().unwrap_or_else(|| first_segment(&own.template)));
        let at = found.iter().position(|(known, _)| *known == wanted).unwrap_or_else(|| {
            let name = unique(wanted.clone(), |name| found.iter().any(|(_, own)| own.name == name));
            found.push((wanted.clone(), Resource { name, view: Vec::new(), manage: Vec::new() }));
            found.len() - 1
        });
        if let Some((_, resource)) = found.get_mut(at) {
            let scope = if own.verb == Verb::Get { &mut resource.view } else { &mut resource.manage };
            scope.push(own);
        }
    }
    found.into_iter().map(|(_, resource)| resource).collect()
}

fn first_segment(template: &Template) -> String {
    let literal = template.segments().iter().find_map(|segment| match segment {
        Segment::Literal(text) => Some(text.to_string()),
        _ => None,
    });
    literal.unwrap_or_else(|| "root".to_owned())
}

fn file(
    spec: &Spec,
    resources: &[Resource<'_>],
    around: &Surroundings,
    (base, roles): (&str, &str),
    open: &[String],
) -> String {
    let mut out = format!(
        "# Made of the OpenAPI document {}. Nobody is granted anything yet: resources and scopes are suggestions.\n",
        comment(&quoted(&spec.title))
    );
    let mut head = vec![("app".to_owned(), quoted(&around.app))];
    match base {
        "" => head.push(("owns".to_owned(), array(&around.owns))),
        base => head.push(("base".to_owned(), quoted(base))),
    }
    head.push(("issuer".to_owned(), quoted(&around.issuer)));
    head.push(("roles".to_owned(), quoted(roles)));
    head.push(("tenant".to_owned(), quoted(&around.tenant)));
    out.push_str(&aligned(&head));
    if !open.is_empty() {
        out.push_str("# The document opens these to everyone. If that is meant, move them here from their resources:\n");
        out.push_str("# public = [\n");
        open.iter().for_each(|own| out.push_str(&format!("#   {},\n", quoted(own))));
        out.push_str("# ]\n");
    }
    out.push_str("\n[facts.token]\n");
    let fact: Vec<String> = roles.split('.').skip(1).map(key).collect();
    out.push_str(&format!("{} = \"set\"\n\n", fact.join(".")));
    for resource in resources {
        out.push_str(&format!("[resource.{}]\n", key(&resource.name)));
        for (scope, operations) in [("view  ", &resource.view), ("manage", &resource.manage)] {
            if operations.is_empty() {
                continue;
            }
            out.push_str(&format!("{scope} = [\n"));
            let texts: Vec<String> = operations
                .iter()
                .map(|own| format!("{},", quoted(&format!("{} {}", own.verb, own.template))))
                .collect();
            let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).min(60);
            for (own, text) in operations.iter().zip(texts) {
                match &own.name {
                    Some(name) => out.push_str(&format!("  {text:<width$}  # {}\n", comment(&shown(name)))),
                    None => out.push_str(&format!("  {text}\n")),
                }
            }
            out.push_str("]\n");
        }
    }
    out.push_str(&roles_to_come(resources));
    out
}

/// Role tables that stand in a comment.
fn roles_to_come(resources: &[Resource<'_>]) -> String {
    let names = |wanted: &dyn Fn(&&Resource<'_>) -> bool| -> String {
        let own: Vec<String> = resources.iter().filter(wanted).map(|own| own.name.clone()).collect();
        array(&own).replace('\n', "\n# ")
    };
    let view = names(&|own| !own.view.is_empty());
    let manage = names(&|own| !own.manage.is_empty());
    format!(
        "\n# Who may do it. Names are what stands in tokens.\n# [role.reader]\n# view   = {view}\n# [role.editor]\n# view   = {view}\n# manage = {manage}\n"
    )
}
