//! Coverage of packs by index files, and lookups through them.
//!
//! Index files cover ranges of packs. A pack is covered as far as ranges follow each other from its start; the rest of
//! it is read when the store is opened. A file or pack that turns out to be damaged is distrusted from then on: the
//! index is read anew without it, so the damage is dealt with as in a store without index files.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::ErrorKind;
use std::sync::Arc;

use crate::error::StoreError;
use crate::files::disk;
use crate::files::regular::is_of_one_file;
use crate::format::index_file::{BrokenIndex, CoveredPack, Entry, IndexFile, number_of, path};
use crate::format::layout::{Layout, PackNames};
use crate::format::pack::{Fetched, Pack};
use crate::format::record::Kind;
use crate::records::index::Index;
use crate::value::digest::Digest;

/// Ids of index files and packs that are used as if there were no index files for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distrusted {
    all: bool,
    ids: HashSet<String>,
}

/// The open index files of a store.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    pub(super) files: Vec<OpenIndex>,
    /// For each covered pack, how far it is covered from its start; sorted by id.
    reach: Vec<CoveredPack>,
    distrusted: Distrusted,
    /// The pack that was read last, by number.
    open: Option<(usize, Arc<File>)>,
    has_tombstones: bool,
    /// Groups read for lookups since they were last dropped.
    fetched: usize,
}

/// An index file, and the numbers of its packs in the index; `None` for one that is gone or distrusted.
#[derive(Debug)]
pub(super) struct OpenIndex {
    pub(super) file: IndexFile,
    packs: Vec<Option<u32>>,
}

/// Groups in memory that were read for lookups; with 256 records each, some ten megabytes.
const FETCHED_MAX: usize = 256;

/// A covered group: number of its pack, and offset.
pub(crate) type GroupAt = (u32, u32);

/// The id of a damaged index file or pack.
enum Damaged {
    Index(String, BrokenIndex),
    Pack(String),
}

/// Returns the groups of the entries of a kind and of tombstones.
fn groups_of(kind: Kind, entries: &[Entry], packs: &[Option<u32>]) -> Vec<GroupAt> {
    let wanted = |entry: &&Entry| [kind as u8, Kind::Tombstone as u8].contains(&entry.kind);
    let place = |entry: &Entry| Some(((*packs.get(entry.pack as usize)?)?, entry.group_at));
    entries.iter().filter(wanted).filter_map(place).collect()
}

impl Distrusted {
    pub(super) fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    pub(super) fn and(mut self, ids: Vec<String>) -> Self {
        self.ids.extend(ids);
        self
    }

    fn has(&self, id: &str) -> bool {
        self.all || self.ids.contains(id)
    }
}

