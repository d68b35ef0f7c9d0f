//! Mends a store: what `verify` names is put right or out of use, so that the next run makes again what is lost, and only that.
//!
//! Nobody else may have the store open meanwhile. All that is changed or removed is kept in `quarantine/`, but for results that
//! lack bytes: they are forgotten, and what they were stands in the report.

use std::collections::HashSet;
use std::path::Path;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::Access;
use crate::format::layout::Layout;
use crate::format::names;
use crate::format::record::Kind;
use crate::lock::session;
use crate::records::ends;
use crate::records::index::pack_ids;
use crate::records::writer::cut_tail;
use crate::store::Store;
use crate::upkeep::collect::Kept;
use crate::upkeep::compact;
use crate::upkeep::gc::Alone;
use crate::upkeep::small;
use crate::upkeep::verify::Problem;
use crate::value::artifact::ActionKey;

/// What was found and what was done about it.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// Everything that was corrupt, missing or torn.
    pub problems: Vec<Problem>,
    /// Nodes whose results were dropped because bytes of them are lost; the next run that needs them makes them again.
    pub dropped: Vec<String>,
    /// What was done, a sentence each, without the dropped results.
    pub done: Vec<String>,
}

impl Store {
    /// Mends the store in a folder.
    ///
    /// Errors: another process has it open; it has a newer format; the disk refuses. Nothing is changed in the first two cases.
    pub fn repair(dir: &Path) -> Result<RepairReport, StoreError> {
        let format = Layout::mend_format(dir)?;
        let store = Self::open(dir, Access::ReadWrite)?;
        let alone = Alone::try_take(&store)?;
        if !alone.0 {
            return Err(StoreError::InUse { dir: store.layout.dir.clone() });
        }
        let mut report = RepairReport { done: format.into_iter().collect(), ..RepairReport::default() };
        session::sweep(&store.layout.tmp(), Some(store.session()?))?;
        let found = store.verify()?;
        report.problems.extend(found.problems);
        report.problems.extend(found.torn);
        store.drop_incomplete(&mut report)?;
        store.mend_packs(&mut report)?;
        for finding in small::findings(&store.layout)? {
            report.done.push(finding.mend(&store.layout)?);
        }
        ends::write(&store.layout, &ends::of(&store.index()))?;
        store.sweep_unfinished(&mut report)?;
        Ok(report)
    }

    /// Takes results out of use that lack bytes.
    fn drop_incomplete(&self, report: &mut RepairReport) -> Result<(), StoreError> {
        let mut keys: Vec<_> = self.index().all(Kind::Result).map(|(key, _)| ActionKey(key)).collect();
        keys.sort_unstable();
        for key in keys {
            let recorded = self.recorded(&key);
            if recorded.is_some() && self.hit(&key).is_some() {
                continue;
            }
            // One whose record was corrupt is out of use by now.
            let Some(place) = self.index().place(Kind::Result, &key.0) else { continue };
            let node = recorded.map_or_else(|| format!("key {}", key.0), |result| result.node);
            report.dropped.push(node);
            self.forget(Kind::Result, &key.0, &place);
        }
        self.commit()
    }

    /// Writes damaged packs anew, and cuts torn ends.
    fn mend_packs(&self, report: &mut RepairReport) -> Result<(), StoreError> {
        let kept = self.all_kept();
        let uses = compact::pack_uses(&self.index(), &kept)?;
        let damaged = uses.iter().filter(|pack| pack.damaged && !pack.foreign);
        let damaged: HashSet<String> = damaged.map(|pack| pack.id.clone()).collect();
        for id in &damaged {
            let copy = self.layout.quarantine().join(format!("{id}.pack"));
            let bytes =
                disk::read(&self.layout.pack(id), u64::MAX).map_err(StoreError::io("read", self.layout.pack(id)))?;
            disk::replace(&copy, &bytes, true)?;
            report.done.push(format!("wrote the pack {id} anew without what is damaged (kept as {})", copy.display()));
        }
        if !damaged.is_empty() {
            compact::rewrite(self, &damaged, &kept)?;
        }
        self.writer.release();
        for id in pack_ids(&self.layout)? {
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

    /// All results, and the artifacts and blobs that they need.
    fn all_kept(&self) -> Kept {
        let index = self.index();
        let mut kept = Kept::default();
        for (key, _) in index.all(Kind::Result) {
            kept.results.insert(key);
            for (_, output) in index.hit(&ActionKey(key)).map(|hit| hit.outputs).unwrap_or_default() {
                kept.artifacts.insert(output.0);
                let files = index.artifact(&output).unwrap_or_default().files;
                kept.blobs.extend(files.into_iter().map(|file| file.digest));
            }
        }
        kept
    }

    /// Removes what killed processes left beside files that they were about to replace.
    fn sweep_unfinished(&self, report: &mut RepairReport) -> Result<(), StoreError> {
        for path in names::unfinished(&self.layout)? {
            disk::remove_file(&path)?;
            report.done.push(format!("removed {}, which was never finished", path.display()));
        }
        Ok(())
    }
}
