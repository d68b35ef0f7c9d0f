//! Queries of the logs of earlier runs: the keys that they used, the latest end of a node, durations.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use orchestrate_cache::{ActionKey, Digest, disk, is_held};
use rayon::prelude::*;
use serde::Deserialize;

use super::durations::Durations;
use super::hits::{self, HitList};
use super::layout::{DURATIONS, EVENTS, EVENTS_BYTES_MAX, LOGS, log_name};
use crate::event::{Counts, Event, Made, Origin, RunStarted, TimedEvent};
use crate::node::NodeName;
use crate::run_id::RunId;

/// The text before the name of a node in a line of a log.
const NODE: &str = r#""node":{"name":"#;

/// The text that marks a line with a list of hits.
const NODES_HIT: &str = r#""event":"nodes_hit""#;

/// The most bytes read of the first line of a log, which has all overrides of the run.
const LINE_BYTES_MAX: u64 = 1 << 26;

/// The most bytes read of the end of a log, for its last line.
const END_BYTES: u64 = 1 << 16;

/// The most runs searched for durations, including runs of hits only, which have none.
const DURATION_RUNS_SEARCHED: usize = 1000;

/// The most bytes of logs read for durations.
const DURATIONS_BYTES_MAX: usize = 1 << 28;

/// The logs of all runs of a store.
#[derive(Clone, Debug)]
pub struct History {
    runs_dir: PathBuf,
    makes_again: bool,
}

/// The last event of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The number of nodes by how they ended.
    pub counts: Counts,
    /// Duration of the run.
    pub elapsed_ms: u64,
    /// Tables and published folders.
    pub made: Made,
}

/// The end of a node in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeEnd {
    /// The run.
    pub run: RunId,
    /// The key of the node.
    pub key: ActionKey,
}

/// The latest ends of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latest {
    /// The latest failure, if the node has not succeeded since.
    pub failed: Option<NodeEnd>,
    /// The latest successes (the node was a hit, or ran), the newest first, each with another key.
    pub done: Vec<NodeEnd>,
}

impl History {
    /// Returns the history of the runs in a folder; none if the folder does not exist.
    pub fn new(runs_dir: impl Into<PathBuf>) -> Self {
        Self { runs_dir: runs_dir.into(), makes_again: false }
    }

    /// Lets queries make damaged summaries again from the events, if the folder can be written.
    pub fn makes_summaries_again(self) -> Self {
        Self { makes_again: true, ..self }
    }

    /// Returns all runs, the newest first.
    pub fn runs(&self) -> Vec<RunId> {
        let Ok(entries) = fs::read_dir(&self.runs_dir) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut runs: Vec<RunId> = names.filter_map(|name| name.parse().ok()).collect();
        runs.sort_unstable_by(|a, b| b.cmp(a));
        runs
    }

    /// Returns the folder of a run.
    pub(super) fn dir(&self, run: &RunId) -> PathBuf {
        self.runs_dir.join(run.as_str())
    }

