//! Leases: exclusive rights to produce the result of a key, among the threads and processes of one host; `claim.rs`
//! adds other hosts.
//!
//! On Linux a lease is an open-file-description lock on one byte of a file in `leases.d`; the key decides file and
//! offset. Two keys with 62 bits and the file in common would exclude each other: unlikely, and harmless.
//! The kernel walks the list of a file's locks for each new one, so thousands of leases in one file would each cost
//! more than a light stage; hence several files. Elsewhere a lease is a lock on a file of its own in `lease-files`.
//!
//! Threads share an open file and so its locks; a set in memory excludes them.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::error::StoreError;
use crate::format::layout::Layout;
use crate::lock::claim::{self, Claims};
use crate::lock::holder;
use crate::lock::memory::lock;
use crate::lock::session::Session;
use crate::value::artifact::ActionKey;

/// The leases of this process in one store.
#[derive(Debug)]
pub(crate) struct Leases {
    kernel: KernelLocks,
    pub(crate) claims: Claims,
    held: Mutex<HashSet<ActionKey>>,
    session: Arc<Session>,
}

/// The right to produce the result of one key, until it is dropped.
pub struct Lease {
    key: ActionKey,
    leases: Arc<Leases>,
    lock: Option<KernelLock>,
    /// True if a claim shows it to other hosts.
    is_claimed: bool,
}

impl Leases {
    pub(crate) fn open(layout: &Layout, session: &Arc<Session>) -> Result<Self, StoreError> {
        let (claims, session) = (Claims::new(layout, session), Arc::clone(session));
        Ok(Self { kernel: KernelLocks::open(layout)?, claims, held: Mutex::default(), session })
    }

    /// Takes the lease of a key; `None` if a thread or process holds it.
    pub(crate) fn try_take(self: &Arc<Self>, key: &ActionKey) -> Result<Option<Lease>, StoreError> {
        // Whoever works may be open for long.
        self.session.stay();
        let mut held = lock(&self.held);
        if held.contains(key) {
            return Ok(None);
        }
        let lock = self.kernel.try_lock(key)?;
        Ok(lock.map(|lock| {
            held.insert(*key);
            Lease { key: *key, leases: Arc::clone(self), lock: Some(lock), is_claimed: false }
        }))
    }

    /// Names the holder of a taken lease.
    pub(crate) fn holder(&self, key: &ActionKey) -> String {
        if lock(&self.held).contains(key) {
            return "another node of this run, with the same key".to_owned();
        }
        self.kernel.holder(key).or_else(|| self.claims.holder(key)).unwrap_or_else(|| holder::UNKNOWN.to_owned())
    }

    /// Takes the lease of a key and claims it for this host; `None` if a thread, a process or another host holds it.
    pub(crate) fn try_take_across_hosts(self: &Arc<Self>, key: &ActionKey) -> Result<Option<Lease>, StoreError> {
        let Some(mut lease) = self.try_take(key)? else { return Ok(None) };
        lease.is_claimed = self.claims.try_claim(key)?;
        Ok(lease.is_claimed.then_some(lease))
    }
}

impl Lease {
    /// Time after which a file server shows what another host has recorded.
    pub const SHOWN_AFTER: Duration = claim::SHOWN_AFTER;

    /// Returns the key.
    pub fn key(&self) -> ActionKey {
        self.key
    }

    /// Checks the lease before its result is recorded: its holder may have been stopped for minutes, and been taken for
    /// dead. Takes it once more if nobody has it; returns `None` if another host has. After `Some(false)` another host
    /// may have recorded a result; the caller refreshes and looks, for the time of [`Lease::SHOWN_AFTER`].
    pub fn confirm(&self) -> Result<Option<bool>, StoreError> {
        if self.is_claimed { self.leases.claims.confirm(&self.key) } else { Ok(Some(true)) }
    }

