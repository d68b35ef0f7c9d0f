//! What one open store has not finished: scratch folders and objects on their way in.
//!
//! Each store that is open for writing is a session. It holds a kernel lock on a file `tmp/NUMBER.lock`, with the first
//! number that is free, in which it notes what it needs (`notes.rs`). What is unfinished lies in the folder `tmp/NUMBER/`,
//! which is made when it is first needed: a run of hits needs none. The lock vanishes with its holder, so a folder whose lock
//! is free was left by a process that died; it is removed when the store is opened next. The files stay. A folder without such a
//! file beside it is none of ours, whatever its name: it stays, and its number is taken by no session.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::error::StoreError;
use crate::files::clock;
use crate::files::disk;
use crate::files::regular::{self, Irregular};
use crate::format::layout::Layout;
use crate::format::names::{is_lock, session_number};
use crate::lock::notes::{Noted, Notes};
use crate::lock::using::UseLock;

/// How the name of a file with a lock ends.
const LOCK: &str = ".lock";

/// Our right to a folder for unfinished files, as long as this lives.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) dir: Arc<SessionDir>,
    /// When it was opened, in milliseconds since 1970.
    pub(crate) opened_ms: u64,
    /// What it looks up, garbage collection must not take meanwhile.
    pub(crate) uses: UseLock,
    /// In the file that carries the lock.
    pub(crate) notes: Notes,
}

/// The folder of a session, which is there once it was asked for.
#[derive(Debug)]
pub(crate) struct SessionDir {
    path: PathBuf,
    made: OnceLock<()>,
}

impl Session {
    /// Takes a number.
    pub(crate) fn open(layout: &Layout) -> Result<Self, StoreError> {
        let uses = UseLock::open(layout)?;
        let opened_ms = clock::now_ms();
        for number in 0_u32.. {
            let path = layout.tmp().join(number.to_string());
            if let Some(file) = claim(&path)? {
                let notes = Notes::begin(file, lock_of(&path), opened_ms)?;
                let dir = Arc::new(SessionDir { path, made: OnceLock::new() });
                return Ok(Self { dir, opened_ms, uses, notes });
            }
        }
        unreachable!("a number is free")
    }
}

impl SessionDir {
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).expect("the name of a session is a text")
    }

    /// The folder; made if it was not asked for before.
    pub(crate) fn path(&self) -> Result<&Path, StoreError> {
        if self.made.get().is_none() {
            disk::create_folder(&self.path)?;
            // Another thread may have been quicker.
            let _ = self.made.set(());
        }
        Ok(&self.path)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever empties `tmp` gives our number to another session.
        if self.dir.made.get().is_some() && self.notes.is_in_place() {
            remove(&self.dir.path);
        }
    }
}

/// The file with the lock of the session with this folder.
fn lock_of(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(LOCK);
    PathBuf::from(name)
}

fn remove(dir: &Path) {
    if let Err(error) = disk::remove_dir(dir) {
        tracing::debug!("{error}");
    }
}

/// Locks the file of a session with this folder, made if it is missing.
///
/// `None` if another session has it, or another user for whom alone it was made, or if something lies there that is no session's.
fn claim(dir: &Path) -> Result<Option<File>, StoreError> {
    let path = lock_of(dir);
    let opened = match disk::open_to_write(&path) {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            // A folder without a lock is nobody's that we know, and whoever takes the lock removes it.
            if dir.symlink_metadata().is_ok() {
                return Ok(None);
            }
            disk::open_or_create(&path)
        }
        opened => opened,
    };
    let file = match opened {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied && path.exists() => {
            return Ok(None);
        }
        Err(StoreError::Io { source, .. }) if Irregular::is_cause_of(&source) => return Ok(None),
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
    }
}

/// Whether somebody holds a lock, as far as can be seen.
pub fn is_held(lock: &Path) -> bool {
    let options = OpenOptions::new().read(true).clone();
    // Some filesystems lock only what may be written; the files of others may only be read.
    match regular::open(options.clone().write(true), lock).or_else(|_| regular::open(&options, lock)) {
        Ok(file) => file.try_lock().is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound && !Irregular::is_cause_of(&error),
    }
}

/// Removes the folders of sessions that died, each while nobody else can take its number. Whatever has no lock beside it is not
/// a session's, and stays.
///
/// A worker that has not yet noticed that its engine is dead may still write there; then the next sweep goes on, and nobody is
/// kept from the store.
pub(crate) fn sweep(tmp: &Path, own: Option<&Session>) -> Result<(), StoreError> {
    for (name, kind) in disk::entries(tmp)? {
        let dir = tmp.join(&name);
        let is_session = kind.is_dir() && name.to_str().is_some_and(|name| session_number(name).is_some());
        if !is_session || own.is_some_and(|own| own.dir.path == dir) {
            continue;
        }
        match claim(&dir) {
            Ok(Some(_lock)) => remove(&dir),
            Ok(None) => {}
            Err(error) => tracing::debug!("{error}"),
        }
    }
    Ok(())
}

