//! Running a batch of actions: in a thread of this process, or in a worker process of its own.
//!
//! An executor knows nothing of the graph. It is given a [`Request`], returns at once, and tells a [`Sink`] when the batch
//! started, how far it is, and how it ended. Exactly one [`Report::Finished`] follows each request, whatever happens,
//! and it has one result for each action, in order.

mod attempt;
pub mod descendants;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod log;
mod panic;
mod process;
mod protocol;
mod scratch;
mod supervisor;
mod thread;
pub mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::schedule::BatchId;
use crate::stage::{Action, Output, Progress, Stage};

pub use failure::{Failure, Verdict};
pub use process::{ProcessExecutor, WorkerCommand};
pub use scratch::{Scratch, ScratchRoot};
pub use thread::ThreadExecutor;

/// Most bytes of a node's log where nobody says otherwise.
pub const LOG_MAX_BYTES: u64 = 64 << 20;

/// Runs batches of actions.
pub trait Executor: Send + Sync {
    /// Starts a batch and returns at once.
    fn start(&self, request: Request);

    /// Tells all batches to stop, and to be killed after a while where that is possible; none starts any more.
    fn stop(&self);

    /// Kills all batches at once where that is possible; none starts any more.
    fn kill(&self);
}

/// A batch of actions to run.
pub struct Request {
    /// Its number, which the reports carry.
    pub batch: BatchId,
    /// What runs.
    pub stage: &'static dyn Stage,
    /// At least one.
    pub actions: Vec<Action>,
    /// CPU threads that it may use, at least 1.
    pub threads: usize,
    /// The device, for example `cpu`.
    pub device: String,
    /// Bytes that each process of a worker may allocate; a batch in a thread has no bound.
    pub memory_limit_bytes: Option<u64>,
    /// How long one action may take; a batch of n may take n times as long.
    ///
    /// A worker process is killed then. A thread cannot be: it is told to stop as if the run were being stopped.
    pub timeout: Option<Duration>,
    /// A folder that outlives the attempt, for stages that write checkpoints; it need not exist.
    pub checkpoint_dir: Option<PathBuf>,
    /// A file to which a worker appends what the stage prints; a batch in a thread prints nothing.
    pub log: Option<PathBuf>,
    /// Most bytes of that file; see [`Context::log_max_bytes`](crate::stage::Context::log_max_bytes).
    pub log_max_bytes: u64,
}

/// What became of a batch.
pub enum Report {
    /// It started.
    Started {
        /// Its number.
        batch: BatchId,
    },
    /// It told how far it is; at most some ten times a second.
    Progress {
        /// Its number.
        batch: BatchId,
        /// How far it is.
        progress: Progress,
    },
    /// A worker told more of the device on which it has computed.
    Device {
        /// Its number.
        batch: BatchId,
        /// The device as [`DeviceUse::describe`](crate::stage::DeviceUse::describe) gives it.
        description: String,
    },
    /// It ended.
    Finished(Finished),
}

/// How a batch ended.
pub struct Finished {
    /// Its number.
    pub batch: BatchId,
    /// One result for each action, in order; outputs are in the order in which the stage declares them.
    pub results: Vec<Result<Vec<Output>, Failure>>,
    /// How long all of it took, with the start of the process where there was one.
    pub elapsed: Duration,
    /// Where files of the outputs lie, until this is dropped.
    pub scratch: Option<Scratch>,
}

/// Where reports go.
pub type Sink = Arc<dyn Fn(Report) + Send + Sync>;

/// A sink whose reports are received one by one.
pub fn report_channel() -> (Sink, Receiver<Report>) {
    let (sender, receiver) = channel();
    // A report that nobody waits for any more is of no use.
    (Arc::new(move |report| drop(sender.send(report))), receiver)
}

impl Request {
    fn time_limit(&self) -> Option<Duration> {
        let members = u32::try_from(self.actions.len()).unwrap_or(u32::MAX);
        self.timeout.map(|timeout| timeout.saturating_mul(members))
    }

    /// A report that all actions failed for one reason.
    fn failed(&self, failure: &Failure, elapsed: Duration) -> Report {
        let results = self.actions.iter().map(|_| Err(failure.clone())).collect();
        Report::Finished(Finished { batch: self.batch, results, elapsed, scratch: None })
    }
}
