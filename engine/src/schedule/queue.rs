//! Nodes that are misses and wait for room to run: the most urgent first, siblings together.
//!
//! Entries are never searched for. A node that leaves out of turn is skipped when its entry comes up, because it is then
//! in another state; a node that comes back gets another entry.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use super::{Demand, NodeState};
use crate::node::NodeId;

/// An entry in a queue: the longest way to a sink, and the node; of equal ones the first node is the greatest.
pub(super) type Urgency = (u64, Reverse<NodeId>);

#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    classes: Vec<ClassQueue>,
    groups: Vec<Group>,
    /// Nodes that run on their own although they have a group.
    alone: HashSet<NodeId>,
}

#[derive(Clone, Debug, Default)]
struct ClassQueue {
    heap: BinaryHeap<Urgency>,
    /// Batches that the queued nodes make.
    batches: usize,
}

#[derive(Clone, Debug, Default)]
struct Group {
    /// Those that were queued since the group last ran; some may have left.
    members: Vec<NodeId>,
    queued: usize,
}

impl Queue {
    pub(super) fn new(classes: usize, groups: usize) -> Self {
        Self {
            classes: vec![ClassQueue::default(); classes],
            groups: vec![Group::default(); groups],
            alone: HashSet::new(),
        }
    }

    fn group(&self, node: NodeId, demand: &Demand) -> Option<usize> {
        demand.group.filter(|_| !self.alone.contains(&node)).map(|group| group as usize)
    }

    /// Adds a node that is not in the queue.
    pub(super) fn push(&mut self, node: NodeId, demand: &Demand, priority: u64) {
        let group = self.group(node, demand);
        let class = &mut self.classes[demand.class as usize];
        class.heap.push((priority, Reverse(node)));
        match group {
            Some(group) => {
                let group = &mut self.groups[group];
                group.members.push(node);
                group.queued += 1;
                class.batches += usize::from(group.queued == 1);
            }
            None => class.batches += 1,
        }
    }

    /// Takes note that a node left the queue.
    pub(super) fn leave(&mut self, node: NodeId, demand: &Demand) {
        let class = &mut self.classes[demand.class as usize];
        match demand.group.filter(|_| !self.alone.contains(&node)) {
            Some(group) => {
                let group = &mut self.groups[group as usize];
                group.queued -= 1;
                class.batches -= usize::from(group.queued == 0);
            }
            None => class.batches -= 1,
        }
    }

    /// From now on the node, which is not in the queue, runs without its siblings.
    pub(super) fn set_alone(&mut self, node: NodeId) {
        self.alone.insert(node);
    }

    /// How many batches wait in a class.
    pub(super) fn batches(&self, class: usize) -> usize {
        self.classes[class].batches
    }

    /// The most urgent node of a class.
    pub(super) fn head(&mut self, class: usize, states: &[NodeState]) -> Option<Urgency> {
        let heap = &mut self.classes[class].heap;
        while let Some(head) = heap.peek() {
            if states[head.1.0.index()] == NodeState::Queued {
                return Some(*head);
            }
            heap.pop();
        }
        None
    }

    /// The queued siblings of a queued node and itself, ascending; all of them must leave the queue next.
    pub(super) fn batch(&mut self, node: NodeId, demand: &Demand, states: &[NodeState]) -> Vec<NodeId> {
        let Some(group) = self.group(node, demand) else { return vec![node] };
        let mut nodes = std::mem::take(&mut self.groups[group].members);
        nodes.retain(|node| states[node.index()] == NodeState::Queued && !self.alone.contains(node));
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}
