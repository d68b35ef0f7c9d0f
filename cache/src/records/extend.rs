//! Writing of index files: for records that none covers yet, merged with the smaller ones that exist.
//!
//! Each file is more than [`GROWTH`] times as large as all later ones together, so a store has few of them: a lookup
//! asks each. A record is copied from file to file as often as their number grows.
//!
//! One process of a host does this at a time. If two hosts do at the same time, both files are right.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::StoreError;
use crate::files::{clock, disk};
use crate::format::index_file::{BrokenIndex, CoveredPack, Entry, IndexFile, number_of, path};
use crate::format::index_writer::IndexWriter;
use crate::format::layout::Layout;
use crate::format::pack::Pack;
use crate::format::record::Kind;
use crate::records::index::Index;

/// The least ratio between a file and all smaller ones; a smaller one is merged.
const GROWTH: u64 = 4;
/// Entries have offsets of 32 bits.
const PACK_MAX: u64 = u32::MAX as u64;

/// A source of entries: sorted by number, with the new number of each of its packs.
struct Source<'i> {
    entries: Box<dyn Iterator<Item = Result<Entry, BrokenIndex>> + 'i>,
    packs: Vec<Option<u32>>,
}

/// A new index file in preparation.
#[derive(Default)]
pub(crate) struct Extension<'i> {
    sources: Vec<Source<'i>>,
    packs: Packs,
    most: u64,
    /// Ids of the files that the new one replaces.
    pub(crate) replaced: Vec<String>,
}

/// The ranges of packs of the new file.
#[derive(Default)]
struct Packs {
    list: Vec<CoveredPack>,
    numbers: HashMap<String, u32>,
}

impl Packs {
    /// Adds a range of a pack; returns its number.
    fn add(&mut self, range: &CoveredPack) -> u32 {
        if let Some(number) = self.numbers.get(&range.id) {
            let known = &mut self.list[*number as usize];
            if range.start <= known.end && known.start <= range.end {
                known.extend(range);
                return *number;
            }
        }
        let number = self.list.len() as u32;
        self.list.push(range.clone());
        self.numbers.insert(range.id.clone(), number);
        number
    }
}

impl Index {
    /// The number of records that an index file could cover and none does.
    pub(crate) fn uncovered(&self) -> usize {
        if !self.coverage.is_used() {
            return 0;
        }
        self.packs.iter().filter(|pack| can_cover(pack)).map(|pack| pack.young).sum()
    }

    /// Prepares an index file for all durable records without one.
    pub(crate) fn extension(&self) -> Extension<'_> {
        let mut extension = Extension::default();
        let mut entries = Vec::new();
        for pack in self.packs.iter().filter(|pack| can_cover(pack)) {
            if let Some(mut range) = uncovered_range(pack) {
                let from = entries.len();
                let oldest_ms = &mut range.oldest_ms;
                entries_between(pack, range.start..range.end, |entry, recorded_ms| {
                    *oldest_ms = recorded_ms.map_or(*oldest_ms, |recorded| recorded.min(*oldest_ms));
                    entries.push(entry);
                });
                let number = extension.packs.add(&range);
                entries[from..].iter_mut().for_each(|entry| entry.pack = number);
            }
        }
        entries.sort_unstable();
        extension.most = entries.len() as u64;
        let packs = (0..extension.packs.list.len() as u32).map(Some).collect();
        extension.sources.push(Source { entries: Box::new(entries.into_iter().map(Ok)), packs });
        let mut files: Vec<_> = self.coverage.files.iter().collect();
        files.sort_by_key(|open| open.file.header.entries());
        for open in files {
            if open.file.header.entries() > extension.most * GROWTH {
                break;
            }
            extension.merge(&open.file, |id| self.pack_number(id).is_some());
        }
        extension
    }
}

/// Removes the index files among these that cannot be opened: others take their place.
pub(crate) fn remove_broken(layout: &Layout, ids: &[String]) -> Result<(), StoreError> {
    let path = |id: &String| path(&layout.packs(), id);
    let is_broken = |id: &&String| matches!(IndexFile::open(id, path(id)), Err(BrokenIndex::Damaged(_)));
    ids.iter().filter(is_broken).try_for_each(|id| disk::remove_file(&path(id)))
}

