//! `orchestrate logs NODE`: shows a node's log from the newest run that has one.

use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use orchestrate_cache::{Access, disk};
use orchestrate_engine::runlog::{History, RunId};

use super::study::nearby_store;
use crate::args::LogsArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal::{self, Visible};

/// The interval at which a log that is followed is read.
const READ_EVERY: Duration = Duration::from_millis(200);

/// The interval at which the log of the run is asked whether the node has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The size of the buffer for a log.
const BUFFER_BYTES: usize = 1 << 16;

pub(crate) fn logs(args: LogsArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args.store, Access::ReadOnly)?;
    let history = History::new(store.runs_dir());
    let Some(path) = history.node_log(&args.node) else {
        let known = history.latest(&args.node).is_some();
        let message = match known {
            true => format!(
                "`{}` has no log: light stages run inside the engine and write none, and the store's limits delete old \
                 ones",
                args.node
            ),
            false => format!("no run of `{}` is recorded in {}", args.node, store.dir().display()),
        };
        return Err(UsageError(message).into());
    };
    let unreadable = || format!("cannot read {}", path.display());
    // It says whose a log is that this user may not read.
    let mut file = disk::open(&path)?;
    // A fixed end, as a node that still runs may write for ever.
    let end = file.metadata().with_context(unreadable)?.len();
    let start = args.tail.map_or(Ok(0), |lines| last_lines(&mut file, end, lines)).with_context(unreadable)?;
    file.seek(SeekFrom::Start(start)).with_context(unreadable)?;
    terminal::complain(&format!("{}\n", path.display()));
    let out = io::stdout().lock();
    let run = path.parent().and_then(Path::parent).and_then(|dir| dir.file_name()?.to_str()?.parse::<RunId>().ok());
    let copied = match run.filter(|_| args.follow) {
        Some(run) => {
            let text = Followed { file, history, run, node: args.node.clone(), looked: None, ended: false };
            if args.raw { copy(text, out) } else { copy(text, Visible(out)) }
        }
        None => {
            let text = file.take(end - start);
            if args.raw { copy(text, out) } else { copy(text, Visible(out)) }
        }
    };
    match copied {
        Ok(()) => Ok(Outcome::Done),
        Err(CopyError::Read(error)) => Err(error).with_context(unreadable),
        Err(CopyError::Write(error)) => terminal::written(Err(error)).map(|()| Outcome::Done),
    }
}

/// The log of a node that may still run: ends when the node or its run has ended.
struct Followed<R> {
    file: R,
    history: History,
    run: RunId,
    node: String,
    /// The time of the last look at whether the node has ended.
    looked: Option<Instant>,
    ended: bool,
}

impl<R: Read> Read for Followed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.file.read(buffer)?;
            // What was written before the node ended is read once more.
            if read > 0 || buffer.is_empty() || self.ended {
                return Ok(read);
            }
            if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
                self.looked = Some(Instant::now());
                self.ended = self.has_ended();
            }
            if !self.ended {
                std::thread::sleep(READ_EVERY);
            }
        }
    }
}

impl<R> Followed<R> {
    fn has_ended(&self) -> bool {
        let ends = || self.history.latest_of(&HashSet::from([self.node.as_str()]), std::slice::from_ref(&self.run), 1);
        !self.history.is_alive(&self.run) || !ends().is_empty()
    }
}

/// Returns the offset at which the last lines of a file begin.
fn last_lines(file: &mut (impl Read + Seek), end: u64, lines: u64) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut start, mut left) = (end, lines);
    while start > 0 {
        let length = start.min(BUFFER_BYTES as u64);
        start -= length;
        let bytes = &mut buffer[..length as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(bytes)?;
        for at in (0..bytes.len()).rev().filter(|at| bytes[*at] == b'\n') {
            let after = start + at as u64 + 1;
            // No line begins after the last newline.
            if after == end {
                continue;
            }
            left = left.saturating_sub(1);
            if left == 0 {
                return Ok(after);
            }
        }
    }
    Ok(0)
}

/// The side on which copying failed.
#[derive(Debug)]
enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

/// Copies a text in writes that never split a character or a line end of two characters.
fn copy(mut text: impl Read, mut out: impl Write) -> Result<(), CopyError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut kept = 0;
    loop {
        let read = text.read(&mut buffer[kept..]).map_err(CopyError::Read)?;
        let bytes = &buffer[..kept + read];
        let cut = match read {
            0 => 0,
            _ if bytes.ends_with(b"\r") => 1,
            _ => bytes.utf8_chunks().last().map_or(0, |last| last.invalid().len()),
        };
        let whole = bytes.len() - cut;
        out.write_all(&bytes[..whole]).map_err(CopyError::Write)?;
        if read == 0 {
            return out.flush().map_err(CopyError::Write);
        }
        buffer.copy_within(whole..whole + cut, 0);
        kept = cut;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(length);
            buffer[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    #[test]
    fn a_log_looks_the_same_however_it_is_read() {
        let log = "größte\r\n\u{1b}[2J € 🧠\rlast\u{202e}".as_bytes();
        let log = [log, b"\xff\xe2\x82 torn \xf0\x9f"].concat();
        for length in 1..=log.len() {
            let mut shown = Vec::new();
            copy(Slow(&log, length), Visible(&mut shown)).unwrap();
            let shown = String::from_utf8(shown).unwrap();
            let expected = "größte\n\\u{1b}[2J € 🧠\\rlast\\u{202e}\u{fffd}\u{fffd} torn \u{fffd}";
            assert_eq!(shown, expected, "by {length} bytes");
        }
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let long = "x".repeat(BUFFER_BYTES);
        let log = format!("one\n{long}\n\nlast\n");
        for text in [log.as_str(), log.trim_end()] {
            let tail = |lines| {
                let start = last_lines(&mut io::Cursor::new(text), text.len() as u64, lines).unwrap();
                text[start as usize..].trim_end()
            };
            assert_eq!((tail(1), tail(2)), ("last", "\nlast"));
            assert_eq!(tail(3), format!("{long}\n\nlast"));
            assert_eq!((tail(4), tail(9)), (log.trim_end(), log.trim_end()));
        }
        assert_eq!(last_lines(&mut io::Cursor::new(""), 0, 3).unwrap(), 0);
    }
}
