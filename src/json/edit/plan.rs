//! The places that are looked for, as one tree: what is known of a value is the set of nodes that its place reached.

use super::super::caseless;
use super::super::pattern::{Pattern, Segment};
use super::{Edits, Keep};

/// A place that some pattern leads to or through.
pub(super) type NodeId = u32;

/// Where every document begins.
pub(super) const ROOT: NodeId = 0;

/// All patterns of one set of edits.
#[derive(Default)]
pub(super) struct Plan {
    nodes: Vec<Node>,
    keeps: Vec<Keep>,
}

#[derive(Default)]
struct Node {
    any: Option<NodeId>,
    named: Vec<Named>,
    is_hidden: bool,
    filters: Vec<usize>,
    /// A filter's array; where there may be many, what they all stand in.
    is_landmark: bool,
}

struct Named {
    /// Without case.
    name: String,
    /// The same as an index of an array.
    index: Option<usize>,
    node: NodeId,
}

impl Plan {
    pub(super) fn new(edits: &Edits) -> Self {
        let mut plan = Self { nodes: vec![Node::default()], keeps: Vec::new() };
        for pattern in &edits.masks {
            if let Some(node) = plan.insert(pattern) {
                node.is_hidden = true;
            }
        }
        for (number, filter) in edits.filters.iter().enumerate() {
            plan.keeps.push(filter.keep.clone());
            if let Some(node) = plan.insert(&filter.items) {
                node.filters.push(number);
            }
            if let Some(node) = plan.insert(&filter.items.before_any()) {
                node.is_landmark = true;
            }
        }
        plan
    }

    fn insert(&mut self, pattern: &Pattern) -> Option<&mut Node> {
        let mut at = ROOT;
        for segment in pattern.segments() {
            let next = NodeId::try_from(self.nodes.len()).ok()?;
            let node = self.node_mut(at)?;
            at = match segment {
                Segment::Any => *node.any.get_or_insert(next),
                Segment::Named(name) => {
                    let (name, index) = (caseless(name), index(name));
                    match node.named.iter().find(|named| named.name == name) {
                        Some(named) => named.node,
                        None => {
                            node.named.push(Named { name, index, node: next });
                            next
                        }
                    }
                }
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        self.node_mut(at)
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(id).ok()?)
    }

    /// Adds the nodes that a member of this name reaches from `id`. Names are equal whatever their case: the reader
    /// behind may think so.
    pub(super) fn member(&self, id: NodeId, name: &str, reached: &mut Vec<NodeId>) {
        let Some(node) = self.node(id) else { return };
        reached.extend(node.any);
        if node.named.is_empty() {
            return;
        }
        if name.is_ascii() {
            let same = node.named.iter().filter(|named| named.name.eq_ignore_ascii_case(name));
            reached.extend(same.map(|named| named.node));
        } else {
            let name = caseless(name);
            reached.extend(node.named.iter().filter(|named| named.name == name).map(|named| named.node));
        }
    }

    /// Adds the nodes that the element with this index reaches from `id`.
    pub(super) fn element(&self, id: NodeId, index: usize, reached: &mut Vec<NodeId>) {
        let Some(node) = self.node(id) else { return };
        reached.extend(node.any);
        let same = node.named.iter().filter(|named| named.index == Some(index));
        reached.extend(same.map(|named| named.node));
    }

    /// Whether a value that reached these nodes is hidden.
    pub(super) fn hides(&self, reached: &[NodeId]) -> bool {
        reached.iter().any(|id| self.node(*id).is_some_and(|node| node.is_hidden))
    }

    /// The filters of an array that reached these nodes.
    pub(super) fn filters(&self, reached: &[NodeId]) -> Vec<usize> {
        let nodes = reached.iter().filter_map(|id| self.node(*id));
        nodes.flat_map(|node| node.filters.iter().copied()).collect()
    }

    /// Where the arrays are that are filtered.
    pub(super) fn landmarks(&self) -> Vec<NodeId> {
        let ids = (ROOT..).zip(&self.nodes).filter(|(_, node)| node.is_landmark);
        ids.map(|(id, _)| id).collect()
    }

    /// Whether all these filters keep an element.
    pub(super) fn keeps(&self, filters: &[usize], element: &serde_json::Value) -> bool {
        filters.iter().all(|number| self.keeps.get(*number).is_some_and(|keep| keep(element)))
    }
}

/// A segment as an index, which is written in one way only.
fn index(name: &str) -> Option<usize> {
    let index: usize = name.parse().ok()?;
    (index.to_string() == name).then_some(index)
}
