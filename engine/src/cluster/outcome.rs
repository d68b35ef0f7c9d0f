//! The outcome of a task, which it writes beside its work.

use serde::{Deserialize, Serialize};

use crate::executor::Failure;
use crate::usage::Usage;

/// The outcome of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// The machine, for messages.
    pub(super) node: String,
    /// The batches that have ended, in the order of the work.
    pub(super) batches: Vec<BatchOutcome>,
    /// True once the task does no more of its work.
    pub(super) is_done: bool,
    /// The reason why it stopped before the end of its work.
    #[serde(default)]
    pub(super) stopped: Option<Stopped>,
    /// Problems that people should know of.
    #[serde(default)]
    pub(super) warnings: Vec<String>,
}

/// The outcome of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BatchOutcome {
    /// One for each action, in order; the store has the result of one that succeeded.
    pub(super) results: Vec<Result<(), Failure>>,
    /// The device on which it was computed.
    pub(super) device: String,
    /// Duration of the whole batch, including the start of a process.
    pub(super) elapsed_ms: u64,
    /// Its use of CPU and memory; `None` if nothing ran, as the store had the results.
    pub(super) used: Option<Usage>,
}

/// The reason why a task stopped by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stopped {
    /// Its time limit was near, and it had written a checkpoint: the next task goes on from there.
    WithCheckpoint,
    /// Its time limit was near, and its work is lost.
    WithoutCheckpoint,
    /// It was told to end: cancelled or preempted, as the queueing system says.
    Told,
}

/// The progress of a task, written now and then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TaskProgress {
    /// The batch that runs, by its place in the work.
    pub(super) batch: usize,
    /// Its progress.
    pub(super) progress: crate::stage::Progress,
}
