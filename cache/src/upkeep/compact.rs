//! Writing packs anew without what nobody needs.

use std::collections::HashSet;
use std::fs;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::pack::{GROUP_HEADER_LEN, Record};
use crate::format::record::{Draft, Kind};
use crate::records::ends;
use crate::records::index::Index;
use crate::store::Store;
use crate::upkeep::collect::Kept;

/// How much of a pack is needed.
#[derive(Debug)]
pub(crate) struct PackUse {
    pub(crate) id: String,
    size_bytes: u64,
    pub(crate) dead_bytes: u64,
    pub(crate) damaged: bool,
    /// Whether it has records of a later version, which only that can copy.
    pub(crate) foreign: bool,
}

impl PackUse {
    /// Whether a quarter of the pack or more is not needed, or damage keeps it from growing.
    pub(crate) fn is_worth_rewriting(&self) -> bool {
        !self.foreign && (self.damaged || (self.dead_bytes > 0 && self.dead_bytes >= self.size_bytes / 4))
    }
}

/// How much of each pack is needed.
pub(crate) fn pack_uses(index: &Index, kept: &Kept) -> Result<Vec<PackUse>, StoreError> {
    let pack_use = |number: usize| {
        let pack = &index.packs[number];
        let size_bytes = fs::metadata(&pack.path).map_err(StoreError::io("read", &pack.path))?.len();
        let records =
            pack.records(0..pack.group_count()).filter(|record| is_needed(index, number, record, kept, |_| true));
        let live: u64 = records.map(|record| record.len()).sum();
        let headers = (pack.group_count() * GROUP_HEADER_LEN) as u64;
        let damaged = !pack.damage.is_empty() || !pack.bad_bodies.is_empty();
        let dead_bytes = if live == 0 { size_bytes } else { size_bytes.saturating_sub(live + headers) };
        let foreign = pack.records(0..pack.group_count()).any(|record| record.head.kind.is_none());
        // Nothing of such a pack goes, so nothing becomes free.
        let dead_bytes = if foreign { 0 } else { dead_bytes };
        Ok(PackUse { id: pack.id.clone(), size_bytes, dead_bytes, damaged, foreign })
    };
    (0..index.packs.len()).map(pack_use).collect()
}

/// Whether a record must outlive its pack; `stays` tells of packs that are not written anew.
fn is_needed(index: &Index, number: usize, record: &Record<'_>, kept: &Kept, stays: impl Fn(&str) -> bool) -> bool {
    let among = |digests: &HashSet<_>| record.head.digest().is_some_and(|digest| digests.contains(&digest));
    match record.head.kind {
        Some(Kind::Blob) => index.uses(number, record) && among(&kept.blobs),
        Some(Kind::Artifact) => index.uses(number, record) && among(&kept.artifacts),
        Some(Kind::Result) => index.uses(number, record) && among(&kept.results),
        // Words about a record that is gone are not needed any more.
        Some(Kind::Forget) => {
            record.head.forget().is_some_and(|forget| index.pack_number(&forget.pack).is_some() && stays(&forget.pack))
        }
        None => false,
    }
}

/// Copies what is kept of some packs to others, and removes them. Nobody else may have the store open.
pub(crate) fn rewrite(store: &Store, packs: &HashSet<String>, kept: &Kept) -> Result<(), StoreError> {
    let numbers: Vec<usize> = {
        let index = store.index();
        packs.iter().filter_map(|id| index.pack_number(id)).collect()
    };
    for number in numbers {
        copy(store, number, packs, kept)?;
    }
    store.writer.commit(&store.layout, store.index_lock(), packs)?;
    store.writer.release();
    // First, so that a crash in between leaves packs of which nothing is known, and none that seems to be lost.
    let mut ends = ends::read(&store.layout).unwrap_or_default();
    ends.retain(|id, _| !packs.contains(id));
    ends::write(&store.layout, &ends)?;
    for id in packs {
        disk::remove_file(&store.layout.pack(id))?;
    }
    disk::sync_dir(&store.layout.packs())?;
    store.reload()
}

