//! Index of all packs in memory: the location of each blob, artifact and result.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use crate::error::StoreError;
use crate::format::blob::BlobLocation;
use crate::format::layout::Layout;
use crate::format::pack::{Pack, Record};
use crate::format::record::{Header, Hit, Kind, Tombstone};
use crate::records::locations::{Location, Locations};
use crate::records::pack_lengths::PackLengths;
use crate::trust::Trust;
use crate::value::artifact::{ActionKey, ActionResult, Artifact, OutputDigest};
use crate::value::digest::Digest;

/// Fewer records are indexed by one thread: starting others costs more than it saves.
const RECORDS_IN_PARALLEL: usize = 20_000;
/// The kinds of records that are looked up, in the order of [`Index::tables`].
const KINDS: [Kind; 3] = [Kind::Blob, Kind::Artifact, Kind::Result];

/// All records of all packs. If a digest has several records, the first one found is used; of the results of a key, the
/// first one that is trusted.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) packs: Vec<Pack>,
    tables: [Locations; KINDS.len()],
    tombstones: HashSet<Tombstone>,
    trust: Arc<Trust>,
}

impl Index {
    /// Reads all packs, each once from start to end; `durable` has their known durable lengths.
    pub(crate) fn read(layout: &Layout, durable: &PackLengths, trust: &Arc<Trust>) -> Result<Self, StoreError> {
        let ids = layout.pack_ids()?;
        let read = |id: &String| {
            let mut pack = Pack::new(id, layout.pack(id));
            pack.durable = durable.get(id).copied().unwrap_or_default();
            pack.read_new()?;
            // A pack that was cut may grow again.
            pack.durable = pack.durable.min(pack.end);
            Ok(pack)
        };
        // One pack, the usual case, is not worth the start of a pool of threads.
        let packs = match ids.as_slice() {
            [_, _, ..] => ids.par_iter().map(read).collect::<Result<Vec<_>, _>>()?,
            few => few.iter().map(read).collect::<Result<Vec<_>, _>>()?,
        };
        let mut index = Self { packs, trust: Arc::clone(trust), ..Self::default() };
        // A tombstone may stand in another pack than its record, so all tombstones are read first.
        for pack in 0..index.packs.len() {
            index.take_tombstones(pack, 0..index.packs[pack].group_count());
        }
        index.take_all();
        Ok(index)
    }

    /// Reads what was appended since the last call, by any process; starts anew if packs were rewritten.
    pub(crate) fn read_new(&mut self, layout: &Layout) -> Result<(), StoreError> {
        let ids = layout.pack_ids()?;
        if self.packs.iter().any(|pack| ids.binary_search(&pack.id).is_err()) {
            *self = Self::read(layout, &self.durable_lengths(), &self.trust)?;
            return Ok(());
        }
        ids.iter().try_for_each(|id| self.read_pack(layout, id).map(drop))
    }

    /// Reads what was appended to one pack since the last call; returns its number.
    pub(crate) fn read_pack(&mut self, layout: &Layout, id: &str) -> Result<usize, StoreError> {
        let number = self.pack_number(id).unwrap_or_else(|| {
            self.packs.push(Pack::new(id, layout.pack(id)));
            self.packs.len() - 1
        });
        let groups = self.packs[number].read_new()?;
        self.take_tombstones(number, groups.clone());
        let Self { packs, tables, tombstones, trust } = self;
        for (kind, table) in KINDS.into_iter().zip(tables) {
            take(packs, number, groups.clone(), kind, tombstones, trust, table);
        }
        Ok(number)
    }

    /// Returns the number of the pack with this id.
    pub(crate) fn pack_number(&self, id: &str) -> Option<usize> {
        self.packs.iter().position(|pack| pack.id == id)
    }

    /// Returns the known durable lengths of all packs.
    pub(crate) fn durable_lengths(&self) -> PackLengths {
        self.packs.iter().map(|pack| (pack.id.clone(), pack.durable)).collect()
    }

    /// Lists the packs that are gone or shorter than they were, each with its damage.
    pub(crate) fn missing(&self, lengths: &PackLengths, layout: &Layout) -> Vec<(PathBuf, String)> {
        let damage = |(id, end): (&String, &u64)| {
            let message = match self.packs.iter().find(|pack| pack.id == *id).map(|pack| pack.end) {
                None => format!("it is gone, and its {end} bytes of records are lost"),
                Some(left) if left < *end => format!("only {left} of {end} bytes are left; records are lost"),
                Some(_) => return None,
            };
            Some((layout.pack(id), message))
        };
        lengths.iter().filter_map(damage).collect()
    }

    /// Indexes the records of all packs, if none is indexed yet.
    fn take_all(&mut self) {
        let Self { packs, tables, tombstones, trust } = self;
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
        let Tombstone { kind, digest, body_at, pack } = &tombstone;
        if let (Some(number), Some(table)) = (self.pack_number(pack), table_of(*kind)) {
            let is_it = |known: &Location| (known.pack as usize, known.body_at) == (number, *body_at);
            self.tables[table].remove(digest, is_it);
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

    /// Returns the record that is used for a digest or key: of several results, the first one that is trusted.
    pub(crate) fn location(&self, kind: Kind, digest: &Digest) -> Option<Location> {
        let table = &self.tables[table_of(kind)?];
        if kind != Kind::Result {
            return table.get(&self.packs, digest);
        }
        let found = table.all_of(&self.packs, digest).filter(|location| self.is_trusted(location)).min();
        if found.is_none() && self.trust.is_limited() && table.all_of(&self.packs, digest).next().is_some() {
            self.trust.pass_over(digest);
        }
        found
    }

    /// Iterates over the results of a key that are not trusted, in no order.
    pub(crate) fn refused(&self, key: &Digest) -> impl Iterator<Item = Location> {
        let table = table_of(Kind::Result).map(|table| &self.tables[table]);
        let records = table.into_iter().flat_map(|table| table.all_of(&self.packs, key));
        records.filter(|location| !self.is_trusted(location))
    }

    fn is_trusted(&self, location: &Location) -> bool {
        let pack = &self.packs[location.pack as usize];
        let signature = || pack.header(location.header_at).and_then(|header| header.signature());
        !self.trust.is_limited() || self.trust.accepts(signature())
    }

    /// Iterates over all records of a kind in use, by digest or key, in no order.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = (Digest, Location)> {
        let locations = table_of(kind).into_iter().flat_map(|table| self.tables[table].iter());
        let all = locations.map(|location| (location.digest(&self.packs), location));
        all.filter(move |(digest, location)| {
            kind != Kind::Result || self.location(kind, digest).as_ref() == Some(location)
        })
    }

    /// Returns the number of records of a kind in use.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Result => self.all(kind).count(),
            _ => table_of(kind).map_or(0, |table| self.tables[table].len()),
        }
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
        if is_bad || !tombstones.is_empty() && is_buried() {
            continue;
        }
        let location = Location { pack: number as u32, header_at: record.header_at, body_at };
        match kind {
            Kind::Result => table.insert(packs, &digest, location),
            // A planted list of files would stand in the way of the right one.
            Kind::Artifact if trust.is_limited() && !record.header.is_sound_artifact() => {}
            _ => table.insert_first(packs, &digest, location),
        }
    }
}
