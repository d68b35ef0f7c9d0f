//! All that a store knows of its packs, in memory: where each blob, artifact and result is.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use rayon::prelude::*;

use crate::artifact::{ActionKey, ActionResult, Artifact, OutputDigest};
use crate::blob::BlobLocation;
use crate::digest::Digest;
use crate::disk;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::pack::{Pack, Record};
use crate::record::{Forget, Head, Hit, Kind};

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the pack in [`Index::packs`].
    pub(crate) pack: u32,
    head_at: u32,
    pub(crate) body_at: u64,
}

/// All records of all packs. Where a digest or key has several records, the first one known is used.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) packs: Vec<Pack>,
    pub(crate) blobs: DigestMap<Place>,
    pub(crate) artifacts: DigestMap<Place>,
    pub(crate) results: DigestMap<Place>,
    forgotten: HashSet<Forget>,
}

impl Index {
    /// Reads all packs, each once from begin to end.
    pub(crate) fn read(layout: &Layout) -> Result<Self, StoreError> {
        let ids = pack_ids(layout)?;
        let read = |id: &String| {
            let mut pack = Pack::new(id, layout.pack(id));
            pack.read_new().map(|_| pack)
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
        index.reserve();
        for pack in 0..index.packs.len() {
            index.take_records(pack, 0..index.packs[pack].group_count());
        }
        Ok(index)
    }

    /// Reads what was appended since, by this process or another; starts anew if packs were rewritten.
    pub(crate) fn read_new(&mut self, layout: &Layout) -> Result<(), StoreError> {
        let ids = pack_ids(layout)?;
        if self.packs.iter().any(|pack| ids.binary_search(&pack.id).is_err()) {
            *self = Self::read(layout)?;
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

    /// Reserves room at once: growing step by step would move each entry several times.
    fn reserve(&mut self) {
        let mut counts = [0usize; 3];
        for pack in &self.packs {
            for record in pack.records(0..pack.group_count()) {
                if let Some(kind @ (Kind::Blob | Kind::Artifact | Kind::Result)) = record.head.kind {
                    counts[kind as usize - 1] += 1;
                }
            }
        }
        self.blobs.reserve(counts[0]);
        self.artifacts.reserve(counts[1]);
        self.results.reserve(counts[2]);
    }

    fn take_forgets(&mut self, number: usize, groups: Range<usize>) {
        let forgets: Vec<_> = self.packs[number]
            .records(groups)
            .filter(|record| record.head.kind == Some(Kind::Forget))
            .filter_map(|record| record.head.forget())
            .collect();
        forgets.into_iter().for_each(|forget| self.forget(forget));
    }

    fn take_records(&mut self, number: usize, groups: Range<usize>) {
        let Self { packs, blobs, artifacts, results, forgotten } = self;
        let pack = &packs[number];
        for record in pack.records(groups) {
            let map = match record.head.kind {
                Some(Kind::Blob) => &mut *blobs,
                Some(Kind::Artifact) => &mut *artifacts,
                Some(Kind::Result) => &mut *results,
                Some(Kind::Forget) | None => continue,
            };
            let Some(digest) = record.head.digest() else { continue };
            if in_use(pack, &record, digest, forgotten) {
                let place = Place { pack: number as u32, head_at: record.head_at, body_at: record.body_at };
                map.entry(digest).or_insert(place);
            }
        }
    }

    /// Takes a record out of use.
    pub(crate) fn forget(&mut self, forget: Forget) {
        let map = match forget.kind {
            Kind::Blob => &mut self.blobs,
            Kind::Artifact => &mut self.artifacts,
            Kind::Result => &mut self.results,
            Kind::Forget => return,
        };
        if let Some(place) = map.get(&forget.digest) {
            let pack = &self.packs[place.pack as usize];
            if pack.id == forget.pack && place.body_at == forget.body_at {
                map.remove(&forget.digest);
            }
        }
        self.forgotten.insert(forget);
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
        let map = match record.head.kind {
            Some(Kind::Blob) => &self.blobs,
            Some(Kind::Artifact) => &self.artifacts,
            Some(Kind::Result) => &self.results,
            Some(Kind::Forget) | None => return false,
        };
        let place = Place { pack: number as u32, head_at: record.head_at, body_at: record.body_at };
        record.head.digest().and_then(|digest| map.get(&digest)) == Some(&place)
    }

    pub(crate) fn hit(&self, key: &ActionKey) -> Option<Hit> {
        self.head(self.results.get(&key.0)?)?.hit()
    }

    /// The head of the result of a key.
    pub(crate) fn result_head(&self, key: &ActionKey) -> Option<Head<'_>> {
        self.head(self.results.get(&key.0)?)
    }

    /// Whether the artifact is known and has a file of that name.
    pub(crate) fn has_file(&self, digest: &OutputDigest, name: &str) -> bool {
        let head = self.artifacts.get(&digest.0).and_then(|place| self.head(place));
        head.is_some_and(|head| head.file_names().any(|file| file == Some(name.as_bytes())))
    }

    pub(crate) fn artifact(&self, digest: &OutputDigest) -> Option<Artifact> {
        let files = self.head(self.artifacts.get(&digest.0)?)?.files()?;
        Some(Artifact { files })
    }

    /// Whether the artifact is known and `has` all of its blobs.
    pub(crate) fn is_complete(&self, digest: &OutputDigest, has: impl Fn(&Digest, u64) -> bool) -> bool {
        let head = self.artifacts.get(&digest.0).and_then(|place| self.head(place));
        head.is_some_and(|head| head.blobs().all(|blob| blob.is_some_and(|(digest, size)| has(&digest, size))))
    }

    pub(crate) fn locate(&self, digest: &Digest) -> Option<BlobLocation> {
        let place = self.blobs.get(digest)?;
        let size_bytes = self.head(place)?.body_len.into();
        let path = self.packs[place.pack as usize].path.clone();
        Some(BlobLocation { path, offset: place.body_at, size_bytes })
    }

    /// The length of a blob in a pack.
    pub(crate) fn blob_size(&self, digest: &Digest) -> Option<u64> {
        Some(self.head(self.blobs.get(digest)?)?.body_len.into())
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

    fn head(&self, place: &Place) -> Option<Head<'_>> {
        self.packs.get(place.pack as usize)?.head(place.head_at)
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
    Ok(names.iter().filter_map(|name| name.strip_suffix(".pack")).map(str::to_owned).collect())
}

/// A map by digest.
pub(crate) type DigestMap<V> = HashMap<Digest, V, BuildHasherDefault<DigestHasher>>;

/// A digest is already as random as a hash can be, so its first bytes serve.
#[derive(Debug, Default)]
pub(crate) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length of the digest, which is the same for all.
    fn write_usize(&mut self, _length: usize) {}
}
