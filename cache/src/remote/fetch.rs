//! Hits in a remote: their parcels and large blobs are read, checked, and recorded in the store as they are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::Access;
use crate::format::record::Kind;
use crate::lock::memory::lock;
use crate::remote::bucket::BucketError;
use crate::remote::client::Remote;
use crate::remote::parcel::{Refused, Unpacked, unpack};
use crate::remote::segment::Entry;
use crate::store::{PutContent, Store};
use crate::value::artifact::ActionKey;
use crate::value::digest::{Digest, Digester};

/// The folder of packs in the bucket.
pub(crate) const PACK_FOLDER: &str = "v1/packs";
/// The folder of large blobs.
pub(crate) const OBJECT_FOLDER: &str = "v1/objects";
/// Length of one read: parcels are read together, and large blobs in pieces, each with a deadline of its own.
const READ_BYTES: u64 = 8 << 20;
/// Bytes between two parcels that are read along.
const GAP_BYTES: u64 = 64 << 10;
/// A parcel that claims to be longer is not read.
const PARCEL_BYTES_MAX: u64 = 1 << 30;

/// The name of a pack.
pub(crate) fn pack_name(digest: &Digest) -> String {
    format!("{PACK_FOLDER}/{digest}")
}

/// The name of a large blob.
pub(crate) fn object_name(digest: &Digest) -> String {
    let digest = digest.to_string();
    format!("{OBJECT_FOLDER}/{}/{digest}", &digest[..2])
}

/// Parcels that one call reads, in the order of their places in one pack.
struct Read {
    entries: Vec<Entry>,
    is_large: bool,
}

/// The blobs that this fetch reads, each once: whether it was recorded.
type Blobs = Mutex<HashMap<Digest, Arc<Mutex<Option<bool>>>>>;

impl Remote {
    /// Looks keys up in the remote, and records what it has in the store, durably. Returns the keys of recorded
    /// results.
    ///
    /// - `tick`: called several times a second
    pub fn fetch(&self, store: &Store, keys: &[ActionKey], tick: &mut dyn FnMut()) -> Vec<ActionKey> {
        if keys.is_empty() || store.access() == Access::ReadOnly || self.is_off() {
            return Vec::new();
        }
        let Some(mut places) = self.places(store, keys) else { return Vec::new() };
        let (done, blobs) = (Mutex::new(HashSet::new()), Blobs::default());
        // First the newest place of each key, then the next newest of those that were not usable there.
        while places.iter().any(|places| !places.is_empty()) && !self.is_off() {
            let now: Vec<_> =
                places.iter_mut().filter(|places| !places.is_empty()).map(|left| left.remove(0)).collect();
            let reads = reads(now);
            self.in_parallel(&reads, tick, |read| self.take(store, read, &blobs, &done));
            let done = lock(&done);
            places.retain(|places| places.first().is_some_and(|place| !done.contains(&place.key)));
        }
        let done: Vec<_> = lock(&done).iter().copied().map(ActionKey).collect();
        if let Err(error) = store.commit() {
            self.health.warn(format!("what was found in the remote cannot be recorded: {error}"));
            return Vec::new();
        }
        self.health.count(|counts| counts.hits += done.len() as u64);
        done
    }

    /// Returns the places of each key that has some; `None` if the remote does not answer.
    fn places(&self, store: &Store, keys: &[ActionKey]) -> Option<Vec<Vec<Entry>>> {
        let guard = self.catalogue(store, false)?;
        let catalogue = guard.as_ref()?;
        // A run asks again for nodes that another process computes.
        let distrusted = lock(&self.distrusted);
        let unique: HashSet<_> = keys.iter().filter(|key| !distrusted.contains(&key.0)).collect();
        Some(unique.into_iter().map(|key| catalogue.find(&key.0)).filter(|places| !places.is_empty()).collect())
    }

