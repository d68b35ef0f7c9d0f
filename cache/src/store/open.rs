//! The store: artifacts and action results on disk.
//!
//! **Writing.** Small blobs, artifacts and results wait in memory until [`Store::commit`] appends them to a pack and
//! syncs it once (`writer.rs`). Large blobs are files of their own, durable before their artifact is recorded
//! (`object.rs`). Bytes of other processes are made durable too (`durable.rs`).
//!
//! **Reading.** The index finds records in memory and through index files (`index.rs`). Bodies are read on demand and
//! checked against their digest or checksum. A mismatch is moved to `quarantine/`, named in a warning and put out of
//! use, so the next lookup is a miss.

use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::StoreError;
use crate::files::{clock, disk};
use crate::format::layout::{Access, Layout};
use crate::format::record::Kind;
use crate::lock::lease::{Lease, Leases};
use crate::lock::memory::{lock, read, write};
use crate::lock::session::Session;
use crate::lock::use_lock::{UseLock, Using};
use crate::lock::wait::{self, Hold};
use crate::records::index::Index;
use crate::records::pack_lengths::{self, PackLengths};
use crate::records::writer::Writer;
use crate::records::{durable, extend, seal};
use crate::store::last_use;
use crate::trust::Trust;
use crate::value::artifact::ActionKey;
use crate::value::digest::{Digest, DigestMap};

/// Artifacts and action results on disk, shared by threads and processes.
#[derive(Debug)]
pub struct Store {
    pub(crate) layout: Layout,
    pub(super) access: Access,
    pub(super) trust: Arc<Trust>,
    pub(super) index: RwLock<Index>,
    /// Durable lengths of packs when the store was opened.
    lengths: PackLengths,
    /// Lengths of known objects.
    pub(super) objects: RwLock<DigestMap<u64>>,
    pub(crate) writer: Writer,
    leases: Option<Arc<Leases>>,
    session: Option<Arc<Session>>,
    /// Carries the lock `gc.lock`, shared while the store is open.
    pub(crate) gc_lock: Option<File>,
}

/// Records without an index file that an open store keeps in memory, some ten megabytes. Tests of crashes have small
/// stores, and want index files in them.
const UNCOVERED_IN_RUN: usize = if cfg!(failpoints) { 1 << 6 } else { 1 << 16 };
/// Records without an index file that a closed store leaves: the next process reads them in about a millisecond.
const UNCOVERED_AT_CLOSE: usize = if cfg!(failpoints) { 1 << 3 } else { 1 << 12 };

