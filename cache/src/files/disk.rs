//! Changes to files, for the store and for the engine; every error names its path.
//!
//! All writes pass through here, so that a test can stop a store after its nth one (`fault.rs`). The last component of
//! a path is never followed if it is a link, and only regular files are opened (`regular.rs`). What is made in a folder
//! that a group shares gets the rights of that folder (`rights.rs`).

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, FileType, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::UtimensatFlags::NoFollowSymlink;
use nix::sys::stat::utimensat;
use nix::sys::time::TimeSpec;
use nix::unistd::Uid;

use crate::error::StoreError;
use crate::files::fault::{self, Change};
use crate::files::host::{self, Host};
use crate::files::mounts::mounts_below;
use crate::files::regular::{self, Irregular};
use crate::files::rights::Rights;

type Result<T> = std::result::Result<T, StoreError>;

/// The mode of a file before the umask, or the folder, takes its part.
const ANY_MODE: u32 = 0o666;
/// The same of a file for its owner alone.
const PRIVATE: u32 = 0o600;
/// The same of a file that nobody is to change.
const READ_ONLY: u32 = 0o444;

/// Makes one change to the disk; `action` and `path` are for errors.
fn step<T>(change: Change, action: &'static str, path: &Path, make: impl FnOnce() -> io::Result<T>) -> Result<T> {
    fault::step(change, path).and_then(|()| make()).map_err(StoreError::io(action, path))
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File> {
    regular::open_to_read(path).map_err(StoreError::io("open", path))
}

/// Opens a file for reading and writing.
pub(crate) fn open_to_write(path: &Path) -> Result<File> {
    regular::open(OpenOptions::new().read(true).write(true), path).map_err(StoreError::io("open", path))
}

/// Opens a file for reading and writing, and creates it if it is missing.
pub(crate) fn open_or_create(path: &Path) -> Result<File> {
    step(Change::Create, "open", path, || open_or_make(OpenOptions::new().read(true).write(true), ANY_MODE, path))
}

/// Opens a file for reading and appending, and creates it if it is missing.
pub fn open_to_append(path: &Path) -> Result<File> {
    step(Change::Create, "open", path, || open_or_make(OpenOptions::new().read(true).append(true), ANY_MODE, path))
}

/// Does the same for a file that only this user may read.
pub fn open_private_to_append(path: &Path) -> Result<File> {
    step(Change::Create, "open", path, || open_or_make(OpenOptions::new().read(true).append(true), PRIVATE, path))
}

/// Creates a file; fails if the name is taken.
pub fn create_new(path: &Path, mode: u32) -> Result<File> {
    step(Change::Create, "create", path, || make(OpenOptions::new().read(true).write(true), mode, path))
}

/// Opens a file, and creates it if it is missing.
fn open_or_make(options: &OpenOptions, mode: u32, path: &Path) -> io::Result<File> {
    loop {
        match regular::open(options, path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
        match make(options, mode, path) {
            // Another process was quicker.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && fs::symlink_metadata(path).is_ok() => {}
            made => return made,
        }
    }
}

/// Creates a file with all of its rights; fails if the name is taken.
fn make(options: &OpenOptions, mode: u32, path: &Path) -> io::Result<File> {
    let make_at_once = |mode| options.clone().create_new(true).mode(mode).open(path);
    let Some(rights) = Rights::beside(path) else { return make_at_once(mode) };
    if !Rights::are_cut(rights.of_file(mode)) {
        return make_at_once(rights.of_file(mode));
    }
    let (new, file) = create_unfinished(path, options)?;
    let named = rights.give(&file, mode).and_then(|()| fs::hard_link(&new, path));
    // The lock only tells that the unfinished file has a live writer.
    let removed = fs::remove_file(&new).and_then(|()| file.unlock());
    match named {
        Ok(()) => removed.map(|()| file),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // The filesystem has no hard links.
        Err(_) => make_at_once(mode).and_then(|file| rights.give(&file, mode).map(|()| file)),
    }
}

/// Reads a file of at most `max_bytes`; a longer one is an error.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    regular::read(path, max_bytes)
}

/// Returns whether a file could not be opened because it is no regular file or too long.
pub fn is_irregular(error: &io::Error) -> bool {
    Irregular::is_cause_of(error)
}

/// Creates a folder in an existing one; an existing folder of that name is fine, a link to one is not.
pub fn create_folder(path: &Path) -> Result<()> {
    step(Change::Folder, "create the folder", path, || match make_folder(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let kind = fs::symlink_metadata(path)?.file_type();
            if kind.is_dir() { Ok(()) } else { Err(Irregular::Kind(regular::name_of(kind)).into()) }
        }
        made => made,
    })
}

