//! Failpoints: every change to the disk asks here first, so that tests can stop it there.
//!
//! In the released program all of this is empty. In the unit tests of this crate, one thread stops after its nth change
//! (`after`), or lists the paths that it synced (`synced`). The programs in `tests/crash/` are built from a second copy
//! of this crate, whose build script sets `cfg(failpoints)`; there, environment variables choose the change at which a
//! whole process is killed or finds the disk full. A cargo feature would not do, nor does the crate `fail`, which needs
//! one: features are unified over a workspace, so a build of all of it would put failpoints into the program.

use std::io;
use std::path::Path;

/// A change that is about to happen.
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
    imp::step(change, path)
}

/// Writes all bytes by `write`, or some of them.
#[inline]
pub(crate) fn write(bytes: &[u8], path: &Path, write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    imp::write(Change::Write, bytes, path, write)
}

#[cfg(test)]
pub(crate) use imp::{after, off, synced};

/// No failpoints.
#[cfg(not(any(test, failpoints)))]
mod imp {
    use super::{Change, Path, io};

    #[inline]
    pub(super) fn step(_change: Change, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    pub(super) fn write(
        _change: Change,
        bytes: &[u8],
        _path: &Path,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        write(bytes)
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

    /// Lets every change pass again; returns the steps that were left, `None` if no limit was set.
    pub(crate) fn off() -> Option<u64> {
        LEFT.replace(None)
    }

    /// Returns the paths that this thread has synced since it last asked, in order.
    pub(crate) fn synced() -> Vec<PathBuf> {
        SYNCED.take()
    }

    pub(super) fn step(change: Change, path: &Path) -> io::Result<()> {
        if change == Change::Sync {
            SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
        }
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::new(io::ErrorKind::StorageFull, "stopped by the test")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }

    pub(super) fn write(
        change: Change,
        bytes: &[u8],
        path: &Path,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let stopping = LEFT.get() == Some(0);
        match step(change, path) {
            Ok(()) => write(bytes),
            // The first failing write leaves half its bytes; later ones, of a dead store, leave none.
            Err(error) if stopping && HALF.replace(false) => write(&bytes[..bytes.len() / 2]).and(Err(error)),
            Err(error) => Err(error),
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

        /// Returns `None` to let a change pass, else the percentage that is done before the process dies or fails.
        fn check(&self, change: Change, path: &Path) -> Option<usize> {
            let number = STEPS.fetch_add(1, Ordering::SeqCst);
            if let Some(mut trace) = self.trace.as_ref() {
                let who = if self.worker { "worker" } else { "engine" };
                let line = format!("{who} {change:?} {}\n", path.display());
                trace.write_all(line.as_bytes()).expect("the trace can be written");
            }
            let grows = matches!(change, Change::Create | Change::Folder | Change::Write);
            match self.mode {
                Mode::Kill { at, percent } if number == at => Some(percent),
                Mode::Full { from } if number >= from && grows => Some(if number == from { 50 } else { 0 }),
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

        fn stop(&self) -> io::Result<()> {
            if let Mode::Kill { .. } = self.mode {
                raise(Signal::SIGKILL).expect("a process can kill itself");
            }
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    fn fault() -> &'static Fault {
        FAULT.get_or_init(Fault::from_env)
    }

    pub(super) fn step(change: Change, path: &Path) -> io::Result<()> {
        if fault().check(change, path).is_some() { fault().stop() } else { Ok(()) }
    }

    pub(super) fn write(
        change: Change,
        bytes: &[u8],
        path: &Path,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match fault().check(change, path) {
            None => write(bytes),
            Some(percent) => {
                write(&bytes[..bytes.len() * percent / 100])?;
                fault().stop()
            }
        }
    }
}
