//! Which nodes a node reads, for all nodes of a plan in two flat lists.

use crate::node::NodeId;

/// The inputs of every node, in the order of the nodes.
///
/// A node may list an input twice, where two of its ports read the same node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    /// Where the inputs of each node end in `inputs`.
    ends: Vec<usize>,
    inputs: Vec<NodeId>,
}

impl Edges {
    /// No nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the next node with its inputs; an input may be a node that follows later.
    pub fn push(&mut self, inputs: impl IntoIterator<Item = NodeId>) -> NodeId {
        self.inputs.extend(inputs);
        self.ends.push(self.inputs.len());
        NodeId::from_index(self.ends.len() - 1)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// What a node reads.
    pub fn inputs(&self, node: NodeId) -> &[NodeId] {
        let index = node.index();
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.inputs[start..self.ends[index]]
    }

    /// Whether each node comes after all that it reads, so that no node hangs on itself.
    pub(super) fn are_sorted(&self) -> bool {
        (0..self.len()).all(|index| self.inputs(NodeId::from_index(index)).iter().all(|input| input.index() < index))
    }

    /// How many nodes it reads, those twice that it lists twice.
    pub(super) fn count(&self, node: NodeId) -> u32 {
        u32::try_from(self.inputs(node).len()).expect("fewer than 2^32 inputs")
    }

    /// The same edges the other way round: for each node those that read it, ascending.
    ///
    /// Panics where an input is no node.
    pub(super) fn reversed(&self) -> Self {
        let mut starts = vec![0; self.len() + 1];
        for input in &self.inputs {
            starts[input.index() + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let ends = starts[1..].to_vec();
        let mut dependents = vec![NodeId(0); self.inputs.len()];
        for index in 0..self.len() {
            let node = NodeId::from_index(index);
            for input in self.inputs(node) {
                let place = &mut starts[input.index()];
                dependents[*place] = node;
                *place += 1;
            }
        }
        Self { ends, inputs: dependents }
    }
}

impl<I: IntoIterator<Item = NodeId>> FromIterator<I> for Edges {
    fn from_iter<T: IntoIterator<Item = I>>(nodes: T) -> Self {
        let mut edges = Self::new();
        for inputs in nodes {
            edges.push(inputs);
        }
        edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversed_edges_list_who_reads_a_node() {
        let edges: Edges = [vec![], vec![NodeId(0)], vec![NodeId(0), NodeId(1), NodeId(0)]].into_iter().collect();
        let reversed = edges.reversed();
        assert_eq!(reversed.inputs(NodeId(0)), [NodeId(1), NodeId(2), NodeId(2)]);
        assert_eq!(reversed.inputs(NodeId(1)), [NodeId(2)]);
        assert_eq!(reversed.inputs(NodeId(2)), []);
    }
}
