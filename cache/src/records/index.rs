//! Index of all packs: the location of each blob, artifact and result.
//!
//! In memory are the records of young packs, which are read whole when the store is opened, and those that were looked
//! up. All others are found through index files (`coverage.rs`): [`Index::load`] reads the groups that have them. So
//! every other method answers from memory; a caller first loads what it asks for, or uses an index without files.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use crate::error::StoreError;
use crate::format::blob::BlobLocation;
use crate::format::layout::Layout;
use crate::format::pack::{Pack, Record};
use crate::format::record::{Header, Hit, Kind, Tombstone};
use crate::lock::memory::lock;
use crate::records::coverage::{Coverage, Distrusted};
use crate::records::locations::{Location, Locations};
use crate::records::pack_lengths::PackLengths;
use crate::trust::Trust;
use crate::value::artifact::{ActionKey, ActionResult, Artifact, OutputDigest};
use crate::value::digest::Digest;

/// Fewer records are indexed by one thread: starting others costs more than it saves.
const RECORDS_IN_PARALLEL: usize = 20_000;
/// The kinds of records that are looked up, in the order of [`Index::tables`].
const KINDS: [Kind; 3] = [Kind::Blob, Kind::Artifact, Kind::Result];

/// The records of all packs. Of several records of a blob or artifact, the first one found is used; of several results
/// of a key, the one that [`Index::location`] chooses.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The first ones sorted by id.
    pub(crate) packs: Vec<Pack>,
    tables: [Locations; KINDS.len()],
    tombstones: HashSet<Tombstone>,
    pub(crate) coverage: Coverage,
    pub(super) trust: Arc<Trust>,
    /// Keys that were asked for and have several results with different outputs.
    pub(crate) rivals: Mutex<BTreeSet<Digest>>,
}

impl Index {
    /// Opens index files, and reads what they do not cover; `durable` has known durable lengths of packs.
    pub(crate) fn read(layout: &Layout, durable: &PackLengths, trust: &Arc<Trust>) -> Result<Self, StoreError> {
        Self::read_without(layout, durable, trust, Distrusted::default())
    }

    /// Reads all packs whole, as if there were no index files.
    pub(crate) fn read_whole(layout: &Layout, durable: &PackLengths, trust: &Arc<Trust>) -> Result<Self, StoreError> {
        Self::read_without(layout, durable, trust, Distrusted::all())
    }

    pub(super) fn read_without(
        layout: &Layout,
        durable: &PackLengths,
        trust: &Arc<Trust>,
        distrusted: Distrusted,
    ) -> Result<Self, StoreError> {
        let names = layout.pack_names()?;
        let coverage = Coverage::open(layout, &names, distrusted);
        let pack = |id: &String| {
            let mut pack = match coverage.reach(id) {
                Some(reach) => Pack::covered(reach, layout.pack(id)),
                None => Pack::new(id, layout.pack(id)),
            };
            pack.durable = durable.get(id).copied().unwrap_or_default().max(pack.covered);
            pack
        };
        let mut packs: Vec<_> = names.packs.iter().map(pack).collect();
        let read = |pack: &mut Pack| {
            pack.read_new()?;
            // A pack that was cut may grow again.
            pack.durable = pack.durable.min(pack.end);
            Ok(())
        };
        let mut young: Vec<_> = packs.iter_mut().filter(|pack| !pack.is_done()).collect();
        // One pack, the usual case, is not worth the start of a pool of threads.
        match young.as_mut_slice() {
            many @ [_, _, ..] => many.par_iter_mut().try_for_each(|pack| read(pack)),
            few => few.iter_mut().try_for_each(|pack| read(pack)),
        }?;
        let strange: Vec<_> = packs.iter().filter(|pack| pack.is_strange).map(|pack| pack.id.clone()).collect();
        if !strange.is_empty() {
            // A copy of the store went another way with the same pack, or the file is somebody's own.
            tracing::warn!("{} are not the packs that index files cover; they are read whole", strange.join(", "));
            let distrusted = coverage.distrusted().clone().and(strange);
            return Self::read_without(layout, durable, trust, distrusted);
        }
        let mut index = Self { packs, coverage, trust: Arc::clone(trust), ..Self::default() };
        index.number_packs();
        // A tombstone may stand in another pack than its record, so all tombstones are read first.
        for pack in 0..index.packs.len() {
            index.take_tombstones(pack, 0..index.packs[pack].group_count());
        }
        index.take_all();
        index.warn_of_unreadable(0);
        Ok(index)
    }

