//! Reads of an open store: lookups by key, artifacts and blobs, each checked.

use crate::error::{StoreError, is_gone};
use crate::files::disk;
use crate::format::blob::{BlobError, BlobLocation};
use crate::format::layout::Access;
use crate::format::object;
use crate::format::record::{Draft, Hit, Kind};
use crate::lock::memory::{read, write};
use crate::records::index::Index;
use crate::records::locations::Location;
use crate::store::open::Store;
use crate::value::artifact::{ActionKey, ActionResult, Artifact, OutputDigest};
use crate::value::digest::Digest;

type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Returns the outputs recorded for a key, if all of their bytes are there.
    ///
    /// Reads only index files and headers that are not in memory, and looks at each large blob when it is first needed.
    pub fn hit(&self, key: &ActionKey) -> Option<Hit> {
        let hit = self.index_with(Kind::Result, &[key.0]).hit(key)?;
        let outputs: Vec<_> = hit.outputs.iter().map(|(_, output)| output.0).collect();
        self.are_complete(&outputs).into_iter().all(|is_complete| is_complete).then_some(hit)
    }

    /// Returns the result recorded for a key, whether or not its bytes are there.
    pub fn recorded(&self, key: &ActionKey) -> Option<ActionResult> {
        self.read_result(key).unwrap_or_else(|error| {
            tracing::warn!("{error}");
            None
        })
    }

    /// Returns the files of an artifact, committed or waiting for a commit.
    pub fn artifact(&self, digest: &OutputDigest) -> Option<Artifact> {
        let recorded = self.index_with(Kind::Artifact, &[digest.0]).artifact(digest);
        recorded.or_else(|| self.writer.pending().artifact(digest).cloned())
    }

    /// Returns the location of a committed blob.
    pub fn locate(&self, digest: &Digest) -> Option<BlobLocation> {
        let in_pack = self.index_with(Kind::Blob, &[*digest]).locate(digest);
        in_pack.or_else(|| {
            let size_bytes = object::size(&self.layout, digest)?;
            Some(BlobLocation { path: self.layout.object(digest).into(), offset: 0, size_bytes })
        })
    }

    /// Reads a blob and checks its digest; a corrupt one is quarantined and put out of use.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let Some(location) = self.locate(digest) else {
            write(&self.objects).remove(digest);
            return Err(self.missing(digest));
        };
        location.read_verified(digest).map_err(|error| self.discard(digest, &location, error))
    }

    /// Checks a blob after a report that it is corrupt or missing, and puts it out of use if it is.
    pub fn invalidate(&self, digest: &Digest) {
        // `read` names the blob in a warning; the caller has an error of its own to show.
        if let Err(error) = self.read(digest) {
            tracing::debug!("{error}");
        }
    }

    /// Reads the result of a key; a corrupt record is put out of use.
    pub(super) fn read_result(&self, key: &ActionKey) -> Result<Option<ActionResult>> {
        let index = self.index_with(Kind::Result, &[key.0]);
        let Some(location) = index.location(Kind::Result, &key.0) else { return Ok(None) };
        let file = match disk::open(&index.packs[location.pack as usize].path) {
            Err(error) if error.is_gone() => return Ok(None),
            opened => opened?,
        };
        let result = index.result(&location, &file)?;
        drop(index);
        if result.is_none() {
            tracing::warn!("the record of key {} is corrupt; its stage will run again", key.0);
            self.bury(Kind::Result, &key.0, &location);
        }
        Ok(result)
    }

    /// Returns whether the bytes are in a pack or an object.
    pub(crate) fn has_blob(&self, index: &Index, digest: &Digest, size_bytes: u64) -> bool {
        if let Some(in_pack) = index.blob_size(digest) {
            return in_pack == size_bytes;
        }
        let seen = read(&self.objects).get(digest).copied();
        let found = seen.or_else(|| {
            let found = object::size(&self.layout, digest)?;
            write(&self.objects).insert(*digest, found);
            Some(found)
        });
        found == Some(size_bytes)
    }

    /// Puts a record out of use, here and for later readers.
    pub(crate) fn bury(&self, kind: Kind, digest: &Digest, location: &Location) {
        let tombstone = {
            let mut index = self.index_mut();
            let tombstone = index.tombstone(kind, *digest, location);
            index.bury(tombstone.clone());
            tombstone
        };
        if self.access == Access::ReadWrite {
            self.writer.pending().add(Draft::tombstone(&tombstone));
            if let Err(error) = self.commit() {
                tracing::warn!("{error}");
            }
        }
    }

    /// Quarantines a corrupt blob, and puts it out of use.
    pub(crate) fn discard(&self, digest: &Digest, location: &BlobLocation, error: BlobError) -> StoreError {
        let is_readable = match error {
            BlobError::Mismatch { .. } => true,
            BlobError::Read { source, .. } if source.raw_os_error() == Some(nix::libc::EIO) => false,
            BlobError::Read { source, .. } if is_gone(&source) => {
                write(&self.objects).remove(digest);
                return self.missing(digest);
            }
            BlobError::Read { path, source } => return StoreError::io("read", path)(source),
        };
        let kept = self.quarantine(digest, location, is_readable);
        let in_pack = self.index().location(Kind::Blob, digest);
        match in_pack {
            Some(record) => self.bury(Kind::Blob, digest, &record),
            None => drop(write(&self.objects).remove(digest)),
        }
        let error = StoreError::Corrupt { digest: *digest, path: location.path.to_path_buf(), kept };
        tracing::warn!("{error}");
        error
    }

    /// Moves the bytes of an object to quarantine, or copies those of a blob in a pack; returns their path for people.
    fn quarantine(&self, digest: &Digest, location: &BlobLocation, is_readable: bool) -> String {
        let name = digest.to_string();
        let is_object = location.path.starts_with(self.layout.objects());
        if self.access == Access::ReadOnly || !is_object && is_readable {
            return self.copy_to_quarantine(&name, location);
        }
        if !is_object {
            return "its bytes cannot be read".to_owned();
        }
        if !object::is_in_folder(&location.path) {
            return "left there, as its folder is a link".to_owned();
        }
        let kept = self.layout.quarantine().join(name);
        match disk::rename(&location.path, &kept) {
            Ok(()) => format!("kept as {}", kept.display()),
            Err(error) => error.to_string(),
        }
    }

    /// Copies corrupt bytes to quarantine; returns their path for people.
    pub(crate) fn copy_to_quarantine(&self, name: &str, location: &BlobLocation) -> String {
        if self.access == Access::ReadOnly {
            return "left there, as the store is open for reading only".to_owned();
        }
        let kept = self.layout.quarantine().join(name);
        let bytes = location.read().map_err(StoreError::io("read", &location.path));
        match bytes.and_then(|bytes| disk::replace(&kept, &bytes, false)) {
            Ok(()) => format!("kept as {}", kept.display()),
            Err(error) => error.to_string(),
        }
    }

    pub(super) fn missing(&self, digest: &Digest) -> StoreError {
        StoreError::Missing { digest: *digest, dir: self.layout.dir.clone() }
    }
}
