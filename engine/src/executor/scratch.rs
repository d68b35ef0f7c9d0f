//! Empty folders for attempts. A folder that is still empty afterwards is reused, so that a light node, which seldom
//! writes there, costs no new folder.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use orchestrate_cache::{disk, mounts_below};

/// The parent of scratch folders.
#[derive(Debug)]
pub struct ScratchRoot {
    dir: PathBuf,
    /// The same path without links, to detect that a program replaced a folder above it by a link.
    real_dir: PathBuf,
    made: AtomicU64,
    /// Empty folders.
    free: Mutex<Vec<PathBuf>>,
}

impl ScratchRoot {
    /// Returns a parent for scratch folders below an existing folder, which the caller removes at the end.
    ///
    /// It should be on the file system of the store, so that the store can move files without a copy.
    pub fn new(dir: impl Into<PathBuf>) -> Arc<Self> {
        let dir = dir.into();
        let real_dir = fs::canonicalize(&dir).unwrap_or_else(|_| dir.clone());
        Arc::new(Self { dir, real_dir, made: AtomicU64::new(0), free: Mutex::default() })
    }

    /// Returns an empty folder.
    pub(super) fn take(self: &Arc<Self>) -> io::Result<Scratch> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let path = match free {
            Some(path) => path,
            None => {
                let path = self.dir.join(self.made.fetch_add(1, Ordering::Relaxed).to_string());
                disk::create_dir(&path).map_err(io::Error::other)?;
                path
            }
        };
        Ok(Scratch { path, root: Arc::clone(self) })
    }
}

/// A folder for one attempt; it is removed on drop, or reused if it is empty.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    root: Arc<ScratchRoot>,
}

impl Scratch {
    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let is_empty = fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none());
        if is_empty {
            self.root.free.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.path));
        } else if self.is_where_it_was_made() && mounts_below(&self.path).is_empty() {
            // The rest is removed with the root.
            let _ = fs::remove_dir_all(&self.path).or_else(|_| {
                open_folders(&self.path);
                fs::remove_dir_all(&self.path)
            });
        }
    }
}

impl Scratch {
    /// Returns false if a program replaced a folder above by a link: the files there belong to somebody else.
    fn is_where_it_was_made(&self) -> bool {
        let made = self.path.file_name().map(|name| self.root.real_dir.join(name));
        fs::canonicalize(&self.path).ok() == made
    }
}

/// Makes folders writable for their owner; programs unpack some read-only.
fn open_folders(dir: &Path) {
    let _ = fs::set_permissions(dir, Permissions::from_mode(0o700));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        // A link is no folder, so none is followed.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_folders(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_moved_elsewhere_by_a_link_is_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (root_dir, mine) = (dir.path().join("root"), dir.path().join("mine"));
        fs::create_dir_all(&root_dir).expect("the folder is writable");
        let scratch = ScratchRoot::new(&root_dir).take().expect("the root is writable");
        fs::create_dir_all(mine.join("0")).expect("the folder is writable");
        fs::write(mine.join("0/file"), "mine").expect("the folder is writable");
        fs::remove_dir_all(&root_dir).expect("it is ours");
        std::os::unix::fs::symlink(&mine, &root_dir).expect("the folder is writable");
        drop(scratch);
        assert_eq!(fs::read(mine.join("0/file")).expect("it is there"), b"mine");
    }

    #[test]
    fn folder_that_a_program_made_read_only_is_removed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let scratch = ScratchRoot::new(dir.path()).take().expect("the root is writable");
        let path = scratch.path().to_owned();
        fs::create_dir_all(path.join("a/b")).expect("the folder is writable");
        fs::set_permissions(path.join("a/b"), Permissions::from_mode(0o555)).expect("it is ours");
        fs::set_permissions(path.join("a"), Permissions::from_mode(0o000)).expect("it is ours");
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn empty_folder_is_reused_and_a_used_one_is_removed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = ScratchRoot::new(dir.path());
        let first = root.take().expect("the root is writable").path().to_owned();
        let second = root.take().expect("the root is writable");
        assert_eq!(second.path(), first);
        fs::write(second.path().join("weights"), "…").expect("the folder is writable");
        drop(second);
        assert!(!first.exists());
        assert_ne!(root.take().expect("the root is writable").path(), first);
    }
}
