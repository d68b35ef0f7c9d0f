//! Processes of this host, read from `/proc`; on systems without it, no process is seen.

use std::fs;

use nix::unistd::Pid;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: Pid,
    /// The number of its parent.
    pub parent: Pid,
    /// Its state as the kernel abbreviates it: `T` if it is stopped, `Z` if it has ended and was not waited for.
    pub state: char,
    /// The name of its program.
    pub name: String,
    /// When it began, in ticks of the kernel since the host did.
    pub(crate) started_ticks: Option<u64>,
}

impl Process {
    /// Reads a process; `None` if there is none of that number.
    pub fn read(pid: Pid) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&stat))
    }

    /// Lists all processes except zombies.
    pub fn running() -> Vec<Self> {
        pids().filter_map(Self::read).filter(|process| process.state != 'Z').collect()
    }

    /// Returns program and arguments on one line, the name alone if they cannot be read.
    pub fn command(&self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let words = String::from_utf8_lossy(&bytes).replace('\0', " ");
        let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() { self.name.clone() } else { line }
    }

    /// Parses `/proc/PID/stat`; the name stands in parentheses and may hold any.
    fn parse(pid: Pid, stat: &str) -> Option<Self> {
        let (before, after) = stat.rsplit_once(')')?;
        let name = before.split_once('(')?.1.to_owned();
        let mut fields = after.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = Pid::from_raw(fields.next()?.parse().ok()?);
        Some(Self { pid, parent, state, name, started_ticks: fields.nth(17).and_then(|ticks| ticks.parse().ok()) })
    }
}

/// Lists the numbers of all processes.
pub(crate) fn pids() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_parent_are_found_behind_any_name() {
        let parse = |stat| {
            let process = Process::parse(Pid::from_raw(12), stat)?;
            Some((process.state, process.parent.as_raw(), process.name, process.started_ticks))
        };
        assert_eq!(parse("12 (a) S 3 (b)) R 7 12 12 0"), Some(('R', 7, "a) S 3 (b)".to_owned(), None)));
        let stat = "12 (sleep) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse(stat), Some(('Z', 1, "sleep".to_owned(), Some(4711))));
        assert_eq!(parse("12 (sleep"), None);
    }
}
