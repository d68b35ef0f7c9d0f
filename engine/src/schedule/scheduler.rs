//! The state of every node of a run, and what follows from a change.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;

use super::pool::{Lack, Need, Pool};
use super::queue::Queue;
use super::{Batch, BatchId, Capacity, Class, Demand, Edges, Grant, NodeState, ScheduleError};
use crate::event::Counts;
use crate::node::NodeId;
use crate::stage::Weight;

/// Decides which node runs when; see the [module](super).
#[derive(Clone, Debug)]
pub struct Scheduler {
    inputs: Edges,
    dependents: Edges,
    demands: Vec<Demand>,
    needs: Vec<Need>,
    heavy: Vec<bool>,
    /// Estimated milliseconds from the start of each node to the end of the longest way to a sink; made when the first
    /// node is queued, as a run of hits needs none.
    priorities: Vec<u64>,
    states: Vec<NodeState>,
    /// How many nodes are in each state.
    tally: [usize; NodeState::Cancelled as usize + 1],
    /// Inputs of each node that have not ended well.
    missing: Vec<u32>,
    ready: Vec<NodeId>,
    deferred: Vec<NodeId>,
    queue: Queue,
    pool: Pool,
    batches: HashMap<BatchId, Active>,
    batch_of: HashMap<NodeId, BatchId>,
    next_batch: u64,
    failed: Vec<NodeId>,
    stopped: bool,
}

/// A batch of which a member still runs.
#[derive(Clone, Debug)]
struct Active {
    grant: Grant,
    members: usize,
}

impl Scheduler {
    /// Prepares a plan in which every node waits for its inputs. There is one demand a node.
    pub fn new(
        inputs: Edges,
        demands: Vec<Demand>,
        classes: &[Class],
        capacity: Capacity,
    ) -> Result<Self, ScheduleError> {
        assert_eq!(inputs.len(), demands.len(), "BUG: a demand for each node");
        for (class, Class { resources, .. }) in classes.iter().enumerate() {
            capacity.check(resources).map_err(|source| ScheduleError::Resources { class, source })?;
        }
        let heavy: Vec<_> = classes.iter().map(|class| class.weight == Weight::Heavy).collect();
        let needs = classes.iter().zip(&heavy).map(|(class, heavy)| Need::new(&class.resources, *heavy, &capacity));
        let needs = needs.collect();
        let groups = demands.iter().filter_map(|demand| demand.group).max().map_or(0, |last| last as usize + 1);
        let dependents = inputs.reversed();
        let missing: Vec<_> = (0..inputs.len()).map(|index| inputs.count(NodeId::from_index(index))).collect();
        if !inputs.are_sorted() {
            topological_order(&inputs, &dependents, &missing)?;
        }
        let mut scheduler = Self {
            priorities: Vec::new(),
            states: vec![NodeState::Waiting; inputs.len()],
            tally: Default::default(),
            ready: Vec::new(),
            deferred: Vec::new(),
            queue: Queue::new(classes.len(), groups),
            pool: Pool::new(capacity),
            batches: HashMap::new(),
            batch_of: HashMap::new(),
            next_batch: 0,
            failed: Vec::new(),
            stopped: false,
            inputs,
            dependents,
            demands,
            needs,
            heavy,
            missing,
        };
        scheduler.tally[NodeState::Waiting as usize] = scheduler.states.len();
        for index in 0..scheduler.states.len() {
            if scheduler.missing[index] == 0 {
                scheduler.make_ready(NodeId::from_index(index));
            }
        }
        Ok(scheduler)
    }

    /// Sets how long each node will run. Nodes that are queued already keep the urgency that they have.
    ///
    /// Estimates matter only once something is to run; a run without misses need not look them up.
    pub fn set_estimates(&mut self, mut estimate_ms: impl FnMut(NodeId) -> u32) {
        for (index, demand) in self.demands.iter_mut().enumerate() {
            demand.estimate_ms = estimate_ms(NodeId::from_index(index));
        }
        self.set_priorities();
    }

