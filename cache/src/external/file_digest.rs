//! Digests of files outside the store; a file is read again only if it may have changed.
//!
//! A digest is remembered with the file's size, time of modification, time of status change, inode and device. While
//! all five are the same, the file counts as unchanged.
//!
//! Clocks of filesystems are coarse: after two writes within one tick a file looks as after the first. So a digest is
//! remembered only if both times lay two seconds or more before the look that preceded the reading; a younger file is
//! read again next time. Programs cannot set the time of status change, so copying with old times does not deceive.
//! (git's index has the same problem and calls such entries racy.)
//!
//! The digests are kept in the file [`stat-cache`](crate::external::stat_cache), or where trust is limited in
//! `stat-caches/NAME`: the same file of one user, behind a stamp (32 bytes).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use rayon::prelude::*;

use crate::error::StoreError;
use crate::external::read::{EXTERNAL_BYTES_MAX, open};
use crate::external::stat_cache::{Entry, FileStat, StatCache};
use crate::files::{clock, disk};
use crate::format::object::hash;
use crate::lock::memory::{read, write};
use crate::trust::Stamps;
use crate::trust::stamp::{STAMP_LEN, StampKey};
use crate::value::digest::Digest;

const ATTEMPTS: usize = 3;
/// Precedes what a stamp covers.
const STAMP_OF: &[u8] = b"stat-cache\0";
/// A longer file is none: it would have millions of entries.
const BYTES_MAX: u64 = 1 << 30;

/// Digests of external files, remembered in a store.
#[derive(Debug)]
pub struct FileDigests {
    /// The file that remembers them; `None` if none is believed.
    path: Option<PathBuf>,
    stamp: Option<StampKey>,
    /// Digests of earlier processes.
    known: StatCache,
    newer: RwLock<HashMap<PathBuf, Entry>>,
}

impl FileDigests {
    /// Reads the stat cache of the store in this folder; a missing, damaged or unreadable one is empty.
    pub fn open(store_dir: &Path) -> Self {
        Self::open_trusting(store_dir, Stamps::Unneeded)
    }

