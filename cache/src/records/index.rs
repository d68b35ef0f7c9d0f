//! All that a store knows of its packs, in memory: where each blob, artifact and result is.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;

use rayon::prelude::*;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::blob::BlobLocation;
use crate::format::layout::Layout;
use crate::format::names::pack_id;
use crate::format::pack::{Pack, Record};
use crate::format::record::{Forget, Head, Hit, Kind};
use crate::records::ends::{self, Ends};
use crate::records::places::{Place, Places};
use crate::value::artifact::{ActionKey, ActionResult, Artifact, OutputDigest};
use crate::value::digest::Digest;

/// Fewer records are taken by one thread: starting others costs more than it saves.
const RECORDS_IN_PARALLEL: usize = 20_000;

/// All records of all packs. Where a digest or key has several records, the first one known is used.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) packs: Vec<Pack>,
    blobs: Places,
    artifacts: Places,
    results: Places,
    forgotten: HashSet<Forget>,
}

impl Index {
    /// Reads all packs, each once from begin to end; `durable` says up to where they are known to be durable.
    pub(crate) fn read(layout: &Layout, durable: &Ends) -> Result<Self, StoreError> {
        let ids = pack_ids(layout)?;
        let read = |id: &String| {
            let mut pack = Pack::new(id, layout.pack(id));
            pack.durable = durable.get(id).copied().unwrap_or_default();
            pack.read_new()?;
            // One that was cut may grow again.
            pack.durable = pack.durable.min(pack.end);
            Ok(pack)
        };
        // One pack, the usual case, is not worth the start of a pool of threads.
        let packs = match ids.as_slice() {
            [_, _, ..] => ids.par_iter().map(read).collect::<Result<Vec<_>, _>>()?,
            few => few.iter().map(read).collect::<Result<Vec<_>, _>>()?,
        };
        let mut index = Self { packs, ..Self::default() };
        // A forget may stand in another pack than what it names, so all of them are read before the rest.
        for pack in 0..index.packs.len() {
            index.take_forgets(pack, 0..index.packs[pack].group_count());
        }
        index.take_all();
        Ok(index)
    }

    /// Reads what was appended since, by this process or another; starts anew if packs were rewritten.
    pub(crate) fn read_new(&mut self, layout: &Layout) -> Result<(), StoreError> {
        let ids = pack_ids(layout)?;
        if self.packs.iter().any(|pack| ids.binary_search(&pack.id).is_err()) {
            *self = Self::read(layout, &ends::of(self))?;
            return Ok(());
        }
        for id in &ids {
            self.read_pack(layout, id)?;
        }
        Ok(())
    }

    /// Reads what was appended to one pack since; gives its number.
    pub(crate) fn read_pack(&mut self, layout: &Layout, id: &str) -> Result<usize, StoreError> {
        let number = self.pack_number(id).unwrap_or_else(|| {
            self.packs.push(Pack::new(id, layout.pack(id)));
            self.packs.len() - 1
        });
        let groups = self.packs[number].read_new()?;
        self.take_forgets(number, groups.clone());
        self.take_records(number, groups);
        Ok(number)
    }

    /// The number of the pack with this id.
    pub(crate) fn pack_number(&self, id: &str) -> Option<usize> {
        self.packs.iter().position(|pack| pack.id == id)
    }

    /// Takes the records of all packs, where none is taken yet.
    fn take_all(&mut self) {
        let Self { packs, blobs, artifacts, results, forgotten } = self;
        let all = |kind| {
            let mut places = Places::default();
            // At once, as growing step by step would move each place several times.
            places.reserve(packs, packs.iter().map(|pack| pack.count(kind)).sum());
            for (number, pack) in packs.iter().enumerate() {
                take(packs, number, 0..pack.group_count(), kind, forgotten, &mut places);
            }
            places
        };
        let records: usize = packs.iter().map(Pack::record_count).sum();
        (*blobs, (*artifacts, *results)) = if records < RECORDS_IN_PARALLEL {
            (all(Kind::Blob), (all(Kind::Artifact), all(Kind::Result)))
        } else {
            rayon::join(|| all(Kind::Blob), || rayon::join(|| all(Kind::Artifact), || all(Kind::Result)))
        };
    }

