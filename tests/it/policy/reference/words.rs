//! The words that generated policies are made of: facts of every source and type, the tests that they fit in, and
//! the operations of the one app.

use std::sync::LazyLock;

use super::value::Kind;

/// A fact as a file declares it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What may stand for its absence, as the file writes it; a policy may leave it out.
    pub(super) default: Option<&'static str>,
}

const fn fact(name: &'static str, kind: Kind) -> Fact {
    Fact { name, kind, default: None }
}

const fn standing(name: &'static str, kind: Kind, default: &'static str) -> Fact {
    Fact { name, kind, default: Some(default) }
}

pub(super) const FACTS: &[Fact] = &[
    fact("token.org", Kind::String),
    standing("token.tags", Kind::Set, "[]"),
    standing("token.level", Kind::Int, "1"),
    standing("token.vip", Kind::Bool, "false"),
    fact("token.place", Kind::Node),
    fact("token.addr", Kind::Ip),
    fact("token.since", Kind::Time),
    fact("token.in.dept", Kind::String),
    fact("tenant.plan", Kind::String),
    fact("tenant.guests", Kind::Set),
    fact("tenant.limit", Kind::Int),
    fact("tenant.open", Kind::Bool),
    fact("tenant.top", Kind::Node),
    fact("tenant.nets", Kind::Nets),
    fact("tenant.opens", Kind::Time),
    fact("path.id", Kind::String),
    standing("query.view", Kind::String, "\"'a'\""),
    fact("query.n", Kind::Int),
    standing("header.x-view", Kind::String, "\"'a'\""),
    fact("header.x-at", Kind::Node),
    fact("body.org", Kind::String),
    fact("body.tags", Kind::Set),
    fact("body.n", Kind::Int),
    fact("body.flag", Kind::Bool),
    fact("thing.owner", Kind::String),
    standing("thing.tags", Kind::Set, "[]"),
    standing("thing.n", Kind::Int, "1"),
    standing("thing.open", Kind::Bool, "false"),
    standing("thing.team", Kind::String, "\"token.org\""),
    fact("thing.first", Kind::String),
    fact("thing.at", Kind::Node),
    fact("thing.since", Kind::Time),
    fact("owner.team", Kind::String),
    fact("owner.tags", Kind::Set),
    fact("me.rank", Kind::String),
    fact("me.level", Kind::Int),
    fact("client.ip", Kind::Ip),
    fact("client.time", Kind::Time),
    fact("client.weekday", Kind::String),
];

/// A namespace that is asked for: its path, with the fact that stands in it.
pub(super) struct LookUp {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) of: &'static str,
}

pub(super) const LOOK_UPS: &[LookUp] = &[
    LookUp { name: "thing", path: "/things-of", of: "path.id" },
    LookUp { name: "owner", path: "/people", of: "thing.owner" },
    LookUp { name: "me", path: "/me", of: "token.sub" },
];

/// Where a fact stands in a document.
pub(super) fn place(name: &str) -> Vec<&str> {
    match name {
        "body.flag" => vec!["in", "flag"],
        "thing.first" => vec!["list", "0"],
        _ => vec![name.split_once('.').unwrap().1],
    }
}

/// How a test is written and what it reads.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) fact: Fact,
    pub(super) operator: &'static str,
    pub(super) right: Right,
}

#[derive(Clone, Debug)]
pub(super) enum Right {
    Fact(Fact),
    Literal(&'static str, Kind),
}

impl Leaf {
    pub(super) fn text(&self) -> String {
        let right = match &self.right {
            Right::Fact(fact) => fact.name,
            Right::Literal(text, _) => text,
        };
        format!("{} {} {right}", self.fact.name, self.operator)
    }

