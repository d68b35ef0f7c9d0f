//! Garbage collection: results that nobody needed for long go, then the bytes that no result needs.
//!
//! A result's age counts from its last use ([`Store::touch`]) or its recording. What of a result is kept when it goes is one
//! line in the file `lineage`: its key, outputs, manifest and provenance.
//!
//! **Beside running engines.** Every open store holds a shared kernel lock on `gc.lock`, and one that is open for writing
//! has a live session (`session.rs`). If nobody else has the store open, the lock is taken exclusively and the packs are
//! rewritten too; whoever opens the store in those seconds waits. Otherwise no pack is moved, and whatever was used,
//! recorded or stored since the oldest live session began stays. A run touches what it needs; should it need something
//! old in the moment in which it goes, then it finds bytes missing, which is a miss: work is repeated, nothing is wrong.
//!
//! Order: lineage first; then results are forgotten, by words or with their pack; then large blobs go. A crash in between leaves bytes that the next
//! collection finds.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::TryLockError;
use std::path::PathBuf;
use std::time::Duration;

use crate::artifact::{ActionKey, OutputDigest};
use crate::catalog::{self, ObjectFile};
use crate::clock;
use crate::compact::{self, PackUse};
use crate::digest::Digest;
use crate::disk;
use crate::error::StoreError;
use crate::index::Index;
use crate::lineage;
use crate::record::{Draft, Hit, Kind};
use crate::session;
use crate::store::Store;

/// What may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcPolicy {
    /// The least recently used results go until the rest needs at most this much.
    pub max_size_bytes: Option<u64>,
    /// Results that were not used for longer go.
    pub max_age: Option<Duration>,
    /// Only says what would go.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Results, the least recently used first.
    pub collected: Vec<Collected>,
    /// Large blobs that no result needs.
    pub objects: u64,
    /// Packs that are written anew without what nobody needs.
    pub packs: u64,
    /// Checkpoints of keys that have a result, or that are too old.
    pub checkpoints: u64,
    /// Files in quarantine that are too old, and temporary files of dead processes.
    pub leftovers: u64,
    /// Bytes on disk that become free.
    pub bytes_freed: u64,
    /// Bytes that the remaining results need.
    pub bytes_kept: u64,
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
    /// When it was last needed, in milliseconds since 1970.
    pub last_used_ms: u64,
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
            "{objects} large blobs, {checkpoints} checkpoints, {leftovers} leftovers, {packs} packs rewritten; "
        )?;
        write!(f, "{bytes_freed} bytes freed, {bytes_kept} bytes kept")?;
        if self.in_use {
            write!(f, "; another process has the store open, so packs were left alone and what it may need was kept")?;
        }
        Ok(())
    }
}

/// What a collection will do; a dry run ends here.
struct Plan {
    report: GcReport,
    /// Keys of results that stay, and digests of artifacts and blobs that they need.
    kept: Kept,
    objects: Vec<ObjectFile>,
    packs: HashSet<String>,
    /// Folders and files that go.
    paths: Vec<PathBuf>,
}

/// What stays.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) results: HashSet<Digest>,
    pub(crate) artifacts: HashSet<Digest>,
    pub(crate) blobs: HashSet<Digest>,
}

impl Store {
    /// Removes what the policy gives up, and what no result needs.
    pub fn gc(&self, policy: &GcPolicy) -> Result<GcReport, StoreError> {
        let session = self.session_dir()?;
        // A key that no stage can have, so that one process at a time collects.
        let Some(_lease) = self.try_lease(&ActionKey(Digest::of(b"orchestrate gc")))? else {
            return Err(StoreError::GcRunning { dir: self.layout.dir.clone() });
        };
        self.commit()?;
        let alone = Alone::try_take(self)?;
        self.refresh()?;
        self.forget_objects();
        let neighbours = session::sweep(&self.layout.tmp(), Some(session), !policy.dry_run)?;
        let now_ms = clock::now_ms();
        // Readers have no session, so that their age is unknown; an hour is long for one.
        let hour_ago_ms = now_ms.saturating_sub(60 * 60 * 1000);
        let keep_since_ms = if alone.0 { None } else { Some(neighbours.oldest_ms.unwrap_or(hour_ago_ms)) };
        let plan = self.plan_gc(policy, now_ms, keep_since_ms)?;
        if !policy.dry_run {
            self.run_gc(&plan, now_ms)?;
        }
        Ok(plan.report)
    }

