//! What is damaged among the logs of runs. No result depends on them; what they say of keys and times must still not be believed
//! if a byte changed.
//!
//! A log that was not finished has no seal: its whole lines must be readable, and its last line may be cut. What stages print
//! (`logs/`) is text without a checksum.

use std::io;
use std::path::{Path, PathBuf};

use orchestrate_cache::{Digest, StoreError, disk, is_sealed};

use super::durations::Durations;
use super::hits::{self, HitList};
use super::{DURATIONS, EVENTS, EVENTS_BYTES_MAX, History};
use crate::event::{Event, Record};

/// How a line begins.
const BEGIN: &[u8] = br#"{"at_ms":"#;

/// A file that is not as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct DamagedLog {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
    /// What stands for it; nothing of a file that is made again when needed.
    readable: Option<Vec<u8>>,
}

/// Looks through the logs of all runs below a folder.
pub fn check(runs_dir: &Path) -> io::Result<Vec<DamagedLog>> {
    let history = History::new(runs_dir);
    let mut damaged = Vec::new();
    let mut named = Vec::new();
    for run in history.runs().into_iter().rev() {
        let path = history.dir(&run).join(EVENTS);
        match disk::read(&path, EVENTS_BYTES_MAX) {
            Ok(bytes) => {
                let records = records(&bytes);
                named.extend(records.iter().filter_map(list));
                damaged.extend(problem(&bytes, &records).map(|message| DamagedLog {
                    path,
                    message,
                    readable: Some(readable(&bytes)),
                }));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                // A run that was killed before its first event has left no more than its folder.
                if history.dir(&run).join(DURATIONS).exists() {
                    damaged.push(DamagedLog { path, message: "it is gone".to_owned(), readable: Some(Vec::new()) });
                }
            }
            Err(error) if disk::is_irregular(&error) => {
                damaged.push(DamagedLog { path, message: error.to_string(), readable: Some(Vec::new()) });
            }
            Err(error) => return Err(error),
        }
        let path = history.dir(&run).join(DURATIONS);
        if path.symlink_metadata().is_ok() && Durations::read(&path).is_none() {
            damaged.push(DamagedLog {
                path,
                message: "it is damaged, so estimates are worse".to_owned(),
                readable: None,
            });
        }
    }
    named.sort_unstable();
    named.dedup();
    for name in named {
        let path = hits::path(runs_dir, &name);
        if HitList::read(runs_dir, &name).is_none() {
            let state = if path.symlink_metadata().is_ok() { "it is damaged" } else { "it is gone" };
            let message = format!("{state}: which nodes were hits in some runs is lost");
            damaged.push(DamagedLog { path, message, readable: Some(hits::empty()) });
        }
    }
    Ok(damaged)
}

impl DamagedLog {
    /// Keeps the file in a folder and leaves what can be read of it in its place; says so.
    pub fn mend(&self, quarantine: &Path) -> Result<String, StoreError> {
        let path = &self.path;
        if path.symlink_metadata().is_err() {
            if let Some(bytes) = &self.readable {
                disk::replace(path, bytes, true)?;
            }
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
        match &self.readable {
            Some(bytes) => disk::replace(path, bytes, true)?,
            None => disk::remove_file(path)?,
        }
        let verb = if self.readable.is_some() { "left what can be read of" } else { "removed" };
        Ok(format!("{verb} {} (kept as {})", path.display(), kept.display()))
    }
}

fn problem(bytes: &[u8], records: &[Option<Record>]) -> Option<String> {
    let finished = |record: &Option<Record>| matches!(record, Some(Record { event: Event::RunFinished { .. }, .. }));
    match is_sealed(bytes) {
        Some(true) => return None,
        Some(false) => return Some("its seal is broken: some byte has changed".to_owned()),
        None if records.last().is_some_and(finished) && bytes.ends_with(b"\n") => {
            return Some("it is finished and has no seal".to_owned());
        }
        None => {}
    }
    // The last line may be cut, if that is how a line begins.
    let last = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let torn = usize::from(last.starts_with(BEGIN) || BEGIN.starts_with(last));
    let unreadable = records.iter().rev().skip(torn.min(last.len())).filter(|record| record.is_none()).count();
    (unreadable > 0).then(|| format!("{unreadable} of {} lines cannot be read", records.len()))
}

/// Whole lines without a last one that seals what is not there any more.
fn readable(bytes: &[u8]) -> Vec<u8> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let is_kept = |line: &&[u8]| match serde_json::from_slice::<Record>(line) {
        Ok(record) => !matches!(record.event, Event::RunFinished { .. }) && line.ends_with(b"\n"),
        Err(_) => false,
    };
    lines.filter(is_kept).collect::<Vec<_>>().concat()
}

