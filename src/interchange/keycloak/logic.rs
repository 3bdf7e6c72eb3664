//! Who a policy lets in, as a formula over what a token says. A policy that can't be translated is neither true nor
//! false but unknown; of every formula two bounds are kept, who is surely let in and who may be. Rules are made of the
//! first alone, so that nothing that isn't known grants, however often it is turned round.

use std::collections::BTreeSet;

/// Something that a condition can test.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Atom {
    /// The token has a role of the realm.
    RealmRole(String),
    /// The token has a role of a client: client, role.
    ClientRole(String, String),
    /// The token's groups have this one, by its path or, where it has no path, its name.
    Group(String),
    /// The token was made for this client.
    Client(String),
    /// The token is this user's.
    User(String),
    /// It is this moment or later, in UTC.
    From(String),
    /// It is this moment or earlier, in UTC.
    Until(String),
    /// It is this time of day or later, in the tenant's zone.
    ClockFrom(String),
    /// It is this time of day or earlier, in the tenant's zone.
    ClockUntil(String),
}

/// A formula over atoms, which stand in it by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Formula {
    /// Always, or never.
    Const(bool),
    /// This atom.
    Is(usize),
    /// The opposite.
    Not(Box<Formula>),
    /// Every one.
    All(Vec<Formula>),
    /// At least one.
    Any(Vec<Formula>),
}

impl Formula {
    /// Every one of them.
    #[must_use]
    pub(super) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept: Vec<Self> = Vec::new();
        for part in parts {
            match part {
                Self::Const(true) => {}
                Self::Const(false) => return Self::Const(false),
                Self::All(inner) => kept.extend(inner),
                part => kept.push(part),
            }
        }
        Self::gather(kept, true)
    }

    /// At least one of them.
    #[must_use]
    pub(super) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept: Vec<Self> = Vec::new();
        for part in parts {
            match part {
                Self::Const(false) => {}
                Self::Const(true) => return Self::Const(true),
                Self::Any(inner) => kept.extend(inner),
                part => kept.push(part),
            }
        }
        Self::gather(kept, false)
    }

    fn gather(mut parts: Vec<Self>, all: bool) -> Self {
        let mut kept: Vec<Self> = Vec::new();
        parts.retain(|part| {
            let is_new = !kept.contains(part);
            if is_new {
                kept.push(part.clone());
            }
            is_new
        });
        match (parts.len(), all) {
            (0, all) => Self::Const(all),
            (1, _) => parts.pop().unwrap_or(Self::Const(false)),
            (_, true) => Self::All(parts),
            (_, false) => Self::Any(parts),
        }
    }

    /// The opposite.
    #[must_use]
    pub(super) fn not(part: Self) -> Self {
        match part {
            Self::Const(value) => Self::Const(!value),
            Self::Not(inner) => *inner,
            part => Self::Not(Box::new(part)),
        }
    }

    /// The atoms in it.
    pub(super) fn atoms(&self, into: &mut BTreeSet<usize>) {
        match self {
            Self::Const(_) => {}
            Self::Is(atom) => {
                into.insert(*atom);
            }
            Self::Not(part) => part.atoms(into),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.atoms(into)),
        }
    }

    /// How deep it is nested.
    #[must_use]
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Const(_) | Self::Is(_) => 0,
            Self::Not(part) => 1 + part.depth(),
            Self::All(parts) | Self::Any(parts) => 1 + parts.iter().map(Self::depth).max().unwrap_or(0),
        }
    }

    /// How many tests it comes to.
    #[must_use]
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Const(_) | Self::Is(_) => 1,
            Self::Not(part) => part.size(),
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::size).sum(),
        }
    }

    /// The cases in which it holds, each a set of atoms that must be so or must not be so; nothing if there are more
    /// than `most`.
    #[must_use]
    pub(super) fn cases(&self, most: usize) -> Option<Vec<Case>> {
        let mut cases = self.spelt(false, most)?;
        cases.sort_by_key(BTreeSet::len);
        let mut kept: Vec<Case> = Vec::new();
        for case in cases {
            if !kept.iter().any(|shorter| shorter.is_subset(&case)) {
                kept.push(case);
            }
        }
        Some(kept)
    }

    fn spelt(&self, negated: bool, most: usize) -> Option<Vec<Case>> {
        match self {
            Self::Const(value) if *value != negated => Some(vec![Case::new()]),
            Self::Const(_) => Some(Vec::new()),
            Self::Is(atom) => Some(vec![Case::from([(*atom, !negated)])]),
            Self::Not(part) => part.spelt(!negated, most),
            Self::All(parts) | Self::Any(parts) => {
                let product = matches!(self, Self::All(_)) != negated;
                let mut cases = if product { vec![Case::new()] } else { Vec::new() };
                for part in parts {
                    let own = part.spelt(negated, most)?;
                    if product {
                        let crossed = cases.iter().flat_map(|left| {
                            own.iter().map(|right| left.union(right).copied().collect::<Case>())
                        });
                        let possible =
                            |case: &Case| !case.iter().any(|(atom, is)| case.contains(&(*atom, !is)));
                        cases = crossed.filter(possible).take(most + 1).collect();
                    } else {
                        cases.extend(own);
                    }
                    if cases.len() > most {
                        return None;
                    }
                }
                Some(cases)
            }
        }
    }
}

