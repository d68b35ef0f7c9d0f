//! What one open store has not finished: scratch folders and objects on their way in.
//!
//! Each store that is open for writing owns a file `tmp/SESSION.lock` and holds a kernel lock on it; in the file it notes what
//! it needs (`using.rs`). What is unfinished lies in the folder `tmp/SESSION/`, which is made when it is first needed: a run
//! of hits needs none. The lock vanishes with its holder, so a session whose lock is free was left by a process that died;
//! it is removed when the store is opened next. The name says since when the session is live; see `gc.rs`.

use std::collections::{BTreeSet, HashSet};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::clock;
use crate::disk;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::using::{self, Notes, UseLock};

/// How the name of the file with the lock ends.
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
    /// Takes a name below `tmp`.
    pub(crate) fn open(layout: &Layout) -> Result<Self, StoreError> {
        let uses = UseLock::open(layout)?;
        for attempt in 0.. {
            let opened_ns = clock::now_ns();
            let path = layout.tmp().join(format!("{}-{opened_ns:x}-{attempt}", std::process::id()));
            if let Some(notes) = claim(&lock_of(&path))? {
                let dir = Arc::new(SessionDir { path, made: OnceLock::new() });
                return Ok(Self { dir, opened_ms: opened_ns / 1_000_000, uses, notes });
            }
        }
        unreachable!("an attempt for each number")
    }

    /// The name, which no other session has.
    pub(crate) fn name(&self) -> &str {
        self.dir.name()
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
        let dir = if self.dir.made.get().is_some() { disk::remove_dir(&self.dir.path) } else { Ok(()) };
        // The lock last: a folder without one is a rest.
        dir.and_then(|()| disk::remove_file(self.notes.path())).unwrap_or_else(|error| tracing::debug!("{error}"));
    }
}

/// The file with the lock of the session with this folder.
fn lock_of(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(LOCK);
    PathBuf::from(name)
}

/// Makes and locks a file; `None` if a sweeper was quicker between the two.
fn claim(path: &Path) -> Result<Option<Notes>, StoreError> {
    let file = disk::create_new(path, 0o644)?;
    let ours = file.try_lock().is_ok() && disk::is_at(&file, path);
    Ok(ours.then(|| Notes::new(file, path)))
}

/// Who owns a session.
enum Owner {
    Lives,
    /// With the lock, which nobody else can take while this is held; `None` if there is no file.
    Died(Option<File>),
}

/// The lock is made first and removed last, so a folder without one is what a dying worker wrote afterwards.
fn owner(path: &Path) -> Result<Owner, StoreError> {
    let options = File::options().read(true).clone();
    // Some filesystems lock only what may be written; the files of others may only be read.
    let lock = match options.clone().write(true).open(path).or_else(|_| options.open(path)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Owner::Died(None)),
        Err(error) => {
            tracing::debug!("{}: {error}", path.display());
            return Ok(Owner::Lives);
        }
    };
    match lock.try_lock() {
        Ok(()) => Ok(Owner::Died(Some(lock))),
        Err(TryLockError::WouldBlock) => Ok(Owner::Lives),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
    }
}

/// Removes what a dead session left, its lock last. A worker that has not yet noticed that its engine is dead may still write
/// there; then the next sweep goes on, and nobody is kept from the store.
fn remove_rest(dir: &Path) {
    let removed = disk::remove_dir(dir).and_then(|()| disk::remove_file(&lock_of(dir)));
    removed.unwrap_or_else(|error| tracing::debug!("{error}"));
}

/// When the session of this name was opened, in milliseconds since 1970.
fn opened_ms(name: &str) -> Option<u64> {
    let opened_ns = u64::from_str_radix(name.split('-').nth(1)?, 16).ok()?;
    Some(opened_ns / 1_000_000)
}

/// Who else works in the store.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// When the oldest live session was opened, in milliseconds since 1970.
    pub(crate) oldest_ms: Option<u64>,
    /// Beginnings of the keys that live sessions need.
    pub(crate) notes: HashSet<u64>,
}

/// Removes what dead sessions left if it may, and tells of the live ones apart from our own.
pub(crate) fn sweep(tmp: &Path, own: Option<&str>, remove: bool) -> Result<Neighbours, StoreError> {
    let mut neighbours = Neighbours::default();
    let names = disk::list(tmp)?;
    let sessions: BTreeSet<_> = names.iter().map(|name| name.strip_suffix(LOCK).unwrap_or(name)).collect();
    for name in sessions.into_iter().filter(|name| own != Some(*name)) {
        let dir = tmp.join(name);
        let path = lock_of(&dir);
        match owner(&path)? {
            Owner::Died(_lock) if remove => remove_rest(&dir),
            Owner::Died(_) => {}
            Owner::Lives => {
                // A name that tells no time may be older than all else.
                let opened_ms = opened_ms(name).unwrap_or(0);
                neighbours.notes.extend(using::notes(&path));
                neighbours.oldest_ms = Some(neighbours.oldest_ms.map_or(opened_ms, |oldest| oldest.min(opened_ms)));
            }
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
        let dir = tmp.join("1-1-0");
        fs::create_dir_all(dir.join("scratch-1/stage")).unwrap();
        fs::write(lock_of(&dir), "").unwrap();
        dir
    }

    fn is_left(dir: &Path) -> bool {
        dir.exists() || lock_of(dir).exists()
    }

    #[test]
    fn a_session_that_cannot_be_swept_keeps_nobody_from_the_store_and_goes_later() {
        for steps in 0..3 {
            let tmp = tempfile::tempdir().unwrap();
            let dir = dead_session(tmp.path());
            fault::after(steps);
            sweep(tmp.path(), None, true).unwrap();
            fault::off();
            assert_eq!(is_left(&dir), steps < 2, "{steps}");
            sweep(tmp.path(), None, true).unwrap();
            assert!(!is_left(&dir));
        }
    }

    #[test]
    fn what_a_worker_wrote_after_its_session_was_swept_goes_too() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = dead_session(tmp.path());
        fs::remove_file(lock_of(&dir)).unwrap();
        sweep(tmp.path(), None, true).unwrap();
        assert!(!is_left(&dir));
    }

    #[test]
    fn a_live_session_is_left_alone_and_tells_its_age_and_what_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        let session = store.session().unwrap();
        let scratch = store.scratch().unwrap();
        session.notes.add(&[7, 9]).unwrap();
        let neighbours = sweep(&store.layout.tmp(), None, true).unwrap();
        assert_eq!(neighbours.oldest_ms, Some(session.opened_ms));
        assert_eq!(neighbours.notes, HashSet::from([7, 9]));
        assert!(scratch.path().exists());
        assert_eq!(sweep(&store.layout.tmp(), Some(session.name()), true).unwrap().oldest_ms, None);
    }

    #[test]
    fn a_session_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        for needs_folder in [false, true] {
            let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
            let tmp = store.layout.tmp();
            let left = needs_folder.then(|| store.scratch().unwrap().keep());
            assert_eq!(fs::read_dir(&tmp).unwrap().count(), if left.is_some() { 2 } else { 1 });
            drop(store);
            assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
        }
    }
}
