//! Leftovers: processes that a program leaves running when it ends.
//!
//! A worker runs one program. On Linux it is the subreaper of its descendants: an orphan becomes its child, also after
//! a double fork or in a session of its own. So leftovers run as long as the worker has a child. Only children are
//! killed, again and again, as the kernel cannot give their process ids to others before the worker has waited for
//! them.

use std::io;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use orchestrate_engine::executor::descendants::{self, Process};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Time for killed processes to end; one in a system call can take long.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// Usual time for one generation of them to end.
const KILL_TICK: Duration = Duration::from_millis(2);
/// Most processes in a message, and most letters of each.
const NAMED: usize = 3;
const NAME_MAX: usize = 100;

/// The fate of a node whose program leaves processes running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Leftovers {
    /// They are ended, and the node fails.
    #[default]
    Fail,
    /// They are ended, and the result counts.
    End,
}

impl Leftovers {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The kind of children that this process has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Children {
    /// The program's alone: this process is a worker.
    Programs,
    /// Others' too, who wait for them themselves.
    Mixed,
}

impl Children {
    /// The children of a worker, the orphans of its program included.
    pub(super) fn of_worker() -> Self {
        #[cfg(target_os = "linux")]
        if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
            tracing::debug!("orphans of programs are not seen: {error}");
        }
        Self::Programs
    }

    /// The status of the program if it has ended; also reaps orphans that have.
    pub(super) fn try_wait(self, program: &mut Child) -> io::Result<Option<ExitStatus>> {
        let seen = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        if self == Self::Mixed {
            return program.try_wait();
        }
        loop {
            match waitid(Id::All, seen) {
                Ok(status) if status.pid().is_some_and(|pid| pid.as_raw() != program.id().cast_signed()) => {
                    let _ = waitpid(status.pid(), Some(WaitPidFlag::WNOHANG));
                }
                Err(Errno::EINTR) => {}
                // The program, nothing, or a process that a signal unknown to `nix` has ended.
                _ => return program.try_wait(),
            }
        }
    }

    /// Returns whether leftovers run, once the program has ended.
    pub(super) fn remain(self) -> bool {
        if self == Self::Mixed {
            return false;
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return true,
                Err(Errno::ECHILD) => return false,
                // A process was reaped, or a signal unknown to `nix` has ended it.
                _ => {}
            }
        }
    }

    /// Kills leftovers and waits until none is left; the error names those that cannot be ended.
    pub(super) fn end(self) -> Result<(), String> {
        let started = Instant::now();
        while self.remain() {
            let left = children();
            if started.elapsed() > KILL_LIMIT {
                return Err(list(&left));
            }
            for child in left {
                // Fails for a process of another user, until the limit above.
                let _ = kill(child.pid, Signal::SIGKILL);
            }
            thread::sleep(KILL_TICK);
        }
        Ok(())
    }

    /// Names leftovers: `sleep 100` (process 123).
    pub(super) fn name(self) -> String {
        list(&children())
    }
}

fn list(processes: &[Process]) -> String {
    let named = processes.iter().take(NAMED).map(|process| {
        let command = process.command();
        let cut: String = command.chars().take(NAME_MAX).collect();
        let more = if cut.len() < command.len() { "…" } else { "" };
        format!("`{cut}{more}` (process {})", process.pid)
    });
    let named: Vec<_> = named.collect();
    match processes.len() {
        0 => "a process without a name".to_owned(),
        1..=NAMED => named.join(" and "),
        all => format!("{} and {} more", named.join(", "), all - NAMED),
    }
}

/// The children of this process that still run.
fn children() -> Vec<Process> {
    descendants::children(Pid::this())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn three_are_named_and_the_rest_counted() {
        let children: Vec<_> =
            (0..5).map(|_| Command::new("sleep").arg("60").spawn().expect("there is a `sleep`")).collect();
        let processes = descendants::children(Pid::this());
        let mine: Vec<_> = children
            .iter()
            .filter_map(|child| {
                processes.iter().find(|process| process.pid.as_raw() == child.id().cast_signed()).cloned()
            })
            .collect();
        let name = |number: usize| format!("`sleep 60` (process {})", children[number].id());
        assert_eq!(list(&mine[..2]), format!("{} and {}", name(0), name(1)));
        assert_eq!(list(&mine), format!("{}, {}, {} and 2 more", name(0), name(1), name(2)));
        for mut child in children {
            child.kill().and_then(|()| child.wait()).expect("it runs");
        }
    }
}
