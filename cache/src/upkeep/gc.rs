//! Garbage collection: results that nobody needed for long go, then the bytes that no result needs.
//!
//! A result's age counts from its last use ([`Store::touch`]) or its recording, or from that of the latest result that was
//! made from it (`retention.rs`). What of a result is kept when it goes is one line in the file `lineage`.
//!
//! **Beside running engines.** Every open store holds a shared kernel lock on `gc.lock`, and one that is open for writing
//! has a live session (`session.rs`). If nobody else has the store open, the lock is taken exclusively and the packs are
//! rewritten too; whoever opens the store in those seconds waits. Otherwise no pack is moved, and whatever was used,
//! recorded or stored since the oldest live session began stays, and whatever a live session found and noted (`using.rs`),
//! each with all that it was made from. What is pinned (`pin.rs`) always stays.
//!
//! **Logs.** What runs wrote for people counts in the limits and goes like results. Which files these are is the engine's
//! business: it says how much there is of each run, and removes what is to go.
//!
//! Order: lineage first; then results are forgotten, by words or with their pack; then large blobs go. A crash in between leaves bytes that the next
//! collection finds.

use std::fmt;
use std::fs::TryLockError;
use std::time::Duration;

use crate::error::StoreError;
use crate::files::clock;
use crate::files::disk;
use crate::format::checkpoint::Checkpoints;
use crate::format::record::{Draft, Kind};
use crate::lock::session;
use crate::lock::wait::{self, Hold};
use crate::records::ends;
use crate::records::index::Index;
use crate::store::Store;
use crate::upkeep::collect::{Plan, Protection};
use crate::upkeep::compact;
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

/// A longer file is no time.
const LAST_GC_BYTES: u64 = 100;

/// What may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcPolicy {
    /// The least recently used results go until the rest needs at most this much.
    pub max_size_bytes: Option<u64>,
    /// Results that were not used for longer go.
    pub max_age: Option<Duration>,
    /// Keeps what this store found or recorded since it was opened, whatever the limits.
    pub keep_own: bool,
    /// Only says what would go.
    pub dry_run: bool,
}

/// What one run wrote for people, as far as a collection is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogUse {
    /// Its length on disk.
    pub size_bytes: u64,
    /// When the run began, in milliseconds since 1970. Results that it needed or made were used later, and stay longer.
    pub began_ms: u64,
    /// When it was last written to, in milliseconds since 1970: its age counts from there.
    pub written_ms: u64,
    /// Whether it stays whatever the limits.
    pub protected: bool,
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Results, those that are worth the least first.
    pub collected: Vec<Collected>,
    /// Large blobs that no result needs.
    pub objects: u64,
    /// Packs that are written anew without what nobody needs.
    pub packs: u64,
    /// Checkpoints of keys that have a result, or that are too old.
    pub checkpoints: u64,
    /// Files in quarantine that are too old, and temporary files and claims of dead processes.
    pub leftovers: u64,
    /// Logs that go, by their places in the list that was given; who gave it removes them.
    pub logs: Vec<usize>,
    /// Bytes of logs among those that become free.
    pub log_bytes_freed: u64,
    /// Bytes on disk that become free.
    pub bytes_freed: u64,
    /// Bytes that the remaining results need, and those of the remaining logs.
    pub bytes_kept: u64,
    /// Bytes of them that are pinned, or that a run needs, and that no limit can free.
    pub bytes_protected: u64,
    /// How long the collected results took to produce, all together.
    pub recompute_ms: u64,
    /// Whether another process has the store open, so that packs were left alone, and all that is in use was kept.
    pub in_use: bool,
}

/// A result that goes.
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
    /// Bytes that no result needs that stays or that stands before it in the list.
    pub size_bytes: u64,
    /// How long it took to produce.
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

impl Store {
    /// Removes what the policy gives up, and what no result needs.
    pub fn gc(&self, policy: &GcPolicy) -> Result<GcReport, StoreError> {
        self.gc_with_logs(policy, &[])
    }

