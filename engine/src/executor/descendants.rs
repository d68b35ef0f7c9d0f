//! Descendants of a process, from `/proc`; systems without it show none.

use std::time::Duration;
use std::{fs, io, thread};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// The number of searches for descendants, as a process may start others while it is killed, and the pause between
/// them.
const SEARCHES: usize = 50;
const PAUSE: Duration = Duration::from_millis(1);

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: Pid,
    /// Its program, with arguments if they are readable.
    pub command: String,
    parent: Pid,
}

/// Returns the running children of a process, including those that it inherited as their reaper.
pub fn children(parent: Pid) -> Vec<Process> {
    let of_parent = |process: Process| {
        let command = arguments(process.pid).unwrap_or(process.command);
        Process { command, ..process }
    };
    running().into_iter().filter(|process| process.parent == parent).map(of_parent).collect()
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
    let running = running();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(running.iter().filter(|process| process.parent == parent).map(|process| process.pid));
        next += 1;
    }
    found.split_off(1)
}

/// Returns all processes except zombies.
fn running() -> Vec<Process> {
    let of_entry = |entry: io::Result<fs::DirEntry>| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let (state, parent, command) = status(&String::from_utf8_lossy(&stat))?;
        (state != 'Z').then(|| Process { pid: Pid::from_raw(pid), command, parent: Pid::from_raw(parent) })
    };
    fs::read_dir("/proc").into_iter().flatten().filter_map(of_entry).collect()
}

/// Parses state, parent and name of a process from `/proc/PID/stat`; the name stands in brackets and may contain any.
fn status(stat: &str) -> Option<(char, i32, String)> {
    let (before, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?, before.split_once('(')?.1.to_owned()))
}

fn arguments(pid: Pid) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let line = words.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_parent_are_found_behind_any_name() {
        assert_eq!(status("12 (a) S 3 (b)) R 7 12 12 0"), Some(('R', 7, "a) S 3 (b)".to_owned())));
        assert_eq!(status("12 (sleep) Z 1 12"), Some(('Z', 1, "sleep".to_owned())));
        assert_eq!(status("12 (sleep"), None);
    }
}
