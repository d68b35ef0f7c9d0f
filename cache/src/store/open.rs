//! The store: artifacts and action results on disk.
//!
//! How bytes get in: small blobs, artifacts and results wait in memory until [`Store::commit`] appends them to a pack and
//! syncs it once (`writer.rs`); large blobs are files of their own, durable before their artifact is recorded
//! (`object.rs`); what is found there may be of others, and is made durable too (`durable.rs`). How they get out: an index of all records is in memory (`index.rs`); bodies are read when asked for and
//! compared with their digest or checksum. What does not match is moved to `quarantine/`, named in a warning and
//! forgotten, so that the next lookup is a miss.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::Serialize;

use crate::error::StoreError;
use crate::files::clock;
use crate::files::disk;
use crate::format::blob::{BlobError, BlobLocation};
use crate::format::layout::{Access, Layout};
use crate::format::object::{self, OBJECT_MIN_BYTES, Put};
use crate::format::record::{Draft, Hit, Kind};
use crate::lock::lease::{Lease, Leases};
use crate::lock::session::{self, Session};
use crate::lock::using::{UseLock, Using};
use crate::lock::wait::{self, Hold};
use crate::records::durable;
use crate::records::ends::{self, Ends};
use crate::records::index::Index;
use crate::records::places::Place;
use crate::records::writer::Writer;
use crate::store::last_use;
use crate::value::artifact::{self, ActionKey, ActionResult, Artifact, FileEntry, OutputDigest};
use crate::value::digest::{Digest, DigestMap};

/// The contents of a file that goes into the store.
#[derive(Debug)]
pub enum PutContent {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file, which the store takes over if it lies below [`Store::scratch`]; elsewhere it is copied.
    File(PathBuf),
}

/// Artifacts and action results on disk, shared by threads and processes.
#[derive(Debug)]
pub struct Store {
    pub(crate) layout: Layout,
    access: Access,
    index: RwLock<Index>,
    /// How long packs were known to be when this was opened.
    ends: Ends,
    /// Objects that were seen, with their lengths.
    objects: RwLock<DigestMap<u64>>,
    pub(crate) writer: Writer,
    leases: Option<Arc<Leases>>,
    session: Option<Session>,
    /// Carries a lock, shared while the store is open; see `gc.rs`.
    pub(crate) gc_lock: Option<File>,
}