type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Opens the store in a folder: reads index files, and each pack that they do not cover.
    ///
    /// Waits while another process collects garbage: seconds at most.
    pub fn open(dir: &Path, access: Access) -> Result<Self> {
        Self::open_trusting(dir, access, Trust::default())
    }

    /// The same, with lookups that pass over every result that nobody trusted has signed.
    pub fn open_trusting(dir: &Path, access: Access, trust: Trust) -> Result<Self> {
        let trust = Arc::new(trust);
        let layout = Layout::open(dir, access)?;
        let gc_lock = lock_shared(&layout, access)?;
        // A newer program may have raised the format just now.
        layout.check_format()?;
        let (leases, session) = match access {
            Access::ReadOnly => (None, None),
            Access::ReadWrite => {
                let session = Arc::new(Session::open(&layout)?);
                (Some(Arc::new(Leases::open(&layout, &session)?)), Some(session))
            }
        };
        // Under the lock, so that no collection runs between its number and the index.
        let using = session.as_ref().map(|session| session.uses.share(&session.file)).transpose()?;
        let lengths = pack_lengths::read(&layout).unwrap_or_default();
        let index = Index::read(&layout, &lengths, &trust)?;
        drop(using);
        for (path, message) in index.missing(&lengths, &layout) {
            tracing::warn!("{}: {message}; what a run needs of them is made again", path.display());
        }
        let index = RwLock::new(index);
        let (objects, writer) = Default::default();
        Ok(Self { layout, access, trust, index, lengths, objects, writer, leases, session, gc_lock })
    }

    /// The folder, as an absolute path.
    pub fn dir(&self) -> &Path {
        &self.layout.dir
    }

    /// The folder for logs of runs; the store itself does not read them.
    pub fn runs_dir(&self) -> PathBuf {
        self.layout.runs()
    }

    /// The folder for jobs on a cluster, which the caller creates: `RUN-NUMBER`, by the run that submitted it.
    ///
    /// Garbage collection removes jobs that nobody has touched for a month.
    pub fn jobs_dir(&self) -> PathBuf {
        self.layout.jobs()
    }

    /// The folder for checkpoints of a key; the caller creates it.
    ///
    /// Garbage collection removes it once the key has a result.
    pub fn checkpoint_dir(&self, key: &ActionKey) -> PathBuf {
        self.layout.checkpoint(key)
    }

    /// The rights of this open store.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The signers whose results count here.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Creates an empty folder; it is removed when dropped, or swept later if this process is killed.
    pub fn scratch(&self) -> Result<tempfile::TempDir> {
        let dir = self.session_dir()?;
        // What stages write there is signed; so it is closed to others, even if they cannot sweep it then.
        let make = if self.trust.is_limited() { disk::private_dir } else { disk::temporary_dir };
        make(dir, "scratch-")
    }

    /// Makes all recorded and looked-up bytes durable, whoever wrote them; cheap if they are known to be.
    ///
    /// Threads that commit at the same time share one write and one sync. After an error the records stay in memory,
    /// and the next commit tries again.
    pub fn commit(&self) -> Result<()> {
        match self.access {
            Access::ReadWrite => {
                self.commit_avoiding(&HashSet::new())?;
                self.extend_index(UNCOVERED_IN_RUN)
            }
            Access::ReadOnly => durable::sync_read(&self.layout, &self.index),
        }
    }

    /// The same, without appending to these packs.
    pub(crate) fn commit_avoiding(&self, packs: &HashSet<String>) -> Result<()> {
        self.writer.commit(&self.layout, &self.index, packs, self.session()?)
    }

    /// Reads new records of other processes.
    pub fn refresh(&self) -> Result<()> {
        self.index_mut().read_new(&self.layout)
    }

    /// Reads all packs anew.
    pub(crate) fn reload(&self) -> Result<()> {
        self.index_mut().read_again(&self.layout)
    }

    /// Drops what [`Store::read_whole`] read.
    pub(crate) fn read_on_demand(&self) -> Result<()> {
        let mut index = self.index_mut();
        *index = Index::read(&self.layout, &index.durable_lengths(), &self.trust)?;
        Ok(())
    }

    /// Reads all records into memory, for work on all of them.
    pub(crate) fn read_whole(&self) -> Result<()> {
        let mut index = self.index_mut();
        if index.coverage.is_used() {
            *index = Index::read_whole(&self.layout, &index.durable_lengths(), &self.trust)?;
        }
        Ok(())
    }

    /// Returns the index with all records of these digests or keys in memory.
    pub(crate) fn index_with(&self, kind: Kind, digests: &[Digest]) -> RwLockReadGuard<'_, Index> {
        let index = self.index();
        if index.is_loaded(kind, digests) {
            return index;
        }
        drop(index);
        let mut index = self.index_mut();
        if let Err(error) = index.load(&self.layout, kind, digests) {
            tracing::warn!("{error}; what is recorded there counts as missing");
        }
        RwLockWriteGuard::downgrade(index)
    }

    /// Writes an index file if none covers at least so many records, and seals packs if there are many.
    pub(crate) fn extend_index(&self, least: usize) -> Result<()> {
        let Some(host) = self.session.as_ref().map(|session| &session.host) else { return Ok(()) };
        let is_due = |index: &Index| index.uncovered() >= least || !index.surplus(&host.id).is_empty();
        if !is_due(&self.index()) {
            return Ok(());
        }
        // One process at a time; another one does the work of this one too.
        let Some(_lease) = self.try_lease(&ActionKey(Digest::of(b"orchestrate index")))? else { return Ok(()) };
        let names = self.layout.pack_names()?;
        if !names.indexes.iter().eq(self.index().coverage.ids()) {
            // Another process was quicker, or some are damaged.
            extend::remove_broken(&self.layout, &names.indexes)?;
            self.index_mut().read_again(&self.layout)?;
        }
        let surplus = self.index().surplus(&host.id);
        seal::seal(&self.layout, &self.index, &surplus)?;
        seal::sync_uncovered(&self.layout, &self.index)?;
        let index = self.index();
        if index.uncovered() < least && surplus.is_empty() {
            return Ok(());
        }
        index.extension().write(self.session_dir()?, &host.id, &self.layout.packs())?;
        drop(index);
        self.index_mut().cover_anew(&self.layout)
    }

    /// Makes garbage collection wait while results are looked up, so that found and noted results stay.
    ///
    /// Reads the index anew if a collection ran since the last call. A thread that holds one must neither ask for
    /// another nor record anything.
    pub fn using(&self) -> Result<Using<'_>> {
        let Some(session) = &self.session else { return Ok(Using::nothing()) };
        let (using, collected) = session.uses.share(&session.file)?;
        if collected {
            self.forget_objects();
            self.refresh()?;
        }
        Ok(using)
    }

    /// Takes the right to produce the result of a key; `None` if another thread or process holds it.
    ///
    /// The new holder refreshes and looks again before it works, as the former one may have recorded a result.
    pub fn try_lease(&self, key: &ActionKey) -> Result<Option<Lease>> {
        self.leases()?.try_take(key)
    }

    /// The same as [`Store::try_lease`] for heavy work: other hosts that share the store see the lease, and may take it
    /// two minutes after its holder's host has stopped.
    pub fn try_lease_across_hosts(&self, key: &ActionKey) -> Result<Option<Lease>> {
        self.leases()?.try_take_across_hosts(key)
    }

    /// Returns whether another host may have the store open now: then results of its light nodes may appear at any
    /// time.
    pub fn is_shared_with_hosts(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.others.present.load(Ordering::Relaxed))
    }

    /// Shows other hosts from now on that this process lives; a process with a lease does so anyway.
    pub fn stay(&self) {
        self.session.iter().for_each(|session| session.stay());
    }

    /// Takes the warnings about other hosts since the last call, a sentence each.
    pub fn take_warnings(&self) -> Vec<String> {
        self.session.as_ref().map(|session| session.others.take_warnings()).unwrap_or_default()
    }

    /// Returns a sentence about the keys that were looked up and have several results with different outputs.
    pub fn warn_of_rivals(&self) -> Option<String> {
        let index = self.index();
        let rivals = lock(&index.rivals);
        let first = ActionKey(*rivals.first()?);
        Some(format!(
            "two hosts have recorded different outputs for {}, as locks do not reach from one to the other; all use \
             the same one of them, and `store verify` names them all; `orchestrate store show {}` shows it",
            match rivals.len() {
                1 => "a key".to_owned(),
                count => format!("each of {count} keys"),
            },
            first.0.short()
        ))
    }

    pub(crate) fn leases(&self) -> Result<&Arc<Leases>> {
        self.leases.as_ref().ok_or_else(|| self.read_only())
    }

    /// Names the holder of a taken lease.
    pub fn who_computes(&self, key: &ActionKey) -> String {
        self.leases.as_ref().map_or_else(|| "nobody".to_owned(), |leases| leases.holder(key))
    }

    /// Records a use of these keys now; once a run, soon after its lookups.
    pub fn touch(&self, keys: &[ActionKey]) -> Result<()> {
        if self.access == Access::ReadOnly || keys.is_empty() {
            return Ok(());
        }
        last_use::touch(&self.layout, keys, clock::now_ms())
    }

    #[cfg(test)]
    pub(crate) fn index_lock(&self) -> &RwLock<Index> {
        &self.index
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        read(&self.index)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        write(&self.index)
    }

    /// The session; an error if the store is read-only.
    pub(crate) fn session(&self) -> Result<&Session> {
        self.session.as_deref().ok_or_else(|| self.read_only())
    }

    /// The folder for unfinished files.
    pub(crate) fn session_dir(&self) -> Result<&Path> {
        self.session()?.dir.path()
    }

    pub(crate) fn use_lock(&self) -> Result<&UseLock> {
        Ok(&self.session()?.uses)
    }

    /// Forgets the known objects.
    pub(crate) fn forget_objects(&self) {
        write(&self.objects).clear();
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
        if let Err(error) = self.extend_index(UNCOVERED_AT_CLOSE) {
            tracing::debug!("{error}");
        }
        let lengths = self.index().durable_lengths();
        if let Err(error) = pack_lengths::raise(&self.layout, &self.lengths, lengths) {
            tracing::debug!("{error}");
        }
    }
}

/// Locks `gc.lock`, shared. A reader that cannot lock a store may not write to its folder, where nobody collects
/// either.
fn lock_shared(layout: &Layout, access: Access) -> Result<Option<File>> {
    let path = layout.gc_lock();
    let file = match access {
        Access::ReadWrite => {
            let file = disk::open_or_create(&path)?;
            if layout.is_old {
                // Programs that know only the old format have the store open under this lock too.
                let purpose = "the end of programs that may be older, to raise the format of the store";
                wait::lock(&file, Hold::Alone, purpose, &path)?;
                layout.raise_format()?;
            }
            file
        }
        Access::ReadOnly => match disk::open(&path) {
            Ok(file) => file,
            Err(_) => return Ok(None),
        },
    };
    match wait::lock(&file, Hold::Shared, "the end of a garbage collection", &path) {
        Err(error) if access == Access::ReadOnly && !error.is(ErrorKind::Interrupted) => Ok(None),
        locked => locked.map(|()| Some(file)),
    }
}
