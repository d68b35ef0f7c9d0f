//! What happened in a run, and when. Progress, `--json`, the run log and history all read these events.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use orchestrate_cache::{ActionKey, Digest, OutputDigest, native_path};
use serde::{Deserialize, Serialize};

use crate::known::KnownOutputs;
use crate::node::{NodeId, NodeName};
use crate::plan::Plan;
use crate::runlog::RunId;
use crate::stage::Progress;

/// An event with its time: one line of a run log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it happened, in milliseconds since 1970.
    pub at_ms: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The time of now, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

impl Record {
    /// The time of now as records have it.
    pub(crate) fn now_ms() -> i64 {
        Timestamp::now().as_millisecond()
    }

    /// Stamps an event with the time of now.
    pub fn now(event: Event) -> Self {
        Self { at_ms: Self::now_ms(), event }
    }
}

/// What happened in a run.
///
/// Each node ends with exactly one of hit, ran, failed, blocked and cancelled, unless the store lost its bytes after
/// it ended: then it ends once more, and the later event holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began.
    RunStarted(RunStarted),
    /// The store had the result.
    NodeHit {
        /// The node.
        node: NodeName,
        /// Its key.
        key: ActionKey,
        /// Its outputs by name.
        outputs: Vec<(String, OutputDigest)>,
    },
    /// The store had the results of many nodes; a run log says so once instead of once a node. No other listener sees it.
    NodesHit {
        /// How many.
        nodes: usize,
        /// Names the list of them, see [`crate::runlog`].
        list: Digest,
    },
    /// Somebody else is computing the key; this node waits for the result.
    NodeDeferred {
        /// The node.
        node: NodeName,
        /// Its key.
        key: ActionKey,
        /// The node of this run that has the same key and computes it; another process does where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<String>,
    },
    /// The stage began, for one node or for siblings that run together.
    NodeStarted {
        /// The node, or the first of the siblings.
        node: NodeName,
        /// Its key.
        key: ActionKey,
        /// How many nodes began.
        #[serde(default = "one")]
        members: usize,
        /// Where its output for people goes, if it has any.
        #[serde(with = "native_path::option", default)]
        log: Option<PathBuf>,
    },
    /// A running stage told how far it is.
    NodeProgress {
        /// The node.
        node: NodeName,
        /// How far it is.
        progress: Progress,
    },
    /// An attempt failed, and the node is tried again.
    NodeRetried {
        /// The node.
        node: NodeName,
        /// Why the attempt failed.
        cause: String,
    },
    /// The stage ran and its result is durable.
    NodeRan {
        /// The node.
        node: NodeName,
        /// Its key.
        key: ActionKey,
        /// Its outputs by name.
        outputs: Vec<(String, OutputDigest)>,
        /// How long the stage ran; a member of a batch has its share.
        elapsed_ms: u64,
    },
    /// The node failed for good.
    NodeFailed {
        /// The node.
        node: NodeName,
        /// Its key, if it got so far.
        key: Option<ActionKey>,
        /// Why, as a fragment that reads after "failed: ".
        cause: String,
        /// Where its output for people is, if there is any.
        #[serde(with = "native_path::option", default)]
        log: Option<PathBuf>,
        /// How long it ran.
        elapsed_ms: u64,
    },
    /// The node cannot run because another one failed.
    NodeBlocked {
        /// The node.
        node: NodeName,
        /// The name of the node that failed.
        by: String,
    },
    /// The run was stopped before the node ended.
    NodeCancelled {
        /// The node.
        node: NodeName,
    },
    /// Somebody asked the run to stop; what runs has a while to end.
    RunStopping,
    /// Something that people should know and that stops nothing.
    Warning {
        /// What.
        message: String,
    },
    /// The run ended.
    RunFinished {
        /// How many nodes ended how.
        counts: Counts,
        /// How long the run took.
        elapsed_ms: u64,
    },
}

fn one() -> usize {
    1
}

/// What a run was asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The run.
    pub run: RunId,
    /// Path of the spec.
    #[serde(with = "native_path")]
    pub spec: PathBuf,
    /// The `--set` values as written.
    pub overrides: Vec<String>,
    /// Nodes in the plan.
    pub nodes: usize,
    /// CPU threads that it may use.
    pub jobs: usize,
    /// The devices that it may use, with commas between them, for example `cuda:0,cuda:1`; `cpu` where there are none.
    pub device: String,
    /// Version of orchestrate.
    pub version: String,
}