    /// Returns the keys in the remote that the store lacks, and the bytes to be read for them.
    pub fn lacking(&self, store: &Store, keys: Option<&[ActionKey]>) -> Option<(Vec<ActionKey>, u64)> {
        let guard = self.catalogue(store, true)?;
        let catalogue = guard.as_ref()?;
        let entries: Vec<Entry> = match keys {
            Some(keys) => keys.iter().filter_map(|key| catalogue.find(&key.0).into_iter().next()).collect(),
            None => catalogue.entries().collect(),
        };
        let (mut lacking, mut blobs, mut bytes) = (Vec::new(), HashSet::new(), 0);
        let mut seen = HashSet::new();
        for entry in entries {
            if seen.insert(entry.key) && store.hit(&ActionKey(entry.key)).is_none() {
                lacking.push(ActionKey(entry.key));
                bytes += entry.len;
                let new =
                    entry.blobs.iter().filter(|(digest, size)| blobs.insert(*digest) && !has(store, digest, *size));
                bytes += new.map(|(_, size)| size).sum::<u64>();
            }
        }
        Some((lacking, bytes))
    }

    /// Reads some parcels with their blobs, and records those that are sound.
    fn take(&self, store: &Store, read: &Read, blobs: &Blobs, done: &Mutex<HashSet<Digest>>) {
        let (Some(first), Some(last)) = (read.entries.first(), read.entries.last()) else { return };
        if self.is_off() {
            return;
        }
        let end = last.at + last.len;
        let name = pack_name(&first.pack.digest);
        let bytes = match self.call(|bucket| bucket.get(&name, first.at..end)) {
            Ok(bytes) => bytes,
            Err(error) => return read.entries.iter().for_each(|entry| self.miss(entry, &error.to_string(), &error)),
        };
        for entry in &read.entries {
            let from = (entry.at - first.at) as usize;
            let parcel = bytes.get(from..from + entry.len as usize).filter(|parcel| Digest::of(parcel) == entry.digest);
            let unpacked = parcel.ok_or(Refused::Damaged).and_then(|it| unpack(store, &ActionKey(entry.key), it));
            match unpacked {
                Ok(unpacked) => match self.admit(store, entry, unpacked, blobs) {
                    Ok(true) => {
                        self.health.count(|counts| counts.hit_bytes += entry.len);
                        lock(done).insert(entry.key);
                    }
                    // Said by the blob.
                    Ok(false) => {}
                    Err(error) => self.health.fail(|| format!("a result of the remote cannot be recorded: {error}")),
                },
                // Noted, and told of with those of the store.
                Err(Refused::Untrusted) => {
                    lock(&self.distrusted).insert(entry.key);
                    store.trust().pass_over(&entry.key);
                }
                Err(Refused::Damaged) => {
                    let error = BucketError::Missing("other bytes than its index promises".to_owned());
                    self.miss(entry, "its bytes are not those that its index promises", &error);
                }
            }
        }
    }

    /// Counts a place that is of no use, and says why.
    fn miss(&self, entry: &Entry, why: &str, error: &BucketError) {
        lock(&self.distrusted).insert(entry.key);
        if matches!(error, BucketError::Stopped) || self.is_refused(error) {
            return;
        }
        if matches!(error, BucketError::Missing(_)) {
            self.outdate();
        }
        let key = ActionKey(entry.key).0.short();
        self.health.fail(|| {
            format!("the result {key} in the remote {} is not used, as if it were not there: {why}", self.shown)
        });
    }

    /// Ends the use of a remote that lets this user read nothing.
    fn is_refused(&self, error: &BucketError) -> bool {
        let is_refused = matches!(error, BucketError::Denied(_));
        if is_refused {
            self.health.end(&self.shown, error);
        }
        is_refused
    }

