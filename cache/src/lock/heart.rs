//! The heart of a session: a thread that shows others that the session lives, and looks whether locks reach them.
//!
//! It starts with the first lease: a run of hits ends sooner than a heart would beat once.
//!
//! **Probe.** Some filesystems keep kernel locks on one host: a FUSE mount for each (as of sshfs), NFS mounted with
//! `nolock`, Lustre with `localflock`. So at each beat the heart looks at sessions of other hosts. A session whose
//! number grows is alive, and a live session holds the lock on its file. If that lock seems to be free here, locks do
//! not reach from here to there. The run says so once for each host.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::names::{LOCK, session_host};
use crate::lock::memory::lock;
use crate::lock::session_file::{Needs, SessionFile, Sign, sign_of};
use crate::lock::wait::is_held;
use crate::lock::watch;

/// A running heart; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Heart {
    /// Dropped before the thread is waited for, which ends it.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Sights of sessions of other hosts, shared by a session and its heart.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// True if a session of another host may be open.
    pub(crate) present: AtomicBool,
    warnings: Mutex<Vec<String>>,
}

impl Heart {
    /// Starts the thread; `None` if the system refuses.
    pub(crate) fn start(file: Arc<SessionFile>, mut probe: Probe) -> Option<Self> {
        let (stop, stopped) = channel::<()>();
        let beat = move || {
            loop {
                probe.look().unwrap_or_else(|error| tracing::debug!("{error}"));
                if stopped.recv_timeout(watch::interval()) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                file.beat().unwrap_or_else(|error| tracing::debug!("no heartbeat: {error}"));
            }
        };
        match std::thread::Builder::new().name("heart".to_owned()).spawn(beat) {
            Ok(thread) => Some(Self { stop: Some(stop), thread: Some(thread) }),
            Err(error) => {
                tracing::warn!("no thread for heartbeats ({error}): another host may take this process for dead");
                None
            }
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported.
            let _ = thread.join();
        }
    }
}

/// Looks for hosts that the locks of this one do not reach.
#[derive(Debug)]
pub(crate) struct Probe {
    tmp: PathBuf,
    /// Id of this host.
    host: String,
    others: Arc<Others>,
    last: HashMap<String, Sign>,
    /// Names of hosts that were warned of.
    told: HashSet<String>,
}

impl Probe {
    pub(crate) fn new(tmp: PathBuf, host: &str, others: &Arc<Others>) -> Self {
        let (last, told) = Default::default();
        Self { tmp, host: host.to_owned(), others: Arc::clone(others), last, told }
    }

    /// Looks once.
    fn look(&mut self) -> Result<(), StoreError> {
        let mut present = false;
        for name in foreign(&self.tmp, &self.host)? {
            let path = self.tmp.join(format!("{name}{LOCK}"));
            let sign = sign_of(&path)?;
            present |= sign.nonce != 0;
            let last = self.last.insert(name, sign);
            let beats = last.is_some_and(|last| last.nonce == sign.nonce && last.beat < sign.beat && sign.nonce != 0);
            // It may have ended since.
            if beats && !is_held(&path) && sign_of(&path)?.nonce == sign.nonce {
                self.tell(&path)?;
            }
        }
        self.others.present.store(present, Ordering::Relaxed);
        Ok(())
    }

    fn tell(&mut self, session: &Path) -> Result<(), StoreError> {
        let host = Needs::read(session)?.map(|needs| super::holder::plain(&needs.host)).unwrap_or_default();
        if self.told.insert(host.clone()) {
            lock(&self.others.warnings).push(format!(
                "locks do not reach the host {host}, which uses the same store ({}): results are safe, as each host \
                 writes its own files, but a short node may run on both, and no garbage is collected meanwhile; mount \
                 the store so that locks are shared (NFS without `nolock`, Lustre with `flock`)",
                self.tmp.parent().unwrap_or(&self.tmp).display()
            ));
        }
        Ok(())
    }
}

impl Others {
    /// Takes the warnings since the last call.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.warnings))
    }
}

/// Lists the sessions of other hosts, by the names of their folders; some have ended.
pub(crate) fn foreign(tmp: &Path, host: &str) -> Result<Vec<String>, StoreError> {
    let sessions = disk::list(tmp)?.into_iter().filter_map(|name| Some(name.strip_suffix(LOCK)?.to_owned()));
    Ok(sessions.filter(|name| matches!(session_host(name), Some(Some(of)) if of != host)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_lives_while_its_lock_is_free_here_is_told_of_once() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("aaaaaaaaaaaa-0.lock");
        let others = Arc::new(Others::default());
        let mut probe = Probe::new(tmp.path().to_owned(), "bbbbbbbbbbbb", &others);
        let mut look = || {
            probe.look().unwrap();
            (others.take_warnings().len(), others.present.load(Ordering::Relaxed))
        };
        assert_eq!(look(), (0, false));
        let lock = disk::open_or_create(&path).unwrap();
        let file = SessionFile::begin(disk::open_to_write(&path).unwrap(), path.clone(), "far").unwrap();
        assert_eq!(look(), (0, true));
        assert_eq!(look(), (0, true), "it stands still");
        file.beat().unwrap();
        lock.lock().unwrap();
        assert_eq!(look(), (0, true), "its lock reaches us");
        lock.unlock().unwrap();
        assert_eq!(look(), (0, true));
        file.beat().unwrap();
        assert_eq!(look(), (1, true));
        file.beat().unwrap();
        assert_eq!(look(), (0, true), "once is enough");
        file.end();
        assert_eq!(look(), (0, false));
    }
}
