//! Objects: large blobs, a read-only file each, under their digest.
//!
//! An object is written under a temporary name and hashed on the way, then synced, renamed, and its folder synced. So
//! a name that is a digest stands for all of the bytes; a crash leaves a temporary file, which is swept later.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::clock;
use crate::digest::Digest;
use crate::disk;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::regular;

/// Blobs of this length and more are objects.
pub(crate) const OBJECT_MIN_BYTES: u64 = 64 << 10;
const READ_ONLY: u32 = 0o444;
const CHUNK: usize = 1 << 20;

type Result<T> = std::result::Result<T, StoreError>;

/// The length of an object, `None` if there is none.
pub(crate) fn size(layout: &Layout, digest: &Digest) -> Option<u64> {
    let metadata = fs::symlink_metadata(layout.object(digest)).ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// Whether the folder of an object is there, and is no link to one.
pub(crate) fn is_in_folder(object: &Path) -> bool {
    let dir = object.parent().and_then(|dir| fs::symlink_metadata(dir).ok());
    dir.is_some_and(|metadata| metadata.is_dir())
}

/// Stores bytes as an object.
pub(crate) fn put_bytes(layout: &Layout, session: &Path, digest: &Digest, bytes: &[u8]) -> Result<()> {
    if renew(layout, digest, bytes.len() as u64) {
        return Ok(());
    }
    let mut temporary = disk::temporary(session, "object-")?;
    let path = temporary.path().to_owned();
    disk::append(temporary.as_file_mut(), bytes, &path)?;
    finish(layout, temporary.into_temp_path(), digest)
}

/// Stores a file as an object, and gives its digest and length.
///
/// A file in `session` is taken over by renaming; any other is copied.
pub(crate) fn put_file(layout: &Layout, session: &Path, path: &Path) -> Result<(Digest, u64)> {
    let metadata = fs::symlink_metadata(path).map_err(StoreError::io("read", path))?;
    let takes_over = path.starts_with(session) && metadata.is_file() && metadata.nlink() == 1;
    // What a stage gives may lie anywhere, and be reached by links.
    let source = File::open(path).map_err(StoreError::io("open", path))?;
    let temporary = if takes_over { None } else { Some(disk::temporary(session, "object-")?) };
    let (digest, size) = match &temporary {
        Some(temporary) => hash(&source, path, Some((temporary.as_file(), temporary.path())))?,
        None => hash(&source, path, None)?,
    };
    if renew(layout, &digest, size) {
        return Ok((digest, size));
    }
    let temporary = match temporary {
        Some(temporary) => temporary.into_temp_path(),
        None => tempfile::TempPath::try_from_path(path).map_err(StoreError::io("take over", path))?,
    };
    finish(layout, temporary, &digest)?;
    Ok((digest, size))
}

/// Hashes a file to its end, and copies it on the way.
pub(crate) fn hash(mut source: &File, path: &Path, mut copy: Option<(&File, &Path)>) -> Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let count = match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        hasher.update(&chunk[..count]);
        if let Some((file, path)) = &mut copy {
            disk::write_at(file, &chunk[..count], size, path)?;
        }
        size += count as u64;
    }
    Ok((Digest::from_bytes(*hasher.finalize().as_bytes()), size))
}

/// The digest of a whole file.
pub(crate) fn hash_file(path: &Path) -> Result<Digest> {
    Ok(hash(&disk::open(path)?, path, None)?.0)
}

/// Whether the object is there already; then it counts as new, so that a garbage collection that runs now keeps it.
fn renew(layout: &Layout, digest: &Digest, size_bytes: u64) -> bool {
    if size(layout, digest) != Some(size_bytes) {
        return false;
    }
    let path = layout.object(digest);
    let renewed = regular::open_to_read(&path).and_then(|file| file.set_modified(clock::now()));
    renewed.is_ok() && size(layout, digest) == Some(size_bytes)
}

fn finish(layout: &Layout, temporary: tempfile::TempPath, digest: &Digest) -> Result<()> {
    let file = disk::open(&temporary)?;
    // A file that was taken over may claim to be old, and what is old and not yet referred to may be collected.
    disk::seal(&file, clock::now(), READ_ONLY, &temporary)?;
    disk::sync(&file, &temporary)?;
    let object = layout.object(digest);
    let dir = object.parent().expect("an object lies in a folder");
    if !is_in_folder(&object) {
        disk::create_folder(dir)?;
        disk::sync_dir(&layout.objects())?;
    }
    disk::rename(&temporary, &object)?;
    // The name is gone, so there is nothing left to remove.
    let _ = temporary.keep();
    disk::sync_dir(dir)
}
