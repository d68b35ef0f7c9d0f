//! Results that wait for their upload, in memory and in a file `queue-HOST-PROCESS` of the remote's folder, a key each
//! line.
//!
//! The file is locked while its process lives. The next process of the host that uploads takes over those of processes
//! that were killed or stopped, so nothing has to be computed or asked for again to get there.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::files::disk;
use crate::lock::memory::lock;
use crate::lock::wait::{Hold, try_lock};
use crate::value::artifact::ActionKey;

/// Results that are uploaded together at once; fewer wait for others.
const BATCH: usize = 256;
/// The time for which they wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// Length of a line.
const LINE: usize = 65;
/// A longer file is no queue.
const BYTES_MAX: u64 = 1 << 30;
/// Prefix of the files.
const PREFIX: &str = "queue-";

/// The waiting results of this process.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Not yet taken for upload.
    waiting: Vec<ActionKey>,
    /// All that the server does not have yet.
    left: BTreeSet<ActionKey>,
    since: Option<Instant>,
    file: Option<(File, PathBuf)>,
    is_begun: bool,
    is_closed: bool,
    is_ended: bool,
}

impl Queue {
    /// Opens a file for this process, with what ended processes of the host have left.
    pub(crate) fn open(&self, dir: &Path, host: &str) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        let process = std::process::id();
        let (file, path) = (0..)
            .find_map(|number: u32| {
                let path = dir.join(format!("{PREFIX}{host}-{process:x}-{number:x}"));
                match disk::create_new(&path, 0o666) {
                    Err(error) if error.is(std::io::ErrorKind::AlreadyExists) => None,
                    created => Some(created.map(|file| (file, path))),
                }
            })
            .expect("a number for each attempt")?;
        try_lock(&file, Hold::Alone, &path)?;
        state.file = Some((file, path.clone()));
        state.is_begun = true;
        let ours = format!("{PREFIX}{host}-");
        for name in disk::list(dir)?.iter().filter(|name| name.starts_with(&ours)) {
            let other = dir.join(name);
            let Ok(file) = disk::open_to_write(&other) else { continue };
            if other == path || !try_lock(&file, Hold::Alone, &other).unwrap_or(false) || !disk::is_at(&file, &other) {
                continue;
            }
            let keys = keys(&other);
            state.add(&keys);
            disk::remove_file(&other)?;
        }
        Ok(())
    }

    /// Adds results.
    pub(crate) fn add(&self, keys: &[ActionKey]) {
        lock(&self.state).add(keys);
        self.changed.notify_all();
    }

    /// Waits for results that are due; `None` once the queue is closed and nothing waits.
    pub(crate) fn next(&self) -> Option<Vec<ActionKey>> {
        let mut state = lock(&self.state);
        loop {
            let is_due = state.waiting.len() >= BATCH || state.since.is_some_and(|since| since.elapsed() >= PATIENCE);
            if !state.waiting.is_empty() && (is_due || state.is_closed) {
                state.since = None;
                return Some(std::mem::take(&mut state.waiting));
            }
            if state.is_closed {
                return None;
            }
            let rest = state.since.map_or(PATIENCE, |since| PATIENCE.saturating_sub(since.elapsed()));
            let waited = self.changed.wait_timeout(state, rest.max(Duration::from_millis(10)));
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Takes note that results need no upload any more.
    pub(crate) fn done(&self, keys: &[ActionKey]) {
        let mut state = lock(&self.state);
        for key in keys {
            state.left.remove(key);
        }
    }

    /// Returns how many results are left.
    pub(crate) fn left(&self) -> usize {
        lock(&self.state).left.len()
    }

    /// Takes no more results.
    pub(crate) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.changed.notify_all();
    }

    /// Takes note that nothing is uploaded any more; keeps what is left for the next process, or forgets it.
    pub(crate) fn end(&self, keeps: bool) {
        let mut state = lock(&self.state);
        state.is_ended = true;
        if !keeps {
            state.left.clear();
        }
        if let Some((_lock, path)) = state.file.take() {
            let kept = match state.left.is_empty() {
                true => disk::remove_file(&path),
                false => {
                    let lines = text(state.left.iter());
                    disk::replace(&path, lines.as_bytes(), false)
                }
            };
            if let Err(error) = kept {
                tracing::debug!("{error}");
            }
        }
        self.changed.notify_all();
    }

    /// Waits a moment for the end; returns whether it came, or nothing began.
    pub(crate) fn has_ended(&self, patience: Duration) -> bool {
        let state = lock(&self.state);
        let is_busy = |state: &mut State| state.is_begun && !state.is_ended;
        let waited = self.changed.wait_timeout_while(state, patience, is_busy);
        !is_busy(&mut waited.unwrap_or_else(std::sync::PoisonError::into_inner).0)
    }
}

impl State {
    fn add(&mut self, keys: &[ActionKey]) {
        let new: Vec<_> = keys.iter().copied().filter(|key| self.left.insert(*key)).collect();
        if let Some((file, path)) = &mut self.file {
            // A lost line costs an upload, and nothing else.
            if let Err(error) = disk::append(file, text(new.iter()).as_bytes(), path) {
                tracing::debug!("{error}");
            }
        }
        if !new.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
        self.waiting.extend(new);
    }
}

fn text<'k>(keys: impl Iterator<Item = &'k ActionKey>) -> String {
    keys.map(|key| format!("{}\n", key.0)).collect()
}

/// Reads the keys in a file; torn and foreign lines are left out.
fn keys(path: &Path) -> Vec<ActionKey> {
    let bytes = disk::read(path, BYTES_MAX).unwrap_or_default();
    let keys = bytes.chunks_exact(LINE).filter_map(|line| str::from_utf8(&line[..LINE - 1]).ok()?.parse().ok());
    keys.map(ActionKey).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::digest::Digest;

    const HOST: &str = "5e0c1d2f3a4b";

    fn key(name: &str) -> ActionKey {
        ActionKey(Digest::of(name.as_bytes()))
    }

    fn opened(dir: &Path) -> Queue {
        let queue = Queue::default();
        queue.open(dir, HOST).unwrap();
        queue
    }

    #[test]
    fn what_a_dead_process_left_is_taken_over_once_and_that_of_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (dead, live) = (opened(dir.path()), opened(dir.path()));
        dead.add(&[key("a"), key("b")]);
        live.add(&[key("c")]);
        // As a kill leaves it, with a torn line.
        let (mut file, path) = lock(&dead.state).file.take().unwrap();
        disk::append(&mut file, b"0123", &path).unwrap();
        drop((dead, file));
        let next = opened(dir.path());
        assert_eq!(next.left(), 2);
        next.close();
        assert_eq!(next.next().unwrap(), [key("a"), key("b")]);
        assert_eq!(next.next(), None);
        next.done(&[key("b")]);
        next.end(true);
        drop(next);
        let last = opened(dir.path());
        assert_eq!(last.left(), 1);
        last.done(&[key("a")]);
        last.end(true);
        live.end(false);
        assert!(disk::list(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_few_results_wait_for_others_and_many_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let queue = opened(dir.path());
        let many: Vec<_> = (0..BATCH).map(|number| key(&number.to_string())).collect();
        queue.add(&many);
        assert_eq!(queue.next().unwrap().len(), BATCH);
        queue.add(&many);
        assert_eq!(queue.left(), BATCH, "each once");
        queue.close();
        assert_eq!(queue.next(), None);
    }
}
