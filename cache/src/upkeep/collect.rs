//! Plans a garbage collection: which results and logs go under the limits, which bytes are then needed by nobody.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::StoreError;
use crate::files::clock;
use crate::files::disk;
use crate::format::checkpoint::{self, Checkpoints};
use crate::format::names;
use crate::format::record::{Hit, Kind};
use crate::store::Store;
use crate::store::catalog::{self, ObjectFile};
use crate::store::last_use::prefix;
use crate::upkeep::compact::{self, PackUse};
use crate::upkeep::gc::{Collected, GcPolicy, GcReport, LogUse};
use crate::upkeep::pin::Pin;
use crate::upkeep::retention::{Use, rank};
use crate::value::artifact::{ActionKey, OutputDigest};
use crate::value::digest::Digest;

/// What a collection will do; a dry run ends here.
pub(crate) struct Plan {
    pub(crate) report: GcReport,
    /// Keys of results that stay, and digests of artifacts and blobs that they need.
    pub(crate) kept: Kept,
    pub(crate) objects: Vec<ObjectFile>,
    pub(crate) packs: HashSet<String>,
    /// Keys whose checkpoints go.
    pub(crate) checkpoints: Vec<ActionKey>,
    /// Files that go.
    pub(crate) paths: Vec<PathBuf>,
}

/// What stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) results: HashSet<Digest>,
    pub(crate) artifacts: HashSet<Digest>,
    pub(crate) blobs: HashSet<Digest>,
}

/// What stays whatever the limits.
#[derive(Debug, Default)]
pub(crate) struct Protection {
    pinned: HashSet<ActionKey>,
    /// Beginnings of the keys that live sessions noted.
    pub(crate) noted: HashSet<u64>,
    /// What was used, recorded or stored since, in milliseconds since 1970.
    since_ms: Option<u64>,
}

impl Protection {
    pub(crate) fn of_pins(pins: &[Pin]) -> Self {
        let pinned = pins.iter().flat_map(|pin| pin.keys.iter().copied()).collect();
        Self { pinned, ..Self::default() }
    }

    /// Protects what was used since this time too.
    pub(crate) fn since(&mut self, time_ms: u64) {
        self.since_ms = Some(self.since_ms.map_or(time_ms, |since| since.min(time_ms)));
    }

    fn covers(&self, key: &ActionKey, last_used_ms: u64) -> bool {
        let is_young = self.since_ms.is_some_and(|since| last_used_ms >= since);
        is_young || self.pinned.contains(key) || self.noted.contains(&prefix(key))
    }
}

impl Store {
    /// What a collection would do; changes nothing.
    pub(crate) fn plan_gc(
        &self,
        policy: &GcPolicy,
        logs: &[LogUse],
        now_ms: u64,
        in_use: bool,
        protection: &Protection,
    ) -> Result<Plan, StoreError> {
        let mut report = GcReport { in_use, ..GcReport::default() };
        let mut kept = Kept::default();
        let mut full = false;
        let mut logs = RankedLogs::new(logs, policy, now_ms, protection);
        let (uses, mut names) = self.uses(protection);
        let mut going = Vec::new();
        for one in rank(uses) {
            logs.pass(Some((one.protected, one.last_used_ms)), full, &mut report);
            let size = report.bytes_kept + self.bytes_without(&one, &kept);
            full |= policy.max_size_bytes.is_some_and(|max| size > max) && !one.protected;
            if !one.protected && (full || is_older(one.last_used_ms, policy.max_age, now_ms)) {
                going.push(one);
                continue;
            }
            report.bytes_kept = size;
            if one.protected {
                report.bytes_protected = size;
            }
            self.keep(&one, &mut kept);
        }
        logs.pass(None, full, &mut report);
        let mut counted = kept.clone();
        for one in going.into_iter().rev() {
            let size_bytes = self.bytes_without(&one, &counted);
            self.keep(&one, &mut counted);
            report.recompute_ms += one.elapsed_ms;
            let unknown = || ("unknown".to_owned(), "unknown".to_owned());
            let (node, kind) = names.remove(&one.key).unwrap_or_else(unknown);
            let Use { key, last_used_ms, elapsed_ms, .. } = one;
            report.collected.push(Collected { key, node, kind, last_used_ms, size_bytes, elapsed_ms });
        }

        let unneeded = |object: &ObjectFile| {
            !kept.blobs.contains(&object.digest) && protection.since_ms.is_none_or(|since| object.modified_ms < since)
        };
        let objects: Vec<_> = catalog::objects(&self.layout)?.into_iter().filter(unneeded).collect();
        report.objects = objects.len() as u64;
        report.bytes_freed = report.log_bytes_freed + objects.iter().map(|object| object.size_bytes).sum::<u64>();

        let mut packs = HashSet::new();
        if !report.in_use {
            for pack in compact::pack_uses(&self.index(), &kept)? {
                let PackUse { id, dead_bytes, .. } = &pack;
                if pack.is_worth_rewriting() || (policy.max_size_bytes.is_some() && *dead_bytes > 0) {
                    report.bytes_freed += dead_bytes;
                    packs.insert(id.clone());
                }
            }
        }
        report.packs = packs.len() as u64;
        let mut plan = Plan { report, kept, objects, packs, checkpoints: Vec::new(), paths: Vec::new() };
        self.plan_checkpoints(policy, now_ms, &mut plan)?;
        self.plan_leftovers(policy, now_ms, &mut plan)?;
        Ok(plan)
    }

