//! Conditions over numbered tests, and the search for a row of their truth table in which something is so.
//!
//! A table isn't written down: the search fixes the tests of one part of the table after the other, and goes no deeper
//! where what is fixed already settles the answer. Whatever it finds is a row that can occur, and where it finds none there
//! is none. Both are exact; only its effort is bounded, and who is told that it was too much must think the worst.

use crate::policy::Truth;

/// Which truths a test may still have: a bit each.
pub(super) type Truths = u8;

/// Known to be so.
pub(super) const HOLDS: Truths = 1;
/// Known not to be so.
pub(super) const FAILS: Truths = 2;
/// Not known.
pub(super) const UNKNOWN: Truths = 4;
/// Any of them.
pub(super) const ANY: Truths = HOLDS | FAILS | UNKNOWN;

/// The bit of a truth.
pub(super) fn bit(truth: Truth) -> Truths {
    match truth {
        Truth::Holds => HOLDS,
        Truth::Fails => FAILS,
        Truth::Unknown => UNKNOWN,
    }
}

/// A condition over tests, by number: three-valued.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cond {
    Const(Truth),
    Test(usize),
    All(Vec<Cond>),
    Any(Vec<Cond>),
    Not(Box<Cond>),
}

impl Cond {
    fn eval(&self, row: &[Truths]) -> Truths {
        match self {
            Self::Const(truth) => bit(*truth),
            Self::Test(test) => row.get(*test).copied().unwrap_or(ANY),
            Self::All(parts) => parts.iter().fold(HOLDS, |all, part| and(all, part.eval(row))),
            Self::Any(parts) => parts.iter().fold(FAILS, |any, part| or(any, part.eval(row))),
            Self::Not(part) => not(part.eval(row)),
        }
    }
}

fn not(truths: Truths) -> Truths {
    (truths & UNKNOWN) | (truths & HOLDS) << 1 | (truths & FAILS) >> 1
}

/// What Kleene's `and` can be of sides that can be these.
fn and(a: Truths, b: Truths) -> Truths {
    let holds = a & b & HOLDS;
    let fails = (a | b) & FAILS;
    let open = |one: Truths, other: Truths| one & UNKNOWN != 0 && other & (HOLDS | UNKNOWN) != 0;
    holds | fails | if open(a, b) || open(b, a) { UNKNOWN } else { 0 }
}

fn or(a: Truths, b: Truths) -> Truths {
    not(and(not(a), not(b)))
}

/// Something that is so or isn't, in each row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Const(bool),
    /// The condition holds.
    Holds(Cond),
    /// A test has one of these truths.
    Is(usize, Truths),
    All(Vec<Expr>),
    Not(Box<Expr>),
}

/// Whether something can be so, and whether it can not be so.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Can {
    be: bool,
    not: bool,
}

impl Expr {
    pub(super) fn not(self) -> Self {
        match self {
            Self::Const(value) => Self::Const(!value),
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// All of them; what is settled already is left out.
    pub(super) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Self::Const(true) => {}
                Self::Const(false) => return Self::Const(false),
                other if kept.contains(&other) => {}
                other => kept.push(other),
            }
        }
        match (kept.len(), kept.pop()) {
            (1, Some(only)) => only,
            (_, Some(last)) => {
                kept.push(last);
                Self::All(kept)
            }
            (_, None) => Self::Const(true),
        }
    }

    /// At least one of them.
    pub(super) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::all(parts.into_iter().map(Self::not)).not()
    }

    fn eval(&self, row: &[Truths]) -> Can {
        match self {
            Self::Const(value) => Can { be: *value, not: !value },
            Self::Holds(condition) => {
                let truths = condition.eval(row);
                Can { be: truths & HOLDS != 0, not: truths & (FAILS | UNKNOWN) != 0 }
            }
            Self::Is(test, wanted) => {
                let truths = row.get(*test).copied().unwrap_or(ANY);
                Can { be: truths & wanted != 0, not: truths & !wanted != 0 }
            }
            Self::All(parts) => parts.iter().fold(Can { be: true, not: false }, |all, part| {
                let own = part.eval(row);
                Can { be: all.be && own.be, not: all.not || own.not }
            }),
            Self::Not(inner) => {
                let own = inner.eval(row);
                Can { be: own.not, not: own.be }
            }
        }
    }

    /// The tests that it reads, in the order of reading.
    pub(super) fn tests(&self, into: &mut Vec<usize>) {
        fn of(condition: &Cond, into: &mut Vec<usize>) {
            match condition {
                Cond::Const(_) => {}
                Cond::Test(test) if into.contains(test) => {}
                Cond::Test(test) => into.push(*test),
                Cond::All(parts) | Cond::Any(parts) => parts.iter().for_each(|part| of(part, into)),
                Cond::Not(part) => of(part, into),
            }
        }
        match self {
            Self::Const(_) => {}
            Self::Holds(condition) => of(condition, into),
            Self::Is(test, _) if into.contains(test) => {}
            Self::Is(test, _) => into.push(*test),
            Self::All(parts) => parts.iter().for_each(|part| part.tests(into)),
            Self::Not(inner) => inner.tests(into),
        }
    }
}