    /// Whether the client states a side of it as it likes: no test may rest on what that isn't.
    pub(super) fn is_stated(&self) -> bool {
        let stated = |fact: &Fact| ["query", "header", "body"].contains(&namespace(fact.name));
        stated(&self.fact) || matches!(&self.right, Right::Fact(own) if stated(own))
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = Fact> {
        let right = match &self.right {
            Right::Fact(fact) => Some(*fact),
            Right::Literal(..) => None,
        };
        std::iter::once(self.fact).chain(right)
    }
}

pub(super) fn namespace(name: &str) -> &str {
    name.split('.').next().unwrap()
}

fn literals(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::String => &["'a'", "'b'"],
        Kind::Bool => &["true", "false"],
        Kind::Int => &["1", "5", "-1"],
        Kind::Set => &["[]", "['a']", "['a', 'b']"],
        Kind::Ip => &["'10.0.0.1'", "'::1'"],
        Kind::Nets => &["[]", "['10.0.0.0/8']", "['10.0.0.0/31', '::/0']"],
        Kind::Time => &["'2027-01-15'", "'08:30'", "'2027-01-15T08:00:00Z'"],
        Kind::Node => &["'a'", "'a/b'"],
    }
}

/// No week has other days.
fn literals_for(fact: &Fact, kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::String if fact.name == "client.weekday" => &["'fri'", "'mon'"],
        Kind::Set if fact.name == "client.weekday" => &["['thu', 'fri']", "['sat']", "[]"],
        _ => literals(kind),
    }
}

const OPERATORS: [&str; 11] = ["=", "!=", "in", "has", "meets", "under", "within", "<", "<=", ">", ">="];

fn fits(operator: &str, left: Kind, right: Kind) -> bool {
    match operator {
        "=" | "!=" => left == right && !matches!(left, Kind::Set | Kind::Nets),
        "in" => matches!(left, Kind::String | Kind::Node) && right == Kind::Set,
        "has" => left == Kind::Set && matches!(right, Kind::String | Kind::Node),
        "meets" => left == Kind::Set && right == Kind::Set,
        "under" => left == Kind::Node && right == Kind::Node,
        "within" => left == Kind::Ip && right == Kind::Nets,
        _ => left == right && matches!(left, Kind::Int | Kind::Time),
    }
}

/// Every test that these words can make, those that are easily read first.
pub(super) static LEAVES: LazyLock<Vec<Leaf>> = LazyLock::new(|| {
    let mut leaves = Vec::new();
    for fact in FACTS {
        for operator in OPERATORS {
            leaves.extend(leaves_of(*fact, operator));
        }
    }
    let is_plain = |leaf: &Leaf| matches!(leaf.right, Right::Literal(..));
    leaves.sort_by_key(|leaf| (!is_plain(leaf), leaf.operator != "="));
    leaves
});

fn leaves_of(fact: Fact, operator: &'static str) -> Vec<Leaf> {
    const KINDS: [Kind; 8] =
        [Kind::String, Kind::Bool, Kind::Int, Kind::Set, Kind::Ip, Kind::Nets, Kind::Time, Kind::Node];
    // A text is a string wherever it may be one.
    let kind = KINDS.into_iter().find(|kind| fits(operator, fact.kind, *kind));
    let plain =
        kind.into_iter().flat_map(|kind| literals_for(&fact, kind).iter().map(move |text| (*text, kind)));
    let plain = plain.map(|(text, kind)| Right::Literal(text, kind));
    let others =
        FACTS.iter().filter(|other| other.name != fact.name && fits(operator, fact.kind, other.kind));
    let rights: Vec<Right> = plain.chain(others.map(|other| Right::Fact(*other))).collect();
    let leaves = rights.into_iter().map(|right| Leaf { fact, operator, right });
    // A tenant's time of day isn't compared with another, and a `!=` on the client's own word is a mistake.
    let is_mark = |leaf: &Leaf| {
        let moments = leaf.facts().filter(|own| own.kind == Kind::Time && own.name != "tenant.opens").count();
        leaf.fact.kind == Kind::Time && moments == 0
    };
    leaves.filter(|leaf| !(is_mark(leaf) || operator == "!=" && leaf.is_stated())).collect()
}

/// The operations that resources are made of.
pub(super) const OPERATIONS: &[(&str, &str)] = &[
    ("GET", "/things"),
    ("GET", "/things/{id}"),
    ("POST", "/things"),
    ("PATCH", "/things/{id}"),
    ("GET", "/things/mine"),
    ("GET", "/things/{id}/parts"),
    ("DELETE", "/things/{id}"),
    ("GET", "/files/{rest...}"),
    ("GET", "/"),
    ("POST", "/things/mine/parts"),
];

/// What the app's paths begin with.
pub(super) const BASE: &str = "/g";
pub(super) const SCOPES: [&str; 3] = ["view", "manage", "use"];
