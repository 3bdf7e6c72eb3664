//! One host's paths. At each segment a literal wins over a parameter, and a parameter over the rest of a path;
//! there is no way back from a choice, so a look-up costs one step a segment however many routes there are.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Segment, Template, Verb};

/// A trie whose leaves are indices of the caller's.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    parameter: Option<u32>,
    rest: Option<Methods>,
    methods: Methods,
}

type Methods = [Option<u32>; Verb::ALL.len()];

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Leaf(u32),
    OtherMethods(Vec<Verb>),
    Nothing,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    /// Adds a leaf. Returns the leaf that stands there already.
    pub(super) fn insert(&mut self, template: &Template, verb: Verb, leaf: u32) -> Option<u32> {
        let mut at = 0;
        for segment in template.segments() {
            at = match segment {
                Segment::Literal(text) => match self.node(at).literals.get(text) {
                    Some(next) => *next as usize,
                    None => {
                        let next = self.grow();
                        self.node(at).literals.insert(text.clone(), next);
                        next as usize
                    }
                },
                Segment::Parameter(_) => match self.node(at).parameter {
                    Some(next) => next as usize,
                    None => {
                        let next = self.grow();
                        self.node(at).parameter = Some(next);
                        next as usize
                    }
                },
                Segment::Rest(_) => {
                    let methods = self.node(at).rest.get_or_insert_default();
                    return methods.get_mut(verb as usize)?.replace(leaf);
                }
            };
        }
        self.node(at).methods.get_mut(verb as usize)?.replace(leaf)
    }

    /// Walks a path's decoded segments.
    pub(super) fn find(&self, segments: &[Cow<'_, str>], verb: Option<Verb>) -> Found {
        let mut at = self.nodes.get(..1).unwrap_or(&[]);
        for segment in segments {
            let Some(node) = at.first() else { return Found::Nothing };
            let next = match node.literals.get(segment.as_ref()).copied().or(node.parameter) {
                Some(next) => next as usize,
                None => return node.rest.as_ref().map_or(Found::Nothing, |methods| answer(methods, verb)),
            };
            at = self.nodes.get(next..).unwrap_or(&[]);
        }
        at.first().map_or(Found::Nothing, |node| answer(&node.methods, verb))
    }

    fn node(&mut self, at: usize) -> &mut Node {
        if at >= self.nodes.len() {
            self.nodes.resize_with(at + 1, Node::default);
        }
        #[expect(clippy::indexing_slicing, reason = "resized just above; load time only")]
        &mut self.nodes[at]
    }

    fn grow(&mut self) -> u32 {
        self.nodes.push(Node::default());
        u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
    }
}

fn answer(methods: &Methods, verb: Option<Verb>) -> Found {
    if let Some(leaf) = verb.and_then(|verb| *methods.get(verb as usize)?) {
        return Found::Leaf(leaf);
    }
    let others: Vec<Verb> = Verb::ALL
        .into_iter()
        .filter(|verb| methods.get(*verb as usize).is_some_and(Option::is_some))
        .collect();
    if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
}