    fn set_priorities(&mut self) {
        let missing: Vec<_> =
            (0..self.inputs.len()).map(|index| self.inputs.count(NodeId::from_index(index))).collect();
        let order = topological_order(&self.inputs, &self.dependents, &missing).expect("it had an order before");
        self.priorities = priorities(&order, &self.dependents, &self.demands);
    }

    /// Hands out the nodes that became ready since the last call, ascending; each is to be answered with
    /// [`hit`](Self::hit), [`miss`](Self::miss), [`defer`](Self::defer) or [`fail`](Self::fail).
    pub fn take_ready(&mut self) -> Vec<NodeId> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|node| self.states[node.index()] == NodeState::Ready);
        ready.sort_unstable();
        ready.dedup();
        ready
    }

    /// The result of a node that has not run is in the store.
    ///
    /// This and the other answers are ignored for a node that meanwhile waits again, is blocked or cancelled.
    pub fn hit(&mut self, node: NodeId) {
        if self.answers(node) {
            self.enter(node, NodeState::Hit);
            self.resolve(node);
        }
    }

    /// The node has to run.
    pub fn miss(&mut self, node: NodeId) {
        if self.answers(node) {
            assert_eq!(self.state(node), NodeState::Ready, "BUG: only a node that is looked up can miss");
            self.enqueue(node);
        }
    }

    /// Another process computes the node's key: it uses nothing until [`recheck`](Self::recheck). Says no where a running
    /// node cannot wait because an input, revoked meanwhile, failed; then the node is to fail.
    #[must_use]
    pub fn defer(&mut self, node: NodeId) -> bool {
        if !self.answers(node) {
            return true;
        }
        if self.hangs_on_a_failure(node) {
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

    /// The nodes that were left to other processes, in no order.
    pub fn deferred(&self) -> impl Iterator<Item = NodeId> {
        self.deferred.iter().copied().filter(|node| self.state(*node) == NodeState::Deferred)
    }

    /// All deferred nodes are ready again.
    pub fn recheck(&mut self) {
        for node in std::mem::take(&mut self.deferred) {
            if self.states[node.index()] == NodeState::Deferred {
                self.make_ready(node);
            }
        }
    }

    /// The next nodes to run, if there are any for which there is room now.
    pub fn next_batch(&mut self) -> Option<Batch> {
        let class = self.next_class()?;
        let need = self.needs[class];
        let (_, Reverse(head)) = self.queue.head(class, &self.states)?;
        let cores = self.pool.capacity().cores;
        let share = || self.pool.free_threads() / self.runnable_heavy().max(1);
        let threads = need.threads.unwrap_or_else(|| share().min(cores).max(1));
        let nodes = self.queue.batch(head, &self.demands[head.index()], &self.states);
        let grant = self.pool.acquire(&need, threads);
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        self.batches.insert(id, Active { grant: grant.clone(), members: nodes.len() });
        for node in &nodes {
            self.enter(*node, NodeState::Running);
            self.batch_of.insert(*node, id);
        }
        Some(Batch { id, nodes, grant })
    }

    /// The class of the most urgent node that may start now.
    fn next_class(&mut self) -> Option<usize> {
        if self.pool.free_threads() == 0 {
            return None;
        }
        let mut heads: Vec<_> = (0..self.needs.len())
            .filter_map(|class| self.queue.head(class, &self.states).map(|head| (head, class)))
            .collect();
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

    /// How many batches of heavy nodes memory and devices have room for now.
    fn runnable_heavy(&self) -> usize {
        let heavy = (0..self.needs.len()).filter(|class| self.heavy[*class]);
        heavy.map(|class| self.queue.batches(class).min(self.pool.room(&self.needs[class]))).sum()
    }

    /// The node ran and its result is in the store.
    pub fn finish(&mut self, node: NodeId) {
        assert_eq!(self.state(node), NodeState::Running, "BUG: only a running node can finish");
        self.enter(node, NodeState::Ran);
        self.resolve(node);
    }

    /// The node failed for good. Gives the nodes that are blocked by that, ascending.
    pub fn fail(&mut self, node: NodeId) -> Vec<NodeId> {
        if self.state(node).is_end() {
            return Vec::new();
        }
        self.enter(node, NodeState::Failed);
        self.failed.push(node);
        self.end_dependents(node, NodeState::Blocked)
    }

    /// The node is to run once more, on its own. Says no where that is impossible: the run was stopped, or an input,
    /// revoked meanwhile, failed; then the node is to fail or to be cancelled.
    #[must_use]
    pub fn retry(&mut self, node: NodeId) -> bool {
        assert_eq!(self.state(node), NodeState::Running, "BUG: only a running node can be tried again");
        if self.stopped || self.hangs_on_a_failure(node) {
            return false;
        }
        self.queue.set_alone(node);
        self.enqueue(node);
        true
    }

    /// The node ends without a result. Gives the nodes that are cancelled with it, ascending.
    pub fn cancel(&mut self, node: NodeId) -> Vec<NodeId> {
        if self.state(node).is_end() {
            return Vec::new();
        }
        self.enter(node, NodeState::Cancelled);
        self.end_dependents(node, NodeState::Cancelled)
    }

    /// Cancels all nodes that neither run nor have ended, and gives them, ascending. No node starts any more.
    pub fn cancel_rest(&mut self) -> Vec<NodeId> {
        self.stopped = true;
        let rest = |state: NodeState| !state.is_end() && state != NodeState::Running;
        let nodes: Vec<_> =
            (0..self.states.len()).filter(|index| rest(self.states[*index])).map(NodeId::from_index).collect();
        for node in &nodes {
            self.enter(*node, NodeState::Cancelled);
        }
        nodes
    }

    /// The result of a node that had ended well is lost: the node is ready once more, and those dependents that are
    /// not running and have not ended wait for it. Says no where the node has no result to lose, or that cannot be made
    /// again because an input, revoked before, failed or the run was stopped.
    pub fn revoke(&mut self, node: NodeId) -> bool {
        if self.stopped || !self.state(node).is_success() || self.hangs_on_a_failure(node) {
            return false;
        }
        for place in 0..self.dependents.inputs(node).len() {
            let dependent = self.dependents.inputs(node)[place];
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

    /// The state of a node.
    pub fn state(&self, node: NodeId) -> NodeState {
        self.states[node.index()]
    }

    /// How many nodes are in a state.
    pub fn count(&self, state: NodeState) -> usize {
        self.tally[state as usize]
    }

    /// How many nodes ended how.
    pub fn counts(&self) -> Counts {
        Counts {
            nodes: self.states.len(),
            hit: self.count(NodeState::Hit),
            ran: self.count(NodeState::Ran),
            failed: self.count(NodeState::Failed),
            blocked: self.count(NodeState::Blocked),
            cancelled: self.count(NodeState::Cancelled),
        }
    }

    /// Whether every node has ended.
    pub fn is_done(&self) -> bool {
        let Counts { nodes, hit, ran, failed, blocked, cancelled } = self.counts();
        nodes == hit + ran + failed + blocked + cancelled
    }

    /// Nodes that failed for good, in the order in which they did.
    pub fn failed(&self) -> &[NodeId] {
        &self.failed
    }

    /// The inputs of a node.
    pub fn inputs(&self, node: NodeId) -> &[NodeId] {
        self.inputs.inputs(node)
    }

    /// The estimated milliseconds from the start of a node to the end of the longest way to a sink.
    pub fn priority_ms(&self, node: NodeId) -> u64 {
        self.priorities[node.index()]
    }

    /// The device of a grant: `cpu`, or `cuda:0`, or several with a comma between them.
    pub fn device(&self, grant: &Grant) -> String {
        let names = &self.pool.capacity().devices;
        match grant.devices.as_slice() {
            [] => "cpu".to_owned(),
            devices => devices.iter().map(|(index, _)| names[*index].as_str()).collect::<Vec<_>>().join(","),
        }
    }

    /// Whether an answer to a lookup, or of one who was about to run the node, still matters.
    fn answers(&self, node: NodeId) -> bool {
        match self.state(node) {
            NodeState::Ready | NodeState::Deferred | NodeState::Queued | NodeState::Running => true,
            NodeState::Waiting | NodeState::Blocked | NodeState::Cancelled => false,
            ended => panic!("BUG: node {} was answered for and had ended as {ended:?}", node.0),
        }
    }

    /// Whether an input ended without a result.
    fn hangs_on_a_failure(&self, node: NodeId) -> bool {
        self.inputs.inputs(node).iter().any(|input| self.state(*input).is_end() && !self.state(*input).is_success())
    }

    fn make_ready(&mut self, node: NodeId) {
        self.enter(node, NodeState::Ready);
        self.ready.push(node);
    }

    /// Queues a node, unless it ran while an input was revoked: then it waits for that.
    fn enqueue(&mut self, node: NodeId) {
        if self.missing[node.index()] > 0 {
            return self.enter(node, NodeState::Waiting);
        }
        if self.priorities.is_empty() {
            self.set_priorities();
        }
        self.enter(node, NodeState::Queued);
        self.queue.push(node, &self.demands[node.index()], self.priorities[node.index()]);
    }

    /// Moves a node to another state, and out of the queue or batch that it is in.
    fn enter(&mut self, node: NodeId, state: NodeState) {
        let before = std::mem::replace(&mut self.states[node.index()], state);
        self.tally[before as usize] -= 1;
        self.tally[state as usize] += 1;
        match before {
            NodeState::Queued => self.queue.leave(node, &self.demands[node.index()]),
            NodeState::Running => self.leave_batch(node),
            _ => {}
        }
    }

    fn leave_batch(&mut self, node: NodeId) {
        let id = self.batch_of.remove(&node).expect("a running node has a batch");
        let active = self.batches.get_mut(&id).expect("a batch lasts as long as its members");
        active.members -= 1;
        if active.members == 0 {
            self.pool.release(&active.grant);
            self.batches.remove(&id);
        }
    }

    /// A node ended well: dependents that waited for nothing else are ready.
    fn resolve(&mut self, node: NodeId) {
        for place in 0..self.dependents.inputs(node).len() {
            let dependent = self.dependents.inputs(node)[place];
            let missing = &mut self.missing[dependent.index()];
            *missing -= 1;
            if *missing == 0 && self.state(dependent) == NodeState::Waiting {
                self.make_ready(dependent);
            }
        }
    }

    /// Ends all waiting nodes that hang on a node, and gives them, ascending.
    fn end_dependents(&mut self, node: NodeId, state: NodeState) -> Vec<NodeId> {
        let mut ended = Vec::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            for place in 0..self.dependents.inputs(node).len() {
                let dependent = self.dependents.inputs(node)[place];
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

fn topological_order(inputs: &Edges, dependents: &Edges, missing: &[u32]) -> Result<Vec<NodeId>, ScheduleError> {
    let mut missing = missing.to_vec();
    let mut order: Vec<_> = (0..inputs.len()).filter(|index| missing[*index] == 0).map(NodeId::from_index).collect();
    let mut next = 0;
    while let Some(node) = order.get(next).copied() {
        next += 1;
        for dependent in dependents.inputs(node) {
            missing[dependent.index()] -= 1;
            if missing[dependent.index()] == 0 {
                order.push(*dependent);
            }
        }
    }
    match missing.iter().position(|missing| *missing > 0) {
        Some(index) => Err(ScheduleError::Cycle { node: NodeId::from_index(index) }),
        None => Ok(order),
    }
}

fn priorities(order: &[NodeId], dependents: &Edges, demands: &[Demand]) -> Vec<u64> {
    let mut priorities = vec![0_u64; order.len()];
    for node in order.iter().rev() {
        let longest = dependents.inputs(*node).iter().map(|dependent| priorities[dependent.index()]).max();
        // A node that takes no time still comes before those that read it.
        priorities[node.index()] = longest.unwrap_or(0) + u64::from(demands[node.index()].estimate_ms).max(1);
    }
    priorities
}