    /// The same where trust may be limited: then each user has a stat cache with a stamp, as a planted digest would
    /// make a file another one.
    pub fn open_trusting(store_dir: &Path, stamps: Stamps) -> Self {
        let (path, stamp) = match stamps {
            Stamps::Unneeded => (store_dir.join("stat-cache"), None),
            Stamps::With(stamp) => (store_dir.join("stat-caches").join(stamp.name().to_string()), Some(stamp)),
            Stamps::Impossible => {
                return Self { path: None, stamp: None, known: StatCache::default(), newer: RwLock::default() };
            }
        };
        let bytes = disk::read(&path, BYTES_MAX).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("{}", StoreError::io("read", &path)(error));
            }
            Vec::new()
        });
        let is_new = bytes.is_empty();
        let known = unstamped(bytes, stamp.as_ref()).and_then(StatCache::decode).unwrap_or_else(|| {
            if !is_new {
                tracing::warn!("{} is damaged, so all external files are read anew", path.display());
            }
            StatCache::default()
        });
        Self { path: Some(path), stamp, known, newer: RwLock::default() }
    }

    /// Returns the digest of a file's contents.
    pub fn digest(&self, path: &Path) -> Result<Digest, StoreError> {
        self.digest_of(path, None, clock::now_ms(), &mut 0)
    }

    /// Returns the digests of many files in the given order, read by all threads; each may come with its state, if the
    /// caller has looked already.
    ///
    /// Such a state may be as old as the process: a later change is one during the run.
    pub fn digest_many(&self, files: &[(&Path, Option<FileStat>)]) -> Vec<Result<Digest, StoreError>> {
        let now_ms = clock::now_ms();
        let digest = |next: &mut usize, (path, stat): &(&Path, _)| self.digest_of(path, *stat, now_ms, next);
        files.par_iter().map_init(|| 0, digest).collect()
    }

    fn digest_of(
        &self,
        path: &Path,
        stat: Option<FileStat>,
        now_ms: u64,
        next: &mut usize,
    ) -> Result<Digest, StoreError> {
        let path = if path.is_absolute() {
            Cow::Borrowed(path)
        } else {
            Cow::Owned(std::path::absolute(path).map_err(StoreError::io("find", path))?)
        };
        if let Some(entry) = self.remembered(&path, next)
            && stat.or_else(|| fs::metadata(&path).ok().as_ref().map(FileStat::of)) == Some(entry.stat)
        {
            if entry.is_old(now_ms) {
                self.remember(&path, Entry { seen_ms: now_ms, ..entry });
            }
            return Ok(entry.digest);
        }
        for _ in 0..ATTEMPTS {
            let looked_ns = i64::try_from(clock::now_ns()).unwrap_or(i64::MAX);
            let file = open(&path, EXTERNAL_BYTES_MAX).map_err(StoreError::io("read", &path))?;
            let stat = |file: &File| Ok(FileStat::of(&file.metadata().map_err(StoreError::io("read", &path))?));
            let before = stat(&file)?;
            let (digest, _) = hash(&file, &path, None)?;
            if stat(&file)? == before {
                if before.is_settled(looked_ns) {
                    self.remember(&path, Entry { digest, stat: before, seen_ms: now_ms });
                }
                return Ok(digest);
            }
        }
        Err(StoreError::Changing { path: path.into_owned() })
    }

    /// Returns the digest that a file had when it was last read, whether or not it still exists.
    pub fn last_known(&self, path: &Path) -> Option<Digest> {
        let path = std::path::absolute(path).ok()?;
        self.remembered(&path, &mut 0).map(|entry| entry.digest)
    }

    /// Lists the paths of files that had one of these digests when they were last read, sorted.
    pub fn paths_of(&self, digests: &HashSet<Digest>) -> Vec<PathBuf> {
        let newer = read(&self.newer);
        let known = self.known.entries().filter(|(path, _)| !newer.contains_key(*path));
        let all = known.chain(newer.iter().map(|(path, entry)| (path.as_path(), *entry)));
        let mut paths: Vec<_> =
            all.filter(|(_, entry)| digests.contains(&entry.digest)).map(|(path, _)| path.to_owned()).collect();
        paths.sort_unstable();
        paths
    }

    /// Writes the stat cache, if anything is new.
    pub fn save(&self) -> Result<(), StoreError> {
        let newer = read(&self.newer);
        let Some(path) = self.path.as_ref().filter(|_| !newer.is_empty()) else { return Ok(()) };
        let mut bytes = self.known.encode(&newer, clock::now_ms());
        if let Some(stamp) = &self.stamp {
            disk::create_folder(path.parent().expect("it lies in a folder of its own"))?;
            bytes.splice(..0, stamp.stamp(&[STAMP_OF, &bytes]));
        }
        disk::replace(path, &bytes, false)
    }

    fn remembered(&self, path: &Path, next: &mut usize) -> Option<Entry> {
        let newer = read(&self.newer);
        newer.get(path).copied().or_else(|| self.known.find(path, next))
    }

    fn remember(&self, path: &Path, entry: Entry) {
        write(&self.newer).insert(path.to_owned(), entry);
    }
}