    /// Records a result once all its blobs are; returns whether they are.
    fn admit(&self, store: &Store, entry: &Entry, unpacked: Unpacked, blobs: &Blobs) -> Result<bool, StoreError> {
        let Unpacked { result, hit, artifacts, small, others } = unpacked;
        for (digest, size_bytes) in others {
            if has(store, &digest, size_bytes) {
                continue;
            }
            let slot = Arc::clone(lock(blobs).entry(digest).or_default());
            let mut recorded = lock(&slot);
            if recorded.is_none() {
                *recorded = Some(self.blob(store, entry, &digest, size_bytes)?);
            }
            if *recorded != Some(true) {
                return Ok(false);
            }
        }
        for (digest, bytes) in small {
            store.admit_blob(&digest, PutContent::Bytes(bytes))?;
        }
        store.admit(&ActionKey(entry.key), &artifacts, result, hit)?;
        Ok(true)
    }

    /// Reads a large blob into the store; returns whether it has its digest.
    fn blob(&self, store: &Store, entry: &Entry, digest: &Digest, size_bytes: u64) -> Result<bool, StoreError> {
        let name = object_name(digest);
        let mut file = disk::temporary(store.session_dir()?, "remote-")?;
        let mut digester = Digester::default();
        let mut at = 0;
        while at < size_bytes {
            let end = (at + READ_BYTES).min(size_bytes);
            let bytes = match self.call(|bucket| bucket.get(&name, at..end)) {
                Ok(bytes) => bytes,
                Err(error) => {
                    lock(&self.distrusted).insert(*digest);
                    self.miss(entry, &format!("the blob {}: {error}", digest.short()), &error);
                    return Ok(false);
                }
            };
            digester.update(&bytes);
            let path = file.path().to_owned();
            file.as_file_mut().write_all(&bytes).map_err(StoreError::io("write", path))?;
            at = end;
        }
        if digester.digest() != *digest {
            lock(&self.distrusted).insert(*digest);
            let error = BucketError::Missing("other bytes".to_owned());
            self.miss(entry, &format!("the blob {} has other bytes than its digest promises", digest.short()), &error);
            return Ok(false);
        }
        self.health.count(|counts| counts.hit_bytes += size_bytes);
        let path = file.into_temp_path();
        store.admit_blob(digest, PutContent::File(path.to_path_buf()))
    }
}

/// Returns whether the store has a blob.
pub(crate) fn has(store: &Store, digest: &Digest, size_bytes: u64) -> bool {
    store.has_blob(&store.index_with(Kind::Blob, &[*digest]), digest, size_bytes)
}

/// Groups places into reads: neighbours in one pack together, those with large blobs alone, so that many are read at
/// one time.
fn reads(entries: Vec<Entry>) -> Vec<Read> {
    let mut packs: BTreeMap<Digest, Vec<Entry>> = BTreeMap::new();
    for entry in entries.into_iter().filter(|entry| entry.len <= PARCEL_BYTES_MAX) {
        packs.entry(entry.pack.digest).or_default().push(entry);
    }
    let mut reads: Vec<Read> = Vec::new();
    for mut entries in packs.into_values() {
        entries.sort_by_key(|entry| (entry.at, entry.len));
        let mut current: Option<Read> = None;
        for entry in entries {
            let is_large = !entry.blobs.is_empty();
            let joins = |read: &Read| {
                let (first, last) = (&read.entries[0], &read.entries[read.entries.len() - 1]);
                let gap = entry.at.checked_sub(last.at + last.len);
                !is_large
                    && !read.is_large
                    && gap.is_some_and(|gap| gap <= GAP_BYTES)
                    && entry.at + entry.len - first.at <= READ_BYTES
            };
            match current.as_mut().filter(|read| joins(read)) {
                Some(read) => read.entries.push(entry),
                None => reads.extend(current.replace(Read { entries: vec![entry], is_large })),
            }
        }
        reads.extend(current);
    }
    // Large ones take longest.
    reads.sort_by_key(|read| {
        std::cmp::Reverse(read.entries.iter().flat_map(|entry| &entry.blobs).map(|blob| blob.1).sum::<u64>())
    });
    reads
}