    /// All results, and by key the names of their nodes and kinds.
    fn uses(&self, protection: &Protection) -> (Vec<Use>, HashMap<ActionKey, (String, String)>) {
        let last_use = self.last_use();
        let mut inputs: HashMap<ActionKey, Vec<OutputDigest>> = HashMap::new();
        let mut names = HashMap::new();
        for (key, result, _) in self.results() {
            inputs.entry(key).or_default().extend(result.inputs());
            names.insert(key, (result.node, result.kind));
        }
        let index = self.index();
        let keys = index.all(Kind::Result).map(|(key, _)| ActionKey(key));
        let uses = keys.filter_map(|key| {
            let Hit { outputs, elapsed_ms, recorded_ms } = index.hit(&key)?;
            let last_used_ms = last_use.of_key(&key).unwrap_or_default().max(recorded_ms);
            let outputs = outputs.into_iter().map(|(_, output)| output).collect();
            let inputs = inputs.remove(&key).unwrap_or_default();
            let protected = protection.covers(&key, last_used_ms);
            Some(Use { key, outputs, inputs, elapsed_ms, last_used_ms, protected })
        });
        (uses.collect(), names)
    }

    /// How much of a result is not kept yet.
    fn bytes_without(&self, one: &Use, kept: &Kept) -> u64 {
        let index = self.index();
        let mut seen = HashSet::new();
        let mut size = index.place(Kind::Result, &one.key.0).map_or(0, |place| index.record_bytes(&place));
        for output in one.outputs.iter().filter(|output| !kept.artifacts.contains(&output.0)) {
            size += index.place(Kind::Artifact, &output.0).map_or(0, |place| index.record_bytes(&place));
            for file in index.artifact(output).unwrap_or_default().files {
                if !kept.blobs.contains(&file.digest) && seen.insert(file.digest) {
                    let in_pack = index.place(Kind::Blob, &file.digest).map(|place| index.record_bytes(&place));
                    size += in_pack.unwrap_or(file.size_bytes);
                }
            }
        }
        size
    }

    fn keep(&self, one: &Use, kept: &mut Kept) {
        kept.results.insert(one.key.0);
        for output in &one.outputs {
            kept.artifacts.insert(output.0);
            let artifact = self.index().artifact(output).unwrap_or_default();
            kept.blobs.extend(artifact.files.iter().map(|file| file.digest));
        }
    }

    fn plan_checkpoints(&self, policy: &GcPolicy, now_ms: u64, plan: &mut Plan) -> Result<(), StoreError> {
        for key in checkpoint::keys(&self.layout)? {
            let files = Checkpoints::new(&self.layout.checkpoint(&key), key).all_files()?;
            let extent = Extent::of(&files);
            let old = is_older(extent.modified_ms, policy.max_age, now_ms);
            // Whoever works on the key just now holds its lease.
            let has_result = self.index().place(Kind::Result, &key.0).is_some();
            if !files.is_empty() && (has_result || old) && self.try_lease(&key)?.is_some() {
                plan.report.checkpoints += 1;
                plan.report.bytes_freed += extent.size_bytes;
                plan.checkpoints.push(key);
            }
        }
        Ok(())
    }

