//! How a running engine keeps what it needs from garbage collection.
//!
//! While an engine looks results up and notes which of them it uses, it holds `use.lock` shared; a collection holds it
//! exclusively from before it reads the notes until all that goes is gone. So what an engine found is noted before a
//! collection looks, or was gone before the engine did. `use.lock` also counts the collections, in eight bytes: an engine
//! that finds another number than last time reads the index anew before it looks anything up.
//!
//! Notes are the first eight bytes of each key, in `tmp/NUMBER.lock` (`notes.rs`); they count until their session ends.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::Layout;
use crate::lock::notes::Notes;
use crate::lock::wait::{self, Hold};
use crate::store::last_use::prefix;
use crate::value::artifact::ActionKey;

/// The lock between those who look up and the one who collects.
#[derive(Debug)]
pub(crate) struct UseLock {
    /// Among the threads of this process; the kernel's lock belongs to all of them.
    threads: RwLock<()>,
    kernel: Mutex<Kernel>,
    path: PathBuf,
}

#[derive(Debug)]
struct Kernel {
    file: File,
    /// Threads that hold it shared.
    users: usize,
    /// Collections that were counted when it was last taken.
    collections: u64,
}

/// Keeps garbage collection from removing anything while results are looked up; short, as the collection waits.
///
/// A thread that holds one must not ask for another.
#[derive(Debug)]
pub struct Using<'s>(Option<Held<'s>>);

#[derive(Debug)]
struct Held<'s> {
    lock: &'s UseLock,
    _thread: RwLockReadGuard<'s, ()>,
    notes: &'s Notes,
}

/// Nobody looks anything up while this lives.
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
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Also says whether something was collected since this was last asked.
    pub(crate) fn share<'s>(&'s self, notes: &'s Notes) -> Result<(Using<'s>, bool), StoreError> {
        let thread = self.threads.read().unwrap_or_else(PoisonError::into_inner);
        let mut kernel = self.kernel();
        if kernel.users == 0 {
            wait::lock(&kernel.file, Hold::Shared, "the end of a garbage collection", &self.path)?;
        }
        kernel.users += 1;
        let using = Using(Some(Held { lock: self, _thread: thread, notes }));
        let collections = match count(&kernel.file, &self.path) {
            Ok(collections) => collections,
            Err(error) => {
                drop(kernel);
                return Err(error);
            }
        };
        let collected = std::mem::replace(&mut kernel.collections, collections) != collections;
        drop(kernel);
        Ok((using, collected))
    }

    pub(crate) fn exclude(&self) -> Result<Exclusive<'_>, StoreError> {
        let threads = self.threads.write().unwrap_or_else(PoisonError::into_inner);
        let kernel = self.kernel();
        wait::lock(&kernel.file, Hold::Alone, "the end of a lookup", &self.path)?;
        Ok(Exclusive { _threads: threads, kernel, path: &self.path })
    }
}

impl Exclusive<'_> {
    /// Tells engines to read the index anew; before anything goes, as a collection may be killed at any time.
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
    /// For a store that is open for reading only, which leaves no notes.
    pub(crate) fn nothing() -> Self {
        Self(None)
    }

    /// Notes that this session needs the results of these keys, until it ends.
    pub fn note(&self, keys: &[ActionKey]) -> Result<(), StoreError> {
        let Some(Held { notes, .. }) = &self.0 else { return Ok(()) };
        let prefixes: Vec<_> = keys.iter().map(prefix).collect();
        notes.add(&prefixes)
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
    // A new file is empty, and nothing was collected yet.
    match file.read_at(&mut bytes, 0) {
        Ok(_) => Ok(u64::from_le_bytes(bytes)),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

fn unlock(file: &File, path: &Path) {
    if let Err(error) = file.unlock() {
        tracing::warn!("cannot unlock {}: {error}", path.display());
    }
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
            let (_, collected) = store.use_lock().unwrap().share(&store.session().unwrap().notes).unwrap();
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
