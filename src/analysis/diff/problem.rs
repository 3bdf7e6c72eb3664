//! The tests that two guards rest on, as one table: which of them depend on each other, and what they can say together.
//! Each row is kept with a world in which its tests say so, so that a row that is found is a request that can be made.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::domain::{Ids, Pool, can_be_sent, is_partial};
use super::search::{Part, Table, TooMuch, Truths, bit};
use super::world::{Known, Read, Test, Var, Vars, Whole, World};
use crate::fact::Type;
use crate::policy::Truth;

/// Most worlds of one part of a table.
const WORLDS_MAX: usize = 1 << 17;

/// What is compared: tests and variables, numbered.
#[derive(Debug, Default)]
pub(super) struct Tests {
    pub(super) vars: Vars,
    pub(super) tests: Vec<Test>,
    /// How a file writes each.
    pub(super) words: Vec<String>,
    /// The side that each is first met on.
    sides: Vec<Known>,
}

/// What is known of the two tenants files, and which worlds can't be.
pub(super) struct Surroundings<'p> {
    /// Whether a side knows an organisation.
    pub(super) knows: &'p dyn Fn(Known, &str) -> bool,
    /// All that a side knows.
    pub(super) ids: Ids<'p>,
    /// Whether a variable may say this in this question.
    pub(super) may_say: &'p dyn Fn(&Var, Option<&Json>) -> bool,
    /// What some variables may say besides.
    pub(super) more: &'p [(Var, Vec<Json>)],
}

/// What some variables say.
type Saying = Vec<(usize, Option<Json>)>;

/// A table, with a world for every row of its parts.
#[derive(Debug)]
pub(super) struct Solved {
    pub(super) table: Table,
    worlds: Vec<Vec<Saying>>,
    vars: usize,
}

impl Tests {
    /// The number of a test. Where the same words mean something else on the other side, both say whose they are.
    pub(super) fn number(&mut self, test: Test, mut words: String, side: Known) -> usize {
        if let Some(at) = self.tests.iter().position(|own| *own == test) {
            return at;
        }
        let same = self.words.iter_mut().zip(&self.sides).find(|(own, of)| **own == words && **of != side);
        if let Some((other, of)) = same {
            other.push_str(of.word());
            words.push_str(side.word());
        }
        self.tests.push(test);
        self.words.push(words);
        self.sides.push(side);
        self.tests.len() - 1
    }

    /// What a test says whatever the request: those that read none of it.
    pub(super) fn constant(&self, test: &Test) -> Option<Truth> {
        let mut reads = matches!(test, Test::Only(_));
        test.each_read(&mut |_| reads = true);
        (!reads).then(|| test.says(&[], &Vec::new(), &|_, _| false))
    }

    /// Finds out what the tests can say.
    pub(super) fn solve(&mut self, around: &Surroundings<'_>) -> Result<Solved, TooMuch> {
        if self.tests.iter().any(|test| matches!(test, Test::Only(_))) {
            self.vars.number(Var::MoreBody);
        }
        let mut parts = Vec::new();
        let mut worlds = Vec::new();
        for (tests, vars) in self.parts() {
            let (part, of_part) = self.part(tests, &vars, around)?;
            parts.push(part);
            worlds.push(of_part);
        }
        let table = Table { tests: self.tests.len(), parts };
        Ok(Solved { table, worlds, vars: self.vars.0.len() })
    }

    /// The variables that a test rests on.
    fn vars_of(&self, test: &Test) -> Vec<usize> {
        let mut found = Vec::new();
        test.each_read(&mut |read| found.push(read.var));
        if matches!(test, Test::Only(_)) {
            let is_body = |var: &Var| matches!(var, Var::Body(_) | Var::MoreBody);
            found.extend((0..).zip(&self.vars.0).filter(|(_, var)| is_body(var)).map(|(at, _)| at));
        }
        found
    }

    /// Tests that share a variable, by way of each other too, with their variables.
    fn parts(&self) -> Vec<(Vec<usize>, Vec<usize>)> {
        let mut parts: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
        for (number, test) in self.tests.iter().enumerate() {
            let (mut tests, mut vars) = (vec![number], self.vars_of(test));
            parts.retain_mut(|(own_tests, own_vars)| {
                let apart = !own_vars.iter().any(|var| vars.contains(var));
                if !apart {
                    tests.append(own_tests);
                    vars.append(own_vars);
                }
                apart
            });
            vars.sort_unstable();
            vars.dedup();
            tests.sort_unstable();
            parts.push((tests, vars));
        }
        parts
    }

