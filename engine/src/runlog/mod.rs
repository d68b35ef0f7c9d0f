//! The event log of a run: `runs/<RunId>/events.jsonl`, one [`Record`] a line, append-only, beside `logs/`, where each
//! node that has a log has one file. Hits by the hundred are listed apart, see `hits.rs`.
//!
//! `durations.json`, written at the end, sums up how long nodes took, so that estimates need not read whole logs.
//!
//! A run holds a lock on its log as long as it lives; garbage collection removes logs of runs together with results, see `collect.rs`.
//!
//! The last line of a log seals it, and so does the end of `durations.json`: `store verify` tells a changed byte; see `check.rs`.
//!
//! The log is for people and estimates; no result depends on it. So a log that cannot be written is a warning, never an
//! error, and a reader skips what it cannot read, such as a line torn by a crash or an event of a later version.

mod check;
mod collect;
mod durations;
mod history;
mod hits;
mod id;

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orchestrate_cache::disk::{self, Appended};
use orchestrate_cache::{Digester, StoreError, seal};

use crate::event::{Event, Hits, Record, Reporter};
use crate::node::NodeName;
use crate::publish::name::node_file;

pub use check::{DamagedLog, check};
pub use collect::{Collection, LogUsage, collect, usage};
pub use durations::Durations;
pub use history::{History, Latest, NodeRecord};
pub use id::{ParseRunIdError, RunId};

/// Name of the event log in the folder of a run.
const EVENTS: &str = "events.jsonl";

/// A longer file is no event log: that would be tens of millions of nodes.
const EVENTS_BYTES_MAX: u64 = 1 << 34;

/// Name of the summary of durations in the folder of a run.
const DURATIONS: &str = "durations.json";

/// Name of the folder of node logs in the folder of a run.
const LOGS: &str = "logs";

/// Events wait in memory at most this long while others follow.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// More hits than this at once are listed apart.
const HITS_IN_LINE: usize = 100;

/// Writes the event log of one run.
pub struct RunLog {
    id: RunId,
    runs_dir: PathBuf,
    dir: PathBuf,
    /// None once writing has failed.
    file: Option<BufWriter<Digested>>,
    flushed: Instant,
    durations: Durations,
    warning: Option<String>,
}

impl RunLog {
    /// Starts the log of a new run below `runs_dir`.
    ///
    /// Where that is impossible, events are dropped, and [`RunLog::take_warning`] says why.
    pub fn create(runs_dir: &Path) -> Self {
        let id = RunId::new();
        let dir = runs_dir.join(id.as_str());
        let runs_dir = runs_dir.to_owned();
        let mut log = Self {
            id,
            runs_dir,
            dir,
            file: None,
            flushed: Instant::now(),
            durations: Durations::default(),
            warning: None,
        };
        match log.open() {
            Ok(file) => log.file = Some(BufWriter::with_capacity(1 << 16, file)),
            Err(error) => log.give_up(&error),
        }
        log
    }

    fn open(&self) -> Result<Digested, StoreError> {
        disk::create_dir(&self.dir)?;
        let file = Appended::create(&self.dir.join(EVENTS))?;
        file.hold();
        Ok(Digested { file, digester: Digester::default() })
    }

    /// The run.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The folder of the run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the output of a node for people goes; whoever writes it makes the folder.
    pub fn node_log(&self, node: &NodeName) -> PathBuf {
        self.dir.join(LOGS).join(log_name(node.as_str()))
    }

