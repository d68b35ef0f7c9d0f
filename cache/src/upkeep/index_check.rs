//! Checks of index files: each page, and that the entries are those of the packs.
//!
//! A damaged file is removed, as it follows from the packs and is made again. So is one that is whole and wrong: it
//! would hide records.

use std::collections::HashMap;
use std::io::ErrorKind;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::index_file::{BrokenIndex, Entry, IndexFile, path};
use crate::format::layout::Access;
use crate::records::extend::entries_between;
use crate::records::index::Index;
use crate::store::Store;
use crate::upkeep::problem::Problem;

/// Outcome of a check of all index files.
#[derive(Debug, Default)]
pub(crate) struct IndexCheck {
    pub(crate) problems: Vec<Problem>,
    pub(crate) entries: u64,
    pub(crate) bytes_read: u64,
}

impl Store {
    /// Reads all index files; with all records in memory, compares them too. Removes those that are damaged or wrong.
    pub(crate) fn check_indexes(&self) -> Result<IndexCheck, StoreError> {
        let mut check = IndexCheck::default();
        for id in self.layout.pack_names()?.indexes {
            let path = path(&self.layout.packs(), &id);
            let reason = match IndexFile::open(&id, path.clone()).and_then(|file| self.check_index(&file, &mut check)) {
                Ok(None) => continue,
                // It was merged into another one meanwhile.
                Err(BrokenIndex::Read(error)) if error.kind() == ErrorKind::NotFound => continue,
                Ok(Some(reason)) => reason,
                Err(error) => error.to_string(),
            };
            let mut outcome = "a run makes it again";
            if self.access() == Access::ReadWrite {
                disk::remove_file(&path)?;
                outcome = "it is removed, and made again";
            }
            check.problems.push(Problem::new(path, format!("{reason}; {outcome}")));
        }
        Ok(check)
    }

    /// Checks one file; returns its fault if it is whole and does not have the entries of its packs.
    fn check_index(&self, file: &IndexFile, check: &mut IndexCheck) -> Result<Option<String>, BrokenIndex> {
        file.check()?;
        check.entries += file.header.entries();
        check.bytes_read += file.size_bytes();
        let index = self.index();
        if index.coverage.is_used() {
            return Ok(None);
        }
        let mut sums: HashMap<u32, u64> = HashMap::new();
        for entry in file.scan() {
            let entry = entry?;
            let sum = sums.entry(entry.pack).or_default();
            *sum = sum.wrapping_add(hash(&entry));
        }
        let packs = file.header.packs.iter().zip(0..);
        let wrong = packs.filter(|(range, number)| {
            let expected = expected(&index, range.start..range.end, &range.id);
            expected.is_some_and(|expected| expected != sums.get(number).copied().unwrap_or_default())
        });
        let count = wrong.count();
        Ok((count > 0).then(|| format!("it does not have the records of {count} of its packs")))
    }
}

/// Sums up the hashes of all entries of a range of a pack; `None` if the pack is damaged, gone, or not read whole.
fn expected(index: &Index, range: std::ops::Range<u64>, id: &str) -> Option<u64> {
    let pack = index.pack_number(id).map(|number| &index.packs[number])?;
    let is_whole = pack.is_sound() && pack.unreadable.is_none() && pack.covered == 0 && pack.end >= range.end;
    let mut sum = 0_u64;
    if is_whole {
        entries_between(pack, range, |entry, _| sum = sum.wrapping_add(hash(&entry)));
    }
    is_whole.then_some(sum)
}

/// Mixes all of an entry but the number of its pack, so that sums compare sets of entries.
fn hash(entry: &Entry) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let place = u64::from(entry.group_at) << 24 | u64::from(entry.record) << 8 | u64::from(entry.kind);
    let mixed = (entry.number ^ place.wrapping_mul(ODD)).wrapping_mul(ODD);
    (mixed ^ mixed >> 32).wrapping_mul(ODD)
}
