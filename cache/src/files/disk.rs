//! The few ways in which files change, of the store and of what others keep in its folder; every error names its path.
//!
//! All writes pass through here, so that a test can stop a store after its nth one; see `fault.rs`. No link is followed in the
//! last component of a path, and only regular files are opened; see `regular.rs`.

use std::ffi::OsString;
use std::fs::{self, File, FileType, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::UtimensatFlags::NoFollowSymlink;
use nix::sys::stat::utimensat;
use nix::sys::time::TimeSpec;

use crate::error::StoreError;
use crate::files::fault::{self, Change};
use crate::files::mounts::mounts_below;
use crate::files::regular::{self, Irregular};

type Result<T> = std::result::Result<T, StoreError>;

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File> {
    regular::open_to_read(path).map_err(StoreError::io("open", path))
}

/// Opens a file for reading and writing.
pub(crate) fn open_to_write(path: &Path) -> Result<File> {
    regular::open(OpenOptions::new().read(true).write(true), path).map_err(StoreError::io("open", path))
}

/// Opens a file for reading and writing, made if it is missing.
pub(crate) fn open_or_create(path: &Path) -> Result<File> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
    fault::step(Change::Create, path).and_then(|()| regular::open(&options, path)).map_err(StoreError::io("open", path))
}

/// Makes a new file; fails if there is one, or anything else of that name.
pub fn create_new(path: &Path, mode: u32) -> Result<File> {
    let options = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).clone();
    fault::step(Change::Create, path).and_then(|()| options.open(path)).map_err(StoreError::io("create", path))
}

/// Reads a file of at most so many bytes; a longer one is an error.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    regular::read(path, max_bytes)
}

/// Whether that is why a file could not be opened: it is a link, or anything else but a regular file, or too long.
pub fn is_irregular(error: &io::Error) -> bool {
    Irregular::is_cause_of(error)
}

/// Makes a folder in one that is there; one of that name is fine, a link to one is not.
pub fn create_folder(path: &Path) -> Result<()> {
    let make = || match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let kind = fs::symlink_metadata(path)?.file_type();
            if kind.is_dir() { Ok(()) } else { Err(Irregular::Kind(regular::name_of(kind)).into()) }
        }
        made => made,
    };
    fault::step(Change::Folder, path).and_then(|()| make()).map_err(StoreError::io("create the folder", path))
}

/// Makes a folder and those above it; one that is there is fine.
pub fn create_dir(path: &Path) -> Result<()> {
    let made = fault::step(Change::Folder, path).and_then(|()| fs::create_dir_all(path));
    made.map_err(StoreError::io("create the folder", path))
}

/// Makes a folder with a durable name in one that is there; costs a look more if it is there.
pub(crate) fn create_folder_durably(path: &Path) -> Result<()> {
    let is_new = fs::symlink_metadata(path).is_err();
    create_folder(path)?;
    if is_new { sync_dir(path.parent().expect("a folder lies in another")) } else { Ok(()) }
}

