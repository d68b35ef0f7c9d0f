//! Garbage collection of run logs, together with the results of a store.
//!
//! The files of a run form two units, collected apart: the node logs (`logs/`, most of the bytes) and the record, which
//! is the events, the durations and the lists of hits that the events refer to. Both rank by the start of the run, the
//! record first, so that results of a run stay longer than its logs. A live run stays whole: it holds a lock on its
//! events. The record of the newest run stays, and so does that of a pinned run.
//!
//! Only files that runs make are removed: regular files with the names of `layout.rs`, and folders that are empty then.
//! Files that people put there stay.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use orchestrate_cache::{Digest, GcPolicy, GcReport, LogUse, Store, StoreError, disk, is_held};
use rayon::prelude::*;

use super::files::RunFiles;
use super::hits;
use super::layout::{EVENTS, LOGS};
use crate::run_id::RunId;

/// The result of a collection, or of a dry run.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Results and logs.
    pub report: GcReport,
    /// The number of runs that lose bytes.
    pub runs: usize,
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
    let stays = |run: &RunFiles| run.is_alive || Some(&run.id) == newest.as_ref() || pinned.contains(&run.id);
    let units = units(&runs, &lists, stays);
    let uses: Vec<_> = units.iter().map(|unit| unit.usage).collect();
    let mut report = store.gc_with_logs(policy, &uses)?;
    let removed: Vec<&Unit<'_>> = report.logs.iter().map(|index| &units[*index]).collect();
    let known: HashSet<_> = runs.iter().flat_map(|run| &run.lists).collect();
    let unnamed: u64 = lists.iter().filter(|(list, _)| !known.contains(list)).map(|(_, size_bytes)| size_bytes).sum();
    report.log_bytes_freed += unnamed;
    report.bytes_freed += unnamed;
    if !policy.dry_run {
        let mut removal = Removal::default();
        // Logs first: without the record it would be unknown which logs are the run's.
        for Unit { run, .. } in removed.iter().filter(|unit| !unit.is_record) {
            removal.remove(&run.logs.paths, &[&run.dir.join(LOGS)]);
        }
        for Unit { run, .. } in removed.iter().filter(|unit| unit.is_record) {
            removal.remove(&run.record.paths, &[&run.dir.join(LOGS), &run.dir]);
        }
        let gone: HashSet<_> = removed.iter().filter(|unit| unit.is_record).map(|unit| &unit.run.id).collect();
        let named: HashSet<_> = runs.iter().filter(|run| !gone.contains(&run.id)).flat_map(|run| &run.lists).collect();
        let unneeded = lists.keys().filter(|list| !named.contains(list));
        removal.remove(&unneeded.map(|list| hits::path(&runs_dir, list)).collect::<Vec<_>>(), &[]);
        removal.warn();
    }
    let runs: HashSet<_> =
        removed.iter().filter(|unit| unit.usage.size_bytes > 0).map(|unit| unit.run.id.clone()).collect();
    Ok(Collection { report, runs: runs.len() })
}

/// Files of a run that are collected together.
struct Unit<'r> {
    run: &'r RunFiles,
    /// True for the record of the run, false for its node logs.
    is_record: bool,
    usage: LogUse,
}

/// Returns the units of all runs. A list of hits counts for the most valuable record that refers to it.
fn units<'r>(runs: &'r [RunFiles], lists: &HashMap<Digest, u64>, stays: impl Fn(&RunFiles) -> bool) -> Vec<Unit<'r>> {
    let mut units = Vec::new();
    let mut order: Vec<_> = runs.iter().collect();
    order.sort_by_key(|run| !stays(run));
    let mut counted = HashSet::new();
    for run in order {
        let usage = |size_bytes, protected| LogUse {
            size_bytes,
            began_ms: run.id.began_ms(),
            written_ms: run.written_ms(),
            protected,
        };
        let named = run.lists.iter().filter(|list| counted.insert(**list)).filter_map(|list| lists.get(list));
        let size_bytes = run.record.size_bytes + named.sum::<u64>();
        units.push(Unit { run, is_record: true, usage: usage(size_bytes, stays(run)) });
        if !run.logs.paths.is_empty() {
            units.push(Unit { run, is_record: false, usage: usage(run.logs.size_bytes, run.is_alive) });
        }
    }
    units
}

/// Removes files as far as permissions allow; another user's files may stay.
#[derive(Default)]
pub(super) struct Removal {
    failed: usize,
    first: Option<StoreError>,
}

impl Removal {
    pub(super) fn remove(&mut self, files: &[PathBuf], then_dirs: &[&Path]) {
        let files = files.iter().map(|path| disk::remove_file(path));
        let dirs = then_dirs.iter().map(|dir| disk::remove_empty_dir(dir).map(drop));
        for error in files.chain(dirs).filter_map(Result::err) {
            self.failed += 1;
            self.first.get_or_insert(error);
        }
    }

    /// Returns the first error.
    pub(super) fn outcome(self) -> Result<(), StoreError> {
        self.first.map_or(Ok(()), Err)
    }

    fn warn(self) {
        if let Some(first) = self.first {
            tracing::warn!("{} of logs of runs could not be removed: {first}", self.failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    use orchestrate_cache::{Access, Digest};

    use super::*;
    use crate::event::{Counts, Event, Reporter, TimedEvent};
    use crate::node::{NodeName, Point};
    use crate::runlog::{RunLog, usage};

    /// Collects everything that may be collected.
    const ALL: GcPolicy = GcPolicy { max_size_bytes: Some(1), max_age: None, keep_own: false, dry_run: false };

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(dir.path(), Access::ReadWrite).expect("the folder is empty");
        (dir, store)
    }

    /// Starts the log of a run whose node `a` printed that many bytes.
    fn begun(store: &Store, printed_bytes: usize) -> RunLog {
        let mut log = RunLog::create(&store.runs_dir());
        let node = NodeName::new("a", Point::default());
        let path = log.node_log(&node);
        let key = orchestrate_cache::ActionKey(Digest::of(b"a"));
        log.report(&TimedEvent::now(Event::NodeStarted { node, key, members: 1, log: Some(path.clone()) }));
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the store is writable");
        fs::write(path, vec![b'x'; printed_bytes]).expect("the store is writable");
        // The next run begins in another millisecond.
        std::thread::sleep(Duration::from_millis(2));
        log
    }

    fn finish(mut log: RunLog) -> PathBuf {
        log.report(&TimedEvent::now(Event::RunFinished {
            counts: Counts::default(),
            elapsed_ms: 1,
            made: Default::default(),
            remote: None,
        }));
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
    fn a_live_run_stays_whole_and_a_killed_one_does_not() {
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
    fn logs_of_runs_that_have_ended_may_go_while_others_use_the_store() {
        let (_dir, store) = store();
        let _other = Store::open(store.dir(), Access::ReadWrite).expect("it is a store");
        let run = finish(begun(&store, 5000));
        finish(begun(&store, 1));
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
    fn files_of_people_among_the_logs_stay() {
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
    fn a_list_of_hits_stays_while_a_run_refers_to_it_and_for_an_hour() {
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
            log.report(&TimedEvent::now(Event::NodesHit { nodes: 25, list }));
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
