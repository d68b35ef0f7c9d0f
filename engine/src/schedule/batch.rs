//! Nodes that run together, and the resources that they hold.

use serde::{Deserialize, Serialize};

use super::slot::SlotId;

/// The number of a batch in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(pub u64);

/// Nodes to run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    /// At least one, ascending.
    pub(crate) nodes: Vec<SlotId>,
    /// The resources of all of them together.
    pub(crate) grant: Grant,
}

/// The resources that a batch holds until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// CPU threads of this machine, at least 1; 0 for a batch that runs on another one.
    pub(crate) threads: usize,
    /// Memory in bytes; 0 if none was asked for.
    pub(super) memory_bytes: u64,
    /// Indices of devices with the share of each in thousandths.
    pub(super) devices: Vec<(usize, u32)>,
}
