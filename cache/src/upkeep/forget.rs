//! Forgetting: removes results whatever the limits and pins are, and every trace of them.
//!
//! Unlike a collection it leaves no lineage, rewrites every pack with dead bytes, and empties the quarantine and the
//! stat cache. Nobody else may have the store open: a process may hold bytes in memory and write them again.
//!
//! **Crashes.** First the list of all that is to go is made durable, in the sealed JSON file `forgetting`; it is
//! removed last. In between, everything on it is removed in the order of a collection, so a kill leaves no result
//! without its bytes. The next forgetting, of whatever, adds what it finds in that file to its own list.
//!
//! **Bytes.** A file is removed as the filesystem removes files. Copies elsewhere (backups, snapshots, blocks that a
//! disk has not yet overwritten) are beyond the store.

use std::collections::{BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::disk;
use crate::files::frame::{sealed, unsealed};
use crate::format::checkpoint::{self, Checkpoints};
use crate::format::names;
use crate::lock::session;
use crate::store::Store;
use crate::store::{catalog, links};
use crate::upkeep::collection_plan::{CollectionPlan, Extent, Protection, files, jobs};
use crate::upkeep::compact::{self, Kept};
use crate::upkeep::gc::Alone;
use crate::upkeep::gc_report::GcReport;
use crate::upkeep::retention::rank;
use crate::upkeep::strays;
use crate::value::artifact::ActionKey;

/// A longer list is none: it would have ten million keys.
const BYTES_MAX: u64 = 1 << 30;

/// All that is to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgetting {
    /// Keys of recorded and of collected results.
    pub keys: BTreeSet<ActionKey>,
    /// Further keys that lose their checkpoints.
    pub checkpoints: BTreeSet<ActionKey>,
    /// Runs that lose their logs, by name; the caller removes them.
    pub runs: BTreeSet<String>,
    /// Commands that make the results again; the store only keeps them until all is done.
    pub again: BTreeSet<String>,
}

/// The outcome of a forgetting.
#[derive(Clone, Debug)]
pub struct Forgotten {
    /// The removed results and files; logs are not counted.
    pub report: GcReport,
    /// All that was forgotten, with the rest of an interrupted forgetting.
    pub what: Forgetting,
}

impl Forgetting {
    fn add(&mut self, other: &Self) {
        self.keys.extend(&other.keys);
        self.checkpoints.extend(&other.checkpoints);
        self.runs.extend(other.runs.iter().cloned());
        self.again.extend(other.again.iter().cloned());
    }
}

/// Returns the damage of the list's bytes, if there is any.
pub(crate) fn problem(bytes: &[u8]) -> Option<String> {
    unsealed::<Forgetting>(bytes).err()
}

impl Store {
    /// Returns what an interrupted forgetting has yet to remove.
    pub fn interrupted_forgetting(&self) -> Result<Option<Forgetting>, StoreError> {
        let path = self.layout.forgetting();
        match disk::read(&path, BYTES_MAX) {
            Ok(bytes) => unsealed(&bytes).map(Some).map_err(|reason| StoreError::Forgetting { path, reason }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::Forgetting { path, reason: error.to_string() }),
        }
    }

    /// Lists the keys with checkpoints, sorted.
    pub fn checkpointed(&self) -> Result<Vec<ActionKey>, StoreError> {
        checkpoint::keys(&self.layout)
    }

    /// Returns what a forgetting would remove, and changes nothing.
    pub fn plan_forgetting(&self, what: &Forgetting) -> Result<GcReport, StoreError> {
        self.refresh()?;
        self.read_whole()?;
        Ok(self.forget_plan(what)?.report)
    }

