//! What the logs of earlier runs tell: when a node last ended, with which key, and how long nodes take.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use orchestrate_cache::{ActionKey, Digest, disk};
use serde::Deserialize;

use super::hits::HitList;
use super::{DURATIONS, Durations, EVENTS, EVENTS_BYTES_MAX, LOGS, RunId, log_name};
use crate::event::{Event, Record, RunStarted};
use crate::node::NodeName;

/// What stands before the name of a node in a line.
const NODE: &str = r#""node":{"name":"#;

/// What a line that names a list of hits has in it.
const NODES_HIT: &str = r#""event":"nodes_hit""#;

/// The first line of a log, with all overrides of a run, is shorter.
const LINE_BYTES_MAX: u64 = 1 << 26;
/// Runs that are searched for durations, most of which may be of hits only.
const RUNS_SEARCHED: usize = 1000;

/// The logs of all runs of a store.
#[derive(Clone, Debug)]
pub struct History {
    runs_dir: PathBuf,
}

/// How a node ended in one run.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRecord {
    /// The run.
    pub run: RunId,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// `hit`, `ran` or `failed`.
    pub status: &'static str,
    /// Its key.
    pub key: ActionKey,
}

/// How a node ended last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latest {
    /// The newest record that it failed, if it did not end well since.
    pub failed: Option<NodeRecord>,
    /// The newest record that it was a hit or ran.
    pub done: Option<NodeRecord>,
}

impl History {
    /// The runs below a folder, which need not exist.
    pub fn new(runs_dir: impl Into<PathBuf>) -> Self {
        Self { runs_dir: runs_dir.into() }
    }

    /// All runs, the newest first.
    pub fn runs(&self) -> Vec<RunId> {
        let Ok(entries) = fs::read_dir(&self.runs_dir) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut runs: Vec<RunId> = names.filter_map(|name| name.parse().ok()).collect();
        runs.sort_unstable_by(|a, b| b.cmp(a));
        runs
    }

    /// The folder of a run.
    pub fn dir(&self, run: &RunId) -> PathBuf {
        self.runs_dir.join(run.as_str())
    }