    /// Returns all readable events of a run, in order.
    pub fn events(&self, run: &RunId) -> io::Result<Vec<TimedEvent>> {
        let text = self.text(run)?;
        Ok(lines(&text).filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Returns the first event of a run, which says what was asked for; `None` if it is damaged.
    pub fn started(&self, run: &RunId) -> io::Result<Option<RunStarted>> {
        let mut first = String::new();
        let file = disk::open(&self.dir(run).join(EVENTS)).map_err(io::Error::other)?;
        BufReader::new(file.take(LINE_BYTES_MAX)).read_line(&mut first)?;
        Ok(match serde_json::from_str(first.trim_end()) {
            Ok(TimedEvent { event: Event::RunStarted(started), .. }) => Some(started),
            _ => None,
        })
    }

    /// Returns the last event of a run, if the run has ended; reads the end of its log alone.
    pub fn finished(&self, run: &RunId) -> io::Result<Option<Finished>> {
        let mut file = disk::open(&self.dir(run).join(EVENTS)).map_err(io::Error::other)?;
        let length = file.metadata()?.len();
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES)))?;
        file.take(END_BYTES).read_to_end(&mut end)?;
        let last = end.strip_suffix(b"\n").and_then(|end| end.rsplit(|byte| *byte == b'\n').next());
        Ok(match last.map(serde_json::from_slice) {
            Some(Ok(TimedEvent { event: Event::RunFinished { counts, elapsed_ms, made, .. }, .. })) => {
                Some(Finished { counts, elapsed_ms, made })
            }
            _ => None,
        })
    }

    /// Returns whether a run still writes its log.
    pub fn is_alive(&self, run: &RunId) -> bool {
        is_held(&self.dir(run).join(EVENTS))
    }

    /// Returns the keys of all hits of a run and of all nodes that ran, sorted, without duplicates.
    ///
    /// Errors: a log that cannot be read, or a list of hits that is lost.
    pub fn keys(&self, run: &RunId) -> io::Result<Vec<ActionKey>> {
        self.keys_in(run, &self.text(run)?)
    }

    /// Returns the same of a run whose log was read.
    pub(super) fn keys_in(&self, run: &RunId, text: &str) -> io::Result<Vec<ActionKey>> {
        let mut keys = Vec::new();
        for line in lines(text) {
            if let Some(list) = self.hit_list(line) {
                let lost = || io::Error::other(format!("the list of hits of run {run} is lost"));
                keys.extend(list.ok_or_else(lost)?.keys());
            } else if let Some(End { key, failed: false }) = End::read(line) {
                keys.push(key);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Returns the end of a node in the newest run where it was a hit, ran, or failed with a known key.
    pub fn latest(&self, node: &str) -> Option<NodeEnd> {
        let mut latest = self.latest_of(&HashSet::from([node]), &self.runs(), 1).remove(node)?;
        latest.failed.take().or_else(|| latest.done.pop())
    }

    /// Returns the runs of a study, the newest first: those of the same spec, or of the same experiment in the same
    /// project. Reads the first lines of the newest `searched` runs.
    pub fn runs_of(&self, spec: &Path, root: &Path, experiment: &str, searched: usize) -> Vec<RunId> {
        let is_of = |run: &RunId| {
            let Ok(Some(started)) = self.started(run) else { return false };
            let is_same = |origin: &Origin| origin.experiment == experiment && origin.root == root;
            started.spec == spec || started.origin.as_deref().is_some_and(is_same)
        };
        let runs: Vec<_> = self.runs().into_iter().take(searched).collect();
        runs.into_par_iter().filter(is_of).collect()
    }

    /// Returns the latest ends of some nodes, by name, in some runs, the newest first; for each node up to `max_ends`
    /// successes with different keys. Stops at the first run after which nothing is wanted.
    pub fn latest_of(&self, nodes: &HashSet<&str>, runs: &[RunId], max_ends: usize) -> HashMap<String, Latest> {
        let mut found: HashMap<String, Latest> = HashMap::new();
        let count = |found: &HashMap<String, Latest>, node: &str| found.get(node).map_or(0, |it| it.done.len());
        let prefixes: Vec<_> = nodes.iter().map(|node| (*node, hits::prefix(node))).collect();
        let mut lists = HashSet::new();
        for run in runs {
            if nodes.iter().all(|node| count(&found, node) >= max_ends) {
                break;
            }
            let Ok(text) = self.text(run) else { continue };
            // Nodes that ended in this run: the last event of a node counts.
            let mut ended = HashSet::new();
            let add = |found: &mut HashMap<String, Latest>, node: &str, key| {
                let latest = found.entry(node.to_owned()).or_default();
                if latest.done.len() < max_ends && latest.done.iter().all(|end| end.key != key) {
                    latest.done.push(NodeEnd { run: run.clone(), key });
                }
            };
            for line in lines(&text).rev() {
                if let Some(name) = list_in(line) {
                    // Runs of the same hits share a list.
                    let list = lists.insert(name).then(|| HitList::read(&self.runs_dir, &name)).flatten();
                    for (node, prefix) in list.iter().flat_map(|_| &prefixes) {
                        if let Some(key) = list.as_ref().and_then(|list| list.key_at(prefix)) {
                            add(&mut found, node, key);
                        }
                    }
                } else if let Some(node) = name_in(line).filter(|node| nodes.contains(node.as_str()))
                    && !ended.contains(&node)
                    && let Some(End { key, failed }) = End::read(line)
                {
                    if !failed {
                        add(&mut found, &node, key);
                    } else if count(&found, &node) == 0 {
                        let latest = found.entry(node.clone()).or_default();
                        latest.failed.get_or_insert_with(|| NodeEnd { run: run.clone(), key });
                    }
                    ended.insert(node);
                }
            }
        }
        found
    }

    /// Returns the path of a node's log in the newest run that has one.
    pub fn node_log(&self, node: &str) -> Option<PathBuf> {
        let name = log_name(node);
        self.runs().iter().map(|run| self.dir(run).join(LOGS).join(&name)).find(|path| path.is_file())
    }

    /// Returns the durations of nodes in the newest `max_runs` runs in which a node ran.
    ///
    /// The search ends after a thousand runs, or after reading 256 MiB of logs.
    pub fn durations(&self, max_runs: usize) -> Durations {
        let mut durations = Durations::default();
        let (mut runs_left, mut bytes_left) = (max_runs, DURATIONS_BYTES_MAX);
        for run in self.runs().into_iter().take(DURATION_RUNS_SEARCHED) {
            if runs_left == 0 || bytes_left == 0 {
                break;
            }
            let path = self.dir(&run).join(DURATIONS);
            let mut found = Durations::read(&path).unwrap_or_default();
            // The run was killed before it wrote the file, or had hits only; or the file is damaged.
            if found.is_empty()
                && let Ok(text) = self.text(&run)
            {
                found = durations_in(&text);
                bytes_left = bytes_left.saturating_sub(text.len());
                if self.makes_again && path.is_file() {
                    // It is read again next time if that fails.
                    let _ = found.write(&path);
                }
            }
            if !found.is_empty() {
                durations.extend(found);
                runs_left -= 1;
            }
        }
        durations
    }

    /// Returns the durations of the nodes that ran in a run, by its events.
    pub(super) fn durations_in(&self, run: &RunId) -> io::Result<Durations> {
        Ok(durations_in(&self.text(run)?))
    }

    /// Returns the list of hits that a line names: `None` if it names none, `Some(None)` if the list is lost.
    fn hit_list(&self, line: &str) -> Option<Option<HitList>> {
        list_in(line).map(|list| HitList::read(&self.runs_dir, &list))
    }

    /// Returns the log of a run.
    pub(super) fn text(&self, run: &RunId) -> io::Result<String> {
        let bytes = disk::read(&self.dir(run).join(EVENTS), EVENTS_BYTES_MAX)?;
        // A torn line can end inside a character.
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }
}

/// An event that ends a node and has its key.
struct End {
    key: ActionKey,
    failed: bool,
}

impl End {
    fn read(line: &str) -> Option<Self> {
        /// Some fields of a line: to parse it as an `Event` takes five times as long.
        #[derive(Deserialize)]
        struct Line<'a> {
            event: &'a str,
            key: ActionKey,
        }
        let Line { event, key } = serde_json::from_str(line).ok()?;
        let ends = matches!(event, "node_hit" | "node_ran" | "node_failed");
        ends.then_some(Self { key, failed: event == "node_failed" })
    }
}

/// Some fields of the event `node_ran`.
#[derive(Deserialize)]
struct Ran {
    node: NodeName,
    elapsed_ms: u64,
}

fn durations_in(text: &str) -> Durations {
    let mut durations = Durations::default();
    for line in lines(text) {
        if line.contains(r#""event":"node_ran""#) {
            if let Ok(Ran { node, elapsed_ms }) = serde_json::from_str(line) {
                durations.add(&node, elapsed_ms);
            }
        } else if line.contains(r#""event":"batch_used""#)
            && let Ok(TimedEvent { event: Event::BatchUsed { node, members, used, .. }, .. }) =
                serde_json::from_str(line)
        {
            durations.add_used(&node, members, &used);
        }
    }
    durations
}

fn lines(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split('\n').filter(|line| !line.is_empty())
}

/// Returns the name of the list of hits in a line.
fn list_in(line: &str) -> Option<Digest> {
    if !line.contains(NODES_HIT) {
        return None;
    }
    match serde_json::from_str(line) {
        Ok(TimedEvent { event: Event::NodesHit { list, .. }, .. }) => Some(list),
        _ => None,
    }
}

/// Returns the name of the node in a line; parses only that, for speed.
fn name_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(NODE)?;
    serde_json::Deserializer::from_str(rest).into_iter().next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Counts, Reporter};
    use crate::node::Point;
    use crate::runlog::RunLog;
    use crate::usage::{Needs, Usage};
    use orchestrate_cache::Digest;
    use serde_json::json;
    use std::io::Write;
    use std::path::Path;

    fn score(fold: u32) -> NodeName {
        NodeName::new("score", Point(vec![("fold".into(), json!(fold))]))
    }

    fn key(byte: u8) -> ActionKey {
        ActionKey(Digest::from_bytes([byte; 32]))
    }

    fn ran(node: NodeName, byte: u8, elapsed_ms: u64) -> Event {
        Event::NodeRan { node, key: key(byte), outputs: vec![], elapsed_ms }
    }

    fn write_run(runs_dir: &Path, events: Vec<Event>) -> RunId {
        let mut log = RunLog::create(runs_dir);
        for event in events {
            log.report(&TimedEvent::now(event));
        }
        // The next run starts in another millisecond, so that it sorts after this one.
        std::thread::sleep(std::time::Duration::from_millis(2));
        log.id().clone()
    }

    #[test]
    fn latest_end_of_a_node_is_the_last_one_with_a_key() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let first = write_run(runs.path(), vec![ran(score(1), 1, 5), ran(score(2), 2, 5)]);
        let blocked = Event::NodeBlocked { node: score(2), by: "train".into() };
        let hit = Event::NodeHit { node: score(1), key: key(3), outputs: vec![] };
        let second = write_run(runs.path(), vec![hit, ran(score(1), 4, 6), blocked]);
        let history = History::new(runs.path());
        assert_eq!(history.runs(), [second.clone(), first.clone()]);
        let latest = history.latest("score[fold=1]").expect("it ran twice");
        assert_eq!((latest.run, latest.key), (second, key(4)));
        let latest = history.latest("score[fold=2]").expect("it ran in the first run");
        assert_eq!((latest.run, latest.key), (first, key(2)));
        assert_eq!(history.latest("score[fold=3]"), None);
        let both = HashSet::from(["score[fold=1]", "score[fold=2]"]);
        assert_eq!(history.latest_of(&both, &history.runs()[..1], 1).len(), 1);
    }

    #[test]
    fn keys_of_a_run_are_those_that_it_hit_or_made() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let failed =
            Event::NodeFailed { node: score(3), key: Some(key(3)), cause: "it broke".into(), log: None, elapsed_ms: 1 };
        let hit = Event::NodeHit { node: score(2), key: key(2), outputs: vec![] };
        let run = write_run(runs.path(), vec![ran(score(1), 1, 5), hit.clone(), hit, failed]);
        let history = History::new(runs.path());
        assert_eq!(history.keys(&run).expect("the log is there"), [key(1), key(2)]);
        let lost = Event::NodesHit { nodes: 200, list: Digest::of(b"no list") };
        let run = write_run(runs.path(), vec![lost]);
        assert!(history.keys(&run).is_err_and(|error| error.to_string().contains("is lost")));
    }

    #[test]
    fn failure_does_not_hide_the_latest_success() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let failed = |byte| Event::NodeFailed {
            node: score(1),
            key: Some(key(byte)),
            cause: "it broke".into(),
            log: None,
            elapsed_ms: 1,
        };
        write_run(runs.path(), vec![failed(1)]);
        write_run(runs.path(), vec![ran(score(1), 2, 5)]);
        write_run(runs.path(), vec![failed(3)]);
        write_run(runs.path(), vec![failed(4)]);
        let history = History::new(runs.path());
        let latest = history.latest_of(&HashSet::from(["score[fold=1]"]), &history.runs(), 9);
        let latest = &latest["score[fold=1]"];
        assert_eq!(latest.failed.as_ref().map(|end| end.key), Some(key(4)));
        assert_eq!(latest.done.iter().map(|end| end.key).collect::<Vec<_>>(), [key(2)]);
    }

    #[test]
    fn successes_with_other_keys_are_found_from_the_newest_on() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        for byte in [1, 2, 2, 3] {
            write_run(runs.path(), vec![ran(score(1), byte, 5)]);
        }
        let history = History::new(runs.path());
        let keys = |max_ends| {
            let latest = history.latest_of(&HashSet::from(["score[fold=1]"]), &history.runs(), max_ends);
            latest["score[fold=1]"].done.iter().map(|end| end.key).collect::<Vec<_>>()
        };
        assert_eq!((keys(1), keys(9)), (vec![key(3)], vec![key(3), key(2), key(1)]));
    }

    #[test]
    fn runs_of_a_study_are_those_of_its_spec_or_of_its_experiment_in_its_project() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let started = |run: &RunId, spec: &str, experiment: Option<&str>| {
            let origin = experiment.map(|experiment| Origin {
                experiment: experiment.to_owned(),
                root: "/p".into(),
                ..Origin::default()
            });
            let (spec, version, device) = (spec.into(), "1".to_owned(), "cpu".to_owned());
            let (overrides, origin) = (Vec::new(), origin.map(Box::new));
            Event::RunStarted(RunStarted {
                run: run.clone(),
                spec,
                overrides,
                nodes: 1,
                jobs: 1,
                device,
                version,
                origin,
            })
        };
        for (spec, experiment) in [("/p/a.toml", None), ("/p/b.toml", Some("x")), ("/q/b.toml", Some("y"))] {
            let mut log = RunLog::create(runs.path());
            let event = started(log.id(), spec, experiment);
            log.report(&TimedEvent::now(event));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let of = |spec: &str, root: &str, experiment| {
            History::new(runs.path()).runs_of(Path::new(spec), Path::new(root), experiment, 9).len()
        };
        assert_eq!((of("/p/a.toml", "/p", "x"), of("/p/c.toml", "/p", "x"), of("/q/a.toml", "/q", "x")), (2, 1, 0));
        assert_eq!(of("/q/b.toml", "/q", "z"), 1);
    }

    #[test]
    fn the_last_line_of_a_finished_log_is_read_alone() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let counts = Counts { nodes: 1, ran: 1, ..Counts::default() };
        let made = Made {
            tables: vec![("table".to_owned(), orchestrate_cache::OutputDigest(Digest::of(b"t")))],
            ..Made::default()
        };
        let end = Event::RunFinished { counts, elapsed_ms: 7, made: made.clone(), remote: None };
        let run = write_run(runs.path(), vec![ran(score(1), 1, 5), end]);
        let killed = write_run(runs.path(), vec![ran(score(1), 1, 5)]);
        let history = History::new(runs.path());
        let finished = |run| history.finished(run).expect("the log is there");
        assert_eq!((finished(&run), finished(&killed)), (Some(Finished { counts, elapsed_ms: 7, made }), None));
    }

    #[test]
    fn torn_line_and_foreign_event_are_skipped() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let run = write_run(runs.path(), vec![ran(score(1), 1, 5)]);
        let path = runs.path().join(run.as_str()).join(EVENTS);
        let mut file = fs::File::options().append(true).open(path).expect("the log is there");
        let torn = "{\"at_ms\":3,\"event\":\"later\"}\n{\"at_ms\":4,\"event\":\"node_ran\",\"node\":{\"name\":\"scöre";
        file.write_all(&torn.as_bytes()[..torn.len() - 3]).expect("the log is writable");
        let history = History::new(runs.path());
        assert_eq!(history.events(&run).expect("the log is there").len(), 1);
        assert_eq!(history.latest("score[fold=1]").map(|latest| latest.key), Some(key(1)));
    }

    #[test]
    fn estimate_is_the_nodes_latest_duration_or_the_mean_of_its_stage() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        write_run(runs.path(), vec![ran(score(1), 1, 100)]);
        write_run(runs.path(), vec![ran(score(1), 1, 200), ran(score(2), 1, 600)]);
        let durations = History::new(runs.path()).durations(9);
        assert_eq!(durations.estimate_ms(&score(1)), Some(200));
        assert_eq!(durations.estimate_ms(&score(7)), Some(300));
        assert_eq!(durations.estimate_ms(&NodeName::new("table", Point::default())), None);
    }

    #[test]
    fn needs_of_a_stage_are_the_greatest_of_recent_runs() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let summary =
            || Event::RunFinished { counts: Counts::default(), elapsed_ms: 1, made: Default::default(), remote: None };
        let used = |peak_bytes, wall_ms| Event::BatchUsed {
            node: score(1),
            members: 2,
            used: Usage { cpu_ms: 4, peak_bytes, wall_ms },
            asked: None,
        };
        // Of a run with a summary, of a killed one, and of a version that measured nothing.
        write_run(runs.path(), vec![used(9, 3), ran(score(1), 1, 3), summary()]);
        write_run(runs.path(), vec![used(7, 5), ran(score(1), 1, 5)]);
        write_run(runs.path(), vec![ran(score(1), 1, 5), summary()]);
        let durations = History::new(runs.path()).durations(9);
        let needs = Needs { batches: 2, peak_bytes: 9, batch_ms: 5, members: 2, cpu_ms: 8, wall_ms: 8 };
        assert_eq!((durations.needs("score"), durations.needs("train")), (Some(needs), None));
    }

    #[test]
    fn damaged_durations_are_made_again_from_the_events_by_whoever_may_write() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let summary = Event::RunFinished {
            counts: Counts { nodes: 1, ran: 1, ..Counts::default() },
            elapsed_ms: 1,
            made: Default::default(),
            remote: None,
        };
        let run = write_run(runs.path(), vec![ran(score(1), 1, 200), summary]);
        let path = runs.path().join(run.as_str()).join(DURATIONS);
        let whole = Durations::read(&path).expect("it was just written");
        fs::write(&path, "damaged").expect("the folder is writable");
        let history = History::new(runs.path());
        assert_eq!(history.durations(9).estimate_ms(&score(1)), Some(200));
        assert_eq!(Durations::read(&path), None, "nobody asked to write");
        assert_eq!(history.makes_summaries_again().durations(9).estimate_ms(&score(1)), Some(200));
        assert_eq!(Durations::read(&path), Some(whole));
    }

    #[test]
    fn runs_of_hits_only_do_not_push_durations_out() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let summary = |ran| Event::RunFinished {
            counts: Counts { nodes: 1, ran, ..Counts::default() },
            elapsed_ms: 1,
            made: Default::default(),
            remote: None,
        };
        write_run(runs.path(), vec![ran(score(1), 1, 10), summary(1)]);
        for _ in 0..3 {
            write_run(runs.path(), vec![summary(0)]);
        }
        assert_eq!(History::new(runs.path()).durations(1).estimate_ms(&score(1)), Some(10));
    }

    #[test]
    fn node_log_is_that_of_the_newest_run_that_wrote_one() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let first = RunLog::create(runs.path());
        let path = first.node_log(&score(1));
        fs::create_dir(path.parent().expect("it lies in a folder")).expect("the folder of the run is writable");
        fs::write(&path, "epoch 1").expect("the folder is writable");
        write_run(runs.path(), vec![]);
        assert_eq!(History::new(runs.path()).node_log("score[fold=1]"), Some(path));
        assert_eq!(History::new(runs.path()).node_log("score[fold=2]"), None);
    }

    #[test]
    fn no_runs_are_no_history() {
        let history = History::new("/nonexistent/runs");
        assert_eq!((history.runs(), history.latest("table")), (vec![], None));
    }
}
