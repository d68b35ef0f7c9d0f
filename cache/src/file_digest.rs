//! Digests of files outside the store, read again only if they may have changed.
//!
//! A digest is remembered with what the filesystem says of the file: size, time of last modification, time of last status
//! change, inode and device. While all five stay the same, the file counts as the same.
//!
//! Clocks of filesystems are coarse: a file that is written twice within one tick looks the same after the second write.
//! So a digest is remembered only if both times lay [`RACY_NS`] or more before the look that preceded the reading;
//! a younger file is read again next time. The status-change time cannot be set by a program, so copying with old
//! times does not deceive. (git's index has the same problem and calls such entries racy.)
//!
//! The file `stat-cache` is `4F 53 54 31`, CRC-32 of the rest (4), then for each file: digest (32), size, mtime_ns,
//! ctime_ns, inode, device, last_seen_ms (8 each, little-endian), length of the path (4), path. It is replaced as a whole;
//! one that is damaged counts as empty.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use rayon::prelude::*;

use crate::clock;
use crate::digest::Digest;
use crate::disk;
use crate::error::StoreError;
use crate::object::hash;

/// Two seconds, the coarsest tick of a filesystem in use (FAT).
const RACY_NS: i64 = 2_000_000_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Files that nobody asked for in so long are forgotten.
const FORGET_MS: u64 = 90 * DAY_MS;
const MAGIC: [u8; 4] = *b"OST1";
const ENTRY_LEN: usize = 32 + 6 * 8 + 4;
const ATTEMPTS: usize = 3;

/// Digests of external files, remembered in a store.
#[derive(Debug)]
pub struct FileDigests {
    path: PathBuf,
    known: RwLock<HashMap<PathBuf, Entry>>,
    changed: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    digest: Digest,
    stat: Stat,
    seen_ms: u64,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    size_bytes: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    inode: u64,
    device: u64,
}

impl FileDigests {
    /// Reads what is remembered in the store in this folder; one that is missing, damaged or unreadable is empty.
    pub fn open(store_dir: &Path) -> Self {
        let path = store_dir.join("stat-cache");
        let bytes = fs::read(&path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("{}", StoreError::io("read", &path)(error));
            }
            Vec::new()
        });
        let known = decode(&bytes).unwrap_or_else(|| {
            if !bytes.is_empty() {
                tracing::warn!("{} is damaged, so all external files are read anew", path.display());
            }
            HashMap::new()
        });
        Self { path, known: RwLock::new(known), changed: AtomicBool::new(false) }
    }

    /// The digest of a file's contents.
    pub fn digest(&self, path: &Path) -> Result<Digest, StoreError> {
        let path = std::path::absolute(path).map_err(StoreError::io("find", path))?;
        let now_ms = clock::now_ms();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&path).copied();
        if let Some(entry) = known
            && let Ok(metadata) = fs::metadata(&path)
            && Stat::of(&metadata) == entry.stat
        {
            if now_ms.saturating_sub(entry.seen_ms) > DAY_MS {
                self.remember(&path, Entry { seen_ms: now_ms, ..entry });
            }
            return Ok(entry.digest);
        }
        for _ in 0..ATTEMPTS {
            let looked_ns = i64::try_from(clock::now_ns()).unwrap_or(i64::MAX);
            let file = File::open(&path).map_err(StoreError::io("open", &path))?;
            let stat = |file: &File| Ok(Stat::of(&file.metadata().map_err(StoreError::io("read", &path))?));
            let before = stat(&file)?;
            let (digest, _) = hash(&file, &path, None)?;
            if stat(&file)? == before {
                if before.is_settled(looked_ns) {
                    self.remember(&path, Entry { digest, stat: before, seen_ms: now_ms });
                }
                return Ok(digest);
            }
        }
        Err(StoreError::Changing { path })
    }

    /// The digests of many files in the order given, read by all threads.
    pub fn digest_many(&self, paths: &[PathBuf]) -> Vec<Result<Digest, StoreError>> {
        paths.par_iter().map(|path| self.digest(path)).collect()
    }

    /// Writes what is remembered, if anything is new.
    pub fn save(&self) -> Result<(), StoreError> {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let bytes = encode(&self.known.read().unwrap_or_else(PoisonError::into_inner), clock::now_ms());
        disk::replace(&self.path, &bytes, false)
    }

    fn remember(&self, path: &Path, entry: Entry) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), entry);
        self.changed.store(true, Ordering::Relaxed);
    }
}

impl Stat {
    fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size_bytes: metadata.size(),
            mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }

    /// Whether a write after this look would have changed the times.
    fn is_settled(&self, looked_ns: i64) -> bool {
        self.mtime_ns.max(self.ctime_ns) <= looked_ns.saturating_sub(RACY_NS)
    }
}

fn encode(known: &HashMap<PathBuf, Entry>, now_ms: u64) -> Vec<u8> {
    let mut rest = Vec::new();
    for (path, entry) in known.iter().filter(|(_, entry)| now_ms.saturating_sub(entry.seen_ms) < FORGET_MS) {
        let stat = entry.stat;
        rest.extend(entry.digest.as_bytes());
        rest.extend(stat.size_bytes.to_le_bytes());
        rest.extend(stat.mtime_ns.to_le_bytes());
        rest.extend(stat.ctime_ns.to_le_bytes());
        rest.extend(stat.inode.to_le_bytes());
        rest.extend(stat.device.to_le_bytes());
        rest.extend(entry.seen_ms.to_le_bytes());
        let path = path.as_os_str().as_bytes();
        rest.extend(u32::try_from(path.len()).expect("the system limits paths to a few KiB").to_le_bytes());
        rest.extend(path);
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(crc32fast::hash(&rest).to_le_bytes());
    bytes.extend(rest);
    bytes
}

/// Whether the bytes of the file are what was written.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    decode(bytes).is_some()
}

