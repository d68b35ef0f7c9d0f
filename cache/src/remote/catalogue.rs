//! The catalogue: the indexes of a remote, kept in the folder `remotes/ID/` of a store.
//!
//! | file | content |
//! |---|---|
//! | `base`, `young` | segments with the indexes read so far (`segment.rs`); new ones go to `young`, which joins |
//! | | `base` as it grows |
//! | `listed` | the time of the last whole LIST, in milliseconds since 1970 by this host's clock |
//!
//! Names of indexes begin with the server's time, so a LIST that begins some time before the newest one finds those
//! that are new. What a list showed too late for that is found by the next whole one, which is made once a day. It also
//! tells which indexes are gone: their entries are forgotten. Processes that write these files at the same time
//! replace them whole; what one of them loses is listed again.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::files::{clock, disk};
use crate::remote::bucket::{Bucket, BucketError, Listed};
use crate::remote::segment::{Entry, Segment, encode};
use crate::value::digest::Digest;

/// The folder of indexes in the bucket.
pub(crate) const INDEX_FOLDER: &str = "v1/index";
/// A longer index is not read.
const INDEX_BYTES_MAX: u64 = 256 << 20;
/// The time before the newest known index at which a list begins.
const OVERLAP_MS: u64 = 60 * 60 * 1000;
/// The time between two whole lists.
const WHOLE_MS: u64 = 24 * 60 * 60 * 1000;
/// The time for which a process takes its catalogue for new.
const FRESH: Duration = Duration::from_secs(60);
/// Entries that `young` may have beyond a quarter of those of `base`.
const YOUNG_ENTRIES: u64 = 10_000;

/// The known indexes of a remote.
#[derive(Debug)]
pub(crate) struct Catalogue {
    dir: PathBuf,
    base: Option<Segment>,
    young: Option<Segment>,
    refreshed: Option<Instant>,
    /// Set if something that it names is gone: the next list is a whole one.
    is_outdated: bool,
}

/// Returns the name of an index that was put at a time.
pub(crate) fn index_name(ms: u64, digest: &Digest) -> String {
    format!("{INDEX_FOLDER}/{ms:012x}-{digest}")
}

/// Returns the server's time in the name of an index; `None` if it is the name of something else.
pub(crate) fn time_of(name: &str) -> Option<u64> {
    let (time, digest) = name.strip_prefix(INDEX_FOLDER)?.strip_prefix('/')?.split_once('-')?;
    let is_time = time.len() == 12 && time.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    digest.parse::<Digest>().ok().filter(|_| is_time)?;
    u64::from_str_radix(time, 16).ok()
}

/// Makes sure that an index is gone that a whole list lacks. Errors: it is there, so the list is not to be believed.
pub(crate) fn must_be_gone(bucket: &dyn Bucket, name: &str) -> Result<(), BucketError> {
    match bucket.modified_ms(name) {
        Err(BucketError::Missing(_)) => Ok(()),
        Ok(_) => Err(BucketError::Failed(format!("the server's list of {INDEX_FOLDER} lacks {name}, which is there"))),
        Err(error) => Err(error),
    }
}

impl Catalogue {
    /// Returns the names of the known indexes.
    pub(crate) fn sources(&self) -> HashSet<String> {
        self.segments().flat_map(|segment| segment.sources.iter().cloned()).collect()
    }

    /// Opens what earlier processes have kept.
    pub(crate) fn open(dir: PathBuf) -> Self {
        let [base, young] = ["base", "young"].map(|name| Segment::open(&dir.join(name)));
        Self { dir, base, young, refreshed: None, is_outdated: false }
    }

    /// Returns whether this process should look for new indexes.
    pub(crate) fn is_due(&self) -> bool {
        self.is_outdated || self.refreshed.is_none_or(|refreshed| refreshed.elapsed() >= FRESH)
    }

    /// Takes note that something it names is gone.
    pub(crate) fn outdate(&mut self) {
        self.is_outdated = true;
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.base.iter().chain(&self.young)
    }

    /// Finds the places of a key, those of the newest packs first.
    pub(crate) fn find(&self, key: &Digest) -> Vec<Entry> {
        let mut found: Vec<_> = self.segments().flat_map(|segment| segment.find(key)).collect();
        // Two indexes may name one place.
        found.sort_by_key(|entry| (std::cmp::Reverse(entry.pack.uploaded_ms), entry.pack.digest, entry.at));
        found.dedup_by_key(|entry| (entry.pack.digest, entry.at, entry.digest));
        found
    }

