//! The lock `use.lock`: garbage collection waits while results are looked up, and lookups wait while it removes.
//!
//! An engine holds `use.lock` shared while it looks results up and notes the ones that it needs. A collection holds it
//! exclusively from before it reads those notes until it has removed everything. So a found result is noted before the
//! collection looks, or was gone before the engine looked. Notes are prefixes of keys in the session file
//! (`session_file.rs`), and count until their session ends.
//!
//! `use.lock` also holds the number of collections, in eight bytes: an engine that finds another number than last time
//! reads the index anew before it looks anything up.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::Layout;
use crate::lock::memory::{lock, read, write};
use crate::lock::session_file::SessionFile;
use crate::lock::wait::{self, Hold, unlock};
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

/// The lock between lookups and a collection.
#[derive(Debug)]
pub(crate) struct UseLock {
    /// Among the threads of this process; they share the kernel's lock.
    threads: RwLock<()>,
    kernel: Mutex<Kernel>,
    path: PathBuf,
}

#[derive(Debug)]
struct Kernel {
    file: File,
    /// Threads that hold it shared.
    users: usize,
    /// Number of collections when it was last taken.
    collections: u64,
}

/// Keeps garbage collection from removing anything while results are looked up; hold it briefly, as a collection waits.
///
/// A thread that holds one must not ask for another.
#[derive(Debug)]
pub struct Using<'s>(Option<Held<'s>>);

#[derive(Debug)]
struct Held<'s> {
    lock: &'s UseLock,
    _thread: RwLockReadGuard<'s, ()>,
    session: &'s SessionFile,
}

/// Keeps everybody from looking anything up.
pub(crate) struct Exclusive<'s> {
    _threads: RwLockWriteGuard<'s, ()>,
    kernel: MutexGuard<'s, Kernel>,
    path: &'s Path,
}

impl UseLock {
    pub(crate) fn open(layout: &Layout) -> Result<Self, StoreError> {
        let path = layout.use_lock();
        let file = disk::open_or_create(&path)?;
        let collections = count(&file, &path)?;
        let kernel = Mutex::new(Kernel { file, users: 0, collections });
        Ok(Self { threads: RwLock::default(), kernel, path })
    }

    fn kernel(&self) -> MutexGuard<'_, Kernel> {
        lock(&self.kernel)
    }

    /// Takes a share; also returns whether a collection ran since the last call.
    pub(crate) fn share<'s>(&'s self, session: &'s SessionFile) -> Result<(Using<'s>, bool), StoreError> {
        let thread = read(&self.threads);
        let mut kernel = self.kernel();
        if kernel.users == 0 {
            wait::lock(&kernel.file, Hold::Shared, "the end of a garbage collection", &self.path)?;
        }
        kernel.users += 1;
        let counted = count(&kernel.file, &self.path);
        let before = kernel.collections;
        kernel.collections = counted.as_ref().map_or(before, |collections| *collections);
        // Dropping the share takes this mutex again.
        drop(kernel);
        let using = Using(Some(Held { lock: self, _thread: thread, session }));
        Ok((using, counted? != before))
    }

    /// Takes the lock exclusively.
    pub(crate) fn exclude(&self) -> Result<Exclusive<'_>, StoreError> {
        let threads = write(&self.threads);
        let kernel = self.kernel();
        wait::lock(&kernel.file, Hold::Alone, "the end of a lookup", &self.path)?;
        Ok(Exclusive { _threads: threads, kernel, path: &self.path })
    }
}

impl Exclusive<'_> {
    /// Tells engines to read the index anew; called before anything is removed, as a collection may be killed.
    pub(crate) fn announce(&self) -> Result<(), StoreError> {
        let collections = count(&self.kernel.file, self.path)? + 1;
        disk::write_at(&self.kernel.file, &collections.to_le_bytes(), 0, self.path)
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        unlock(&self.kernel.file, self.path);
    }
}

impl Using<'_> {
    /// Makes one for a read-only store, which has no session and leaves no notes.
    pub(crate) fn nothing() -> Self {
        Self(None)
    }

    /// Notes that this session needs a large blob, which may have no result yet, until it ends.
    pub(crate) fn note_object(&self, digest: &Digest) -> Result<(), StoreError> {
        self.0.as_ref().map_or(Ok(()), |held| held.session.add(&[digest.prefix()]))
    }

    /// Notes that this session needs the results of these keys, until it ends.
    pub fn note(&self, keys: &[ActionKey]) -> Result<(), StoreError> {
        let Some(Held { session, .. }) = &self.0 else { return Ok(()) };
        let prefixes: Vec<_> = keys.iter().map(ActionKey::prefix).collect();
        session.add(&prefixes)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut kernel = self.lock.kernel();
        kernel.users -= 1;
        if kernel.users == 0 {
            unlock(&kernel.file, &self.lock.path);
        }
    }
}

fn count(file: &File, path: &Path) -> Result<u64, StoreError> {
    let mut bytes = [0; 8];
    // A new file is empty: nothing was collected yet.
    file.read_at(&mut bytes, 0).map_err(StoreError::io("read", path))?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::format::layout::Access;
    use crate::store::Store;

    #[test]
    fn a_store_that_opens_while_garbage_is_collected_reads_what_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(dir.path(), Access::ReadWrite).unwrap();
        let collector = open();
        let exclusive = collector.use_lock().unwrap().exclude().unwrap();
        exclusive.announce().unwrap();
        std::thread::scope(|scope| {
            let opening = scope.spawn(open);
            std::thread::sleep(Duration::from_millis(50));
            assert!(!opening.is_finished());
            drop(exclusive);
            let store = opening.join().unwrap();
            let (_, collected) = store.use_lock().unwrap().share(&store.session().unwrap().file).unwrap();
            assert!(!collected, "it has read what that collection left");
        });
    }

    #[test]
    fn threads_share_one_lock_and_the_last_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Store::open(dir.path(), Access::ReadWrite), Store::open(dir.path(), Access::ReadWrite));
        let (one, two) = (one.unwrap(), two.unwrap());
        let first = one.using().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(one.using().unwrap()));
        });
        std::thread::scope(|scope| {
            let excluded = scope.spawn(|| drop(two.use_lock().unwrap().exclude().unwrap()));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!excluded.is_finished(), "one thread of the other store still looks up");
            drop(first);
            excluded.join().unwrap();
        });
    }
}
