//! Which node runs when: a state machine without clock, threads and files. The caller tells it what happened and asks it
//! what comes next; with the same answers it gives the same questions.
//!
//! A node passes two gates. When its inputs have ended well it is *ready*: [`Scheduler::take_ready`] hands it out, and the
//! caller looks it up and answers [`hit`](Scheduler::hit), [`miss`](Scheduler::miss) or, where another process
//! computes the same key, [`defer`](Scheduler::defer). A hit ends the node at once and uses no resources. A miss is
//! queued, and [`Scheduler::next_batch`] hands it out, together with those of its group that are queued by then, when
//! the pool has room. The caller runs the batch and answers for each member [`finish`](Scheduler::finish),
//! [`retry`](Scheduler::retry), [`fail`](Scheduler::fail) or [`cancel`](Scheduler::cancel). The batch's resources are free again when its
//! last member has ended.
//!
//! The most urgent node goes first: the one with the longest estimated way to a sink, of equal ones the first in the
//! plan. Where it lacks a resource, less urgent nodes start only if they use none of that kind, so that small nodes
//! never keep a big one waiting for ever.
//!
//! Each operation takes time in proportion to the edges and states that it changes, and not to the size of the plan.

mod edges;
mod pool;
mod queue;
mod scheduler;

use serde::{Deserialize, Serialize};

use crate::node::NodeId;
use crate::resources::Resources;
use crate::stage::Weight;

pub use edges::Edges;
pub use pool::{Capacity, Grant, ResourceError, cores};
pub use scheduler::Scheduler;

/// Where a node is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeState {
    /// An input has not ended yet.
    Waiting,
    /// All inputs ended well; the caller looks it up.
    Ready,
    /// Another process computes its key; it is looked up again later.
    Deferred,
    /// A miss that waits for resources.
    Queued,
    /// Handed out to run.
    Running,
    /// Ended: its result was in the store.
    Hit,
    /// Ended: it ran and its result is in the store.
    Ran,
    /// Ended: it failed for good.
    Failed,
    /// Ended: a node that it hangs on failed.
    Blocked,
    /// Ended: the run was stopped before.
    Cancelled,
}

impl NodeState {
    /// Whether nothing happens to the node any more.
    pub fn is_end(self) -> bool {
        self >= Self::Hit
    }

    /// Whether dependents can use its result.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Hit | Self::Ran)
    }
}

/// What nodes of one kind need while they run; usually one a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Class {
    /// What was asked for.
    pub resources: Resources,
    /// Where they run: threads that were not asked for are one for a light node and a fair share for a heavy one.
    pub weight: Weight,
}

/// What the scheduler knows about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Index into the classes.
    pub class: u32,
    /// Siblings with the same number run together when they are queued together; numbers are dense, from 0, and all
    /// nodes of a group have one class.
    pub group: Option<u32>,
    /// How long it will run, in milliseconds.
    pub estimate_ms: u32,
}

/// The number of a batch in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(pub u64);

/// Nodes to run together, with what they may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub id: BatchId,
    /// At least one, ascending.
    pub nodes: Vec<NodeId>,
    /// What they may use, all together.
    pub grant: Grant,
}

/// Why a plan cannot be scheduled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A node hangs on itself.
    #[error("node {} is part of a cycle", node.0)]
    Cycle {
        /// One of the nodes of the cycle, or that hang on it.
        node: NodeId,
    },
    /// Nodes of a class could never run.
    #[error("{source}")]
    Resources {
        /// Index of the class.
        class: usize,
        /// What is missing; the whole message, so that it is no source beside it.
        r#source: ResourceError,
    },
}
