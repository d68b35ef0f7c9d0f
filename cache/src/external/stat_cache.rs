//! The file `stat-cache`: digests of files outside the store, each with the state of its file.
//!
//! It is a [`Frame`] (`OST1`, CRC-32 of the rest) of entries: digest (32), size, mtime_ns, ctime_ns, inode, device,
//! last_seen_ms (8 each, little-endian), length of the path (4), path. Entries are sorted by path, each path once. The
//! file is replaced as a whole; a damaged one counts as empty.
//!
//! A hundred thousand files are an ordinary data set, so entries stay encoded until they are asked for.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files::frame::{Checksum, Frame, Reader};
use crate::value::digest::Digest;

/// Two seconds, the coarsest tick of a filesystem in use (FAT).
pub(super) const RACY_NS: i64 = 2_000_000_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Age at which an unused entry is dropped.
const FORGET_MS: u64 = 90 * DAY_MS;
const FRAME: Frame = Frame { name: "stat cache", magic: b"OST1", checksum: Checksum::Crc32 };
const FIXED_LEN: usize = 32 + 6 * 8 + 4;

/// The state of a file: it counts as unchanged while all of these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    pub(crate) size_bytes: u64,
    pub(crate) mtime_ns: i64,
    pub(crate) ctime_ns: i64,
    pub(crate) inode: u64,
    pub(crate) device: u64,
}

impl FileStat {
    /// Takes the state from metadata.
    pub fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size_bytes: metadata.size(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }

    /// Returns whether a write after the look would have changed the times.
    pub(super) fn is_settled(&self, looked_ns: i64) -> bool {
        self.mtime_ns.max(self.ctime_ns) <= looked_ns.saturating_sub(RACY_NS)
    }
}

/// The digest of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    pub(crate) stat: FileStat,
    pub(crate) seen_ms: u64,
}

impl Entry {
    /// Returns whether the time of last use is so old that it should be renewed.
    pub(crate) fn is_old(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.seen_ms) > DAY_MS
    }
}

/// The entries of one file.
#[derive(Debug, Default)]
pub(crate) struct StatCache {
    bytes: Vec<u8>,
    /// Offset of each entry, in the order of paths.
    starts: Vec<usize>,
}

impl StatCache {
    /// Decodes the bytes of the file; `None` if they are damaged.
    pub(crate) fn decode(bytes: Vec<u8>) -> Option<Self> {
        FRAME.open(&bytes).ok()?;
        let mut starts = Vec::new();
        let mut start = FRAME.header_len();
        while start < bytes.len() {
            starts.push(start);
            start = entry(&bytes, start)?.1;
        }
        let path = |start: &usize| path(&bytes, *start);
        starts.is_sorted_by(|a, b| path(a) < path(b)).then_some(Self { bytes, starts })
    }

    /// Encodes these entries; newer ones replace those of the same path.
    pub(crate) fn encode(&self, newer: &HashMap<PathBuf, Entry>, now_ms: u64) -> Vec<u8> {
        let mut entries: BTreeMap<&[u8], Entry> = self
            .starts
            .iter()
            .filter_map(|&start| Some((path(&self.bytes, start), entry(&self.bytes, start)?.0)))
            .collect();
        entries.extend(newer.iter().map(|(path, entry)| (path.as_os_str().as_bytes(), *entry)));
        let mut bytes = Vec::with_capacity(self.bytes.len());
        bytes.resize(FRAME.header_len(), 0);
        for (path, Entry { digest, stat, seen_ms }) in entries {
            if now_ms.saturating_sub(seen_ms) >= FORGET_MS {
                continue;
            }
            bytes.extend(digest.as_bytes());
            bytes.extend(stat.size_bytes.to_le_bytes());
            bytes.extend(stat.mtime_ns.to_le_bytes());
            bytes.extend(stat.ctime_ns.to_le_bytes());
            bytes.extend(stat.inode.to_le_bytes());
            bytes.extend(stat.device.to_le_bytes());
            bytes.extend(seen_ms.to_le_bytes());
            bytes.extend(u32::try_from(path.len()).expect("the system limits paths to a few KiB").to_le_bytes());
            bytes.extend(path);
        }
        FRAME.seal(&mut bytes);
        bytes
    }

    /// Iterates over all entries in the order of paths.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Path, Entry)> {
        let of = |start: &usize| Some((path(&self.bytes, *start), entry(&self.bytes, *start)?.0));
        self.starts.iter().filter_map(of).map(|(path, entry)| (Path::new(OsStr::from_bytes(path)), entry))
    }

    /// Returns the entry of a file.
    ///
    /// - `next`: the number of the entry to try first; then that of the next entry, as most files are asked for in
    ///   order
    pub(crate) fn find(&self, wanted: &Path, next: &mut usize) -> Option<Entry> {
        let wanted = wanted.as_os_str().as_bytes();
        let order = |start: &usize| path(&self.bytes, *start).cmp(wanted);
        let number = match self.starts.get(*next) {
            Some(start) if order(start) == Ordering::Equal => *next,
            _ => self.starts.binary_search_by(order).ok()?,
        };
        *next = number + 1;
        entry(&self.bytes, self.starts[number]).map(|(entry, _)| entry)
    }
}