    fn plan_gc(&self, policy: &GcPolicy, now_ms: u64, keep_since_ms: Option<u64>) -> Result<Plan, StoreError> {
        let mut report = GcReport { in_use: keep_since_ms.is_some(), ..GcReport::default() };
        let mut kept = Kept::default();
        let mut full = false;
        for (key, hit, last_used_ms) in self.uses() {
            let protected = keep_since_ms.is_some_and(|since| last_used_ms >= since);
            let outputs = hit.outputs.iter().map(|(_, output)| output);
            let size = report.bytes_kept + self.added_bytes(&key, outputs.clone(), &kept);
            full |= policy.max_size_bytes.is_some_and(|max| size > max) && !protected;
            if !protected && (full || is_older(last_used_ms, policy.max_age, now_ms)) {
                let node = self.recorded(&key).map_or_else(|| "unknown".to_owned(), |result| result.node);
                report.recompute_ms += hit.elapsed_ms;
                report.collected.push(Collected { key, node, last_used_ms, elapsed_ms: hit.elapsed_ms });
            } else {
                report.bytes_kept = size;
                self.keep(&key, outputs, &mut kept);
            }
        }
        report.collected.reverse();

        let unneeded = |object: &ObjectFile| {
            !kept.blobs.contains(&object.digest) && keep_since_ms.is_none_or(|since| object.modified_ms < since)
        };
        let objects: Vec<_> = catalog::objects(&self.layout)?.into_iter().filter(unneeded).collect();
        report.objects = objects.len() as u64;
        report.bytes_freed = objects.iter().map(|object| object.size_bytes).sum();

        let mut packs = HashSet::new();
        if !report.in_use {
            let uses = compact::pack_uses(&self.index(), &kept)?;
            for pack in uses {
                let PackUse { id, dead_bytes, .. } = &pack;
                if pack.is_worth_rewriting() || (policy.max_size_bytes.is_some() && *dead_bytes > 0) {
                    report.bytes_freed += dead_bytes;
                    packs.insert(id.clone());
                }
            }
        }
        report.packs = packs.len() as u64;
        let mut plan = Plan { report, kept, objects, packs, paths: Vec::new() };
        self.plan_checkpoints(policy, now_ms, &mut plan)?;
        self.plan_leftovers(policy, now_ms, &mut plan)?;
        Ok(plan)
    }

    /// All results with their last use, the most recent first; ties by key, so that a dry run and a real one agree.
    fn uses(&self) -> Vec<(ActionKey, Hit, u64)> {
        let last_use = self.last_use();
        let index = self.index();
        let keys = index.results.keys().map(|key| ActionKey(*key));
        let with_use = |key: ActionKey| {
            let hit = index.hit(&key)?;
            let used_ms = last_use.of_key(&key).unwrap_or_default().max(hit.recorded_ms);
            Some((key, hit, used_ms))
        };
        let mut uses: Vec<_> = keys.filter_map(with_use).collect();
        uses.sort_unstable_by_key(|(key, _, used_ms)| (std::cmp::Reverse(*used_ms), *key));
        uses
    }

