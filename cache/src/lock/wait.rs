//! Waiting for kernel locks, but not in silence: who waits for long says for what, for whom and since when.
//!
//! The kernel's queue is waited in by a thread of its own, so that the one who asked can speak meanwhile, and give up when people ask
//! it to stop. A lock that is free costs no more than one that is not waited for.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::lock::holder;

/// How long a wait is not worth a word.
const SILENCE: Duration = Duration::from_secs(2);
/// How long after one word there is none.
const INTERVAL: Duration = Duration::from_secs(60);
/// How often who waits looks whether it is to stop.
const TICK: Duration = Duration::from_millis(100);

/// Whether others may hold a lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// With all who share it.
    Shared,
    /// Alone.
    Alone,
}

impl Hold {
    fn try_lock(self, file: &File) -> Result<(), TryLockError> {
        match self {
            Self::Shared => file.try_lock_shared(),
            Self::Alone => file.try_lock(),
        }
    }

    fn lock(self, file: &File) -> io::Result<()> {
        match self {
            Self::Shared => file.lock_shared(),
            Self::Alone => file.lock(),
        }
    }
}

/// Locks a file that is open, and waits for whoever has it.
///
/// - `what`: for what, such as `the end of a garbage collection`
pub(crate) fn lock(file: &File, hold: Hold, what: &str, path: &Path) -> Result<(), StoreError> {
    match hold.try_lock(file) {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let receiver = wait_apart(file, hold).map_err(StoreError::io("lock", path))?;
            listen(&receiver, what, path).map_err(StoreError::io("lock", path))
        }
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path)(error)),
    }
}

/// Locks a file for this process alone as long as it is open, and waits for whoever has it; see [`stop_waiting_on`].
///
/// - `what`: for what it waits, such as `its turn to publish`
pub fn lock_alone(file: &File, what: &str, path: &Path) -> Result<(), StoreError> {
    lock(file, Hold::Alone, what, path)
}

/// Waits in another thread, which shares the open file, and so the lock.
fn wait_apart(file: &File, hold: Hold) -> io::Result<Receiver<io::Result<()>>> {
    let file = file.try_clone()?;
    let (sender, receiver) = channel();
    std::thread::Builder::new().name("waits for a lock".to_owned()).spawn(move || {
        let locked = loop {
            match hold.lock(&file) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                locked => break locked,
            }
        };
        // Who gave up listens no more; then the process is about to end.
        let _ = sender.send(locked);
    })?;
    Ok(receiver)
}

fn listen(receiver: &Receiver<io::Result<()>>, what: &str, path: &Path) -> io::Result<()> {
    let mut patience = Patience::default();
    let asked_before = is_asked_to_stop();
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(locked) => return locked,
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the thread that waits is gone")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Somebody who asks twice ends the process, so only the first time is looked for.
        if !asked_before && is_asked_to_stop() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if let Some(seconds) = patience.is_over() {
            tracing::warn!("waiting for {seconds} s for {what}: {} has {}", holder::of_file(path), path.display());
        }
    }
}

/// Says when a wait is worth a word: after two seconds, and from then on once a minute.
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
    /// How many seconds the wait takes by now, if that is worth a word.
    pub fn is_over(&mut self) -> Option<u64> {
        let waited = self.since.elapsed();
        (waited >= self.next).then(|| {
            self.next = waited + INTERVAL;
            waited.as_secs()
        })
    }
}

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Ends waits for locks, with an error of the kind `Interrupted`, when this flag is set meanwhile; the first flag counts.
pub fn stop_waiting_on(flag: Arc<AtomicBool>) {
    // Of a process that calls this twice, the first flag is the one that signals set.
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
