//! Index files: for each record of some packs, its place by digest or key.
//!
//! An index file `packs/ID.index` is written once and never changed. It covers packs from their start to a commit, and
//! stands in for reading them when a store is opened. It follows from the packs: a lost or damaged one is made again.
//!
//! | part | content |
//! |---|---|
//! | header | `orchidx1`; CRC-32 of `ID` and of all that follows in the header; the fields of [`Header`]; the packs |
//! | pages | [`PAGE`] bytes each, from the next multiple of `PAGE` on |
//! | filter | of the numbers of all entries (`filter.rs`) |
//!
//! | offset | size | page |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of `ID`, the page's number (4) and the rest of the page |
//! | 4 | 4 | count of entries |
//! | 8 | 20 each | number (8, big-endian), pack (4), offset of the group (4), record in the group (2), kind (1), zero |
//!
//! The number of an entry is the first eight bytes of its digest. Entries are sorted by number. Digests are random, so
//! an entry's number says on which page it lies: its **home**, if there is room, else a later page. So a lookup reads
//! one page, seldom two, whatever the length of the file. Integers are little-endian where nothing else is said.
//!
//! A tombstone is an entry under the digest of its dead record. So no tombstone needs to be read before it matters.
//!
//! Positioned reads, not a mapping: a reader of a mapped file dies if the file is cut.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::files::frame::{Reader, crc};
use crate::files::regular;
use crate::format::filter::Filter;
use crate::format::record::Kind;
use crate::value::digest::Digest;

const MAGIC: &[u8; 8] = b"orchidx1";
/// Length of a page, that of a page of memory and of most disks.
pub(crate) const PAGE: usize = 4096;
const PAGE_HEADER: usize = 8;
const ENTRY: usize = 20;
/// Entries of a full page.
pub(crate) const PAGE_ENTRIES: usize = (PAGE - PAGE_HEADER) / ENTRY;
/// A longer header is none: it would list a million packs.
const HEADER_MAX: usize = 64 << 20;
/// Bytes of the header before its fields: magic number, checksum and length.
const FIELDS_AT: usize = 16;

/// Why an index file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokenIndex {
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

type Result<T> = std::result::Result<T, BrokenIndex>;

/// The place of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The first eight bytes of its digest or key, big-endian; of a tombstone, those of the dead record's.
    pub(crate) number: u64,
    pub(crate) kind: u8,
    /// Number of its pack in the file's list.
    pub(crate) pack: u32,
    /// Offset of its group in the pack.
    pub(crate) group_at: u32,
    /// Number of the record in its group.
    pub(crate) record: u16,
}

/// A range of a pack that an index file covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoveredPack {
    pub(crate) id: String,
    /// Offset of its first covered group.
    pub(crate) start: u64,
    /// Offset of the end of its last covered group; all bytes before it were durable.
    pub(crate) end: u64,
    /// Number of its last covered commit.
    pub(crate) commit: u32,
    /// Offset and checksum of its last covered group: it tells the pack from another of the same name.
    pub(crate) last: (u64, u32),
    /// True if it gets no more groups.
    pub(crate) is_sealed: bool,
    /// The time of its earliest recorded result, in milliseconds since 1970; the maximum if it has none.
    pub(crate) oldest_ms: u64,
}

impl CoveredPack {
    /// Joins another range of the same pack, which begins or ends in this one.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.start = self.start.min(other.start);
        if other.end > self.end {
            (self.end, self.commit, self.last) = (other.end, other.commit, other.last);
        }
        self.is_sealed |= other.is_sealed;
        self.oldest_ms = self.oldest_ms.min(other.oldest_ms);
    }
}

/// Counts of an index file, and the packs that it covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Entries by kind.
    pub(crate) counts: [u64; KINDS],
    /// Pages that are homes.
    pub(crate) homes: u32,
    /// All pages: the last entries may need some more.
    pub(crate) pages: u32,
    pub(crate) filter_crc: u32,
    pub(crate) filter_len: u32,
    pub(crate) packs: Vec<CoveredPack>,
}

/// Numbers of kinds of records, and 0 for those of a later version.
pub(crate) const KINDS: usize = Kind::Seal as usize + 1;

/// Returns the number under which the entries of a digest stand.
pub(crate) fn number_of(digest: &Digest) -> u64 {
    u64::from_be_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

impl Entry {
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.number.to_be_bytes());
        bytes.extend(self.pack.to_le_bytes());
        bytes.extend(self.group_at.to_le_bytes());
        bytes.extend(self.record.to_le_bytes());
        bytes.extend([self.kind, 0]);
    }

    fn decode(bytes: &[u8; ENTRY]) -> Self {
        let four = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let number = u64::from_be_bytes(*bytes.first_chunk().expect("an entry has 20 bytes"));
        let record = u16::from_le_bytes([bytes[16], bytes[17]]);
        Self { number, kind: bytes[18], pack: four(8), group_at: four(12), record }
    }
}

