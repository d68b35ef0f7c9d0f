//! Group commit: records of all threads wait in memory until one thread writes them to a pack and syncs it once.
//!
//! A thread that commits holds the mutex `pack` from before it takes the waiting records until they are durable and
//! indexed. So a thread that gets `pack` and finds nothing waiting knows that its own records are durable.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, RwLock};

use serde::Serialize;

use crate::error::StoreError;
use crate::files::host::Host;
use crate::files::{clock, disk};
use crate::format::layout::Layout;
use crate::format::names::pack_host;
use crate::format::pack::PACK_BYTES;
use crate::format::record::{Draft, Hit};
use crate::lock::memory::{lock, read, write};
use crate::lock::session::Session;
use crate::lock::wait::{Hold, try_lock};
use crate::records::durable;
use crate::records::index::Index;
use crate::trust::private_key::PrivateKey;
use crate::value::artifact::{ActionKey, ActionResult, Artifact, OutputDigest};
use crate::value::digest::Digest;

/// Most bytes kept of a torn tail.
const TAIL_BYTES: usize = 256 << 20;
/// Size of waiting records at which they are committed unasked.
pub(crate) const PENDING_BYTES: usize = 16 << 20;

/// Records on their way into a pack.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pack: Mutex<Option<OpenPack>>,
    pending: Mutex<Pending>,
}

/// A pack locked for appending.
#[derive(Debug)]
struct OpenPack {
    id: String,
    /// Carries the lock.
    file: File,
}

/// Waiting records, and those of a commit in progress.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    waiting: Buffer,
    flying: Buffer,
    /// Folders of objects of other processes, to be synced before records that name the objects are written.
    folders: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct Buffer {
    drafts: Vec<Draft>,
    size_bytes: usize,
    blobs: HashSet<Digest>,
    artifacts: HashMap<OutputDigest, Artifact>,
    results: HashMap<ActionKey, Hit>,
}

impl Pending {
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.waiting.blobs.contains(digest) || self.flying.blobs.contains(digest)
    }

    pub(crate) fn artifact(&self, digest: &OutputDigest) -> Option<&Artifact> {
        self.waiting.artifacts.get(digest).or_else(|| self.flying.artifacts.get(digest))
    }

    pub(crate) fn result(&self, key: &ActionKey) -> Option<&Hit> {
        self.waiting.results.get(key).or_else(|| self.flying.results.get(key))
    }

    pub(crate) fn add_blob(&mut self, digest: Digest, bytes: Vec<u8>) {
        self.waiting.add(Draft::blob(&digest, bytes));
        self.waiting.blobs.insert(digest);
    }

    pub(crate) fn add_artifact(&mut self, digest: OutputDigest, artifact: &Artifact) {
        self.waiting.add(Draft::artifact(&digest, artifact));
        self.waiting.artifacts.insert(digest, artifact.clone());
    }

    /// Adds a result, signed if there is a key; returns its part for hits.
    pub(crate) fn add_result<P: Serialize>(
        &mut self,
        key: ActionKey,
        result: ActionResult<P>,
        signer: Option<&PrivateKey>,
    ) -> Hit {
        self.waiting.add(Draft::result(&key, &result, signer));
        let ActionResult { outputs, elapsed_ms, recorded_ms, .. } = result;
        let hit = Hit { outputs, elapsed_ms, recorded_ms };
        self.waiting.results.insert(key, hit.clone());
        hit
    }

    /// Adds the record of a result that was made elsewhere, as it is.
    pub(crate) fn add_result_as_is(&mut self, key: ActionKey, record: Draft, hit: Hit) {
        self.waiting.add(record);
        self.waiting.results.insert(key, hit);
    }

    /// Adds the folder of an object that existed already; call it before the artifact that names the object is added.
    pub(crate) fn add_folder(&mut self, folder: PathBuf) {
        self.folders.insert(folder);
    }

    /// Adds a tombstone, or a record from another pack.
    pub(crate) fn add(&mut self, draft: Draft) {
        self.waiting.add(draft);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.size_bytes >= PENDING_BYTES
    }
}

impl Buffer {
    fn add(&mut self, draft: Draft) {
        self.size_bytes += draft.len();
        self.drafts.push(draft);
    }

    /// Appends later records to those of a failed commit.
    fn append(&mut self, later: Self) {
        self.drafts.extend(later.drafts);
        self.size_bytes += later.size_bytes;
        self.blobs.extend(later.blobs);
        self.artifacts.extend(later.artifacts);
        self.results.extend(later.results);
    }
}

impl Writer {
    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    /// Makes waiting records durable, and used records of other processes; appends to no pack in `avoid`.
    ///
    /// New results are first noted in the file of the session: no collection sees them without their notes.
    pub(crate) fn commit(
        &self,
        layout: &Layout,
        index: &RwLock<Index>,
        avoid: &HashSet<String>,
        session: &Session,
    ) -> Result<(), StoreError> {
        let mut pack = lock(&self.pack);
        let (drafts, folders, notes) = {
            let mut pending = self.pending();
            let notes: Vec<_> = pending.waiting.results.keys().map(ActionKey::prefix).collect();
            pending.flying = std::mem::take(&mut pending.waiting);
            (std::mem::take(&mut pending.flying.drafts), std::mem::take(&mut pending.folders), notes)
        };
        // First the objects and records named by the drafts, then the drafts.
        let named = folders.iter().try_for_each(|folder| disk::sync_dir(folder));
        let named = named.and_then(|()| durable::sync_used(layout, index));
        if named.is_ok() && drafts.is_empty() {
            return Ok(());
        }
        let noted = named.and_then(|()| session.file.add(&notes));
        let outcome = noted.and_then(|()| append(&mut pack, &drafts, layout, index, avoid, &session.host));
        let mut pending = self.pending();
        let mut flying = std::mem::take(&mut pending.flying);
        if outcome.is_err() {
            // After a failed sync the kernel may have dropped the bytes silently, so this pack is left alone.
            *pack = None;
            pending.folders.extend(folders);
            flying.drafts = drafts;
            flying.append(std::mem::take(&mut pending.waiting));
            pending.waiting = flying;
        }
        outcome
    }