/// Creates a folder and those above it; existing ones are fine.
pub fn create_dir(path: &Path) -> Result<()> {
    step(Change::Folder, "create the folder", path, || make_folders(path))
}

fn make_folders(path: &Path) -> io::Result<()> {
    let made = match (make_folder(path), path.parent()) {
        (Err(error), Some(above)) if error.kind() == ErrorKind::NotFound => {
            make_folders(above).and_then(|()| make_folder(path))
        }
        (made, _) => made,
    };
    made.or_else(|error| if path.is_dir() { Ok(()) } else { Err(error) })
}

/// Creates a folder with all of its rights.
fn make_folder(path: &Path) -> io::Result<()> {
    let Some(rights) = Rights::beside(path) else { return fs::create_dir(path) };
    if !Rights::are_cut(rights.of_folder()) {
        return DirBuilder::new().mode(rights.of_folder()).create(path);
    }
    // Below, an empty folder would be replaced.
    if fs::symlink_metadata(path).is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    for new in unfinished(path) {
        match fs::create_dir(&new) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        let named = rights.give_folder(&new).and_then(|()| fs::rename(&new, path));
        return named.inspect_err(|_| drop(fs::remove_dir(&new)));
    }
    Err(too_many_unfinished())
}

/// Creates a folder and those above it for this user alone; existing ones stay as they are.
pub(crate) fn create_private_dir(path: &Path) -> Result<()> {
    let create = || fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    step(Change::Folder, "create the folder", path, create)
}

/// Creates a folder for this user alone; fails if the name is taken, even by a link.
pub fn create_new_private_dir(path: &Path) -> Result<()> {
    step(Change::Folder, "create the folder", path, || fs::DirBuilder::new().mode(0o700).create(path))
}

/// Creates a folder; fails if the name is taken, even by a link.
pub fn create_new_dir(path: &Path) -> Result<()> {
    step(Change::Folder, "create the folder", path, || fs::create_dir(path))
}

/// Creates a folder with a durable name in an existing one.
pub(crate) fn create_folder_durably(path: &Path) -> Result<()> {
    let is_new = fs::symlink_metadata(path).is_err();
    create_folder(path)?;
    if is_new { sync_dir(path.parent().expect("a folder lies in another")) } else { Ok(()) }
}

/// Makes the names of a folder and of those above it durable, as far as they are on its filesystem and may be read.
pub(crate) fn sync_above(dir: &Path) -> Result<()> {
    let device = |dir: &Path| fs::metadata(dir).map(|metadata| metadata.dev()).ok();
    let own = device(dir);
    for parent in dir.ancestors().skip(1).take_while(|parent| device(parent) == own) {
        match sync_dir(parent) {
            // Nobody could have created the folder below it just now.
            Err(error) if error.is(ErrorKind::PermissionDenied) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Writes all bytes at an offset.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64, path: &Path) -> Result<()> {
    fault::write(bytes, path, |bytes| file.write_all_at(bytes, offset)).map_err(StoreError::io("write", path))
}

/// Appends all bytes.
pub fn append(file: &mut File, bytes: &[u8], path: &Path) -> Result<()> {
    fault::write(bytes, path, |bytes| file.write_all(bytes)).map_err(StoreError::io("write", path))
}

/// Returns the length of a file or folder as its server has it now: a client may answer from what it saw seconds ago.
pub(crate) fn len_now(file: &File) -> io::Result<u64> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, StatxFlags, statx};
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
        match statx(file, "", flags, StatxFlags::SIZE | StatxFlags::MTIME) {
            Ok(facts) => return Ok(facts.stx_size),
            // An old kernel.
            Err(rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(file.metadata()?.len())
}

/// Lists the names in a folder as its server has them now, sorted.
pub(crate) fn list_now(dir: &Path) -> Result<Vec<String>> {
    // A changed time makes the client forget the names that it knows.
    let asked = File::open(dir).and_then(|dir| len_now(&dir));
    match asked {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("list", dir)(error)),
        _ => list(dir),
    }
}

/// Makes the contents of a file durable.
pub fn sync(file: &File, path: &Path) -> Result<()> {
    step(Change::Sync, "sync", path, || file.sync_data())
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    step(Change::Sync, "sync the folder", dir, || File::open(dir)?.sync_all())
}

/// Cuts a file to a length.
pub fn truncate(file: &File, len: u64, path: &Path) -> Result<()> {
    step(Change::Cut, "cut", path, || file.set_len(len))
}

/// Renames within one filesystem; replaces an existing file.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    step(Change::Rename, "move a file to", to, || fs::rename(from, to))
}

