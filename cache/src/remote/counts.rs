//! Counts of what a run got from its remote and gave to it.

use serde::{Deserialize, Serialize};

/// The traffic of a run with its remote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteCounts {
    /// Results that were found there.
    pub hits: u64,
    /// Bytes that were read for them.
    pub hit_bytes: u64,
    /// Results that the server has now.
    pub uploads: u64,
    /// Bytes that were put for them.
    pub upload_bytes: u64,
    /// Results that could not be read, or could not be put.
    pub failed: u64,
    /// Results that are left for the next run.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left: u64,
}

fn is_none(left: &u64) -> bool {
    *left == 0
}
