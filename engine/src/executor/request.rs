//! The interface of executors: requests and reports.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use orchestrate_cache::{ActionKey, Preimage, StampKey};

use super::failure::Failure;
use super::scratch::Scratch;
use crate::schedule::BatchId;
use crate::stage::{Action, Output, Progress, Stage};
use crate::usage::{Asked, Usage};

/// Runs batches of actions.
pub trait Executor: Send + Sync {
    /// Starts a batch and returns at once.
    fn start(&self, request: Request);

    /// Tells all batches to stop, and kills them after a grace period if possible; no batch starts any more.
    fn stop(&self);

    /// Kills all batches at once if possible, and stops them otherwise; no batch starts any more.
    fn kill(&self) {
        self.stop();
    }
}

/// A batch of actions to run.
pub struct Request {
    /// Its number, repeated in its reports.
    pub batch: BatchId,
    /// The stage that runs.
    pub stage: &'static dyn Stage,
    /// At least one.
    pub actions: Vec<Action>,
    /// CPU threads that it may use, at least 1.
    pub threads: usize,
    /// The device, for example `cpu`.
    pub device: String,
    /// Bytes that each process of a worker may allocate; unlimited in a thread.
    pub memory_limit_bytes: Option<u64>,
    /// The time limit of one action; a batch of n has n times as long.
    ///
    /// A worker process is killed when it runs out. A thread cannot be killed: it is told to stop, as if the run were.
    pub timeout: Option<Duration>,
    /// A folder that outlives the attempt, for stages that write checkpoints; it need not exist.
    pub checkpoint_dir: Option<PathBuf>,
    /// The stamp of checkpoints, if only the user's own may be used.
    pub checkpoint_stamp: Option<StampKey>,
    /// A file to which a worker appends the output of the stage; a batch in a thread prints nothing.
    pub log: Option<PathBuf>,
    /// Largest size of that file; see [`Context::log_max_bytes`](crate::stage::Context::log_max_bytes).
    pub log_max_bytes: u64,
    /// The facts that a cluster needs beside it, if it goes there.
    pub cluster: Option<OnCluster>,
}

/// The facts about a batch that runs on a cluster.
pub struct OnCluster {
    /// The preimage of each key, as the task records the results itself.
    pub preimages: Vec<Preimage>,
    /// The keys that are computed even if the store has their results.
    pub forced: Vec<ActionKey>,
    /// The resources to ask for.
    pub asked: Asked,
    /// Its estimated duration, if it is known.
    pub estimate: Option<Duration>,
}

/// News of a batch.
pub enum Report {
    /// It made progress; at most some ten times a second.
    Progress {
        /// Its number.
        batch: BatchId,
        /// The progress.
        progress: Progress,
    },
    /// A worker described the device on which it has computed.
    Device {
        /// Its number.
        batch: BatchId,
        /// The result of [`DeviceUse::describe`](crate::stage::DeviceUse::describe).
        description: String,
    },
    /// Batches were submitted to a cluster.
    Submitted {
        /// The id of their job.
        job: String,
        /// The name of the job.
        name: String,
        /// The number of tasks.
        tasks: usize,
        /// True if an earlier run had submitted it.
        is_adopted: bool,
    },
    /// It was lost on the cluster, and is submitted again.
    Again {
        /// Its number.
        batch: BatchId,
        /// The reason.
        message: String,
    },
    /// A problem that people should know of and that stops nothing.
    Warning {
        /// The problem.
        message: String,
    },
    /// It ended.
    Finished(Finished),
}

/// The end of a batch.
pub struct Finished {
    /// Its number.
    pub batch: BatchId,
    /// One result for each action, in order; outputs are in the order in which the stage declares them.
    pub results: Vec<Result<Vec<Output>, Failure>>,
    /// Duration of the whole batch, including the start of a process.
    pub elapsed: Duration,
    /// The folder of output files, removed on drop.
    pub scratch: Option<Scratch>,
    /// CPU and memory that it used, if its worker said so; a thread of the engine does not.
    pub used: Option<Usage>,
    /// The request to a cluster; `None` on this host. A task on a cluster has recorded the results that succeeded, so
    /// their outputs are not listed here.
    pub asked: Option<Asked>,
}

/// Sends reports; called from any thread.
pub type SendReport = Arc<dyn Fn(Report) + Send + Sync>;

/// Returns a channel of reports.
pub fn report_channel() -> (SendReport, Receiver<Report>) {
    let (sender, receiver) = channel();
    // A report without a receiver is of no use.
    (Arc::new(move |report| drop(sender.send(report))), receiver)
}

impl Request {
    /// Returns the time limit of the batch.
    pub(super) fn time_limit(&self) -> Option<Duration> {
        let members = u32::try_from(self.actions.len()).unwrap_or(u32::MAX);
        self.timeout.map(|timeout| timeout.saturating_mul(members))
    }

    /// Returns a report that all actions failed for one reason.
    pub(crate) fn failed(&self, failure: &Failure, elapsed: Duration) -> Report {
        let results = self.actions.iter().map(|_| Err(failure.clone())).collect();
        Report::Finished(Finished { batch: self.batch, results, elapsed, scratch: None, used: None, asked: None })
    }
}
