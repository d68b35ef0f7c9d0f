//! Limits and outcome of a garbage collection.

use std::fmt;
use std::time::Duration;

use crate::value::artifact::ActionKey;

/// Limits of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcPolicy {
    /// Size of the store: the least recently used results go until the rest fits.
    pub max_size_bytes: Option<u64>,
    /// Age of results: those that were not used for longer go.
    pub max_age: Option<Duration>,
    /// Keeps all results that this open store found or recorded, whatever the limits.
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
    /// Number of keys whose checkpoints go: they have a result, or the checkpoints are too old.
    pub checkpoints: u64,
    /// Number of old files in quarantine, and of temporary files and claims of dead processes.
    pub leftovers: u64,
    /// Logs that go, by index in the given list; the caller removes them.
    pub logs: Vec<usize>,
    /// Bytes of logs among the freed bytes.
    pub log_bytes_freed: u64,
    /// Freed bytes on disk.
    pub bytes_freed: u64,
    /// Bytes of the remaining results and logs.
    pub bytes_kept: u64,
    /// Bytes of those that no limit can free, because they are pinned or a run needs them.
    pub bytes_protected: u64,
    /// Run time of the stages of all collected results.
    pub recompute_ms: u64,
    /// True if another process has the store open; then packs are left alone, and results in use are kept.
    pub in_use: bool,
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
    /// When it, or a result that was made from it, was last needed, in milliseconds since 1970.
    pub last_used_ms: u64,
    /// Bytes that neither a remaining result needs nor one before it in the list.
    pub size_bytes: u64,
    /// Run time of its stage.
    pub elapsed_ms: u64,
}

impl fmt::Display for GcReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { collected, objects, packs, checkpoints, leftovers, bytes_freed, bytes_kept, .. } = self;
        let seconds = Duration::from_millis(self.recompute_ms).as_secs_f64();
        write!(f, "{} results (recomputing them would take {seconds:.1} s), ", collected.len())?;
        write!(
            f,
            "{objects} large blobs, {} logs, {checkpoints} checkpoints, {leftovers} leftovers, {packs} packs rewritten; ",
            self.logs.len()
        )?;
        write!(f, "{bytes_freed} bytes freed, {bytes_kept} bytes kept")?;
        if self.in_use {
            write!(f, "; another process has the store open, so packs were left alone and what it may need was kept")?;
        }
        Ok(())
    }
}
