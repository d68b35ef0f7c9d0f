//! Names of lock holders, for people who wait.
//!
//! Holders write nothing down, because the question is rare: on Linux the kernel answers it in `/proc/locks` and
//! `/proc/PID/fdinfo`. Processes of another host, container or user may stay unknown.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::Pid;

use crate::files::host;
use crate::files::process::{Process, pids};

/// Text for an unknown holder.
pub(crate) const UNKNOWN: &str = "a process of another host, or one that cannot be seen from here";
/// Ticks of the kernel's process times in a second, the same on all processors in use.
const TICKS: u64 = 100;

/// Names the holder of a lock on a whole file.
pub fn of_file(path: &Path) -> String {
    name(&pids_with_file(path)).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// Names the holder of a lock on a whole file, apart from this process.
pub(crate) fn of_file_beside_us(path: &Path) -> String {
    let mut pids = pids_with_file(path);
    pids.retain(|pid| *pid != Pid::this());
    name(&pids).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// Names the holder of a lock on one byte of a file; `None` if it cannot be found.
pub(crate) fn of_byte(path: &Path, offset: u64) -> Option<String> {
    name(&pids_with_byte(path, offset))
}

fn name(pids: &[Pid]) -> Option<String> {
    let (first, others) = pids.split_first()?;
    let more = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
    Some(describe(*first) + &more)
}

/// Shortens a text of another process to one line of a terminal.
pub(crate) fn plain(text: &str) -> String {
    const SHOWN: usize = 80;
    let plain: String = text.chars().take(SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().count() > SHOWN { plain + "…" } else { plain }
}

fn pids_with_file(path: &Path) -> Vec<Pid> {
    let (Ok(file), Ok(locks)) = (fs::metadata(path), fs::read_to_string("/proc/locks")) else { return Vec::new() };
    let device = device_of(&file);
    let all = locks.lines().filter_map(Lock::parse);
    let locks: Vec<_> = all.filter(|lock| lock.kind == "FLOCK" && lock.inode == file.ino()).collect();
    // Some filesystems give their files another device than the kernel's list does; then the number has to do.
    let on_device: Vec<_> = locks.iter().filter(|lock| lock.device == device).collect();
    let pids = if on_device.is_empty() { locks.iter().collect() } else { on_device };
    let mut pids: Vec<Pid> = pids.into_iter().filter_map(|lock| lock.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Finds holders among the processes with the file open: such locks belong to open files, not to processes.
fn pids_with_byte(path: &Path, offset: u64) -> Vec<Pid> {
    let Ok(file) = fs::metadata(path) else { return Vec::new() };
    let is_wanted = |line: &str| {
        let lock = line.strip_prefix("lock:").and_then(Lock::parse);
        lock.is_some_and(|lock| lock.kind == "OFDLCK" && lock.inode == file.ino() && lock.start == Some(offset))
    };
    pids()
        .filter(|pid| {
            let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
            let mut locks = files.filter_map(|file| fs::read_to_string(file.path()).ok());
            locks.any(|text| text.lines().any(is_wanted))
        })
        .collect()
}

#[cfg(target_os = "linux")]
fn device_of(file: &Metadata) -> String {
    use nix::sys::stat::{major, minor};
    format!("{:02x}:{:02x}", major(file.dev()), minor(file.dev()))
}

/// Other systems have no `/proc/locks`.
#[cfg(not(target_os = "linux"))]
fn device_of(_file: &Metadata) -> String {
    String::new()
}

/// A line such as `1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF`.
struct Lock<'a> {
    kind: &'a str,
    pid: Option<Pid>,
    device: &'a str,
    inode: u64,
    start: Option<u64>,
}

impl<'a> Lock<'a> {
    /// Parses a line; `None` for a waiting process, with an arrow before the kind.
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let kind = words.nth(1).filter(|kind| *kind != "->")?;
        let pid = words.nth(2)?.parse().ok().filter(|pid| *pid > 0).map(Pid::from_raw);
        let (device, inode) = words.next()?.rsplit_once(':')?;
        Some(Self { kind, pid, device, inode: inode.parse().ok()?, start: words.next()?.parse().ok() })
    }
}

fn describe(pid: Pid) -> String {
    if pid == Pid::this() {
        return "this process itself".to_owned();
    }
    let mut facts = Vec::new();
    let process = Process::read(pid);
    if let Some(process) = &process {
        facts.push(format!("`{}`", plain(&process.command())));
    }
    let user = |process: &str| fs::metadata(format!("/proc/{process}")).ok().map(|process| process.uid());
    if let Some(other) = user(&pid.to_string()).filter(|other| user("self") != Some(*other)) {
        facts.push(format!("of user {other}"));
    }
    if process.as_ref().is_some_and(|process| matches!(process.state, 'T' | 't')) {
        facts.push("stopped, as by Ctrl-Z".to_owned());
    }
    if let Some(seconds) = process.as_ref().and_then(age) {
        facts.push(format!("started {seconds} s ago"));
    }
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    format!("process {pid} on {}{facts}", plain(&host::name()))
}

/// Returns how many seconds ago a process began.
fn age(process: &Process) -> Option<u64> {
    let uptime: u64 = fs::read_to_string("/proc/uptime").ok()?.split('.').next()?.parse().ok()?;
    Some(uptime.saturating_sub(process.started_ticks? / TICKS))
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
        assert!(
            told.starts_with(&format!("process {} on {} (`sh -c kill -STOP $$;", holder.id(), host::name())),
            "{told}"
        );
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