    /// All events of a run that can be read, in order.
    pub fn records(&self, run: &RunId) -> io::Result<Vec<Record>> {
        let text = self.text(run)?;
        Ok(lines(&text).filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// What a run was asked to do: the first event of its log that can be read.
    pub fn started(&self, run: &RunId) -> io::Result<Option<RunStarted>> {
        let mut first = String::new();
        let file = disk::open(&self.dir(run).join(EVENTS)).map_err(io::Error::other)?;
        BufReader::new(file.take(LINE_BYTES_MAX)).read_line(&mut first)?;
        Ok(match serde_json::from_str(first.trim_end()) {
            Ok(Record { event: Event::RunStarted(started), .. }) => Some(started),
            _ => None,
        })
    }

    /// The keys of all results that a run used or made, each once, sorted.
    ///
    /// Errors: a log that cannot be read, or a list of hits that is lost.
    pub fn keys(&self, run: &RunId) -> io::Result<Vec<ActionKey>> {
        let text = self.text(run)?;
        let mut keys = Vec::new();
        for line in lines(&text) {
            if let Some(listed) = self.listed(line) {
                let lost = || io::Error::other(format!("the list of hits of run {run} is lost"));
                keys.extend(listed.list.ok_or_else(lost)?.keys());
            } else if let Some(record) = NodeRecord::read(line, run).filter(|record| record.status != "failed") {
                keys.push(record.key);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// How the node of that name ended in the newest run where it got a key.
    pub fn latest(&self, node: &str) -> Option<NodeRecord> {
        let name = serde_json::to_string(node).expect("a name is a text");
        let needle = format!("{NODE}{name}");
        self.runs().iter().find_map(|run| {
            let text = self.text(run).ok()?;
            // The last event of a node holds.
            lines(&text).rev().find_map(|line| match self.listed(line) {
                Some(listed) => listed.record(node, run),
                None if line.contains(&needle) => NodeRecord::read(line, run),
                None => None,
            })
        })
    }

    /// How each of the nodes ended in the newest run where it got a key, among the newest `max_runs` runs.
    pub fn latest_of(&self, nodes: &HashSet<&str>, max_runs: usize) -> HashMap<String, Latest> {
        let mut found: HashMap<String, Latest> = HashMap::new();
        let mut complete = 0;
        for run in self.runs().into_iter().take(max_runs) {
            if complete == nodes.len() {
                break;
            }
            let Ok(text) = self.text(&run) else { continue };
            for line in lines(&text).rev() {
                if let Some(listed) = self.listed(line) {
                    for name in nodes {
                        if found.get(*name).is_some_and(|latest| latest.done.is_some()) {
                            continue;
                        }
                        if let Some(record) = listed.record(name, &run) {
                            found.entry((*name).to_owned()).or_default().done = Some(record);
                            complete += 1;
                        }
                    }
                    continue;
                }
                let Some(name) = name_in(line).filter(|name| nodes.contains(name.as_str())) else { continue };
                if found.get(&name).is_some_and(|latest| latest.done.is_some()) {
                    continue;
                }
                let Some(record) = NodeRecord::read(line, &run) else { continue };
                let latest = found.entry(name).or_default();
                match record.status {
                    "failed" => latest.failed = latest.failed.take().or(Some(record)),
                    _ => {
                        latest.done = Some(record);
                        complete += 1;
                    }
                }
            }
        }
        found
    }

    /// The newest log of the node of that name, among all runs where it has one.
    pub fn node_log(&self, node: &str) -> Option<PathBuf> {
        let runs = self.runs();
        let find =
            |name: String| runs.iter().map(|run| self.dir(run).join(LOGS).join(&name)).find(|path| path.is_file());
        find(log_name(node)).or_else(|| find(earlier_log_name(node)))
    }

    /// How long nodes took in the newest `max_runs` runs in which a node ran.
    ///
    /// Runs of hits only are passed over without reading them, and the search ends after a thousand runs or a quarter of a gigabyte.
    pub fn durations(&self, max_runs: usize) -> Durations {
        let mut durations = Durations::default();
        let mut bytes_left = 1_usize << 28;
        let runs = self.runs().into_iter().take(RUNS_SEARCHED);
        for run in runs.filter(|run| !self.only_hits(run)).take(max_runs) {
            if let Some(summed) = Durations::read(&self.dir(&run).join(DURATIONS)) {
                durations.extend(summed);
                continue;
            }
            // A run that did not come to its end.
            let Ok(text) = self.text(&run) else { continue };
            for line in lines(&text).rev().filter(|line| line.contains(r#""event":"node_ran""#)) {
                if let Ok(Ran { node, elapsed_ms }) = serde_json::from_str(line) {
                    durations.add(&node, elapsed_ms);
                }
            }
            match bytes_left.checked_sub(text.len()) {
                Some(left) => bytes_left = left,
                None => break,
            }
        }
        durations
    }

    /// Whether the end of the log says that no node ran.
    fn only_hits(&self, run: &RunId) -> bool {
        const SUMMARY_BYTES_MAX: u64 = 1024;
        let read_end = || -> io::Result<Vec<u8>> {
            let mut file = disk::open(&self.dir(run).join(EVENTS)).map_err(io::Error::other)?;
            let size_bytes = file.metadata()?.len();
            file.seek(SeekFrom::Start(size_bytes.saturating_sub(SUMMARY_BYTES_MAX)))?;
            let mut bytes = Vec::new();
            file.take(SUMMARY_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let end = read_end().unwrap_or_default();
        let last = end.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let last: Option<Record> = serde_json::from_slice(last).ok();
        matches!(last, Some(Record { event: Event::RunFinished { counts, .. }, .. }) if counts.ran == 0)
    }

    /// The hits that a line says are listed apart; `None` where it is about something else.
    fn listed(&self, line: &str) -> Option<Listed> {
        if !line.contains(NODES_HIT) {
            return None;
        }
        let record: Record = serde_json::from_str(line).ok()?;
        let Event::NodesHit { list, .. } = record.event else { return None };
        Some(Listed { at_ms: record.at_ms, list: HitList::read(&self.runs_dir, &list) })
    }

    fn text(&self, run: &RunId) -> io::Result<String> {
        let bytes = disk::read(&self.dir(run).join(EVENTS), EVENTS_BYTES_MAX)?;
        // A torn line can end inside a character.
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }
}

/// Hits that are listed apart from their run log.
struct Listed {
    at_ms: i64,
    /// `None` where the list is lost.
    list: Option<HitList>,
}

impl Listed {
    fn record(&self, node: &str, run: &RunId) -> Option<NodeRecord> {
        let key = self.list.as_ref()?.key(node)?;
        Some(NodeRecord { run: run.clone(), at_ms: self.at_ms, status: "hit", key })
    }
}

/// The events that end a node with a key, without the rest: reading all kinds of events takes five times as long.
#[derive(Deserialize)]
struct Ended<'a> {
    at_ms: i64,
    event: &'a str,
    key: ActionKey,
}

/// A node that ran, without the rest.
#[derive(Deserialize)]
struct Ran {
    node: NodeName,
    elapsed_ms: u64,
}

impl NodeRecord {
    fn read(line: &str, run: &RunId) -> Option<Self> {
        let Ended { at_ms, event, key } = serde_json::from_str(line).ok()?;
        let status = match event {
            "node_hit" => "hit",
            "node_ran" => "ran",
            "node_failed" => "failed",
            _ => return None,
        };
        Some(Self { run: run.clone(), at_ms, status, key })
    }
}

fn lines(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split('\n').filter(|line| !line.is_empty())
}

/// The name of the node that a line is about, without reading the whole line.
fn name_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(NODE)?;
    serde_json::Deserializer::from_str(rest).into_iter().next()?.ok()
}

/// How programs before percent-encoding named the log of a node.
fn earlier_log_name(node: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._=,+-[]".contains(c);
    let safe: String = node.chars().map(|c| if plain(c) { c } else { '_' }).take(150).collect();
    if safe == node { format!("{safe}.log") } else { format!("{safe}-{}.log", Digest::of(node.as_bytes()).short()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Counts, Reporter};
    use crate::node::Point;
    use crate::runlog::RunLog;
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
            log.report(&Record::now(event));
        }
        // The next run starts in another millisecond, so that it sorts after this one.
        std::thread::sleep(std::time::Duration::from_millis(2));
        log.id().clone()
    }

    #[test]
    fn latest_record_of_a_node_is_the_last_one_with_a_key() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let first = write_run(runs.path(), vec![ran(score(1), 1, 5), ran(score(2), 2, 5)]);
        let blocked = Event::NodeBlocked { node: score(2), by: "train".into() };
        let hit = Event::NodeHit { node: score(1), key: key(3), outputs: vec![] };
        let second = write_run(runs.path(), vec![hit, ran(score(1), 4, 6), blocked]);
        let history = History::new(runs.path());
        assert_eq!(history.runs(), [second.clone(), first.clone()]);
        let latest = history.latest("score[fold=1]").expect("it ran twice");
        assert_eq!((latest.run, latest.status, latest.key), (second, "ran", key(4)));
        let latest = history.latest("score[fold=2]").expect("it ran in the first run");
        assert_eq!((latest.run, latest.key), (first, key(2)));
        assert_eq!(history.latest("score[fold=3]"), None);
        assert_eq!(history.latest_of(&HashSet::from(["score[fold=1]", "score[fold=2]"]), 1).len(), 1);
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
    fn failure_does_not_hide_the_newest_record_that_ended_well() {
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
        let latest = History::new(runs.path()).latest_of(&HashSet::from(["score[fold=1]"]), 9);
        let keys = |record: &Option<NodeRecord>| record.as_ref().map(|record| record.key);
        let latest = &latest["score[fold=1]"];
        assert_eq!((keys(&latest.failed), keys(&latest.done)), (Some(key(4)), Some(key(2))));
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
        assert_eq!(history.records(&run).expect("the log is there").len(), 1);
        assert_eq!(history.latest("score[fold=1]").map(|latest| latest.key), Some(key(1)));
    }

    #[test]
    fn estimate_is_the_nodes_latest_duration_or_the_mean_of_its_stage() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        write_run(runs.path(), vec![ran(score(1), 1, 10)]);
        write_run(runs.path(), vec![ran(score(1), 1, 20), ran(score(2), 1, 60)]);
        let durations = History::new(runs.path()).durations(9);
        assert_eq!(durations.estimate_ms(&score(1)), Some(20));
        assert_eq!(durations.estimate_ms(&score(7)), Some(30));
        assert_eq!(durations.estimate_ms(&NodeName::new("table", Point::default())), None);
    }

    #[test]
    fn runs_of_hits_only_do_not_push_durations_out() {
        let runs = tempfile::tempdir().expect("a temporary folder");
        let summary = |ran| Event::RunFinished { counts: Counts { nodes: 1, ran, ..Counts::default() }, elapsed_ms: 1 };
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
