//! Garbage collection: removes long unused results, then bytes without a result.
//!
//! The age of a result counts from its last use ([`Store::touch`]) or its recording, or from the last use of a result
//! made from it, if that is later (`retention.rs`). The file `lineage` keeps one line about each collected result
//! (`lineage.rs`).
//!
//! **Beside running engines.** If nobody else has the store open, packs are rewritten too; a process that opens the
//! store in those seconds waits. Otherwise no pack is moved, and these stay: everything that a live session noted
//! (`session_file.rs`), which is all that it found, recorded or stored, and all inputs of that. Pinned results
//! (`pin.rs`) always stay. The locks are described in `lock/mod.rs`. Where the locks of a live session do not reach
//! this host, lookups there cannot be made to wait; then nothing is collected. A reader has no session, as it may not
//! write: its packs stay, but a result that only a reader looks at may go, and its next read says that it is missing.
//!
//! **Clocks.** Wall clocks only rank, and say what is older than a limit. A result whose last use lies in the future,
//! by a wrong clock, ranks as the latest used and is older than no limit until that time has come. A collection whose
//! own clock is ahead takes more for old. Neither takes what is noted or pinned.
//!
//! **Logs.** Logs of runs count in the limits and are collected like results. The engine knows these files: it passes
//! their sizes, and removes those named in the report.
//!
//! **Large stores.** A store of more than a million records is not read if it is within its limits: then only logs,
//! checkpoints and leftovers are looked at, and bytes without a result stay until a limit is reached.
//!
//! **Order.** First lineage is written; then results are put out of use, by tombstones or as their pack is rewritten;
//! then objects are removed. After a crash in between, the next collection removes the rest.

use std::io::ErrorKind;

use crate::error::StoreError;
use crate::files::{clock, disk};
use crate::format::checkpoint::Checkpoints;
use crate::format::record::{Draft, Kind};
use crate::lock::holder;
use crate::lock::lease::Lease;
use crate::lock::session::{self, Neighbours};
use crate::lock::wait::{self, Hold, try_lock};
use crate::store::Store;
use crate::upkeep::collection_plan::{CollectionPlan, Protection};
use crate::upkeep::compact;
use crate::upkeep::gc_report::{Collected, GcPolicy, GcReport, LogUse};
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

/// A store with more records is only read for a collection if it is beyond its limits: that takes seconds and more.
const RECORDS_READ: u64 = 1 << 20;
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
        // Notes are read before and after the index. A session noted its results before it recorded them, so the later
        // look has the notes of all results in the index. If it records others meanwhile and ends, the earlier look has
        // the notes of their objects.
        let mut alone = Alone::try_take(self)?;
        self.refresh()?;
        let now_ms = clock::now_ms();
        let bytes_within = self.bytes_within(policy, logs, now_ms, RECORDS_READ)?;
        if bytes_within.is_none() {
            self.read_whole()?;
        }
        alone.look_again()?;
        self.forget_objects();
        if !policy.dry_run {
            if let Some(hosts) = alone.beyond() {
                return Err(StoreError::BeyondLocks { dir: self.layout.dir.clone(), hosts });
            }
            session::sweep(&self.layout.tmp(), session)?;
            session::sweep_beyond(&self.layout.tmp(), session)?;
        }
        let mut protection = Protection::of_pins(&self.pins()?);
        protection.noted.extend(&alone.neighbours.notes);
        if policy.keep_own {
            protection.noted.extend(session.file.read()?.notes);
        }
        let plan = match bytes_within {
            Some(bytes) => self.plan_within(policy, logs, now_ms, !alone.is_alone, bytes)?,
            None => self.plan_gc(policy, logs, now_ms, !alone.is_alone, &protection)?,
        };
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
        // What other users do not share stays, and all else goes.
        let mut refused = Vec::new();
        for object in &plan.objects {
            keep_refused(disk::remove_file(&self.layout.object(&object.digest)), &mut refused)?;
        }
        self.forget_objects();
        for path in &plan.paths {
            keep_refused(disk::remove_file(path), &mut refused)?;
        }
        for dir in &plan.folders {
            keep_refused(disk::remove_dir(dir), &mut refused)?;
        }
        for key in &plan.checkpoints {
            keep_refused(Checkpoints::new(&self.layout.checkpoint(key), *key).remove(), &mut refused)?;
        }
        if let Some(first) = refused.first() {
            let help = "let their owners share them by `orchestrate store init --shared`";
            tracing::warn!("{} files could not be deleted; {help}. The first: {first}", refused.len());
        }
        Ok(())
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

/// Passes on an outcome, but for a lack of rights, which is kept for a warning.
fn keep_refused(outcome: Result<(), StoreError>, refused: &mut Vec<StoreError>) -> Result<(), StoreError> {
    match outcome {
        Err(error) if error.is(ErrorKind::PermissionDenied) => {
            refused.push(error);
            Ok(())
        }
        outcome => outcome,
    }
}

/// The answer to whether nobody else has the store open. While a true one lives, nobody can open the store, but for
/// hosts that locks do not reach.
pub(crate) struct Alone<'s> {
    pub(crate) is_alone: bool,
    pub(crate) neighbours: Neighbours,
    /// True if `gc.lock` is held alone.
    excludes: bool,
    store: &'s Store,
}

