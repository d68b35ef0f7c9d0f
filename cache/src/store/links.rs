//! Files of results laid out for other programs: `links/KEY/FOLDER/NAME`, made on demand.
//!
//! A file here is a read-only copy of a blob, checked against its digest each time it is asked for. It is no hard link:
//! one file under two names lets whoever may change the one change the store, and a collection would free nothing.
//! On a filesystem that can (Btrfs, XFS), the kernel shares the blocks of a copy until one of them changes.
//!
//! Nobody needs these folders to find a result: removing one costs the next asker a copy. A collection removes those
//! that nobody asked for within a day, and a forgetting removes all.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use crate::error::StoreError;
use crate::files::{disk, regular};
use crate::format::layout::Layout;
use crate::format::names;
use crate::store::Store;
use crate::value::artifact::{ActionKey, FileEntry};
use crate::value::digest::Digest;

type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Lays out files of a result in a folder below that of its key, and returns the folder.
    ///
    /// Files that are there with the right bytes stay. Errors: the store is open for reading only; a file is damaged or
    /// missing; a name leads out of the folder.
    pub fn lay_out(
        &self,
        key: &ActionKey,
        folder: &Path,
        files: &[FileEntry],
        is_executable: impl Fn(&str) -> bool,
    ) -> Result<PathBuf> {
        self.session()?;
        let of_key = self.layout.links().join(key.0.short());
        let dir = of_key.join(folder);
        make_folders(&self.layout.dir, &dir)?;
        for file in files {
            let path = dir.join(&file.name);
            make_folders(&dir, path.parent().unwrap_or(&dir))?;
            let executable = is_executable(&file.name);
            if !is_laid_out(&path, file, executable) {
                self.lay_out_file(&path, &file.digest, executable)?;
            }
        }
        // Its age counts from here.
        disk::touch(&of_key)?;
        Ok(dir)
    }

    fn lay_out_file(&self, path: &Path, digest: &Digest, executable: bool) -> Result<()> {
        let location = self.locate(digest).ok_or_else(|| self.missing(digest))?;
        let mut source = disk::open(&location.path)?;
        let read = |error| StoreError::io("read", &*location.path)(error);
        source.seek(std::io::SeekFrom::Start(location.offset)).map_err(read)?;
        disk::replace_by_copy(path, source.take(location.size_bytes), executable, |copy| {
            if digest_of(copy).is_ok_and(|found| found == *digest) {
                return Ok(());
            }
            // Damaged bytes go to quarantine; sound ones were cut on their way.
            self.read(digest)?;
            Err(StoreError::io("write", path)(std::io::Error::other("the copy has other bytes")))
        })
    }
}

/// Lists the folders of results.
pub(crate) fn folders(layout: &Layout) -> Result<Vec<PathBuf>> {
    let links = layout.links();
    let names = disk::list_if(&links, fs::FileType::is_dir, names::is_laid_out)?;
    Ok(names.into_iter().map(|name| links.join(name)).collect())
}

/// Sums up the lengths of all files below a folder; follows no link.
pub(crate) fn size_bytes(dir: &Path) -> u64 {
    let entries = disk::entries(dir).unwrap_or_default().into_iter();
    let size = |(name, kind): (_, fs::FileType)| {
        let path = dir.join::<std::ffi::OsString>(name);
        if kind.is_dir() { size_bytes(&path) } else { path.symlink_metadata().map_or(0, |metadata| metadata.len()) }
    };
    entries.map(size).sum()
}

/// Makes the folders between `root` and `dir`, where no link may be.
fn make_folders(root: &Path, dir: &Path) -> Result<()> {
    let mut path = root.to_owned();
    let leads_out = || {
        let error = std::io::Error::other("the name leads out of its folder");
        StoreError::io("create the folder", dir)(error)
    };
    for component in dir.strip_prefix(root).map_err(|_| leads_out())?.components() {
        let Component::Normal(name) = component else { return Err(leads_out()) };
        path.push(name);
        disk::create_folder(&path)?;
    }
    Ok(())
}

/// Returns whether a file is laid out already, byte for byte.
fn is_laid_out(path: &Path, entry: &FileEntry, executable: bool) -> bool {
    let Ok(mut file) = regular::open_to_read(path) else { return false };
    let is_as_recorded = |metadata: fs::Metadata| {
        metadata.len() == entry.size_bytes && (metadata.permissions().mode() & 0o100 != 0) == executable
    };
    file.metadata().is_ok_and(is_as_recorded) && digest_of(&mut file).is_ok_and(|found| found == entry.digest)
}