    /// Why the log is incomplete, once.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if let Event::RunFinished { .. } = record.event {
            self.durations.write(&self.dir.join(DURATIONS))?;
            return self.finish(record);
        }
        serde_json::to_writer(&mut *file, record)?;
        file.write_all(b"\n")?;
        match &record.event {
            // A log is named before it is made, so that a collection knows it even of a run that was killed.
            Event::RunStarted(_) | Event::NodeStarted { log: Some(_), .. } => self.flush(),
            Event::NodeRan { node, elapsed_ms, .. } => {
                self.durations.add_summed(node, *elapsed_ms);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes the last line, which seals all before it.
    fn finish(&mut self, record: &Record) -> io::Result<()> {
        self.flush()?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let text = serde_json::to_string(record)?;
        let open = text.strip_suffix('}').expect("an object ends with a brace");
        let mut digester = file.get_ref().digester.clone();
        digester.update(open.as_bytes());
        writeln!(file, "{open}{}", seal(&digester.digest()))?;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }

    fn flush_if_due(&mut self) -> io::Result<()> {
        if self.flushed.elapsed() >= FLUSH_INTERVAL { self.flush() } else { Ok(()) }
    }

    fn give_up(&mut self, error: &impl fmt::Display) {
        let path = self.dir.join(EVENTS);
        self.warning =
            Some(format!("the run log {} cannot be written: {error}; the run goes on without it", path.display()));
        // Dropping the writer would try to write what is buffered once more.
        if let Some(file) = self.file.take() {
            let _ = file.into_parts();
        }
    }
}

impl Reporter for RunLog {
    fn report(&mut self, record: &Record) {
        if let Err(error) = self.write(record) {
            self.give_up(&error);
        }
    }

    fn hits(&mut self, hits: &Hits<'_>) {
        if self.file.is_none() {
            return;
        }
        if hits.nodes.len() <= HITS_IN_LINE {
            return hits.records().for_each(|record| self.report(&record));
        }
        match hits::write(&self.runs_dir, hits) {
            Ok(list) => {
                self.report(&Record { at_ms: hits.at_ms, event: Event::NodesHit { nodes: hits.nodes.len(), list } })
            }
            Err(error) => self.give_up(&error),
        }
    }

    /// Writes what has been buffered for a while; the clock is asked here and not at each of many events.
    fn tick(&mut self) {
        if let Err(error) = self.flush_if_due() {
            self.give_up(&error);
        }
    }
}

/// A log of which the digest is known as it grows.
struct Digested {
    file: Appended,
    digester: Digester,
}

impl Write for Digested {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digester.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file name for the log of a node: readable, and different for different nodes.
fn log_name(node: &str) -> String {
    format!("{}.log", node_file(node))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::node::Point;

    fn warning(message: &str) -> Event {
        Event::Warning { message: message.to_owned() }
    }

    #[test]
    fn log_gives_back_its_events_in_order() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let mut log = RunLog::create(runs.path());
        let events = [warning("a"), warning("b\nc"), warning("ü")];
        for event in &events {
            log.report(&Record::now(event.clone()));
        }
        let id = log.id().clone();
        drop(log);
        let read = History::new(runs.path()).records(&id).expect("the log is there");
        assert_eq!(read.into_iter().map(|record| record.event).collect::<Vec<_>>(), events);
    }

    #[test]
    fn log_that_cannot_be_written_is_one_warning_and_no_error() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let file = runs.path().join("not-a-folder");
        fs::write(&file, "").expect("the folder is writable");
        let mut log = RunLog::create(&file);
        log.report(&Record::now(warning("a")));
        log.tick();
        let message = log.take_warning().expect("it says why");
        assert!(message.contains("not-a-folder") && message.contains("goes on"), "{message}");
        assert_eq!(log.take_warning(), None);
    }

    #[test]
    fn full_disk_is_one_warning_and_no_error() {
        if !Path::new("/dev/full").exists() {
            return;
        }
        let runs = tempfile::tempdir().expect("a temporary folder");
        let mut log = RunLog::create(runs.path());
        let path = Path::new("/dev/full");
        let full = fs::File::options().append(true).open(path).expect("a device that is always full");
        let full = Appended::new(full, path);
        log.file = Some(BufWriter::new(Digested { file: full, digester: Digester::default() }));
        log.report(&Record::now(Event::RunFinished { counts: Default::default(), elapsed_ms: 1 }));
        log.report(&Record::now(warning("a")));
        assert!(log.take_warning().expect("it says why").contains("No space left"));
    }

    #[test]
    fn node_logs_lie_beside_the_events() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let log = RunLog::create(runs.path());
        let path = log.node_log(&NodeName::new("table", Point::default()));
        assert_eq!(path, runs.path().join(log.id().as_str()).join("logs/table.log"));
    }
}