    /// Removes results with all that they leave, and finishes an interrupted forgetting; `remove_logs` removes the logs
    /// of the runs.
    ///
    /// Errors: another process has the store open, or collects garbage; a pin cannot be read; a pack has records of a
    /// later version. Then nothing was changed.
    pub fn forget(
        &self,
        what: &Forgetting,
        remove_logs: impl FnOnce(&Forgetting) -> Result<(), StoreError>,
    ) -> Result<Forgotten, StoreError> {
        let session = self.session()?;
        let Some(_lease) = self.collection_lease()? else {
            return Err(StoreError::GcRunning { dir: self.layout.dir.clone() });
        };
        self.commit()?;
        let _alone = Alone::try_take(self)?.or_in_use()?;
        self.refresh()?;
        self.read_whole()?;
        self.forget_objects();
        self.pins()?;
        let mut what = what.clone();
        if let Some(earlier) = self.interrupted_forgetting()? {
            what.add(&earlier);
        }
        let plan = self.forget_plan(&what)?;
        disk::replace(&self.layout.forgetting(), (sealed(&what) + "\n").as_bytes(), true)?;
        // Scratch folders of killed runs may hold outputs.
        session::sweep(&self.layout.tmp(), session)?;
        self.remove_planned(&plan)?;
        let keys: HashSet<_> = what.keys.iter().copied().collect();
        self.drop_lineage(&keys)?;
        self.drop_pinned(&keys)?;
        // Its paths may name people; the next run reads all external files once more.
        disk::remove_file(&self.layout.stat_cache())?;
        for path in files(&self.layout.stat_caches(), names::is_digest)? {
            disk::remove_file(&path)?;
        }
        remove_logs(&what)?;
        self.sync_removals(&plan)?;
        disk::remove_file(&self.layout.forgetting())?;
        Ok(Forgotten { report: plan.report, what })
    }

    /// Plans the removal of results, and of all dead bytes; readers of a result come before it.
    fn forget_plan(&self, what: &Forgetting) -> Result<CollectionPlan, StoreError> {
        self.index().check_readable()?;
        let (mut report, mut kept) = (GcReport::default(), Kept::default());
        let ranked = rank(self.uses(&Protection::default()));
        let (going, staying): (Vec<_>, Vec<_>) = ranked.into_iter().partition(|one| what.keys.contains(&one.key));
        for one in staying {
            report.keep(self.bytes_without(&one, &kept), false);
            kept.add(&self.index(), &one.key, &one.outputs);
        }
        self.count_going(going, &kept, &mut report);

        let objects = catalog::objects(&self.layout)?.into_iter();
        let objects: Vec<_> = objects.filter(|object| !kept.blobs.contains(&object.digest)).collect();
        let mut packs = HashSet::new();
        for pack in compact::pack_uses(&self.index(), &kept)? {
            if pack.foreign {
                return Err(StoreError::ForeignRecords { path: self.layout.pack(&pack.id) });
            }
            if pack.has_dead_bytes() {
                report.bytes_freed += pack.dead_bytes;
                packs.insert(pack.id);
            }
        }
        let mut checkpoints = checkpoint::keys(&self.layout)?;
        checkpoints.retain(|key| what.keys.contains(key) || what.checkpoints.contains(key));
        // Corrupt bytes are kept there, whosever they are.
        let quarantine = self.layout.quarantine();
        let mut paths: Vec<_> = files(&quarantine, names::is_quarantined)?.collect();
        paths.extend(strays::unfinished(&self.layout)?);

        (report.objects, report.packs) = (objects.len() as u64, packs.len() as u64);
        (report.checkpoints, report.leftovers) = (checkpoints.len() as u64, paths.len() as u64);
        report.bytes_freed +=
            objects.iter().map(|object| object.size_bytes).sum::<u64>() + Extent::of(&paths).size_bytes;
        for key in &checkpoints {
            let files = Checkpoints::new(&self.layout.checkpoint(key), *key).all_files()?;
            report.bytes_freed += Extent::of(&files).size_bytes;
        }
        let mut plan = CollectionPlan { report, kept, objects, packs, checkpoints, paths, folders: Vec::new() };
        // Tasks of jobs name data files.
        plan.add_folders([links::folders(&self.layout)?, jobs(&self.layout)?].concat());
        Ok(plan)
    }

    /// Makes removals durable before the list of them goes.
    fn sync_removals(&self, plan: &CollectionPlan) -> Result<(), StoreError> {
        let objects = plan.objects.iter().map(|object| self.layout.object(&object.digest));
        let mut folders: BTreeSet<_> =
            objects.chain(plan.paths.iter().cloned()).filter_map(|path| path.parent().map(Path::to_owned)).collect();
        let layout = &self.layout;
        folders.extend([layout.checkpoints(), layout.tmp(), layout.runs(), layout.links(), layout.jobs()]);
        folders.insert(layout.dir.clone());
        folders.iter().filter(|dir| dir.is_dir()).try_for_each(|dir| disk::sync_dir(dir))
    }
}
