//! Taking kernel locks on files, and waiting for them aloud: after two seconds a waiter names the lock and its holder.
//!
//! Another thread waits in the kernel's queue, so that the caller can speak meanwhile, and stop when people ask it to.
//! A free lock is taken without a thread.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::error::{StoreError, is_gone};
use crate::files::regular::{self, Irregular};
use crate::lock::holder;

/// Silent time of a wait.
const SILENCE: Duration = Duration::from_secs(2);
/// The silence between two messages.
const INTERVAL: Duration = Duration::from_secs(60);
/// Interval at which a waiter checks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// Mode of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Together with others that share it.
    Shared,
    /// Exclusively.
    Alone,
}

/// Locks an open file; returns false if another process holds it.
pub(crate) fn try_lock(file: &File, hold: Hold, path: &Path) -> Result<bool, StoreError> {
    let locked = match hold {
        Hold::Shared => file.try_lock_shared(),
        Hold::Alone => file.try_lock(),
    };
    match locked {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
    }
}

/// Locks an open file, and waits for its holder.
///
/// - `purpose`: for messages, such as `the end of a garbage collection`
pub(crate) fn lock(file: &File, hold: Hold, purpose: &str, path: &Path) -> Result<(), StoreError> {
    if try_lock(file, hold, path)? {
        return Ok(());
    }
    let locked = wait_apart(file, hold).and_then(|receiver| listen(&receiver, purpose, path));
    locked.map_err(StoreError::io("lock", path))
}

/// Locks a file for this process alone as long as it is open, and waits for its holder; see [`stop_waiting_on`].
///
/// - `purpose`: for messages, such as `its turn to publish`
pub fn lock_alone(file: &File, purpose: &str, path: &Path) -> Result<(), StoreError> {
    lock(file, Hold::Alone, purpose, path)
}

/// Gives up the lock on an open file.
pub(crate) fn unlock(file: &File, path: &Path) {
    if let Err(error) = file.unlock() {
        tracing::warn!("cannot unlock {}: {error}", path.display());
    }
}

/// Returns whether a process holds the lock on a file, as far as can be seen.
pub fn is_held(lock: &Path) -> bool {
    let options = OpenOptions::new().read(true).clone();
    // Some filesystems lock only files that are open for writing; the files of others may be open for reading only.
    match regular::open(options.clone().write(true), lock).or_else(|_| regular::open(&options, lock)) {
        Ok(file) => file.try_lock().is_err(),
        Err(error) => !is_gone(&error) && !Irregular::is_cause_of(&error),
    }
}

/// Waits in another thread, which shares the open file, and so the lock.
fn wait_apart(file: &File, hold: Hold) -> io::Result<Receiver<io::Result<()>>> {
    let file = file.try_clone()?;
    let (sender, receiver) = channel();
    std::thread::Builder::new().name("waits for a lock".to_owned()).spawn(move || {
        let locked = loop {
            let locked = match hold {
                Hold::Shared => file.lock_shared(),
                Hold::Alone => file.lock(),
            };
            match locked {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                locked => break locked,
            }
        };
        // A caller that gave up listens no more; then the process is about to end.
        let _ = sender.send(locked);
    })?;
    Ok(receiver)
}

fn listen(receiver: &Receiver<io::Result<()>>, purpose: &str, path: &Path) -> io::Result<()> {
    let mut patience = Patience::default();
    let asked_before = is_asked_to_stop();
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(locked) => return locked,
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the thread that waits is gone")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // The second request ends the process, so only the first one matters here.
        if !asked_before && is_asked_to_stop() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if let Some(seconds) = patience.is_over() {
            tracing::warn!("waiting for {seconds} s for {purpose}: {} has {}", holder::of_file(path), path.display());
        }
    }
}

/// Times the messages of a wait: the first after two seconds, then one a minute.
#[derive(Debug)]
pub struct Patience {
    since: Instant,
    next: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { since: Instant::now(), next: SILENCE }
    }
}

impl Patience {
    /// Returns the seconds of the wait so far, if a message is due.
    pub fn is_over(&mut self) -> Option<u64> {
        let waited = self.since.elapsed();
        (waited >= self.next).then(|| {
            self.next = waited + INTERVAL;
            waited.as_secs()
        })
    }
}

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Ends waits for locks, with an error of the kind `Interrupted`, once this flag is set; only the first flag counts.
pub fn stop_waiting_on(flag: Arc<AtomicBool>) {
    // If a process calls this twice, signals set the first flag.
    let _ = STOP.set(flag);
}

fn is_asked_to_stop() -> bool {
    STOP.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for_and_belongs_to_the_file_that_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        let (one, two) = (open(), open());
        lock(&one, Hold::Alone, "a test", &path).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| lock(&two, Hold::Shared, "a test", &path));
            std::thread::sleep(TICK);
            assert!(!waiting.is_finished());
            one.unlock().unwrap();
            waiting.join().unwrap().unwrap();
        });
        assert!(matches!(one.try_lock(), Err(TryLockError::WouldBlock)), "the other one has it");
        drop(two);
        lock(&one, Hold::Alone, "a test", &path).unwrap();
    }

    #[test]
    fn a_word_is_due_after_two_seconds_and_then_each_minute() {
        let ago =
            |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).expect("the machine is up for longer");
        let mut patience = Patience { since: ago(1), next: SILENCE };
        assert_eq!(patience.is_over(), None);
        patience.since = ago(3);
        assert_eq!(patience.is_over(), Some(3));
        assert_eq!(patience.is_over(), None);
        patience.next = Duration::from_secs(3);
        assert_eq!(patience.is_over(), Some(3));
    }
}