fn records(bytes: &[u8]) -> Vec<Option<Record>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).ok()).collect()
}

fn list(record: &Option<Record>) -> Option<Digest> {
    match record {
        Some(Record { event: Event::NodesHit { list, .. }, .. }) => Some(*list),
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
            log.report(&Record::now(Event::NodeRan { node, key, outputs: vec![], elapsed_ms: 500 }));
        }
        log.report(&Record::now(Event::RunFinished { counts: Default::default(), elapsed_ms: 900 }));
        log.dir().to_owned()
    }

    #[test]
    fn any_changed_byte_of_a_finished_log_is_found_and_a_cut_costs_no_whole_line() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let dir = finished_run(runs.path());
        assert_eq!(check(runs.path()).expect("they can be read"), []);
        for name in [EVENTS, DURATIONS] {
            let path = dir.join(name);
            let whole = fs::read(&path).expect("it was written");
            for place in 0..whole.len() - 1 {
                let mut flipped = whole.clone();
                flipped[place] ^= 1;
                fs::write(&path, &flipped).expect("the folder is writable");
                let damaged = check(runs.path()).expect("they can be read");
                assert_eq!(damaged.len(), 1, "{name} at {place}");
                assert_eq!(damaged[0].path, path);
                damaged[0].mend(runs.path()).expect("the folder is writable");
                assert_eq!(check(runs.path()).expect("they can be read"), [], "{name} at {place}, mended");
            }
            fs::write(&path, &whole).expect("the folder is writable");
        }
        let path = dir.join(EVENTS);
        let whole = fs::read(&path).expect("it was written");
        for len in 0..whole.len() - 1 {
            fs::write(&path, &whole[..len]).expect("the folder is writable");
            assert_eq!(
                check(runs.path()).expect("they can be read"),
                [],
                "a run that was killed looks so, cut at {len}"
            );
        }
    }

    #[test]
    fn a_byte_that_changed_before_the_log_was_sealed_is_found() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let mut log = RunLog::create(runs.path());
        let warning = |message: &str| Record::now(Event::Warning { message: message.to_owned() });
        log.report(&warning("the disk is full"));
        log.flush().expect("the folder is writable");
        let path = log.dir().join(EVENTS);
        let text = fs::read_to_string(&path).expect("it was written");
        fs::write(&path, text.replace("full", "null")).expect("the folder is writable");
        log.report(&Record::now(Event::RunFinished { counts: Default::default(), elapsed_ms: 900 }));
        let damaged = check(runs.path()).expect("they can be read");
        assert_eq!(damaged.len(), 1, "a seal is of what was meant, not of what is there");
    }

    #[test]
    fn what_is_no_file_is_named_and_put_aside_unread() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let path = finished_run(runs.path()).join(EVENTS);
        fs::remove_file(&path).expect("the folder is writable");
        let pipe = std::process::Command::new("mkfifo").arg(&path).status().expect("there is a `mkfifo`");
        assert!(pipe.success());
        let damaged = check(runs.path()).expect("they can be read");
        assert_eq!(damaged.len(), 1);
        assert!(damaged[0].message.starts_with("it is a FIFO"), "{}", damaged[0].message);
        assert_eq!(History::new(runs.path()).latest("train"), None);
        damaged[0].mend(runs.path()).expect("the folder is writable");
        assert!(check(runs.path()).expect("they can be read").is_empty() && path.is_file());
    }

    #[test]
    fn a_log_that_is_gone_is_named() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let dir = finished_run(runs.path());
        fs::remove_file(dir.join(EVENTS)).expect("it was written");
        let damaged = check(runs.path()).expect("they can be read");
        assert_eq!(damaged.iter().map(|log| log.path.clone()).collect::<Vec<_>>(), [dir.join(EVENTS)]);
        damaged[0].mend(runs.path()).expect("the folder is writable");
        assert_eq!(check(runs.path()).expect("they can be read"), []);
    }
}
