//! The few ways in which files change, of the store and of what others keep in its folder; every error names its path.
//!
//! All writes pass through here, so that a test can stop a store after its nth one; see `fault.rs`.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::StoreError;
use crate::fault::{self, Change};
use crate::mounts::mounts_below;

type Result<T> = std::result::Result<T, StoreError>;

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(StoreError::io("open", path))
}

/// Opens a file for reading and writing, made if it is missing.
pub(crate) fn open_or_create(path: &Path) -> Result<File> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
    fault::step(Change::Create, path).and_then(|()| options.open(path)).map_err(StoreError::io("open", path))
}

/// Makes a new file; fails if there is one.
pub(crate) fn create_new(path: &Path, mode: u32) -> Result<File> {
    let options = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).clone();
    fault::step(Change::Create, path).and_then(|()| options.open(path)).map_err(StoreError::io("create", path))
}

/// Makes a folder and those above it; one that is there is fine.
pub fn create_dir(path: &Path) -> Result<()> {
    let made = fault::step(Change::Folder, path).and_then(|()| fs::create_dir_all(path));
    made.map_err(StoreError::io("create the folder", path))
}

/// Writes all bytes at an offset.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64, path: &Path) -> Result<()> {
    fault::write(bytes, path, |bytes| file.write_all_at(bytes, offset)).map_err(StoreError::io("write", path))
}

/// Appends all bytes.
pub fn append(file: &mut File, bytes: &[u8], path: &Path) -> Result<()> {
    fault::write(bytes, path, |bytes| file.write_all(bytes)).map_err(StoreError::io("write", path))
}

/// Makes the contents of a file durable.
pub(crate) fn sync(file: &File, path: &Path) -> Result<()> {
    fault::step(Change::Sync, path).and_then(|()| file.sync_data()).map_err(StoreError::io("sync", path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    let sync = || File::open(dir)?.sync_all();
    fault::step(Change::Sync, dir).and_then(|()| sync()).map_err(StoreError::io("sync the folder", dir))
}

/// Cuts a file.
pub(crate) fn truncate(file: &File, len: u64, path: &Path) -> Result<()> {
    fault::step(Change::Cut, path).and_then(|()| file.set_len(len)).map_err(StoreError::io("cut", path))
}

/// Renames within one filesystem, replacing what is there.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fault::step(Change::Rename, to).and_then(|()| fs::rename(from, to)).map_err(StoreError::io("move a file to", to))
}

/// Gives a file a second name on the same filesystem; fails if something has it.
pub(crate) fn link(from: &Path, to: &Path) -> Result<()> {
    fault::step(Change::Create, to)
        .and_then(|()| fs::hard_link(from, to))
        .map_err(StoreError::io("give another name to", from))
}

/// Removes a file; one that is gone already is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    match fault::step(Change::Remove, path).and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it; one that is gone already is fine, and one in which something is mounted stays.
pub fn remove_dir(path: &Path) -> Result<()> {
    if let Some(mount) = mounts_below(path).first() {
        let error = io::Error::other(format!("a file system is mounted at {}; unmount it", mount.display()));
        return Err(StoreError::io("remove the folder", path)(error));
    }
    match fault::step(Change::Remove, path).and_then(|()| fs::remove_dir_all(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove the folder", path)(error)),
        _ => Ok(()),
    }
}

/// Replaces a file as a whole: readers see the old bytes or the new ones, also after a crash if it is to be durable.
///
/// The folder must exist. The new bytes are first written to `.new-NAME` beside it, under a lock; what a killed process left
/// there, the next one overwrites, so that nothing piles up where people look.
pub fn replace(path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let dir = path.parent().expect("what is replaced lies in a folder");
    let (new, mut file) = open_new(path)?;
    let mut write = || {
        append(&mut file, bytes, path)?;
        if durable {
            sync(&file, path)?;
        }
        fault::step(Change::Rename, path).and_then(|()| fs::rename(&new, path)).map_err(StoreError::io("write", path))
    };
    if let Err(error) = write() {
        // A full disk is not to be filled further; whoever comes next would overwrite it.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    if durable { sync_dir(dir) } else { Ok(()) }
}

/// How the names of files begin that [`replace`] writes to.
pub(crate) const NEW: &str = ".new-";

/// Opens and locks the file that is to become `path`, empty.
fn open_new(path: &Path) -> Result<(PathBuf, File)> {
    let mut name = std::ffi::OsString::from(NEW);
    name.push(path.file_name().expect("what is replaced has a name"));
    let new = path.with_file_name(name);
    let open = || {
        fault::step(Change::Create, path)?;
        File::options().write(true).create(true).truncate(false).open(&new)
    };
    loop {
        let file = match open() {
            // Another user's process died here.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && fs::remove_file(&new).is_ok() => open(),
            opened => opened,
        };
        let file = file.map_err(StoreError::io("write", path))?;
        // Where files cannot be locked, writers at the same time are as unlikely as elsewhere.
        let _ = file.lock();
        // Its last holder may have given it its final name after we opened it.
        if is_at(&file, &new) {
            file.set_len(0).map_err(StoreError::io("write", path))?;
            return Ok((new, file));
        }
    }
}

/// Whether the open file is still the one with this name.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.ino() == named.ino() && open.dev() == named.dev(),
        _ => false,
    }
}

/// Writes a file that nobody else sees yet.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        fault::step(Change::Create, path)?;
        let mut file = File::create(path)?;
        fault::write(bytes, path, |bytes| file.write_all(bytes))
    };
    write().map_err(StoreError::io("write", path))
}

/// A new file in a folder, removed when dropped.
pub(crate) fn temporary(dir: &Path, prefix: &str) -> Result<tempfile::NamedTempFile> {
    let create = || {
        fault::step(Change::Create, dir)?;
        tempfile::Builder::new().prefix(prefix).tempfile_in(dir)
    };
    create().map_err(StoreError::io("create a temporary file in", dir))
}

/// A new folder in a folder, removed when dropped.
pub(crate) fn temporary_dir(dir: &Path, prefix: &str) -> Result<tempfile::TempDir> {
    let create = || {
        fault::step(Change::Folder, dir)?;
        tempfile::Builder::new().prefix(prefix).tempdir_in(dir)
    };
    create().map_err(StoreError::io("create a folder in", dir))
}

/// Dates a file, and lets nobody write to it.
pub(crate) fn seal(file: &File, modified: SystemTime, mode: u32, path: &Path) -> Result<()> {
    fault::step(Change::Mark, path).and_then(|()| file.set_modified(modified)).map_err(StoreError::io("date", path))?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(StoreError::io("protect", path))
}

/// A file that only grows, such as a log.
#[derive(Debug)]
pub struct Appended {
    file: File,
    path: PathBuf,
}

impl Appended {
    /// Makes the file if it is missing.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || File::options().append(true).create(true).open(path);
        let file = fault::step(Change::Create, path).and_then(|()| open()).map_err(StoreError::io("open", path))?;
        Ok(Self { file, path: path.to_owned() })
    }
}

impl Write for Appended {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fault::write(bytes, &self.path, |bytes| self.file.write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
