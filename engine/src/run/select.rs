//! The part of a plan that a run is about: all of it, or some nodes with everything that they need.

use crate::node::NodeId;
use crate::plan::Plan;

/// Nodes of a plan, closed under inputs, with dense numbers of their own for the scheduler.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Selected nodes, ascending.
    nodes: Vec<NodeId>,
    /// The number of each node of the plan among the selected ones.
    numbers: Vec<Option<NodeId>>,
}

impl Selection {
    /// All nodes.
    pub fn all(plan: &Plan) -> Self {
        Self::from_marks(&vec![true; plan.nodes.len()])
    }

    /// Some nodes and all that they need.
    pub fn closure(plan: &Plan, wanted: &[NodeId]) -> Self {
        let mut marks = vec![false; plan.nodes.len()];
        for id in wanted {
            marks[id.index()] = true;
        }
        // Inputs come before what reads them, so one pass from the end reaches everything.
        for id in plan.ids().rev() {
            if marks[id.index()] {
                for input in plan.inputs(id) {
                    marks[input.index()] = true;
                }
            }
        }
        Self::from_marks(&marks)
    }

    fn from_marks(marks: &[bool]) -> Self {
        let nodes: Vec<_> = (0..marks.len()).filter(|index| marks[*index]).map(NodeId::from_index).collect();
        let mut numbers = vec![None; marks.len()];
        for (number, id) in nodes.iter().enumerate() {
            numbers[id.index()] = Some(NodeId::from_index(number));
        }
        Self { nodes, numbers }
    }

    /// Selected nodes, ascending.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Whether a node is selected.
    pub fn contains(&self, id: NodeId) -> bool {
        self.numbers[id.index()].is_some()
    }

    /// The node of the plan behind a number of the scheduler.
    pub(super) fn node(&self, number: NodeId) -> NodeId {
        self.nodes[number.index()]
    }

    /// The number of a selected node in the scheduler.
    pub(super) fn number(&self, id: NodeId) -> NodeId {
        self.numbers[id.index()].expect("a selection holds the inputs of its nodes")
    }
}
