//! Sessions: each writable open store is one, and has a folder for its unfinished files.
//!
//! A session locks the file `tmp/HOST-NUMBER.lock` with the first free number of its host (`session_file.rs`). Its
//! scratch folders and unfinished objects lie in `tmp/HOST-NUMBER/`, which is created on demand: a run of hits needs
//! none. A folder of this host whose lock is free was left by a dead process; it is removed when the store is opened
//! next. The files stay. A folder without a lock file beside it is not a session's, whatever its name: it stays, and no
//! session takes its number.
//!
//! **Other hosts.** Their locks may not reach this host, so a free lock proves nothing. A session of another host
//! counts as alive until it says that it has ended, or until its heartbeat has stood still for ten minutes of this
//! host's own clock (`watch.rs`). After a day its files go. Sessions of format 1 have no host in their names. They are
//! dead, as the format was raised while nobody had the store open; their files go after a day too.

use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::error::StoreError;
use crate::files::disk;
use crate::files::host::{Host, boot};
use crate::files::regular::Irregular;
use crate::format::layout::Layout;
use crate::format::names::{LOCK, SEEN, is_session, is_session_file, session_host};
use crate::lock::heart::{Heart, Others, Probe};
use crate::lock::holder;
use crate::lock::memory::lock;
use crate::lock::session_file::{Needs, SessionFile, sign_of};
use crate::lock::use_lock::UseLock;
use crate::lock::wait::{Hold, is_held, try_lock};
use crate::lock::watch::{self, Watch};

/// A session, as long as this lives.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) host: Host,
    pub(crate) dir: SessionDir,
    pub(crate) uses: UseLock,
    /// The file with its lock.
    pub(crate) file: Arc<SessionFile>,
    pub(crate) others: Arc<Others>,
    /// Sightings of sessions of other hosts by this process.
    watch: Mutex<Watch>,
    heart: OnceLock<Option<Heart>>,
}

/// The folder of a session, created on demand.
#[derive(Debug)]
pub(crate) struct SessionDir {
    path: PathBuf,
    made: OnceLock<()>,
}

/// The other live sessions of a store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Neighbours {
    /// Prefixes of everything that they noted.
    pub(crate) notes: HashSet<u64>,
    /// Names of the hosts among them whose locks do not reach this one, or that died less than ten minutes ago.
    pub(crate) beyond: Vec<String>,
}

impl Session {
    /// Takes a number, and sweeps the folders of dead sessions of this host.
    pub(crate) fn open(layout: &Layout) -> Result<Self, StoreError> {
        let (tmp, host) = (layout.tmp(), Host::of(&layout.dir));
        let sessions = disk::entries(&tmp)?;
        sweep_among(&tmp, &host.id, None, sessions.iter().map(|(name, kind)| (name.to_str(), kind.is_dir())))?;
        let others = Arc::new(Others::default());
        let names = sessions.iter().filter_map(|(name, _)| session_host(name.to_str()?.strip_suffix(LOCK)?)?);
        others.present.store(names.into_iter().any(|of| of != host.id), Ordering::Relaxed);
        let uses = UseLock::open(layout)?;
        for number in 0_u32.. {
            let path = tmp.join(format!("{}-{number}", host.id));
            if let Some(file) = claim(&path)? {
                let file = Arc::new(SessionFile::begin(file, file_of(&path), &host.name)?);
                let dir = SessionDir { path, made: OnceLock::new() };
                let (watch, heart) = Default::default();
                return Ok(Self { host, dir, uses, file, others, watch, heart });
            }
        }
        unreachable!("a number is free")
    }

    /// Shows other hosts from now on that this session lives.
    pub(crate) fn stay(&self) {
        self.heart.get_or_init(|| {
            let tmp = self.dir.path.parent().expect("the folder of a session lies in another");
            Heart::start(Arc::clone(&self.file), Probe::new(tmp.to_owned(), &self.host.id, &self.others))
        });
    }