    /// Lets other processes append to this one's pack.
    pub(crate) fn release(&self) {
        *lock(&self.pack) = None;
    }
}

fn append(
    pack: &mut Option<OpenPack>,
    drafts: &[Draft],
    layout: &Layout,
    index: &RwLock<Index>,
    avoid: &HashSet<String>,
    host: &Host,
) -> Result<(), StoreError> {
    let open = match pack.take() {
        Some(open) if !avoid.contains(&open.id) => open,
        _ => take_over(layout, index, avoid, host)?.map_or_else(|| create(layout, host), Ok)?,
    };
    let path = layout.pack(&open.id);
    let (bytes, start) = {
        let mut index = write(index);
        let number = index.read_pack(layout, &open.id)?;
        (index.packs[number].encode(drafts), index.packs[number].end)
    };
    let written = disk::write_at(&open.file, &bytes, start, &path);
    let written = written.and_then(|()| durable::sync(layout, index, &open.id, &open.file, start + bytes.len() as u64));
    if let Err(error) = written {
        if let Err(error) = disk::truncate(&open.file, start, &path) {
            tracing::debug!("{error}");
        }
        return Err(error);
    }
    // Reading the new records like any reader proves that they can be read.
    let mut index = write(index);
    let number = index.read_pack(layout, &open.id)?;
    let end = index.packs[number].end;
    if end != start + bytes.len() as u64 {
        let error = std::io::Error::other("the bytes read are not those just written");
        return Err(StoreError::io("read back", path)(error));
    }
    *pack = (end < PACK_BYTES).then_some(open);
    Ok(())
}

/// Finds a pack of this host without a writer, and cuts its torn tail. The lock of a writer on another host may not
/// reach this one, and the writers of format 1 did not tell their hosts.
fn take_over(
    layout: &Layout,
    index: &RwLock<Index>,
    avoid: &HashSet<String>,
    host: &Host,
) -> Result<Option<OpenPack>, StoreError> {
    let is_sealed = |id: &str| {
        let index = read(index);
        index.pack_number(id).is_some_and(|number| index.packs[number].is_sealed())
    };
    let ours = layout.pack_ids()?.into_iter().filter(|id| pack_host(id) == host.id && !is_sealed(id));
    for id in ours {
        let path = layout.pack(&id);
        let Ok(file) = disk::open_to_write(&path) else { continue };
        let len = file.metadata().map_err(StoreError::io("read", &path))?.len();
        let is_free = || try_lock(&file, Hold::Alone, &path).unwrap_or(false) && disk::is_at(&file, &path);
        if len >= PACK_BYTES || avoid.contains(&id) || !is_free() {
            continue;
        }
        let (end, durable, is_sound) = {
            let mut index = write(index);
            let number = index.read_pack(layout, &id)?;
            let pack = &index.packs[number];
            (pack.end, pack.durable, pack.is_sound() && !pack.is_sealed())
        };
        if !is_sound {
            continue;
        }
        cut_tail(layout, &id, &file, end)?;
        // Its last writer may have died before its sync, and no commit begins before the last one is durable.
        if end == durable || durable::sync(layout, index, &id, &file, end).is_ok() {
            return Ok(Some(OpenPack { id, file }));
        }
    }
    Ok(None)
}

/// Moves the bytes behind the last group to quarantine; returns their path there.
pub(crate) fn cut_tail(layout: &Layout, id: &str, file: &File, end: u64) -> Result<Option<PathBuf>, StoreError> {
    let path = layout.pack(id);
    let len = file.metadata().map_err(StoreError::io("read", &path))?.len();
    if len <= end {
        return Ok(None);
    }
    // No crash leaves a longer tail; its start has to do.
    let mut tail = vec![0; usize::try_from(len - end).map_or(TAIL_BYTES, |tail| tail.min(TAIL_BYTES))];
    file.read_exact_at(&mut tail, end).map_err(StoreError::io("read", &path))?;
    let kept = layout.quarantine().join(format!("{id}-{end}.tail"));
    disk::replace(&kept, &tail, true)?;
    tracing::info!("cut a torn tail of {} bytes from {}; it is kept in {}", tail.len(), path.display(), kept.display());
    disk::truncate(file, end, &path)?;
    Ok(Some(kept))
}

fn create(layout: &Layout, host: &Host) -> Result<OpenPack, StoreError> {
    let (ms, process) = (clock::now_ms(), std::process::id());
    for attempt in 0.. {
        let id = format!("{ms:012x}-{}-{process:x}-{attempt:x}", host.id);
        let path = layout.pack(&id);
        let file = match disk::create_new(&path, 0o666) {
            Err(error) if error.is(std::io::ErrorKind::AlreadyExists) => continue,
            created => created?,
        };
        // A process that looked for a pack just now may have been quicker to lock it.
        if try_lock(&file, Hold::Alone, &path).unwrap_or(false) {
            return Ok(OpenPack { id, file });
        }
    }
    unreachable!("an attempt for each number")
}
