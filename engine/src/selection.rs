//! The nodes of a plan that a run covers: all of them, or some nodes with everything that they depend on.

use crate::node::NodeId;
use crate::plan::Plan;
use crate::schedule::SlotId;

/// Nodes of a plan, closed under inputs, each with its slot in the scheduler.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Selected nodes, ascending; the position of each is its slot.
    nodes: Vec<NodeId>,
    /// The slot of each node of the plan that is selected.
    slots: Vec<Option<SlotId>>,
}

impl Selection {
    /// Selects all nodes.
    pub fn all(plan: &Plan) -> Self {
        Self::from_marks(&vec![true; plan.nodes.len()])
    }

    /// Selects some nodes and all that they depend on.
    pub fn closure(plan: &Plan, wanted: &[NodeId]) -> Self {
        let mut marks = vec![false; plan.nodes.len()];
        for id in wanted {
            marks[id.index()] = true;
        }
        // Inputs come before their readers, so one pass from the end reaches everything.
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
        let mut slots = vec![None; marks.len()];
        for (index, id) in nodes.iter().enumerate() {
            slots[id.index()] = Some(SlotId::from_index(index));
        }
        Self { nodes, slots }
    }

    /// Returns the selected nodes, ascending.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Returns whether a node is selected.
    pub fn contains(&self, id: NodeId) -> bool {
        self.slots[id.index()].is_some()
    }

    /// Returns the node of the plan in a slot of the scheduler.
    pub(crate) fn node(&self, slot: SlotId) -> NodeId {
        self.nodes[slot.index()]
    }

    /// Returns the slot of a selected node.
    pub(crate) fn slot(&self, id: NodeId) -> SlotId {
        self.slots[id.index()].expect("a selection holds the inputs of its nodes")
    }
}
