//! Limits and outcome of a garbage collection.

use std::time::Duration;

use crate::value::artifact::ActionKey;

/// Limits of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcPolicy {
    /// Greatest size of the store; the least recently used results go first.
    pub max_size_bytes: Option<u64>,
    /// Greatest age of a result since its last use.
    pub max_age: Option<Duration>,
    /// Keeps all results found or recorded by this open store, whatever the limits.
    pub keep_own: bool,
    /// Changes nothing; the report says what would go.
    pub dry_run: bool,
}

/// Size and age of the logs of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogUse {
    /// Their length on disk.
    pub size_bytes: u64,
    /// When the run began, in milliseconds since 1970; its results were used later, and stay longer.
    pub began_ms: u64,
    /// When they were last written to, in milliseconds since 1970; their age counts from there.
    pub written_ms: u64,
    /// True if they stay whatever the limits.
    pub protected: bool,
}

/// Outcome of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Collected results, the least valuable first.
    pub collected: Vec<Collected>,
    /// Number of removed large blobs.
    pub objects: u64,
    /// Number of packs written anew without dead records.
    pub packs: u64,
    /// Number of keys with removed checkpoints: too old, or followed by a result.
    pub checkpoints: u64,
    /// Number of old files in quarantine, of temporary files and claims of dead processes, and of folders of files that
    /// were laid out and not asked for since.
    pub leftovers: u64,
    /// Collected logs, by index in the given list; the caller removes them.
    pub logs: Vec<usize>,
    /// Bytes of logs among the freed bytes.
    pub log_bytes_freed: u64,
    /// Freed bytes on disk.
    pub bytes_freed: u64,
    /// Bytes of the remaining results and logs.
    pub bytes_kept: u64,
    /// Kept bytes that no limit can free: pinned, or needed by a run.
    pub bytes_protected: u64,
    /// Run time of the stages of all collected results.
    pub recompute_ms: u64,
    /// True if another process has the store open; then packs are left alone, and results in use are kept.
    pub in_use: bool,
}

impl GcReport {
    /// Returns whether the kept bytes would exceed the limit with so many more.
    pub(crate) fn exceeds(&self, policy: &GcPolicy, size_bytes: u64) -> bool {
        policy.max_size_bytes.is_some_and(|max| self.bytes_kept + size_bytes > max)
    }

    /// Counts so many bytes as kept; protected ones come before all others.
    pub(crate) fn keep(&mut self, size_bytes: u64, protected: bool) {
        self.bytes_kept += size_bytes;
        if protected {
            self.bytes_protected = self.bytes_kept;
        }
    }
}

/// A collected result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// Its key.
    pub key: ActionKey,
    /// The node that first produced it.
    pub node: String,
    /// The kind of its stage.
    pub kind: String,
    /// Last use, of it or of a result made from it, in milliseconds since 1970.
    pub last_used_ms: u64,
    /// Bytes shared neither with a remaining result nor with one before it in the list.
    pub size_bytes: u64,
    /// Run time of its stage.
    pub elapsed_ms: u64,
}