    fn plan_leftovers(&self, policy: &GcPolicy, now_ms: u64, plan: &mut Plan) -> Result<(), StoreError> {
        // A claim lives minutes without its holder, and a file that is being written seconds.
        let day = Some(Duration::from_secs(24 * 60 * 60));
        let (quarantine, claims) = (self.layout.quarantine(), self.layout.claims());
        let quarantined = files(&quarantine, names::is_quarantined)?.map(|path| (path, policy.max_age));
        let claims = files(&claims, names::is_digest)?.map(|path| (path, day));
        let unfinished = names::unfinished(&self.layout)?.into_iter().map(|path| (path, day));
        for (path, max_age) in quarantined.chain(claims).chain(unfinished) {
            let extent = Extent::of([&path]);
            if is_older(extent.modified_ms, max_age, now_ms) {
                plan.report.leftovers += 1;
                plan.report.bytes_freed += extent.size_bytes;
                plan.paths.push(path);
            }
        }
        Ok(())
    }
}

/// Lists the entries of a folder that have such names and are no folders.
fn files(dir: &Path, is_ours: fn(&str) -> bool) -> Result<impl Iterator<Item = PathBuf>, StoreError> {
    let dir = dir.to_owned();
    let is_ours = move |(name, kind): &(OsString, FileType)| !kind.is_dir() && name.to_str().is_some_and(is_ours);
    Ok(disk::entries(&dir)?.into_iter().filter(is_ours).map(move |(name, _)| dir.join(name)))
}

/// How much files hold, and when the last of them changed; one that is gone counts as empty.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    size_bytes: u64,
    /// Milliseconds since 1970.
    modified_ms: u64,
}

impl Extent {
    fn of<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Self {
        let mut extent = Self::default();
        for metadata in paths.into_iter().filter_map(|path| path.symlink_metadata().ok()) {
            extent.size_bytes += metadata.len();
            extent.modified_ms = metadata.modified().map_or(0, clock::ms_of).max(extent.modified_ms);
        }
        extent
    }
}

/// Logs in the order of what they are worth, taken up between the results as that goes on.
struct RankedLogs<'a> {
    /// Those that are worth the most last, with their places in the list that was given.
    left: Vec<(usize, LogUse)>,
    /// Whether one did not fit: older ones do not stay in its place. Results do, as they are worth more.
    full: bool,
    policy: &'a GcPolicy,
    now_ms: u64,
}

impl<'a> RankedLogs<'a> {
    fn new(logs: &[LogUse], policy: &'a GcPolicy, now_ms: u64, protection: &Protection) -> Self {
        let protect = |log: &LogUse| {
            let is_young = protection.since_ms.is_some_and(|since| log.written_ms >= since);
            LogUse { protected: log.protected || is_young, ..*log }
        };
        let mut left: Vec<_> = logs.iter().map(protect).enumerate().collect();
        // Of those of one time the first in the list is worth the most.
        left.sort_by_key(|(number, log)| ((log.protected, log.began_ms), Reverse(*number)));
        Self { left, full: false, policy, now_ms }
    }

    /// Decides on those that are worth more than a result with this protection and time of last use; on all after the last one.
    fn pass(&mut self, result: Option<(bool, u64)>, results_full: bool, report: &mut GcReport) {
        self.full |= results_full;
        let is_worth_more = |log: &LogUse| result.is_none_or(|worth| (log.protected, log.began_ms) > worth);
        while let Some((number, log)) = self.left.pop_if(|(_, log)| is_worth_more(log)) {
            let size = report.bytes_kept + log.size_bytes;
            self.full |= self.policy.max_size_bytes.is_some_and(|max| size > max) && !log.protected;
            if !log.protected && (self.full || is_older(log.written_ms, self.policy.max_age, self.now_ms)) {
                report.logs.push(number);
                report.log_bytes_freed += log.size_bytes;
                continue;
            }
            report.bytes_kept = size;
            if log.protected {
                report.bytes_protected = size;
            }
        }
    }
}

fn is_older(time_ms: u64, max_age: Option<Duration>, now_ms: u64) -> bool {
    max_age.is_some_and(|max| Duration::from_millis(now_ms.saturating_sub(time_ms)) > max)
}
