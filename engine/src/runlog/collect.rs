//! Collects logs of runs together with the results of a store.
//!
//! A run has two parts, which go apart: what its nodes printed (`logs/`, the bulk of it), and its record, which is its events, its
//! durations and the lists of hits that it names. Both rank by when the run began, the record first, so that what a
//! run made stays longer than what it says of it. A run that lives stays whole: it holds a lock on its events. The record of the newest
//! run stays, and that of a run that is pinned.
//!
//! Only what runs make goes: regular files with the names that they give, and folders that are empty then. What people put there stays.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use orchestrate_cache::{Digest, GcPolicy, GcReport, LogUse, Store, StoreError, disk, is_held};
use rayon::prelude::*;
use serde::Deserialize;

use super::{DURATIONS, EVENTS, History, LOGS, RunId, hits};
use crate::event::{Event, Record};

/// What a killed run leaves of its durations.
const NEW_DURATIONS: &str = ".new-durations.json";

/// What was collected, or would be.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Of results and logs.
    pub report: GcReport,
    /// Runs of which bytes go.
    pub runs: usize,
}

/// How much runs wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogUsage {
    /// Runs that have left something.
    pub runs: usize,
    /// Bytes of events, durations, lists of hits and what nodes printed.
    pub size_bytes: u64,
}

/// Collects garbage of a store, logs of runs included; the records of `pinned` runs stay.
pub fn collect(store: &Store, policy: &GcPolicy, pinned: &HashSet<RunId>) -> Result<Collection, StoreError> {
    let runs_dir = store.runs_dir();
    let mut runs = RunFiles::all(&runs_dir);
    let newest = runs.iter().find(|run| run.has_events).map(|run| run.id.clone());
    runs.par_iter_mut().for_each(|run| {
        run.is_alive = is_held(&run.dir.join(EVENTS));
        run.read_events();
    });
    let lists = hits::collectable(&runs_dir);
    let (parts, uses) =
        parts(&runs, &lists, |run| run.is_alive || Some(&run.id) == newest.as_ref() || pinned.contains(&run.id));
    let mut report = store.gc_with_logs(policy, &uses)?;
    let going: HashSet<Part> = report.logs.iter().map(|number| parts[*number]).collect();
    let kept = |run: &usize| !going.contains(&Part::Record(*run));
    let named: HashSet<_> = (0..runs.len()).filter(kept).flat_map(|run| &runs[run].lists).collect();
    let known: HashSet<_> = runs.iter().flat_map(|run| &run.lists).collect();
    let unnamed: u64 = lists.iter().filter(|(list, _)| !known.contains(list)).map(|(_, size_bytes)| size_bytes).sum();
    report.log_bytes_freed += unnamed;
    report.bytes_freed += unnamed;
    if !policy.dry_run {
        let mut removal = Removal::default();
        for (number, run) in runs.iter().enumerate() {
            if going.contains(&Part::Logs(number)) {
                removal.remove(&run.logs, &[&run.dir.join(LOGS)]);
            }
            if going.contains(&Part::Record(number)) {
                removal.remove(&run.record, &[&run.dir.join(LOGS), &run.dir]);
            }
        }
        let unneeded = lists.keys().filter(|list| !named.contains(list));
        removal.remove(&unneeded.map(|list| hits::path(&runs_dir, list)).collect::<Vec<_>>(), &[]);
        removal.warn();
    }
    let is_more_than_names = |number: &&usize| uses[**number].size_bytes > 0;
    let runs: HashSet<_> = report.logs.iter().filter(is_more_than_names).map(|number| parts[*number].run()).collect();
    Ok(Collection { report, runs: runs.len() })
}

/// How much runs wrote below a folder.
pub fn usage(runs_dir: &Path) -> LogUsage {
    let runs = RunFiles::all(runs_dir);
    let lists: u64 = hits::lists(runs_dir).map(|(_, file)| file.len()).sum();
    let size_bytes = runs.iter().map(|run| run.record_bytes + run.log_bytes).sum::<u64>() + lists;
    LogUsage { runs: runs.len(), size_bytes }
}

/// One part of a run, by its place among the runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Record(usize),
    Logs(usize),
}

impl Part {
    fn run(self) -> usize {
        match self {
            Self::Record(run) | Self::Logs(run) => run,
        }
    }
}

