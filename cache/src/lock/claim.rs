//! Claims: leases that other hosts see, each a file `claims/KEY`.
//!
//! Leases (`lease.rs`) are kernel locks, so they exclude the processes of one host; other hosts see them only on some
//! filesystems. So the holder of a lease also makes a claim: one line of JSON that names its session. The heartbeat of
//! that session shows that the holder lives. A process takes a claim over
//!
//! - of its own host at once: the process has the lease, so the claim's holder is dead;
//! - of another host once its session has ended, or has stood still for two minutes of the observer's clock
//!   (`watch.rs`).
//!
//! **One winner a key.** A claim is made by giving a file its second name, which only one host can do, and is taken
//! over by renaming a file over it, so at any time it names one holder. A holder may have been taken for dead: its
//! machine slept, or its file server hung. So it looks at its claim once more before it records its result, and again
//! when the result is durable, before it is reported. The next holder looks for a result after it has taken the claim.
//! So either it finds that of the former one, or the former one finds that it has lost the claim, and uses the result
//! of the next. A holder that died before it recorded anything blocks nobody: its claim is taken over like any other.
//!
//! A holder that is stopped for two minutes *between* its look and the write of its record may still record a second
//! result. It sees that when it goes on, and takes its record out of use. Readers in between choose as for any key with
//! two results (`Index::location`).
//!
//! A claim costs a file, so only long work has one; see [`Store::try_lease_across_hosts`].
//!
//! [`Store::try_lease_across_hosts`]: crate::Store::try_lease_across_hosts

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{StoreError, is_gone};
use crate::files::disk;
use crate::format::layout::Layout;
use crate::format::names::{LOCK, session_host};
use crate::lock::holder;
use crate::lock::memory::lock;
use crate::lock::session::Session;
use crate::lock::wait::is_held;
use crate::lock::watch;
use crate::value::artifact::ActionKey;

/// Least time between two readings of a claim of another host: each is a request to a file server.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Time after which a file server shows each result of a holder that has given up its claim: clients ask it for the
/// present length of a file every few seconds. It is waited for only if a claim goes that was waited for.
pub(crate) const SHOWN_AFTER: Duration = Duration::from_secs(3);

/// The most bytes read of a claim.
const CLAIM_BYTES: u64 = 1 << 16;

/// The claims of one open store.
#[derive(Debug)]
pub(crate) struct Claims {
    layout: Layout,
    session: Arc<Session>,
    /// Claims that this process holds.
    held: Mutex<HashSet<ActionKey>>,
    /// Claims of other hosts that were found alive.
    waited: Mutex<HashMap<ActionKey, Waited>>,
}

/// A claim of another host.
#[derive(Debug)]
struct Waited {
    looked_at: Instant,
    /// When the claim was first found to be gone.
    gone_at: Option<Instant>,
    /// Its first bytes, and when they were first seen: all that can be watched of a claim that cannot be read.
    text: Vec<u8>,
    since: Duration,
}

/// The holder of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// Name of the host, for people.
    host: String,
    process: u32,
    /// Name of its session.
    session: String,
    /// The nonce of its session.
    nonce: u64,
}

impl Claims {
    pub(crate) fn new(layout: &Layout, session: &Arc<Session>) -> Self {
        let (held, waited) = Default::default();
        Self { layout: layout.clone(), session: Arc::clone(session), held, waited }
    }

    /// Claims a key; returns false if another host computes it. The caller holds the lease of this host.
    pub(crate) fn try_claim(&self, key: &ActionKey) -> Result<bool, StoreError> {
        if lock(&self.waited).get(key).is_some_and(|waited| waited.looked_at.elapsed() < LOOK_AGAIN) {
            return Ok(false);
        }
        let path = self.layout.claim(key);
        let line = self.line();
        disk::create_folder(&self.layout.claims())?;
        if self.has_just_gone(key, &path) {
            return Ok(false);
        }
        if !self.create(&path, &line)? {
            if self.is_alive(key, &path)? {
                return Ok(false);
            }
            disk::replace(&path, &line, false)?;
            // If another host took the claim over at the same time, the file may have its line.
            if !self.has_line(&path, &line) {
                return Ok(false);
            }
        }
        lock(&self.waited).remove(key);
        lock(&self.held).insert(*key);
        Ok(true)
    }