    /// Iterates over all places.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.segments().flat_map(Segment::entries)
    }

    /// Looks for new indexes; all of them, and those that are gone, if `whole` or if that is due.
    ///
    /// - `get`: reads some of them; those that cannot be read are left out
    pub(crate) fn refresh(
        &mut self,
        bucket: &dyn Bucket,
        whole: bool,
        get: impl FnOnce(&[Listed]) -> Vec<(String, Segment)>,
    ) -> Result<(), BucketError> {
        let whole = whole || self.is_outdated || self.is_whole_list_due();
        let known = self.sources();
        // A name of the future is a wrong clock's, or planted; it would hide all that come before it.
        let now_ms = clock::now_ms();
        let newest = known.iter().filter_map(|name| time_of(name)).filter(|ms| *ms <= now_ms).max().filter(|_| !whole);
        let after =
            newest.map_or_else(String::new, |ms| format!("{INDEX_FOLDER}/{:012x}", ms.saturating_sub(OVERLAP_MS)));
        let mut listed = bucket.list(INDEX_FOLDER, &after)?;
        listed.retain(|object| time_of(&object.name).is_some());
        let live: HashSet<_> = listed.iter().map(|object| object.name.clone()).collect();
        if whole {
            let unlisted = known.iter().filter(|name| !live.contains(*name)).max();
            unlisted.map_or(Ok(()), |name| must_be_gone(bucket, name))?;
        }
        listed.retain(|object| !known.contains(&object.name) && object.size_bytes <= INDEX_BYTES_MAX);
        let new = get(&listed);
        let is_dead = |name: &String| whole && !live.contains(name);
        if known.iter().any(is_dead) {
            let (base, young) = (self.base.take(), self.young.take());
            let kept = self.join([base, young].into_iter().flatten(), new, |name| !is_dead(name));
            (self.base, self.young) = (self.keep("base", kept), self.keep("young", encode(&[], Vec::new())));
        } else if !new.is_empty() {
            let young = self.young.take();
            let joined = self.join(young.into_iter(), new, |_| true);
            self.young = self.keep("young", joined);
            let is_large = self.young.as_ref().map_or(0, |young| young.count)
                > self.base.as_ref().map_or(0, |base| base.count) / 4 + YOUNG_ENTRIES;
            if is_large {
                let (base, young) = (self.base.take(), self.young.take());
                let joined = self.join([base, young].into_iter().flatten(), Vec::new(), |_| true);
                (self.base, self.young) = (self.keep("base", joined), self.keep("young", encode(&[], Vec::new())));
            }
        }
        if whole {
            self.write("listed", clock::now_ms().to_string().as_bytes());
        }
        (self.refreshed, self.is_outdated) = (Some(Instant::now()), false);
        Ok(())
    }

    fn is_whole_list_due(&self) -> bool {
        let last = disk::read(&self.dir.join("listed"), 100).ok();
        let last: Option<u64> = last.and_then(|bytes| str::from_utf8(&bytes).ok()?.parse().ok());
        let now = clock::now_ms();
        // A time in the future comes from a wrong clock.
        last.is_none_or(|last| last > now || now - last >= WHOLE_MS)
    }

    /// Joins segments of the catalogue and new indexes, without the sources that are not to be kept.
    fn join(
        &self,
        old: impl Iterator<Item = Segment>,
        new: Vec<(String, Segment)>,
        is_kept: impl Fn(&String) -> bool,
    ) -> Vec<u8> {
        let (mut sources, mut entries) = (Vec::new(), Vec::new());
        let mut take = |names: &[String], segment: &Segment| {
            // The numbers of its sources among all.
            let numbers: Vec<_> = names
                .iter()
                .map(|name| {
                    is_kept(name).then(|| {
                        sources.push(name.clone());
                        sources.len() as u32 - 1
                    })
                })
                .collect();
            entries.extend(segment.entries().filter_map(|mut entry| {
                entry.pack.source = numbers.get(entry.pack.source as usize).copied().flatten()?;
                Some(entry)
            }));
        };
        old.for_each(|segment| take(&segment.sources, &segment));
        new.iter().for_each(|(name, segment)| take(std::slice::from_ref(name), segment));
        encode(&sources, entries)
    }

    /// Writes a segment; it is used even if it cannot be written.
    fn keep(&self, name: &str, bytes: Vec<u8>) -> Option<Segment> {
        self.write(name, &bytes);
        Segment::of_bytes(bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        if let Err(error) = disk::replace(&self.dir.join(name), bytes, false) {
            tracing::debug!("{error}");
        }
    }
}
