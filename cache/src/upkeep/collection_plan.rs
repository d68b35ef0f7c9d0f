//! Plan of a garbage collection: results and logs beyond the limits, and then dead bytes.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::StoreError;
use crate::files::{clock, disk};
use crate::format::checkpoint::{self, Checkpoints};
use crate::format::layout::Layout;
use crate::format::names;
use crate::format::record::{Hit, Kind};
use crate::lock::wait::is_held;
use crate::store::Store;
use crate::store::catalog::{self, ObjectFile};
use crate::store::links;
use crate::upkeep::compact::{self, Kept};
use crate::upkeep::gc_report::{Collected, GcPolicy, GcReport, LogUse};
use crate::upkeep::pin::Pin;
use crate::upkeep::retention::{Use, rank};
use crate::upkeep::strays;
use crate::value::artifact::ActionKey;

/// Short packs that a collection leaves; more are written anew as few long ones.
const SHORT_MAX: usize = 64;

/// The removals of a collection; a dry run ends with this plan.
#[derive(Default)]
pub(crate) struct CollectionPlan {
    pub(crate) report: GcReport,
    pub(crate) kept: Kept,
    /// Objects to remove.
    pub(crate) objects: Vec<ObjectFile>,
    /// Ids of packs to rewrite.
    pub(crate) packs: HashSet<String>,
    /// Keys without need of their checkpoints.
    pub(crate) checkpoints: Vec<ActionKey>,
    /// Other files to remove.
    pub(crate) paths: Vec<PathBuf>,
    /// Whole folders to remove: of files laid out for other programs, and of jobs.
    pub(crate) folders: Vec<PathBuf>,
}

/// Results that stay whatever the limits.
#[derive(Debug, Default)]
pub(crate) struct Protection {
    pinned: HashSet<ActionKey>,
    /// Prefixes of keys and large blobs noted by live sessions.
    pub(crate) noted: HashSet<u64>,
}

impl Protection {
    pub(crate) fn of_pins(pins: &[Pin]) -> Self {
        let pinned = pins.iter().flat_map(|pin| pin.keys.iter().copied()).collect();
        Self { pinned, ..Self::default() }
    }

    fn covers(&self, key: &ActionKey) -> bool {
        self.pinned.contains(key) || self.noted.contains(&key.prefix())
    }
}

impl Store {
    /// Plans a collection; changes nothing.
    pub(crate) fn plan_gc(
        &self,
        policy: &GcPolicy,
        logs: &[LogUse],
        now_ms: u64,
        in_use: bool,
        protection: &Protection,
    ) -> Result<CollectionPlan, StoreError> {
        self.index().check_readable()?;
        let mut report = GcReport { in_use, ..GcReport::default() };
        let mut kept = Kept::default();
        let mut full = false;
        let mut logs = RankedLogs::new(logs, policy, now_ms);
        let mut going = Vec::new();
        for one in rank(self.uses(protection)) {
            logs.pass(Some((one.protected, one.last_used_ms)), full, &mut report);
            let size_bytes = self.bytes_without(&one, &kept);
            full |= report.exceeds(policy, size_bytes) && !one.protected;
            if !one.protected && (full || is_older(one.last_used_ms, policy.max_age, now_ms)) {
                going.push(one);
                continue;
            }
            report.keep(size_bytes, one.protected);
            kept.add(&self.index(), &one.key, &one.outputs);
        }
        logs.pass(None, full, &mut report);
        self.count_going(going, &kept, &mut report);

        let is_noted = |object: &ObjectFile| protection.noted.contains(&object.digest.prefix());
        let is_dead = |object: &ObjectFile| !kept.blobs.contains(&object.digest) && !is_noted(object);
        let mut objects = catalog::objects(&self.layout)?;
        let object_bytes = sum_of(&objects);
        objects.retain(is_dead);
        report.objects = objects.len() as u64;
        report.bytes_freed = report.log_bytes_freed + sum_of(&objects);

        let mut packs = HashSet::new();
        if !report.in_use {
            // Dead bytes of other packs go only if they take room that is needed.
            let is_full = policy.max_size_bytes.is_some_and(|max| self.pack_bytes() + object_bytes > max);
            let uses = compact::pack_uses(&self.index(), &kept)?;
            let are_many = uses.iter().filter(|pack| pack.is_short()).count() > SHORT_MAX;
            for pack in uses {
                if pack.is_worth_rewriting() || is_full && pack.dead_bytes > 0 || are_many && pack.is_short() {
                    report.bytes_freed += pack.dead_bytes;
                    packs.insert(pack.id);
                }
            }
        }
        report.packs = packs.len() as u64;
        let plan = CollectionPlan { report, kept, objects, packs, ..CollectionPlan::default() };
        self.plan_files(policy, now_ms, plan)
    }

