//! A graph over the nodes of a scheduler as two flat lists.

use std::ops::Range;

use super::slot::SlotId;

/// The neighbours of every node in one direction, in the order of the nodes.
///
/// A node may list a neighbour twice, if two of its ports read the same node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edges {
    /// The end of each node's neighbours in `neighbours`.
    ends: Vec<u32>,
    neighbours: Vec<SlotId>,
}

impl Edges {
    /// Appends a node with its inputs, which must be earlier nodes; so no node depends on itself.
    pub(super) fn push(&mut self, inputs: impl IntoIterator<Item = SlotId>) {
        let (start, node) = (self.neighbours.len(), self.len());
        self.neighbours.extend(inputs);
        assert!(
            self.neighbours[start..].iter().all(|input| input.index() < node),
            "BUG: an input comes after its reader"
        );
        self.ends.push(u32::try_from(self.neighbours.len()).expect("a plan has fewer than 2^32 inputs"));
    }

    /// Returns the number of nodes.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the neighbours of a node.
    pub(super) fn of(&self, node: SlotId) -> &[SlotId] {
        let Range { start, end } = self.range(node);
        &self.neighbours[start as usize..end as usize]
    }

    /// Returns the number of neighbours of a node.
    pub(super) fn count(&self, node: SlotId) -> u32 {
        let Range { start, end } = self.range(node);
        end - start
    }

    fn range(&self, node: SlotId) -> Range<u32> {
        let index = node.index();
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        start..self.ends[index]
    }

    /// Returns the edges in the other direction: for each node its dependents, ascending.
    pub(super) fn reversed(&self) -> Self {
        let mut starts = vec![0_u32; self.len() + 1];
        for input in &self.neighbours {
            starts[input.index() + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let ends = starts[1..].to_vec();
        let mut dependents = vec![SlotId(0); self.neighbours.len()];
        for index in 0..self.len() {
            let node = SlotId::from_index(index);
            for input in self.of(node) {
                let next = &mut starts[input.index()];
                dependents[*next as usize] = node;
                *next += 1;
            }
        }
        Self { ends, neighbours: dependents }
    }
}

impl<I: IntoIterator<Item = SlotId>> FromIterator<I> for Edges {
    fn from_iter<T: IntoIterator<Item = I>>(nodes: T) -> Self {
        let mut edges = Self::default();
        nodes.into_iter().for_each(|inputs| edges.push(inputs));
        edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversed_edges_list_the_dependents_of_a_node() {
        let edges: Edges = [vec![], vec![SlotId(0)], vec![SlotId(0), SlotId(1), SlotId(0)]].into_iter().collect();
        let reversed = edges.reversed();
        assert_eq!(reversed.of(SlotId(0)), [SlotId(1), SlotId(2), SlotId(2)]);
        assert_eq!(reversed.of(SlotId(1)), [SlotId(2)]);
        assert_eq!(reversed.of(SlotId(2)), []);
    }

    #[test]
    #[should_panic(expected = "BUG: an input comes after its reader")]
    fn cycle_is_refused() {
        let _: Edges = [vec![], vec![SlotId(2)], vec![SlotId(1)]].into_iter().collect();
    }
}
