//! Claims: leases that other hosts see, each a file `claims/KEY` with a heartbeat.
//!
//! Leases (`lease.rs`) are kernel locks, so they exclude the processes of one host; other hosts see them only on some
//! filesystems. So the holder of a lease also writes a claim: one line of JSON that names the holder. Every [`BEAT`]
//! the holder writes the line again, which renews the file's time. A process takes a claim over
//!
//! - of its own host at once: the process has the lease, so the claim's holder is dead;
//! - of another host once the file is older than [`DEAD_AFTER`].
//!
//! An age is a difference between two times of the filesystem, so the clocks of hosts need not agree. If two hosts take
//! a dead claim over at the same time, both may compute the key. That wastes time and is never wrong, as the first
//! result wins.
//!
//! A claim costs a file, so only long work has one; see [`Store::try_lease_across_hosts`].
//!
//! [`Store::try_lease_across_hosts`]: crate::Store::try_lease_across_hosts

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::disk::{self, is_at};
use crate::format::layout::Layout;
use crate::lock::holder;
use crate::lock::memory::lock;
use crate::lock::session::SessionDir;
use crate::value::artifact::ActionKey;

/// Interval of heartbeats.
const BEAT: Duration = Duration::from_secs(15);
/// Time without a heartbeat after which a holder counts as dead.
const DEAD_AFTER: Duration = Duration::from_secs(120);
/// Least time between two readings of a claim of another host: each is a request to a file server.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The most bytes read of a claim.
const CLAIM_BYTES: u64 = 1 << 16;

/// The claims of one open store.
#[derive(Debug)]
pub(crate) struct Claims {
    layout: Layout,
    session: Arc<SessionDir>,
    /// This process as a holder; determined on demand.
    me: OnceLock<Holder>,
    /// The files of claims that this process holds; shared with the thread of heartbeats.
    held: Arc<Mutex<HashMap<ActionKey, File>>>,
    /// The time at which a claim of another host was last found alive.
    alive_at: Mutex<HashMap<ActionKey, Instant>>,
    /// Ends the thread of heartbeats when dropped.
    heart: OnceLock<Sender<()>>,
}

/// The holder of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// Name of the host, for people.
    host: String,
    /// Id of the last start of the host: differs between hosts, and between two starts of one.
    boot: String,
    process: u32,
    /// Differs between two open stores of one process.
    session: String,
}

impl Claims {
    pub(crate) fn new(layout: &Layout, session: &Arc<SessionDir>) -> Self {
        Self {
            layout: layout.clone(),
            session: Arc::clone(session),
            me: OnceLock::new(),
            held: Arc::default(),
            alive_at: Mutex::default(),
            heart: OnceLock::new(),
        }
    }

    fn me(&self) -> &Holder {
        self.me.get_or_init(|| {
            let (host, boot) = this_host();
            Holder { host, boot, process: std::process::id(), session: self.session.name().to_owned() }
        })
    }

    /// Claims a key; returns false if another host computes it. The caller holds the lease of this host.
    pub(crate) fn try_claim(&self, key: &ActionKey) -> Result<bool, StoreError> {
        if lock(&self.alive_at).get(key).is_some_and(|alive_at| alive_at.elapsed() < LOOK_AGAIN) {
            return Ok(false);
        }
        let path = self.layout.claim(key);
        let line = self.line();
        disk::create_folder(&self.layout.claims())?;
        if let Some(file) = self.create(&path, &line)? {
            self.hold(key, file);
            return Ok(true);
        }
        if self.is_alive(&path)? {
            lock(&self.alive_at).insert(*key, Instant::now());
            return Ok(false);
        }
        disk::replace(&path, &line, false)?;
        let file = disk::open_or_create(&path)?;
        // If another host took the claim over at the same time, the file may have its line.
        let ours = disk::read(&path, CLAIM_BYTES).is_ok_and(|read| read == line);
        if ours {
            self.hold(key, file);
        }
        Ok(ours)
    }