fn digest_of(file: &mut File) -> std::io::Result<Digest> {
    file.rewind()?;
    Digest::of_reader(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;
    use crate::files::clock;
    use crate::format::layout::Access;
    use crate::format::object::OBJECT_MIN_BYTES;
    use crate::store::PutContent;
    use crate::upkeep::forget::Forgetting;
    use crate::upkeep::gc_report::GcPolicy;

    const SMALL: &[u8] = b"in a pack";

    /// A store with a small file and a large one, and the entries of both.
    fn store(dir: &Path) -> (Store, ActionKey, Vec<FileEntry>) {
        let store = Store::open(dir, Access::ReadWrite).unwrap();
        let large = vec![7; OBJECT_MIN_BYTES as usize];
        let files = [("sub/small", SMALL.to_vec()), ("large", large)];
        let files = files.map(|(name, bytes)| (name.to_owned(), PutContent::Bytes(bytes)));
        let (_, artifact) = store.put_artifact(files.into()).unwrap();
        store.commit().unwrap();
        (store, ActionKey(Digest::of(b"key")), artifact.files)
    }

    #[test]
    fn files_are_read_only_copies_that_are_made_again_if_they_differ() {
        let dir = tempfile::tempdir().unwrap();
        let (store, key, files) = store(dir.path());
        let lay_out = || store.lay_out(&key, Path::new("a/b=1/out"), &files, |name| name == "large");
        let out = lay_out().unwrap();
        assert_eq!(out, dir.path().join("links").join(key.0.short()).join("a/b=1/out"));
        let mode = |name: &str| fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("sub/small"), mode("large")), (0o444, 0o555));
        let object = store.locate(&files[0].digest).unwrap().path;
        assert_eq!(fs::read(out.join("large")).unwrap(), fs::read(&object).unwrap());
        // Whoever can change the copy changes nothing else.
        fs::set_permissions(out.join("large"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(out.join("large"), "mine").unwrap();
        fs::remove_file(out.join("sub/small")).unwrap();
        symlink("/etc/passwd", out.join("sub/small")).unwrap();
        assert_eq!(Digest::of(&fs::read(&object).unwrap()), files[0].digest);
        lay_out().unwrap();
        assert_eq!(fs::read(out.join("sub/small")).unwrap(), SMALL);
        assert_eq!(Digest::of(&fs::read(out.join("large")).unwrap()), files[0].digest);
        assert!(store.verify().unwrap().strange.is_empty(), "these folders are the store's own");
    }

    #[test]
    fn damaged_bytes_and_names_that_lead_out_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (store, key, files) = store(dir.path());
        let object = store.locate(&files[0].digest).unwrap().path;
        fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&object, vec![8; OBJECT_MIN_BYTES as usize]).unwrap();
        let damaged = store.lay_out(&key, Path::new("a"), &files[..1], |_| false).unwrap_err();
        assert!(matches!(damaged, StoreError::Corrupt { .. }), "{damaged}");
        assert!(!dir.path().join("links").join(key.0.short()).join("a/large").exists());
        let out = [FileEntry { name: "../../out".to_owned(), ..files[1].clone() }];
        assert!(store.lay_out(&key, Path::new("a"), &out, |_| false).is_err());
        let mine = tempfile::tempdir().unwrap();
        symlink(mine.path(), dir.path().join("links").join(key.0.short()).join("linked")).unwrap();
        assert!(store.lay_out(&key, Path::new("linked/out"), &files[1..], |_| false).is_err());
        assert_eq!(fs::read_dir(mine.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_collection_removes_what_nobody_asked_for_within_a_day_and_a_forgetting_removes_all() {
        let dir = tempfile::tempdir().unwrap();
        let (store, key, files) = store(dir.path());
        let old = store.lay_out(&key, Path::new("a"), &files, |_| false).unwrap();
        let young = store.lay_out(&ActionKey(Digest::of(b"2")), Path::new("a"), &files, |_| false).unwrap();
        let yesterday = clock::now() - Duration::from_secs(25 * 60 * 60);
        File::open(old.parent().unwrap()).unwrap().set_modified(yesterday).unwrap();
        let report = store.gc(&GcPolicy::default()).unwrap();
        assert!(report.leftovers == 1 && report.bytes_freed >= OBJECT_MIN_BYTES);
        assert_eq!((old.exists(), young.exists()), (false, true));
        store.forget(&Forgetting::default(), |_| Ok(())).unwrap();
        assert!(!young.exists());
    }
}
