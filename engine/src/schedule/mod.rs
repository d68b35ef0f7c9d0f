//! The order in which nodes run: a state machine without clock, threads and files.
//!
//! The caller reports each event and asks for the next step; the same reports give the same steps. A node of the
//! scheduler is a `SlotId`; which node of the plan it stands for is the caller's knowledge.
//!
//! A node passes two gates. It is *ready* once its inputs have succeeded: `Scheduler::take_ready` returns it, and the
//! caller looks it up and reports `hit`, `miss` or, while another process computes the same key, `defer`. A hit ends
//! the node at once and uses no resources. A miss is queued. When the pool has room, `Scheduler::next_batch` returns it
//! together with the queued nodes of its group. The caller runs the batch and reports for each member `finish`,
//! `retry`, `fail` or `cancel`. The batch releases its resources when its last member ends.
//!
//! The most urgent node goes first: the one with the longest estimated path to a sink, and of equal ones the first in
//! the plan. While it lacks a resource, less urgent nodes start only if they use none of that kind. So small nodes
//! never starve a big one.
//!
//! Each operation takes time in proportion to the edges and states that it changes, not to the size of the plan.

mod batch;
mod capacity;
mod demand;
mod edges;
mod pool;
mod queue;
mod scheduler;
mod slot;

pub use batch::BatchId;
pub use capacity::{cores, machine_memory};

pub(crate) use batch::Batch;
pub(crate) use capacity::Capacity;
pub(crate) use demand::{Class, Demand};
pub(crate) use scheduler::Scheduler;
pub(crate) use slot::{NodeState, SlotId};