/// Returns the bytes behind the stamp of this key; all of them if there is no key, `None` if the stamp is not its.
fn unstamped(mut bytes: Vec<u8>, key: Option<&StampKey>) -> Option<Vec<u8>> {
    let Some(key) = key else { return Some(bytes) };
    if bytes.len() < STAMP_LEN {
        return None;
    }
    let rest = bytes.split_off(STAMP_LEN);
    (bytes == key.stamp(&[STAMP_OF, &rest])).then_some(rest)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::trust::private_key::PrivateKey;

    fn settled(path: &Path, digests: &FileDigests) -> Entry {
        // Tests cannot wait for the window to pass, so this entry claims that it has.
        let stat = FileStat::of(&fs::metadata(path).unwrap());
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
    fn under_limited_trust_only_ones_own_digests_are_believed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image.png");
        fs::write(&file, b"pixels").unwrap();
        let stamps = || Stamps::With(PrivateKey::generate().unwrap().stamp_key());
        let (own, other) = (stamps(), stamps());
        let digest = |stamps: &Stamps| FileDigests::open_trusting(dir.path(), stamps.clone()).digest(&file).unwrap();
        let plant = |stamps: &Stamps| {
            let digests = FileDigests::open_trusting(dir.path(), stamps.clone());
            settled(&file, &digests);
            digests.save().unwrap();
            digests.path
        };
        let theirs = plant(&other).unwrap();
        plant(&Stamps::Unneeded);
        assert_eq!(plant(&Stamps::Impossible), None);
        for stamps in [&own, &Stamps::Impossible] {
            assert_eq!(digest(stamps), Digest::of(b"pixels"));
        }
        let path = plant(&own).unwrap();
        assert_eq!(digest(&own), Digest::of(b"remembered"));
        fs::copy(theirs, path).unwrap();
        assert_eq!(digest(&own), Digest::of(b"pixels"), "under the name of another's file, too");
    }

    #[test]
    fn a_file_that_was_just_written_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image.png");
        fs::write(&file, b"first").unwrap();
        let digests = FileDigests::open(dir.path());
        assert_eq!(digests.digest(&file).unwrap(), Digest::of(b"first"));
        assert!(digests.newer.read().unwrap().is_empty());
        // As long as before, and perhaps within the same tick.
        fs::write(&file, b"other").unwrap();
        assert_eq!(digests.digest(&file).unwrap(), Digest::of(b"other"));
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
        while FileStat::of(&fs::metadata(&file).unwrap()).ctime_ns == entry.stat.ctime_ns {
            fs::write(&file, b"other").unwrap();
            File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
        }
        assert_eq!(FileStat::of(&fs::metadata(&file).unwrap()).mtime_ns, entry.stat.mtime_ns);
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
        let mut bytes = fs::read(&path).unwrap();
        let stands = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            FileDigests::open(dir.path()).digest(&system).unwrap() == Digest::of(b"remembered")
        };
        assert!(stands(&bytes));
        bytes[20] ^= 1;
        assert!(!stands(&bytes));
    }

    #[test]
    fn files_are_found_by_the_digest_that_they_had() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["a.png", "b.png", "c.png"].map(|name| dir.path().join(name));
        let digests = FileDigests::open(dir.path());
        for path in &paths {
            fs::write(path, "pixels").unwrap();
            settled(path, &digests);
        }
        digests.save().unwrap();
        let digests = FileDigests::open(dir.path());
        let entry = Entry { digest: Digest::of(b"other"), ..settled(&paths[1], &digests) };
        digests.remember(&paths[1], entry);
        fs::remove_file(&paths[0]).unwrap();
        let remembered = HashSet::from([Digest::of(b"remembered")]);
        assert_eq!(digests.paths_of(&remembered), [paths[0].clone(), paths[2].clone()]);
        let known = paths.each_ref().map(|path| digests.last_known(path));
        let (remembered, other) = (Some(Digest::of(b"remembered")), Some(Digest::of(b"other")));
        assert_eq!(known, [remembered, other, remembered]);
        assert_eq!(digests.last_known(&dir.path().join("d.png")), None);
    }

    #[test]
    fn what_was_seen_of_a_file_before_stands_for_a_look_and_never_for_its_contents() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("image.png");
        fs::write(&file, b"pixels").unwrap();
        let digests = FileDigests::open(dir.path());
        let Entry { stat, .. } = settled(&file, &digests);
        let other = FileStat { ctime_ns: stat.ctime_ns + 1, ..stat };
        let digest = |stat| digests.digest_many(&[(&file, stat)]).remove(0).unwrap();
        assert_eq!([None, Some(stat)].map(digest), [Digest::of(b"remembered"); 2]);
        assert_eq!(digest(Some(other)), Digest::of(b"pixels"));
        fs::remove_file(&file).unwrap();
        assert_eq!(digest(Some(stat)), Digest::of(b"remembered"), "nobody looked again");
        assert!(digests.digest_many(&[(&file, None)])[0].is_err());
    }

    #[test]
    fn many_files_are_digested_in_order_and_a_missing_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..20).map(|number| dir.path().join(number.to_string())).collect();
        for path in &paths[1..] {
            fs::write(path, path.file_name().unwrap().as_bytes()).unwrap();
            File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
        }
        let files: Vec<(&Path, _)> = paths.iter().map(|path| (path.as_path(), None)).collect();
        let digests = FileDigests::open(dir.path()).digest_many(&files);
        assert!(digests[0].as_ref().unwrap_err().to_string().contains(&*paths[0].to_string_lossy()));
        for (number, digest) in digests.iter().enumerate().skip(1) {
            assert_eq!(digest.as_ref().unwrap(), &Digest::of(number.to_string().as_bytes()));
        }
    }
}