    fn take_forgets(&mut self, number: usize, groups: Range<usize>) {
        if self.packs[number].count(Kind::Forget) == 0 {
            return;
        }
        let pack = &self.packs[number];
        let forgets: Vec<_> = pack
            .records(groups)
            .filter(|record| record.head.kind == Some(Kind::Forget))
            // What is looked up from now on depends on it.
            .inspect(|record| pack.note_use(record.body_at))
            .filter_map(|record| record.head.forget())
            .collect();
        forgets.into_iter().for_each(|forget| self.forget(forget));
    }

    fn take_records(&mut self, number: usize, groups: Range<usize>) {
        let Self { packs, blobs, artifacts, results, forgotten } = self;
        for (kind, places) in [(Kind::Blob, blobs), (Kind::Artifact, artifacts), (Kind::Result, results)] {
            take(packs, number, groups.clone(), kind, forgotten, places);
        }
    }

    /// Takes a record out of use.
    pub(crate) fn forget(&mut self, forget: Forget) {
        let Self { packs, blobs, artifacts, results, forgotten } = self;
        let map = match forget.kind {
            Kind::Blob => blobs,
            Kind::Artifact => artifacts,
            Kind::Result => results,
            Kind::Forget => return,
        };
        if let Some(place) = map.get(packs, &forget.digest)
            && packs[place.pack as usize].id == forget.pack
            && place.body_at == forget.body_at
        {
            map.remove(packs, &forget.digest);
        }
        forgotten.insert(forget);
    }

    /// Whether the record was taken out of use.
    pub(crate) fn is_forgotten(&self, forget: &Forget) -> bool {
        self.forgotten.contains(forget)
    }

    /// The words that take the record at a place out of use.
    pub(crate) fn forget_of(&self, kind: Kind, digest: Digest, place: &Place) -> Forget {
        Forget { kind, digest, body_at: place.body_at, pack: self.packs[place.pack as usize].id.clone() }
    }

    /// Whether the record is the one that is used for its digest or key.
    pub(crate) fn uses(&self, number: usize, record: &Record<'_>) -> bool {
        let place = Place { pack: number as u32, head_at: record.head_at, body_at: record.body_at };
        let digest = record.head.kind.zip(record.head.digest());
        digest.and_then(|(kind, digest)| self.place(kind, &digest)) == Some(place)
    }

    /// The record that is used for a digest or key.
    pub(crate) fn place(&self, kind: Kind, digest: &Digest) -> Option<Place> {
        self.places(kind)?.get(&self.packs, digest)
    }

