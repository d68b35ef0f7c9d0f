//! Objects: large blobs, a read-only file each, named by digest.
//!
//! An object is written under a temporary name and hashed meanwhile, then synced, renamed, and its folder synced. So a
//! name that is a digest stands for all of the bytes; a crash leaves a temporary file, which is swept later.
//!
//! Bytes that are to be stored may lie there already, and may have been damaged since. So they are read once more, and
//! replaced if they are damaged: whoever runs a node again gets sound bytes.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::{clock, disk, regular};
use crate::format::layout::Layout;
use crate::value::digest::{Digest, Digester};

/// Blobs of this length and more are objects.
pub(crate) const OBJECT_MIN_BYTES: u64 = 64 << 10;
const CHUNK: usize = 1 << 20;

type Result<T> = std::result::Result<T, StoreError>;

/// Returns the length of an object, `None` if there is none.
pub(crate) fn size(layout: &Layout, digest: &Digest) -> Option<u64> {
    let metadata = fs::symlink_metadata(layout.object(digest)).ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// Outcome of storing an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It was written, and is durable.
    Made,
    /// It existed; its bytes are durable, and its name is once its folder is synced.
    Found,
}

/// Returns the folder of an object.
pub(crate) fn folder(layout: &Layout, digest: &Digest) -> PathBuf {
    layout.object(digest).parent().expect("an object lies in a folder").to_owned()
}

/// Returns whether the folder of an object exists and is no link.
pub(crate) fn is_in_folder(object: &Path) -> bool {
    let dir = object.parent().and_then(|dir| fs::symlink_metadata(dir).ok());
    dir.is_some_and(|metadata| metadata.is_dir())
}

/// Stores bytes as an object; returns their digest and length.
pub(crate) fn put_bytes(layout: &Layout, session: &Path, bytes: &[u8]) -> Result<(Digest, u64, Put)> {
    let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
    if renew(layout, &digest, size) {
        return Ok((digest, size, Put::Found));
    }
    let mut temporary = disk::temporary(session, "object-")?;
    let path = temporary.path().to_owned();
    disk::append(temporary.as_file_mut(), bytes, &path)?;
    Ok((digest, size, finish(layout, temporary.into_temp_path(), &digest)?))
}

/// Stores a file as an object; returns its digest and length.
///
/// A file in `session` is renamed into place; any other is copied.
pub(crate) fn put_file(layout: &Layout, session: &Path, path: &Path) -> Result<(Digest, u64, Put)> {
    let metadata = fs::symlink_metadata(path).map_err(StoreError::io("read", path))?;
    let takes_over = metadata.is_file() && metadata.nlink() == 1 && lies_in(session, path);
    // An output of a stage may lie anywhere, and be reached by links.
    let source = File::open(path).map_err(StoreError::io("open", path))?;
    let temporary = if takes_over { None } else { Some(disk::temporary(session, "object-")?) };
    let copy = temporary.as_ref().map(|temporary| (temporary.as_file(), temporary.path()));
    let (digest, size) = hash(&source, path, copy)?;
    if renew(layout, &digest, size) {
        return Ok((digest, size, Put::Found));
    }
    let temporary = match temporary {
        Some(temporary) => temporary.into_temp_path(),
        None => tempfile::TempPath::try_from_path(path).map_err(StoreError::io("take over", path))?,
    };
    Ok((digest, size, finish(layout, temporary, &digest)?))
}

/// Returns whether a path is below a folder after links are resolved: a file behind a link is somebody else's.
fn lies_in(dir: &Path, path: &Path) -> bool {
    let parent = path.parent().unwrap_or(path);
    let both = fs::canonicalize(dir).and_then(|dir| Ok((dir, fs::canonicalize(parent)?)));
    path.starts_with(dir) && both.is_ok_and(|(dir, parent)| parent.starts_with(dir))
}

/// Hashes a file to its end, and writes its bytes to `copy`; returns digest and length.
pub(crate) fn hash(mut source: &File, path: &Path, copy: Option<(&File, &Path)>) -> Result<(Digest, u64)> {
    let mut digester = Digester::default();
    let mut chunk = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let count = match source.read(&mut chunk) {
            Ok(0) => return Ok((digester.digest(), size)),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        digester.update(&chunk[..count]);
        if let Some((file, path)) = copy {
            disk::write_at(file, &chunk[..count], size, path)?;
        }
        size += count as u64;
    }
}

/// Returns whether the object exists and is sound, and dates it to now: a running garbage collection keeps young
/// objects. A damaged one is kept in quarantine too, as it is about to be replaced.
fn renew(layout: &Layout, digest: &Digest, size_bytes: u64) -> bool {
    let path = layout.object(digest);
    let Ok(file) = regular::open_to_read(&path) else { return false };
    if !hash(&file, &path, None).is_ok_and(|found| found == (*digest, size_bytes)) {
        keep_damaged(layout, &path);
        return false;
    }
    // An object of another user can be dated only by a copy in its place.
    file.set_modified(clock::now()).is_ok() && disk::is_at(&file, &path)
}

/// Gives a damaged object a second name in quarantine.
fn keep_damaged(layout: &Layout, path: &Path) {
    let kept = path.file_name().filter(|_| is_in_folder(path)).map(|name| layout.quarantine().join(name));
    let Some(kept) = kept else { return };
    let linked = disk::remove_file(&kept).and_then(|()| disk::link(path, &kept));
    match linked {
        Ok(()) => tracing::warn!("{} was damaged and is replaced (kept as {})", path.display(), kept.display()),
        Err(error) => tracing::warn!("{} was damaged and is replaced ({error})", path.display()),
    }
}

fn finish(layout: &Layout, temporary: tempfile::TempPath, digest: &Digest) -> Result<Put> {
    let file = disk::open(&temporary)?;
    // A file of a stage may have an old date, and old objects without a result may be collected.
    let dir = folder(layout, digest);
    disk::create_folder(&dir)?;
    disk::protect(&file, clock::now(), &layout.object(digest), &temporary)?;
    disk::sync(&file, &temporary)?;
    // A folder with an object has a durable name; an empty one may have been created just now by another process.
    if fs::read_dir(&dir).map_or(true, |mut entries| entries.next().is_none()) {
        disk::sync_dir(&layout.objects())?;
    }
    disk::rename(&temporary, &layout.object(digest))?;
    // The temporary name is gone, so there is nothing left to remove.
    let _ = temporary.keep();
    disk::sync_dir(&dir)?;
    Ok(Put::Made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::format::layout::Access;
    use crate::store::{PutContent, Store};

    #[test]
    fn file_behind_a_link_is_copied_and_stays_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (mine, file) = (dir.path().join("mine"), dir.path().join("mine/big"));
        fs::create_dir(&mine).unwrap();
        fs::write(&file, vec![7; 100_000]).unwrap();
        let store = Store::open(&dir.path().join("store"), Access::ReadWrite).unwrap();
        let scratch = store.scratch().unwrap();
        symlink(&mine, scratch.path().join("out")).unwrap();
        symlink(&file, scratch.path().join("file")).unwrap();
        for path in ["out/big", "file"] {
            let content = PutContent::File(scratch.path().join(path));
            let (_, artifact) = store.put_artifact(vec![("big".to_owned(), content)]).unwrap();
            assert_eq!(artifact.files[0].digest, Digest::of(&[7; 100_000]));
            assert_eq!(fs::read(&file).unwrap(), [7; 100_000], "{path}");
        }
    }
}
