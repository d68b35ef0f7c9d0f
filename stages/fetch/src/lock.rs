//! One fetch at a time in a folder, by a kernel lock that ends with its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::FetchError;
use crate::progress::Progress;

/// Holds a folder until it is dropped.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder; waits, and says so, while another process holds it.
    ///
    /// The lock file is never removed: else two fetches could lock two different files.
    pub(crate) fn take(dir: &Path, listener: &mut dyn FnMut(Progress<'_>)) -> Result<Self, FetchError> {
        let path = dir.join(".lock");
        let mut options = OpenOptions::new();
        let file =
            options.write(true).create(true).truncate(false).open(&path).map_err(FetchError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                listener(Progress::Waiting { dir });
                file.lock().map_err(FetchError::io("lock", &path))?;
            }
            Err(TryLockError::Error(error)) => return Err(FetchError::io("lock", &path)(error)),
        }
        Ok(Self { _file: file })
    }
}
