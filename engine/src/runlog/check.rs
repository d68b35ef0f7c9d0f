//! Detection and repair of damaged run logs. No result depends on them; still, keys and times from a log with a changed
//! byte must not be believed.
//!
//! An unfinished log has no seal: its whole lines must be readable, and its last line may be cut. Node logs (`logs/`)
//! are text without a checksum.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use orchestrate_cache::{Digest, StoreError, disk, is_sealed};

use super::durations::Durations;
use super::history::History;
use super::hits::{self, HitList};
use super::layout::{DURATIONS, EVENTS, EVENTS_BYTES_MAX};
use crate::event::{Event, TimedEvent};

/// Time until a second look at what seems damaged: it may be a file that is just written or removed.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The start of every line.
const BEGIN: &[u8] = br#"{"at_ms":"#;

/// A damaged file.
#[derive(Clone, Debug, PartialEq)]
pub struct DamagedLog {
    /// Path of the file.
    pub path: PathBuf,
    /// The damage.
    pub message: String,
    mending: Mending,
}

/// The way to mend a file.
#[derive(Clone, Debug, PartialEq)]
enum Mending {
    /// Put these bytes in its place.
    Replace(Vec<u8>),
    /// None: it cannot be read, and may well be sound.
    Leave,
}

/// Checks the logs of all runs below a folder. Runs may write theirs meanwhile, and collections may remove some: a file
/// is damaged if two looks say so.
pub fn check(runs_dir: &Path) -> Vec<DamagedLog> {
    let mut damaged = check_once(runs_dir);
    if !damaged.is_empty() {
        thread::sleep(LOOK_AGAIN);
        let again = check_once(runs_dir);
        damaged.retain(|log| again.iter().any(|other| other.path == log.path && other.message == log.message));
    }
    damaged
}

fn check_once(runs_dir: &Path) -> Vec<DamagedLog> {
    let history = History::new(runs_dir);
    let mut damaged = Vec::new();
    let mut add = |path: PathBuf, message: &str, mending: Mending| {
        damaged.push(DamagedLog { path, message: message.to_owned(), mending });
    };
    let mut lists = BTreeSet::new();
    for run in history.runs().into_iter().rev() {
        let path = history.dir(&run).join(EVENTS);
        let durations = history.dir(&run).join(DURATIONS);
        match disk::read(&path, EVENTS_BYTES_MAX) {
            Ok(bytes) => {
                let events = events(&bytes);
                lists.extend(events.iter().filter_map(list));
                if let Some(problem) = problem(&bytes, &events) {
                    add(path, &problem, Mending::Replace(readable(&bytes)));
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                // A run that was killed before its first event leaves only its folder.
                if durations.exists() {
                    add(path, "it is gone", Mending::Replace(Vec::new()));
                }
            }
            Err(error) if disk::is_irregular(&error) => add(path, &error.to_string(), Mending::Replace(Vec::new())),
            Err(error) => {
                let error = StoreError::io("read", &path)(error);
                add(path, &error.to_string(), Mending::Leave);
                continue;
            }
        }
        if durations.symlink_metadata().is_ok() && Durations::read(&durations).is_none() {
            let again = history.durations_in(&run).unwrap_or_default();
            add(durations, "it is damaged, so estimates are worse", Mending::Replace(again.to_bytes()));
        }
    }
    for name in lists {
        let path = hits::path(runs_dir, &name);
        if HitList::read(runs_dir, &name).is_none() {
            let state = if path.symlink_metadata().is_ok() { "it is damaged" } else { "it is gone" };
            let message = format!("{state}: which nodes were hits in some runs is lost");
            add(path, &message, Mending::Replace(hits::empty()));
        }
    }
    damaged
}

impl DamagedLog {
    /// Moves the file to the quarantine folder and leaves what can be known of it in its place; returns a sentence
    /// about it.
    pub fn mend(&self, quarantine: &Path) -> Result<String, StoreError> {
        let path = &self.path;
        let Mending::Replace(bytes) = &self.mending else {
            return Err(StoreError::io("mend", path)(io::Error::other(self.message.clone())));
        };
        if path.symlink_metadata().is_err() {
            disk::replace(path, bytes, true)?;
            return Ok(format!("{} cannot be brought back and is empty now", path.display()));
        }
        let run = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kept = quarantine.join(format!("{run}-{name}"));
        match disk::read(path, EVENTS_BYTES_MAX) {
            Ok(bytes) => disk::replace(&kept, &bytes, true)?,
            Err(error) if disk::is_irregular(&error) => disk::rename(path, &kept)?,
            Err(source) => return Err(StoreError::Io { action: "read", path: path.clone(), source }),
        }
        disk::replace(path, bytes, true)?;
        Ok(format!("left what can be known of {} (kept as {})", path.display(), kept.display()))
    }
}

fn problem(bytes: &[u8], events: &[Option<Event>]) -> Option<String> {
    match is_sealed(bytes) {
        Some(true) => return None,
        Some(false) => return Some("its seal is broken: some byte has changed".to_owned()),
        None if matches!(events.last(), Some(Some(Event::RunFinished { .. }))) && bytes.ends_with(b"\n") => {
            return Some("it is finished and has no seal".to_owned());
        }
        None => {}
    }
    // The last line may be cut, if it starts like a line.
    let last = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let torn = usize::from(last.starts_with(BEGIN) || BEGIN.starts_with(last));
    let unreadable = events.iter().rev().skip(torn.min(last.len())).filter(|event| event.is_none()).count();
    (unreadable > 0).then(|| format!("{unreadable} of {} lines cannot be read", events.len()))
}

/// Returns the readable lines, without a last line whose seal no longer matches.
fn readable(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let is_kept =
        |line: &&[u8]| line.ends_with(b"\n") && !matches!(event(line), None | Some(Event::RunFinished { .. }));
    lines.filter(is_kept).collect::<Vec<_>>().concat()
}

fn events(bytes: &[u8]) -> Vec<Option<Event>> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(event).collect()
}

