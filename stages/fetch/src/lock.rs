//! One fetch at a time in a folder, by a kernel lock that vanishes with its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::FetchError;
use crate::event::Event;

/// Holds a folder until it is dropped.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder; waits, and says so, while another process has it.
    ///
    /// The file stays where it is: were it removed, the next two fetches could lock two different files.
    pub(crate) fn take(dir: &Path, listener: &mut dyn FnMut(Event<'_>)) -> Result<Self, FetchError> {
        let path = dir.join(".lock");
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let file = options.open(&path).map_err(FetchError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                listener(Event::Waiting { dir });
                file.lock().map_err(FetchError::io("lock", &path))?;
            }
            Err(TryLockError::Error(error)) => return Err(FetchError::io("lock", &path)(error)),
        }
        Ok(Self { _file: file })
    }
}