/// Makes the names of a folder and of those above it durable, as far as they lie on its filesystem and may be read.
pub(crate) fn sync_above(dir: &Path) -> Result<()> {
    let device = |dir: &Path| fs::metadata(dir).map(|metadata| metadata.dev()).ok();
    let own = device(dir);
    for parent in dir.ancestors().skip(1).take_while(|parent| device(parent) == own) {
        match sync_dir(parent) {
            // Nobody could have made the folder below it just now.
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Makes one folder; fails if there is something of that name, a link included.
pub fn create_new_dir(path: &Path) -> Result<()> {
    let made = fault::step(Change::Folder, path).and_then(|()| fs::create_dir(path));
    made.map_err(StoreError::io("create the folder", path))
}

/// Opens a file that only grows, to read it too; made if it is missing. A link of that name is not followed.
pub fn open_to_append(path: &Path) -> Result<File> {
    let options = OpenOptions::new().read(true).append(true).create(true).clone();
    fault::step(Change::Create, path).and_then(|()| regular::open(&options, path)).map_err(StoreError::io("open", path))
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
pub fn sync(file: &File, path: &Path) -> Result<()> {
    fault::step(Change::Sync, path).and_then(|()| file.sync_data()).map_err(StoreError::io("sync", path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    let sync = || File::open(dir)?.sync_all();
    fault::step(Change::Sync, dir).and_then(|()| sync()).map_err(StoreError::io("sync the folder", dir))
}

/// Cuts a file.
pub fn truncate(file: &File, len: u64, path: &Path) -> Result<()> {
    fault::step(Change::Cut, path).and_then(|()| file.set_len(len)).map_err(StoreError::io("cut", path))
}

/// Renames within one filesystem, replacing what is there.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fault::step(Change::Rename, to).and_then(|()| fs::rename(from, to)).map_err(StoreError::io("move a file to", to))
}

/// Gives a file a second name on the same filesystem; fails if something has it.
pub fn link(from: &Path, to: &Path) -> Result<()> {
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

/// Removes a folder if it is empty; says whether it is gone.
pub fn remove_empty_dir(path: &Path) -> Result<bool> {
    match fault::step(Change::Remove, path).and_then(|()| fs::remove_dir(path)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(StoreError::io("remove the folder", path)(error)),
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

/// Gives a file the time of now, as its filesystem has it.
pub fn touch(path: &Path) -> Result<()> {
    let touch = || utimensat(AT_FDCWD, path, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW, NoFollowSymlink);
    fault::step(Change::Mark, path)
        .and_then(|()| touch().map_err(io::Error::from))
        .map_err(StoreError::io("date", path))
}

/// Replaces a file as a whole: readers see the old bytes or the new ones, also after a crash if it is to be durable.
///
/// The folder must exist. The new bytes are first written to a new file `.new-NAME` beside it, under a lock; what a killed process
/// left there goes, so that nothing piles up where people look. Where something else has that name, or somebody else's
/// process has it just now, it is `.new-NAME~1` and so on: nobody waits, and nobody is kept from writing.
pub fn replace(path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let dir = path.parent().expect("what is replaced lies in a folder");
    let (new, mut file) = create_unfinished(path).map_err(StoreError::io("write", path))?;
    let mut write = || {
        append(&mut file, bytes, path)?;
        if durable {
            sync(&file, path)?;
        }
        fault::step(Change::Rename, path).and_then(|()| fs::rename(&new, path)).map_err(StoreError::io("write", path))
    };
    if let Err(error) = write() {
        // A full disk is not to be filled further.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    if durable { sync_dir(dir) } else { Ok(()) }
}

/// How the names of files begin that [`replace`] writes to.
const NEW: &str = ".new-";

/// How many of them there can be beside one file: as many processes may write it in one moment.
const UNFINISHED_MAX: u32 = 1000;

/// The file that one of this name was to become, if [`replace`] makes such names.
pub fn finished_name(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(NEW)?;
    match rest.rsplit_once('~') {
        Some((finished, number)) if number.parse::<u32>().is_ok_and(|parsed| parsed.to_string() == number) => {
            Some(finished)
        }
        _ => Some(rest),
    }
}

/// Makes and locks a file that is to become `path`.
fn create_unfinished(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().expect("what is replaced has a name");
    for number in 0..UNFINISHED_MAX {
        let mut new = OsString::from(NEW);
        new.push(name);
        if number > 0 {
            new.push(format!("~{number}"));
        }
        let new = path.with_file_name(new);
        let create = || {
            fault::step(Change::Create, path)?;
            File::options().write(true).create_new(true).open(&new)
        };
        let file = match create() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !remove_unfinished(&new) {
                    continue;
                }
                match create() {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                    created => created?,
                }
            }
            created => created?,
        };
        // Whoever found it before it was locked took it for one of a killed process. Where files cannot be locked, nobody does.
        if !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) && is_at(&file, &new) {
            return Ok((new, file));
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there are {UNFINISHED_MAX} files `{NEW}…` beside it")))
}

/// Removes a file that a killed process has not finished; false if it lives, or if it is no such file.
fn remove_unfinished(new: &Path) -> bool {
    let Ok(file) = regular::open(OpenOptions::new().read(true).write(true), new) else { return false };
    // Under the lock, so that of those who find it only one removes it, and nobody what the next one makes.
    let is_left = file.try_lock().is_ok() && is_at(&file, new);
    is_left && fault::step(Change::Remove, new).and_then(|()| fs::remove_file(new)).is_ok()
}

/// Whether the open file is still the one with this name.
pub fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => open.ino() == named.ino() && open.dev() == named.dev(),
        _ => false,
    }
}

/// Writes a new file, which nobody else sees yet.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        fault::step(Change::Create, path)?;
        let mut file = File::create_new(path)?;
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
    /// Makes the file; fails if there is one.
    pub fn create(path: &Path) -> Result<Self> {
        let open = || File::options().append(true).create_new(true).open(path);
        let file = fault::step(Change::Create, path).and_then(|()| open()).map_err(StoreError::io("create", path))?;
        Ok(Self::new(file, path))
    }

    /// One that is open.
    pub fn new(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned() }
    }

    /// Locks it as long as it is open, so that [`is_held`](crate::is_held) tells others that somebody still writes it.
    ///
    /// Goes on without a lock where files cannot be locked.
    pub fn hold(&self) {
        if let Err(error) = self.file.try_lock() {
            tracing::debug!("cannot lock {}: {error}", self.path.display());
        }
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

/// Names of what is in a folder, sorted; a missing folder is empty. Names that are not UTF-8 are not the store's.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>> {
    let names = entries(dir)?.into_iter().filter_map(|(name, _)| name.into_string().ok());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    Ok(names)
}

/// Names and types of what is in a folder, in no order; links count as links. A missing folder is empty.
pub(crate) fn entries(dir: &Path) -> Result<Vec<(OsString, FileType)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", dir)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", dir))?;
        match entry.file_type() {
            Ok(kind) => found.push((entry.file_name(), kind)),
            // Not every filesystem tells it with the name, and the file may be gone since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("list", dir)(error)),
        }
    }
    Ok(found)
}
