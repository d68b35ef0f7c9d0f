//! Misses that wait for resources: the most urgent first, siblings together.
//!
//! Entries are never searched for. An entry of a node that has left the queue is skipped when it comes up, because the
//! node is in another state by then; a node that returns gets a new entry.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use super::demand::Demand;
use super::slot::{NodeState, SlotId};

/// An entry: the longest path to a sink, and the node; of equal ones the first node is the greatest.
pub(super) type Urgency = (u64, Reverse<SlotId>);

#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    classes: Vec<ClassQueue>,
    groups: Vec<Group>,
    /// Nodes that run on their own although they have a group.
    alone: HashSet<SlotId>,
}

#[derive(Clone, Debug, Default)]
struct ClassQueue {
    heap: BinaryHeap<Urgency>,
    /// The number of batches that the queued nodes make.
    batches: usize,
}

#[derive(Clone, Debug, Default)]
struct Group {
    /// Nodes queued since the group last ran; some may have left.
    members: Vec<SlotId>,
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

    fn group(&self, node: SlotId, demand: &Demand) -> Option<usize> {
        demand.group.filter(|_| !self.alone.contains(&node)).map(|group| group as usize)
    }

    /// Adds a node that is not in the queue.
    pub(super) fn push(&mut self, node: SlotId, demand: &Demand, priority: u64) {
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

    /// Records that a node left the queue.
    pub(super) fn leave(&mut self, node: SlotId, demand: &Demand) {
        let group = self.group(node, demand);
        let class = &mut self.classes[demand.class as usize];
        match group {
            Some(group) => {
                let group = &mut self.groups[group];
                group.queued -= 1;
                class.batches -= usize::from(group.queued == 0);
            }
            None => class.batches -= 1,
        }
    }

    /// Makes a node, which is not in the queue, run without its siblings from now on.
    pub(super) fn set_alone(&mut self, node: SlotId) {
        self.alone.insert(node);
    }

    /// Returns the number of batches that wait in a class.
    pub(super) fn batches(&self, class: usize) -> usize {
        self.classes[class].batches
    }

    /// Returns the most urgent node of a class.
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

    /// Returns a queued node and its queued siblings, ascending; all of them must leave the queue next.
    pub(super) fn batch(&mut self, node: SlotId, demand: &Demand, states: &[NodeState]) -> Vec<SlotId> {
        let Some(group) = self.group(node, demand) else { return vec![node] };
        let mut nodes = std::mem::take(&mut self.groups[group].members);
        nodes.retain(|node| states[node.index()] == NodeState::Queued && !self.alone.contains(node));
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}