fn event(line: &[u8]) -> Option<Event> {
    serde_json::from_slice(line).ok().map(|TimedEvent { event, .. }| event)
}

fn list(event: &Option<Event>) -> Option<Digest> {
    match event {
        Some(Event::NodesHit { list, .. }) => Some(*list),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::event::Reporter;
    use crate::node::{NodeName, Point};
    use crate::runlog::RunLog;
    use orchestrate_cache::ActionKey;

    fn finished_run(runs_dir: &Path) -> PathBuf {
        let mut log = RunLog::create(runs_dir);
        let key = ActionKey(Digest::of(b"key"));
        for stage in ["train", "score"] {
            let node = NodeName::new(stage, Point::default());
            log.report(&TimedEvent::now(Event::NodeRan { node, key, outputs: vec![], elapsed_ms: 500 }));
        }
        log.report(&TimedEvent::now(Event::RunFinished {
            counts: Default::default(),
            elapsed_ms: 900,
            made: Default::default(),
            remote: None,
        }));
        log.dir().to_owned()
    }

    #[test]
    fn any_changed_byte_of_a_finished_log_is_found_and_a_cut_costs_no_whole_line() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let dir = finished_run(runs.path());
        assert_eq!(check(runs.path()), []);
        for name in [EVENTS, DURATIONS] {
            let path = dir.join(name);
            let whole = fs::read(&path).expect("it was written");
            for place in 0..whole.len() - 1 {
                let mut flipped = whole.clone();
                flipped[place] ^= 1;
                fs::write(&path, &flipped).expect("the folder is writable");
                // Nobody writes meanwhile, so one look is enough.
                let damaged = check_once(runs.path());
                assert_eq!(damaged.len(), 1, "{name} at {place}");
                assert_eq!(damaged[0].path, path);
                damaged[0].mend(runs.path()).expect("the folder is writable");
                assert_eq!(check(runs.path()), [], "{name} at {place}, mended");
                let durations = History::new(runs.path()).durations(9);
                assert_eq!(durations.stage_mean_ms("score"), Some(500), "{name} at {place}");
            }
            fs::write(&path, &whole).expect("the folder is writable");
        }
        let path = dir.join(EVENTS);
        let whole = fs::read(&path).expect("it was written");
        for len in 0..whole.len() - 1 {
            fs::write(&path, &whole[..len]).expect("the folder is writable");
            assert_eq!(check(runs.path()), [], "a run that was killed looks so, cut at {len}");
        }
    }

    #[test]
    fn a_byte_that_changed_before_the_log_was_sealed_is_found() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let mut log = RunLog::create(runs.path());
        let warning = |message: &str| TimedEvent::now(Event::Warning { message: message.to_owned() });
        log.report(&warning("the disk is full"));
        log.flush().expect("the folder is writable");
        let path = log.dir().join(EVENTS);
        let text = fs::read_to_string(&path).expect("it was written");
        fs::write(&path, text.replace("full", "null")).expect("the folder is writable");
        log.report(&TimedEvent::now(Event::RunFinished {
            counts: Default::default(),
            elapsed_ms: 900,
            made: Default::default(),
            remote: None,
        }));
        let damaged = check(runs.path());
        assert_eq!(damaged.len(), 1, "a seal is of what was meant, not of what is there");
    }

    #[test]
    fn what_is_no_file_is_named_and_put_aside_unread() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let path = finished_run(runs.path()).join(EVENTS);
        fs::remove_file(&path).expect("the folder is writable");
        let pipe = std::process::Command::new("mkfifo").arg(&path).status().expect("there is a `mkfifo`");
        assert!(pipe.success());
        let damaged = check(runs.path());
        assert_eq!(damaged.len(), 1);
        assert!(damaged[0].message.starts_with("it is a FIFO"), "{}", damaged[0].message);
        assert_eq!(History::new(runs.path()).latest("train"), None);
        damaged[0].mend(runs.path()).expect("the folder is writable");
        assert!(check(runs.path()).is_empty() && path.is_file());
    }

    #[test]
    fn a_log_that_is_gone_is_named() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let dir = finished_run(runs.path());
        fs::remove_file(dir.join(EVENTS)).expect("it was written");
        let damaged = check(runs.path());
        assert_eq!(damaged.iter().map(|log| log.path.clone()).collect::<Vec<_>>(), [dir.join(EVENTS)]);
        damaged[0].mend(runs.path()).expect("the folder is writable");
        assert_eq!(check(runs.path()), []);
    }
}