/// Atoms that must be so, or must not.
pub(super) type Case = BTreeSet<(usize, bool)>;

/// Who is surely let in, and who may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Surely.
    pub(super) lower: Formula,
    /// Perhaps.
    pub(super) upper: Formula,
}

impl Bounds {
    /// Both the same.
    #[must_use]
    pub(super) fn exactly(formula: Formula) -> Self {
        Self { lower: formula.clone(), upper: formula }
    }

    /// Nothing is known.
    #[must_use]
    pub(super) fn unknown() -> Self {
        Self { lower: Formula::Const(false), upper: Formula::Const(true) }
    }

    /// The opposite.
    #[must_use]
    pub(super) fn negated(self) -> Self {
        Self { lower: Formula::not(self.upper), upper: Formula::not(self.lower) }
    }

    /// Whether it is known exactly.
    #[must_use]
    pub(super) fn is_exact(&self) -> bool {
        self.lower == self.upper
    }

    /// Several made one by a rule that never gives less for more.
    #[must_use]
    pub(super) fn combined(parts: Vec<Self>, rule: impl Fn(Vec<Formula>) -> Formula) -> Self {
        let (lower, upper) = parts.into_iter().map(|own| (own.lower, own.upper)).unzip();
        Self { lower: rule(lower), upper: rule(upper) }
    }
}

/// Most ways in which a majority can come about that are spelt out.
const MAJORITIES_MAX: usize = 64;

/// More than half of them; nothing if that can come about in too many ways.
#[must_use]
pub(super) fn majority(parts: &[Formula], of: usize) -> Option<Formula> {
    let wanted = of / 2 + 1;
    if wanted > parts.len() {
        return Some(Formula::Const(false));
    }
    let mut chosen: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..wanted {
        let longer = chosen.iter().flat_map(|own| {
            let from = own.last().map_or(0, |last| last + 1);
            (from..parts.len()).map(move |next| own.iter().copied().chain([next]).collect::<Vec<_>>())
        });
        chosen = longer.take(MAJORITIES_MAX * 16).collect();
        if chosen.len() >= MAJORITIES_MAX * 16 {
            return None;
        }
    }
    if chosen.len() > MAJORITIES_MAX {
        return None;
    }
    let all = |own: Vec<usize>| Formula::all(own.into_iter().filter_map(|index| parts.get(index).cloned()));
    Some(Formula::any(chosen.into_iter().map(all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(atom: usize) -> Formula {
        Formula::Is(atom)
    }

    #[test]
    fn cases_are_those_in_which_a_formula_holds() {
        let formula = Formula::all([Formula::any([is(0), is(1)]), Formula::not(is(0))]);
        assert_eq!(formula.cases(8).unwrap(), [Case::from([(0, false), (1, true)])]);
        let wide = Formula::any([is(0), Formula::all([is(0), is(1)])]);
        assert_eq!(wide.cases(8).unwrap(), [Case::from([(0, true)])]);
        let many = Formula::all((0..8).map(|at| Formula::any([is(2 * at), is(2 * at + 1)])));
        assert_eq!(many.cases(64), None);
    }

    #[test]
    fn what_is_unknown_grants_on_neither_side_of_not() {
        let unknown = Bounds::unknown();
        assert_eq!(unknown.lower, Formula::Const(false));
        assert_eq!(unknown.negated().lower, Formula::Const(false));
    }

    #[test]
    fn a_majority_is_more_than_half_of_all() {
        let parts = [is(0), is(1), is(2)];
        assert_eq!(majority(&parts, 3).unwrap().cases(9).unwrap().len(), 3);
        assert_eq!(majority(&parts[..2], 2).unwrap(), Formula::all([is(0), is(1)]));
        assert_eq!(majority(&parts[..1], 3).unwrap(), Formula::Const(false));
    }
}
