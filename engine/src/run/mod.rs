//! One run: looks nodes up as their inputs become known, runs what misses, records what ran.
//!
//! The loop in `drive.rs` is where scheduler, store and executors meet. The scheduler owns every state and runs
//! nothing; an executor runs a batch and knows no graph; the store holds what is done. A node is reported, as `ran` or as a hit, only
//! once all that its result names is durable, whoever wrote it, and results of one turn of the loop share one commit.
//!
//! Two processes on one store: before a miss runs, its key is leased. Where another process holds the lease, the node is
//! deferred and looked up again; where the lease is free, the store is read once more, because the other may have just
//! finished. So on one host each key is computed once. Claims of heavy nodes reach other hosts too.

mod action;
mod drive;
mod prepare;
mod record;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orchestrate_cache::{Store, StoreError};

use crate::diagnostic::SpecError;
use crate::event::{Counts, Reporter};
use crate::executor::WorkerCommand;
use crate::known::KnownOutputs;
use crate::node::NodeId;
use crate::observe::Observed;
use crate::plan::Plan;
use crate::publish::MergeTables;
use crate::runlog::RunId;

pub use crate::selection::Selection;
pub use action::{ActionMaker, Lost};

/// What a run is asked to do beside its plan.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// CPU threads; all cores if `None`.
    pub jobs: Option<usize>,
    /// Names of the accelerator devices that it may use, for example `cuda:0`; without any all is computed on the CPU.
    pub devices: Vec<String>,
    /// Whether the first failure stops the run.
    pub fail_fast: bool,
    /// Nodes that run even where the store has their results.
    pub forced: Vec<NodeId>,
    /// How to start the workers that run heavy stages.
    pub worker: WorkerCommand,
    /// How long stopped workers may go on before they are killed.
    pub grace: Duration,
    /// Most bytes of a node's log; [`LOG_MAX_BYTES`](crate::executor::LOG_MAX_BYTES) where nobody says otherwise.
    pub log_max_bytes: u64,
    /// How tables of the points of a published stage are joined; they are not without it.
    pub merge_tables: Option<MergeTables>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Which run it was.
    pub run: RunId,
    /// How many nodes ended how.
    pub counts: Counts,
    /// How long the run took.
    pub elapsed_ms: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Nodes that failed, with what people need to know.
    pub failures: Vec<NodeFailure>,
    /// Outputs of every node that ended well.
    pub outputs: KnownOutputs,
    /// Publications that failed.
    pub unpublished: Vec<String>,
}

/// A node that failed.
#[derive(Clone, Debug)]
pub struct NodeFailure {
    /// The node.
    pub node: NodeId,
    /// Why.
    pub cause: String,
    /// Where it wrote, if it has a log.
    pub log: Option<PathBuf>,
    /// How many nodes are blocked by it.
    pub blocked: usize,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plan cannot be scheduled on this machine.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// The wish to stop, from a signal handler or another thread.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// What is set to ask.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether somebody asked.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Runs the selected nodes of a plan.
pub fn run(
    plan: &Plan,
    observed: &Observed,
    store: &Store,
    selection: &Selection,
    options: &RunOptions,
    listeners: &mut [&mut dyn Reporter],
    stop: &Stop,
) -> Result<Summary, RunError> {
    drive::Drive::new(plan, observed, store, selection, options, listeners)?.drive(stop)
}
