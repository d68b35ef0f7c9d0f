//! The request of a run beside its plan.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orchestrate_cache::remote::Remote;
use orchestrate_cache::{OutputDigest, Store};

use super::elsewhere::ClusterOptions;
use crate::executor::WorkerCommand;
use crate::known::KnownOutputs;
use crate::node::NodeId;
use crate::plan::Plan;
use crate::publish::MergeTables;

/// The request of a run beside its plan.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// CPU threads; all cores if `None`.
    pub jobs: Option<usize>,
    /// The accelerator devices that it may use.
    pub devices: Devices,
    /// True if the first failure stops the run.
    pub fail_fast: bool,
    /// Nodes that run even if the store has their results.
    pub forced: Vec<NodeId>,
    /// The command that starts the workers of heavy stages.
    pub worker: WorkerCommand,
    /// The time that stopped workers have before they are killed.
    pub grace: Duration,
    /// Largest size of a node's log; [`LOG_MAX_BYTES`](crate::stage::LOG_MAX_BYTES) by default.
    pub log_max_bytes: u64,
    /// Joins the tables of the points of a published stage; without it they are not joined.
    pub merge_tables: Option<MergeTables>,
    /// Finds the tables of a run, for its summary and its log.
    pub find_tables: Option<FindTables>,
    /// The command that asks for the run, for its log.
    pub invocation: Invocation,
    /// The bucket or folder behind the store, if the project has one.
    pub remote: Option<Arc<Remote>>,
    /// The cluster on which heavy nodes run; without one they run on this machine.
    pub cluster: Option<ClusterOptions>,
}

/// The accelerator devices that a run may use. Without any it computes on the CPU.
#[derive(Clone, Debug)]
pub enum Devices {
    /// Those of these names, for example `cuda:0`.
    Given(Vec<String>),
    /// Those that the function finds. It is called before the first node runs, if one is left that could use a device:
    /// it loads drivers, and a run of hits needs none.
    Found(fn() -> Vec<String>),
}

/// Finds the outputs that people see as tables, among those that are known.
pub type FindTables = fn(&Plan, &KnownOutputs, &Store) -> Vec<(NodeId, OutputDigest)>;

/// The command that asks for a run.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The arguments of the program.
    pub arguments: Vec<String>,
    /// The working folder.
    pub working_dir: PathBuf,
}

/// A request to stop, from a signal handler or another thread.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Returns the flag that is set to stop the run.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Returns whether the run is to stop.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