    /// Returns whether a claim that was waited for has gone a moment ago: its result may not be visible here yet.
    fn has_just_gone(&self, key: &ActionKey, path: &Path) -> bool {
        let mut waited = lock(&self.waited);
        let Some(waited) = waited.get_mut(key) else { return false };
        if path.symlink_metadata().is_ok() {
            waited.gone_at = None;
            return false;
        }
        waited.looked_at = Instant::now();
        waited.gone_at.get_or_insert_with(Instant::now).elapsed() < SHOWN_AFTER
    }

    /// Returns whether a claim is still this process's, and takes it once more if nobody has it; `None` if another host
    /// has it. A claim that was taken once more, as somebody else may have had it in between, is `Some(false)`.
    pub(crate) fn confirm(&self, key: &ActionKey) -> Result<Option<bool>, StoreError> {
        if self.holds(key) {
            return Ok(Some(true));
        }
        lock(&self.held).remove(key);
        Ok(self.try_claim(key)?.then_some(false))
    }

    /// Returns whether a claim is still this process's.
    pub(crate) fn holds(&self, key: &ActionKey) -> bool {
        lock(&self.held).contains(key) && self.has_line(&self.layout.claim(key), &self.line())
    }

    fn has_line(&self, path: &Path, line: &[u8]) -> bool {
        disk::read(path, CLAIM_BYTES).is_ok_and(|read| read == line)
    }