/// Gives a file a second name on the same filesystem; fails if anything has it.
pub fn link(from: &Path, to: &Path) -> Result<()> {
    let link = fault::step(Change::Create, to).and_then(|()| fs::hard_link(from, to));
    link.map_err(StoreError::io("give another name to", from))
}

/// Removes a file; a missing one is fine.
pub fn remove_file(path: &Path) -> Result<()> {
    missing_is_fine(step(Change::Remove, "remove", path, || fs::remove_file(path)))
}

/// Removes a folder if it is empty; returns whether it is gone.
pub fn remove_empty_dir(path: &Path) -> Result<bool> {
    match missing_is_fine(step(Change::Remove, "remove the folder", path, || fs::remove_dir(path))) {
        Err(error) if error.is(ErrorKind::DirectoryNotEmpty) => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

/// Removes a folder and its contents; a missing one is fine. Fails if a file system is mounted in it.
pub fn remove_dir(path: &Path) -> Result<()> {
    if let Some(mount) = mounts_below(path).first() {
        let error = io::Error::other(format!("a file system is mounted at {}; unmount it", mount.display()));
        return Err(StoreError::io("remove the folder", path)(error));
    }
    missing_is_fine(step(Change::Remove, "remove the folder", path, || fs::remove_dir_all(path)))
}

fn missing_is_fine(removed: Result<()>) -> Result<()> {
    match removed {
        Err(error) if error.is(ErrorKind::NotFound) => Ok(()),
        outcome => outcome,
    }
}

/// Dates a file to now, by the clock of its filesystem.
pub fn touch(path: &Path) -> Result<()> {
    step(Change::Mark, "date", path, || {
        Ok(utimensat(AT_FDCWD, path, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW, NoFollowSymlink)?)
    })
}

/// Replaces a whole file: readers see the old bytes or the new ones, even after a crash if it is durable.
///
/// The folder must exist. The new bytes first go to a new file `.new-NAME~HOST` beside it, under a lock. If a killed
/// process of this host left such a file, it is removed, so that nothing piles up where people look. If a live process
/// or somebody else has that name, the next one is tried: `.new-NAME~HOST-1` and so on. Nobody waits, and nobody is
/// kept from writing. Locks of other hosts may not reach this one, so their files are theirs.
pub fn replace(path: &Path, bytes: &[u8], durable: bool) -> Result<()> {
    let dir = path.parent().expect("a replaced file lies in a folder");
    replace_by(path, |file| {
        if let Some(rights) = Rights::beside(path) {
            rights.give(file, ANY_MODE).map_err(StoreError::io("set the rights of", path))?;
        }
        append(file, bytes, path)?;
        if durable { sync(file, path) } else { Ok(()) }
    })?;
    if durable { sync_dir(dir) } else { Ok(()) }
}

/// Replaces a whole file, as [`replace`] does, by a read-only copy of what is read; `check` may refuse the copy.
pub(crate) fn replace_by_copy(
    path: &Path,
    mut source: impl io::Read,
    executable: bool,
    check: impl FnOnce(&mut File) -> Result<()>,
) -> Result<()> {
    let mode = if executable { READ_ONLY | 0o111 } else { READ_ONLY };
    replace_by(path, |file| {
        protect_as(file, mode, path, path)?;
        // The kernel shares the blocks of both files, where the filesystem can.
        step(Change::Write, "write", path, || io::copy(&mut source, file))?;
        check(file)
    })
}

/// Replaces a whole file by a new one, which `fill` writes.
fn replace_by(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let options = OpenOptions::new().read(true).write(true).clone();
    let (new, mut file) = create_unfinished(path, &options).map_err(StoreError::io("write", path))?;
    let written = fill(&mut file).and_then(|()| step(Change::Rename, "write", path, || fs::rename(&new, path)));
    if written.is_err() {
        // A full disk is not to be filled further.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Prefix of unfinished files of [`replace`].
const NEW: &str = ".new-";

/// Most of such files beside one file: so many processes may write it at one time.
const UNFINISHED_MAX: u32 = 1000;

/// Returns the final name of an unfinished file of [`replace`].
pub fn finished_name(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(NEW)?;
    let is_number = |text: &str| text.parse::<u32>().is_ok_and(|parsed| parsed.to_string() == text);
    match rest.rsplit_once('~') {
        // Earlier versions had no host in these names.
        Some((finished, number)) if is_number(number) => Some(finished),
        Some((finished, writer)) => match writer.split_once('-') {
            None if host::is_id(writer) => Some(finished),
            Some((writer, number)) if host::is_id(writer) && is_number(number) => Some(finished),
            _ => Some(rest),
        },
        None => Some(rest),
    }
}

/// Returns the paths of unfinished files or folders of this host for `path`, in the order in which they are tried.
pub fn unfinished(path: &Path) -> impl Iterator<Item = PathBuf> {
    let dir = path.parent().expect("a replaced file lies in a folder");
    let host = Host::of(if dir.as_os_str().is_empty() { Path::new(".") } else { dir }).id;
    (0..UNFINISHED_MAX).map(move |number| {
        let mut new = OsString::from(NEW);
        new.push(path.file_name().expect("a replaced file has a name"));
        new.push(format!("~{host}"));
        if number > 0 {
            new.push(format!("-{number}"));
        }
        path.with_file_name(new)
    })
}

/// Creates and locks the unfinished file for `path`.
fn create_unfinished(path: &Path, options: &OpenOptions) -> io::Result<(PathBuf, File)> {
    for new in unfinished(path) {
        let create = || {
            fault::step(Change::Create, path)?;
            options.clone().create_new(true).open(&new)
        };
        let is_taken = |error: &io::Error| error.kind() == ErrorKind::AlreadyExists;
        let created = create().or_else(|error| {
            let may_retry = is_taken(&error) && remove_unfinished(&new);
            if may_retry { create() } else { Err(error) }
        });
        let file = match created {
            Err(error) if is_taken(&error) => continue,
            created => created?,
        };
        // A process that found the file before it was locked took it for one of a killed process and removed it. Where
        // files cannot be locked, nobody removes it.
        if !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) && is_at(&file, &new) {
            return Ok((new, file));
        }
    }
    Err(too_many_unfinished())
}

fn too_many_unfinished() -> io::Error {
    io::Error::other(format!("there are {UNFINISHED_MAX} unfinished files `{NEW}…` beside it; remove them"))
}

/// Removes an unfinished file of a killed process; returns false if its process lives, it is another user's, or it is
/// no such file.
fn remove_unfinished(new: &Path) -> bool {
    let Ok(file) = regular::open(OpenOptions::new().read(true).write(true), new) else { return false };
    if !file.metadata().is_ok_and(|metadata| metadata.uid() == Uid::effective().as_raw()) {
        return false;
    }
    // Under the lock: only one of its finders removes it, and nobody removes the next file of that name.
    let is_left = file.try_lock().is_ok() && is_at(&file, new);
    is_left && step(Change::Remove, "remove", new, || fs::remove_file(new)).is_ok()
}

/// Returns whether the path still names the open file.
pub fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => open.ino() == named.ino() && open.dev() == named.dev(),
        _ => false,
    }
}

/// Writes a new file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = step(Change::Create, "write", path, || make(OpenOptions::new().write(true), ANY_MODE, path))?;
    append(&mut file, bytes, path)
}

