//! How `who` is printed: for people, for a page, for a sheet, for a program.

use crate::cli::grid::{Cell, Grid};
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::analysis::who::{Gate, Granted, Required, Through, Who};

const HEADS: [&str; 4] = ["role", "granted", "if", "place"];

/// For people.
pub(super) fn human(found: &[Who], nobody: Option<&str>) -> String {
    let mut text = String::new();
    for (index, who) in found.iter().enumerate() {
        // Writing to a String can't fail.
        if index > 0 {
            let _ = writeln!(text);
        }
        let _ = writeln!(text, "{}   {}", head(who), who.place);
        for sentence in sentences(who) {
            let _ = writeln!(text, "{sentence}");
        }
        let mut grid = vec![HEADS.map(str::to_owned)];
        grid.extend(who.granted.iter().map(cells));
        if !who.granted.is_empty() {
            text.push_str(&table(&grid));
        }
        if !who.required.is_empty() {
            let _ = writeln!(text, "required of all:");
            let lines: Vec<_> = who.required.iter().map(required).collect();
            text.push_str(&table(&lines));
        }
        if !who.conditions.is_empty() {
            let _ = writeln!(text, "where:");
            let line = |name: &str, is: &str, place: &str| [name.to_owned(), is.to_owned(), place.to_owned()];
            let lines: Vec<_> =
                who.conditions.iter().map(|own| line(&own.name, &own.text, &own.place)).collect();
            text.push_str(&table(&lines));
        }
    }
    nobody.into_iter().for_each(|nobody| text.push_str(nobody));
    text
}

fn head(who: &Who) -> String {
    let needs = who.permissions.iter().map(|own| &**own).collect::<Vec<_>>().join(" or ");
    let on = match who.hosts.as_slice() {
        [] => String::new(),
        hosts => format!(" on {}", hosts.join(", ")),
    };
    match who.gate {
        Gate::Public => format!("{} of {}{on}: public", who.what, who.app),
        Gate::Reserved => format!("{} of {}{on}: reserved", who.what, who.app),
        _ if *who.what == needs => format!("{} of {}{on}", who.what, who.app),
        Gate::Grant => format!("{} of {}{on}: {needs}", who.what, who.app),
        Gate::Socket => format!("{} of {}{on}: {needs}", who.what, who.app),
    }
}

/// What holds for the whole of it.
fn sentences(who: &Who) -> Vec<String> {
    let mut said = Vec::new();
    match who.gate {
        Gate::Public => return vec!["everyone, without a token".to_owned()],
        Gate::Reserved => said.push("nobody, as long as the resource is reserved".to_owned()),
        Gate::Socket => said.push("it opens a socket, on which each event is judged for itself".to_owned()),
        Gate::Grant if !who.is_someone() => said.push("nobody".to_owned()),
        Gate::Grant => {}
    }
    if !who.operations.is_empty() {
        said.push(format!("permits {}", who.operations.join(", ")));
    }
    if !who.granted.is_empty() {
        said.push(format!("roles from {}; tenant: {}", who.roles_from, who.tenant));
    }
    said
}

/// The strings that mean a role, where they aren't its name.
fn called(granted: &Granted) -> String {
    if granted.through == Through::Anyone {
        return "anyone (every verified caller)".to_owned();
    }
    match &*granted.claims {
        [only] if **only == *granted.role => granted.role.to_string(),
        claims => format!("{} ({})", granted.role, claims.join(", ")),
    }
}

fn cells(granted: &Granted) -> [String; 4] {
    let through = if granted.through == Through::Star { " through *" } else { "" };
    let mut conditions = match granted.conditions.as_slice() {
        [] => "always".to_owned(),
        own => own.join(", "),
    };
    if granted.is_void {
        conditions.push_str(" (never: no facts meet it)");
    }
    [called(granted), format!("{}{through}", granted.permission), conditions, granted.place.to_string()]
}

fn required(own: &Required) -> [String; 3] {
    let mut text = own.text.clone();
    if own.proves_tenant {
        text.push_str("; proves that the caller may act for the tenant");
    }
    if own.steps_up {
        text.push_str("; else a stronger log-in is asked for");
    }
    if !own.on.is_empty() {
        let _ = write!(text, "; only on {}", own.on.join(", "));
    }
    [own.name.to_string(), text, own.place.to_string()]
}

/// Columns under each other, indented.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "  {}", cells.join("  ").trim_end());
    }
    text
}