    /// Creates a claim; `None` if there is one. The file has its line from the start: if the process died before it
    /// wrote the line, the holder would be unknown, and so could be another host.
    fn create(&self, path: &Path, line: &[u8]) -> Result<Option<File>, StoreError> {
        let mut temporary = disk::temporary(self.session.path()?, "claim-")?;
        disk::append(temporary.as_file_mut(), line, path)?;
        match disk::link(temporary.path(), path) {
            Ok(()) => Ok(Some(temporary.into_file())),
            Err(error) if error.is(io::ErrorKind::AlreadyExists) => Ok(None),
            // The filesystem has no hard links.
            Err(error) if !error.is(io::ErrorKind::StorageFull) && !path.exists() => {
                disk::replace(path, line, false)?;
                disk::open_or_create(path).map(Some)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives up the claim of a key.
    pub(crate) fn release(&self, key: &ActionKey) {
        let path = self.layout.claim(key);
        // If heartbeats failed, another host may have taken the claim over.
        if let Some(file) = lock(&self.held).remove(key)
            && is_at(&file, &path)
            && let Err(error) = disk::remove_file(&path)
        {
            tracing::warn!("{error}");
        }
    }

    /// Returns the content of a claim of this process.
    fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self.me()).expect("texts can be written as JSON");
        line.push(b'\n');
        line
    }

    /// Keeps the file of a claim for heartbeats; the first claim starts their thread.
    fn hold(&self, key: &ActionKey, file: File) {
        lock(&self.alive_at).remove(key);
        lock(&self.held).insert(*key, file);
        self.heart.get_or_init(|| {
            let (sender, stop) = channel::<()>();
            let (held, line) = (Arc::clone(&self.held), self.line());
            let beat = move || {
                while stop.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                    for (key, file) in lock(&held).iter() {
                        if let Err(error) = disk::write_at(file, &line, 0, Path::new("a claim")) {
                            tracing::debug!("no heartbeat for {}: {error}", key.0.short());
                        }
                    }
                }
            };
            if let Err(error) = std::thread::Builder::new().spawn(beat) {
                tracing::warn!("no thread for the heartbeat of claims ({error}): another host may compute the same");
            }
            sender
        });
    }

    /// Names the holder of the claim of a key, for messages.
    pub(crate) fn holder(&self, key: &ActionKey) -> Option<String> {
        let line = disk::read(&self.layout.claim(key), CLAIM_BYTES).ok()?;
        let Holder { host, process, .. } = serde_json::from_slice(&line).ok()?;
        Some(format!("process {process} on {}", holder::plain(&host)))
    }

    /// Returns whether the holder of a claim is another host that is not dead.
    fn is_alive(&self, path: &Path) -> Result<bool, StoreError> {
        // Opened, not only queried for its time: a client of a file server then asks for the time anew.
        let file = match disk::open(path) {
            Err(error) if error.is(io::ErrorKind::NotFound) => return Ok(false),
            opened => opened?,
        };
        let beat = file.metadata().and_then(|metadata| metadata.modified()).map_err(StoreError::io("read", path))?;
        let text = io::read_to_string(file.take(CLAIM_BYTES)).unwrap_or_default();
        let holder: Option<Holder> = serde_json::from_str(&text).ok();
        if holder.as_ref().is_some_and(|holder| holder.boot == self.me().boot) {
            return Ok(false);
        }
        let age = self.filesystem_time()?.duration_since(beat).unwrap_or_default();
        if age <= DEAD_AFTER {
            return Ok(true);
        }
        let host = holder.map_or_else(|| "an unknown host".to_owned(), |holder| holder.host);
        tracing::info!("{host} no longer works on {}: no heartbeat for {} s", path.display(), age.as_secs());
        Ok(false)
    }