/// How many nodes ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Nodes in all.
    pub nodes: usize,
    /// Nodes whose result was in the store.
    pub hit: usize,
    /// Nodes that ran.
    pub ran: usize,
    /// Nodes that failed.
    pub failed: usize,
    /// Nodes that hang on one that failed.
    pub blocked: usize,
    /// Nodes that the end of the run left undone.
    pub cancelled: usize,
}

/// Whoever listens to a run: the run log, progress bars, `--json`.
pub trait Reporter {
    /// Takes note of an event.
    fn report(&mut self, record: &Record);

    /// Takes note of nodes whose results were in the store; the same as [`Event::NodeHit`] for each of them.
    ///
    /// There may be a hundred thousand of them, so a listener that needs no event for each counts them instead.
    fn hits(&mut self, hits: &Hits<'_>) {
        hits.records().for_each(|record| self.report(&record));
    }

    /// Called several times a second while nothing happens, and before a long wait: write what is buffered, redraw.
    fn tick(&mut self) {}
}

/// Nodes that were found to be hits one after the other.
pub struct Hits<'a> {
    /// The plan that they belong to.
    pub plan: &'a Plan,
    /// Their outputs.
    pub outputs: &'a KnownOutputs,
    /// The nodes with their keys.
    pub nodes: &'a [(NodeId, ActionKey)],
    /// When the last of them was found, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Hits<'_> {
    /// An event for each.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.nodes.iter().map(|(id, key)| {
            let outputs = self.outputs.named(self.plan, *id).unwrap_or_default();
            Record { at_ms: self.at_ms, event: Event::NodeHit { node: self.plan.name(*id), key: *key, outputs } }
        })
    }
}

impl Event {
    /// The event as a line of `run --json`, without its line end; most events have none.
    pub fn json_line(&self) -> Option<String> {
        let line = match self {
            Self::NodeHit { node, key, outputs } => {
                NodeLine { key: Some(key), output: output_json(outputs), ..NodeLine::new(node, "hit") }.json()
            }
            Self::NodeRan { node, key, outputs, elapsed_ms } => {
                let output = output_json(outputs);
                NodeLine { key: Some(key), output, elapsed_ms: *elapsed_ms, ..NodeLine::new(node, "ran") }.json()
            }
            Self::NodeFailed { node, key, cause, log, elapsed_ms } => NodeLine {
                key: key.as_ref(),
                elapsed_ms: *elapsed_ms,
                cause: Some(cause),
                log: log.as_deref(),
                ..NodeLine::new(node, "failed")
            }
            .json(),
            Self::NodeBlocked { node, by } => NodeLine { by: Some(by), ..NodeLine::new(node, "blocked") }.json(),
            Self::NodeCancelled { node } => NodeLine::new(node, "cancelled").json(),
            Self::Warning { message } => return Some(message_line("warning", message, None)),
            Self::RunFinished { counts, elapsed_ms } => {
                let line = SummaryLine { reason: "summary", counts: *counts, elapsed_ms: *elapsed_ms };
                serde_json::to_string(&line)
            }
            _ => return None,
        };
        Some(line.expect("a line is plain data"))
    }

    /// The node that the event is about.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::NodeHit { node, .. }
            | Self::NodeDeferred { node, .. }
            | Self::NodeStarted { node, .. }
            | Self::NodeProgress { node, .. }
            | Self::NodeRetried { node, .. }
            | Self::NodeRan { node, .. }
            | Self::NodeFailed { node, .. }
            | Self::NodeBlocked { node, .. }
            | Self::NodeCancelled { node } => Some(node),
            Self::RunStarted(_)
            | Self::NodesHit { .. }
            | Self::RunStopping
            | Self::Warning { .. }
            | Self::RunFinished { .. } => None,
        }
    }
}

#[derive(Serialize)]
struct NodeLine<'a> {
    reason: &'static str,
    stage: &'a str,
    point: &'a crate::node::Point,
    status: &'static str,
    key: Option<&'a ActionKey>,
    output: serde_json::Value,
    elapsed_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
}

impl<'a> NodeLine<'a> {
    fn new(node: &'a NodeName, status: &'static str) -> Self {
        let (stage, point) = (node.stage(), node.point());
        let output = serde_json::Value::Null;
        Self {
            reason: "node",
            stage,
            point,
            status,
            key: None,
            output,
            elapsed_ms: 0,
            cause: None,
            log: None,
            by: None,
        }
    }

    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

#[derive(Serialize)]
struct MessageLine<'a> {
    reason: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'a str>,
}

/// A line of `run --json` that is about no node, without its line end; `at` is a place in the spec.
pub fn message_line(reason: &'static str, message: &str, at: Option<&str>) -> String {
    serde_json::to_string(&MessageLine { reason, message, at }).expect("a line is plain data")
}

