//! What one open store has not finished: scratch folders and objects on their way in.
//!
//! Each store that is open for writing is a session. It holds a kernel lock on a file `tmp/NUMBER.lock`, with the first
//! number that is free, in which it notes what it needs (`notes.rs`). What is unfinished lies in the folder `tmp/NUMBER/`,
//! which is made when it is first needed: a run of hits needs none. The lock vanishes with its holder, so a folder whose lock
//! is free was left by a process that died; it is removed when the store is opened next. The files stay.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::clock;
use crate::disk;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::notes::{Noted, Notes};
use crate::using::UseLock;

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
            if let Some(file) = claim(&lock_of(&path))? {
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
            disk::create_dir(&self.path)?;
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

/// Locks a file, made if it is missing; `None` if another session has it, or another user for whom alone it was made.
fn claim(path: &Path) -> Result<Option<File>, StoreError> {
    let file = match disk::open_or_create(path) {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied && path.exists() => {
            return Ok(None);
        }
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
    let options = File::options().read(true).clone();
    // Some filesystems lock only what may be written; the files of others may only be read.
    match options.clone().write(true).open(lock).or_else(|_| options.open(lock)) {
        Ok(file) => file.try_lock().is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Removes the folders of sessions that died, each while nobody else can take its number.
///
/// A worker that has not yet noticed that its engine is dead may still write there; then the next sweep goes on, and nobody is
/// kept from the store.
pub(crate) fn sweep(tmp: &Path, own: Option<&Session>) -> Result<(), StoreError> {
    for name in disk::list(tmp)?.iter().filter(|name| !name.ends_with(LOCK)) {
        let dir = tmp.join(name);
        if own.is_some_and(|own| own.dir.path == dir) {
            continue;
        }
        if name.parse::<u32>().is_err() {
            // Development versions of 0.1.0 kept the lock in the folder.
            if !is_held(&dir.join("lock")) {
                remove(&dir);
            }
            continue;
        }
        match claim(&lock_of(&dir)) {
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
    for name in disk::list(tmp)?.iter().filter(|name| name.ends_with(LOCK)) {
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
    use crate::fault;
    use crate::store::{Access, Store};

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
        fs::remove_file(lock_of(&dir)).unwrap();
        sweep(tmp.path(), None).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn session_with_the_number_of_a_dead_one_removes_its_rest() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Access::ReadWrite).unwrap());
        let rest = dead_session(&dir.path().join("tmp"));
        let layout = Layout::open(dir.path(), Access::ReadWrite).unwrap();
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
    fn folders_of_sessions_of_a_development_version_are_left_while_they_live() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("77-abc-0");
        fs::create_dir(&dir).unwrap();
        let lock = File::create(dir.join("lock")).unwrap();
        lock.lock().unwrap();
        sweep(tmp.path(), None).unwrap();
        assert!(dir.exists());
        drop(lock);
        sweep(tmp.path(), None).unwrap();
        assert!(!dir.exists());
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
