//! What one open store has not finished: scratch folders and objects on their way in.
//!
//! Each store that is open for writing owns a folder `tmp/SESSION/` and holds a kernel lock on the file `lock` in it. The
//! lock vanishes with its holder, so a folder whose lock is free was left by a process that died; it is removed when
//! the store is opened next. The time at which `lock` was made says since when the session is live; see `gc.rs`.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::clock;
use crate::disk;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::using::{self, UseLock};

/// Name of the file with the lock in the folder of a session.
const LOCK: &str = "lock";

/// A folder of our own for unfinished files, as long as this lives.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) dir: PathBuf,
    /// When it was opened, in milliseconds since 1970.
    pub(crate) opened_ms: u64,
    /// What it looks up, garbage collection must not take meanwhile.
    pub(crate) uses: UseLock,
    /// Carries the lock.
    _lock: File,
}

impl Session {
    /// Makes a folder below `tmp`.
    pub(crate) fn open(layout: &Layout) -> Result<Self, StoreError> {
        let uses = UseLock::open(layout)?;
        let opened_ms = clock::now_ms();
        for attempt in 0.. {
            let dir = layout.tmp().join(format!("{}-{:x}-{attempt}", std::process::id(), clock::now_ns()));
            if let Some(lock) = claim(&dir)? {
                return Ok(Self { dir, opened_ms, uses, _lock: lock });
            }
        }
        unreachable!("an attempt for each number")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = disk::remove_dir(&self.dir) {
            tracing::debug!("{error}");
        }
    }
}

/// Makes and locks a folder; `None` if a sweeper was quicker between the two.
fn claim(dir: &Path) -> Result<Option<File>, StoreError> {
    disk::create_dir(dir)?;
    let path = dir.join(LOCK);
    let lock = match disk::create_new(&path, 0o644) {
        Ok(lock) => lock,
        Err(_) if !dir.is_dir() => return Ok(None),
        Err(error) => return Err(error),
    };
    let ours = lock.try_lock().is_ok() && disk::is_at(&lock, &path);
    Ok(ours.then_some(lock))
}

/// Removes the folder of a dead session, its lock last. A worker that has not yet noticed that its engine is dead may still write
/// there; then the next sweep goes on, and nobody is kept from the store.
fn remove_rest(dir: &Path) {
    let remove = || {
        for name in disk::list(dir)?.iter().filter(|name| *name != LOCK) {
            let path = dir.join(name);
            if path.is_dir() { disk::remove_dir(&path)? } else { disk::remove_file(&path)? }
        }
        disk::remove_dir(dir)
    };
    remove().unwrap_or_else(|error: StoreError| tracing::debug!("{error}"));
}

/// Who else works in the store.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// When the oldest live session was opened, in milliseconds since 1970.
    pub(crate) oldest_ms: Option<u64>,
    /// Beginnings of the keys that live sessions need.
    pub(crate) notes: HashSet<u64>,
}

/// Removes the folders of dead sessions if it may, and tells of the live ones apart from our own.
pub(crate) fn sweep(tmp: &Path, own: Option<&Path>, remove: bool) -> Result<Neighbours, StoreError> {
    let mut neighbours = Neighbours::default();
    for name in disk::list(tmp)? {
        let dir = tmp.join(name);
        if own == Some(dir.as_path()) {
            continue;
        }
        let path = dir.join(LOCK);
        let open = || File::options().read(true).write(true).open(&path);
        let Ok(lock) = open() else {
            // Its owner died, or is about to make the lock; it tries again under another name if the folder is gone. The lock is
            // the first file in it, so what has others and still no lock is a rest that a dying worker wrote.
            if remove && fs::remove_dir(&dir).is_err() && open().is_err() {
                remove_rest(&dir);
            }
            continue;
        };
        match lock.try_lock() {
            Ok(()) if remove => remove_rest(&dir),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let opened = lock.metadata().and_then(|metadata| metadata.modified());
                let opened_ms = clock::ms_of(opened.map_err(StoreError::io("read", &path))?);
                neighbours.notes.extend(using::notes(&dir));
                neighbours.oldest_ms = Some(neighbours.oldest_ms.map_or(opened_ms, |oldest| oldest.min(opened_ms)));
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
        }
    }
    Ok(neighbours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault;

    /// A session whose owner was killed while a worker of it still wrote.
    fn dead_session(tmp: &Path) -> PathBuf {
        let dir = tmp.join("1-1-0");
        fs::create_dir_all(dir.join("scratch-1/stage")).unwrap();
        fs::write(dir.join(LOCK), "").unwrap();
        dir
    }

    #[test]
    fn a_session_that_cannot_be_swept_keeps_nobody_from_the_store_and_goes_later() {
        for steps in 0..3 {
            let tmp = tempfile::tempdir().unwrap();
            let dir = dead_session(tmp.path());
            fault::after(steps);
            sweep(tmp.path(), None, true).unwrap();
            fault::off();
            assert_eq!(dir.exists(), steps < 2, "{steps}");
            sweep(tmp.path(), None, true).unwrap();
            assert!(!dir.exists());
        }
    }

    #[test]
    fn what_a_worker_wrote_after_its_session_was_swept_goes_too() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = dead_session(tmp.path());
        fs::remove_file(dir.join("lock")).unwrap();
        sweep(tmp.path(), None, true).unwrap();
        assert!(!dir.exists());
    }
}
