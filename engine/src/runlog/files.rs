//! The files of runs on disk, and their sizes.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use orchestrate_cache::{Digest, disk};
use rayon::prelude::*;
use serde::Deserialize;

use super::history::History;
use super::hits;
use super::layout::{DURATIONS, EVENTS, LOGS, written_ms};
use crate::event::{Event, TimedEvent};
use crate::run_id::RunId;

/// The temporary file of durations that a killed run leaves.
const NEW_DURATIONS: &str = ".new-durations.json";

/// Disk usage of run logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogUsage {
    /// The number of runs with files.
    pub runs: usize,
    /// Bytes of events, durations, lists of hits and node logs.
    pub size_bytes: u64,
}

/// Returns the disk usage of the runs below a folder.
pub fn usage(runs_dir: &Path) -> LogUsage {
    let runs = RunFiles::all(runs_dir);
    let lists: u64 = hits::lists(runs_dir).map(|(_, file)| file.len()).sum();
    let size_bytes = runs.iter().map(|run| run.record.size_bytes + run.logs.size_bytes).sum::<u64>() + lists;
    LogUsage { runs: runs.len(), size_bytes }
}

/// The files of one run.
pub(super) struct RunFiles {
    pub(super) id: RunId,
    pub(super) dir: PathBuf,
    pub(super) is_alive: bool,
    pub(super) has_events: bool,
    pub(super) record: Files,
    pub(super) logs: Files,
    /// Lists of hits that its events refer to.
    pub(super) lists: Vec<Digest>,
}

/// Regular files.
#[derive(Default)]
pub(super) struct Files {
    pub(super) paths: Vec<PathBuf>,
    pub(super) size_bytes: u64,
    /// The latest modification, in milliseconds since 1970.
    written_ms: u64,
}

impl Files {
    /// Adds a path unless it is missing or no regular file; returns whether it was added.
    fn add(&mut self, path: PathBuf) -> bool {
        let Some(file) = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file) else { return false };
        self.size_bytes += file.len();
        self.written_ms = self.written_ms.max(written_ms(&file));
        self.paths.push(path);
        true
    }
}

impl RunFiles {
    /// Finds the files of all runs, the newest first.
    pub(super) fn all(runs_dir: &Path) -> Vec<Self> {
        History::new(runs_dir).runs().into_par_iter().filter_map(|run| Self::find(runs_dir, run)).collect()
    }

    /// Finds the files of a run; `None` if nothing in its folder is the run's.
    pub(super) fn find(runs_dir: &Path, id: RunId) -> Option<Self> {
        let dir = runs_dir.join(id.as_str());
        let made = fs::symlink_metadata(&dir).ok().filter(fs::Metadata::is_dir)?;
        let (record, logs) = (Files::default(), Files::default());
        let mut run = Self { id, dir, is_alive: false, has_events: false, record, logs, lists: Vec::new() };
        // Events last: without them it would be unknown which logs are the run's.
        for name in [NEW_DURATIONS, DURATIONS, EVENTS] {
            run.has_events = run.record.add(run.dir.join(name)) && name == EVENTS;
        }
        let logs = run.dir.join(LOGS);
        if fs::symlink_metadata(&logs).is_ok_and(|logs| logs.is_dir()) {
            let names = fs::read_dir(&logs).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.file_name()));
            run.set_logs(names.filter(|name| Path::new(name).extension().is_some_and(|it| it == "log")).collect());
        }
        if run.record.paths.is_empty() && run.logs.paths.is_empty() {
            // A run that was killed before its first event leaves an empty folder.
            let is_empty = fs::read_dir(&run.dir).is_ok_and(|mut entries| entries.next().is_none());
            is_empty.then_some(())?;
            run.record.written_ms = written_ms(&made);
        }
        Some(run)
    }

    fn set_logs(&mut self, mut names: Vec<OsString>) {
        names.sort_unstable();
        self.logs = Files::default();
        for name in names {
            self.logs.add(self.dir.join(LOGS).join(name));
        }
    }

    /// Returns the time of the last write, in milliseconds since 1970.
    pub(super) fn written_ms(&self) -> u64 {
        self.record.written_ms.max(self.logs.written_ms)
    }

    /// Reads the lists of hits from the events, and keeps only the logs that the events name. The events of a run that
    /// was killed may not name all of its logs, so it keeps all.
    pub(super) fn read_events(&mut self) {
        if !self.has_events {
            return;
        }
        let Ok(file) = disk::open(&self.dir.join(EVENTS)) else { return };
        let mut named = HashSet::new();
        let mut is_finished = false;
        let mut line = Vec::new();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = std::str::from_utf8(&line).unwrap_or_default();
            let is = |event: &str| text.contains(event);
            is_finished = is(r#""event":"run_finished""#);
            if is(r#""event":"nodes_hit""#)
                && let Ok(TimedEvent { event: Event::NodesHit { list, .. }, .. }) = serde_json::from_str(text)
            {
                self.lists.push(list);
            } else if is(r#""event":"node_started""#)
                && let Ok(Started { log: Some(log) }) = serde_json::from_str(text)
            {
                named.extend(log.file_name().map(OsString::from));
            }
            line.clear();
        }
        if is_finished {
            let names = self.logs.paths.iter().filter_map(|path| path.file_name()).filter(|name| named.contains(*name));
            self.set_logs(names.map(OsString::from).collect());
        }
    }
}

/// Part of the line of a node that started.
#[derive(Deserialize)]
struct Started {
    log: Option<PathBuf>,
}
