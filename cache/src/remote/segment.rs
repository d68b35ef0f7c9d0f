//! Segments: the places of parcels in packs, sorted by key. An index in the bucket is one, and so is each file of the
//! catalogue.
//!
//! | size | field |
//! |---|---|
//! | 8 | `89 'O' 'R' 'I' 0 0 0 1` |
//! | 4 | `H`, length of the head |
//! | `H` | head: count of sources (4), each a name; count of packs (4), each: digest (32), size (8), |
//! | | time of upload (8), number of its source (4); count of entries (8) |
//! | 16 × entries | table, sorted: first eight bytes of a key as a number (8), offset of its entry |
//! | | behind the table (8) |
//! | the rest | entries: key (32), number of the pack (4), offset (8) and length (8) of the parcel in it, |
//! | | digest of the parcel (32), count of large blobs (4), each: digest (32), size (8) |
//!
//! Integers are little-endian; a name is its length (4), then UTF-8. In the bucket, a magic number and the digest of
//! all this come first, and there are no sources. In the catalogue, sources are names of indexes, and a file is read at
//! the needed places alone; it has no checksum, as whatever it leads to is checked.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::files::disk;
use crate::files::frame::{Checksum, Frame, Reader};
use crate::value::digest::Digest;

/// The form of an index in the bucket.
pub(crate) const INDEX: Frame = Frame { name: "index", magic: b"\x89ORX\0\0\0\x01", checksum: Checksum::Blake3 };

const MAGIC: [u8; 8] = *b"\x89ORI\0\0\0\x01";
/// Offset of the head.
const HEAD_AT: u64 = 12;
/// Length of a row of the table.
const ROW: u64 = 16;
/// Length of an entry up to its blobs.
const ENTRY_LEN: usize = 32 + 4 + 8 + 8 + 32 + 4;
/// Length of a blob in an entry.
const BLOB_LEN: usize = 32 + 8;
/// A shorter file is read whole.
const WHOLE_BYTES: u64 = 8 << 20;

/// A pack in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PackInfo {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
    /// By the server's clock, in milliseconds since 1970.
    pub(crate) uploaded_ms: u64,
    /// The number of the source that names it.
    pub(crate) source: u32,
}

/// The place of one parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Digest,
    pub(crate) pack: PackInfo,
    pub(crate) at: u64,
    pub(crate) len: u64,
    /// The digest of the parcel's bytes.
    pub(crate) digest: Digest,
    /// Large blobs of its outputs, each with its length.
    pub(crate) blobs: Vec<(Digest, u64)>,
}

/// Encodes entries, and the names of the indexes that they come from.
pub(crate) fn encode(sources: &[String], mut entries: Vec<Entry>) -> Vec<u8> {
    let mut packs: Vec<_> = entries.iter().map(|entry| entry.pack).collect();
    packs.sort_unstable();
    packs.dedup();
    entries.sort_by_key(|entry| entry.key);
    let mut head = Vec::new();
    push_u32(&mut head, sources.len());
    for source in sources {
        push_u32(&mut head, source.len());
        head.extend(source.as_bytes());
    }
    push_u32(&mut head, packs.len());
    for pack in &packs {
        head.extend(pack.digest.as_bytes());
        head.extend(pack.size_bytes.to_le_bytes());
        head.extend(pack.uploaded_ms.to_le_bytes());
        head.extend(pack.source.to_le_bytes());
    }
    head.extend((entries.len() as u64).to_le_bytes());
    let mut bytes = MAGIC.to_vec();
    push_u32(&mut bytes, head.len());
    bytes.extend(head);
    let mut bodies = Vec::new();
    for entry in &entries {
        bytes.extend(prefix(&entry.key).to_le_bytes());
        bytes.extend((bodies.len() as u64).to_le_bytes());
        bodies.extend(entry.key.as_bytes());
        let pack = packs.binary_search(&entry.pack).expect("each pack of an entry is listed");
        push_u32(&mut bodies, pack);
        bodies.extend(entry.at.to_le_bytes());
        bodies.extend(entry.len.to_le_bytes());
        bodies.extend(entry.digest.as_bytes());
        push_u32(&mut bodies, entry.blobs.len());
        for (digest, size_bytes) in &entry.blobs {
            bodies.extend(digest.as_bytes());
            bodies.extend(size_bytes.to_le_bytes());
        }
    }
    bytes.extend(bodies);
    bytes
}

/// The sorting number of a key.
fn prefix(key: &Digest) -> u64 {
    u64::from_be_bytes(key.as_bytes()[..8].try_into().expect("a digest is longer"))
}

fn push_u32(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend(u32::try_from(number).expect("fewer than 2^32").to_le_bytes());
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    bytes: Bytes,
    pub(crate) sources: Vec<String>,
    packs: Vec<PackInfo>,
    pub(crate) count: u64,
    table_at: u64,
    entries_at: u64,
}

#[derive(Debug)]
enum Bytes {
    Memory(Vec<u8>),
    File(File, u64),
}

impl Bytes {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, len) => *len,
        }
    }

    fn read(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        match self {
            Self::Memory(bytes) => {
                let from = usize::try_from(at).ok()?;
                bytes.get(from..from.checked_add(len)?).map(<[u8]>::to_vec)
            }
            Self::File(file, size) => {
                if at.checked_add(len as u64)? > *size {
                    return None;
                }
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, at).ok()?;
                Some(bytes)
            }
        }
    }
}