    /// Returns the present time by the clock of the filesystem: that of a file just written.
    fn filesystem_time(&self) -> Result<SystemTime, StoreError> {
        let path = self.session.path()?.join("clock");
        let file = disk::open_or_create(&path)?;
        disk::write_at(&file, b"\n", 0, &path)?;
        file.metadata().and_then(|metadata| metadata.modified()).map_err(StoreError::io("read", path))
    }
}

/// Returns the name of this host, and an id of its last start.
fn this_host() -> (String, String) {
    let name = holder::host();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim_end().to_owned());
    let boot = boot.unwrap_or_else(|_| name.clone());
    (name, boot)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::format::layout::Access;
    use crate::store::Store;
    use crate::value::digest::Digest;

    const KEY: ActionKey = ActionKey(Digest::from_bytes([7; 32]));

    /// Returns a store with a claim of another process on [`KEY`], last renewed `age` ago, and the path of the claim.
    fn claimed(boot: &str, age: Duration) -> (tempfile::TempDir, Store, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        let path = store.layout.claim(&KEY);
        fs::create_dir_all(store.layout.claims()).unwrap();
        let holder =
            Holder { host: "elsewhere".to_owned(), boot: boot.to_owned(), process: 1, session: "1".to_owned() };
        fs::write(&path, serde_json::to_vec(&holder).unwrap()).unwrap();
        File::open(&path).unwrap().set_modified(crate::files::clock::now() - age).unwrap();
        (dir, store, path)
    }

    #[test]
    fn a_claim_of_another_host_excludes_this_one_while_its_heart_beats() {
        let (_dir, store, path) = claimed("another", Duration::ZERO);
        assert!(store.try_lease_across_hosts(&KEY).unwrap().is_none());
        assert!(store.try_lease(&KEY).unwrap().is_some(), "the lease was given back");
        fs::remove_file(path).unwrap();
        std::thread::sleep(LOOK_AGAIN);
        assert!(store.try_lease_across_hosts(&KEY).unwrap().is_some());
    }

    #[test]
    fn a_claim_without_heartbeat_is_taken_over() {
        let (_dir, store, path) = claimed("another", DEAD_AFTER * 2);
        let lease = store.try_lease_across_hosts(&KEY).unwrap().unwrap();
        let holder: Holder = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(holder.process, std::process::id());
        drop(lease);
        assert!(!path.exists());
    }

    #[test]
    fn a_claim_of_a_dead_process_of_this_host_is_taken_over_at_once() {
        let (_dir, store, path) = claimed(&this_host().1, Duration::ZERO);
        let lease = store.try_lease_across_hosts(&KEY).unwrap();
        assert!(lease.is_some() && path.exists());
        assert!(store.try_lease_across_hosts(&KEY).unwrap().is_none(), "the lease excludes this host");
    }

    #[test]
    fn a_process_that_dies_while_it_makes_a_claim_keeps_nobody_waiting() {
        for steps in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let (one, two) = (Store::open(dir.path(), Access::ReadWrite), Store::open(dir.path(), Access::ReadWrite));
            let (one, two) = (one.unwrap(), two.unwrap());
            crate::files::fault::after(steps);
            let claimed = one.try_lease_across_hosts(&KEY);
            let done = claimed.is_ok();
            // Dropped while it cannot write, as by a killed process.
            drop(claimed);
            crate::files::fault::off();
            assert!(two.try_lease_across_hosts(&KEY).unwrap().is_some(), "after {steps} steps");
            if done {
                assert!(steps > 2, "the test stopped nothing");
                return;
            }
        }
    }

    #[test]
    fn a_claim_that_another_host_took_over_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        let lease = store.try_lease_across_hosts(&KEY).unwrap();
        let path = store.layout.claim(&KEY);
        disk::replace(&path, b"{}\n", false).unwrap();
        drop(lease);
        assert_eq!(fs::read(path).unwrap(), b"{}\n");
    }
}