    /// Reads what was appended since the last call, by any process; starts anew if packs were rewritten.
    pub(crate) fn read_new(&mut self, layout: &Layout) -> Result<(), StoreError> {
        let ids = layout.pack_names()?.packs;
        if self.packs.iter().any(|pack| ids.binary_search(&pack.id).is_err()) {
            return self.read_again(layout);
        }
        let is_done = |id: &&String| self.pack_number(id).is_some_and(|number| self.packs[number].is_done());
        let growing: Vec<_> = ids.iter().filter(|id| !is_done(id)).collect();
        let known = self.unreadable().count();
        growing.into_iter().try_for_each(|id| self.read_pack(layout, id).map(drop))?;
        self.warn_of_unreadable(known);
        Ok(())
    }

    /// Reads everything anew, whole or not as before.
    pub(crate) fn read_again(&mut self, layout: &Layout) -> Result<(), StoreError> {
        let distrusted = self.coverage.distrusted().clone();
        *self = Self::read_without(layout, &self.durable_lengths(), &self.trust, distrusted)?;
        Ok(())
    }

    /// Iterates over the packs that cannot be read, or not to their ends.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = (&Pack, &str)> {
        self.packs.iter().filter_map(|pack| Some((pack, pack.unreadable.as_deref()?)))
    }

    /// Fails if a pack cannot be read: whatever is deleted then may be needed by its results.
    pub(crate) fn check_readable(&self) -> Result<(), StoreError> {
        let Some((pack, reason)) = self.unreadable().next() else { return Ok(()) };
        Err(StoreError::UnreadablePack { path: pack.path.to_path_buf(), reason: reason.to_owned() })
    }

    /// Warns if more packs than these cannot be read.
    fn warn_of_unreadable(&self, known: usize) {
        let count = self.unreadable().count();
        if let Some((_, first)) = self.unreadable().next().filter(|_| count > known) {
            let packs = if count == 1 { "a pack" } else { &*format!("{count} packs") };
            tracing::warn!("{packs} cannot be read, so results there are misses; the first: {first}");
        }
    }

    /// Reads what was appended to one pack since the last call; returns its number.
    pub(crate) fn read_pack(&mut self, layout: &Layout, id: &str) -> Result<usize, StoreError> {
        let number = self.pack_number(id).unwrap_or_else(|| {
            self.packs.push(Pack::new(id, layout.pack(id)));
            self.packs.len() - 1
        });
        let groups = self.packs[number].read_new()?;
        self.take_groups(number, groups);
        Ok(number)
    }

    /// Indexes groups that were just read.
    pub(super) fn take_groups(&mut self, number: usize, groups: Range<usize>) {
        self.take_tombstones(number, groups.clone());
        let Self { packs, tables, tombstones, trust, .. } = self;
        for (kind, table) in KINDS.into_iter().zip(tables) {
            take(packs, number, groups.clone(), kind, tombstones, trust, table);
        }
    }

    /// Tells the coverage the numbers of packs.
    pub(super) fn number_packs(&mut self) {
        let mut coverage = std::mem::take(&mut self.coverage);
        coverage.number(&self.packs, |id| self.pack_number(id));
        self.coverage = coverage;
    }

    /// Changes the groups that some packs have in memory, and indexes those anew.
    pub(super) fn change_packs(&mut self, numbers: &BTreeSet<usize>, change: impl Fn(usize, &mut Pack)) {
        self.tables.iter_mut().for_each(|table| table.retain(|location| !numbers.contains(&(location.pack as usize))));
        for number in numbers.iter().copied() {
            change(number, &mut self.packs[number]);
            self.take_groups(number, 0..self.packs[number].group_count());
        }
    }

    /// Returns the number of the pack with this id.
    pub(crate) fn pack_number(&self, id: &str) -> Option<usize> {
        // Packs of later runs have later ids, but for wrong clocks.
        let found = self.packs.binary_search_by(|pack| pack.id.as_str().cmp(id)).ok();
        found.or_else(|| self.packs.iter().position(|pack| pack.id == id))
    }

    /// Returns the known durable lengths of the packs that index files do not cover whole.
    pub(crate) fn durable_lengths(&self) -> PackLengths {
        self.packs.iter().filter(|pack| !pack.is_done()).map(|pack| (pack.id.clone(), pack.durable)).collect()
    }

    /// Lists the packs that are gone or shorter than they were, each with its damage.
    pub(crate) fn missing(&self, lengths: &PackLengths, layout: &Layout) -> Vec<(PathBuf, String)> {
        let damage = |(id, end): (&String, &u64)| {
            let pack = self.pack_number(id).map(|number| &self.packs[number]);
            let message = match pack.map(|pack| pack.end) {
                // Its records are not lost.
                Some(_) if pack.is_some_and(|pack| pack.unreadable.is_some()) => return None,
                None => format!("it is gone, and its {end} bytes of records are lost"),
                Some(left) if left < *end => format!("only {left} of {end} bytes are left; records are lost"),
                Some(_) => return None,
            };
            Some((layout.pack(id), message))
        };
        let covered = self.coverage.beside(&self.packs).into_iter().filter(|(id, _)| !lengths.contains_key(*id));
        lengths.iter().chain(covered).filter_map(damage).collect()
    }

    /// Indexes the records of all packs, if none is indexed yet.
    fn take_all(&mut self) {
        let Self { packs, tables, tombstones, trust, .. } = self;
        let all = |kind| {
            let mut table = Locations::default();
            table.reserve(packs, packs.iter().map(|pack| pack.count(kind)).sum());
            for (number, pack) in packs.iter().enumerate() {
                take(packs, number, 0..pack.group_count(), kind, tombstones, trust, &mut table);
            }
            table
        };
        let records: usize = packs.iter().map(Pack::record_count).sum();
        *tables = if records < RECORDS_IN_PARALLEL {
            KINDS.map(all)
        } else {
            KINDS.into_par_iter().map(all).collect::<Vec<_>>().try_into().expect("each kind has a table")
        };
    }

    fn take_tombstones(&mut self, number: usize, groups: Range<usize>) {
        let pack = &self.packs[number];
        if pack.count(Kind::Tombstone) == 0 {
            return;
        }
        let records = pack.records(groups).filter(|record| record.header.kind == Some(Kind::Tombstone));
        // All later lookups depend on them.
        let used = records.inspect(|record| pack.note_use(record.body_at));
        let tombstones: Vec<_> = used.filter_map(|record| record.header.tombstone()).collect();
        tombstones.into_iter().for_each(|tombstone| self.bury(tombstone));
    }

    /// Puts a record out of use.
    pub(crate) fn bury(&mut self, tombstone: Tombstone) {
        if let Some(table) = table_of(tombstone.kind)
            && let Some(pack) = self.pack_number(&tombstone.pack)
        {
            let is_dead =
                |location: &&Location| location.pack as usize == pack && location.body_at == tombstone.body_at;
            let dead = self.tables[table].all(&self.packs, &tombstone.digest).find(is_dead).copied();
            dead.inspect(|dead| self.tables[table].remove(&tombstone.digest, dead));
        }
        self.tombstones.insert(tombstone);
    }

    /// Returns whether a record was put out of use.
    pub(crate) fn is_buried(&self, tombstone: &Tombstone) -> bool {
        self.tombstones.contains(tombstone)
    }

    /// Makes the tombstone for the record at a location.
    pub(crate) fn tombstone(&self, kind: Kind, digest: Digest, location: &Location) -> Tombstone {
        Tombstone { kind, digest, body_at: location.body_at, pack: self.packs[location.pack as usize].id.clone() }
    }

    /// Returns whether the record is the one that is used for its digest or key.
    pub(crate) fn uses(&self, pack: usize, record: &Record<'_>) -> bool {
        let location = Location { pack: pack as u32, header_at: record.header_at, body_at: record.body_at };
        let digest = record.header.kind.zip(record.header.digest());
        digest.and_then(|(kind, digest)| self.location(kind, &digest)) == Some(location)
    }

    /// Returns the record that is used for a digest or key.
    ///
    /// Of several results of one key that are trusted, that is the one with the smallest digests of outputs, so that
    /// all readers choose the same. Untrusted ones are passed over, which is noted.
    pub(crate) fn location(&self, kind: Kind, digest: &Digest) -> Option<Location> {
        let table = &self.tables[table_of(kind)?];
        let mut all = table.all(&self.packs, digest).filter(|location| self.is_trusted(kind, location));
        let Some(first) = all.next().copied() else {
            if table.all(&self.packs, digest).next().is_some() {
                self.trust.pass_over(digest);
            }
            return None;
        };
        let Some(second) = all.next().copied() else { return Some(first) };
        let all: Vec<_> = [first, second].into_iter().chain(all.copied()).collect();
        if kind == Kind::Result && self.are_rivals(&all) {
            lock(&self.rivals).insert(*digest);
        }
        all.into_iter().min_by_key(|location| self.rank(location))
    }

    /// Returns whether results of one key have different outputs.
    pub(crate) fn are_rivals(&self, results: &[Location]) -> bool {
        results.iter().any(|location| self.rank(location).0 != self.rank(&results[0]).0)
    }

    /// Lists the signed results of a key in memory beside the used one: others may trust only these.
    pub(crate) fn signed_rivals(&self, key: &Digest) -> Vec<Location> {
        let used = self.location(Kind::Result, key);
        let tables = table_of(Kind::Result).into_iter().map(|table| &self.tables[table]);
        let rivals = tables.flat_map(|table| table.all(&self.packs, key)).filter(|location| used != Some(**location));
        let is_signed = |location: &&Location| {
            let header = self.packs[location.pack as usize].header(location.header_at);
            header.is_some_and(|header| header.signature().is_some())
        };
        rivals.filter(is_signed).copied().collect()
    }

    /// Returns whether a record counts: a result by its signature, all others always.
    fn is_trusted(&self, kind: Kind, location: &Location) -> bool {
        let header = || self.packs[location.pack as usize].header(location.header_at);
        let accepts = || self.trust.accepts(header().and_then(|header| header.signature()));
        kind != Kind::Result || !self.trust.is_limited() || accepts()
    }

    /// Returns a result of a key in memory that is not trusted.
    pub(crate) fn refused(&self, key: &Digest) -> Option<Location> {
        let mut all = self.tables[table_of(Kind::Result)?].all(&self.packs, key).copied();
        all.find(|location| !self.is_trusted(Kind::Result, location))
    }

    /// The order among results of one key.
    fn rank(&self, location: &Location) -> (Vec<Digest>, &str, u64) {
        let pack = &self.packs[location.pack as usize];
        let outputs = pack.header(location.header_at).into_iter().flat_map(|header| header.outputs().flatten());
        (outputs.map(|(_, output)| output.0).collect(), &pack.id, location.body_at)
    }

    /// Returns whether a digest or key has a record in memory that counts.
    pub(super) fn has(&self, kind: Kind, digest: &Digest) -> bool {
        let has =
            |table: usize| self.tables[table].all(&self.packs, digest).any(|location| self.is_trusted(kind, location));
        table_of(kind).is_some_and(has)
    }

    /// Lists the records of all trusted results of a key; two hosts may have recorded one each.
    pub(crate) fn results(&self, key: &ActionKey) -> Vec<Location> {
        let tables = table_of(Kind::Result).map(|table| &self.tables[table]);
        let all = tables.into_iter().flat_map(|table| table.all(&self.packs, &key.0)).copied();
        all.filter(|location| self.is_trusted(Kind::Result, location)).collect()
    }

    /// Iterates over all records of a kind in use, by digest or key, in no order.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = (Digest, Location)> {
        let locations = table_of(kind).into_iter().flat_map(|table| self.tables[table].iter());
        let all = locations.map(|location| (location.digest(&self.packs), location));
        all.filter(move |(digest, location)| kind != Kind::Result || self.location(kind, digest) == Some(*location))
    }

    /// Returns the number of records in all packs; one that two index files cover counts twice.
    pub(crate) fn records(&self) -> u64 {
        self.coverage.entries() + self.packs.iter().map(|pack| pack.young as u64).sum::<u64>()
    }

    /// Returns when the oldest result was recorded, in milliseconds since 1970; the maximum if there is none.
    pub(crate) fn oldest_ms(&self) -> u64 {
        let young = |pack: &Pack| {
            let groups = pack.groups_between(pack.covered, u64::MAX);
            groups
                .flat_map(|group| pack.records(group.number..group.number + 1))
                .filter_map(|record| record.header.recorded_ms())
                .min()
        };
        let oldest = self.packs.iter().filter_map(young).min().unwrap_or(u64::MAX);
        oldest.min(self.coverage.oldest_ms())
    }

    /// Returns the number of records of a kind in memory.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        table_of(kind).map_or(0, |table| self.tables[table].len())
    }

    /// Returns the outputs of a result.
    pub(crate) fn hit(&self, key: &ActionKey) -> Option<Hit> {
        self.header(&self.location(Kind::Result, &key.0)?)?.hit()
    }

    /// Returns whether the artifact is known and has a file of that name.
    pub(crate) fn has_file(&self, digest: &OutputDigest, name: &str) -> bool {
        let header = self.location(Kind::Artifact, &digest.0).and_then(|location| self.header(&location));
        let has_name = |file: Option<(Digest, u64, &[u8])>| file.is_some_and(|file| file.2 == name.as_bytes());
        header.is_some_and(|header| header.raw_files().any(has_name))
    }

    /// Returns the files of an artifact.
    pub(crate) fn artifact(&self, digest: &OutputDigest) -> Option<Artifact> {
        let files = self.header(&self.location(Kind::Artifact, &digest.0)?)?.files()?;
        Some(Artifact { files })
    }

    /// Returns whether `has` is true of all blobs of the artifact at a location.
    pub(crate) fn has_blobs(&self, artifact: &Location, has: impl Fn(&Digest, u64) -> bool) -> bool {
        let has_file = |file: Option<(Digest, u64, &[u8])>| file.is_some_and(|(digest, size, _)| has(&digest, size));
        self.header(artifact).is_some_and(|header| header.raw_files().all(has_file))
    }

    /// Returns the location of a blob's bytes.
    pub(crate) fn locate(&self, digest: &Digest) -> Option<BlobLocation> {
        let location = self.location(Kind::Blob, digest)?;
        let size_bytes = self.header(&location)?.body_len.into();
        let path = self.packs[location.pack as usize].path.clone();
        Some(BlobLocation { path, offset: location.body_at, size_bytes })
    }

    /// Returns the length of a blob in a pack.
    pub(crate) fn blob_size(&self, digest: &Digest) -> Option<u64> {
        Some(self.header(&self.location(Kind::Blob, digest)?)?.body_len.into())
    }

    /// Returns the length of the record of a digest or key, header and body; `None` if there is none.
    pub(crate) fn record_bytes(&self, kind: Kind, digest: &Digest) -> Option<u64> {
        let header = self.header(&self.location(kind, digest)?)?;
        Some(header.len() as u64 + u64::from(header.body_len))
    }

    /// Reads a whole result; `None` if its body does not have its checksum.
    pub(crate) fn result(&self, location: &Location, file: &File) -> Result<Option<ActionResult>, StoreError> {
        let Some(header) = self.header(location) else { return Ok(None) };
        let body = self.packs[location.pack as usize].body(file, &header, location.body_at)?;
        Ok(body.and_then(|body| header.result(&body)))
    }

    /// Returns the header of a record, and notes that it is used.
    pub(crate) fn header(&self, location: &Location) -> Option<Header<'_>> {
        let pack = self.packs.get(location.pack as usize)?;
        pack.note_use(location.body_at);
        pack.header(location.header_at)
    }
}

