//! The few ways in which the store changes the disk; every error names its path.
//!
//! All writes of the store pass through here, so that a test can stop a store after its nth write; see [`fault`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::error::StoreError;

type Result<T> = std::result::Result<T, StoreError>;

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(StoreError::io("open", path))
}

/// Opens a file for reading and writing, made if it is missing.
pub(crate) fn open_or_create(path: &Path) -> Result<File> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
    fault::step().and_then(|()| options.open(path)).map_err(StoreError::io("open", path))
}

/// Opens a file to append to, made if it is missing.
pub(crate) fn open_to_append(path: &Path) -> Result<File> {
    let options = OpenOptions::new().append(true).create(true).clone();
    fault::step().and_then(|()| options.open(path)).map_err(StoreError::io("open", path))
}

/// Makes a new file; fails if there is one.
pub(crate) fn create_new(path: &Path, mode: u32) -> Result<File> {
    let options = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).clone();
    fault::step().and_then(|()| options.open(path)).map_err(StoreError::io("create", path))
}

/// Makes a folder and those above it; one that is there is fine.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    fault::step().and_then(|()| fs::create_dir_all(path)).map_err(StoreError::io("create the folder", path))
}

/// Writes all bytes at an offset.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64, path: &Path) -> Result<()> {
    let write = || {
        let bytes = fault::cut(bytes);
        file.write_all_at(bytes.0, offset)?;
        bytes.1
    };
    write().map_err(StoreError::io("write", path))
}

/// Appends all bytes.
pub(crate) fn append(file: &mut File, bytes: &[u8], path: &Path) -> Result<()> {
    let mut write = || {
        let bytes = fault::cut(bytes);
        file.write_all(bytes.0)?;
        bytes.1
    };
    write().map_err(StoreError::io("write", path))
}

/// Makes the contents of a file durable.
pub(crate) fn sync(file: &File, path: &Path) -> Result<()> {
    fault::step().and_then(|()| file.sync_data()).map_err(StoreError::io("sync", path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    let sync = || File::open(dir)?.sync_all();
    fault::step().and_then(|()| sync()).map_err(StoreError::io("sync the folder", dir))
}

/// Cuts a file.
pub(crate) fn truncate(file: &File, len: u64, path: &Path) -> Result<()> {
    fault::step().and_then(|()| file.set_len(len)).map_err(StoreError::io("cut", path))
}

/// Renames within one filesystem, replacing what is there.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fault::step().and_then(|()| fs::rename(from, to)).map_err(StoreError::io("move a file to", to))
}

/// Gives a file a second name on the same filesystem; fails if something has it.
pub(crate) fn link(from: &Path, to: &Path) -> Result<()> {
    fault::step().and_then(|()| fs::hard_link(from, to)).map_err(StoreError::io("give another name to", from))
}

/// Removes a file; one that is gone already is fine.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fault::step().and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it; one that is gone already is fine.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fault::step().and_then(|()| fs::remove_dir_all(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove the folder", path)(error)),
        _ => Ok(()),
    }
}

/// Replaces a small file as a whole: readers see the old bytes or the new ones.
pub(crate) fn replace(path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let dir = path.parent().expect("files of the store lie in folders");
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(dir)
        .map_err(StoreError::io("create a temporary file in", dir))?;
    append(file.as_file_mut(), bytes, path)?;
    if durable {
        sync(file.as_file(), path)?;
    }
    fault::step().map_err(StoreError::io("write", path))?;
    file.persist(path).map_err(|error| StoreError::io("write", path)(error.error))?;
    if durable { sync_dir(dir) } else { Ok(()) }
}

/// Names and types of what is in a folder; a missing folder is empty. Names that are not UTF-8 are not the store's.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", dir))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// Nothing in a release: a write is never stopped.
#[cfg(not(test))]
mod fault {
    use std::io;

    pub(super) fn step() -> io::Result<()> {
        Ok(())
    }

    pub(super) fn cut(bytes: &[u8]) -> (&[u8], io::Result<()>) {
        (bytes, Ok(()))
    }
}

/// Stops a store after its nth write, as a crash or a full disk does.
#[cfg(test)]
pub(crate) mod fault {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
        static HALF: Cell<bool> = const { Cell::new(true) };
    }

    /// Lets this thread change the disk `steps` times more; each change after that fails, the first one half done.
    pub(crate) fn after(steps: u64) {
        LEFT.set(Some(steps));
        HALF.set(true);
    }

    /// Lets every change pass again; gives how many steps were left, `None` if no limit was set.
    pub(crate) fn off() -> Option<u64> {
        LEFT.replace(None)
    }

    pub(super) fn step() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::new(io::ErrorKind::StorageFull, "stopped by the test")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }

    pub(super) fn cut(bytes: &[u8]) -> (&[u8], io::Result<()>) {
        let stopping = LEFT.get() == Some(0);
        match step() {
            Ok(()) => (bytes, Ok(())),
            // The first write that fails leaves half its bytes; later ones, of a store that is dead, leave none.
            Err(error) if stopping && HALF.replace(false) => (&bytes[..bytes.len() / 2], Err(error)),
            Err(error) => (&[], Err(error)),
        }
    }
}