    /// Returns the bytes of packs and objects of a store with at least so many records, if it keeps its limits as far
    /// as lengths of files and times of recording tell. `None` if nothing limits it.
    pub(crate) fn bytes_within(
        &self,
        policy: &GcPolicy,
        logs: &[LogUse],
        now_ms: u64,
        least: u64,
    ) -> Result<Option<u64>, StoreError> {
        let index = self.index();
        if index.records() < least || policy.max_size_bytes.is_none() && policy.max_age.is_none() {
            return Ok(None);
        }
        let is_young = policy.max_age.is_none() || !is_older(index.oldest_ms(), policy.max_age, now_ms);
        drop(index);
        if !is_young {
            return Ok(None);
        }
        let bytes = self.pack_bytes() + sum_of(&catalog::objects(&self.layout)?);
        let logs: u64 = logs.iter().map(|log| log.size_bytes).sum();
        Ok(policy.max_size_bytes.is_none_or(|max| bytes + logs <= max).then_some(bytes))
    }

    /// Plans a collection that keeps all results; changes nothing.
    ///
    /// - `bytes_kept`: as of [`Store::bytes_within`]
    pub(crate) fn plan_within(
        &self,
        policy: &GcPolicy,
        logs: &[LogUse],
        now_ms: u64,
        in_use: bool,
        bytes_kept: u64,
    ) -> Result<CollectionPlan, StoreError> {
        let mut report = GcReport { in_use, bytes_kept, ..GcReport::default() };
        RankedLogs::new(logs, policy, now_ms).pass(None, false, &mut report);
        report.bytes_freed = report.log_bytes_freed;
        self.plan_files(policy, now_ms, CollectionPlan { report, ..CollectionPlan::default() })
    }

    /// Sums up the lengths of packs.
    fn pack_bytes(&self) -> u64 {
        let index = self.index();
        index.packs.iter().filter_map(|pack| pack.path.symlink_metadata().ok()).map(|pack| pack.len()).sum()
    }

    /// Adds checkpoints and leftovers to a plan.
    fn plan_files(
        &self,
        policy: &GcPolicy,
        now_ms: u64,
        mut plan: CollectionPlan,
    ) -> Result<CollectionPlan, StoreError> {
        self.plan_checkpoints(policy, now_ms, &mut plan)?;
        self.plan_leftovers(policy, now_ms, &mut plan)?;
        Ok(plan)
    }

    /// Reports results as collected, the least valuable first; `going` has the most valuable first.
    pub(super) fn count_going(&self, going: Vec<Use>, kept: &Kept, report: &mut GcReport) {
        let mut counted = kept.clone();
        for one in going.into_iter().rev() {
            let size_bytes = self.bytes_without(&one, &counted);
            counted.add(&self.index(), &one.key, &one.outputs);
            report.recompute_ms += one.elapsed_ms;
            let Use { key, node, kind, last_used_ms, elapsed_ms, .. } = one;
            report.collected.push(Collected { key, node, kind, last_used_ms, size_bytes, elapsed_ms });
        }
    }