/// Decodes the entry at an offset; returns its end too. `None` if the bytes end before.
fn entry(bytes: &[u8], start: usize) -> Option<(Entry, usize)> {
    let mut reader = Reader(bytes.get(start..)?);
    let digest = reader.digest()?;
    let stat = FileStat {
        size_bytes: reader.u64()?,
        mtime_ns: reader.u64()?.cast_signed(),
        ctime_ns: reader.u64()?.cast_signed(),
        inode: reader.u64()?,
        device: reader.u64()?,
    };
    let entry = Entry { digest, stat, seen_ms: reader.u64()? };
    let path = reader.counted()?;
    Some((entry, start + FIXED_LEN + path.len()))
}

/// Returns the path of a whole entry.
fn path(bytes: &[u8], start: usize) -> &[u8] {
    let (_, end) = entry(bytes, start).expect("entries were checked when the file was read");
    &bytes[start + FIXED_LEN..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry_of(number: u64) -> Entry {
        let (size_bytes, time) = (number, number.cast_signed());
        let stat = FileStat { size_bytes, mtime_ns: time, ctime_ns: time + 1, inode: number + 2, device: number + 3 };
        Entry { digest: Digest::of(&number.to_le_bytes()), stat, seen_ms: number + 4 }
    }

    fn newer(entries: &[(&str, u64)]) -> HashMap<PathBuf, Entry> {
        entries.iter().map(|(path, number)| (PathBuf::from(path), entry_of(*number))).collect()
    }

    fn written(entries: &[(&str, u64)]) -> StatCache {
        StatCache::decode(StatCache::default().encode(&newer(entries), 0)).unwrap()
    }

    #[test]
    fn a_newer_entry_takes_the_place_of_an_older_one_and_old_ones_are_forgotten() {
        let cache = written(&[("/b", 1), ("/a", 2)]);
        let cache = StatCache::decode(cache.encode(&newer(&[("/b", 9), ("/c", 3)]), 0)).unwrap();
        let found = |path: &str| cache.find(Path::new(path), &mut 0);
        assert_eq!(
            ["/a", "/b", "/c", "/d"].map(found),
            [Some(entry_of(2)), Some(entry_of(9)), Some(entry_of(3)), None]
        );
        let bytes = cache.encode(&newer(&[]), FORGET_MS + 6);
        let left = StatCache::decode(bytes).unwrap();
        assert_eq!(left.starts.len(), 2, "that of /a was last seen at 6 ms");
        assert_eq!(left.find(Path::new("/a"), &mut 0), None);
    }

    #[test]
    fn files_that_are_asked_for_in_order_are_found_at_once() {
        let cache = written(&[("/a", 0), ("/b", 1), ("/b/c", 2), ("/d", 3)]);
        let mut next = 0;
        for (number, path) in ["/a", "/b", "/b/c", "/d"].iter().enumerate() {
            assert_eq!(cache.find(Path::new(path), &mut next), Some(entry_of(number as u64)));
            assert_eq!(next, number + 1);
        }
        assert_eq!(cache.find(Path::new("/b"), &mut next), Some(entry_of(1)));
        assert_eq!((cache.find(Path::new("/bc"), &mut next), next), (None, 2));
    }

    #[test]
    fn a_damaged_file_is_refused_wherever_it_is_damaged() {
        let whole = written(&[("/some/image.png", 5), ("/other", 6)]).bytes;
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            assert!(StatCache::decode(bytes).is_none(), "a flipped bit at {place}");
            assert!(StatCache::decode(whole[..place].to_vec()).is_none(), "cut at {place}");
        }
    }

    #[test]
    fn the_racy_window_ends_where_a_later_write_must_show() {
        let stat = FileStat { size_bytes: 1, mtime_ns: 10 * RACY_NS, ctime_ns: 9 * RACY_NS, inode: 1, device: 1 };
        assert!(!stat.is_settled(10 * RACY_NS));
        assert!(!stat.is_settled(11 * RACY_NS - 1));
        assert!(stat.is_settled(11 * RACY_NS));
        assert!(!FileStat { ctime_ns: 12 * RACY_NS, ..stat }.is_settled(11 * RACY_NS));
    }

    proptest! {
        #[test]
        fn all_entries_are_found_in_whatever_order(paths in prop::collection::vec("(/[ab]{1,2}){1,3}", 0..20)) {
            let entries: Vec<_> = paths.iter().map(String::as_str).zip(0..).collect();
            let (cache, expected) = (written(&entries), newer(&entries));
            let mut next = 0;
            for path in &paths {
                prop_assert_eq!(cache.find(Path::new(path), &mut next), expected.get(Path::new(path)).copied());
            }
        }
    }
}