impl Segment {
    /// Opens a file of the catalogue; `None` if it is missing or damaged.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let file = disk::open(path).ok()?;
        let len = file.metadata().ok()?.len();
        let bytes = Bytes::File(file, len);
        Self::of(if len <= WHOLE_BYTES { Bytes::Memory(bytes.read(0, usize::try_from(len).ok()?)?) } else { bytes })
    }

    /// Decodes an index of the bucket; `None` if it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        Self::of(Bytes::Memory(INDEX.open(bytes).ok()?.to_vec()))
    }

    /// Decodes a segment of the catalogue.
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Option<Self> {
        Self::of(Bytes::Memory(bytes))
    }

    fn of(bytes: Bytes) -> Option<Self> {
        let start = bytes.read(0, HEAD_AT as usize)?;
        let head_len = Reader(start.strip_prefix(&MAGIC)?).u32()?;
        let head = bytes.read(HEAD_AT, head_len as usize)?;
        let mut reader = Reader(&head);
        let mut sources = Vec::new();
        for _ in 0..reader.u32()? {
            sources.push(str::from_utf8(reader.counted()?).ok()?.to_owned());
        }
        let mut packs = Vec::new();
        for _ in 0..reader.u32()? {
            let digest = reader.digest()?;
            packs.push(PackInfo {
                digest,
                size_bytes: reader.u64()?,
                uploaded_ms: reader.u64()?,
                source: reader.u32()?,
            });
        }
        let count = reader.u64()?;
        let table_at = HEAD_AT + u64::from(head_len);
        let entries_at = table_at.checked_add(count.checked_mul(ROW)?)?;
        (entries_at <= bytes.len()).then_some(Self { bytes, sources, packs, count, table_at, entries_at })
    }

    fn row(&self, number: u64) -> Option<(u64, u64)> {
        let row = self.bytes.read(self.table_at + number * ROW, ROW as usize)?;
        let mut reader = Reader(&row);
        Some((reader.u64()?, reader.u64()?))
    }

    /// Decodes the entry at an offset behind the table; `None` if it is damaged, or leads out of its pack.
    fn entry(&self, offset: u64) -> Option<Entry> {
        let at = self.entries_at.checked_add(offset)?;
        let fixed = self.bytes.read(at, ENTRY_LEN)?;
        let mut reader = Reader(&fixed);
        let key = reader.digest()?;
        let pack = *self.packs.get(reader.u32()? as usize)?;
        let (place, len, digest) = (reader.u64()?, reader.u64()?, reader.digest()?);
        let count = reader.u32()? as usize;
        let listed = self.bytes.read(at + ENTRY_LEN as u64, count.checked_mul(BLOB_LEN)?)?;
        let mut reader = Reader(&listed);
        let blobs = (0..count).map(|_| Some((reader.digest()?, reader.u64()?))).collect::<Option<_>>()?;
        let is_inside = place.checked_add(len).is_some_and(|end| end <= pack.size_bytes);
        is_inside.then_some(Entry { key, pack, at: place, len, digest, blobs })
    }

    /// Finds the entries of a key.
    pub(crate) fn find(&self, key: &Digest) -> Vec<Entry> {
        let wanted = prefix(key);
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.row(middle) {
                Some((found, _)) if found < wanted => low = middle + 1,
                _ => high = middle,
            }
        }
        let rows = (low..self.count).map_while(|number| self.row(number)).take_while(|(found, _)| *found == wanted);
        rows.filter_map(|(_, offset)| self.entry(offset)).filter(|entry| entry.key == *key).collect()
    }

    /// Iterates over all entries; damaged ones are left out.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        (0..self.count).filter_map(|number| self.entry(self.row(number)?.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, source: u32) -> Entry {
        let pack = PackInfo { digest: Digest::of(b"pack"), size_bytes: 100, uploaded_ms: 5, source };
        let blobs = vec![(Digest::of(b"blob"), 70_000); usize::from(name == "a")];
        Entry { key: Digest::of(name.as_bytes()), pack, at: 10, len: 20, digest: Digest::of(b"parcel"), blobs }
    }

    fn framed(segment: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; INDEX.header_len()];
        bytes.extend(segment);
        INDEX.seal(&mut bytes);
        bytes
    }

    #[test]
    fn every_entry_is_found_by_its_key_and_nothing_else_is() {
        let names: Vec<_> = (0..300).map(|number| number.to_string()).chain(["a".to_owned()]).collect();
        let bytes = encode(&["x".to_owned()], names.iter().map(|name| entry(name, 0)).collect());
        let segment = Segment::decode(&framed(&bytes)).unwrap();
        for name in &names {
            assert_eq!(segment.find(&Digest::of(name.as_bytes())), [entry(name, 0)]);
        }
        assert!(segment.find(&Digest::of(b"other")).is_empty());
        assert_eq!((segment.entries().count(), segment.sources.as_slice()), (301, ["x".to_owned()].as_slice()));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("young"), &bytes).unwrap();
        assert_eq!(Segment::open(&dir.path().join("young")).unwrap().find(&Digest::of(b"a")), [entry("a", 0)]);
    }

    #[test]
    fn several_places_of_one_key_are_all_found() {
        let bytes = encode(&[], vec![entry("a", 0), entry("b", 0), entry("a", 1)]);
        let segment = Segment::decode(&framed(&bytes)).unwrap();
        assert_eq!(segment.find(&Digest::of(b"a")).len(), 2);
    }

    #[test]
    fn damage_anywhere_is_refused_or_finds_less() {
        let bytes = encode(&["x".to_owned()], vec![entry("a", 0), entry("b", 0)]);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            assert!(
                Segment::decode(&framed(&damaged)).is_none_or(|segment| segment.find(&Digest::of(b"a")).len() <= 1)
            );
            let mut whole = framed(&bytes);
            whole[INDEX.header_len() + at] ^= 1;
            assert!(Segment::decode(&whole).is_none());
            assert!(Segment::of(Bytes::Memory(bytes[..at].to_vec())).is_none_or(|cut| cut.entries().count() < 2));
        }
    }
}
