//! What one open store has not finished: scratch folders and objects on their way in.
//!
//! Each store that is open for writing owns a folder `tmp/SESSION/` and holds a kernel lock on the file `lock` in it. The
//! lock vanishes with its holder, so a folder whose lock is free was left by a process that died; it is removed when
//! the store is opened next. The time at which `lock` was made says since when the session is live; see `gc.rs`.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::clock;
use crate::disk;
use crate::error::StoreError;

/// A folder of our own for unfinished files, as long as this lives.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) dir: PathBuf,
    /// Carries the lock.
    _lock: File,
}

impl Session {
    /// Makes a folder below `tmp`.
    pub(crate) fn open(tmp: &Path) -> Result<Self, StoreError> {
        for attempt in 0.. {
            let dir = tmp.join(format!("{}-{:x}-{attempt}", std::process::id(), clock::now_ns()));
            if let Some(lock) = claim(&dir)? {
                return Ok(Self { dir, _lock: lock });
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
    let path = dir.join("lock");
    let lock = match disk::create_new(&path, 0o644) {
        Ok(lock) => lock,
        Err(_) if !dir.is_dir() => return Ok(None),
        Err(error) => return Err(error),
    };
    let ours = lock.try_lock().is_ok() && disk::is_at(&lock, &path);
    Ok(ours.then_some(lock))
}

/// Who else works in the store.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// When the oldest live session was opened, in milliseconds since 1970.
    pub(crate) oldest_ms: Option<u64>,
}

/// Removes the folders of dead sessions if it may, and tells of the live ones apart from our own.
pub(crate) fn sweep(tmp: &Path, own: Option<&Path>, remove: bool) -> Result<Neighbours, StoreError> {
    let mut neighbours = Neighbours::default();
    for name in disk::list(tmp)? {
        let dir = tmp.join(name);
        if own == Some(dir.as_path()) {
            continue;
        }
        let path = dir.join("lock");
        let Ok(lock) = File::options().read(true).write(true).open(&path) else {
            // Its owner died, or is about to make the lock; it tries again under another name if the folder is gone.
            if remove {
                fs::remove_dir(&dir).unwrap_or_else(|error| tracing::debug!("{}: {error}", dir.display()));
            }
            continue;
        };
        match lock.try_lock() {
            Ok(()) if remove => disk::remove_dir(&dir)?,
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let opened = lock.metadata().and_then(|metadata| metadata.modified());
                let opened_ms = clock::ms_of(opened.map_err(StoreError::io("read", &path))?);
                neighbours.oldest_ms = Some(neighbours.oldest_ms.map_or(opened_ms, |oldest| oldest.min(opened_ms)));
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
        }
    }
    Ok(neighbours)
}
