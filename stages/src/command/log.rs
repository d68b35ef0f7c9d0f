//! The log of a node: what its program prints, up to a limit, in a file that people may read meanwhile.
//!
//! The beginning is appended as it comes. Once the file is nearly full, only the latest lines are kept, in memory, and
//! every now and then written over the end of the file, after a line that says how much is left out. So a log never
//! outgrows its limit, and whatever ends the program, its first and last lines are there.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use orchestrate_engine::resources::display_size;

/// Bytes that are written at once while a program prints without a pause.
const BUFFER: usize = 64 << 10;
/// Most bytes of the latest lines.
const LATEST_MAX: u64 = 1 << 20;
/// Room for the line that says how much is left out.
const NOTICE_MAX: u64 = 128;
/// How often the latest lines are written over the end of the file.
const INTERVAL: Duration = Duration::from_millis(500);

/// A log that takes bytes of whole lines. A flush shows people what was written; no error is worth the work.
pub(super) struct NodeLog {
    file: File,
    max_bytes: u64,
    /// Bytes of the beginning that may still be written.
    free: u64,
    buffer: Vec<u8>,
    end: Option<End>,
}

/// The end of a log that is full.
struct End {
    /// Length of the file before it.
    at: u64,
    latest: Vec<u8>,
    latest_max: usize,
    left_out_bytes: u64,
    left_out_lines: u64,
    written: Option<Instant>,
    is_new: bool,
}

impl NodeLog {
    /// Appends to the standard error of this process, which in a worker is the log of its node.
    pub(super) fn of_process(max_bytes: u64) -> io::Result<Self> {
        Self::new(File::from(io::stderr().as_fd().try_clone_to_owned()?), max_bytes)
    }

    /// Appends to a file, of which earlier attempts may have used a part. What is no regular file has no limit.
    fn new(file: File, max_bytes: u64) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let max_bytes = if metadata.is_file() { max_bytes } else { u64::MAX };
        let free = (max_bytes - latest_max(max_bytes)).saturating_sub(NOTICE_MAX + metadata.len());
        Ok(Self { file, max_bytes, free, buffer: Vec::with_capacity(BUFFER), end: None })
    }

    /// Writes what has not been written yet.
    pub(super) fn finish(&mut self) {
        let _ = self.flush();
        if let Some(end) = &mut self.end {
            let _ = end.write(&self.file, self.max_bytes);
        }
    }

    fn write_buffer(&mut self) {
        let _ = self.file.write_all(&self.buffer);
        self.buffer.clear();
    }
}

impl Write for NodeLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let rest = if self.end.is_none() && bytes.len() as u64 <= self.free {
            self.free -= bytes.len() as u64;
            self.buffer.extend_from_slice(bytes);
            if self.buffer.len() >= BUFFER {
                self.write_buffer();
            }
            return Ok(bytes.len());
        } else if self.end.is_none() {
            // As many lines as there is room for.
            let room = &bytes[..usize::try_from(self.free).expect("less than the bytes")];
            let fitting = room.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.buffer.extend_from_slice(&bytes[..fitting]);
            self.write_buffer();
            &bytes[fitting..]
        } else {
            bytes
        };
        if self.end.is_none() {
            self.end = Some(End::new(self.file.metadata()?.len(), self.max_bytes));
        }
        if let Some(end) = &mut self.end {
            end.push(rest);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.end {
            Some(end) if end.written.is_none_or(|written| written.elapsed() >= INTERVAL) => {
                end.write(&self.file, self.max_bytes)
            }
            Some(_) => Ok(()),
            None if self.buffer.is_empty() => Ok(()),
            None => {
                self.write_buffer();
                Ok(())
            }
        }
    }
}

fn latest_max(max_bytes: u64) -> u64 {
    LATEST_MAX.min(max_bytes / 2)
}