    /// All records of a kind that are in use, by digest or key, in no order.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = (Digest, Place)> {
        let places = self.places(kind).into_iter().flat_map(Places::iter);
        places.map(|place| (Digest::from_bytes(*place.digest(&self.packs)), place))
    }

    /// How many records of a kind are in use.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.places(kind).map_or(0, Places::len)
    }

    fn places(&self, kind: Kind) -> Option<&Places> {
        match kind {
            Kind::Blob => Some(&self.blobs),
            Kind::Artifact => Some(&self.artifacts),
            Kind::Result => Some(&self.results),
            Kind::Forget => None,
        }
    }

    pub(crate) fn hit(&self, key: &ActionKey) -> Option<Hit> {
        self.head(&self.place(Kind::Result, &key.0)?)?.hit()
    }

    /// Whether the artifact is known and has a file of that name.
    pub(crate) fn has_file(&self, digest: &OutputDigest, name: &str) -> bool {
        let head = self.place(Kind::Artifact, &digest.0).and_then(|place| self.head(&place));
        head.is_some_and(|head| head.file_names().any(|file| file == Some(name.as_bytes())))
    }

    pub(crate) fn artifact(&self, digest: &OutputDigest) -> Option<Artifact> {
        let files = self.head(&self.place(Kind::Artifact, &digest.0)?)?.files()?;
        Some(Artifact { files })
    }

    /// Whether the artifact is known and `has` all of its blobs.
    pub(crate) fn is_complete(&self, digest: &OutputDigest, has: impl Fn(&Digest, u64) -> bool) -> bool {
        self.place(Kind::Artifact, &digest.0).is_some_and(|place| self.has_blobs(&place, has))
    }

    /// Whether `has` all blobs of the artifact at a place.
    pub(crate) fn has_blobs(&self, artifact: &Place, has: impl Fn(&Digest, u64) -> bool) -> bool {
        let is_there = |blob: Option<(Digest, u64)>| blob.is_some_and(|(digest, size)| has(&digest, size));
        self.head(artifact).is_some_and(|head| head.blobs().all(is_there))
    }

    pub(crate) fn locate(&self, digest: &Digest) -> Option<BlobLocation> {
        let place = self.place(Kind::Blob, digest)?;
        let size_bytes = self.head(&place)?.body_len.into();
        let path = self.packs[place.pack as usize].path.clone();
        Some(BlobLocation { path, offset: place.body_at, size_bytes })
    }

    /// The length of a blob in a pack.
    pub(crate) fn blob_size(&self, digest: &Digest) -> Option<u64> {
        Some(self.head(&self.place(Kind::Blob, digest)?)?.body_len.into())
    }

    /// The length of a record, head and body.
    pub(crate) fn record_bytes(&self, place: &Place) -> u64 {
        self.head(place).map_or(0, |head| head.len() as u64 + u64::from(head.body_len))
    }

    /// Reads a whole result; `None` if its body is not what its head says.
    pub(crate) fn result(&self, place: &Place, file: &File) -> Result<Option<ActionResult>, StoreError> {
        let Some(head) = self.head(place) else { return Ok(None) };
        let body = self.packs[place.pack as usize].body(file, &head, place.body_at)?;
        Ok(body.and_then(|body| head.result(&body)))
    }

    /// The head of a record, which thereby counts as used.
    pub(crate) fn head(&self, place: &Place) -> Option<Head<'_>> {
        let pack = self.packs.get(place.pack as usize)?;
        pack.note_use(place.body_at);
        pack.head(place.head_at)
    }
}

/// Adds the records of one kind in some groups of a pack to the places of that kind.
fn take(
    packs: &[Pack],
    number: usize,
    groups: Range<usize>,
    kind: Kind,
    forgotten: &HashSet<Forget>,
    places: &mut Places,
) {
    let pack = &packs[number];
    for record in pack.records(groups).filter(|record| record.head.kind == Some(kind)) {
        let Some(digest) = record.head.digest() else { continue };
        if in_use(pack, &record, digest, forgotten) {
            let place = Place { pack: number as u32, head_at: record.head_at, body_at: record.body_at };
            places.insert_first(packs, &digest, place);
        }
    }
}

/// Whether a record is neither forgotten nor known to be bad.
fn in_use(pack: &Pack, record: &Record<'_>, digest: Digest, forgotten: &HashSet<Forget>) -> bool {
    let bad = record.head.body_len > 0 && pack.bad_bodies.contains(&record.body_at);
    let forget = || {
        let kind = record.head.kind.expect("records of unknown kinds are skipped");
        Forget { kind, digest, body_at: record.body_at, pack: pack.id.clone() }
    };
    !bad && (forgotten.is_empty() || !forgotten.contains(&forget()))
}

/// The ids of all packs, sorted; as an id begins with the time of its making, the oldest comes first.
pub(crate) fn pack_ids(layout: &Layout) -> Result<Vec<String>, StoreError> {
    let names = disk::list(&layout.packs())?;
    Ok(names.iter().filter_map(|name| pack_id(name)).map(str::to_owned).collect())
}