fn copy(store: &Store, number: usize, packs: &HashSet<String>, kept: &Kept) -> Result<(), StoreError> {
    let groups = store.index().packs[number].group_count();
    for group in 0..groups {
        let mut drafts = Vec::new();
        {
            let index = store.index();
            let pack = &index.packs[number];
            let file = disk::open(&pack.path)?;
            for record in pack.records(group..group + 1) {
                if !is_needed(&index, number, &record, kept, |id| !packs.contains(id)) {
                    continue;
                }
                let Some(kind) = record.head.kind else { continue };
                match pack.body(&file, &record.head, record.body_at)? {
                    Some(body) => drafts.push(Draft { kind, fixed: record.head.fixed.to_vec(), body }),
                    None => tracing::warn!("a record in {} is corrupt and will be missed", pack.path.display()),
                }
            }
        }
        drafts.into_iter().for_each(|draft| store.writer.pending().add(draft));
        if store.writer.pending().is_full() {
            store.writer.commit(&store.layout, store.index_lock(), packs)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::format::layout::Access;
    use crate::format::pack::Pack;
    use crate::store::PutContent;
    use crate::upkeep::gc::GcPolicy;
    use crate::value::artifact::{ActionKey, ActionResult};
    use crate::value::digest::Digest;

    #[test]
    fn records_of_a_later_version_are_passed_over_and_outlive_a_collection() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        let (output, _) = store.put_artifact(vec![("file".to_owned(), PutContent::Bytes(vec![1; 500]))]).unwrap();
        let result = ActionResult {
            outputs: vec![("out".to_owned(), output)],
            preimage: (),
            node: "old".to_owned(),
            kind: "test".to_owned(),
            run: "run".to_owned(),
            elapsed_ms: 1,
            recorded_ms: 1,
            device: "cpu".to_owned(),
        };
        store.put_result(&ActionKey(Digest::of(b"old")), result).unwrap();
        store.commit().unwrap();
        drop(store);
        let foreign = append_foreign(dir.path());
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        let policy =
            GcPolicy { max_age: Some(Duration::from_secs(60)), max_size_bytes: Some(1), ..GcPolicy::default() };
        let report = store.gc(&policy).unwrap();
        assert_eq!((report.collected.len(), report.packs), (1, 0));
        assert!(store.verify().unwrap().problems.is_empty());
        drop(store);
        Store::repair(dir.path()).unwrap();
        let bytes = fs::read(foreign.0).unwrap();
        assert_eq!(bytes[foreign.1..][..foreign.2.len()], foreign.2);
    }

    /// Appends a group with one record of kind 200; gives pack, place and bytes.
    fn append_foreign(dir: &Path) -> (std::path::PathBuf, usize, Vec<u8>) {
        let path = fs::read_dir(dir.join("packs")).unwrap().next().unwrap().unwrap().path();
        let id = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut pack = Pack::new(&id, path.clone());
        pack.read_new().unwrap();
        let mut bytes = pack.encode(&[Draft::blob(&Digest::of(b"later"), b"later".to_vec())]);
        bytes[GROUP_HEADER_LEN] = 200;
        let heads = GROUP_HEADER_LEN..bytes.len() - 5;
        let crc = crc32fast::hash(&bytes[heads]).to_le_bytes();
        bytes[24..28].copy_from_slice(&crc);
        let crc = crc32fast::hash(&[id.as_bytes(), &pack.end.to_le_bytes(), &bytes[..28]].concat()).to_le_bytes();
        bytes[28..32].copy_from_slice(&crc);
        fs::File::options().write(true).open(&path).unwrap().write_all_at(&bytes, pack.end).unwrap();
        (path, pack.end as usize, bytes)
    }
}
