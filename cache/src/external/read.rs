//! Bounded reads of files outside the store: specs, manifests of images, code, weights.
//!
//! Links are followed, as these files are the user's. Only regular files of a bounded size are read: a FIFO would block
//! its reader for ever, and a device or a sparse file may have no end.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::files::regular;

/// Most bytes of an external file; larger ones are sparse, and reading them would take hours.
pub const EXTERNAL_BYTES_MAX: u64 = 64 << 30;

/// Opens a file for reading. Further errors: a folder, FIFO, socket or device, and a file of more than `bytes_max`.
pub fn open(path: &Path, bytes_max: u64) -> io::Result<File> {
    // Opening alone may block (a FIFO) or have effects (some devices).
    check(&fs::metadata(path)?, bytes_max)?;
    // It may have been replaced in between.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    check(&file.metadata()?, bytes_max)?;
    Ok(file)
}

/// Reads a file. Errors: those of [`open`].
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = open(path, bytes_max)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1))?;
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    // Files of `/proc` and the like have no length; others grow.
    check_length(bytes.len() as u64, bytes_max)?;
    Ok(bytes)
}

/// Fails if [`open`] would refuse a file with this metadata.
pub fn check(metadata: &Metadata, bytes_max: u64) -> io::Result<()> {
    let kind = metadata.file_type();
    let found = match kind {
        _ if kind.is_file() => return check_length(metadata.len(), bytes_max),
        _ if kind.is_dir() => return Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder, not a file")),
        _ => regular::name_of(kind),
    };
    let message = format!("it is {found}, not a file; write what it gives to a file and name that");
    Err(io::Error::new(ErrorKind::InvalidInput, message))
}

fn check_length(bytes: u64, bytes_max: u64) -> io::Result<()> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let message = format!("it has {}, and at most {} are read here", size(bytes), size(bytes_max));
    Err(io::Error::new(ErrorKind::FileTooLarge, message))
}

/// Formats a size in whole units, rounded down.
fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let unit = (1..units.len()).rev().find(|unit| bytes >> (10 * unit) > 0).unwrap_or(0);
    format!("{} {}", bytes >> (10 * unit), units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        let opened = open(path, 1 << 20).expect_err("it is refused").to_string();
        assert_eq!(read(path, 1 << 20).expect_err("it is refused").to_string(), opened);
        opened
    }

    #[test]
    fn fifo_folder_socket_and_device_are_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let socket = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, found) in [
            (fifo.as_path(), "a FIFO"),
            (dir.path(), "a folder"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let message = refusal(path);
            assert!(message.starts_with(&format!("it is {found}, not a file")), "{message}");
        }
    }

    #[test]
    fn sparse_terabytes_are_refused_by_their_size() {
        let path = tempfile::NamedTempFile::new().unwrap();
        path.as_file().set_len(3 << 40).unwrap();
        assert_eq!(refusal(path.path()), "it has 3 TiB, and at most 1 MiB are read here");
    }

    #[test]
    fn file_of_up_to_the_bound_is_read() {
        let path = tempfile::NamedTempFile::new().unwrap();
        fs::write(path.path(), "pixels").unwrap();
        assert_eq!(read(path.path(), 6).unwrap(), b"pixels");
        assert!(read(path.path(), 5).is_err());
        assert!(
            !read(Path::new("/proc/self/status"), 1 << 20).unwrap_or_else(|_| vec![0]).is_empty(),
            "it has no length"
        );
    }
}