fn decode(bytes: &[u8]) -> Option<HashMap<PathBuf, Entry>> {
    let (header, mut rest) = bytes.split_at_checked(8)?;
    if header[..4] != MAGIC || header[4..] != crc32fast::hash(rest).to_le_bytes() {
        return None;
    }
    let mut known = HashMap::new();
    while let Some((fixed, after)) = rest.split_at_checked(ENTRY_LEN) {
        let (digest, numbers) = fixed.split_first_chunk::<32>()?;
        let number = |place: usize| Some(u64::from_le_bytes(*numbers.get(place * 8..)?.first_chunk()?));
        let stat = Stat {
            size_bytes: number(0)?,
            mtime_ns: number(1)?.cast_signed(),
            ctime_ns: number(2)?.cast_signed(),
            inode: number(3)?,
            device: number(4)?,
        };
        let entry = Entry { digest: Digest::from_bytes(*digest), stat, seen_ms: number(5)? };
        let path_len = u32::from_le_bytes(*numbers.last_chunk()?) as usize;
        let (path, after) = after.split_at_checked(path_len)?;
        known.insert(PathBuf::from(OsStr::from_bytes(path)), entry);
        rest = after;
    }
    rest.is_empty().then_some(known)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn settled(path: &Path, digests: &FileDigests) -> Entry {
        // Tests cannot wait for the window to pass, so this entry claims that it has.
        let stat = Stat::of(&fs::metadata(path).unwrap());
        let entry = Entry { digest: Digest::of(b"remembered"), stat, seen_ms: clock::now_ms() };
        digests.remember(path, entry);
        entry
    }

    #[test]
    fn an_unchanged_file_is_not_read_again_even_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image.png");
        fs::write(&file, b"pixels").unwrap();
        let digests = FileDigests::open(dir.path());
        settled(&file, &digests);
        digests.save().unwrap();
        let again = FileDigests::open(dir.path());
        assert_eq!(again.digest(&file).unwrap(), Digest::of(b"remembered"));
    }

    #[test]
    fn a_file_that_was_just_written_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image.png");
        fs::write(&file, b"first").unwrap();
        let digests = FileDigests::open(dir.path());
        assert_eq!(digests.digest(&file).unwrap(), Digest::of(b"first"));
        assert!(digests.known.read().unwrap().is_empty());
        // As long as before, and perhaps within the same tick.
        fs::write(&file, b"other").unwrap();
        assert_eq!(digests.digest(&file).unwrap(), Digest::of(b"other"));
    }

    #[test]
    fn the_racy_window_ends_where_a_later_write_must_show() {
        let stat = Stat { size_bytes: 1, mtime_ns: 10 * RACY_NS, ctime_ns: 9 * RACY_NS, inode: 1, device: 1 };
        assert!(!stat.is_settled(10 * RACY_NS));
        assert!(!stat.is_settled(11 * RACY_NS - 1));
        assert!(stat.is_settled(11 * RACY_NS));
        assert!(!Stat { ctime_ns: 12 * RACY_NS, ..stat }.is_settled(11 * RACY_NS));
    }

    #[test]
    fn a_file_with_its_old_size_and_time_is_read_again_because_its_status_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image.png");
        fs::write(&file, b"first").unwrap();
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        let digests = FileDigests::open(dir.path());
        let entry = settled(&file, &digests);
        // Wait until the filesystem's clock has ticked; then forge the time of modification.
        while Stat::of(&fs::metadata(&file).unwrap()).ctime_ns == entry.stat.ctime_ns {
            fs::write(&file, b"other").unwrap();
            File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
        }
        assert_eq!(Stat::of(&fs::metadata(&file).unwrap()).mtime_ns, entry.stat.mtime_ns);
        assert_eq!(digests.digest(&file).unwrap(), Digest::of(b"other"));
    }

    #[test]
    fn old_files_are_remembered_and_a_damaged_memory_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let digests = FileDigests::open(dir.path());
        let system = std::env::current_exe().unwrap();
        let digest = digests.digest(&system).unwrap();
        assert_eq!(digests.digest(&system).unwrap(), digest);
        settled(&system, &digests);
        digests.save().unwrap();
        let path = dir.path().join("stat-cache");
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            assert_eq!(decode(&bytes), None, "a flipped bit at {place}");
            assert!(place == 0 || decode(&whole[..place]).is_none(), "cut at {place}");
        }
    }

    #[test]
    fn many_files_are_digested_in_order_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..20).map(|number| dir.path().join(number.to_string())).collect();
        for path in &paths[1..] {
            fs::write(path, path.file_name().unwrap().as_bytes()).unwrap();
            File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
        }
        let digests = FileDigests::open(dir.path()).digest_many(&paths);
        assert!(digests[0].as_ref().unwrap_err().to_string().contains(&*paths[0].to_string_lossy()));
        for (number, digest) in digests.iter().enumerate().skip(1) {
            assert_eq!(digest.as_ref().unwrap(), &Digest::of(number.to_string().as_bytes()));
        }
    }
}