impl End {
    fn new(at: u64, max_bytes: u64) -> Self {
        let latest_max = usize::try_from(latest_max(max_bytes)).expect("at most LATEST_MAX");
        let (left_out_bytes, left_out_lines) = (0, 0);
        Self { at, latest: Vec::new(), latest_max, left_out_bytes, left_out_lines, written: None, is_new: false }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.latest.extend_from_slice(bytes);
        self.is_new = true;
        // Rarely, as the rest moves.
        if self.latest.len() > 2 * self.latest_max {
            self.leave_out();
        }
    }

    /// Leaves out the oldest lines that are too many.
    fn leave_out(&mut self) {
        let excess = self.latest.len().saturating_sub(self.latest_max);
        if excess == 0 {
            return;
        }
        let next_line = self.latest[excess - 1..].iter().position(|byte| *byte == b'\n');
        let gone = next_line.map_or(self.latest.len(), |end| excess + end);
        self.left_out_bytes += gone as u64;
        self.left_out_lines += self.latest[..gone].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.latest.drain(..gone);
    }

    fn write(&mut self, mut file: &File, max_bytes: u64) -> io::Result<()> {
        if !std::mem::take(&mut self.is_new) {
            return Ok(());
        }
        self.leave_out();
        self.written = Some(Instant::now());
        file.set_len(self.at)?;
        let mut bytes = Vec::new();
        if self.left_out_bytes > 0 {
            let (lines, size) = (self.left_out_lines, display_size(self.left_out_bytes));
            let max = display_size(max_bytes);
            writeln!(bytes, "… lines left out here: {lines} ({size}); `log_max_size` is {max}")?;
        }
        bytes.extend_from_slice(&self.latest);
        file.write_all(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &tempfile::TempDir, max_bytes: u64) -> NodeLog {
        let file = File::options().append(true).create(true).open(dir.path().join("log")).unwrap();
        NodeLog::new(file, max_bytes).unwrap()
    }

    fn text(dir: &tempfile::TempDir) -> String {
        std::fs::read_to_string(dir.path().join("log")).unwrap()
    }

    #[test]
    fn first_and_last_lines_are_kept_and_what_is_left_out_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 2 * (NOTICE_MAX + 20));
        for number in 0..1000 {
            log.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        log.finish();
        let text = text(&dir);
        // 20 bytes for the beginning, 148 for the end: of two lines of seven bytes, and of sixteen lines of nine.
        assert_eq!(text.lines().take(2).collect::<Vec<_>>(), ["line 0", "line 1"]);
        assert_eq!(text.lines().nth(2), Some("… lines left out here: 982 (8.7 kB); `log_max_size` is 296 B"));
        assert_eq!((text.lines().nth(3), text.lines().last()), (Some("line 984"), Some("line 999")));
        assert!(text.len() <= 296);
    }

    #[test]
    fn lines_are_there_at_the_next_flush_and_a_second_attempt_has_the_room_that_the_first_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = log(&dir, 2 * (NOTICE_MAX + 20));
        first.write_all(b"a line of sixteen\n").unwrap();
        assert_eq!(text(&dir), "");
        first.flush().unwrap();
        assert_eq!(text(&dir), "a line of sixteen\n");
        let mut second = log(&dir, 2 * (NOTICE_MAX + 20));
        second.write_all(b"one\ntwo\n").unwrap();
        second.flush().unwrap();
        assert_eq!(text(&dir), "a line of sixteen\none\ntwo\n", "the rest fits into what is kept of the end");
    }

    #[test]
    fn a_line_longer_than_the_limit_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(&dir, 8);
        log.write_all(format!("{}\nend\n", "x".repeat(100)).as_bytes()).unwrap();
        log.finish();
        assert_eq!(text(&dir), "… lines left out here: 1 (101 B); `log_max_size` is 8 B\nend\n");
    }

    #[test]
    fn what_is_no_file_has_no_limit() {
        let (mut read, write) = io::pipe().unwrap();
        let mut log = NodeLog::new(File::from(std::os::fd::OwnedFd::from(write)), 8).unwrap();
        log.write_all(b"one line\ntwo lines\n").unwrap();
        log.finish();
        drop(log);
        let mut said = String::new();
        io::Read::read_to_string(&mut read, &mut said).unwrap();
        assert_eq!(said, "one line\ntwo lines\n");
    }
}
