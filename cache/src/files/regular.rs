//! Opening of regular files only: no link is followed, no open blocks, and no more bytes are read than the caller
//! allows.
//!
//! Anyone with write access to a shared store, or to a folder with published files, can leave anything there under any
//! name. A link would redirect reads and writes, with the rights of the user who runs; a FIFO would block its reader
//! for ever; a sparse file of terabytes would fill the memory. Only the last component of a path is checked here. The
//! folders of a store are checked when it is opened (`layout.rs`), and the store's own folder may be reached by links.
//! So this protects from files that lie there, not from somebody who swaps a folder for a link at the right moment.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;

use crate::error::StoreError;

/// Why a file is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Irregular {
    /// It is something else, such as a link.
    #[error("it is {0}, and only regular files are used here; remove it, and run again")]
    Kind(&'static str),
    /// It is longer than any file of the store.
    #[error("it has {len} bytes, and {max} are the most that are ever written there; move it away, and run again")]
    Long { len: u64, max: u64 },
}

impl From<Irregular> for io::Error {
    fn from(irregular: Irregular) -> Self {
        Self::other(irregular)
    }
}

impl Irregular {
    /// Returns whether this is the cause of an error.
    pub(crate) fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }
}

/// Returns whether one file is to blame, and others may well be read: it is another user's, no regular file, or its disk
/// is bad.
pub(crate) fn is_of_one_file(error: &StoreError) -> bool {
    let StoreError::Io { source, .. } = error else { return false };
    let is_bad_disk = source.raw_os_error() == Some(libc::EIO);
    is_bad_disk || source.kind() == io::ErrorKind::PermissionDenied || Irregular::is_cause_of(source)
}

/// Names a type of file for people.
pub(crate) fn name_of(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_symlink() => "a link",
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_file() => "a file",
        _ => "a device",
    }
}

/// Opens a file with these options; fails if it is no regular one.
pub(crate) fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    open_with_metadata(options, path).map(|(file, _)| file)
}

fn open_with_metadata(options: &OpenOptions, path: &Path) -> io::Result<(File, Metadata)> {
    let opened = options.clone().custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| explained(error, path))?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(Irregular::Kind(name_of(metadata.file_type())).into()) }
}

/// Explains an error of opening by the type of an irregular file.
fn explained(error: io::Error, path: &Path) -> io::Error {
    if !matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EMLINK | libc::ENXIO | libc::EISDIR | libc::ENODEV)) {
        return error;
    }
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Irregular::Kind(name_of(metadata.file_type())).into(),
        _ => error,
    }
}

/// Opens a regular file for reading.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true), path)
}

/// Opens a regular file of at most `max_bytes` for reading, and returns its length too; a longer one is an error.
pub(crate) fn open_bounded(path: &Path, max_bytes: u64) -> io::Result<(File, u64)> {
    let (file, metadata) = open_with_metadata(OpenOptions::new().read(true), path)?;
    match metadata.len() {
        len if len > max_bytes => Err(Irregular::Long { len, max: max_bytes }.into()),
        len => Ok((file, len)),
    }
}

/// Reads a regular file of at most `max_bytes`; a longer one is an error and is not read.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let (file, len) = open_bounded(path, max_bytes)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(len).map_err(io::Error::other)?).map_err(io::Error::other)?;
    // It may grow while it is read.
    file.take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn links_fifos_sockets_and_folders_are_refused_by_name_and_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), "bytes").unwrap();
        symlink("file", path("link")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        let to_read = OpenOptions::new().read(true).clone();
        let to_write = OpenOptions::new().write(true).clone();
        let to_make = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        for (name, kind) in [
            ("link", "a link"),
            ("dangling", "a link"),
            ("fifo", "a FIFO"),
            ("socket", "a socket"),
            ("folder", "a folder"),
        ] {
            for options in [&to_read, &to_write, &to_make] {
                let error = open(options, &path(name)).unwrap_err();
                assert!(Irregular::is_cause_of(&error), "{name}: {error}");
                assert!(error.to_string().contains(kind), "{name}: {error}");
            }
        }
        assert!(!path("nowhere").exists());
        assert_eq!(read(&path("file"), 5).unwrap(), b"bytes");
    }

    #[test]
    fn a_sparse_file_of_terabytes_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = read(&path, 1 << 20).unwrap_err();
        assert!(Irregular::is_cause_of(&error) && error.to_string().contains("1099511627776 bytes"), "{error}");
    }
}
