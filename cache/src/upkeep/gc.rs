//! Garbage collection: removes long unused results, then bytes without a result.
//!
//! The age of a result counts from its last use ([`Store::touch`]) or its recording, or from the last use of a result
//! made from it, if that is later (`retention.rs`). The file `lineage` keeps one line about each collected result
//! (`lineage.rs`).
//!
//! **Beside running engines.** If nobody else has the store open, packs are rewritten too; a process that opens the
//! store in those seconds waits. Otherwise no pack is moved, and these stay: everything that was used, recorded or
//! stored since the oldest live session began, everything that a live session noted, and all inputs of both. Pinned
//! results (`pin.rs`) always stay. The locks are described in `lock/mod.rs`.
//!
//! **Logs.** Logs of runs count in the limits and are collected like results. The engine knows these files: it passes
//! their sizes, and removes those named in the report.
//!
//! **Order.** First lineage is written; then results are put out of use, by tombstones or as their pack is rewritten;
//! then objects are removed. After a crash in between, the next collection removes the rest.

use crate::error::StoreError;
use crate::files::{clock, disk};
use crate::format::checkpoint::Checkpoints;
use crate::format::record::{Draft, Kind};
use crate::lock::holder;
use crate::lock::lease::Lease;
use crate::lock::session;
use crate::lock::wait::{self, Hold, try_lock};
use crate::store::Store;
use crate::upkeep::collection_plan::{CollectionPlan, Protection};
use crate::upkeep::compact;
use crate::upkeep::gc_report::{Collected, GcPolicy, GcReport, LogUse};
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

/// The size of the largest `last-gc`; a longer file holds no time.
const LAST_GC_BYTES: u64 = 100;

impl Store {
    /// Collects garbage within these limits.
    pub fn gc(&self, policy: &GcPolicy) -> Result<GcReport, StoreError> {
        self.gc_with_logs(policy, &[])
    }

    /// Collects garbage in a store with logs of runs, which count like results. The caller removes the logs that the
    /// report names.
    pub fn gc_with_logs(&self, policy: &GcPolicy, logs: &[LogUse]) -> Result<GcReport, StoreError> {
        let session = self.session()?;
        let Some(_lease) = self.collection_lease()? else {
            return Err(StoreError::GcRunning { dir: self.layout.dir.clone() });
        };
        self.commit()?;
        let nobody_looks_up = self.use_lock()?.exclude()?;
        let alone = Alone::try_take(self)?;
        self.refresh()?;
        self.read_whole()?;
        self.forget_objects();
        if !policy.dry_run {
            session::sweep(&self.layout.tmp(), Some(session))?;
        }
        let now_ms = clock::now_ms();
        let mut protection = Protection::of_pins(&self.pins()?);
        if !alone.0 {
            // Somebody else has the store open. Readers have no session: their age is unknown, but hardly over an hour.
            let hour_ago_ms = now_ms.saturating_sub(60 * 60 * 1000);
            let neighbours = session::neighbours(&self.layout.tmp(), session)?;
            let oldest_ms = neighbours.iter().map(|needs| needs.opened_ms).min();
            protection.since(oldest_ms.unwrap_or(hour_ago_ms));
            protection.noted.extend(neighbours.into_iter().flat_map(|needs| needs.prefixes));
        }
        if policy.keep_own {
            protection.since(session.opened_ms);
            protection.noted.extend(session.file.read()?.prefixes);
        }
        let plan = self.plan_gc(policy, logs, now_ms, !alone.0, &protection)?;
        if !policy.dry_run {
            nobody_looks_up.announce()?;
            self.run_gc(&plan, now_ms)?;
        }
        Ok(plan.report)
    }

    /// Takes the lease of a reserved key: one process at a time collects or repairs.
    pub(crate) fn collection_lease(&self) -> Result<Option<Lease>, StoreError> {
        self.try_lease(&ActionKey(Digest::of(b"orchestrate gc")))
    }

    /// Returns when garbage was last collected, in milliseconds since 1970.
    pub fn last_gc_ms(&self) -> Option<u64> {
        let bytes = disk::read(&self.layout.last_gc(), LAST_GC_BYTES).ok()?;
        std::str::from_utf8(&bytes).ok()?.trim_end().parse().ok()
    }

    fn run_gc(&self, plan: &CollectionPlan, now_ms: u64) -> Result<(), StoreError> {
        self.write_lineage(&plan.report.collected, now_ms)?;
        self.remove_planned(plan)?;
        // Last: after a kill, the next collection is due at once.
        disk::replace(&self.layout.last_gc(), format!("{now_ms}\n").as_bytes(), false)
    }

    /// Removes what a plan names, results first.
    pub(crate) fn remove_planned(&self, plan: &CollectionPlan) -> Result<(), StoreError> {
        self.bury_collected(plan)?;
        // Packs before objects: a result without a tombstone is in use until its pack is rewritten, and must not lack
        // objects after a crash.
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
        Ok(())
    }

    /// The error for a store that somebody else has open.
    pub(crate) fn in_use(&self) -> StoreError {
        let holder = holder::of_file_beside_us(&self.layout.gc_lock());
        StoreError::InUse { dir: self.layout.dir.clone(), holder }
    }

    /// Puts the collected results out of use: in the index, and for other processes by tombstones. A result in a pack
    /// that is rewritten needs none.
    fn bury_collected(&self, plan: &CollectionPlan) -> Result<(), StoreError> {
        for Collected { key, .. } in &plan.report.collected {
            // A key may have several results.
            loop {
                let mut index = self.index_mut();
                let Some(location) = index.location(Kind::Result, &key.0) else { break };
                let tombstone = index.tombstone(Kind::Result, key.0, &location);
                index.bury(tombstone.clone());
                drop(index);
                if !plan.packs.contains(&tombstone.pack) {
                    self.writer.pending().add(Draft::tombstone(&tombstone));
                }
            }
        }
        self.commit_avoiding(&plan.packs)
    }
}

/// The answer to whether nobody else has the store open. While a true one lives, nobody can open the store.
pub(crate) struct Alone<'s>(pub(crate) bool, &'s Store);

impl<'s> Alone<'s> {
    pub(crate) fn try_take(store: &'s Store) -> Result<Self, StoreError> {
        let path = store.layout.gc_lock();
        let file = store.gc_lock.as_ref().expect("a store that is open for writing holds the lock");
        let is_alone = try_lock(file, Hold::Alone, &path)?;
        if !is_alone {
            // The failed attempt gave up the shared lock. No collection or repair starts meanwhile, as this one has the
            // lease.
            wait::lock(file, Hold::Shared, "the end of a garbage collection", &path)?;
        }
        Ok(Self(is_alone, store))
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
