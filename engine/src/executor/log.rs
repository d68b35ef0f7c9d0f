//! The log of a node, which receives the standard error of its worker.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use orchestrate_cache::disk;

/// The bytes of a log that are read after a failure; a backtrace of a parallel loop takes some twenty kilobytes.
const TAIL_BYTES: u64 = 1 << 16;
/// The lines of it that the failure repeats.
const TAIL_LINES: usize = 10;

/// An open log.
pub(super) struct Log {
    file: File,
    path: PathBuf,
    /// The offset at which this attempt begins.
    start: u64,
}

impl Log {
    /// Opens the log of the node to append; or a file in the scratch folder, if there is no log or it cannot be
    /// written. Only this user may read a private one, even in a shared store.
    pub(super) fn open(path: Option<&Path>, scratch_dir: &Path, is_private: bool) -> io::Result<Self> {
        let append = |path: &Path| -> io::Result<Self> {
            if let Some(dir) = path.parent() {
                disk::create_dir(dir).map_err(io::Error::other)?;
            }
            let open = if is_private { disk::open_private_to_append } else { disk::open_to_append };
            let mut file = open(path).map_err(io::Error::other)?;
            let start = file.seek(SeekFrom::End(0))?;
            Ok(Self { file, path: path.to_owned(), start })
        };
        path.and_then(|path| append(path).ok()).map_or_else(|| append(&scratch_dir.join("stderr")), Ok)
    }

    /// Returns the same log for another writer; both append.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, path: self.path.clone(), start: self.start })
    }

    /// Returns the log as the standard error of a process.
    pub(super) fn to_stdio(&self) -> io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }

    /// Appends a line.
    pub(super) fn add(&mut self, line: &[u8]) {
        let line = [line.trim_ascii_end(), b"\n"].concat();
        // The log is for people; a full disk is reported elsewhere.
        let _ = self.file.write_all(&line);
    }

    /// Returns the last bytes of this attempt.
    pub(super) fn tail(&self) -> String {
        tail_of(&self.path, self.start, TAIL_BYTES)
    }
}

/// Returns the last bytes of a file from an offset on, as far as it can be read.
pub(crate) fn tail_of(path: &Path, start: u64, bytes_max: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(bytes_max))))?;
        let mut bytes = Vec::new();
        file.take(bytes_max).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Returns the last lines, before a backtrace if there is one: the message stands there.
pub(super) fn last_lines(tail: &str) -> String {
    let message = tail.split_once("\nstack backtrace:").map_or(tail, |(message, _)| message);
    let lines: Vec<_> = message.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn last_lines_hold_the_message_and_not_the_backtrace() {
        let lines: Vec<_> = (1..=20).map(|line| format!("line {line}")).collect();
        let tail = format!("{}\nstack backtrace:\n   0: main\n", lines.join("\n"));
        assert_eq!(last_lines(&tail), lines[10..].join("\n"));
        assert_eq!(last_lines(""), "");
    }

    #[test]
    fn tail_is_that_of_this_attempt() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("node.log");
        fs::write(&path, "an earlier attempt\n").expect("the folder is writable");
        let mut log = Log::open(Some(&path), dir.path(), false).expect("the folder is writable");
        log.add(b"this attempt\r\n");
        assert_eq!(log.tail(), "this attempt\n");
        assert_eq!(fs::read_to_string(&path).expect("it was written"), "an earlier attempt\nthis attempt\n");
    }
}
