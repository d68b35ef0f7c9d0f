//! The state of every node of a run, and the changes of state.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;

use super::batch::{Batch, BatchId, Grant};
use super::capacity::Capacity;
use super::demand::{Class, Demand};
use super::edges::Edges;
use super::pool::{Lack, Need, Pool};
use super::queue::Queue;
use super::slot::{NodeState, SlotId};
use crate::event::Counts;

/// Decides which node runs when; see the [module](super).
#[derive(Clone, Debug)]
pub(crate) struct Scheduler {
    inputs: Edges,
    dependents: Edges,
    /// By node.
    demands: Vec<Demand>,
    /// By class.
    needs: Vec<Need>,
    /// For each node, the estimated milliseconds from its start to the end of the longest path to a sink. Computed when
    /// the first node is queued, as a run of hits needs none.
    priorities: Vec<u64>,
    states: Vec<NodeState>,
    /// The number of nodes in each state.
    tally: [usize; NodeState::COUNT],
    /// The number of inputs of each node that have not succeeded.
    missing: Vec<u32>,
    /// Nodes that became ready since the last [`Scheduler::take_ready`]; some may be in another state by now.
    ready: Vec<SlotId>,
    /// Nodes that were deferred since the last [`Scheduler::recheck`]; some may be in another state by now.
    deferred: Vec<SlotId>,
    queue: Queue,
    pool: Pool,
    batches: HashMap<BatchId, ActiveBatch>,
    batch_of: HashMap<SlotId, BatchId>,
    next_batch: u64,
    /// True once no node may start any more.
    stopped: bool,
}

/// A batch with a member that still runs.
#[derive(Clone, Debug)]
struct ActiveBatch {
    grant: Grant,
    /// The number of members that still run.
    members: usize,
}

impl Scheduler {
    /// Returns the scheduler of a graph in which no node has been looked up. There is one demand for each node, and its
    /// class is an index into `classes`. The resources of a class are [resolved](Capacity::resolve).
    pub(crate) fn new(inputs: Edges, demands: Vec<Demand>, classes: &[Class], capacity: Capacity) -> Self {
        assert_eq!(inputs.len(), demands.len(), "BUG: a demand for each node");
        let groups = demands.iter().filter_map(|demand| demand.group).max().map_or(0, |last| last as usize + 1);
        let mut scheduler = Self {
            priorities: Vec::new(),
            states: vec![NodeState::Waiting; inputs.len()],
            tally: Default::default(),
            ready: Vec::new(),
            deferred: Vec::new(),
            queue: Queue::new(classes.len(), groups),
            batches: HashMap::new(),
            batch_of: HashMap::new(),
            next_batch: 0,
            stopped: false,
            needs: classes.iter().map(|class| Need::new(class, &capacity)).collect(),
            pool: Pool::new(capacity),
            missing: (0..inputs.len()).map(|index| inputs.count(SlotId::from_index(index))).collect(),
            dependents: inputs.reversed(),
            inputs,
            demands,
        };
        scheduler.tally[NodeState::Waiting as usize] = scheduler.states.len();
        for index in 0..scheduler.states.len() {
            if scheduler.missing[index] == 0 {
                scheduler.make_ready(SlotId::from_index(index));
            }
        }
        scheduler
    }

    /// Adds devices, as long as no node that could use one runs; `classes` are those of [`Self::new`], resolved anew.
    pub(crate) fn equip(&mut self, devices: Vec<String>, classes: &[Class]) {
        self.pool.equip(devices);
        self.needs = classes.iter().map(|class| Need::new(class, self.pool.capacity())).collect();
    }

    /// Returns the resources of the run.
    pub(crate) fn capacity(&self) -> &Capacity {
        self.pool.capacity()
    }

    /// Sets the estimated duration of each node. Nodes that are queued already keep their priority.
    ///
    /// Estimates matter only once a node is queued, so a run without misses need not set them.
    pub(crate) fn set_estimates(&mut self, mut estimate_ms: impl FnMut(SlotId) -> u32) {
        for (index, demand) in self.demands.iter_mut().enumerate() {
            demand.estimate_ms = estimate_ms(SlotId::from_index(index));
        }
        self.set_priorities();
    }