    /// Returns whether no other host has taken the lease over.
    pub fn is_ours(&self) -> bool {
        !self.is_claimed || self.leases.claims.holds(&self.key)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_claimed {
            self.leases.claims.release(&self.key);
        }
        let mut held = lock(&self.leases.held);
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
    use std::sync::OnceLock;

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    use super::{ActionKey, File, Layout, PathBuf, StoreError, holder};
    use crate::files::disk;

    /// Number of files with locks.
    const FILES: usize = 64;

    /// Files with locked bytes, each opened on demand.
    #[derive(Debug)]
    pub(super) struct KernelLocks {
        files: [OnceLock<File>; FILES],
        dir: PathBuf,
    }

    /// Number of the file, and offset of the locked byte.
    pub(super) struct KernelLock(usize, libc::off_t);

    impl KernelLocks {
        pub(super) fn open(layout: &Layout) -> Result<Self, StoreError> {
            Ok(Self { files: [const { OnceLock::new() }; FILES], dir: layout.leases() })
        }

        fn path(&self, number: usize) -> PathBuf {
            self.dir.join(format!("{number:02x}"))
        }

        fn file(&self, number: usize) -> Result<&File, StoreError> {
            if let Some(file) = self.files[number].get() {
                return Ok(file);
            }
            let file = disk::open_or_create(&self.path(number))?;
            Ok(self.files[number].get_or_init(|| file))
        }

        pub(super) fn holder(&self, key: &ActionKey) -> Option<String> {
            let (number, offset) = byte_of(key);
            holder::of_byte(&self.path(number), offset.cast_unsigned())
        }

        pub(super) fn try_lock(&self, key: &ActionKey) -> Result<Option<KernelLock>, StoreError> {
            let (number, offset) = byte_of(key);
            match fcntl(self.file(number)?, FcntlArg::F_OFD_SETLK(&request(libc::F_WRLCK, offset))) {
                Ok(_) => Ok(Some(KernelLock(number, offset))),
                Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
                Err(error) => Err(StoreError::io("lock a byte of", self.path(number))(error.into())),
            }
        }

        pub(super) fn unlock(&self, KernelLock(number, offset): KernelLock) {
            let file = self.files[number].get().expect("a file with a lock is open");
            if let Err(error) = fcntl(file, FcntlArg::F_OFD_SETLK(&request(libc::F_UNLCK, offset))) {
                tracing::warn!("cannot unlock a byte of {}: {error}", self.path(number).display());
            }
        }
    }

    /// Returns the number of the file and the offset of the byte for a key.
    fn byte_of(key: &ActionKey) -> (usize, libc::off_t) {
        let bytes = key.0.as_bytes();
        let first = bytes.first_chunk().expect("a digest has 32 bytes");
        (usize::from(bytes[31]) % FILES, libc::off_t::from_le_bytes(*first) & (libc::off_t::MAX >> 1))
    }

    fn request(kind: libc::c_int, offset: libc::off_t) -> libc::flock {
        let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
        libc::flock { l_type, l_whence, l_start: offset, l_len: 1, l_pid: 0 }
    }
}

#[cfg(any(not(target_os = "linux"), test))]
mod portable {
    use super::{ActionKey, File, Layout, PathBuf, StoreError, holder};
    use crate::files::disk;
    use crate::lock::wait::{Hold, try_lock};

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
        pub(super) fn open(layout: &Layout) -> Result<Self, StoreError> {
            let dir = layout.lease_files();
            disk::create_folder(&dir)?;
            Ok(Self { dir })
        }

        #[cfg_attr(target_os = "linux", expect(dead_code, reason = "only its locks are tested there"))]
        pub(super) fn holder(&self, key: &ActionKey) -> Option<String> {
            Some(holder::of_file(&self.dir.join(key.0.to_string())))
        }

        pub(super) fn try_lock(&self, key: &ActionKey) -> Result<Option<KernelLock>, StoreError> {
            let path = self.dir.join(key.0.to_string());
            loop {
                let file = disk::open_or_create(&path)?;
                if !try_lock(&file, Hold::Alone, &path)? {
                    return Ok(None);
                }
                // Its last holder may have removed the name after we opened the file.
                if disk::is_at(&file, &path) {
                    return Ok(Some(KernelLock { path, _file: file }));
                }
            }
        }

        pub(super) fn unlock(&self, lock: KernelLock) {
            // The name goes while the lock is held: the next process that locks the file sees that it is gone.
            if let Err(error) = disk::remove_file(&lock.path) {
                tracing::warn!("{error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::digest::Digest;

    #[test]
    fn locks_of_files_exclude_other_holders_and_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let key = |name: &str| ActionKey(Digest::of(name.as_bytes()));
        let open = || portable::KernelLocks::open(&Layout::at(dir.path()).unwrap()).unwrap();
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
