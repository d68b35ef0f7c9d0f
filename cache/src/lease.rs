//! Exclusive claims to produce the result of a key, among the threads and processes of one host.
//!
//! On Linux a lease is an open-file-description lock on one byte of the file `leases`; the byte's offset is taken from the
//! key. The kernel drops it when its holder dies. Two keys that share 62 bits would exclude each other, which is as
//! unlikely as it is harmless. Elsewhere it is a lock on a file of its own in the folder `lease-files`.
//!
//! Such locks do not exclude threads that share an open file, so a set in memory does that.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::artifact::ActionKey;
use crate::error::StoreError;
use crate::layout::Layout;

/// The leases that this process holds in one store.
#[derive(Debug)]
pub(crate) struct Leases {
    kernel: KernelLocks,
    held: Mutex<HashSet<ActionKey>>,
}

/// The claim to produce the result of one key; given back when dropped.
pub struct Lease {
    key: ActionKey,
    leases: Arc<Leases>,
    lock: Option<KernelLock>,
}

impl Leases {
    pub(crate) fn open(layout: &Layout) -> Result<Self, StoreError> {
        Ok(Self { kernel: KernelLocks::open(layout.leases())?, held: Mutex::default() })
    }

    /// Claims a key; `None` if a thread or process holds it.
    pub(crate) fn try_claim(self: &Arc<Self>, key: &ActionKey) -> Result<Option<Lease>, StoreError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains(key) {
            return Ok(None);
        }
        let lock = self.kernel.try_lock(key)?;
        Ok(lock.map(|lock| {
            held.insert(*key);
            Lease { key: *key, leases: Arc::clone(self), lock: Some(lock) }
        }))
    }
}

impl Lease {
    /// The key that is claimed.
    pub fn key(&self) -> ActionKey {
        self.key
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = self.lock.take() {
            self.leases.kernel.unlock(lock);
        }
        held.remove(&self.key);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(target_os = "linux")]
use linux::{KernelLock, KernelLocks};
#[cfg(not(target_os = "linux"))]
use portable::{KernelLock, KernelLocks};

#[cfg(target_os = "linux")]
mod linux {
    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    use super::{ActionKey, File, PathBuf, StoreError};
    use crate::disk;

    /// One file whose bytes are locked.
    #[derive(Debug)]
    pub(super) struct KernelLocks {
        file: File,
        path: PathBuf,
    }

    /// Offset of the locked byte.
    pub(super) struct KernelLock(libc::off_t);

    impl KernelLocks {
        pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
            Ok(Self { file: disk::open_or_create(&path)?, path })
        }

        pub(super) fn try_lock(&self, key: &ActionKey) -> Result<Option<KernelLock>, StoreError> {
            let first = key.0.as_bytes().first_chunk().expect("a digest has 32 bytes");
            let offset = libc::off_t::from_le_bytes(*first) & (libc::off_t::MAX >> 1);
            match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&byte(libc::F_WRLCK, offset))) {
                Ok(_) => Ok(Some(KernelLock(offset))),
                Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
                Err(error) => Err(StoreError::io("lock a byte of", &self.path)(error.into())),
            }
        }

        pub(super) fn unlock(&self, lock: KernelLock) {
            if let Err(error) = fcntl(&self.file, FcntlArg::F_OFD_SETLK(&byte(libc::F_UNLCK, lock.0))) {
                tracing::warn!("cannot unlock a byte of {}: {error}", self.path.display());
            }
        }
    }

    fn byte(kind: libc::c_int, offset: libc::off_t) -> libc::flock {
        let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
        libc::flock { l_type, l_whence, l_start: offset, l_len: 1, l_pid: 0 }
    }
}

#[cfg(any(not(target_os = "linux"), test))]
mod portable {
    use std::fs::TryLockError;

    use super::{ActionKey, File, PathBuf, StoreError};
    use crate::disk;
    use crate::session::is_at;

    /// A folder of locked files.
    #[derive(Debug)]
    pub(super) struct KernelLocks {
        dir: PathBuf,
    }

    /// A locked file.
    pub(super) struct KernelLock {
        path: PathBuf,
        /// Carries the lock.
        _file: File,
    }

    impl KernelLocks {
        pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
            let dir = path.with_file_name("lease-files");
            disk::create_dir(&dir)?;
            Ok(Self { dir })
        }

        pub(super) fn try_lock(&self, key: &ActionKey) -> Result<Option<KernelLock>, StoreError> {
            let path = self.dir.join(key.0.to_string());
            loop {
                let file = disk::open_or_create(&path)?;
                match file.try_lock() {
                    // Its last holder may have removed the name after we opened the file.
                    Ok(()) if !is_at(&file, &path) => {}
                    Ok(()) => return Ok(Some(KernelLock { path, _file: file })),
                    Err(TryLockError::WouldBlock) => return Ok(None),
                    Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
                }
            }
        }

        pub(super) fn unlock(&self, lock: KernelLock) {
            // The name goes first, while the lock is held: whoever locks the file after us sees that it is gone.
            if let Err(error) = disk::remove_file(&lock.path) {
                tracing::warn!("{error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn locks_of_files_exclude_other_holders_and_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let key = |name: &str| ActionKey(Digest::of(name.as_bytes()));
        let open = || portable::KernelLocks::open(dir.path().join("leases")).unwrap();
        let (one, two) = (open(), open());
        let lock = one.try_lock(&key("a")).unwrap().unwrap();
        assert!(two.try_lock(&key("a")).unwrap().is_none());
        two.unlock(two.try_lock(&key("b")).unwrap().unwrap());
        one.unlock(lock);
        let lock = two.try_lock(&key("a")).unwrap().unwrap();
        assert!(one.try_lock(&key("a")).unwrap().is_none());
        two.unlock(lock);
        assert_eq!(std::fs::read_dir(dir.path().join("lease-files")).unwrap().count(), 0);
    }
}
