//! Recording of artifacts and results in an open store.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::StoreError;
use crate::format::object::{self, OBJECT_MIN_BYTES, Put};
use crate::format::record::{Draft, Hit, Kind};
use crate::lock::memory::{read, write};
use crate::records::locations::Location;
use crate::store::open::Store;
use crate::value::artifact::{ActionKey, ActionResult, Artifact, FileEntry, OutputDigest, check_name};
use crate::value::digest::Digest;

/// The contents of a new file.
#[derive(Debug)]
pub enum PutContent {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A file: moved into the store if it lies below [`Store::scratch`], copied otherwise.
    File(PathBuf),
}

type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Records the files of an artifact; small ones wait for [`Store::commit`].
    ///
    /// Names are relative, with `/` between folders. Equal contents are stored once.
    pub fn put_artifact(&self, files: Vec<(String, PutContent)>) -> Result<(OutputDigest, Artifact)> {
        let session = self.session_dir()?;
        let mut entries = Vec::with_capacity(files.len());
        for (name, content) in files {
            check_name(&name).map_err(|reason| StoreError::FileName { name: name.clone(), reason })?;
            let (digest, size_bytes) = self.put_blob(session, content)?;
            entries.push(FileEntry { name, digest, size_bytes });
        }
        let artifact = Artifact::new(entries);
        if let Some(pair) = artifact.files.windows(2).find(|pair| pair[0].name == pair[1].name) {
            let reason = "two files have it";
            return Err(StoreError::FileName { name: pair[0].name.clone(), reason });
        }
        let digest = artifact.digest();
        if self.artifact(&digest).is_none() {
            self.writer.pending().add_artifact(digest, &artifact);
        }
        if self.writer.pending().is_full() {
            self.commit()?;
        }
        Ok((digest, artifact))
    }

    /// Records the result of a key, to be committed; returns the recorded one: the first result wins.
    ///
    /// A recorded result without its bytes is replaced.
    pub fn put_result<P: Serialize>(&self, key: &ActionKey, result: ActionResult<P>) -> Result<Hit> {
        self.session()?;
        loop {
            let mut pending = self.writer.pending();
            if let Some(earlier) = pending.result(key) {
                return Ok(earlier.clone());
            }
            // Under the mutex, so that no record moves from `pending` to the index meanwhile.
            let recorded = self.index_with(Kind::Result, &[key.0]).location(Kind::Result, &key.0);
            let Some(location) = recorded else {
                return Ok(pending.add_result(*key, result, self.trust.own_key()));
            };
            drop(pending);
            // A record with a corrupt body is no result.
            if let Some(earlier) = self.hit(key)
                && self.read_result(key)?.is_some()
            {
                return Ok(earlier);
            }
            self.bury(Kind::Result, &key.0, &location);
        }
    }

    /// Records a blob of another store, if its bytes have the digest; returns whether they have.
    pub(crate) fn admit_blob(&self, digest: &Digest, content: PutContent) -> Result<bool> {
        Ok(self.put_blob(self.session_dir()?, content)?.0 == *digest)
    }

    /// Records an artifact and the result of a key that were made elsewhere, as they are; their blobs are recorded. If
    /// the key has a result with all its bytes, that one stays. They wait for [`Store::commit`].
    pub(crate) fn admit(
        &self,
        key: &ActionKey,
        artifacts: &[(OutputDigest, Artifact)],
        result: Draft,
        hit: Hit,
    ) -> Result<()> {
        for (digest, artifact) in artifacts {
            if self.artifact(digest).is_none() {
                self.writer.pending().add_artifact(*digest, artifact);
            }
        }
        if self.hit(key).is_some() {
            return Ok(());
        }
        let mut pending = self.writer.pending();
        if pending.result(key).is_none() {
            let recorded = self.index_with(Kind::Result, &[key.0]).location(Kind::Result, &key.0);
            if let Some(location) = recorded {
                // Its bytes were lost. What has other outputs than that one would otherwise not be found.
                drop(pending);
                self.bury(Kind::Result, &key.0, &location);
                pending = self.writer.pending();
            }
            pending.add_result_as_is(*key, result, hit);
        }
        let is_full = pending.is_full();
        drop(pending);
        if is_full { self.commit() } else { Ok(()) }
    }

    /// Returns whether everybody is served these outputs for a key, which this process has just recorded and made
    /// durable.
    ///
    /// If another host took the key over meanwhile (`is_lost`) and has recorded a result, this one is put out of use.
    pub fn served(&self, key: &ActionKey, outputs: &[(String, OutputDigest)], is_lost: bool) -> Result<bool> {
        let is_ours = |location: &Location| {
            let hit = self.index().header(location).and_then(|header| header.hit());
            hit.is_some_and(|hit| hit.outputs == outputs)
        };
        let (ours, others): (Vec<_>, Vec<_>) = self.index().results(key).into_iter().partition(is_ours);
        if is_lost && !others.is_empty() {
            ours.iter().for_each(|location| self.bury(Kind::Result, &key.0, location));
        }
        // None of a key that is not trusted; then nobody is served another one either.
        Ok(self.index().location(Kind::Result, &key.0).is_none_or(|location| is_ours(&location)))
    }

    /// Puts the result of a key out of use, so that another one can be recorded for it.
    pub fn forget_result(&self, key: &ActionKey) {
        // A key may have several results.
        loop {
            let recorded = self.index_with(Kind::Result, &[key.0]).location(Kind::Result, &key.0);
            let Some(location) = recorded else { break };
            self.bury(Kind::Result, &key.0, &location);
        }
    }

    fn put_blob(&self, session: &Path, content: PutContent) -> Result<(Digest, u64)> {
        let length = match &content {
            PutContent::Bytes(bytes) => bytes.len() as u64,
            PutContent::File(path) => std::fs::metadata(path).map_err(StoreError::io("read", path))?.len(),
        };
        if length >= OBJECT_MIN_BYTES {
            // No collection runs between the look for an existing object and the note that keeps it.
            let using = self.using()?;
            let (digest, size_bytes, put) = match content {
                PutContent::Bytes(bytes) => object::put_bytes(&self.layout, session, &bytes)?,
                PutContent::File(path) => object::put_file(&self.layout, session, &path)?,
            };
            using.note_object(&digest)?;
            self.note_object(digest, size_bytes, put);
            return Ok((digest, size_bytes));
        }
        let bytes = match content {
            PutContent::Bytes(bytes) => bytes,
            PutContent::File(path) => std::fs::read(&path).map_err(StoreError::io("read", path))?,
        };
        let (digest, size_bytes) = (Digest::of(&bytes), bytes.len() as u64);
        if self.index().blob_size(&digest).is_some() {
            // The recorded bytes may be damaged by now; then these take their place.
            self.invalidate(&digest);
        }
        let mut pending = self.writer.pending();
        if !pending.has_blob(&digest) && self.index_with(Kind::Blob, &[digest]).blob_size(&digest).is_none() {
            pending.add_blob(digest, bytes);
        }
        Ok((digest, size_bytes))
    }

    /// Notes an object; another process may have put it there and not yet synced its folder.
    fn note_object(&self, digest: Digest, size_bytes: u64, put: Put) {
        // This process put it there before, or a recorded artifact names it.
        if read(&self.objects).get(&digest) == Some(&size_bytes) {
            return;
        }
        if put == Put::Found {
            // First, as other threads will rely on the note.
            self.writer.pending().add_folder(object::folder(&self.layout, &digest));
        }
        write(&self.objects).insert(digest, size_bytes);
    }
}