#[derive(Serialize)]
struct SummaryLine {
    reason: &'static str,
    #[serde(flatten)]
    counts: Counts,
    elapsed_ms: u64,
}

/// The digest of a single output; an object by name where there are several; null where there is none.
pub fn output_json(outputs: &[(String, OutputDigest)]) -> serde_json::Value {
    let text = |digest: &OutputDigest| serde_json::Value::String(digest.0.to_string());
    match outputs {
        [] => serde_json::Value::Null,
        [(_, digest)] => text(digest),
        several => {
            serde_json::Value::Object(several.iter().map(|(name, digest)| (name.clone(), text(digest))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Point;
    use serde_json::{Value, json};

    fn score() -> NodeName {
        NodeName::new("score", Point(vec![("model".into(), json!("tiny")), ("fold".into(), json!(3))]))
    }

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    #[test]
    fn a_node_that_ran_gives_the_documented_json_line() {
        let outputs = vec![("scores".to_owned(), OutputDigest(digest(2)))];
        let event = Event::NodeRan { node: score(), key: ActionKey(digest(1)), outputs, elapsed_ms: 12 };
        let expected = format!(
            r#"{{"reason":"node","stage":"score","point":{{"model":"tiny","fold":3}},"status":"ran","key":"{}","output":"{}","elapsed_ms":12}}"#,
            "01".repeat(32),
            "02".repeat(32)
        );
        assert_eq!(event.json_line(), Some(expected));
    }

    #[test]
    fn key_and_output_are_null_where_there_is_none() {
        let line = Event::NodeBlocked { node: score(), by: "train".into() }.json_line().expect("it ends a node");
        let line: Value = serde_json::from_str(&line).expect("a line is JSON");
        assert_eq!((&line["status"], &line["key"], &line["output"]), (&json!("blocked"), &Value::Null, &Value::Null));
    }

    #[test]
    fn a_node_that_did_not_end_well_says_why() {
        let log = Some(PathBuf::from("runs/1/logs/score.log"));
        let failed =
            Event::NodeFailed { node: score(), key: None, cause: "exit code 1\nboom".into(), log, elapsed_ms: 5 };
        let blocked = Event::NodeBlocked { node: score(), by: "train[model=tiny]".into() };
        let value = |event: Event| -> Value {
            serde_json::from_str(&event.json_line().expect("it ends a node")).expect("a line is JSON")
        };
        let (failed, blocked) = (value(failed), value(blocked));
        assert_eq!((&failed["cause"], &failed["log"]), (&json!("exit code 1\nboom"), &json!("runs/1/logs/score.log")));
        assert_eq!((&blocked["by"], blocked.get("cause")), (&json!("train[model=tiny]"), None));
        let warning = Event::Warning { message: "the disk is nearly full".into() };
        assert_eq!(value(warning), json!({"reason": "warning", "message": "the disk is nearly full"}));
    }

    #[test]
    fn several_outputs_are_told_apart_by_name() {
        let outputs = [("images".to_owned(), OutputDigest(digest(1))), ("masks".to_owned(), OutputDigest(digest(2)))];
        let expected = json!({"images": "01".repeat(32), "masks": "02".repeat(32)});
        assert_eq!(output_json(&outputs), expected);
    }

    #[test]
    fn summary_counts_nodes_by_how_they_ended() {
        let counts = Counts { nodes: 5, hit: 1, ran: 1, failed: 1, blocked: 1, cancelled: 1 };
        let line = Event::RunFinished { counts, elapsed_ms: 7 }.json_line();
        let expected =
            r#"{"reason":"summary","nodes":5,"hit":1,"ran":1,"failed":1,"blocked":1,"cancelled":1,"elapsed_ms":7}"#;
        assert_eq!(line.as_deref(), Some(expected));
    }

    #[test]
    fn records_survive_json() {
        let events = [
            Event::NodeHit { node: score(), key: ActionKey(digest(1)), outputs: vec![] },
            Event::NodeProgress {
                node: score(),
                progress: Progress { done: 1, total: 2, message: "loss 0.4".to_owned() },
            },
            Event::NodeCancelled { node: score() },
            Event::RunFinished { counts: Counts::default(), elapsed_ms: 3 },
        ];
        for event in events {
            let record = Record { at_ms: 17, event };
            let json = serde_json::to_string(&record).expect("a record is plain data");
            assert_eq!(serde_json::from_str::<Record>(&json).expect("it was just written"), record);
        }
    }
}
