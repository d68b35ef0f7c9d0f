//! Rewriting of packs without dead records.

use std::collections::HashSet;
use std::fs;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::pack::{GROUP_HEADER_LEN, Record};
use crate::format::record::{Draft, Kind};
use crate::records::index::Index;
use crate::records::{extend, pack_lengths};
use crate::store::Store;
use crate::value::artifact::{ActionKey, OutputDigest};
use crate::value::digest::Digest;

/// Remaining results, with their artifacts and blobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) results: HashSet<Digest>,
    pub(crate) artifacts: HashSet<Digest>,
    pub(crate) blobs: HashSet<Digest>,
}

impl Kept {
    /// Adds a result.
    pub(crate) fn add(&mut self, index: &Index, key: &ActionKey, outputs: &[OutputDigest]) {
        self.results.insert(key.0);
        for output in outputs {
            self.artifacts.insert(output.0);
            let files = index.artifact(output).unwrap_or_default().files;
            self.blobs.extend(files.into_iter().map(|file| file.digest));
        }
    }

    /// Makes one of all results of a store.
    pub(crate) fn all(index: &Index) -> Self {
        let mut kept = Self::default();
        for key in index.all(Kind::Result).map(|(key, _)| ActionKey(key)) {
            let outputs = index.hit(&key).map(|hit| hit.outputs).unwrap_or_default();
            kept.add(index, &key, &outputs.into_iter().map(|(_, output)| output).collect::<Vec<_>>());
        }
        kept
    }
}

/// Live and dead bytes of a pack.
#[derive(Debug)]
pub(crate) struct PackUse {
    pub(crate) id: String,
    size_bytes: u64,
    pub(crate) dead_bytes: u64,
    pub(crate) damaged: bool,
    /// True if it has records that cannot be copied: those of a later version, or some that cannot be read.
    pub(crate) foreign: bool,
}

impl PackUse {
    /// Returns whether the pack has bytes that no kept result needs.
    pub(crate) fn has_dead_bytes(&self) -> bool {
        self.damaged || self.dead_bytes > 0
    }

    /// Returns whether a quarter of the pack is dead, or damage keeps it from growing.
    pub(crate) fn is_worth_rewriting(&self) -> bool {
        !self.foreign && (self.damaged || (self.dead_bytes > 0 && self.dead_bytes >= self.size_bytes / 4))
    }
}

/// Counts live and dead bytes of each pack.
pub(crate) fn pack_uses(index: &Index, kept: &Kept) -> Result<Vec<PackUse>, StoreError> {
    let pack_use = |number: usize| {
        let pack = &index.packs[number];
        let size_bytes = fs::metadata(&pack.path).map_err(StoreError::io("read", &pack.path))?.len();
        let records = || pack.records(0..pack.group_count());
        let live = records().filter(|record| is_live(index, number, record, kept, |_| true));
        let live_bytes: u64 = live.map(|record| record.len()).sum();
        let seals = records().filter(|record| record.header.kind == Some(Kind::Seal));
        let headers = (pack.group_count() * GROUP_HEADER_LEN) as u64 + seals.map(|seal| seal.len()).sum::<u64>();
        let damaged = !pack.damage.is_empty() || !pack.bad_bodies.is_empty();
        let foreign = pack.unreadable.is_some() || records().any(|record| record.header.kind.is_none());
        let dead_bytes = match live_bytes {
            // A pack with foreign records is never rewritten.
            _ if foreign => 0,
            0 => size_bytes,
            live => size_bytes.saturating_sub(live + headers),
        };
        Ok(PackUse { id: pack.id.clone(), size_bytes, dead_bytes, damaged, foreign })
    };
    (0..index.packs.len()).map(pack_use).collect()
}

/// Returns whether a record must outlive its pack; `stays` is false of the packs to rewrite.
fn is_live(index: &Index, number: usize, record: &Record<'_>, kept: &Kept, stays: impl Fn(&str) -> bool) -> bool {
    let is_among = |digests: &HashSet<_>| {
        index.uses(number, record) && record.header.digest().is_some_and(|digest| digests.contains(&digest))
    };
    match record.header.kind {
        Some(Kind::Blob) => is_among(&kept.blobs),
        Some(Kind::Artifact) => is_among(&kept.artifacts),
        Some(Kind::Result) => is_among(&kept.results),
        // A tombstone is needed as long as its record's pack exists.
        Some(Kind::Tombstone) => record
            .header
            .tombstone()
            .is_some_and(|tombstone| index.pack_number(&tombstone.pack).is_some() && stays(&tombstone.pack)),
        // It holds for the old pack alone.
        Some(Kind::Seal) | None => false,
    }
}

/// Copies live records of some packs to others, and removes the packs. Nobody else may have the store open.
pub(crate) fn rewrite(store: &Store, packs: &HashSet<String>, kept: &Kept) -> Result<(), StoreError> {
    let numbers: Vec<usize> = {
        let index = store.index();
        packs.iter().filter_map(|id| index.pack_number(id)).collect()
    };
    for number in numbers {
        copy(store, number, packs, kept)?;
    }
    store.commit_avoiding(packs)?;
    store.writer.release();
    // First, so that a crash in between leaves packs without a known length, and none that seems to be lost.
    let mut lengths = pack_lengths::read(&store.layout).unwrap_or_default();
    lengths.retain(|id, _| !packs.contains(id));
    pack_lengths::write(&store.layout, &lengths)?;
    extend::uncover(&store.layout, store.session_dir()?, &store.session()?.host.id, packs)?;
    for id in packs {
        disk::remove_file(&store.layout.pack(id))?;
    }
    disk::sync_dir(&store.layout.packs())?;
    store.read_on_demand()
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
                if !is_live(&index, number, &record, kept, |id| !packs.contains(id)) {
                    continue;
                }
                let Some(kind) = record.header.kind else { continue };
                match pack.body(&file, &record.header, record.body_at)? {
                    Some(body) => drafts.push(Draft { kind, fields: record.header.fields.to_vec(), body }),
                    None => tracing::warn!("a record in {} is corrupt and will be missed", pack.path.display()),
                }
            }
        }
        drafts.into_iter().for_each(|draft| store.writer.pending().add(draft));
        if store.writer.pending().is_full() {
            store.commit_avoiding(packs)?;
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
    use crate::upkeep::gc_report::GcPolicy;
    use crate::value::artifact::{ActionKey, ActionResult};
    use crate::value::digest::Digest;

    #[test]
    fn records_of_a_later_version_are_skipped_and_outlive_a_collection() {
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
            producer: None,
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

    /// Appends a group with one record of kind 200; returns pack, offset and bytes.
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