/// The parts of all runs. A list of hits counts for the record that is worth the most among those that name it.
fn parts(
    runs: &[RunFiles],
    lists: &HashMap<Digest, u64>,
    stays: impl Fn(&RunFiles) -> bool,
) -> (Vec<Part>, Vec<LogUse>) {
    let (mut parts, mut uses) = (Vec::new(), Vec::new());
    let mut order: Vec<_> = (0..runs.len()).collect();
    order.sort_by_key(|number| !stays(&runs[*number]));
    let mut counted = HashSet::new();
    for number in order {
        let run = &runs[number];
        let (began_ms, written_ms) = (run.id.began_ms(), run.written_ms);
        let named = run.lists.iter().filter(|list| counted.insert(**list)).filter_map(|list| lists.get(list));
        let size_bytes = run.record_bytes + named.sum::<u64>();
        parts.push(Part::Record(number));
        uses.push(LogUse { size_bytes, began_ms, written_ms, protected: stays(run) });
        if !run.logs.is_empty() {
            parts.push(Part::Logs(number));
            uses.push(LogUse { size_bytes: run.log_bytes, began_ms, written_ms, protected: run.is_alive });
        }
    }
    (parts, uses)
}

/// The files that one run has left.
struct RunFiles {
    id: RunId,
    dir: PathBuf,
    is_alive: bool,
    has_events: bool,
    record: Vec<PathBuf>,
    record_bytes: u64,
    logs: Vec<PathBuf>,
    log_bytes: u64,
    /// Lists of hits that it names.
    lists: Vec<Digest>,
    /// When anything of it was last written, in milliseconds since 1970.
    written_ms: u64,
}

impl RunFiles {
    /// Those of all runs, the newest first.
    fn all(runs_dir: &Path) -> Vec<Self> {
        History::new(runs_dir).runs().par_iter().filter_map(|run| Self::find(runs_dir, run)).collect()
    }

    /// `None` where nothing in the folder is the run's.
    fn find(runs_dir: &Path, id: &RunId) -> Option<Self> {
        let dir = runs_dir.join(id.as_str());
        let made = fs::symlink_metadata(&dir).ok().filter(fs::Metadata::is_dir)?;
        let mut run = Self {
            id: id.clone(),
            is_alive: false,
            has_events: false,
            record: Vec::new(),
            record_bytes: 0,
            logs: Vec::new(),
            log_bytes: 0,
            lists: Vec::new(),
            written_ms: 0,
            dir,
        };
        // Events last: without them it would be unknown which logs are the run's.
        for name in [NEW_DURATIONS, DURATIONS, EVENTS] {
            let path = run.dir.join(name);
            if let Some((size_bytes, written_ms)) = regular(&path) {
                run.record_bytes += size_bytes;
                run.written_ms = run.written_ms.max(written_ms);
                run.has_events = name == EVENTS;
                run.record.push(path);
            }
        }
        let logs = run.dir.join(LOGS);
        if fs::symlink_metadata(&logs).is_ok_and(|logs| logs.is_dir()) {
            let names = fs::read_dir(&logs).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.file_name()));
            run.set_logs(names.filter(|name| Path::new(name).extension().is_some_and(|it| it == "log")).collect());
        }
        if run.record.is_empty() && run.logs.is_empty() {
            // A run that was killed before its first event has left an empty folder.
            let is_empty = fs::read_dir(&run.dir).is_ok_and(|mut entries| entries.next().is_none());
            is_empty.then_some(())?;
            run.written_ms = milliseconds(&made);
        }
        Some(run)
    }

    fn set_logs(&mut self, mut names: Vec<OsString>) {
        names.sort_unstable();
        (self.logs, self.log_bytes) = (Vec::new(), 0);
        for path in names.into_iter().map(|name| self.dir.join(LOGS).join(name)) {
            if let Some((size_bytes, written_ms)) = regular(&path) {
                self.log_bytes += size_bytes;
                self.written_ms = self.written_ms.max(written_ms);
                self.logs.push(path);
            }
        }
    }

    /// Finds lists of hits in its events, and which logs are its own: those that it names. One that did not come to its end may not
    /// name all.
    fn read_events(&mut self) {
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
                && let Ok(Record { event: Event::NodesHit { list, .. }, .. }) = serde_json::from_str(text)
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
            let names = self.logs.iter().filter_map(|path| path.file_name()).filter(|name| named.contains(*name));
            let names = names.map(OsString::from).collect();
            self.set_logs(names);
        }
    }
}

/// The start of a node, without the rest.
#[derive(Deserialize)]
struct Started {
    log: Option<PathBuf>,
}

/// Length and time of a regular file, the latter in milliseconds since 1970.
fn regular(path: &Path) -> Option<(u64, u64)> {
    let file = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((file.len(), milliseconds(&file)))
}

/// When it was last written.
fn milliseconds(file: &fs::Metadata) -> u64 {
    let written = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    u64::try_from(written.as_millis()).unwrap_or(u64::MAX)
}

/// Removes what it can; another user's files may stay.
#[derive(Default)]
struct Removal {
    failed: usize,
    first: Option<StoreError>,
}

