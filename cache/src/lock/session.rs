//! Sessions: each writable open store is one, and has a folder for its unfinished files.
//!
//! A session locks the file `tmp/NUMBER.lock` with the first free number (`session_file.rs`). Its scratch folders and
//! unfinished objects lie in `tmp/NUMBER/`, which is created on demand: a run of hits needs none. A folder whose lock
//! is free was left by a dead process; it is removed when the store is opened next. The files stay. A folder without a
//! lock file beside it is not a session's, whatever its name: it stays, and no session takes its number.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::error::StoreError;
use crate::files::regular::Irregular;
use crate::files::{clock, disk};
use crate::format::layout::Layout;
use crate::format::names::{LOCK, is_session_file, session_number};
use crate::lock::session_file::{Needs, SessionFile};
use crate::lock::use_lock::UseLock;
use crate::lock::wait::{Hold, is_held, try_lock};

/// A session, as long as this lives.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) dir: Arc<SessionDir>,
    /// When it was opened, in milliseconds since 1970.
    pub(crate) opened_ms: u64,
    pub(crate) uses: UseLock,
    /// The file with its lock.
    pub(crate) file: SessionFile,
}

/// The folder of a session, created on demand.
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
                let file = SessionFile::begin(file, file_of(&path), opened_ms)?;
                let dir = Arc::new(SessionDir { path, made: OnceLock::new() });
                return Ok(Self { dir, opened_ms, uses, file });
            }
        }
        unreachable!("a number is free")
    }
}

impl SessionDir {
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).expect("the name of a session is a text")
    }

    /// Returns the folder, and creates it at the first call.
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
        // If somebody emptied `tmp`, another session may have this number by now.
        if self.dir.made.get().is_some() && self.file.is_in_place() {
            remove(&self.dir.path);
        }
    }
}

/// Returns the session file beside a folder.
fn file_of(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(LOCK);
    PathBuf::from(name)
}

fn remove(dir: &Path) {
    if let Err(error) = disk::remove_dir(dir) {
        tracing::debug!("{error}");
    }
}

/// Locks the session file beside a folder, and creates it if it is missing.
///
/// Returns `None` if another session has it, if another user made it for himself alone, or if it is no session's.
fn claim(dir: &Path) -> Result<Option<File>, StoreError> {
    let path = file_of(dir);
    let opened = match disk::open_to_write(&path) {
        Err(error) if error.is(ErrorKind::NotFound) => {
            // A folder without a lock file is somebody's, and the holder of the lock would remove it.
            if dir.symlink_metadata().is_ok() {
                return Ok(None);
            }
            disk::open_or_create(&path)
        }
        opened => opened,
    };
    let file = match opened {
        Err(error) if error.is(ErrorKind::PermissionDenied) && path.exists() => return Ok(None),
        Err(StoreError::Io { source, .. }) if Irregular::is_cause_of(&source) => return Ok(None),
        opened => opened?,
    };
    Ok(try_lock(&file, Hold::Alone, &path)?.then_some(file))
}

/// Removes the folders of dead sessions, each while nobody else can take its number.
///
/// A worker that has not yet noticed the death of its engine may still write there; then a later sweep removes the
/// rest, and the store opens all the same.
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

/// Lists the needs of all other live sessions.
pub(crate) fn neighbours(tmp: &Path, own: &Session) -> Result<Vec<Needs>, StoreError> {
    let own = file_of(&own.dir.path);
    let files = disk::list(tmp)?.into_iter().filter(|name| is_session_file(name)).map(|name| tmp.join(name));
    Ok(files.filter(|file| *file != own && is_held(file)).map(|file| Needs::read(&file)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::fault;
    use crate::format::layout::Access;
    use crate::store::Store;

    /// A session of a killed process with a live worker.
    fn dead_session(tmp: &Path) -> PathBuf {
        let dir = tmp.join("0");
        fs::create_dir_all(dir.join("scratch-1/stage")).unwrap();
        fs::write(file_of(&dir), "").unwrap();
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
        first.file.add(&[7, 9]).unwrap();
        sweep(&two.layout.tmp(), Some(second)).unwrap();
        assert!(scratch.path().exists());
        let needs = first.file.read().unwrap();
        assert_eq!(needs.opened_ms, first.opened_ms);
        assert_eq!(neighbours(&two.layout.tmp(), second).unwrap(), [needs]);
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
