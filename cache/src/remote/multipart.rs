//! Uploads of large blobs, in parts, which the next process goes on with.
//!
//! `DIGEST.parts` in the remote's folder has the server's name of the upload, and the names of its parts so far.
//! Every part is hashed before it goes, so an object gets its name only if all of its bytes have the digest.

use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::{disk, regular};
use crate::remote::bucket::BucketError;
use crate::remote::client::Remote;
use crate::remote::fetch::object_name;
use crate::store::Store;
use crate::value::digest::{Digest, Digester};

/// The least length of a part; a smaller blob is put at once.
const PART_BYTES: u64 = 8 << 20;
/// Most parts of an object: S3 allows 10,000.
const PARTS_MAX: u64 = 9000;
/// A longer file of parts is none.
const STATE_BYTES_MAX: u64 = 16 << 20;

/// The reason why a result was not put.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// The bucket does not take it.
    Bucket(BucketError),
    /// This store has no sound bytes of it any more.
    Lost(String),
}

impl From<BucketError> for Unsent {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

/// An upload that has begun.
#[derive(Debug, Serialize, Deserialize)]
struct Parts {
    upload: String,
    part_bytes: u64,
    parts: Vec<String>,
}

impl Remote {
    /// Puts a large blob of the store; goes on where an earlier process was stopped.
    pub(crate) fn put_blob(&self, store: &Store, dir: &Path, digest: &Digest, size_bytes: u64) -> Result<(), Unsent> {
        let name = object_name(digest);
        if size_bytes <= PART_BYTES {
            let bytes = store.read(digest).map_err(|error| Unsent::Lost(error.to_string()))?;
            return Ok(self.call(|bucket| bucket.put(&name, bytes))?);
        }
        let path = dir.join(format!("{digest}.parts"));
        let whole = size_bytes.div_ceil(PARTS_MAX).next_multiple_of(1 << 20).max(PART_BYTES);
        let begun = disk::read(&path, STATE_BYTES_MAX).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let begun = begun.filter(|parts: &Parts| {
            parts.part_bytes == whole && parts.parts.len() as u64 <= size_bytes.div_ceil(whole)
        });
        if let Some(parts) = begun {
            match self.put_parts(store, &path, digest, size_bytes, parts) {
                // The server may have dropped what an earlier process began.
                Err(Unsent::Bucket(BucketError::Missing(_) | BucketError::Failed(_))) if !self.is_off() => {}
                outcome => return outcome,
            }
        }
        let upload = self.call(|bucket| bucket.begin(&name))?;
        self.put_parts(store, &path, digest, size_bytes, Parts { upload, part_bytes: whole, parts: Vec::new() })
    }

    fn put_parts(
        &self,
        store: &Store,
        path: &Path,
        digest: &Digest,
        size_bytes: u64,
        mut state: Parts,
    ) -> Result<(), Unsent> {
        let name = object_name(digest);
        let lost =
            |why: &dyn std::fmt::Display| Unsent::Lost(format!("the blob {} is lost here: {why}", digest.short()));
        let location = store.locate(digest).filter(|location| location.size_bytes == size_bytes);
        let location = location.ok_or_else(|| lost(&"it is not in the store any more"))?;
        let file = regular::open_to_read(&location.path).map_err(|error| lost(&error))?;
        let mut digester = Digester::default();
        for (number, at) in (0..size_bytes).step_by(state.part_bytes as usize).enumerate() {
            let mut part = vec![0; state.part_bytes.min(size_bytes - at) as usize];
            file.read_exact_at(&mut part, location.offset + at).map_err(|error| lost(&error))?;
            digester.update(&part);
            if number >= state.parts.len() {
                state.parts.push(self.call(|bucket| bucket.put_part(&name, &state.upload, number, part))?);
                let text = serde_json::to_vec(&state).expect("texts and numbers can be written as JSON");
                if let Err(error) = disk::replace(path, &text, false) {
                    tracing::debug!("{error}");
                }
            }
        }
        if digester.digest() != *digest {
            store.invalidate(digest);
            let _ = disk::remove_file(path);
            return Err(lost(&"its bytes are damaged"));
        }
        let completed = self.call(|bucket| bucket.complete(&name, &state.upload, &state.parts));
        if !matches!(completed, Err(BucketError::Stopped)) {
            let _ = disk::remove_file(path);
        }
        Ok(completed?)
    }
}