    /// How much more must be kept if this result is.
    fn added_bytes<'a>(&self, key: &ActionKey, outputs: impl Iterator<Item = &'a OutputDigest>, kept: &Kept) -> u64 {
        let index = self.index();
        let mut seen = HashSet::new();
        let mut size = index.results.get(&key.0).map_or(0, |place| index.record_bytes(place));
        for output in outputs.filter(|output| !kept.artifacts.contains(&output.0)) {
            size += index.artifacts.get(&output.0).map_or(0, |place| index.record_bytes(place));
            for file in index.artifact(output).unwrap_or_default().files {
                if !kept.blobs.contains(&file.digest) && seen.insert(file.digest) {
                    let in_pack = index.blobs.get(&file.digest).map(|place| index.record_bytes(place));
                    size += in_pack.unwrap_or(file.size_bytes);
                }
            }
        }
        size
    }

    fn keep<'a>(&self, key: &ActionKey, outputs: impl Iterator<Item = &'a OutputDigest>, kept: &mut Kept) {
        kept.results.insert(key.0);
        for output in outputs {
            kept.artifacts.insert(output.0);
            let artifact = self.index().artifact(output).unwrap_or_default();
            kept.blobs.extend(artifact.files.iter().map(|file| file.digest));
        }
    }

    fn plan_checkpoints(&self, policy: &GcPolicy, now_ms: u64, plan: &mut Plan) -> Result<(), StoreError> {
        for name in disk::list(&self.layout.checkpoints())? {
            let Ok(key) = name.parse().map(ActionKey) else { continue };
            let path = self.layout.checkpoint(&key);
            let content = compact::tree(&path);
            let old = is_older(content.modified_ms, policy.max_age, now_ms);
            // Whoever works on the key just now holds its lease.
            let has_result = self.index().results.contains_key(&key.0);
            if (has_result || old) && self.try_lease(&key)?.is_some() {
                plan.report.checkpoints += 1;
                plan.report.bytes_freed += content.size_bytes;
                plan.paths.push(path);
            }
        }
        Ok(())
    }

    fn plan_leftovers(&self, policy: &GcPolicy, now_ms: u64, plan: &mut Plan) -> Result<(), StoreError> {
        let quarantine = self.layout.quarantine();
        let quarantined = disk::list(&quarantine)?.into_iter().map(|name| (quarantine.join(name), policy.max_age));
        let day = Some(Duration::from_secs(24 * 60 * 60));
        let names = disk::list(&self.layout.dir)?.into_iter().filter(|name| name.starts_with(".new-"));
        let temporary = names.map(|name| (self.layout.dir.join(name), day));
        for (path, max_age) in quarantined.chain(temporary) {
            let content = compact::tree(&path);
            if is_older(content.modified_ms, max_age, now_ms) {
                plan.report.leftovers += 1;
                plan.report.bytes_freed += content.size_bytes;
                plan.paths.push(path);
            }
        }
        Ok(())
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
            if path.is_dir() { disk::remove_dir(path)? } else { disk::remove_file(path)? }
        }
        Ok(())
    }

    fn write_lineage(&self, collected: &[Collected], now_ms: u64) -> Result<(), StoreError> {
        if collected.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for Collected { key, last_used_ms, .. } in collected {
            let Some(result) = self.recorded(key) else { continue };
            let outputs: HashMap<_, _> = result.outputs.iter().cloned().collect();
            let line = serde_json::json!({
                "key": key, "node": result.node, "kind": result.kind, "run": result.run, "device": result.device,
                "outputs": outputs, "elapsed_ms": result.elapsed_ms, "recorded_ms": result.recorded_ms,
                "last_used_ms": last_used_ms, "collected_ms": now_ms, "manifest": result.manifest,
            });
            lineage::push(&mut lines, &line);
        }
        lineage::append(&self.layout, &lines)
    }

    /// Takes results out of use, also for those who open the store later; those in packs that go need no words.
    fn forget_collected(&self, plan: &Plan) -> Result<(), StoreError> {
        for Collected { key, .. } in &plan.report.collected {
            let mut index = self.index_mut();
            let Some(place) = index.results.get(&key.0).copied() else { continue };
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
        let index = Index::read(&self.layout)?;
        *self.index_mut() = index;
        Ok(())
    }
}

fn is_older(time_ms: u64, max_age: Option<Duration>, now_ms: u64) -> bool {
    max_age.is_some_and(|max| Duration::from_millis(now_ms.saturating_sub(time_ms)) > max)
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
                file.lock_shared().map_err(StoreError::io("lock", path))?;
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