/// For a page.
pub(super) fn markdown(found: &[Who], nobody: Option<&str>) -> String {
    let mut text = String::new();
    let rows = |text: &mut String, heads: &[&str], rows: Vec<Vec<String>>| {
        let _ = writeln!(text, "\n| {} |\n|{}", heads.join(" | "), "---|".repeat(heads.len()));
        for row in rows {
            let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
    };
    for who in found {
        let _ = writeln!(text, "### {}\n", head(who));
        let _ = writeln!(text, "{} (`{}`)", sentences(who).join("; "), who.place);
        if !who.granted.is_empty() {
            rows(&mut text, &HEADS, who.granted.iter().map(|own| cells(own).to_vec()).collect());
        }
        if !who.required.is_empty() {
            let all = who.required.iter().map(|own| required(own).to_vec()).collect();
            rows(&mut text, &["required of all", "is", "place"], all);
        }
        if !who.conditions.is_empty() {
            let of = |own: &crate::analysis::words::Defined| {
                vec![own.name.to_string(), own.text.clone(), own.place.to_string()]
            };
            rows(&mut text, &["condition", "is", "place"], who.conditions.iter().map(of).collect());
        }
        let _ = writeln!(text);
    }
    nobody.into_iter().for_each(|nobody| text.push_str(nobody));
    text
}

/// For a sheet: a row for each grant, requirement and condition.
pub(super) fn csv(found: &[Who]) -> String {
    let mut text = String::new();
    let mut line = |cells: [&str; 8]| {
        let quoted = cells.map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")));
        let _ = writeln!(text, "{}", quoted.join(","));
    };
    line(["app", "what", "kind", "name", "permission", "through", "condition", "place"]);
    for who in found {
        let (app, what) = (&*who.app, who.what.as_str());
        if who.gate == Gate::Public {
            line([app, what, "public", "", "", "", "", &who.place]);
        }
        for own in &who.granted {
            let conditions = own.conditions.join(", ");
            let kind = if own.is_void { "void grant" } else { "grant" };
            let through = own.through.as_str();
            line([app, what, kind, &own.role, &own.permission, through, &conditions, &own.place]);
        }
        for own in &who.required {
            let kind = if own.proves_tenant { "tenant proof" } else { "requirement" };
            line([app, what, kind, &own.name, "", "", &own.text, &own.place]);
        }
        for own in &who.conditions {
            line([app, what, "condition", &own.name, "", "", &own.text, &own.place]);
        }
    }
    text
}

/// As tables of a page.
pub(super) fn grids(found: &[Who], nobody: Option<&str>) -> Vec<Grid> {
    let mut grids: Vec<Grid> = nobody.map(|why| Grid::new(why, ["nobody"])).into_iter().collect();
    for who in found {
        let mut granted = Grid::new(format!("{}; {}", head(who), sentences(who).join("; ")), HEADS);
        who.granted.iter().for_each(|own| granted.row(cells(own).map(Cell::text)));
        let mut all = Grid::new("required of all", ["name", "is", "place"]);
        who.required.iter().for_each(|own| all.row(required(own).map(Cell::text)));
        let mut meant = Grid::new("where", ["condition", "is", "place"]);
        let row = |own: &crate::analysis::words::Defined| {
            [own.name.to_string(), own.text.clone(), own.place.to_string()]
        };
        who.conditions.iter().for_each(|own| meant.row(row(own).map(Cell::text)));
        grids.push(granted);
        grids.extend([all, meant].into_iter().filter(|own| !own.is_empty()));
    }
    grids
}

/// For a program.
pub(super) fn machine(found: &[Who], nobody: Option<&str>) -> String {
    let answers: Vec<Value> = found.iter().map(one).collect();
    let anyone = found.iter().any(Who::is_someone);
    let document = json!({
        "schema": "gatewarden.who/1", "possible": anyone, "answers": answers, "nobody": nobody,
    });
    format!("{document:#}")
}

fn one(who: &Who) -> Value {
    let gate = match who.gate {
        Gate::Public => "public",
        Gate::Grant => "grant",
        Gate::Socket => "socket",
        Gate::Reserved => "reserved",
    };
    let granted: Vec<Value> = who
        .granted
        .iter()
        .map(|own| {
            json!({
                "role": &*own.role, "claims": own.claims, "permission": &*own.permission,
                "conditions": own.conditions, "through": own.through.as_str(), "void": own.is_void,
                "place": &*own.place,
            })
        })
        .collect();
    let required: Vec<Value> = who
        .required
        .iter()
        .map(|own| {
            json!({
                "name": &*own.name, "is": own.text, "proves_tenant": own.proves_tenant,
                "steps_up": own.steps_up, "on": own.on, "place": &*own.place,
            })
        })
        .collect();
    let conditions: Vec<Value> = who
        .conditions
        .iter()
        .map(|own| json!({ "name": own.name, "is": own.text, "place": &*own.place }))
        .collect();
    json!({
        "app": &*who.app, "what": who.what, "hosts": who.hosts, "gate": gate,
        "permissions": who.permissions.iter().map(|own| &**own).collect::<Vec<_>>(),
        "operations": who.operations, "place": &*who.place, "roles_from": who.roles_from,
        "tenant": who.tenant, "required": required, "granted": granted, "where": conditions,
    })
}
