//! Repair: mends every problem of `verify`, or puts it out of use; the next run makes lost results again.
//!
//! Nobody else may have the store open. Everything that is changed or removed is kept in `quarantine/`, except results
//! that lack bytes: the report names them. The report also names what cannot be mended, such as a file that this user
//! may not read or a file of somebody else in a sticky folder; all else is mended.
//!
//! Files of other users can be mended by whoever may write to the folders of the store, as damaged files are never
//! changed in place, but for torn ends of packs.

use std::collections::HashSet;
use std::path::Path;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::{Access, Layout};
use crate::format::names;
use crate::format::pack::Pack;
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
    /// Damage that is left, a sentence each.
    pub failed: Vec<String>,
}

impl RepairReport {
    /// Notes a change, or its failure.
    fn note(&mut self, mended: Result<String, StoreError>) {
        match mended {
            Ok(done) => self.done.push(done),
            Err(error) => self.failed.push(error.to_string()),
        }
    }
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
        store.set_irregular_packs_aside(&mut report)?;
        store.drop_incomplete(&mut report)?;
        store.mend_packs(&mut report)?;
        for finding in side_files::findings(&store.layout)? {
            report.note(finding.mend(&store.layout));
        }
        store.write_lengths()?;
        for path in strays::unfinished(&store.layout)? {
            let removed = disk::remove_file(&path);
            report.note(removed.map(|()| format!("removed {}, which was never finished", path.display())));
        }
        Ok(report)
    }

    /// Moves links, folders and the like that have the name of a pack to quarantine.
    fn set_irregular_packs_aside(&self, report: &mut RepairReport) -> Result<(), StoreError> {
        for (name, kind) in disk::entries(&self.layout.packs())? {
            let Some(name) = name.to_str().filter(|name| names::pack_id(name).is_some() && !kind.is_file()) else {
                continue;
            };
            let (path, kept) = (self.layout.packs().join(name), self.layout.quarantine().join(name));
            let moved = disk::rename(&path, &kept);
            report.note(moved.map(|()| format!("moved {} to {}, as it is no file", path.display(), kept.display())));
        }
        self.reload()
    }

    /// Puts incomplete results out of use. None is dropped if a pack cannot be read: it may have the rest.
    fn drop_incomplete(&self, report: &mut RepairReport) -> Result<(), StoreError> {
        let denied: Vec<_> = self.index().unreadable().map(|(_, reason)| reason.to_owned()).collect();
        if !denied.is_empty() {
            report.failed.extend(denied);
            return Ok(());
        }
        let mut keys: Vec<_> = self.index().all(Kind::Result).map(|(key, _)| ActionKey(key)).collect();
        keys.sort_unstable();
        for key in keys {
            // A key may have several results, one for each signer or host: each is looked at once it is the used one.
            loop {
                let recorded = self.recorded(&key);
                if recorded.is_some() && self.hit(&key).is_some() {
                    break;
                }
                // A result with a corrupt record is out of use by now.
                let Some(location) = self.index().location(Kind::Result, &key.0) else { break };
                let node = recorded.map_or_else(|| format!("key {}", key.0), |result| result.node);
                report.dropped.push(node);
                self.bury(Kind::Result, &key.0, &location);
            }
        }
        self.commit()
    }

    /// Rewrites damaged packs, and cuts torn tails.
    fn mend_packs(&self, report: &mut RepairReport) -> Result<(), StoreError> {
        let kept = Kept::all(&self.index());
        let uses = compact::pack_uses(&self.index(), &kept)?;
        let mut damaged = HashSet::new();
        for pack in uses.iter().filter(|pack| pack.damaged && !pack.foreign) {
            let (id, path) = (&pack.id, self.layout.pack(&pack.id));
            let copy = self.layout.quarantine().join(format!("{id}.pack"));
            let bytes = disk::read(&path, u64::MAX).map_err(StoreError::io("read", path));
            let copied = bytes.and_then(|bytes| disk::replace(&copy, &bytes, true));
            if copied.is_ok() {
                damaged.insert(id.clone());
            }
            report.note(copied.map(|()| {
                format!("wrote the pack {id} anew without its damaged records (kept as {})", copy.display())
            }));
        }
        if !damaged.is_empty() {
            compact::rewrite(self, &damaged, &kept)?;
        }
        self.writer.release();
        for id in self.layout.pack_ids()? {
            match self.mend_end(&id) {
                Ok(None) => {}
                Ok(Some(done)) => report.done.push(done),
                Err(error) => report.failed.push(error.to_string()),
            }
        }
        disk::sync_dir(&self.layout.packs())
    }

    /// Cuts the torn end of a pack, and makes the rest durable.
    fn mend_end(&self, id: &str) -> Result<Option<String>, StoreError> {
        let path = self.layout.pack(id);
        let mut index = self.index_mut();
        let number = index.read_pack(&self.layout, id)?;
        let Pack { end, unreadable, .. } = &index.packs[number];
        if unreadable.is_some() {
            // It was named before.
            return Ok(None);
        }
        let (end, file) = (*end, disk::open_to_write(&path)?);
        let kept = cut_tail(&self.layout, id, &file, end)?;
        disk::sync(&file, &path)?;
        index.packs[number].durable = end;
        Ok(kept.map(|kept| format!("cut the torn end of the pack {id} (kept as {})", kept.display())))
    }

    /// Writes the lengths of packs; those of packs that cannot be read stay.
    fn write_lengths(&self) -> Result<(), StoreError> {
        let known = pack_lengths::read(&self.layout).unwrap_or_default();
        let index = self.index();
        let mut lengths = index.durable_lengths();
        for (pack, _) in index.unreadable() {
            lengths.insert(pack.id.clone(), known.get(&pack.id).copied().unwrap_or_default());
        }
        pack_lengths::write(&self.layout, &lengths)
    }
}
