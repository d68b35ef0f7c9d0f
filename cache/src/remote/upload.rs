//! Uploads: blobs first, then packs of parcels, then the indexes that name them.
//!
//! A thread uploads while a run goes on. A result counts as uploaded once the server has confirmed the index that names
//! it. What is left when a run is stopped, or when the remote does not answer, waits for the next run (`queue.rs`).

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use crate::error::StoreError;
use crate::files::host::Host;
use crate::format::layout::Access;
use crate::lock::memory::lock;
use crate::remote::bucket::BucketError;
use crate::remote::catalogue::index_name;
use crate::remote::client::{Mode, Remote};
use crate::remote::fetch::pack_name;
use crate::remote::multipart::Unsent;
use crate::remote::parcel::Parcel;
use crate::remote::segment::{Entry, INDEX, PackInfo, encode};
use crate::store::Store;
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

/// Length of a pack from which the next one is begun.
const PACK_BYTES: usize = 8 << 20;
/// Bytes that nothing names are kept for so long by a collection, so that uploads in progress are not hurt.
pub(crate) const GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// A pack in the making.
#[derive(Default)]
struct NewPack {
    bytes: Vec<u8>,
    entries: Vec<(ActionKey, Parcel, u64)>,
    /// Bytes put for their blobs.
    blob_bytes: u64,
}

/// Blobs that need not be put: of recent results in the remote, and of this process.
#[derive(Default)]
pub(crate) struct Present(std::sync::Mutex<Option<HashSet<Digest>>>);

impl Remote {
    /// Prepares uploads of a run, if it may have some; takes over what earlier runs have left.
    pub fn begin(&self, store: &Store) -> Result<bool, StoreError> {
        if self.mode == Mode::Read || store.access() == Access::ReadOnly {
            return Ok(false);
        }
        self.queue.open(&self.dir(store)?, &store.session()?.host.id)?;
        Ok(true)
    }

    /// Adds results that ran here to those that are uploaded.
    pub fn add(&self, keys: &[ActionKey]) {
        if self.mode == Mode::ReadWrite && !self.health.is_read_only() {
            self.queue.add(keys);
        }
    }

    /// Uploads what is added, until [`Remote::close`].
    pub fn serve(&self, store: &Store) {
        let present = Present::default();
        // If it does not answer any more, later results are kept for the next run all the same.
        while let Some(keys) = self.queue.next() {
            self.upload(store, &keys, &present);
        }
        let is_read_only = self.health.is_read_only();
        self.health.count(|counts| counts.left = if is_read_only { 0 } else { self.queue.left() as u64 });
        self.queue.end(!is_read_only);
    }

    /// Lets the uploading thread end once nothing is left.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Waits a moment for the end of the uploading thread; returns `None` once it has ended, else the number of results
    /// that are left.
    pub fn left(&self, patience: Duration) -> Option<usize> {
        (!self.queue.has_ended(patience)).then(|| self.queue.left())
    }

    /// Uploads results of the store. Failures are counted and said.
    pub(crate) fn upload(&self, store: &Store, keys: &[ActionKey], present: &Present) {
        if self.is_off() || self.health.is_read_only() || keys.is_empty() {
            return;
        }
        let Ok(dir) = self.dir(store) else { return };
        // Tells first of all whether this user may put anything.
        if let Err(error) = self.server_ms(store) {
            return self.refuse(&error);
        }
        let mut pack = NewPack::default();
        for key in keys {
            let parcel = match store.parcel(key) {
                Ok(Some(parcel)) => parcel,
                Ok(None) => {
                    // It was collected or damaged since, so there is nothing to upload.
                    self.queue.done(&[*key]);
                    continue;
                }
                Err(error) => {
                    self.health.fail(|| format!("a result is not uploaded: {error}"));
                    continue;
                }
            };
            match self.put_blobs(store, &dir, &parcel, present) {
                Ok(bytes) => pack.blob_bytes += bytes,
                Err(Unsent::Bucket(error @ (BucketError::Denied(_) | BucketError::Stopped))) => {
                    return self.refuse(&error);
                }
                Err(Unsent::Bucket(error)) => {
                    self.health.fail(|| format!("the result {} is not uploaded: {error}", key.0.short()));
                    continue;
                }
                Err(Unsent::Lost(why)) => {
                    self.queue.done(&[*key]);
                    self.health.fail(|| format!("the result {} is not uploaded: {why}", key.0.short()));
                    continue;
                }
            }
            let at = pack.bytes.len() as u64;
            pack.bytes.extend(&parcel.bytes);
            pack.entries.push((*key, parcel, at));
            if pack.bytes.len() >= PACK_BYTES {
                self.put_pack(store, std::mem::take(&mut pack));
            }
            if self.is_off() {
                return;
            }
        }
        self.put_pack(store, pack);
    }