/// The search was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// The part of a truth table whose tests depend on each other: the rows of them that can occur, by the truth of each.
#[derive(Debug)]
pub(super) struct Part {
    /// The tests, by number.
    pub(super) tests: Vec<usize>,
    /// What they can say together.
    pub(super) rows: Vec<Vec<Truths>>,
}

/// A whole table: parts that have nothing to do with each other.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) tests: usize,
    pub(super) parts: Vec<Part>,
}

/// How much may be looked at for one answer.
const STEPS_MAX: u32 = 1 << 18;

impl Table {
    /// A row in which `wanted` is so, as one row of each part; nothing where there is none.
    pub(super) fn find(&self, wanted: &Expr) -> Result<Option<Vec<usize>>, TooMuch> {
        let mut reads = Vec::new();
        wanted.tests(&mut reads);
        let mut order = Vec::new();
        for test in reads {
            let part = self.parts.iter().position(|part| part.tests.contains(&test));
            order.extend(part.filter(|part| !order.contains(part)));
        }
        let mut row = vec![0; self.tests];
        for part in &self.parts {
            for (at, test) in part.tests.iter().enumerate() {
                let can = part.rows.iter().filter_map(|own| own.get(at)).fold(0, |all, own| all | own);
                row.get_mut(*test).into_iter().for_each(|own| *own = can);
            }
        }
        let mut search =
            Search { table: self, wanted, order, chosen: vec![0; self.parts.len()], steps: STEPS_MAX };
        if self.parts.iter().any(|part| part.rows.is_empty()) {
            return Ok(None);
        }
        Ok(search.deeper(0, &row)?.then_some(search.chosen))
    }

    /// Whether `wanted` is so in some row.
    pub(super) fn can(&self, wanted: &Expr) -> Result<bool, TooMuch> {
        Ok(self.find(wanted)?.is_some())
    }

    /// The truth of every test in a row.
    pub(super) fn row(&self, chosen: &[usize]) -> Vec<Truths> {
        let mut row = vec![ANY; self.tests];
        for (part, chosen) in self.parts.iter().zip(chosen) {
            for (test, truths) in part.tests.iter().zip(part.rows.get(*chosen).into_iter().flatten()) {
                row.get_mut(*test).into_iter().for_each(|own| *own = *truths);
            }
        }
        row
    }
}

struct Search<'s> {
    table: &'s Table,
    wanted: &'s Expr,
    order: Vec<usize>,
    chosen: Vec<usize>,
    steps: u32,
}

impl Search<'_> {
    fn deeper(&mut self, depth: usize, row: &[Truths]) -> Result<bool, TooMuch> {
        self.steps = self.steps.checked_sub(1).ok_or(TooMuch)?;
        match self.wanted.eval(row) {
            Can { be: false, .. } => return Ok(false),
            // Whatever the parts that are left say.
            Can { not: false, .. } => return Ok(true),
            Can { .. } => {}
        }
        let Some((at, part)) = self.order.get(depth).and_then(|at| Some((*at, self.table.parts.get(*at)?)))
        else {
            return Ok(false);
        };
        let mut next = row.to_vec();
        for (index, truths) in part.rows.iter().enumerate() {
            for (test, truth) in part.tests.iter().zip(truths) {
                next.get_mut(*test).into_iter().for_each(|own| *own = *truth);
            }
            if let Some(chosen) = self.chosen.get_mut(at) {
                *chosen = index;
            }
            if self.deeper(depth + 1, &next)? {
                return Ok(true);
            }
        }
        self.chosen.get_mut(at).into_iter().for_each(|chosen| *chosen = 0);
        Ok(false)
    }
}

/// A conjunction: tests with the truths that they may have in it.
pub(super) type Cube = Vec<(usize, Truths)>;

fn cube(tests: &[(usize, Truths)]) -> Expr {
    Expr::all(
        tests.iter().filter(|(_, truths)| *truths != ANY).map(|(test, truths)| Expr::Is(*test, *truths)),
    )
}

/// Says when something is so, in as few words as it can: conjunctions that together are `wanted` wherever `given` is so.
/// Nothing more is said after `most` of them; the second value is whether that is all.
pub(super) fn describe(
    table: &Table,
    wanted: &Expr,
    given: &Expr,
    most: usize,
) -> Result<(Vec<Cube>, bool), TooMuch> {
    let mut cubes: Vec<Cube> = Vec::new();
    let mut tests = Vec::new();
    wanted.tests(&mut tests);
    loop {
        let others = cubes.iter().map(|own| cube(own).not());
        let Some(found) = table.find(&Expr::all(std::iter::once(wanted.clone()).chain(others)))? else {
            return Ok((cubes, true));
        };
        if cubes.len() == most {
            return Ok((cubes, false));
        }
        let row = table.row(&found);
        let mut own: Cube = tests.iter().filter_map(|test| Some((*test, row.get(*test).copied()?))).collect();
        widen(table, &mut own, &Expr::all([given.clone(), wanted.clone().not()]))?;
        own.retain(|(_, truths)| *truths != ANY);
        sharpen(table, &mut own, &Expr::all([given.clone(), wanted.clone()]))?;
        cubes.push(own);
    }
}