    fn part(
        &self,
        tests: Vec<usize>,
        vars: &[usize],
        around: &Surroundings<'_>,
    ) -> Result<(Part, Vec<Saying>), TooMuch> {
        let own = || tests.iter().filter_map(|test| self.tests.get(*test));
        let vars: Vec<(usize, &Var, Vec<&Read>)> = vars
            .iter()
            .filter_map(|var| Some((*var, self.vars.0.get(*var)?, reads_of(own(), *var))))
            .collect();
        // How many segments the rest of a path has isn't looked at.
        if vars.iter().any(|(_, var, _)| matches!(var, Var::Segment(_, Whole::Rest))) {
            return Err(TooMuch);
        }
        let more = around.texts(&vars);
        let restricted: Vec<_> = vars
            .iter()
            .filter(|(.., reads)| reads.iter().all(|read| read.kind != Type::Set))
            .map(|(_, var, _)| {
                move |text: &str| can_be_sent(var, text) && around.allows(var, Some(&Json::from(text)))
            })
            .collect();
        let restricted: Vec<&dyn Fn(&str) -> bool> =
            restricted.iter().map(|own| own as &dyn Fn(&str) -> bool).collect();
        let pool = Pool::of(own(), &more, around.ids, &restricted);
        let mut domains = Vec::new();
        let mut count = 1usize;
        for (var, name, reads) in &vars {
            if is_partial(&pool, reads) {
                return Err(TooMuch);
            }
            let mut domain = pool.candidates(name, reads);
            let more = around.more.iter().filter(|(own, _)| own == *name).flat_map(|(_, more)| more);
            domain.extend(more.cloned().map(Some));
            domain.retain(|own| around.allows(name, own.as_ref()));
            count = count.saturating_mul(domain.len().max(1));
            domains.push((*var, domain));
        }
        if count > WORLDS_MAX {
            return Err(TooMuch);
        }
        let mut found: HashMap<Vec<Truths>, Saying> = HashMap::new();
        let mut order = Vec::new();
        let mut world: World = vec![None; self.vars.0.len()];
        each(&domains, &mut world, &mut |world| {
            let says = |test: &Test| bit(test.says(&self.vars.0, world, around.knows));
            let row: Vec<Truths> = own().map(says).collect();
            if !found.contains_key(&row) {
                let said = |var: &usize| Some((*var, world.get(*var)?.clone()));
                found.insert(row.clone(), vars.iter().map(|(var, ..)| var).filter_map(said).collect());
                order.push(row);
            }
        });
        let worlds = order.iter().filter_map(|row| found.remove(row)).collect();
        Ok((Part { tests, rows: order }, worlds))
    }
}

impl Surroundings<'_> {
    fn allows(&self, var: &Var, said: Option<&Json>) -> bool {
        (self.may_say)(var, said)
    }

    /// The texts that some of these say besides: the others may say the same.
    fn texts(&self, vars: &[(usize, &Var, Vec<&Read>)]) -> Vec<String> {
        let of_these = self.more.iter().filter(|(own, _)| vars.iter().any(|(_, var, _)| *var == own));
        let texts = of_these.flat_map(|(_, more)| more).flat_map(|said| match said {
            Json::Array(items) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            other => other.as_str().map(str::to_owned).into_iter().collect::<Vec<_>>(),
        });
        texts.collect()
    }
}

/// How these tests read a variable.
fn reads_of<'t>(tests: impl Iterator<Item = &'t Test>, var: usize) -> Vec<&'t Read> {
    let mut reads: Vec<&Read> = Vec::new();
    for test in tests {
        test.each_read(&mut |read| {
            if read.var == var {
                reads.push(read);
            }
        });
    }
    reads
}

/// Every choice of one value for each variable.
fn each(domains: &[(usize, Vec<Option<Json>>)], world: &mut World, visit: &mut dyn FnMut(&World)) {
    let Some(((var, domain), rest)) = domains.split_first() else { return visit(world) };
    for said in domain {
        if let Some(place) = world.get_mut(*var) {
            place.clone_from(said);
        }
        each(rest, world, visit);
    }
}

impl Solved {
    /// The world of a row.
    pub(super) fn world(&self, chosen: &[usize]) -> World {
        let mut world: World = vec![None; self.vars];
        for (part, chosen) in self.worlds.iter().zip(chosen) {
            for (var, said) in part.get(*chosen).into_iter().flatten() {
                if let Some(place) = world.get_mut(*var) {
                    place.clone_from(said);
                }
            }
        }
        world
    }
}