    /// Puts the large blobs of a parcel that are not known to be there; returns their bytes.
    fn put_blobs(&self, store: &Store, dir: &Path, parcel: &Parcel, present: &Present) -> Result<u64, Unsent> {
        let mut bytes = 0;
        for (digest, size_bytes) in &parcel.blobs {
            if self.is_present(store, digest, present)? {
                continue;
            }
            self.put_blob(store, dir, digest, *size_bytes)?;
            bytes += size_bytes;
            lock(&present.0).get_or_insert_default().insert(*digest);
        }
        Ok(bytes)
    }

    /// Returns whether a blob is surely there, and will be long enough: a recent result names it.
    fn is_present(&self, store: &Store, digest: &Digest, present: &Present) -> Result<bool, BucketError> {
        let mut present = lock(&present.0);
        if present.is_none() {
            let since = self.server_ms(store)?.saturating_sub(GRACE.as_millis() as u64 / 2);
            let recent = self.catalogue(store, false).and_then(|guard| {
                let entries = guard.as_ref()?.entries().filter(|entry| entry.pack.uploaded_ms >= since);
                Some(entries.flat_map(|entry| entry.blobs).map(|(digest, _)| digest).collect::<HashSet<_>>())
            });
            let mut recent = recent.ok_or(BucketError::Stopped)?;
            for digest in lock(&self.distrusted).iter() {
                recent.remove(digest);
            }
            *present = Some(recent);
        }
        Ok(present.as_ref().is_some_and(|present| present.contains(digest)))
    }

    /// Puts a pack, and then its index; only then the results count as uploaded.
    fn put_pack(&self, store: &Store, pack: NewPack) {
        let NewPack { bytes, entries, blob_bytes } = pack;
        if entries.is_empty() {
            return;
        }
        let (digest, size_bytes) = (Digest::of(&bytes), bytes.len() as u64);
        let put = || {
            self.call(|bucket| bucket.put(&pack_name(&digest), bytes))?;
            let uploaded_ms = self.server_ms(store)?;
            let info = PackInfo { digest, size_bytes, uploaded_ms, source: 0 };
            let places = entries.iter().map(|(key, parcel, at)| Entry {
                key: key.0,
                pack: info,
                at: *at,
                len: parcel.bytes.len() as u64,
                digest: Digest::of(&parcel.bytes),
                blobs: parcel.blobs.clone(),
            });
            self.put_index(uploaded_ms, places.collect()).map(drop)
        };
        match put() {
            Ok(()) => {
                let keys: Vec<_> = entries.iter().map(|(key, ..)| *key).collect();
                self.queue.done(&keys);
                self.health.count(|counts| {
                    counts.uploads += keys.len() as u64;
                    counts.upload_bytes += size_bytes + blob_bytes;
                });
            }
            Err(error @ (BucketError::Denied(_) | BucketError::Stopped)) => self.refuse(&error),
            Err(error) => {
                for (key, ..) in &entries {
                    self.health.fail(|| format!("the result {} is not uploaded: {error}", key.0.short()));
                }
            }
        }
    }

    /// Puts an index under a time of the server; returns its name.
    pub(crate) fn put_index(&self, ms: u64, entries: Vec<Entry>) -> Result<String, BucketError> {
        let mut bytes = vec![0; INDEX.header_len()];
        bytes.extend(encode(&[], entries));
        INDEX.seal(&mut bytes);
        let name = index_name(ms, &Digest::of(&bytes));
        self.call(|bucket| bucket.put(&name, bytes))?;
        Ok(name)
    }

    /// Asks the server for its time: that of an object that is put now.
    pub(crate) fn server_ms(&self, store: &Store) -> Result<u64, BucketError> {
        let name = format!("v1/clock/{}", Host::of(store.dir()).id);
        self.call(|bucket| bucket.put(&name, b"the time of this object is the server's present time\n".to_vec()))?;
        self.call(|bucket| bucket.modified_ms(&name))
    }

    /// Ends uploads, with the reason.
    pub(crate) fn refuse(&self, error: &BucketError) {
        match error {
            BucketError::Denied(_) => self.health.refuse_writes(&self.shown, error),
            error => self.health.end(&self.shown, error),
        }
    }
}