/// Creates a file in a folder; dropping it removes it.
pub(crate) fn temporary(dir: &Path, prefix: &str) -> Result<tempfile::NamedTempFile> {
    let create = || {
        let file = tempfile::Builder::new().prefix(prefix).tempfile_in(dir)?;
        Rights::inside(dir).map_or(Ok(()), |rights| rights.give(file.as_file(), ANY_MODE))?;
        Ok(file)
    };
    step(Change::Create, "create a temporary file in", dir, create)
}

/// Creates a folder in a folder; dropping it removes it.
pub(crate) fn temporary_dir(dir: &Path, prefix: &str) -> Result<tempfile::TempDir> {
    let create = || {
        let made = tempfile::Builder::new().prefix(prefix).tempdir_in(dir)?;
        // So that whoever opens the store next can sweep it.
        Rights::inside(dir).map_or(Ok(()), |rights| rights.give_folder(made.path()))?;
        Ok(made)
    };
    step(Change::Folder, "create a folder in", dir, create)
}

/// The same for this user alone, whatever the rights of the folder above.
pub(crate) fn private_dir(dir: &Path, prefix: &str) -> Result<tempfile::TempDir> {
    let own = Permissions::from_mode(0o700);
    let create = || tempfile::Builder::new().prefix(prefix).permissions(own).tempdir_in(dir);
    step(Change::Folder, "create a folder in", dir, create)
}