impl Coverage {
    /// Opens the index files among these names; one that is damaged counts as missing.
    pub(super) fn open(layout: &Layout, names: &PackNames, distrusted: Distrusted) -> Self {
        let mut coverage = Self { distrusted, ..Self::default() };
        for id in &names.indexes {
            if coverage.distrusted.has(id) {
                continue;
            }
            match IndexFile::open(id, path(&layout.packs(), id)) {
                Ok(file) => coverage.files.push(OpenIndex { file, packs: Vec::new() }),
                // Another process has merged it into a new one just now.
                Err(BrokenIndex::Read(error)) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let path = path(&layout.packs(), id);
                    tracing::info!("{}: {error}; its packs are read whole", path.display());
                }
            }
        }
        let mut ranges: Vec<_> = coverage.files.iter().flat_map(|open| &open.file.header.packs).collect();
        ranges.sort_by(|a, b| (&a.id, a.start).cmp(&(&b.id, b.start)));
        for range in ranges.into_iter().filter(|range| !coverage.distrusted.has(&range.id)) {
            match coverage.reach.last_mut().filter(|reach| reach.id == range.id) {
                Some(reach) if range.start <= reach.end => reach.extend(range),
                None if range.start == 0 => coverage.reach.push(range.clone()),
                _ => {}
            }
        }
        let entries = |kind: Kind| coverage.files.iter().map(move |open| open.file.header.counts[kind as usize]);
        coverage.has_tombstones = entries(Kind::Tombstone).sum::<u64>() > 0;
        coverage
    }

    /// Notes the numbers of packs in the index.
    pub(super) fn number(&mut self, packs: &[Pack], number_of: impl Fn(&str) -> Option<usize>) {
        self.open = None;
        for open in &mut self.files {
            // A file mostly lists its packs in the order of the index.
            let mut next = 0;
            let mut number = |pack: &CoveredPack| {
                let is_next = packs.get(next).is_some_and(|other| other.id == pack.id);
                let number = if is_next { Some(next) } else { number_of(&pack.id) };
                next = number.map_or(next, |number| number + 1);
                number.filter(|_| !self.distrusted.has(&pack.id)).map(|number| number as u32)
            };
            open.packs = open.file.header.packs.iter().map(&mut number).collect();
        }
    }

    /// Returns how far a pack is covered from its start.
    pub(super) fn reach(&self, id: &str) -> Option<&CoveredPack> {
        self.reach.binary_search_by(|pack| pack.id.as_str().cmp(id)).ok().map(|place| &self.reach[place])
    }

    /// Lists the covered packs with their lengths, apart from those in a sorted list.
    pub(super) fn beside(&self, packs: &[Pack]) -> Vec<(&String, &u64)> {
        let mut packs = packs.iter().map(|pack| pack.id.as_str()).peekable();
        let is_beside = |covered: &&CoveredPack| {
            while packs.next_if(|id| *id < covered.id.as_str()).is_some() {}
            packs.peek().is_none_or(|id| *id != covered.id)
        };
        self.reach.iter().filter(is_beside).map(|pack| (&pack.id, &pack.end)).collect()
    }

    /// The number of entries of all files.
    pub(super) fn entries(&self) -> u64 {
        self.files.iter().map(|open| open.file.header.entries()).sum()
    }

    /// Returns when the oldest covered result was recorded, in milliseconds since 1970; the maximum if there is none.
    pub(super) fn oldest_ms(&self) -> u64 {
        self.reach.iter().map(|pack| pack.oldest_ms).min().unwrap_or(u64::MAX)
    }

    pub(super) fn distrusted(&self) -> &Distrusted {
        &self.distrusted
    }

    /// Lists the ids of the index files in use.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        self.files.iter().map(|open| &open.file.id)
    }

    /// Returns whether all index files are asked for each digest, not only until one has it: a record may be dead, and
    /// a result may have rivals, among which all readers must choose alike.
    fn needs_all(&self, kind: Kind) -> bool {
        self.has_tombstones || kind == Kind::Result
    }

    /// Returns whether there are index files in use.
    pub(crate) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Returns false if index files are ignored.
    pub(crate) fn is_used(&self) -> bool {
        !self.distrusted.all
    }
}

impl Index {
    /// Returns false if index files may know more of these digests or keys than is in memory.
    pub(crate) fn is_loaded(&self, kind: Kind, digests: &[Digest]) -> bool {
        !self.coverage.has_files()
            || !self.coverage.needs_all(kind) && digests.iter().all(|digest| self.has(kind, digest))
    }

    /// Reads all groups that hold records of some digests or keys, or tombstones of them.
    ///
    /// First drops all groups that were read so, if they are many: what was loaded before may be gone then.
    pub(crate) fn load(&mut self, layout: &Layout, kind: Kind, digests: &[Digest]) -> Result<(), StoreError> {
        if self.coverage.fetched > FETCHED_MAX {
            self.drop_fetched();
        }
        for digest in digests {
            while let Some(damaged) = self.load_one(kind, digest)? {
                let (name, reason) = match damaged {
                    Damaged::Index(id, error) => (id, error.to_string()),
                    Damaged::Pack(id) => (id, "it does not hold what its index names".to_owned()),
                };
                tracing::warn!("{} {name}: {reason}; packs are read whole in its place", layout.packs().display());
                self.distrust(layout, name)?;
            }
        }
        Ok(())
    }