    fn set_priorities(&mut self) {
        self.priorities = vec![0; self.demands.len()];
        // From the last node to the first, as inputs come before their readers.
        for index in (0..self.demands.len()).rev() {
            let dependents = self.dependents.of(SlotId::from_index(index)).iter();
            let longest = dependents.map(|dependent| self.priorities[dependent.index()]).max();
            // A node that takes no time still comes before its readers.
            self.priorities[index] = longest.unwrap_or(0) + u64::from(self.demands[index].estimate_ms).max(1);
        }
    }

    /// Returns the nodes that became ready since the last call, ascending. The caller answers each with
    /// [`hit`](Self::hit), [`miss`](Self::miss), [`defer`](Self::defer) or [`fail`](Self::fail).
    pub(crate) fn take_ready(&mut self) -> Vec<SlotId> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|node| self.state(*node) == NodeState::Ready);
        ready.sort_unstable();
        ready.dedup();
        ready
    }

    /// Answers that the store has the result of a node, which therefore need not run.
    ///
    /// This and the other answers are ignored for a node that meanwhile waits again, is blocked or is cancelled.
    pub(crate) fn hit(&mut self, node: SlotId) {
        if self.is_open(node) {
            self.enter(node, NodeState::Hit);
            self.resolve(node);
        }
    }

    /// Answers that a node has to run: queues it.
    pub(crate) fn miss(&mut self, node: SlotId) {
        if self.is_open(node) {
            assert_eq!(self.state(node), NodeState::Ready, "BUG: only a node that is looked up can miss");
            self.enqueue(node);
        }
    }

    /// Answers that a node is not to run now, because another process computes its key or an input has to be remade.
    /// The node uses no resources until [`recheck`](Self::recheck), or until the input has run.
    ///
    /// Returns false if it would wait in vain, because an input, revoked meanwhile, failed. The caller must then fail
    /// it.
    #[must_use]
    pub(crate) fn defer(&mut self, node: SlotId) -> bool {
        if !self.is_open(node) {
            return true;
        }
        if self.depends_on_a_failure(node) {
            return false;
        }
        if self.missing[node.index()] > 0 {
            self.enter(node, NodeState::Waiting);
        } else {
            self.enter(node, NodeState::Deferred);
            self.deferred.push(node);
        }
        true
    }

    /// Returns the deferred nodes, in no order.
    pub(crate) fn deferred(&self) -> impl Iterator<Item = SlotId> {
        self.deferred.iter().copied().filter(|node| self.state(*node) == NodeState::Deferred)
    }

    /// Makes all deferred nodes ready again.
    pub(crate) fn recheck(&mut self) {
        for node in std::mem::take(&mut self.deferred) {
            if self.state(node) == NodeState::Deferred {
                self.make_ready(node);
            }
        }
    }

    /// Returns the next nodes to run, if there is room for any.
    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        let class = self.next_class()?;
        let need = self.needs[class];
        let (_, Reverse(most_urgent)) = self.queue.head(class, &self.states)?;
        let cores = self.pool.capacity().cores;
        let fair_share = || self.pool.free_threads() / self.runnable_heavy().max(1);
        let threads = need.threads.unwrap_or_else(|| fair_share().min(cores).max(1));
        let nodes = self.queue.batch(most_urgent, &self.demands[most_urgent.index()], &self.states);
        let grant = self.pool.acquire(&need, threads);
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        self.batches.insert(id, ActiveBatch { grant: grant.clone(), members: nodes.len() });
        for node in &nodes {
            self.enter(*node, NodeState::Running);
            self.batch_of.insert(*node, id);
        }
        Some(Batch { id, nodes, grant })
    }

    /// Returns the class of the most urgent node that may start now.
    fn next_class(&mut self) -> Option<usize> {
        if self.pool.free_threads() == 0 && self.needs.iter().all(Need::uses_threads) {
            return None;
        }
        let mut heads: Vec<_> = (0..self.needs.len())
            .filter_map(|class| self.queue.head(class, &self.states).map(|head| (head, class)))
            .collect();
        // The most urgent first. Resources that it lacks are withheld from less urgent nodes, so that it does not
        // starve.
        heads.sort_unstable_by(|a, b| b.cmp(a));
        let mut withheld = Lack::default();
        for (_, class) in heads {
            let need = &self.needs[class];
            let lack = self.pool.lack(need);
            if !lack.any() && !need.uses(withheld) {
                return Some(class);
            }
            withheld = withheld.or(lack);
        }
        None
    }

    /// Returns the number of queued batches of heavy nodes for which there is memory and a device now.
    fn runnable_heavy(&self) -> usize {
        let heavy = self.needs.iter().enumerate().filter(|(_, need)| need.is_heavy && need.uses_threads());
        heavy.map(|(class, need)| self.queue.batches(class).min(self.pool.room(need))).sum()
    }

    /// Records that a node ran and the store has its result.
    pub(crate) fn finish(&mut self, node: SlotId) {
        assert_eq!(self.state(node), NodeState::Running, "BUG: only a running node can finish");
        self.enter(node, NodeState::Ran);
        self.resolve(node);
    }

    /// Records that a node failed for good. Returns the nodes that this blocks, ascending.
    pub(crate) fn fail(&mut self, node: SlotId) -> Vec<SlotId> {
        if self.state(node).is_end() {
            return Vec::new();
        }
        self.enter(node, NodeState::Failed);
        self.end_dependents(node, NodeState::Blocked)
    }

    /// Queues a running node once more, for a batch of its own. Returns false if the run was stopped, or if an input,
    /// revoked meanwhile, failed; the caller must then fail or cancel the node.
    #[must_use]
    pub(crate) fn retry(&mut self, node: SlotId) -> bool {
        assert_eq!(self.state(node), NodeState::Running, "BUG: only a running node can be retried");
        if self.stopped || self.depends_on_a_failure(node) {
            return false;
        }
        self.queue.set_alone(node);
        self.enqueue(node);
        true
    }

    /// Records that a node ended without a result, as the run was stopped. Returns its dependents, which are cancelled
    /// too, ascending.
    pub(crate) fn cancel(&mut self, node: SlotId) -> Vec<SlotId> {
        if self.state(node).is_end() {
            return Vec::new();
        }
        self.enter(node, NodeState::Cancelled);
        self.end_dependents(node, NodeState::Cancelled)
    }

    /// Cancels all nodes that neither run nor have ended, and returns them, ascending. No node starts any more.
    pub(crate) fn cancel_rest(&mut self) -> Vec<SlotId> {
        self.stopped = true;
        let rest = |state: NodeState| !state.is_end() && state != NodeState::Running;
        let nodes: Vec<_> =
            (0..self.states.len()).filter(|index| rest(self.states[*index])).map(SlotId::from_index).collect();
        for node in &nodes {
            self.enter(*node, NodeState::Cancelled);
        }
        nodes
    }

    /// Records that the result of a node that had succeeded is lost: the node is ready once more, or waits if its own
    /// inputs are lost too. Dependents that neither run nor have ended wait for it.
    ///
    /// Returns false if the node has no result to lose, or if it cannot run again: an input, revoked before, failed, or
    /// the run was stopped.
    pub(crate) fn revoke(&mut self, node: SlotId) -> bool {
        if self.stopped || !self.state(node).is_success() || self.depends_on_a_failure(node) {
            return false;
        }
        for position in 0..self.dependents.of(node).len() {
            let dependent = self.dependents.of(node)[position];
            self.missing[dependent.index()] += 1;
            if matches!(self.state(dependent), NodeState::Ready | NodeState::Deferred | NodeState::Queued) {
                self.enter(dependent, NodeState::Waiting);
            }
        }
        if self.missing[node.index()] > 0 {
            self.enter(node, NodeState::Waiting);
        } else {
            self.make_ready(node);
        }
        true
    }

    pub(crate) fn state(&self, node: SlotId) -> NodeState {
        self.states[node.index()]
    }

    /// Returns the number of nodes in a state.
    pub(crate) fn count(&self, state: NodeState) -> usize {
        self.tally[state as usize]
    }

    /// Returns the number of nodes in each end state.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            nodes: self.states.len(),
            hit: self.count(NodeState::Hit),
            ran: self.count(NodeState::Ran),
            failed: self.count(NodeState::Failed),
            blocked: self.count(NodeState::Blocked),
            cancelled: self.count(NodeState::Cancelled),
        }
    }

    /// Returns whether every node has ended.
    pub(crate) fn is_done(&self) -> bool {
        // The states from `Hit` on are ends.
        self.tally[NodeState::Hit as usize..].iter().sum::<usize>() == self.states.len()
    }

    /// Returns the device of a grant: `cpu`, or `cuda:0`, or several with a comma between them.
    pub(crate) fn device(&self, grant: &Grant) -> String {
        let names = &self.pool.capacity().devices;
        match grant.devices.as_slice() {
            [] => "cpu".to_owned(),
            devices => devices.iter().map(|(index, _)| names[*index].as_str()).collect::<Vec<_>>().join(","),
        }
    }

    /// Returns whether an answer for the node still matters: the node was looked up or was about to run.
    fn is_open(&self, node: SlotId) -> bool {
        match self.state(node) {
            NodeState::Ready | NodeState::Deferred | NodeState::Queued | NodeState::Running => true,
            NodeState::Waiting | NodeState::Blocked | NodeState::Cancelled => false,
            ended => panic!("BUG: an answer for node {}, which had ended as {ended:?}", node.0),
        }
    }

    /// Returns whether an input of the node ended without a result.
    fn depends_on_a_failure(&self, node: SlotId) -> bool {
        self.inputs.of(node).iter().any(|input| self.state(*input).is_end() && !self.state(*input).is_success())
    }

    fn make_ready(&mut self, node: SlotId) {
        self.enter(node, NodeState::Ready);
        self.ready.push(node);
    }

    /// Queues a node; if an input was revoked while the node ran, the node waits instead.
    fn enqueue(&mut self, node: SlotId) {
        if self.missing[node.index()] > 0 {
            return self.enter(node, NodeState::Waiting);
        }
        if self.priorities.is_empty() {
            self.set_priorities();
        }
        self.enter(node, NodeState::Queued);
        self.queue.push(node, &self.demands[node.index()], self.priorities[node.index()]);
    }

    /// Moves a node to another state, and thereby out of the queue or its batch.
    fn enter(&mut self, node: SlotId, state: NodeState) {
        let before = std::mem::replace(&mut self.states[node.index()], state);
        self.tally[before as usize] -= 1;
        self.tally[state as usize] += 1;
        match before {
            NodeState::Queued => self.queue.leave(node, &self.demands[node.index()]),
            NodeState::Running => self.leave_batch(node),
            _ => {}
        }
    }

    /// Takes a node out of its batch. The last member to leave releases the resources.
    fn leave_batch(&mut self, node: SlotId) {
        let id = self.batch_of.remove(&node).expect("a running node has a batch");
        let active = self.batches.get_mut(&id).expect("a batch lasts as long as its members");
        active.members -= 1;
        if active.members == 0 {
            self.pool.release(&active.grant);
            self.batches.remove(&id);
        }
    }

    /// Counts a node that succeeded as an input of its dependents, and makes those ready that wait for nothing else.
    fn resolve(&mut self, node: SlotId) {
        for position in 0..self.dependents.of(node).len() {
            let dependent = self.dependents.of(node)[position];
            let missing = &mut self.missing[dependent.index()];
            *missing -= 1;
            if *missing == 0 && self.state(dependent) == NodeState::Waiting {
                self.make_ready(dependent);
            }
        }
    }

    /// Ends all waiting nodes that depend on a node, directly or not, and returns them, ascending.
    fn end_dependents(&mut self, node: SlotId, state: NodeState) -> Vec<SlotId> {
        let mut ended = Vec::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            for position in 0..self.dependents.of(node).len() {
                let dependent = self.dependents.of(node)[position];
                if self.state(dependent) == NodeState::Waiting {
                    self.enter(dependent, state);
                    ended.push(dependent);
                    open.push(dependent);
                }
            }
        }
        ended.sort_unstable();
        ended
    }
}