/// Returns the home of a number among so many pages.
pub(crate) fn home(number: u64, homes: u32) -> u32 {
    ((u128::from(number) * u128::from(homes)) >> 64) as u32
}

/// Encodes a page of at most [`PAGE_ENTRIES`] entries.
pub(crate) fn encode_page(id: &str, page: u32, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend((entries.len() as u32).to_le_bytes());
    entries.iter().for_each(|entry| entry.encode(&mut bytes));
    bytes.resize(PAGE, 0);
    let checksum = crc(&[id.as_bytes(), &page.to_le_bytes(), &bytes[4..]]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

impl Header {
    /// The number of entries.
    pub(crate) fn entries(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn encode(&self, id: &str) -> Vec<u8> {
        let mut fields = Vec::new();
        self.counts.iter().for_each(|count| fields.extend(count.to_le_bytes()));
        for number in [self.homes, self.pages, self.filter_crc, self.filter_len, self.packs.len() as u32] {
            fields.extend(number.to_le_bytes());
        }
        for pack in &self.packs {
            fields.extend(pack.start.to_le_bytes());
            fields.extend(pack.end.to_le_bytes());
            fields.extend(pack.oldest_ms.to_le_bytes());
            fields.extend(pack.commit.to_le_bytes());
            fields.extend(pack.last.0.to_le_bytes());
            fields.extend(pack.last.1.to_le_bytes());
            fields.extend(u32::from(pack.is_sealed).to_le_bytes());
            fields.extend((pack.id.len() as u32).to_le_bytes());
            fields.extend(pack.id.as_bytes());
        }
        let len = (fields.len() as u32).to_le_bytes();
        let checksum = crc(&[id.as_bytes(), &len, &fields]).to_le_bytes();
        [MAGIC.as_slice(), &checksum, &len, &fields].concat()
    }

    fn decode(id: &str, bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes.strip_prefix(MAGIC)?);
        let checksum = reader.u32()?;
        let len = reader.u32()?;
        let fields = reader.take(len as usize)?;
        if checksum != crc(&[id.as_bytes(), &len.to_le_bytes(), fields]) {
            return None;
        }
        let mut reader = Reader(fields);
        let mut header = Self::default();
        for count in &mut header.counts {
            *count = reader.u64()?;
        }
        (header.homes, header.pages) = (reader.u32()?, reader.u32()?);
        (header.filter_crc, header.filter_len) = (reader.u32()?, reader.u32()?);
        for _ in 0..reader.u32()? {
            let (start, end, oldest_ms) = (reader.u64()?, reader.u64()?, reader.u64()?);
            let (commit, last, is_sealed) = (reader.u32()?, (reader.u64()?, reader.u32()?), reader.u32()? == 1);
            let id = str::from_utf8(reader.counted()?).ok()?.to_owned();
            header.packs.push(CoveredPack { id, start, end, commit, last, is_sealed, oldest_ms });
        }
        (header.homes > 0 && header.homes <= header.pages).then_some(header)
    }
}

/// Returns the offset of the first page behind a header of this length.
pub(crate) fn pages_at(header_len: usize) -> u64 {
    (header_len.div_ceil(PAGE) * PAGE) as u64
}

/// An open index file.
#[derive(Debug)]
pub(crate) struct IndexFile {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    file: File,
    pages_at: u64,
    /// Bytes of pages read so far; once they exceed those of the filter, the filter is read.
    bytes_read: AtomicU64,
    filter: OnceLock<Filter>,
}

impl IndexFile {
    /// Opens an index file and reads its header.
    pub(crate) fn open(id: &str, path: PathBuf) -> Result<Self> {
        let file = regular::open_to_read(&path)?;
        let mut bytes = vec![0; PAGE];
        read_exact(&file, &mut bytes, 0)?;
        let mut len = Reader(&bytes[12..FIELDS_AT]);
        let len = FIELDS_AT + len.u32().unwrap_or_default() as usize;
        if !bytes.starts_with(MAGIC) || len > HEADER_MAX {
            return Err(BrokenIndex::Damaged("its header"));
        }
        if len > PAGE {
            bytes.resize(len, 0);
            read_exact(&file, &mut bytes[PAGE..], PAGE as u64)?;
        }
        let header = Header::decode(id, &bytes).ok_or(BrokenIndex::Damaged("its header"))?;
        let pages_at = pages_at(len);
        let (bytes_read, filter) = Default::default();
        Ok(Self { id: id.to_owned(), path, header, file, pages_at, bytes_read, filter })
    }

    /// Returns the entries with a number.
    pub(crate) fn find(&self, number: u64) -> Result<Vec<Entry>> {
        self.range(number, number)
    }

    /// Returns the entries with numbers from `first` to `last`, sorted.
    pub(crate) fn range(&self, first: u64, last: u64) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        if first == last && !self.may_have(first)? {
            return Ok(found);
        }
        let mut page = home(first, self.header.homes);
        let mut bytes = [0; PAGE];
        while page < self.header.pages {
            let entries = self.page(page, &mut bytes)?;
            found.extend(
                entries.clone().skip_while(|entry| entry.number < first).take_while(|entry| entry.number <= last),
            );
            // Entries of later homes follow, or the page had room for all.
            let is_over = entries.clone().last().is_some_and(|entry| entry.number > last);
            let may_overflow = entries.len() == PAGE_ENTRIES || page < home(last, self.header.homes);
            if is_over || !may_overflow {
                break;
            }
            page += 1;
        }
        Ok(found)
    }

    /// Iterates over all entries, sorted by number.
    pub(crate) fn scan(&self) -> impl Iterator<Item = Result<Entry>> + '_ {
        let mut bytes = [0; PAGE];
        (0..self.header.pages).flat_map(move |page| match self.page(page, &mut bytes) {
            Ok(entries) => entries.map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    }

    /// Checks the whole file.
    pub(crate) fn check(&self) -> Result<()> {
        let entries = self.scan().try_fold(0, |count, entry| entry.map(|_| count + 1_u64))?;
        if entries != self.header.entries() {
            return Err(BrokenIndex::Damaged("its count of entries"));
        }
        self.read_filter().map(drop)
    }

    /// Returns the length of the file.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.filter_at() + u64::from(self.header.filter_len)
    }

    fn filter_at(&self) -> u64 {
        self.pages_at + u64::from(self.header.pages) * PAGE as u64
    }

    fn page<'b>(&self, page: u32, bytes: &'b mut [u8; PAGE]) -> Result<Entries<'b>> {
        read_exact(&self.file, bytes, self.pages_at + u64::from(page) * PAGE as u64)?;
        self.bytes_read.fetch_add(PAGE as u64, Ordering::Relaxed);
        let damaged = BrokenIndex::Damaged("a page");
        let mut reader = Reader(bytes);
        let (Some(checksum), Some(count)) = (reader.u32(), reader.u32()) else { return Err(damaged) };
        let is_whole = checksum == crc(&[self.id.as_bytes(), &page.to_le_bytes(), &bytes[4..]]);
        if !is_whole || count as usize > PAGE_ENTRIES {
            return Err(damaged);
        }
        Ok(Entries(bytes[PAGE_HEADER..PAGE_HEADER + count as usize * ENTRY].as_chunks().0.iter()))
    }

    /// Returns false if the filter is in memory, or worth reading by now, and excludes a number.
    fn may_have(&self, number: u64) -> Result<bool> {
        if self.filter.get().is_none() {
            if self.bytes_read.load(Ordering::Relaxed) <= u64::from(self.header.filter_len) {
                return Ok(true);
            }
            // Another thread may have been quicker.
            let _ = self.filter.set(self.read_filter()?);
        }
        Ok(self.filter.get().is_none_or(|filter| filter.may_have(number)))
    }

    fn read_filter(&self) -> Result<Filter> {
        let mut bytes = vec![0; self.header.filter_len as usize];
        read_exact(&self.file, &mut bytes, self.filter_at())?;
        let filter = Filter::decode(&bytes).filter(|_| crc(&[&bytes]) == self.header.filter_crc);
        filter.ok_or(BrokenIndex::Damaged("its filter"))
    }
}

/// The entries of a page.
#[derive(Clone)]
struct Entries<'b>(std::slice::Iter<'b, [u8; ENTRY]>);

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.0.next().map(Entry::decode)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Entries<'_> {}

fn read_exact(file: &File, bytes: &mut [u8], at: u64) -> Result<()> {
    file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => BrokenIndex::Damaged("it is cut short"),
        _ => BrokenIndex::Read(error),
    })
}

/// Returns the path of the folder's index file with an id.
pub(crate) fn path(packs: &Path, id: &str) -> PathBuf {
    packs.join(format!("{id}.index"))
}