    /// Returns for how long a session of another host has stood still; `None` if it has ended or is not the one with
    /// this nonce.
    pub(crate) fn stood_still(&self, tmp: &Path, name: &str, nonce: u64) -> Result<Option<Duration>, StoreError> {
        let sign = sign_of(&tmp.join(format!("{name}{LOCK}")))?;
        let is_it = sign.nonce != 0 && sign.nonce == nonce;
        Ok(is_it.then(|| lock(&self.watch).stood_still(name, sign, watch::uptime())))
    }
}

#[cfg(test)]
impl Session {
    /// Pretends to have seen a sign of a session first at a time since the start of this host.
    pub(crate) fn saw(&self, name: &str, sign: crate::lock::session_file::Sign, uptime: Duration) {
        let mut watch = lock(&self.watch);
        *watch = Watch::default();
        watch.stood_still(name, sign, uptime);
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
        drop(self.heart.take());
        // If somebody emptied `tmp`, another session may have this number by now.
        if self.dir.made.get().is_some() && self.file.is_in_place() {
            remove(&self.dir.path);
        }
        self.file.end();
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

/// Removes the folders of dead sessions of this host, each while nobody else can take its number.
///
/// A worker that has not yet noticed the death of its engine may still write there; then a later sweep removes the
/// rest, and the store opens all the same.
pub(crate) fn sweep(tmp: &Path, own: &Session) -> Result<(), StoreError> {
    let sessions = disk::entries(tmp)?;
    let sessions = sessions.iter().map(|(name, kind)| (name.to_str(), kind.is_dir()));
    sweep_among(tmp, &own.host.id, Some(own), sessions)
}

fn sweep_among<'n>(
    tmp: &Path,
    host: &str,
    own: Option<&Session>,
    names: impl Iterator<Item = (Option<&'n str>, bool)>,
) -> Result<(), StoreError> {
    for (name, is_dir) in names {
        let Some(name) = name.filter(|name| is_dir && session_host(name) == Some(Some(host))) else { continue };
        let dir = tmp.join(name);
        if own.is_some_and(|own| own.dir.path == dir) {
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

/// Removes the folders and files of sessions of other hosts that have stood still for a day.
pub(crate) fn sweep_beyond(tmp: &Path, own: &Session) -> Result<(), StoreError> {
    for name in disk::list(tmp)? {
        let Some(session) = name.strip_suffix(LOCK).filter(|session| is_session(session)) else { continue };
        let (dir, path) = (tmp.join(session), tmp.join(&name));
        if session_host(session) == Some(Some(&own.host.id)) || is_held(&path) {
            continue;
        }
        let sign = sign_of(&path)?;
        if lock(&own.watch).stood_still(session, sign, watch::uptime()) >= watch::files_end() {
            remove(&dir);
            disk::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Reads all other live sessions, and keeps in a file what it sees of other hosts.
pub(crate) fn neighbours(tmp: &Path, own: &Session) -> Result<Neighbours, StoreError> {
    let mut found = Neighbours::default();
    let seen = tmp.join(boot() + SEEN);
    let mut watch = lock(&own.watch);
    watch.read(&seen);
    let mut far = Vec::new();
    let names = disk::list(tmp)?;
    for name in names.iter().filter(|name| is_session_file(name)) {
        let Some(session) = name.strip_suffix(LOCK).filter(|session| *session != own.dir.name()) else { continue };
        let path = tmp.join(name);
        let is_ours = session_host(session) == Some(Some(&own.host.id));
        let is_held = is_held(&path);
        if !is_held && is_ours {
            continue;
        }
        let Some(needs) = Needs::read(&path)? else { continue };
        if !is_ours {
            far.push(session);
        }
        let stood_still = watch.stood_still(session, needs.sign, watch::uptime());
        if !is_held && (needs.sign.nonce == 0 || is_of_format_1(session) || stood_still >= watch::notes_end()) {
            continue;
        }
        found.notes.extend(needs.notes);
        if !is_held {
            found.beyond.push(holder::plain(&needs.host));
        }
    }
    watch.write(&seen, &far)?;
    found.beyond.sort_unstable();
    found.beyond.dedup();
    Ok(found)
}

fn is_of_format_1(session: &str) -> bool {
    session_host(session) == Some(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::fault;
    use crate::format::layout::Access;
    use crate::store::Store;

    const HOST: &str = "5e0c1d2f3a4b";

    fn sweep_all(tmp: &Path) -> Result<(), StoreError> {
        let sessions = disk::entries(tmp)?;
        sweep_among(tmp, HOST, None, sessions.iter().map(|(name, kind)| (name.to_str(), kind.is_dir())))
    }

    fn own_file(store: &Store) -> String {
        store.session().unwrap().dir.name().to_owned() + LOCK
    }

    /// A session of a killed process with a live worker.
    fn dead_session(tmp: &Path) -> PathBuf {
        let dir = tmp.join(HOST.to_owned() + "-0");
        fs::create_dir_all(dir.join("scratch-1/stage")).unwrap();
        fs::write(file_of(&dir), "").unwrap();
        dir
    }

    #[test]
    fn a_session_that_cannot_be_swept_keeps_nobody_from_the_store_and_goes_later() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = dead_session(tmp.path());
        fault::after(0);
        sweep_all(tmp.path()).unwrap();
        fault::off();
        assert!(dir.exists());
        sweep_all(tmp.path()).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn what_a_worker_wrote_after_its_session_was_swept_goes_too() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = dead_session(tmp.path());
        sweep_all(tmp.path()).unwrap();
        fs::create_dir_all(dir.join("scratch-1")).unwrap();
        sweep_all(tmp.path()).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn folders_without_a_lock_are_somebodys_and_no_session_takes_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Access::ReadWrite).unwrap());
        let tmp = dir.path().join("tmp");
        let host = Host::of(dir.path()).id;
        let numbered = |number: &str| format!("{host}-{number}");
        fs::remove_file(tmp.join(numbered("0.lock"))).unwrap();
        let mut folders =
            [&numbered("0"), &numbered("07"), "2024", "007", "+1", "1-abc-0", "thesis"].map(str::to_owned);
        for name in &folders {
            fs::create_dir(tmp.join(name)).unwrap();
            fs::write(tmp.join(name).join("scan"), "precious").unwrap();
        }
        std::os::unix::fs::symlink("../runs", tmp.join(numbered("1"))).unwrap();
        std::os::unix::fs::symlink("../../victim", tmp.join(numbered("2.lock"))).unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        assert_eq!(store.session_dir().unwrap(), tmp.join(numbered("3")));
        drop(store);
        let mut left = disk::list(&tmp).unwrap();
        left.retain(|name| tmp.join(name).join("scan").exists());
        folders.sort_unstable();
        assert_eq!(left, folders);
        assert!(tmp.join(numbered("1")).is_symlink() && tmp.join(numbered("2.lock")).is_symlink());
    }

    #[test]
    fn session_with_the_number_of_a_dead_one_removes_its_rest() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), Access::ReadWrite).unwrap());
        let layout = Layout::open(dir.path(), Access::ReadWrite).unwrap();
        let rest = layout.tmp().join(Host::of(dir.path()).id + "-0");
        fs::create_dir(&rest).unwrap();
        fs::create_dir(rest.join("scratch-1")).unwrap();
        let session = Session::open(&layout).unwrap();
        assert_eq!(session.dir.path().unwrap(), rest);
        assert!(!rest.join("scratch-1").exists());
        sweep(&layout.tmp(), &session).unwrap();
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
    fn a_live_session_is_left_alone_and_tells_what_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(dir.path(), Access::ReadWrite).unwrap();
        let (one, two) = (open(), open());
        let scratch = one.scratch().unwrap();
        let (first, second) = (one.session().unwrap(), two.session().unwrap());
        first.file.add(&[7, 9]).unwrap();
        sweep(&two.layout.tmp(), second).unwrap();
        assert!(scratch.path().exists());
        let notes = HashSet::from([7, 9]);
        assert_eq!(neighbours(&two.layout.tmp(), second).unwrap(), Neighbours { notes, beyond: Vec::new() });
        drop((scratch, one));
        assert_eq!(neighbours(&two.layout.tmp(), second).unwrap(), Neighbours::default());
    }

    /// A store beside a session of another host whose lock does not reach, with the note 7.
    fn beside_far() -> (tempfile::TempDir, Store, SessionFile) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        let path = store.layout.tmp().join("aaaaaaaaaaaa-0.lock");
        fs::create_dir(path.with_extension("")).unwrap();
        let far = SessionFile::begin(disk::open_or_create(&path).unwrap(), path, "far").unwrap();
        far.add(&[7]).unwrap();
        (dir, store, far)
    }

    /// Pretends that the session has stood still for so many seconds.
    fn stands_still(store: &Store, far: &SessionFile, seconds: u64) {
        let ago = watch::uptime().checked_sub(Duration::from_secs(seconds)).expect("this machine is up for long");
        store.session().unwrap().saw("aaaaaaaaaaaa-0", far.read().unwrap().sign, ago);
    }

    #[test]
    fn notes_of_another_host_count_until_it_ends_or_stands_still_for_ten_minutes() {
        let (_dir, store, far) = beside_far();
        let seen = || neighbours(&store.layout.tmp(), store.session().unwrap()).unwrap();
        let alive = Neighbours { notes: HashSet::from([7]), beyond: vec!["far".to_owned()] };
        assert_eq!(seen(), alive);
        stands_still(&store, &far, 590);
        assert_eq!(seen(), alive);
        far.beat().unwrap();
        stands_still(&store, &far, 590);
        assert_eq!(seen(), alive);
        // Whatever a wall clock says.
        let path = store.layout.tmp().join("aaaaaaaaaaaa-0.lock");
        File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(seen(), alive);
        stands_still(&store, &far, 601);
        assert_eq!(seen(), Neighbours::default());
        // The next collection of this host need not wait for another ten minutes.
        let again = Store::open(&store.layout.dir, Access::ReadWrite).unwrap();
        assert_eq!(neighbours(&again.layout.tmp(), again.session().unwrap()).unwrap(), Neighbours::default());
        far.beat().unwrap();
        assert_eq!(seen(), alive, "it woke up");
        far.end();
        assert_eq!(seen(), Neighbours::default());
    }

    #[test]
    fn a_host_whose_locks_reach_lives_as_long_as_it_holds_them() {
        let (_dir, store, far) = beside_far();
        let lock = disk::open_to_write(&store.layout.tmp().join("aaaaaaaaaaaa-0.lock")).unwrap();
        lock.lock().unwrap();
        stands_still(&store, &far, 10_000);
        let seen = neighbours(&store.layout.tmp(), store.session().unwrap()).unwrap();
        assert_eq!(seen, Neighbours { notes: HashSet::from([7]), beyond: Vec::new() });
    }

    #[test]
    fn nobody_sweeps_the_folder_of_another_host_before_it_stood_still_for_a_day() {
        let (_dir, store, far) = beside_far();
        let (tmp, session) = (store.layout.tmp(), store.session().unwrap());
        let folder = tmp.join("aaaaaaaaaaaa-0");
        drop(Store::open(&store.layout.dir, Access::ReadWrite).unwrap());
        sweep(&tmp, session).unwrap();
        stands_still(&store, &far, 86_000);
        sweep_beyond(&tmp, session).unwrap();
        assert!(folder.exists());
        stands_still(&store, &far, 86_401);
        sweep_beyond(&tmp, session).unwrap();
        assert!(!folder.exists() && !folder.with_extension("lock").exists());
    }

    #[test]
    fn sessions_one_after_the_other_take_the_same_file_and_leave_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for needs_folder in [false, true, false] {
            let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
            let scratch = needs_folder.then(|| store.scratch().unwrap().keep());
            assert_eq!(scratch.is_some_and(|path| path.exists()), needs_folder);
            let tmp = store.layout.tmp();
            let file = own_file(&store);
            drop(store);
            assert_eq!(disk::list(&tmp).unwrap(), [file]);
        }
    }
}
