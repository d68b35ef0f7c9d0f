//! Repair: mends every problem of `verify`, or puts it out of use; the next run makes lost results again.
//!
//! Nobody else may have the store open. Everything that is changed or removed is kept in `quarantine/`, except results
//! that lack bytes: the report names them.

use std::collections::HashSet;
use std::path::Path;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::{Access, Layout};
use crate::format::record::Kind;
use crate::lock::session;
use crate::records::pack_lengths;
use crate::records::writer::cut_tail;
use crate::store::Store;
use crate::upkeep::compact::{self, Kept};
use crate::upkeep::gc::Alone;
use crate::upkeep::problem::Problem;
use crate::upkeep::{side_files, strays};
use crate::value::artifact::ActionKey;

/// Outcome of a repair.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// Everything that was corrupt, missing or torn.
    pub problems: Vec<Problem>,
    /// Nodes with dropped results, because of lost bytes; the next run makes them again.
    pub dropped: Vec<String>,
    /// Other changes, a sentence each.
    pub done: Vec<String>,
}

impl Store {
    /// Repairs the store in a folder.
    ///
    /// Errors: another process has it open; it has a newer format; the disk refuses. The first two change nothing.
    pub fn repair(dir: &Path) -> Result<RepairReport, StoreError> {
        let format = Layout::mend_format(dir)?;
        let store = Self::open(dir, Access::ReadWrite)?;
        let _lease = store.collection_lease()?.ok_or_else(|| store.in_use())?;
        let _alone = Alone::try_take(&store)?.or_in_use()?;
        let mut report = RepairReport { done: format.into_iter().collect(), ..RepairReport::default() };
        session::sweep(&store.layout.tmp(), store.session()?)?;
        let found = store.verify()?;
        report.problems.extend(found.problems);
        report.problems.extend(found.torn);
        store.drop_incomplete(&mut report)?;
        store.mend_packs(&mut report)?;
        for finding in side_files::findings(&store.layout)? {
            report.done.push(finding.mend(&store.layout)?);
        }
        pack_lengths::write(&store.layout, &store.index().durable_lengths())?;
        for path in strays::unfinished(&store.layout)? {
            disk::remove_file(&path)?;
            report.done.push(format!("removed {}, which was never finished", path.display()));
        }
        Ok(report)
    }

    /// Puts incomplete results out of use.
    fn drop_incomplete(&self, report: &mut RepairReport) -> Result<(), StoreError> {
        let mut keys: Vec<_> = self.index().all(Kind::Result).map(|(key, _)| ActionKey(key)).collect();
        keys.sort_unstable();
        for key in keys {
            let recorded = self.recorded(&key);
            if recorded.is_some() && self.hit(&key).is_some() {
                continue;
            }
            // A result with a corrupt record is out of use by now.
            let Some(location) = self.index().location(Kind::Result, &key.0) else { continue };
            let node = recorded.map_or_else(|| format!("key {}", key.0), |result| result.node);
            report.dropped.push(node);
            self.bury(Kind::Result, &key.0, &location);
        }
        self.commit()
    }

    /// Rewrites damaged packs, and cuts torn tails.
    fn mend_packs(&self, report: &mut RepairReport) -> Result<(), StoreError> {
        let kept = Kept::all(&self.index());
        let uses = compact::pack_uses(&self.index(), &kept)?;
        let damaged = uses.iter().filter(|pack| pack.damaged && !pack.foreign);
        let damaged: HashSet<String> = damaged.map(|pack| pack.id.clone()).collect();
        for id in &damaged {
            let (path, copy) = (self.layout.pack(id), self.layout.quarantine().join(format!("{id}.pack")));
            let bytes = disk::read(&path, u64::MAX).map_err(StoreError::io("read", path))?;
            disk::replace(&copy, &bytes, true)?;
            report
                .done
                .push(format!("wrote the pack {id} anew without its damaged records (kept as {})", copy.display()));
        }
        if !damaged.is_empty() {
            compact::rewrite(self, &damaged, &kept)?;
        }
        self.writer.release();
        for id in self.layout.pack_ids()? {
            let path = self.layout.pack(&id);
            let file = disk::open_to_write(&path)?;
            let mut index = self.index_mut();
            let number = index.read_pack(&self.layout, &id)?;
            let end = index.packs[number].end;
            if let Some(kept) = cut_tail(&self.layout, &id, &file, end)? {
                report.done.push(format!("cut the torn end of the pack {id} (kept as {})", kept.display()));
            }
            disk::sync(&file, &path)?;
            index.packs[number].durable = end;
        }
        disk::sync_dir(&self.layout.packs())
    }
}