/// Lets the tests of a conjunction be whatever they may be without letting in what is `outside`.
fn widen(table: &Table, own: &mut Cube, outside: &Expr) -> Result<(), TooMuch> {
    // The other truths of a test first where only they are missing, from the last test to the first: what is read first
    // is the most telling.
    for index in (0..own.len()).rev() {
        let Some((_, exact)) = own.get(index).copied() else { continue };
        for wider in [ANY, exact | FAILS | UNKNOWN, exact | HOLDS | UNKNOWN, exact | HOLDS | FAILS] {
            if wider == exact {
                continue;
            }
            if let Some(place) = own.get_mut(index) {
                place.1 = wider;
            }
            if !table.can(&Expr::all([cube(own), outside.clone()]))? {
                break;
            }
            if let Some(place) = own.get_mut(index) {
                place.1 = exact;
            }
        }
    }
    Ok(())
}

/// Leaves out of a conjunction the truths that can't occur in it: what is never unknown there needn't be called so.
fn sharpen(table: &Table, own: &mut Cube, inside: &Expr) -> Result<(), TooMuch> {
    for index in 0..own.len() {
        let Some((test, truths)) = own.get(index).copied() else { continue };
        for spare in [UNKNOWN, HOLDS, FAILS] {
            let rest = own.get(index).map_or(0, |own| own.1) & !spare;
            if truths & spare == 0 || rest == 0 {
                continue;
            }
            let occurs = Expr::all([cube(own), Expr::Is(test, spare), inside.clone()]);
            if !table.can(&occurs)? {
                own.get_mut(index).into_iter().for_each(|own| own.1 = rest);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(tests: usize) -> Table {
        let part = |test| Part { tests: vec![test], rows: vec![vec![HOLDS], vec![FAILS], vec![UNKNOWN]] };
        Table { tests, parts: (0..tests).map(part).collect() }
    }

    #[test]
    fn sets_of_truths_combine_as_their_members_do() {
        let all = [Truth::Holds, Truth::Fails, Truth::Unknown];
        let members = |set: Truths| all.into_iter().filter(move |truth| bit(*truth) & set != 0);
        for a in 1..=ANY {
            assert_eq!(not(a), members(a).fold(0, |set, own| set | bit(own.negate())));
            for b in 1..=ANY {
                let each = |f: fn(Truth, Truth) -> Truth| {
                    members(a)
                        .flat_map(|x| members(b).map(move |y| bit(f(x, y))))
                        .fold(0, |set, own| set | own)
                };
                assert_eq!((and(a, b), or(a, b)), (each(Truth::and), each(Truth::or)), "{a} {b}");
            }
        }
    }

    #[test]
    fn a_condition_and_its_opposite_are_both_unknown_where_one_is() {
        let table = free(1);
        let test = Cond::Test(0);
        let either = Expr::Holds(Cond::Any(vec![test.clone(), Cond::Not(Box::new(test))]));
        assert!(table.can(&either).unwrap());
        let found = table.find(&either.not()).unwrap().unwrap();
        assert_eq!(table.row(&found), [UNKNOWN]);
    }

    #[test]
    fn what_is_described_is_said_shortly() {
        let table = free(4);
        let holds = |test| Expr::Holds(Cond::Test(test));
        let wanted = Expr::any([Expr::all([holds(0), holds(1).not()]), Expr::all([holds(0), holds(2)])]);
        let (cubes, whole) = describe(&table, &wanted, &Expr::Const(true), 5).unwrap();
        assert!(whole);
        assert_eq!(cubes.len(), 2, "{cubes:?}");
        assert!(cubes.contains(&vec![(0, HOLDS), (2, HOLDS)]), "{cubes:?}");
        assert!(cubes.contains(&vec![(0, HOLDS), (1, FAILS | UNKNOWN)]), "{cubes:?}");
        let (given, _) = describe(&table, &wanted, &holds(0), 5).unwrap();
        assert!(given.iter().all(|own| own.len() == 1), "{given:?}");
    }

    #[test]
    fn rows_that_cannot_occur_are_not_found() {
        let mut table = free(1);
        table.tests = 2;
        table.parts = vec![Part { tests: vec![0, 1], rows: vec![vec![HOLDS, FAILS], vec![FAILS, HOLDS]] }];
        let both = Expr::all([Expr::Holds(Cond::Test(0)), Expr::Holds(Cond::Test(1))]);
        assert_eq!(table.find(&both), Ok(None));
    }
}
