//! Failpoints: every change to the disk asks here first, and tests can stop it there.
//!
//! In the released program all of this is empty. In the unit tests of this crate, one thread stops after its nth change
//! (`after`), or lists the paths that it synced (`synced`). The programs in `tests/crash/` are built from a second copy
//! of this crate, whose build script sets `cfg(failpoints)`; there, environment variables choose the change at which a
//! whole process is killed or finds the disk full. A cargo feature would not do, nor does the crate `fail`, which needs
//! one: features are unified over a workspace, so a build of all of it would put failpoints into the program.

use std::io;
use std::path::Path;

/// An imminent change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A file gets its name, or is opened for writing.
    Create,
    /// A folder is made.
    Folder,
    /// Bytes are written.
    Write,
    /// Written bytes or names become durable.
    Sync,
    /// A file gets another name.
    Rename,
    /// A file becomes shorter.
    Cut,
    /// Permissions or times of a file change.
    Mark,
    /// A file or folder is removed.
    Remove,
    /// No change on the disk; a promise about it changes.
    Between,
}

/// Marks a point where nothing changes on the disk, but a promise about it does.
#[inline]
pub fn between(promise: &str) {
    // Only a kill can happen here.
    let _ = step(Change::Between, Path::new(promise));
}

/// Passes, or fails like a disk.
#[inline]
pub(crate) fn step(change: Change, path: &Path) -> io::Result<()> {
    imp::stop_at(change, path).map_or(Ok(()), |stop| stop.end())
}

/// Writes all bytes by `write`, or some of them.
#[inline]
pub(crate) fn write(bytes: &[u8], path: &Path, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    match imp::stop_at(Change::Write, path) {
        None => write(bytes),
        Some(stop) => {
            write(&bytes[..bytes.len() * stop.percent() / 100])?;
            stop.end()
        }
    }
}

#[cfg(test)]
pub(crate) use imp::{after, off, synced};

/// No failpoints.
#[cfg(not(any(test, failpoints)))]
mod imp {
    use super::{Change, Path, io};

    /// A stop that never happens.
    pub(super) enum Stop {}

    #[inline]
    pub(super) fn stop_at(_change: Change, _path: &Path) -> Option<Stop> {
        None
    }

    impl Stop {
        pub(super) fn percent(&self) -> usize {
            match *self {}
        }

        pub(super) fn end(self) -> io::Result<()> {
            match self {}
        }
    }
}

/// Stops a store after its nth change, like a crash or a full disk.
#[cfg(test)]
mod imp {
    use std::cell::{Cell, RefCell};
    use std::path::PathBuf;

    use super::{Change, Path, io};

    thread_local! {
        static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
        static HALF: Cell<bool> = const { Cell::new(true) };
    }

    /// Lets this thread change the disk `steps` times more; later changes fail, the first of them half done.
    pub(crate) fn after(steps: u64) {
        LEFT.set(Some(steps));
        HALF.set(true);
    }

    /// Lets every change pass again; returns the number of steps left, `None` if no limit was set.
    pub(crate) fn off() -> Option<u64> {
        LEFT.replace(None)
    }

    /// Returns the paths synced by this thread since the last call, in order.
    pub(crate) fn synced() -> Vec<PathBuf> {
        SYNCED.take()
    }

    pub(super) struct Stop;

    pub(super) fn stop_at(change: Change, path: &Path) -> Option<Stop> {
        if change == Change::Sync {
            SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
        }
        match LEFT.get() {
            Some(0) => Some(Stop),
            left => {
                LEFT.set(left.map(|left| left - 1));
                None
            }
        }
    }

    impl Stop {
        /// The first failing write leaves half its bytes; later ones, of a dead store, leave none.
        pub(super) fn percent(&self) -> usize {
            if HALF.replace(false) { 50 } else { 0 }
        }

        pub(super) fn end(self) -> io::Result<()> {
            Err(io::Error::new(io::ErrorKind::StorageFull, "stopped by the test"))
        }
    }
}

/// Kills this process at its nth change, or lets it find the disk full from there on; the environment chooses.
///
/// `FAILPOINT` holds for all processes but workers, `FAILPOINT_WORKER` for workers: `kill=N` or `kill=N:PERCENT` (of
/// the bytes, if the change is a write), `full=N`, or `ask`, which writes `step CHANGE PATH` to standard output before
/// each change and waits for a line. With `FAILPOINT_TRACE=FILE` each change appends a line to the file.
#[cfg(all(failpoints, not(test)))]
mod imp {
    use std::fs::File;
    use std::io::Write;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};

    use nix::sys::signal::{Signal, raise};

    use super::{Change, Path, io};

    #[derive(Debug)]
    enum Mode {
        Pass,
        Kill { at: u64, percent: usize },
        Full { from: u64 },
        Ask,
    }

    #[derive(Debug)]
    struct Fault {
        mode: Mode,
        trace: Option<File>,
        worker: bool,
    }

    /// The end of this process, or of the room on its disk, after a part of a change.
    pub(super) struct Stop {
        kills: bool,
        percent: usize,
    }

    static FAULT: OnceLock<Fault> = OnceLock::new();
    static STEPS: AtomicU64 = AtomicU64::new(0);
    /// One thread asks at a time.
    static ASKING: Mutex<()> = Mutex::new(());

    impl Fault {
        fn from_env() -> Self {
            let worker = std::env::args().nth(1).is_some_and(|argument| argument == "worker");
            let text = std::env::var(if worker { "FAILPOINT_WORKER" } else { "FAILPOINT" }).unwrap_or_default();
            let number = |text: &str| text.parse().expect("a failpoint has a number");
            let mode = match text.split_once('=') {
                Some(("full", from)) => Mode::Full { from: number(from) },
                Some(("kill", at)) => {
                    let (at, percent) = at.split_once(':').unwrap_or((at, "50"));
                    Mode::Kill { at: number(at), percent: number(percent) as usize }
                }
                _ if text == "ask" => Mode::Ask,
                _ => Mode::Pass,
            };
            let trace = std::env::var_os("FAILPOINT_TRACE");
            let trace = trace.and_then(|path| File::options().append(true).create(true).open(path).ok());
            Self { mode, trace, worker }
        }
    }

    pub(super) fn stop_at(change: Change, path: &Path) -> Option<Stop> {
        let fault = FAULT.get_or_init(Fault::from_env);
        let number = STEPS.fetch_add(1, Ordering::SeqCst);
        if let Some(mut trace) = fault.trace.as_ref() {
            let who = if fault.worker { "worker" } else { "engine" };
            let line = format!("{who} {change:?} {}\n", path.display());
            trace.write_all(line.as_bytes()).expect("the trace can be written");
        }
        let grows = matches!(change, Change::Create | Change::Folder | Change::Write);
        match fault.mode {
            Mode::Kill { at, percent } if number == at => Some(Stop { kills: true, percent }),
            Mode::Full { from } if number >= from && grows => {
                Some(Stop { kills: false, percent: if number == from { 50 } else { 0 } })
            }
            Mode::Ask => {
                let _one = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
                // Once nobody answers any more, every change passes.
                let line = format!("step {change:?} {}\n", path.display());
                if io::stdout().write_all(line.as_bytes()).is_ok() {
                    let _ = io::stdin().read_line(&mut String::new());
                }
                None
            }
            _ => None,
        }
    }

    impl Stop {
        pub(super) fn percent(&self) -> usize {
            self.percent
        }

        pub(super) fn end(self) -> io::Result<()> {
            if self.kills {
                raise(Signal::SIGKILL).expect("a process can kill itself");
            }
            Err(io::ErrorKind::StorageFull.into())
        }
    }
}