impl Removal {
    fn remove(&mut self, files: &[PathBuf], then_dirs: &[&Path]) {
        for removed in files
            .iter()
            .map(|path| disk::remove_file(path))
            .chain(then_dirs.iter().map(|dir| disk::remove_empty_dir(dir).map(drop)))
        {
            if let Err(error) = removed {
                self.failed += 1;
                self.first.get_or_insert(error);
            }
        }
    }

    fn warn(self) {
        if let Some(first) = self.first {
            tracing::warn!("{} of logs of runs could not be removed: {first}", self.failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::time::{Duration, SystemTime};

    use orchestrate_cache::Access;

    use super::*;
    use crate::event::{Counts, Reporter};
    use crate::node::{NodeName, Point};
    use crate::runlog::RunLog;

    /// Everything that may go goes.
    const ALL: GcPolicy = GcPolicy { max_size_bytes: Some(1), max_age: None, keep_own: false, dry_run: false };

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(dir.path(), Access::ReadWrite).expect("the folder is empty");
        (dir, store)
    }

    /// The log of a run whose node `a` printed so much; not ended yet.
    fn begun(store: &Store, printed_bytes: usize) -> RunLog {
        let mut log = RunLog::create(&store.runs_dir());
        let node = NodeName::new("a", Point::default());
        let path = log.node_log(&node);
        let key = orchestrate_cache::ActionKey(Digest::of(b"a"));
        log.report(&Record::now(Event::NodeStarted { node, key, members: 1, log: Some(path.clone()) }));
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the store is writable");
        fs::write(path, vec![b'x'; printed_bytes]).expect("the store is writable");
        // The next run begins in another millisecond.
        std::thread::sleep(Duration::from_millis(2));
        log
    }

    fn finish(mut log: RunLog) -> PathBuf {
        log.report(&Record::now(Event::RunFinished { counts: Counts::default(), elapsed_ms: 1 }));
        log.dir().to_owned()
    }

    fn collect_all(store: &Store) -> Collection {
        collect(store, &ALL, &HashSet::new()).expect("nobody else collects")
    }

    #[test]
    fn old_runs_go_and_the_newest_keeps_its_events() {
        let (_dir, store) = store();
        let (old, new) = (finish(begun(&store, 5000)), finish(begun(&store, 7000)));
        let before = usage(&store.runs_dir());
        assert!(before.runs == 2 && (12_000..14_000).contains(&before.size_bytes), "{before:?}");
        let planned = collect(&store, &GcPolicy { dry_run: true, ..ALL }, &HashSet::new()).expect("it only looks");
        assert_eq!(usage(&store.runs_dir()), before, "a dry run changes nothing");
        let done = collect_all(&store);
        assert_eq!(done, planned);
        assert!(!old.exists() && new.join(EVENTS).exists() && !new.join(LOGS).exists());
        let after = usage(&store.runs_dir());
        assert_eq!((done.runs, done.report.log_bytes_freed), (2, before.size_bytes - after.size_bytes));
        assert_eq!((done.report.bytes_kept, done.report.bytes_protected), (after.size_bytes, after.size_bytes));
        assert_eq!(collect_all(&store).runs, 0, "nothing is left to do");
    }

    #[test]
    fn the_newest_logs_stay_as_far_as_they_fit() {
        let (_dir, store) = store();
        let runs: Vec<_> = (0..3).map(|_| finish(begun(&store, 5000))).collect();
        let policy = GcPolicy { max_size_bytes: Some(8000), ..ALL };
        let done = collect(&store, &policy, &HashSet::new()).expect("nobody else collects");
        let has_log = |run: &PathBuf| run.join(LOGS).join("a.log").exists();
        assert_eq!(runs.iter().map(has_log).collect::<Vec<_>>(), [false, false, true]);
        assert!(done.report.bytes_kept <= 8000 && usage(&store.runs_dir()).size_bytes <= 8000);
    }

    #[test]
    fn age_counts_from_the_end_of_a_run() {
        let (_dir, store) = store();
        let (old, young, newest) = (finish(begun(&store, 9)), finish(begun(&store, 9)), finish(begun(&store, 9)));
        let hour = Duration::from_secs(3600);
        for name in [EVENTS, "logs/a.log"] {
            let file = File::open(old.join(name)).expect("it is there");
            let ago = SystemTime::from(jiff::Timestamp::now()) - 2 * hour;
            file.set_modified(ago).expect("it is ours");
        }
        let policy = GcPolicy { max_size_bytes: None, max_age: Some(hour), ..ALL };
        assert_eq!(collect(&store, &policy, &HashSet::new()).expect("nobody else collects").runs, 1);
        assert!(!old.exists() && young.join("logs/a.log").exists() && newest.exists());
    }

    #[test]
    fn a_run_that_lives_stays_whole_and_one_that_was_killed_does_not() {
        let (_dir, store) = store();
        let alive = begun(&store, 5000);
        let killed = begun(&store, 5000).dir().to_owned();
        finish(begun(&store, 1));
        collect_all(&store);
        assert!(alive.dir().join("logs/a.log").exists());
        assert!(!killed.exists());
        let dir = finish(alive);
        assert!(collect_all(&store).runs == 1 && !dir.exists(), "it ended");
    }

    #[test]
    fn what_a_run_wrote_while_the_store_is_used_by_others_stays() {
        let (_dir, store) = store();
        let other = Store::open(store.dir(), Access::ReadWrite).expect("it is a store");
        let run = finish(begun(&store, 5000));
        finish(begun(&store, 1));
        assert_eq!(collect_all(&store).runs, 0, "they began before it, and may be reading it");
        drop(other);
        assert_eq!(collect_all(&store).runs, 2);
        assert!(!run.exists());
    }

    #[test]
    fn a_pinned_run_keeps_its_record() {
        let (_dir, store) = store();
        let log = begun(&store, 5000);
        let pinned = HashSet::from([log.id().clone()]);
        let dir = finish(log);
        finish(begun(&store, 1));
        collect(&store, &ALL, &pinned).expect("nobody else collects");
        assert!(dir.join(EVENTS).exists() && !dir.join(LOGS).exists());
    }

    #[test]
    fn what_people_put_among_the_logs_stays() {
        let (outside, store) = (tempfile::tempdir().expect("a temporary folder"), store());
        let store = &store.1;
        let old = finish(begun(store, 9));
        finish(begun(store, 9));
        let runs = store.runs_dir();
        let link = runs.join("20200131-174502-318-9f02ac");
        fs::write(outside.path().join(EVENTS), "mine").expect("the folder is writable");
        std::os::unix::fs::symlink(outside.path(), &link).expect("the folder is writable");
        std::os::unix::fs::symlink(outside.path().join(EVENTS), old.join("logs/link.log")).expect("it is writable");
        let mine = [
            old.join("notes.txt"),
            old.join("logs/notes.log"),
            old.join("logs/notes.txt"),
            runs.join("notes.txt"),
            runs.join("hits-of-mine"),
            outside.path().join(EVENTS),
        ];
        mine.iter().for_each(|path| fs::write(path, "mine").expect("the folder is writable"));
        collect_all(store);
        for path in mine.iter().chain([&link, &old.join("logs/link.log")]) {
            assert!(path.exists(), "{}", path.display());
        }
        assert!(!old.join(EVENTS).exists() && !old.join("logs/a.log").exists());
    }

    #[test]
    fn an_empty_folder_of_a_killed_run_goes() {
        let (_dir, store) = store();
        let dir = store.runs_dir().join("20200131-174502-318-9f02ac");
        fs::create_dir(&dir).expect("the store is writable");
        std::thread::sleep(Duration::from_millis(5));
        let policy = GcPolicy { max_age: Some(Duration::ZERO), ..ALL };
        collect(&store, &policy, &HashSet::new()).expect("nobody else collects");
        assert!(!dir.exists());
    }

    #[test]
    fn a_list_of_hits_stays_as_long_as_a_run_names_it_and_is_gone_after_an_hour() {
        let (_dir, store) = store();
        let lists = store.runs_dir().join("hits");
        fs::create_dir(&lists).expect("the store is writable");
        let list = |name: &str, hours: u64| {
            let digest = Digest::of(name.as_bytes());
            let mut file = File::create(lists.join(digest.to_string())).expect("the store is writable");
            file.write_all(&[7; 1000]).expect("the store is writable");
            let now = SystemTime::from(jiff::Timestamp::now());
            file.set_modified(now - Duration::from_secs(3600 * hours)).expect("it is ours");
            digest
        };
        let named_by = |list: Digest| {
            let mut log = begun(&store, 1);
            log.report(&Record::now(Event::NodesHit { nodes: 25, list }));
            finish(log)
        };
        let (unnamed, young, old, kept) = (list("unnamed", 2), list("young", 0), list("old", 2), list("kept", 2));
        named_by(old);
        named_by(kept);
        named_by(kept);
        let done = collect_all(&store);
        assert!(done.report.log_bytes_freed > 2000 && done.report.bytes_kept > 1000, "{:?}", done.report);
        let is_there = |list: Digest| lists.join(list.to_string()).exists();
        assert_eq!([unnamed, young, old, kept].map(is_there), [false, true, false, true]);
    }
}
