//! Nodes of the scheduler and their states.

/// The index of a node in one scheduler, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotId(pub(crate) u32);

impl SlotId {
    /// Returns the node at a position of a list with one entry per node.
    pub(crate) fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).expect("a plan has fewer than 2^32 nodes"))
    }

    /// Returns the position of the node in a list with one entry per node.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum NodeState {
    /// An input has not ended yet.
    Waiting,
    /// All inputs have succeeded; the caller looks the node up.
    Ready,
    /// Another process computes its key; the node is looked up again later.
    Deferred,
    /// A miss that waits for resources.
    Queued,
    /// In a batch that runs.
    Running,
    /// Ended: the store had its result.
    Hit,
    /// Ended: it ran, and the store has its result.
    Ran,
    /// Ended: it failed for good.
    Failed,
    /// Ended: it depends on a node that failed.
    Blocked,
    /// Ended: the run was stopped first.
    Cancelled,
}

impl NodeState {
    /// The number of states.
    pub(super) const COUNT: usize = Self::Cancelled as usize + 1;

    /// Returns whether the node has ended.
    pub(crate) fn is_end(self) -> bool {
        self >= Self::Hit
    }

    /// Returns whether dependents can use its result.
    pub(super) fn is_success(self) -> bool {
        matches!(self, Self::Hit | Self::Ran)
    }
}