type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Opens the store in a folder: reads all packs once, each from begin to end.
    ///
    /// Waits while another process collects garbage, which takes seconds at most.
    pub fn open(dir: &Path, access: Access) -> Result<Self> {
        let layout = Layout::open(dir, access)?;
        let gc_lock = lock_shared(&layout, access)?;
        let (leases, session) = match access {
            Access::ReadOnly => (None, None),
            Access::ReadWrite => {
                session::sweep(&layout.tmp(), None)?;
                let session = Session::open(&layout)?;
                (Some(Arc::new(Leases::open(&layout, &session.dir)?)), Some(session))
            }
        };
        // What is read now is what the collections counted so far have left.
        let using = session.as_ref().map(|session| session.uses.share(&session.notes)).transpose()?;
        let ends = ends::read(&layout).unwrap_or_default();
        let index = Index::read(&layout, &ends)?;
        drop(using);
        for (path, message) in ends::missing(&ends, &layout, &index) {
            tracing::warn!("{}: {message}; what a run needs of them is made again", path.display());
        }
        let index = RwLock::new(index);
        let (objects, writer) = Default::default();
        Ok(Self { layout, access, index, ends, objects, writer, leases, session, gc_lock })
    }

    /// The folder, as an absolute path.
    pub fn dir(&self) -> &Path {
        &self.layout.dir
    }

    /// Where logs of runs go; the store itself never looks there.
    pub fn runs_dir(&self) -> PathBuf {
        self.layout.runs()
    }

    /// Where a stage of this key may leave checkpoints; the caller makes the folder.
    ///
    /// Garbage collection removes it once the key has a result.
    pub fn checkpoint_dir(&self, key: &ActionKey) -> PathBuf {
        self.layout.checkpoint(key)
    }

    /// Makes an empty folder, which is removed when dropped, or swept later if this process is killed.
    pub fn scratch(&self) -> Result<tempfile::TempDir> {
        disk::temporary_dir(self.session_dir()?, "scratch-")
    }

    /// The outputs recorded for a key, if all of their bytes are there.
    ///
    /// Reads memory only, but for one look at each large blob the first time that it is needed.
    pub fn hit(&self, key: &ActionKey) -> Option<Hit> {
        let index = self.index();
        let hit = index.hit(key)?;
        let has = |digest: &Digest, size_bytes| self.has_blob(&index, digest, size_bytes);
        hit.outputs.iter().all(|(_, output)| index.is_complete(output, has)).then_some(hit)
    }

    /// The result recorded for a key, if all of its bytes are there; see [`Store::hit`] for the quicker way.
    pub fn lookup(&self, key: &ActionKey) -> Option<ActionResult> {
        self.hit(key)?;
        self.recorded(key)
    }

    /// The result recorded for a key, whether or not its bytes are there.
    pub fn recorded(&self, key: &ActionKey) -> Option<ActionResult> {
        self.read_result(key).unwrap_or_else(|error| {
            tracing::warn!("{error}");
            None
        })
    }

    /// The files of an artifact, recorded or about to be committed.
    pub fn artifact(&self, digest: &OutputDigest) -> Option<Artifact> {
        let recorded = self.index().artifact(digest);
        recorded.or_else(|| self.writer.pending().artifact(digest).cloned())
    }

    /// Where the committed bytes of a blob are.
    pub fn locate(&self, digest: &Digest) -> Option<BlobLocation> {
        let in_pack = self.index().locate(digest);
        in_pack.or_else(|| {
            let size_bytes = object::size(&self.layout, digest)?;
            Some(BlobLocation { path: self.layout.object(digest).into(), offset: 0, size_bytes })
        })
    }

    /// Reads a blob and compares it with its digest; a corrupt one is quarantined and forgotten.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let Some(location) = self.locate(digest) else {
            write(&self.objects).remove(digest);
            return Err(self.missing(digest));
        };
        location.read_verified(digest).map_err(|error| self.discard(digest, &location, error))
    }

    /// Records the files of an artifact; small ones wait for [`Store::commit`].
    ///
    /// Names are relative, with `/` between folders. Equal contents are stored once.
    pub fn put_artifact(&self, files: Vec<(String, PutContent)>) -> Result<(OutputDigest, Artifact)> {
        let session = self.session_dir()?;
        let mut entries = Vec::with_capacity(files.len());
        for (name, content) in files {
            check_name(&name)?;
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

    /// Records the result of a key, to be committed; gives what is recorded now: the first result wins.
    ///
    /// A recorded result whose bytes are lost is replaced.
    pub fn put_result<P: Serialize>(&self, key: &ActionKey, result: ActionResult<P>) -> Result<Hit> {
        self.session()?;
        loop {
            let mut pending = self.writer.pending();
            if let Some(earlier) = pending.result(key) {
                return Ok(earlier.clone());
            }
            // Asked while nothing can move from `pending` to the index.
            let recorded = self.index().place(Kind::Result, &key.0);
            let Some(place) = recorded else {
                return Ok(pending.add_result(*key, result));
            };
            drop(pending);
            // A record whose body is corrupt is not a result.
            if let Some(earlier) = self.hit(key)
                && self.read_result(key)?.is_some()
            {
                return Ok(earlier);
            }
            self.forget(Kind::Result, &key.0, &place);
        }
    }

    /// Takes the result recorded for a key out of use, so that another one can be recorded for it.
    pub fn forget_result(&self, key: &ActionKey) {
        let recorded = self.index().place(Kind::Result, &key.0);
        if let Some(place) = recorded {
            self.forget(Kind::Result, &key.0, &place);
        }
    }

    /// Makes durable all that was recorded or looked up before, whoever wrote it; cheap if it is known to be.
    ///
    /// Threads that commit at the same time share one write and one sync. After an error the records wait on, and the
    /// next commit tries again.
    pub fn commit(&self) -> Result<()> {
        match self.access {
            Access::ReadWrite => self.writer.commit(&self.layout, &self.index, &HashSet::new()),
            Access::ReadOnly => durable::sync_read(&self.layout, &self.index),
        }
    }

    /// Learns what other processes have recorded since.
    pub fn refresh(&self) -> Result<()> {
        self.index_mut().read_new(&self.layout)
    }

    /// Keeps garbage collection waiting while results are looked up, so that what is found and noted stays.
    ///
    /// Learns what was collected since it was last called. A thread that holds one must neither ask for another nor record
    /// anything.
    pub fn using(&self) -> Result<Using<'_>> {
        let Some(session) = &self.session else { return Ok(Using::nothing()) };
        let (using, collected) = session.uses.share(&session.notes)?;
        if collected {
            self.forget_objects();
            self.refresh()?;
        }
        Ok(using)
    }

    /// Claims the right to produce the result of a key; `None` if another thread or process holds it.
    ///
    /// Whoever gets it refreshes and looks again before the work, as the former holder may have recorded a result.
    pub fn try_lease(&self, key: &ActionKey) -> Result<Option<Lease>> {
        match &self.leases {
            Some(leases) => leases.try_claim(key),
            None => Err(self.read_only()),
        }
    }

    /// The same as [`Store::try_lease`] for keys that are worth a file: other hosts that share the store see the claim, and it is
    /// free again two minutes after its holder's host has stopped.
    pub fn try_lease_across_hosts(&self, key: &ActionKey) -> Result<Option<Lease>> {
        match &self.leases {
            Some(leases) => leases.try_claim_across_hosts(key),
            None => Err(self.read_only()),
        }
    }

    /// Names whoever computes the result of a key whose lease cannot be had.
    pub fn who_computes(&self, key: &ActionKey) -> String {
        self.leases.as_ref().map_or_else(|| "nobody".to_owned(), |leases| leases.holder(key))
    }

    /// Takes note that a reader found a blob corrupt or missing; looks itself, and forgets the blob if that is so.
    pub fn invalidate(&self, digest: &Digest) {
        // `read` names the blob in a warning and forgets it; the caller has an error of its own to show.
        if let Err(error) = self.read(digest) {
            tracing::debug!("{error}");
        }
    }

    /// Records that the keys were needed now; once a run is enough, soon after its lookups is best.
    pub fn touch(&self, keys: &[ActionKey]) -> Result<()> {
        if self.access == Access::ReadOnly || keys.is_empty() {
            return Ok(());
        }
        last_use::touch(&self.layout, keys, clock::now_ms())
    }

    /// What the store may be used for.
    pub fn access(&self) -> Access {
        self.access
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_lock(&self) -> &RwLock<Index> {
        &self.index
    }

    /// What is not finished; an error if the store is open for reading only.
    pub(crate) fn session(&self) -> Result<&Session> {
        self.session.as_ref().ok_or_else(|| self.read_only())
    }

    /// Where unfinished files go.
    pub(crate) fn session_dir(&self) -> Result<&Path> {
        self.session()?.dir.path()
    }

    pub(crate) fn use_lock(&self) -> Result<&UseLock> {
        Ok(&self.session()?.uses)
    }

    /// Forgets which objects were seen.
    pub(crate) fn forget_objects(&self) {
        write(&self.objects).clear();
    }

    fn put_blob(&self, session: &Path, content: PutContent) -> Result<(Digest, u64)> {
        let bytes = match content {
            PutContent::Bytes(bytes) => bytes,
            PutContent::File(path) => {
                let size = std::fs::metadata(&path).map_err(StoreError::io("read", &path))?.len();
                if size >= OBJECT_MIN_BYTES {
                    // One that is there already must not go between the look at it and the new date that keeps it.
                    let _using = self.using()?;
                    let (digest, size_bytes, put) = object::put_file(&self.layout, session, &path)?;
                    self.note_object(digest, size_bytes, put);
                    return Ok((digest, size_bytes));
                }
                std::fs::read(&path).map_err(StoreError::io("read", &path))?
            }
        };
        let (digest, size_bytes) = (Digest::of(&bytes), bytes.len() as u64);
        if size_bytes >= OBJECT_MIN_BYTES {
            let _using = self.using()?;
            let put = object::put_bytes(&self.layout, session, &digest, &bytes)?;
            self.note_object(digest, size_bytes, put);
        } else {
            let mut pending = self.writer.pending();
            if !pending.has_blob(&digest) && self.index().blob_size(&digest).is_none() {
                pending.add_blob(digest, bytes);
            }
        }
        Ok((digest, size_bytes))
    }

    /// Takes note of an object, which another process may have put there without having synced its folder yet.
    fn note_object(&self, digest: Digest, size_bytes: u64, put: Put) {
        // What was seen before was put by this process, or is named by an artifact that is recorded.
        if self.objects.read().unwrap_or_else(PoisonError::into_inner).get(&digest) == Some(&size_bytes) {
            return;
        }
        if put == Put::Found {
            // First, as other threads will rely on what was seen.
            self.writer.pending().add_folder(object::folder(&self.layout, &digest));
        }
        write(&self.objects).insert(digest, size_bytes);
    }

    /// Reads the record of a key; one that is corrupt is forgotten.
    fn read_result(&self, key: &ActionKey) -> Result<Option<ActionResult>> {
        let index = self.index();
        let Some(place) = index.place(Kind::Result, &key.0) else { return Ok(None) };
        let file = disk::open(&index.packs[place.pack as usize].path)?;
        let result = index.result(&place, &file)?;
        drop(index);
        if result.is_none() {
            tracing::warn!("the record of key {} is corrupt; its stage will run again", key.0);
            self.forget(Kind::Result, &key.0, &place);
        }
        Ok(result)
    }

    /// Whether the bytes are in a pack or an object.
    pub(crate) fn has_blob(&self, index: &Index, digest: &Digest, size_bytes: u64) -> bool {
        if let Some(in_pack) = index.blob_size(digest) {
            return in_pack == size_bytes;
        }
        let seen = self.objects.read().unwrap_or_else(PoisonError::into_inner).get(digest).copied();
        let found = seen.or_else(|| {
            let found = object::size(&self.layout, digest)?;
            write(&self.objects).insert(*digest, found);
            Some(found)
        });
        found == Some(size_bytes)
    }

    /// Takes a record out of use, here and for those who open the store later.
    pub(crate) fn forget(&self, kind: Kind, digest: &Digest, place: &Place) {
        let forget = {
            let mut index = self.index_mut();
            let forget = index.forget_of(kind, *digest, place);
            index.forget(forget.clone());
            forget
        };
        if self.access == Access::ReadWrite {
            self.writer.pending().add(Draft::forget(&forget));
            if let Err(error) = self.commit() {
                tracing::warn!("{error}");
            }
        }
    }

    /// Quarantines and forgets a blob that cannot be read as it should.
    pub(crate) fn discard(&self, digest: &Digest, location: &BlobLocation, error: BlobError) -> StoreError {
        let unreadable = match &error {
            BlobError::Mismatch { .. } => false,
            BlobError::Read { source, .. } if source.raw_os_error() == Some(nix::libc::EIO) => true,
            BlobError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                write(&self.objects).remove(digest);
                return self.missing(digest);
            }
            BlobError::Read { .. } => {
                let BlobError::Read { path, source } = error else { unreachable!("matched above") };
                return StoreError::io("read", path)(source);
            }
        };
        let kept = self.quarantine(digest, location, unreadable);
        let place = self.index().place(Kind::Blob, digest);
        match place {
            Some(place) => self.forget(Kind::Blob, digest, &place),
            None => drop(write(&self.objects).remove(digest)),
        }
        let error = StoreError::Corrupt { digest: *digest, path: location.path.to_path_buf(), kept };
        tracing::warn!("{error}");
        error
    }

    /// Moves the bytes of an object, or copies those of a blob in a pack; says where they are.
    fn quarantine(&self, digest: &Digest, location: &BlobLocation, unreadable: bool) -> String {
        if self.access == Access::ReadOnly {
            return "left there, as the store is open for reading only".to_owned();
        }
        let kept = self.layout.quarantine().join(digest.to_string());
        let moved = if location.path.starts_with(self.layout.objects()) {
            if !object::is_in_folder(&location.path) {
                return "left there, as its folder is a link".to_owned();
            }
            disk::rename(&location.path, &kept)
        } else if unreadable {
            return "its bytes cannot be read".to_owned();
        } else {
            location
                .read()
                .map_err(StoreError::io("read", &location.path))
                .and_then(|bytes| disk::replace(&kept, &bytes, false))
        };
        match moved {
            Ok(()) => format!("kept as {}", kept.display()),
            Err(error) => error.to_string(),
        }
    }

    fn missing(&self, digest: &Digest) -> StoreError {
        StoreError::Missing { digest: *digest, dir: self.layout.dir.clone() }
    }

    pub(crate) fn read_only(&self) -> StoreError {
        StoreError::ReadOnly { dir: self.layout.dir.clone() }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.access == Access::ReadOnly {
            return;
        }
        let packs = ends::of(&self.index());
        if let Err(error) = ends::raise(&self.layout, &self.ends, packs) {
            tracing::debug!("{error}");
        }
    }
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Tells garbage collection that the packs are in use; a folder that cannot be written to is never collected.
fn lock_shared(layout: &Layout, access: Access) -> Result<Option<File>> {
    let path = layout.gc_lock();
    let file = match access {
        Access::ReadWrite => disk::open_or_create(&path)?,
        Access::ReadOnly => match disk::open(&path) {
            Ok(file) => file,
            Err(_) => return Ok(None),
        },
    };
    match wait::lock(&file, Hold::Shared, "the end of a garbage collection", &path) {
        Ok(()) => Ok(Some(file)),
        Err(StoreError::Io { source, .. })
            if access == Access::ReadOnly && source.kind() != io::ErrorKind::Interrupted =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn check_name(name: &str) -> Result<()> {
    artifact::check_name(name).map_err(|reason| StoreError::FileName { name: name.to_owned(), reason })
}