/// Returns the number of the table of a kind.
fn table_of(kind: Kind) -> Option<usize> {
    KINDS.iter().position(|known| *known == kind)
}

/// Adds the records of one kind in some groups of a pack to the table of that kind.
fn take(
    packs: &[Pack],
    number: usize,
    groups: Range<usize>,
    kind: Kind,
    tombstones: &HashSet<Tombstone>,
    trust: &Trust,
    table: &mut Locations,
) {
    let pack = &packs[number];
    for record in pack.records(groups).filter(|record| record.header.kind == Some(kind)) {
        let Some(digest) = record.header.digest() else { continue };
        let body_at = record.body_at;
        let is_bad = record.header.body_len > 0 && pack.bad_bodies.contains(&body_at);
        let is_buried = || tombstones.contains(&Tombstone { kind, digest, body_at, pack: pack.id.clone() });
        // A planted list of files would stand in the way of the right one.
        let is_planted = || kind == Kind::Artifact && trust.is_limited() && !record.header.is_sound_artifact();
        if !is_bad && (tombstones.is_empty() || !is_buried()) && !is_planted() {
            let location = Location { pack: number as u32, header_at: record.header_at, body_at };
            // All results of a key are kept, to choose among them.
            let is_same =
                |known: &Location| known.digest(packs) == digest && (kind != Kind::Result || *known == location);
            table.insert(packs, &digest, location, is_same);
        }
    }
}