impl<'s> Alone<'s> {
    pub(crate) fn try_take(store: &'s Store) -> Result<Self, StoreError> {
        let path = store.layout.gc_lock();
        let file = store.gc_lock.as_ref().expect("a store that is open for writing holds the lock");
        let excludes = try_lock(file, Hold::Alone, &path)?;
        if !excludes {
            // The failed attempt gave up the shared lock. No collection or repair starts meanwhile, as this one has the
            // lease.
            wait::lock(file, Hold::Shared, "the end of a garbage collection", &path)?;
        }
        let mut alone = Self { is_alone: excludes, neighbours: Neighbours::default(), excludes, store };
        alone.look_again()?;
        Ok(alone)
    }

    /// Adds what other sessions have noted by now.
    fn look_again(&mut self) -> Result<(), StoreError> {
        let Neighbours { notes, beyond } = session::neighbours(&self.store.layout.tmp(), self.store.session()?)?;
        self.neighbours.notes.extend(notes);
        self.neighbours.beyond.extend(beyond);
        self.neighbours.beyond.sort_unstable();
        self.neighbours.beyond.dedup();
        self.is_alone &= self.neighbours.beyond.is_empty();
        Ok(())
    }

    /// Returns an error if somebody else has the store open.
    pub(crate) fn or_in_use(self) -> Result<Self, StoreError> {
        let dir = self.store.layout.dir.clone();
        match self.beyond() {
            Some(hosts) => Err(StoreError::BeyondLocks { dir, hosts }),
            None if self.is_alone => Ok(self),
            None => Err(self.store.in_use()),
        }
    }

    /// Names the live hosts that locks do not reach, if there are any.
    fn beyond(&self) -> Option<String> {
        let hosts = &self.neighbours.beyond;
        (!hosts.is_empty()).then(|| hosts.join(", "))
    }
}

impl Store {
    /// The error for a store that somebody else has open.
    pub(crate) fn in_use(&self) -> StoreError {
        let holder = holder::of_file_beside_us(&self.layout.gc_lock());
        StoreError::InUse { dir: self.layout.dir.clone(), holder }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        if let (true, Some(file)) = (self.excludes, &self.store.gc_lock)
            && let Err(error) = file.lock_shared()
        {
            tracing::warn!("cannot share {}: {error}", self.store.layout.gc_lock().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::format::layout::Access;
    use crate::lock::session_file::SessionFile;
    use crate::store::last_use;
    use crate::tests::crash::{key, record};

    fn open(dir: &std::path::Path) -> Store {
        Store::open(dir, Access::ReadWrite).unwrap()
    }

    fn collected(store: &Store, policy: &GcPolicy) -> usize {
        store.gc(policy).unwrap().collected.len()
    }

    #[test]
    fn times_of_use_in_the_future_or_before_1970_only_rank() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for name in ["1", "2", "3", "4"] {
            record(&store, name).unwrap();
        }
        store.commit().unwrap();
        drop(store);
        let engine = open(dir.path());
        let in_2099_ms = 4_070_908_800_000;
        last_use::touch(&engine.layout, &[key("1")], in_2099_ms).unwrap();
        last_use::touch(&engine.layout, &[key("2"), key("3")], 0).unwrap();
        engine.using().unwrap().note(&[key("3")]).unwrap();
        let other = open(dir.path());
        let by_age = GcPolicy { max_age: Some(Duration::from_secs(1)), ..GcPolicy::default() };
        assert_eq!(collected(&other, &by_age), 2, "not the one of 2099, nor the one that the engine found");
        let by_size = GcPolicy { max_size_bytes: Some(1), ..GcPolicy::default() };
        assert_eq!(collected(&other, &by_size), 1, "a limit of the size takes what was used in 2099");
        assert!(other.hit(&key("3")).is_some());
        drop(engine);
        assert_eq!(collected(&other, &by_size), 1);
    }

    #[test]
    fn nothing_is_collected_while_a_host_that_locks_do_not_reach_uses_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        record(&store, "1").unwrap();
        store.commit().unwrap();
        let path = store.layout.tmp().join("aaaaaaaaaaaa-0.lock");
        let far = SessionFile::begin(disk::open_or_create(&path).unwrap(), path, "far").unwrap();
        let policy = GcPolicy { max_size_bytes: Some(1), ..GcPolicy::default() };
        let refused = store.gc(&policy).unwrap_err().to_string();
        assert!(refused.contains("in use by far, and locks do not reach"), "{refused}");
        assert!(store.gc(&GcPolicy { dry_run: true, ..policy }).unwrap().in_use);
        let what = crate::Forgetting { keys: [key("1")].into(), ..crate::Forgetting::default() };
        assert!(matches!(store.forget(&what, |_| Ok(())), Err(StoreError::BeyondLocks { .. })));
        drop(store);
        assert!(matches!(Store::repair(dir.path()), Err(StoreError::BeyondLocks { .. })));
        far.end();
        assert_eq!(collected(&open(dir.path()), &policy), 1);
    }
}
