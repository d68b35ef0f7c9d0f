//! Events of a run, each with its time. Progress, `--json`, the run log and history all read them.

mod json;
mod origin;
mod reporter;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use jiff::Timestamp;
use orchestrate_cache::remote::RemoteCounts;
use orchestrate_cache::{ActionKey, Digest, OutputDigest, native_path};
use serde::{Deserialize, Serialize};

use crate::node::NodeName;
use crate::run_id::RunId;
use crate::stage::Progress;
use crate::usage::{Asked, Usage};

pub use json::{message_line, output_json};
pub use origin::{Made, Origin, Surroundings};
pub use reporter::{Hits, Reporter};

/// An event with its time: one line of a run log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedEvent {
    /// Time in milliseconds since 1970.
    pub at_ms: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

impl TimedEvent {
    /// Stamps an event with the current time.
    pub fn now(event: Event) -> Self {
        Self { at_ms: now_ms(), event }
    }
}

/// Returns the current time in milliseconds since 1970.
pub fn now_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// An event of a run.
///
/// Each node ends with exactly one of hit, ran, failed, blocked and cancelled, unless the store loses its bytes after
/// that: then it ends once more, and the later event counts.
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
    /// The store had the results of many nodes: one line of a run log instead of one per node. No other listener sees
    /// it.
    NodesHit {
        /// The number of nodes.
        nodes: usize,
        /// The name of the list of them, see [`crate::runlog`].
        list: Digest,
    },
    /// Another process or node computes the key; this node waits for the result.
    NodeDeferred {
        /// The node.
        node: NodeName,
        /// Its key.
        key: ActionKey,
        /// The node of this run that computes the same key; `None` if another process does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<String>,
    },
    /// The stage began, for one node or for siblings that run together.
    NodeStarted {
        /// The node, or the first of the siblings.
        node: NodeName,
        /// Its key.
        key: ActionKey,
        /// The number of nodes that began.
        members: usize,
        /// Path of its log, if it has one.
        #[serde(with = "native_path::option")]
        log: Option<PathBuf>,
    },
    /// A running stage reported progress.
    NodeProgress {
        /// The node.
        node: NodeName,
        /// The progress.
        progress: Progress,
    },
    /// An attempt failed, and the node is retried.
    NodeRetried {
        /// The node.
        node: NodeName,
        /// The reason of the failure.
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
        /// Duration of the stage; a member of a batch has its share.
        elapsed_ms: u64,
    },
    /// The node failed for good.
    NodeFailed {
        /// The node.
        node: NodeName,
        /// Its key, if it was known.
        key: Option<ActionKey>,
        /// The reason, as a fragment that reads after "failed: ".
        cause: String,
        /// Path of its log, if it has one.
        #[serde(with = "native_path::option")]
        log: Option<PathBuf>,
        /// Duration of the last attempt.
        elapsed_ms: u64,
    },
    /// The node cannot run because another node failed.
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
    /// A batch in a worker process ended with a result.
    BatchUsed {
        /// Its first node.
        node: NodeName,
        /// The number of its nodes.
        members: usize,
        /// CPU and memory that it used.
        used: Usage,
        /// The request to a cluster; `None` for a run on this host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Asked>,
    },
    /// The devices that the run may use were found, as none were given.
    DevicesFound {
        /// Their names; none for the CPU.
        devices: Vec<String>,
    },
    /// A worker told which device it computed on; once a device.
    DeviceUsed {
        /// Its name, make and driver.
        device: String,
    },
    /// Batches were submitted to a cluster as the tasks of a job.
    JobSubmitted {
        /// The id of the job.
        job: String,
        /// The name of the job.
        name: String,
        /// The number of tasks.
        tasks: usize,
        /// True if an earlier run had submitted it, and this one waits for it.
        is_adopted: bool,
    },
    /// The processor and the state of the working tree, from a run in which something had to run.
    Surroundings(Surroundings),
    /// The run waits until its results are uploaded; in no log.
    Uploading {
        /// The number of results that are left.
        results: usize,
    },
    /// The run is being stopped; running nodes have a grace period.
    RunStopping,
    /// A problem that people should know of and that stops nothing.
    Warning {
        /// The problem.
        message: String,
    },
    /// The run ended.
    RunFinished {
        /// The number of nodes by how they ended.
        counts: Counts,
        /// Duration of the run.
        elapsed_ms: u64,
        /// Tables and published folders; nothing in logs of earlier versions.
        #[serde(default, skip_serializing_if = "Made::is_empty")]
        made: Made,
        /// Its traffic with its remote; `None` if it asked nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote: Option<RemoteCounts>,
    },
}

/// The request of a run.
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
    /// CPU threads that the run may use.
    pub jobs: usize,
    /// The devices that the run may use, with commas between them, for example `cuda:0,cuda:1`; `cpu` if there are
    /// none; `auto` if they are found once a node runs.
    pub device: String,
    /// Version of orchestrate.
    pub version: String,
    /// Its origin; `None` in logs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
}

/// The number of nodes by how they ended.
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
    /// Nodes that depend on one that failed.
    pub blocked: usize,
    /// Nodes left undone when the run was stopped.
    pub cancelled: usize,
}
