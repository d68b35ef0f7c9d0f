//! Names of the processes that hold a lock, for people who wait for it.
//!
//! Holders write nothing down, so that nobody pays for what is seldom asked: on Linux the kernel tells in `/proc/locks` and
//! `/proc/PID/fdinfo`. What it does not tell, of another host or container or of another user's process, stays unknown.

use std::path::Path;

/// The text where the holder cannot be told.
pub(crate) const UNKNOWN: &str = "a process of another host, or one that cannot be seen from here";

/// Names the holder of a lock on a whole file.
pub fn of_file(path: &Path) -> String {
    name(kernel::pids_with_file(path))
}

/// Names the holder of a lock on one byte of the file; `None` if that cannot be told.
pub(crate) fn of_byte(path: &Path, offset: u64) -> Option<String> {
    let pids = kernel::pids_with_byte(path, offset);
    if pids.is_empty() { None } else { Some(name(pids)) }
}

fn name(pids: Vec<u32>) -> String {
    let mut pids = pids.into_iter();
    let Some(first) = pids.next() else { return UNKNOWN.to_owned() };
    match pids.count() {
        0 => kernel::describe(first),
        more => format!("{} (and {more} more)", kernel::describe(first)),
    }
}

/// The name of this host.
pub(crate) fn host() -> String {
    nix::unistd::gethostname().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into())
}

/// Text of another process on one line of a terminal, and not too much of it.
pub(crate) fn plain(text: &str) -> String {
    const SHOWN: usize = 80;
    let plain: String = text.chars().take(SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().count() > SHOWN { plain + "…" } else { plain }
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::fs::{self, Metadata};
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use nix::sys::stat::{major, minor};

    use super::{host, plain};

    /// Ticks of the kernel's process times in a second, the same on all processors in use.
    const TICKS: u64 = 100;

    pub(super) fn pids_with_file(path: &Path) -> Vec<u32> {
        let (Ok(file), Ok(locks)) = (fs::metadata(path), fs::read_to_string("/proc/locks")) else { return Vec::new() };
        let device = device_of(&file);
        let all = locks.lines().filter_map(Lock::parse);
        let locks: Vec<_> = all.filter(|lock| lock.kind == "FLOCK" && lock.inode == file.ino()).collect();
        // Some filesystems give their files another device than the kernel's list does; then the number has to do.
        let on_device: Vec<_> = locks.iter().filter(|lock| lock.device == device).collect();
        let pids = if on_device.is_empty() { locks.iter().collect() } else { on_device };
        let mut pids: Vec<u32> = pids.into_iter().filter_map(|lock| lock.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Such locks belong to open files and not to processes, so that only those tell who have one open.
    pub(super) fn pids_with_byte(path: &Path, offset: u64) -> Vec<u32> {
        let Ok(file) = fs::metadata(path) else { return Vec::new() };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| {
            let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
            let mut locks = files.filter_map(|file| fs::read_to_string(file.path()).ok());
            locks.any(|text| {
                text.lines()
                    .filter_map(|line| Lock::parse(line.strip_prefix("lock:")?))
                    .any(|lock| lock.kind == "OFDLCK" && lock.inode == file.ino() && lock.start == Some(offset))
            })
        })
        .collect()
    }

    fn device_of(file: &Metadata) -> String {
        format!("{:02x}:{:02x}", major(file.dev()), minor(file.dev()))
    }

    /// A line such as `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`.
    struct Lock<'a> {
        kind: &'a str,
        pid: Option<u32>,
        device: &'a str,
        inode: u64,
        start: Option<u64>,
    }

    impl<'a> Lock<'a> {
        /// `None` for those that wait, which have an arrow before their kind.
        fn parse(line: &'a str) -> Option<Self> {
            let mut words = line.split_whitespace();
            let kind = words.nth(1).filter(|kind| *kind != "->")?;
            let pid = words.nth(2)?.parse().ok().filter(|pid| *pid > 0);
            let (device, inode) = words.next()?.rsplit_once(':')?;
            Some(Self { kind, pid, device, inode: inode.parse().ok()?, start: words.next()?.parse().ok() })
        }
    }

    pub(super) fn describe(pid: u32) -> String {
        if pid == std::process::id() {
            return "this process itself".to_owned();
        }
        let mut facts = Vec::new();
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).trim_end_matches('\0').replace('\0', " ");
        if !words.is_empty() {
            facts.push(format!("`{}`", plain(&words)));
        }
        let user = |process: &str| fs::metadata(format!("/proc/{process}")).ok().map(|process| process.uid());
        if let Some(other) = user(&pid.to_string()).filter(|other| user("self") != Some(*other)) {
            facts.push(format!("of user {other}"));
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let (state, seconds) = state_and_age(&stat).unwrap_or_default();
        if matches!(state, "T" | "t") {
            facts.push("stopped, as by Ctrl-Z".to_owned());
        }
        if let Some(seconds) = seconds {
            facts.push(format!("started {seconds} s ago"));
        }
        let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
        format!("process {pid} on {}{facts}", plain(&host()))
    }

    /// The letter of a process's state, and how many seconds ago it began.
    fn state_and_age(stat: &str) -> Option<(&str, Option<u64>)> {
        // The name of the program stands in parentheses, and may hold anything.
        let words: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let uptime = fs::read_to_string("/proc/uptime").ok();
        let uptime: Option<u64> = uptime.and_then(|text| text.split('.').next()?.parse().ok());
        let started = words.get(19).and_then(|ticks| ticks.parse::<u64>().ok()).map(|ticks| ticks / TICKS);
        Some((words.first()?, uptime.zip(started).map(|(uptime, started)| uptime.saturating_sub(started))))
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::path::Path;

    pub(super) fn pids_with_file(_path: &Path) -> Vec<u32> {
        Vec::new()
    }

    pub(super) fn pids_with_byte(_path: &Path, _offset: u64) -> Vec<u32> {
        Vec::new()
    }

    pub(super) fn describe(pid: u32) -> String {
        format!("process {pid} on {}", super::plain(&super::host()))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;
    use std::process::Command;

    use super::*;

    #[test]
    fn who_has_a_lock_is_told_with_process_program_state_and_host() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = File::create(&path).unwrap();
        let words = ["--exclusive", "--no-fork", "lock", "sh", "-c", "kill -STOP $$; exec sleep 60"];
        let Ok(mut holder) = Command::new("flock").args(words).current_dir(dir.path()).spawn() else {
            return skip();
        };
        while !of_file(&path).contains("stopped") {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let told = of_file(&path);
        assert!(told.starts_with(&format!("process {} on {} (`sh -c kill -STOP $$;", holder.id(), host())), "{told}");
        assert!(told.contains("stopped, as by Ctrl-Z") && told.contains("s ago"), "{told}");
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(of_file(&path), UNKNOWN);
        file.lock().unwrap();
        assert_eq!(of_file(&path), "this process itself");
    }

    #[allow(clippy::print_stderr, reason = "a skipped test says why")]
    fn skip() {
        eprintln!("skipped: there is no program `flock`");
    }

    #[test]
    fn words_of_other_processes_are_one_short_line() {
        assert_eq!(plain("a\u{1b}[31m\nb"), "a?[31m?b");
        assert_eq!(plain(&"ü".repeat(100)).chars().count(), 81);
    }
}