    /// Creates a claim; returns false if there is one. The file has its line from the start: if the process died before
    /// it wrote the line, the holder would be unknown, and so could be another host.
    fn create(&self, path: &Path, line: &[u8]) -> Result<bool, StoreError> {
        let mut temporary = disk::temporary(self.session.dir.path()?, "claim-")?;
        disk::append(temporary.as_file_mut(), line, path)?;
        match disk::link(temporary.path(), path) {
            Ok(()) => Ok(true),
            // A file server may have made the link, and its answer was lost.
            Err(error) if error.is(io::ErrorKind::AlreadyExists) => Ok(self.has_line(path, line)),
            // The filesystem has no hard links.
            Err(error) if !error.is(io::ErrorKind::StorageFull) && !path.exists() => {
                match disk::create_new(path, 0o644) {
                    Ok(mut file) => disk::append(&mut file, line, path).map(|()| true),
                    Err(error) if error.is(io::ErrorKind::AlreadyExists) => Ok(false),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Gives up the claim of a key.
    pub(crate) fn release(&self, key: &ActionKey) {
        // Another host may have taken the claim over. Not told by the number of the file, which a FUSE mount may give
        // to names and not to files.
        let is_ours = self.holds(key);
        lock(&self.held).remove(key);
        if is_ours && let Err(error) = disk::remove_file(&self.layout.claim(key)) {
            tracing::warn!("{error}");
        }
    }

    /// Returns the content of a claim of this process.
    fn line(&self) -> Vec<u8> {
        let Session { host, dir, file, .. } = &*self.session;
        let (host, process, session) = (host.name.clone(), std::process::id(), dir.name().to_owned());
        let holder = Holder { host, process, session, nonce: file.nonce() };
        let mut line = serde_json::to_vec(&holder).expect("texts can be written as JSON");
        line.push(b'\n');
        line
    }

    /// Names the holder of the claim of a key, for messages.
    pub(crate) fn holder(&self, key: &ActionKey) -> Option<String> {
        let Holder { host, process, .. } = self.read(&self.layout.claim(key))?;
        Some(format!("process {process} on {}", holder::plain(&host)))
    }

    /// Returns whether the session of a claim has ended, or has stood still for ten minutes; `None` if the file is no
    /// claim that can be read.
    pub(crate) fn is_dead(&self, path: &Path) -> Result<Option<bool>, StoreError> {
        let Some(Holder { session, nonce, .. }) = self.read(path) else { return Ok(None) };
        let stood_still = self.session.stood_still(&self.layout.tmp(), &session, nonce)?;
        let is_held = || is_held(&self.layout.tmp().join(session + LOCK));
        Ok(Some(stood_still.is_none_or(|time| !is_held() && time >= watch::notes_end())))
    }

    fn read(&self, path: &Path) -> Option<Holder> {
        let line = path.starts_with(self.layout.claims()).then(|| disk::read(path, CLAIM_BYTES).ok())??;
        serde_json::from_slice(&line).ok()
    }

    /// Returns whether the holder of a claim is another host that is not dead.
    fn is_alive(&self, key: &ActionKey, path: &Path) -> Result<bool, StoreError> {
        // Opened, not only queried: a client of a file server then asks for the bytes anew.
        let text = match disk::read(path, CLAIM_BYTES) {
            Err(error) if is_gone(&error) => return Ok(false),
            read => read.map_err(StoreError::io("read", path))?,
        };
        let uptime = watch::uptime();
        let mut waited = lock(&self.waited);
        let known = waited.entry(*key).or_insert_with(|| Waited {
            looked_at: Instant::now(),
            gone_at: None,
            text: text.clone(),
            since: uptime,
        });
        if known.text != text {
            (known.text, known.since) = (text.clone(), uptime);
        }
        let stood_still = match serde_json::from_slice::<Holder>(&text) {
            Ok(Holder { session, nonce, .. }) => match session_host(&session) {
                Some(Some(host)) if host != self.session.host.id => {
                    self.session.stood_still(&self.layout.tmp(), &session, nonce)?
                }
                // This process has the lease, so no other of this host works on the key.
                _ => None,
            },
            // Another version may have made it, or its holder died while it wrote.
            Err(_) => Some(uptime.saturating_sub(known.since)),
        };
        let is_alive = stood_still.is_some_and(|time| time < watch::claim_ends());
        known.looked_at = Instant::now();
        if let (false, Some(time)) = (is_alive, stood_still) {
            tracing::info!("{} is taken over: no heartbeat for {} s", path.display(), time.as_secs());
        }
        Ok(is_alive)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::PathBuf;

    use super::*;
    use crate::format::layout::Access;
    use crate::lock::session_file::SessionFile;
    use crate::store::Store;
    use crate::value::digest::Digest;

    const KEY: ActionKey = ActionKey(Digest::from_bytes([7; 32]));
    const FAR: &str = "aaaaaaaaaaaa-0";

    /// A store with a claim of a session of another host on [`KEY`].
    struct Claimed {
        _dir: tempfile::TempDir,
        store: Store,
        claim: PathBuf,
        session: SessionFile,
    }

    impl Claimed {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
            let claim = store.layout.claim(&KEY);
            let path = store.layout.tmp().join(format!("{FAR}.lock"));
            let session = SessionFile::begin(disk::open_or_create(&path).unwrap(), path, "elsewhere").unwrap();
            write(&claim, FAR, session.nonce());
            Self { _dir: dir, store, claim, session }
        }

        fn try_lease(&self) -> Option<crate::Lease> {
            lock(&self.store.leases().unwrap().claims.waited)
                .values_mut()
                .for_each(|waited| waited.looked_at = waited.looked_at.checked_sub(LOOK_AGAIN).unwrap());
            self.store.try_lease_across_hosts(&KEY).unwrap()
        }
    }

    fn write(claim: &Path, session: &str, nonce: u64) {
        fs::create_dir_all(claim.parent().unwrap()).unwrap();
        let holder = Holder { host: "elsewhere".to_owned(), process: 1, session: session.to_owned(), nonce };
        fs::write(claim, serde_json::to_vec(&holder).unwrap()).unwrap();
    }

    #[test]
    fn a_claim_of_another_host_excludes_this_one_until_its_session_ends() {
        let far = Claimed::new();
        assert!(far.try_lease().is_none());
        assert!(far.store.try_lease(&KEY).unwrap().is_some(), "the lease was given back");
        assert_eq!(far.store.who_computes(&KEY), "process 1 on elsewhere");
        // Whatever the times of files say.
        for path in [far.claim.clone(), far.store.layout.tmp().join(format!("{FAR}.lock"))] {
            File::open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        assert!(far.try_lease().is_none());
        far.session.end();
        assert!(far.try_lease().is_some());
        assert!(!far.claim.exists(), "it was given up");
    }

    #[test]
    fn a_claim_that_goes_while_it_is_waited_for_leaves_time_for_its_result_to_show() {
        let far = Claimed::new();
        assert!(far.try_lease().is_none());
        fs::remove_file(&far.claim).unwrap();
        assert!(far.try_lease().is_none());
        let claims = &far.store.leases().unwrap().claims;
        let long_ago = Instant::now().checked_sub(SHOWN_AFTER).unwrap();
        lock(&claims.waited).get_mut(&KEY).unwrap().gone_at = Some(long_ago);
        assert!(far.try_lease().is_some());
        assert!(lock(&claims.waited).is_empty());
    }

    #[test]
    fn a_claim_of_a_session_that_stands_still_is_taken_over() {
        let far = Claimed::new();
        let session = far.store.session().unwrap();
        let sees = |ago: Duration| {
            let sign = crate::lock::session_file::sign_of(&far.store.layout.tmp().join(format!("{FAR}.lock"))).unwrap();
            session.saw(FAR, sign, watch::uptime().checked_sub(ago).expect("this machine is up for long"));
        };
        sees(Duration::from_secs(100));
        assert!(far.try_lease().is_none());
        sees(Duration::from_secs(121));
        far.session.beat().unwrap();
        assert!(far.try_lease().is_none(), "it beats once more");
        sees(Duration::from_secs(121));
        let lease = far.try_lease().unwrap();
        let holder: Holder = serde_json::from_slice(&fs::read(&far.claim).unwrap()).unwrap();
        assert_eq!(holder.process, std::process::id());
        drop(lease);
        assert!(!far.claim.exists());
    }

    #[test]
    fn a_claim_of_a_dead_process_of_this_host_is_taken_over_at_once() {
        let far = Claimed::new();
        write(&far.claim, &format!("{}-9", far.store.session().unwrap().host.id), 1);
        let lease = far.try_lease();
        assert!(lease.is_some() && far.claim.exists());
        assert!(far.try_lease().is_none(), "the lease excludes this host");
    }

    #[test]
    fn a_claim_that_cannot_be_read_is_waited_for_like_one_of_another_host() {
        let far = Claimed::new();
        fs::write(&far.claim, "{").unwrap();
        assert!(far.try_lease().is_none());
        lock(&far.store.leases().unwrap().claims.waited).get_mut(&KEY).unwrap().since =
            watch::uptime().checked_sub(Duration::from_secs(121)).unwrap();
        assert!(far.try_lease().is_some());
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
    fn a_holder_sees_that_its_claim_was_taken_over_or_given_up_meanwhile() {
        let far = Claimed::new();
        far.session.end();
        let lease = far.try_lease().unwrap();
        let confirmed = || far.store.leases().unwrap().claims.confirm(&KEY).unwrap();
        assert_eq!((confirmed(), lease.is_ours()), (Some(true), true));
        // Another host took it over and has ended.
        fs::remove_file(&far.claim).unwrap();
        assert!(!lease.is_ours());
        assert_eq!(confirmed(), Some(false), "somebody else may have recorded a result in between");
        assert_eq!(confirmed(), Some(true));
        // Another host took it over and works.
        let path = far.store.layout.tmp().join("bbbbbbbbbbbb-0.lock");
        let next = SessionFile::begin(disk::open_or_create(&path).unwrap(), path, "next").unwrap();
        disk::replace(&far.claim, &[], false).unwrap();
        write(&far.claim, "bbbbbbbbbbbb-0", next.nonce());
        assert_eq!(confirmed(), None);
        let text = fs::read(&far.claim).unwrap();
        drop(lease);
        assert_eq!(fs::read(&far.claim).unwrap(), text, "it is left to its holder");
    }
}
