//! Descendants of a process, from `/proc`; systems without it show none.

use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
pub use orchestrate_cache::Process;

/// The number of searches for descendants, as a process may start others while it is killed, and the pause between
/// them.
const SEARCHES: usize = 50;
const PAUSE: Duration = Duration::from_millis(1);

/// Returns the running children of a process, including those that it inherited as their reaper.
pub fn children(parent: Pid) -> Vec<Process> {
    Process::running().into_iter().filter(|process| process.parent == parent).collect()
}

/// Kills a worker that has not been waited for, with its group and with descendants that left the group.
///
/// The descendants are killed first: nobody knows the parent of an orphan once the worker is dead.
pub(super) fn kill_with_descendants(worker: Pid) {
    // There is no such group any more if all its processes have ended.
    let _ = killpg(worker, Signal::SIGSTOP);
    kill_descendants(worker);
    let _ = killpg(worker, Signal::SIGKILL);
}

/// Kills the descendants of a process, in any session.
pub(super) fn kill_descendants(of: Pid) {
    for _ in 0..SEARCHES {
        let descendants = descendants(of);
        if descendants.is_empty() {
            break;
        }
        for pid in descendants {
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(PAUSE);
    }
}

fn descendants(of: Pid) -> Vec<Pid> {
    let running = Process::running();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(running.iter().filter(|process| process.parent == parent).map(|process| process.pid));
        next += 1;
    }
    found.split_off(1)
}
