//! One host's paths. At each segment a literal wins over a parameter, and a parameter over the rest of a path;
//! there is no way back from a choice, so a look-up costs one step a segment however many routes there are.
//!
//! Literals are compared exactly. A segment that is one but for its case is no value of a parameter either: a server that
//! takes no notice of case would serve what stands under the literal, by the parameter's rules.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{Segment, Template, Verb};

/// A trie whose leaves are indices of the caller's.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    folded: Folded,
    parameter: Option<u32>,
    rest: Option<Methods>,
    methods: Methods,
}

/// The literals of a node, without their case.
#[derive(Clone, Debug, Default)]
struct Folded {
    texts: HashSet<Box<str>, foldhash::fast::RandomState>,
    /// A bit for each length that a text has, so that most segments are told apart at once.
    lengths: u64,
}

pub(super) type Methods = [Option<u32>; Verb::ALL.len()];

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
                        self.node(at).folded.insert(text);
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
            let next = match (node.literals.get(segment.as_ref()).copied(), node.parameter) {
                (Some(next), _) => next as usize,
                (None, _) if node.folded.has(segment) => return Found::Nothing,
                (None, Some(next)) => next as usize,
                (None, None) => {
                    return node.rest.as_ref().map_or(Found::Nothing, |methods| answer(methods, verb));
                }
            };
            at = self.nodes.get(next..).unwrap_or(&[]);
        }
        at.first().map_or(Found::Nothing, |node| answer(&node.methods, verb))
    }

    fn at(&self, node: usize) -> Option<&Node> {
        self.nodes.get(node)
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

/// Where a walk stands that takes one segment after the other.
#[derive(Clone, Debug)]
pub(super) enum At<'t> {
    /// At a node.
    Node(usize),
    /// In the rest of a path, which takes whatever follows.
    Rest(&'t Methods),
    /// Where nothing is, and nothing will be.
    Nowhere,
}

impl<'t> At<'t> {
    /// Where every walk begins.
    pub(super) const ROOT: Self = Self::Node(0);

    /// Where a segment leads: this one, or one that is no literal in any case.
    pub(super) fn step(&self, trie: &'t Trie, segment: Option<&str>) -> Self {
        let node = match self {
            Self::Node(at) => trie.at(*at),
            Self::Rest(methods) => return Self::Rest(methods),
            Self::Nowhere => None,
        };
        let Some(node) = node else { return Self::Nowhere };
        match (segment.and_then(|text| node.literals.get(text)), node.parameter) {
            (Some(next), _) => Self::Node(*next as usize),
            (None, _) if segment.is_some_and(|text| node.folded.has(text)) => Self::Nowhere,
            (None, Some(next)) => Self::Node(next as usize),
            (None, None) => node.rest.as_ref().map_or(Self::Nowhere, Self::Rest),
        }
    }

    /// The leaf of a path that ends here.
    pub(super) fn leaf(&self, trie: &Trie, verb: Verb) -> Option<u32> {
        let methods = match self {
            Self::Node(at) => &trie.at(*at)?.methods,
            Self::Rest(methods) => methods,
            Self::Nowhere => return None,
        };
        *methods.get(verb as usize)?
    }

    /// The literals that may follow.
    pub(super) fn literals(&self, trie: &'t Trie) -> impl Iterator<Item = &'t str> {
        let node = if let Self::Node(at) = self { trie.at(*at) } else { None };
        node.into_iter().flat_map(|node| node.literals.keys()).map(|text| &**text)
    }

    /// Whether a text is a literal that may follow, in some case.
    pub(super) fn is_cased(&self, trie: &Trie, text: &str) -> bool {
        matches!(self, Self::Node(at) if trie.at(*at).is_some_and(|node| node.folded.has(text)))
    }

    /// Whether it matters what follows.
    pub(super) fn branches(&self) -> bool {
        matches!(self, Self::Node(_))
    }

    /// Whether nothing can follow.
    pub(super) fn is_nowhere(&self) -> bool {
        matches!(self, Self::Nowhere)
    }
}

impl Folded {
    fn insert(&mut self, literal: &str) {
        let text = fold(literal);
        self.lengths |= Self::bit(&text);
        self.texts.insert(text.into());
    }

    /// Whether a literal is this segment in some case.
    fn has(&self, segment: &str) -> bool {
        // What isn't ASCII may have another length in another case.
        let may_be = self.lengths & Self::bit(segment) != 0 || (self.lengths != 0 && !segment.is_ascii());
        may_be && self.texts.contains(fold(segment).as_str())
    }

    fn bit(text: &str) -> u64 {
        1 << text.len().min(63)
    }
}

/// Both ways: a letter whose upper case is another's too, such as the dotless i, is no other letter then.
fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
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
