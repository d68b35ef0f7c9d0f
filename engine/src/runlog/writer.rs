//! The event log of one run, as it is written.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orchestrate_cache::disk::{self, Appended};
use orchestrate_cache::{Digester, StoreError, seal};

use super::durations::Durations;
use super::hits;
use super::layout::{DURATIONS, EVENTS, LOGS, log_name};
use crate::event::{Event, Hits, Reporter, TimedEvent};
use crate::node::NodeName;
use crate::run_id::RunId;

/// The longest time that events wait in memory while others follow.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// The largest number of hits at once that get a line each; more are listed apart.
const HITS_IN_LINE: usize = 100;

/// Writes the event log of one run.
pub struct RunLog {
    id: RunId,
    runs_dir: PathBuf,
    dir: PathBuf,
    /// `None` once writing has failed.
    file: Option<BufWriter<Digested>>,
    flushed: Instant,
    durations: Durations,
    warning: Option<String>,
}

impl RunLog {
    /// Starts the log of a new run below `runs_dir`.
    ///
    /// If that is impossible, events are dropped, and [`RunLog::take_warning`] returns the reason.
    pub fn create(runs_dir: &Path) -> Self {
        let id = RunId::now();
        let dir = runs_dir.join(id.as_str());
        let runs_dir = runs_dir.to_owned();
        let (flushed, durations) = (Instant::now(), Durations::default());
        let mut log = Self { id, runs_dir, dir, file: None, flushed, durations, warning: None };
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

    /// Returns the name of the run.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    #[cfg(test)]
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the path of a node's log; its writer makes the folder.
    pub fn node_log(&self, node: &NodeName) -> PathBuf {
        self.dir.join(LOGS).join(log_name(node.as_str()))
    }

    /// Returns the reason why the log is incomplete, once.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    fn write(&mut self, event: &TimedEvent) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if let Event::RunFinished { .. } = event.event {
            self.durations.write(&self.dir.join(DURATIONS))?;
            return self.finish(event);
        }
        serde_json::to_writer(&mut *file, event)?;
        file.write_all(b"\n")?;
        match &event.event {
            // A log is named before it is made, so that a collection knows it even if the run is killed.
            Event::RunStarted(_) | Event::NodeStarted { log: Some(_), .. } => self.flush(),
            Event::NodeRan { node, elapsed_ms, .. } => {
                self.durations.add(node, *elapsed_ms);
                Ok(())
            }
            Event::BatchUsed { node, members, used, .. } => {
                self.durations.add_used(node, *members, used);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes the last line, which seals all before it.
    fn finish(&mut self, event: &TimedEvent) -> io::Result<()> {
        self.flush()?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let text = serde_json::to_string(event)?;
        let open = text.strip_suffix('}').expect("an object ends with a brace");
        let mut digester = file.get_ref().digester.clone();
        digester.update(open.as_bytes());
        writeln!(file, "{open}{}", seal(&digester.digest()))?;
        self.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }

    fn give_up(&mut self, error: &impl fmt::Display) {
        let path = self.dir.join(EVENTS);
        self.warning =
            Some(format!("the run log {} cannot be written: {error}; the run goes on without it", path.display()));
        // Dropping the writer would try to write its buffer once more.
        if let Some(file) = self.file.take() {
            let _ = file.into_parts();
        }
    }
}

impl Reporter for RunLog {
    fn report(&mut self, event: &TimedEvent) {
        if let Err(error) = self.write(event) {
            self.give_up(&error);
        }
    }

    fn hits(&mut self, hits: &Hits<'_>) {
        if self.file.is_none() {
            return;
        }
        if hits.nodes.len() <= HITS_IN_LINE {
            return hits.events().for_each(|event| self.report(&event));
        }
        match hits::write(&self.runs_dir, hits) {
            Ok(list) => {
                let event = Event::NodesHit { nodes: hits.nodes.len(), list };
                self.report(&TimedEvent { at_ms: hits.at_ms, event });
            }
            Err(error) => self.give_up(&error),
        }
    }

    /// Writes events that have waited long enough; reading the clock here is cheaper than at each of many events.
    fn tick(&mut self) {
        let is_due = self.flushed.elapsed() >= FLUSH_INTERVAL;
        if let Some(Err(error)) = is_due.then(|| self.flush()) {
            self.give_up(&error);
        }
    }
}

/// A log with the digest of all that was written to it.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::node::Point;
    use crate::runlog::History;

    fn warning(message: &str) -> Event {
        Event::Warning { message: message.to_owned() }
    }

    #[test]
    fn log_gives_back_its_events_in_order() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let mut log = RunLog::create(runs.path());
        let events = [warning("a"), warning("b\nc"), warning("ü")];
        for event in &events {
            log.report(&TimedEvent::now(event.clone()));
        }
        let id = log.id().clone();
        drop(log);
        let read = History::new(runs.path()).events(&id).expect("the log is there");
        assert_eq!(read.into_iter().map(|event| event.event).collect::<Vec<_>>(), events);
    }

    #[test]
    fn log_that_cannot_be_written_is_one_warning_and_no_error() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let file = runs.path().join("not-a-folder");
        fs::write(&file, "").expect("the folder is writable");
        let mut log = RunLog::create(&file);
        log.report(&TimedEvent::now(warning("a")));
        log.tick();
        let message = log.take_warning().expect("there is a reason");
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
        log.report(&TimedEvent::now(Event::RunFinished {
            counts: Default::default(),
            elapsed_ms: 1,
            made: Default::default(),
            remote: None,
        }));
        log.report(&TimedEvent::now(warning("a")));
        assert!(log.take_warning().expect("there is a reason").contains("No space left"));
    }

    #[test]
    fn node_logs_lie_beside_the_events() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let log = RunLog::create(runs.path());
        let path = log.node_log(&NodeName::new("table", Point::default()));
        assert_eq!(path, runs.path().join(log.id().as_str()).join("logs/table.log"));
    }
}