/// Replaces the index files that cover some packs by one without these packs, before the packs are removed.
///
/// - `dir`: for an unfinished file
pub(crate) fn uncover(layout: &Layout, dir: &Path, host: &str, going: &HashSet<String>) -> Result<(), StoreError> {
    let names = layout.pack_names()?;
    let open = |id: &String| match IndexFile::open(id, path(&layout.packs(), id)) {
        Ok(file) => file.header.packs.iter().any(|pack| going.contains(&pack.id)).then_some(file),
        Err(error) => {
            tracing::debug!("the index file {id}: {error}");
            None
        }
    };
    let files: Vec<_> = names.indexes.iter().filter_map(open).collect();
    let mut extension = Extension::default();
    let stays = |id: &str| !going.contains(id) && names.packs.iter().any(|pack| pack == id);
    files.iter().for_each(|file| extension.merge(file, stays));
    if files.is_empty() { Ok(()) } else { extension.write(dir, host, &layout.packs()) }
}

impl<'i> Extension<'i> {
    fn merge(&mut self, file: &'i IndexFile, stays: impl Fn(&str) -> bool) {
        let number = |pack: &CoveredPack| stays(&pack.id).then(|| self.packs.add(pack));
        let packs = file.header.packs.iter().map(number).collect();
        self.sources.push(Source { entries: Box::new(file.scan()), packs });
        self.most += file.header.entries();
        self.replaced.push(file.id.clone());
    }

    /// Writes the file, with an unfinished one in `dir`. Errors: a damaged file among the merged ones.
    pub(crate) fn write(self, dir: &Path, host: &str, packs: &Path) -> Result<(), StoreError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (ms, process, number) = (clock::now_ms(), std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let id = format!("{ms:012x}-{host}-{process:x}-{number:x}");
        let mut writer = IndexWriter::begin(dir, &id, self.packs.list, self.most)?;
        let broken = |error: BrokenIndex| StoreError::io("merge the index files of", packs)(io::Error::other(error));
        let mut sources: Vec<_> =
            self.sources.into_iter().map(|source| (source.entries.peekable(), source.packs)).collect();
        let mut same: Vec<Entry> = Vec::new();
        loop {
            let mut least: Option<u64> = None;
            for (entries, _) in &mut sources {
                match entries.peek() {
                    Some(Ok(entry)) => least = Some(least.map_or(entry.number, |least| least.min(entry.number))),
                    Some(Err(_)) => {
                        return Err(entries.next().and_then(Result::err).map_or_else(|| unreachable!(), broken));
                    }
                    None => {}
                }
            }
            let Some(least) = least else { break };
            for (entries, packs) in &mut sources {
                while let Some(entry) = entries.next_if(|entry| entry.as_ref().is_ok_and(|entry| entry.number == least))
                {
                    let entry = entry.map_err(broken)?;
                    same.extend(packs[entry.pack as usize].map(|pack| Entry { pack, ..entry }));
                }
            }
            // Two files may cover the same records.
            same.sort_unstable();
            same.dedup();
            same.drain(..).try_for_each(|entry| writer.push(entry))?;
        }
        writer.finish(packs)?;
        for id in &self.replaced {
            disk::remove_file(&path(packs, id))?;
        }
        Ok(())
    }
}

/// Returns whether an index file can cover a pack: a damaged one is read whole, until it is written anew.
fn can_cover(pack: &Pack) -> bool {
    pack.is_sound() && pack.end <= PACK_MAX
}

/// Returns the durable records that no index file covers.
fn uncovered_range(pack: &Pack) -> Option<CoveredPack> {
    let end = pack.end.min(pack.durable);
    let last = pack.groups_between(pack.covered, end).max_by_key(|group| group.at)?;
    let (commit, last) = (last.commit, (last.at, last.crc));
    let is_sealed = end == pack.end && pack.is_sealed();
    Some(CoveredPack { id: pack.id.clone(), start: pack.covered, end, commit, last, is_sealed, oldest_ms: u64::MAX })
}

/// Passes on the entries of a range of a pack, with 0 as its number, and the times of recorded results.
pub(crate) fn entries_between(pack: &Pack, range: Range<u64>, mut take: impl FnMut(Entry, Option<u64>)) {
    for group in pack.groups_between(range.start, range.end) {
        for (record, position) in pack.records(group.number..group.number + 1).zip(0..) {
            let Some(kind) = record.header.kind else { continue };
            let digest = match kind {
                Kind::Tombstone => record.header.tombstone().map(|tombstone| tombstone.digest),
                _ => record.header.digest(),
            };
            let Some(digest) = digest else { continue };
            let (number, kind, group_at) = (number_of(&digest), kind as u8, group.at as u32);
            take(Entry { number, kind, pack: 0, group_at, record: position }, record.header.recorded_ms());
        }
    }
}
