//! Descendants of a process; on systems without `/proc`, none is seen.

use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
pub use orchestrate_cache::Process;

/// How often descendants are looked for, as they may start others while they are killed, and how long one takes to die.
const LOOKS: usize = 50;
const DIES_IN: Duration = Duration::from_millis(1);

/// The running processes that one has started, or got as their reaper.
pub fn children(parent: Pid) -> Vec<Process> {
    Process::running().into_iter().filter(|process| process.parent == parent).collect()
}

/// Kills a worker that has not been waited for, with its group and with all that left the group but descends from it.
///
/// Those go first: of orphans of a dead worker nobody knows whose they were.
pub(super) fn kill_with_descendants(worker: Pid) {
    // There is no such group any more where all have ended.
    let _ = killpg(worker, Signal::SIGSTOP);
    kill_descendants(worker);
    let _ = killpg(worker, Signal::SIGKILL);
}

/// Kills what descends from a process, in whatever session.
pub(super) fn kill_descendants(of: Pid) {
    for _ in 0..LOOKS {
        let descendants = descendants(of);
        if descendants.is_empty() {
            break;
        }
        for pid in descendants {
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(DIES_IN);
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