/// Dates a file and makes it read-only, for the folder of its final name.
pub(crate) fn protect(file: &File, modified: SystemTime, finally: &Path, path: &Path) -> Result<()> {
    step(Change::Mark, "date", path, || file.set_modified(modified))?;
    protect_as(file, READ_ONLY, finally, path)
}

fn protect_as(file: &File, mode: u32, finally: &Path, path: &Path) -> Result<()> {
    let protected = match Rights::beside(finally) {
        Some(rights) => rights.give(file, mode),
        None => file.set_permissions(Permissions::from_mode(mode)),
    };
    protected.map_err(StoreError::io("protect", path))
}

/// An append-only file, such as a log.
#[derive(Debug)]
pub struct Appended {
    file: File,
    path: PathBuf,
}

impl Appended {
    /// Creates the file; fails if there is one.
    pub fn create(path: &Path) -> Result<Self> {
        let made = step(Change::Create, "create", path, || make(OpenOptions::new().append(true), ANY_MODE, path));
        Ok(Self::new(made?, path))
    }

    /// Wraps an open file.
    pub fn new(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned() }
    }

    /// Locks the file as long as it is open: [`is_held`](crate::is_held) tells others that a process still writes it.
    ///
    /// Continues without a lock where files cannot be locked.
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

/// Lists the names in a folder, sorted; a missing folder is empty. No name of the store's is other than UTF-8.
pub(crate) fn list(dir: &Path) -> Result<Vec<String>> {
    list_if(dir, |_| true, |_| true)
}

/// Lists the names in a folder that are of such a type and pass a test, sorted; links count as links.
pub(crate) fn list_if(
    dir: &Path,
    is_kind: impl Fn(&FileType) -> bool,
    is_name: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let names = entries(dir)?.into_iter().filter(|(_, kind)| is_kind(kind));
    let names = names.filter_map(|(name, _)| name.into_string().ok().filter(|name| is_name(name)));
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    Ok(names)
}

/// Lists names and types in a folder, in no order; links count as links. A missing folder is empty.
pub(crate) fn entries(dir: &Path) -> Result<Vec<(OsString, FileType)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(StoreError::io("list", dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", dir))?;
        match entry.file_type() {
            // Not every filesystem returns the type with the name, and the file may be gone since.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            kind => found.push((entry.file_name(), kind.map_err(StoreError::io("list", dir))?)),
        }
    }
    Ok(found)
}