    /// Lists the uses of all results.
    pub(super) fn uses(&self, protection: &Protection) -> Vec<Use> {
        let last_use = self.last_use();
        let read = self.results().map(|(key, result, _)| (key, (result.inputs(), result.node, result.kind)));
        let mut read: HashMap<_, _> = read.collect();
        let index = self.index();
        let keys = index.all(Kind::Result).map(|(key, _)| ActionKey(key));
        let uses = keys.filter_map(|key| {
            let Hit { outputs, elapsed_ms, recorded_ms } = index.hit(&key)?;
            let last_used_ms = last_use.of_key(&key).unwrap_or_default().max(recorded_ms);
            let outputs = outputs.into_iter().map(|(_, output)| output).collect();
            // The body of a result may be corrupt.
            let unknown = || (Vec::new(), "unknown".to_owned(), "unknown".to_owned());
            let (inputs, node, kind) = read.remove(&key).unwrap_or_else(unknown);
            let protected = protection.covers(&key);
            Some(Use { key, node, kind, outputs, inputs, elapsed_ms, last_used_ms, protected })
        });
        uses.collect()
    }

    /// Sums up the bytes of a result beyond the kept ones.
    pub(super) fn bytes_without(&self, one: &Use, kept: &Kept) -> u64 {
        let index = self.index();
        let mut seen = HashSet::new();
        let mut size = index.record_bytes(Kind::Result, &one.key.0).unwrap_or(0);
        for output in one.outputs.iter().filter(|output| !kept.artifacts.contains(&output.0)) {
            size += index.record_bytes(Kind::Artifact, &output.0).unwrap_or(0);
            for file in index.artifact(output).unwrap_or_default().files {
                if !kept.blobs.contains(&file.digest) && seen.insert(file.digest) {
                    size += index.record_bytes(Kind::Blob, &file.digest).unwrap_or(file.size_bytes);
                }
            }
        }
        size
    }

    fn plan_checkpoints(&self, policy: &GcPolicy, now_ms: u64, plan: &mut CollectionPlan) -> Result<(), StoreError> {
        for key in checkpoint::keys(&self.layout)? {
            let files = Checkpoints::new(&self.layout.checkpoint(&key), key).all_files()?;
            let extent = Extent::of(&files);
            let old = is_older(extent.modified_ms, policy.max_age, now_ms);
            // A process that works on the key now holds its lease.
            let has_result = self.index().location(Kind::Result, &key.0).is_some();
            if !files.is_empty() && (has_result || old) && self.try_lease(&key)?.is_some() {
                plan.report.checkpoints += 1;
                plan.report.bytes_freed += extent.size_bytes;
                plan.checkpoints.push(key);
            }
        }
        Ok(())
    }

    fn plan_leftovers(&self, policy: &GcPolicy, now_ms: u64, plan: &mut CollectionPlan) -> Result<(), StoreError> {
        // A file is being written for seconds. Its writer holds its lock, whatever the clocks say.
        let day = Some(Duration::from_secs(24 * 60 * 60));
        let (quarantine, claims) = (self.layout.quarantine(), self.layout.claims());
        let quarantined = files(&quarantine, names::is_quarantined)?.map(|path| (path, policy.max_age));
        let claims = files(&claims, names::is_digest)?.map(|path| (path, day));
        let unfinished = strays::unfinished(&self.layout)?.into_iter().filter(|path| !is_held(path));
        let unfinished = unfinished.map(|path| (path, day));
        let leases = self.leases()?;
        for (path, max_age) in quarantined.chain(claims).chain(unfinished) {
            let extent = Extent::of([&path]);
            // A claim that can be read tells whether its holder lives.
            let is_dead = leases.claims.is_dead(&path)?;
            if is_dead.unwrap_or_else(|| is_older(extent.modified_ms, max_age, now_ms)) {
                plan.report.leftovers += 1;
                plan.report.bytes_freed += extent.size_bytes;
                plan.paths.push(path);
            }
        }
        let laid_out = links::folders(&self.layout)?.into_iter();
        let unused = laid_out.filter(|dir| is_older(Extent::of([dir]).modified_ms, day, now_ms));
        // Longer than any job waits and runs.
        let month = day.map(|day| 30 * day);
        let left = jobs(&self.layout)?.into_iter().filter(|dir| is_older(Extent::of([dir]).modified_ms, month, now_ms));
        plan.add_folders(unused.chain(left).collect());
        Ok(())
    }
}

