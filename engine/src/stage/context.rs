//! The surroundings of a running stage: folders, threads, device, progress, cancellation.

use std::path::Path;

use orchestrate_cache::StampKey;
use serde::{Deserialize, Serialize};

/// The default largest size of a node's log in bytes.
pub const LOG_MAX_BYTES: u64 = 64 << 20;

/// The resources that a running stage may use beside its action.
pub struct Context<'a> {
    /// An empty folder of its own, removed afterwards.
    pub scratch_dir: &'a Path,
    /// A folder that outlives a killed run of the same key, if the stage has
    /// [`Facts::checkpoints`](super::Facts::checkpoints).
    pub checkpoint_dir: Option<&'a Path>,
    /// The stamp of checkpoints, if only the user's own may be used.
    pub checkpoint_stamp: Option<StampKey>,
    /// The number of threads that it may use.
    pub threads: usize,
    /// The device that it was given: `cpu`, or `cuda:0` and so on.
    pub device: &'a str,
    /// Largest size of the node's log in bytes, for a stage that forwards the output of another program.
    pub log_max_bytes: u64,
    /// Reports progress to people.
    pub progress: &'a (dyn Fn(Progress) + Sync),
    /// Returns true while the run is being stopped; a long stage polls it and then returns
    /// [`StageError::Cancelled`](super::StageError::Cancelled).
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// Progress of a running stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done, epochs of a training for example.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// The latest figure, `loss 0.412` for example.
    pub message: String,
}