    /// The same for a store with logs: they count as the results do, and the report says which are to be removed.
    pub fn gc_with_logs(&self, policy: &GcPolicy, logs: &[LogUse]) -> Result<GcReport, StoreError> {
        let session = self.session()?;
        // A key that no stage can have, so that one process at a time collects.
        let Some(_lease) = self.try_lease(&ActionKey(Digest::of(b"orchestrate gc")))? else {
            return Err(StoreError::GcRunning { dir: self.layout.dir.clone() });
        };
        self.commit()?;
        let nobody_looks_up = self.use_lock()?.exclude()?;
        let alone = Alone::try_take(self)?;
        self.refresh()?;
        self.forget_objects();
        if !policy.dry_run {
            session::sweep(&self.layout.tmp(), Some(session))?;
        }
        let now_ms = clock::now_ms();
        let mut protection = Protection::of_pins(&self.pins()?);
        if !alone.0 {
            // Readers have no session, so that their age is unknown; an hour is long for one.
            let hour_ago_ms = now_ms.saturating_sub(60 * 60 * 1000);
            let neighbours = session::neighbours(&self.layout.tmp(), session)?;
            let oldest_ms = neighbours.iter().map(|noted| noted.opened_ms).min();
            protection.since(oldest_ms.unwrap_or(hour_ago_ms));
            protection.noted.extend(neighbours.into_iter().flat_map(|noted| noted.prefixes));
        }
        if policy.keep_own {
            protection.since(session.opened_ms);
            protection.noted.extend(session.notes.read()?.prefixes);
        }
        let plan = self.plan_gc(policy, logs, now_ms, !alone.0, &protection)?;
        if !policy.dry_run {
            nobody_looks_up.announce()?;
            self.run_gc(&plan, now_ms)?;
        }
        Ok(plan.report)
    }

    /// When garbage was last collected, in milliseconds since 1970.
    pub fn last_gc_ms(&self) -> Option<u64> {
        let bytes = disk::read(&self.layout.last_gc(), LAST_GC_BYTES).ok()?;
        std::str::from_utf8(&bytes).ok()?.trim_end().parse().ok()
    }

    fn run_gc(&self, plan: &Plan, now_ms: u64) -> Result<(), StoreError> {
        self.write_lineage(&plan.report.collected, now_ms)?;
        self.forget_collected(plan)?;
        // Before objects go: a result that goes with its pack is in use until then, and must not lack bytes after a crash.
        if !plan.packs.is_empty() {
            compact::rewrite(self, &plan.packs, &plan.kept)?;
        }
        for object in &plan.objects {
            disk::remove_file(&self.layout.object(&object.digest))?;
        }
        self.forget_objects();
        for path in &plan.paths {
            disk::remove_file(path)?;
        }
        for key in &plan.checkpoints {
            Checkpoints::new(&self.layout.checkpoint(key), *key).remove()?;
        }
        // Last: one that was killed is done again as soon as may be.
        disk::replace(&self.layout.last_gc(), format!("{now_ms}\n").as_bytes(), false)
    }

    /// Takes results out of use, also for those who open the store later; those in packs that go need no words.
    fn forget_collected(&self, plan: &Plan) -> Result<(), StoreError> {
        for Collected { key, .. } in &plan.report.collected {
            let mut index = self.index_mut();
            let Some(place) = index.place(Kind::Result, &key.0) else { continue };
            let forget = index.forget_of(Kind::Result, key.0, &place);
            let written_anew = plan.packs.contains(&forget.pack);
            index.forget(forget.clone());
            drop(index);
            if !written_anew {
                self.writer.pending().add(Draft::forget(&forget));
            }
        }
        self.writer.commit(&self.layout, self.index_lock(), &plan.packs)
    }

    /// Reads all packs anew.
    pub(crate) fn reload(&self) -> Result<(), StoreError> {
        let mut index = self.index_mut();
        *index = Index::read(&self.layout, &ends::of(&index))?;
        Ok(())
    }
}

/// Whether nobody else has the store open; if so, nobody can open it until this is dropped.
pub(crate) struct Alone<'s>(pub(crate) bool, &'s Store);

impl<'s> Alone<'s> {
    pub(crate) fn try_take(store: &'s Store) -> Result<Self, StoreError> {
        let path = store.layout.gc_lock();
        let file = store.gc_lock.as_ref().expect("a store that is open for writing holds the lock");
        match file.try_lock() {
            Ok(()) => Ok(Self(true, store)),
            Err(TryLockError::WouldBlock) => {
                // The attempt gave up our share. Nobody collects meanwhile, as we hold the lease.
                wait::lock(file, Hold::Shared, "the end of a garbage collection", &path)?;
                Ok(Self(false, store))
            }
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
        }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if let (true, Some(file)) = (self.0, &self.1.gc_lock)
            && let Err(error) = file.lock_shared()
        {
            tracing::warn!("cannot share {}: {error}", self.1.layout.gc_lock().display());
        }
    }
}
