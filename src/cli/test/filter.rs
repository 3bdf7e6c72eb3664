//! Which cases are meant: `role=agent,request=/cim/`. Kinds add up, and of one kind any suffices.

use super::case::Case;
use crate::cli::hypothesis::unknown;
use crate::policy::App;

/// `role=…,app=…,file=…,request=…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter(Vec<(Kind, String)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Role,
    App,
    File,
    Request,
}

const KINDS: [(Kind, &str); 4] =
    [(Kind::Role, "role"), (Kind::App, "app"), (Kind::File, "file"), (Kind::Request, "request")];

impl Filter {
    /// Reads what was typed; the error is a sentence.
    pub(super) fn parse(typed: &str) -> Result<Self, String> {
        let one = |part: &str| {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` isn't KIND=VALUE, such as role=agent"))?;
            let kind = KINDS.iter().find(|(_, name)| *name == key.trim()).map(|(kind, _)| *kind);
            let names = KINDS.iter().map(|(_, name)| *name);
            let kind = kind.ok_or_else(|| unknown(&format!("nothing is filtered by `{key}`"), key, names))?;
            Ok((kind, value.trim().to_owned()))
        };
        let parts = typed.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(one).collect::<Result<_, String>>().map(Self)
    }

    /// Whether it lets everything through.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a case of a file is meant.
    pub(super) fn takes(&self, file: &str, app: &App, case: &Case) -> bool {
        let roles = || {
            let named =
                case.roles.iter().flat_map(|claim| app.role_claims.get(&**claim).into_iter().flatten());
            let named = named.filter_map(|index| app.roles.get(*index)).map(|role| &*role.name);
            named.chain(case.roles.iter().map(String::as_str))
        };
        self.all(|kind, value| match kind {
            Kind::Role => roles().any(|role| role == value),
            Kind::App => *app.name == *value,
            Kind::File => file.contains(value),
            Kind::Request => case.request().contains(value),
        })
    }

    /// Whether a cell of a golden table is meant: `Owner, SSO Configuration`.
    pub(super) fn takes_cell(&self, file: &str, app: &App, cell: &str) -> bool {
        let (role, row) = cell.split_once(", ").unwrap_or((cell, cell));
        self.all(|kind, value| match kind {
            Kind::Role => role == value,
            Kind::App => *app.name == *value,
            Kind::File => file.contains(value),
            Kind::Request => row.contains(value),
        })
    }

    fn all(&self, is: impl Fn(Kind, &str) -> bool) -> bool {
        KINDS.iter().all(|(kind, _)| {
            let mut own = self.0.iter().filter(|(other, _)| other == kind).peekable();
            own.peek().is_none() || own.any(|(kind, value)| is(*kind, value))
        })
    }
}