impl CollectionPlan {
    /// Adds whole folders: of files that were laid out, and of jobs.
    pub(super) fn add_folders(&mut self, folders: Vec<PathBuf>) {
        self.report.leftovers += folders.len() as u64;
        self.report.bytes_freed += folders.iter().map(|dir| links::size_bytes(dir)).sum::<u64>();
        self.folders = folders;
    }
}

/// Lists the folders of jobs.
pub(super) fn jobs(layout: &Layout) -> Result<Vec<PathBuf>, StoreError> {
    let names = disk::list_if(&layout.jobs(), FileType::is_dir, names::is_job)?;
    Ok(names.into_iter().map(|name| layout.jobs().join(name)).collect())
}

/// Sums up the lengths of objects.
fn sum_of(objects: &[ObjectFile]) -> u64 {
    objects.iter().map(|object| object.size_bytes).sum()
}

/// Lists the files of a folder with such names; links and FIFOs count as files.
pub(super) fn files(dir: &Path, is_ours: fn(&str) -> bool) -> Result<impl Iterator<Item = PathBuf>, StoreError> {
    let names = disk::list_if(dir, |kind| !kind.is_dir(), is_ours)?;
    Ok(names.into_iter().map(|name| dir.join(name)))
}

/// Length of some files, and the time of the last change; a missing file counts as empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    pub(super) size_bytes: u64,
    /// Milliseconds since 1970.
    modified_ms: u64,
}

impl Extent {
    pub(super) fn of<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Self {
        let mut extent = Self::default();
        for metadata in paths.into_iter().filter_map(|path| path.symlink_metadata().ok()) {
            extent.size_bytes += metadata.len();
            extent.modified_ms = metadata.modified().map_or(0, clock::ms_of).max(extent.modified_ms);
        }
        extent
    }
}

/// Logs by value, decided on between the results.
struct RankedLogs<'a> {
    /// Undecided logs, the most valuable last, with their indices in the given list.
    left: Vec<(usize, LogUse)>,
    /// True once a log did not fit: older logs do not stay in its place. Results do, as they are worth more.
    full: bool,
    policy: &'a GcPolicy,
    now_ms: u64,
}

impl<'a> RankedLogs<'a> {
    fn new(logs: &[LogUse], policy: &'a GcPolicy, now_ms: u64) -> Self {
        let mut left: Vec<_> = logs.iter().copied().enumerate().collect();
        // Of logs with equal times, the first in the list is worth the most.
        left.sort_by_key(|(number, log)| ((log.protected, log.began_ms), Reverse(*number)));
        Self { left, full: false, policy, now_ms }
    }

    /// Decides on the logs that are worth more than a result with this protection and time of last use; without a
    /// result, on the rest.
    fn pass(&mut self, result: Option<(bool, u64)>, results_full: bool, report: &mut GcReport) {
        self.full |= results_full;
        let is_worth_more = |log: &LogUse| result.is_none_or(|worth| (log.protected, log.began_ms) > worth);
        while let Some((number, log)) = self.left.pop_if(|(_, log)| is_worth_more(log)) {
            self.full |= report.exceeds(self.policy, log.size_bytes) && !log.protected;
            if !log.protected && (self.full || is_older(log.written_ms, self.policy.max_age, self.now_ms)) {
                report.logs.push(number);
                report.log_bytes_freed += log.size_bytes;
                continue;
            }
            report.keep(log.size_bytes, log.protected);
        }
    }
}

fn is_older(time_ms: u64, max_age: Option<Duration>, now_ms: u64) -> bool {
    max_age.is_some_and(|max| Duration::from_millis(now_ms.saturating_sub(time_ms)) > max)
}