    fn load_one(&mut self, kind: Kind, digest: &Digest) -> Result<Option<Damaged>, StoreError> {
        let needs_all = self.coverage.needs_all(kind);
        let number = number_of(digest);
        for file in 0..self.coverage.files.len() {
            if !needs_all && self.has(kind, digest) {
                break;
            }
            let OpenIndex { file, packs } = &self.coverage.files[file];
            let found = match file.find(number) {
                Ok(found) => found,
                Err(error) => return Ok(Some(Damaged::Index(file.id.clone(), error))),
            };
            let groups = groups_of(kind, &found, packs);
            if let Some(pack) = self.fetch(groups)? {
                return Ok(Some(Damaged::Pack(pack)));
            }
        }
        Ok(None)
    }

    /// Lists the groups that hold records of a kind with numbers from `first` to `last`, and tombstones.
    pub(crate) fn groups_in(&self, kind: Kind, first: u64, last: u64) -> Result<Vec<GroupAt>, StoreError> {
        let mut groups = Vec::new();
        for OpenIndex { file, packs } in &self.coverage.files {
            let failed = |error| StoreError::io("read", &file.path)(std::io::Error::other(error));
            groups.extend(groups_of(kind, &file.range(first, last).map_err(failed)?, packs));
        }
        Ok(groups)
    }

    /// Drops all groups that were read for lookups.
    fn drop_fetched(&mut self) {
        let numbers = self.packs.iter().enumerate().filter(|(_, pack)| pack.fetched() > 0).map(|(number, _)| number);
        self.change_packs(&numbers.collect(), |_, pack| pack.drop_fetched());
        self.coverage.fetched = 0;
    }

    /// Reads groups; returns the id of a pack that does not have one of them.
    pub(crate) fn fetch(&mut self, groups: Vec<GroupAt>) -> Result<Option<String>, StoreError> {
        for (pack, group_at) in groups {
            let number = pack as usize;
            if self.packs[number].has_group(group_at) {
                continue;
            }
            let fetched = self.file_of(number).and_then(|file| self.packs[number].fetch(&file, group_at));
            match fetched {
                Ok(Fetched::New(group)) => {
                    self.coverage.fetched += 1;
                    self.take_groups(number, group..group + 1);
                }
                Ok(Fetched::Damaged) => return Ok(Some(self.packs[number].id.clone())),
                // It is gone, or may not be read.
                Err(error) if error.is(ErrorKind::NotFound) || is_of_one_file(&error) => {
                    return Ok(Some(self.packs[number].id.clone()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Opens a pack; groups that are read one after the other often lie in one.
    fn file_of(&mut self, pack: usize) -> Result<Arc<File>, StoreError> {
        if let Some((open, file)) = &self.coverage.open
            && *open == pack
        {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(disk::open(&self.packs[pack].path)?);
        self.coverage.open = Some((pack, Arc::clone(&file)));
        Ok(file)
    }

    /// Reads the index anew without an index file, or without any for a pack.
    fn distrust(&mut self, layout: &Layout, id: String) -> Result<(), StoreError> {
        let mut distrusted = self.coverage.distrusted.clone();
        distrusted.ids.insert(id);
        *self = Self::read_without(layout, &self.durable_lengths(), &self.trust.clone(), distrusted)?;
        Ok(())
    }

    /// Takes over the index files of the folder as they are now; groups that they cover leave the memory.
    pub(crate) fn cover_anew(&mut self, layout: &Layout) -> Result<(), StoreError> {
        let names = layout.pack_names()?;
        let coverage = Coverage::open(layout, &names, self.coverage.distrusted.clone());
        let grown = self.packs.iter().enumerate().filter_map(|(number, pack)| {
            let reach = coverage.reach(&pack.id).filter(|reach| reach.end > pack.covered && reach.end <= pack.end)?;
            Some((number, reach.clone()))
        });
        let grown: HashMap<_, _> = grown.collect();
        self.coverage = Coverage { fetched: self.coverage.fetched, ..coverage };
        self.number_packs();
        self.change_packs(&grown.keys().copied().collect(), |number, pack| pack.cover(&grown[&number]));
        Ok(())
    }
}