/// What live sessions need, apart from our own.
pub(crate) fn neighbours(tmp: &Path, own: &Session) -> Result<Vec<Noted>, StoreError> {
    let mut neighbours = Vec::new();
    for name in disk::list(tmp)?.iter().filter(|name| is_lock(name)) {
        let lock = tmp.join(name);
        if lock != lock_of(&own.dir.path) && is_held(&lock) {
            neighbours.push(Noted::read(&lock));
        }
    }
    Ok(neighbours)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::fault;
    use crate::format::layout::Access;
    use crate::store::Store;

    /// A session whose owner was killed while a worker of it still wrote.
    fn dead_session(tmp: &Path) -> PathBuf {
        let dir = tmp.join("0");
        fs::create_dir_all(dir.join("scratch-1/stage")).unwrap();
        fs::write(lock_of(&dir), "").unwrap();
        dir
    }

    #[test]
    fn a_session_that_cannot_be_swept_keeps_nobody_from_the_store_and_goes_later() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = dead_session(tmp.path());
        fault::after(0);
        sweep(tmp.path(), None).unwrap();
        fault::off();
        assert!(dir.exists());
        sweep(tmp.path(), None).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn what_a_worker_wrote_after_its_session_was_swept_goes_too() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = dead_session(tmp.path());
        sweep(tmp.path(), None).unwrap();
        fs::create_dir_all(dir.join("scratch-1")).unwrap();
        sweep(tmp.path(), None).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn folders_without_a_lock_are_somebodys_and_no_session_takes_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Access::ReadWrite).unwrap());
        let tmp = dir.path().join("tmp");
        fs::remove_file(tmp.join("0.lock")).unwrap();
        for name in ["0", "2024", "007", "+1", "1-abc-0", "thesis"] {
            fs::create_dir(tmp.join(name)).unwrap();
            fs::write(tmp.join(name).join("scan"), "precious").unwrap();
        }
        std::os::unix::fs::symlink("../runs", tmp.join("1")).unwrap();
        std::os::unix::fs::symlink("../../victim", tmp.join("2.lock")).unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        assert_eq!(store.session_dir().unwrap(), tmp.join("3"));
        drop(store);
        let mut left = disk::list(&tmp).unwrap();
        left.retain(|name| tmp.join(name).join("scan").exists());
        assert_eq!(left, ["+1", "0", "007", "1-abc-0", "2024", "thesis"]);
        assert!(tmp.join("1").is_symlink() && tmp.join("2.lock").is_symlink());
    }

    #[test]
    fn session_with_the_number_of_a_dead_one_removes_its_rest() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Access::ReadWrite).unwrap());
        let rest = dead_session(&dir.path().join("tmp"));
        let layout = Layout::open(dir.path(), Access::ReadWrite).unwrap();
        assert!(rest.exists());
        let session = Session::open(&layout).unwrap();
        assert_eq!(session.dir.path().unwrap(), rest);
        sweep(&layout.tmp(), Some(&session)).unwrap();
        assert!(rest.exists(), "it is in use");
        drop(session);
        assert!(!rest.exists());
    }

    #[test]
    fn who_empties_the_folder_of_sessions_takes_nothing_from_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(dir.path(), Access::ReadWrite).unwrap();
        let first = open();
        drop(first.scratch().unwrap());
        fs::remove_dir_all(first.layout.tmp()).unwrap();
        let second = open();
        let scratch = second.scratch().unwrap();
        drop(first);
        assert!(scratch.path().exists());
    }

    #[test]
    fn a_live_session_is_left_alone_and_tells_its_age_and_what_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(dir.path(), Access::ReadWrite).unwrap();
        let (one, two) = (open(), open());
        let scratch = one.scratch().unwrap();
        let (first, second) = (one.session().unwrap(), two.session().unwrap());
        first.notes.add(&[7, 9]).unwrap();
        sweep(&two.layout.tmp(), Some(second)).unwrap();
        assert!(scratch.path().exists());
        let noted = first.notes.read().unwrap();
        assert_eq!(noted.opened_ms, first.opened_ms);
        assert_eq!(neighbours(&two.layout.tmp(), second).unwrap(), [noted]);
        drop((scratch, one));
        assert_eq!(neighbours(&two.layout.tmp(), second).unwrap(), []);
    }

    #[test]
    fn sessions_one_after_the_other_take_the_same_file_and_leave_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for needs_folder in [false, true, false] {
            let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
            let scratch = needs_folder.then(|| store.scratch().unwrap().keep());
            assert_eq!(scratch.is_some_and(|path| path.exists()), needs_folder);
            let tmp = store.layout.tmp();
            drop(store);
            assert_eq!(disk::list(&tmp).unwrap(), ["0.lock"]);
        }
    }
}
