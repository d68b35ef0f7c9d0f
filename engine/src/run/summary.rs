//! The result of a run.

use std::path::PathBuf;

use orchestrate_cache::remote::RemoteCounts;
use orchestrate_cache::{OutputDigest, StoreError};

use crate::diagnostic::SpecError;
use crate::event::Counts;
use crate::known::KnownOutputs;
use crate::node::NodeId;
use crate::runlog::RunId;

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The name of the run.
    pub run: RunId,
    /// The number of nodes by how they ended.
    pub counts: Counts,
    /// Duration of the run.
    pub elapsed_ms: u64,
    /// True if it was stopped before its end.
    pub interrupted: bool,
    /// Nodes that failed.
    pub failures: Vec<NodeFailure>,
    /// Outputs of every node that succeeded.
    pub outputs: KnownOutputs,
    /// Outputs that people see as tables; see [`RunOptions::find_tables`](super::RunOptions::find_tables).
    pub tables: Vec<(NodeId, OutputDigest)>,
    /// Published folders that are up to date, in the order of the spec.
    pub published: Vec<PathBuf>,
    /// Publications that failed.
    pub unpublished: Vec<String>,
    /// Its traffic with its remote; `None` if it asked nothing.
    pub remote: Option<RemoteCounts>,
}

/// A node that failed.
#[derive(Clone, Debug)]
pub struct NodeFailure {
    /// The node.
    pub node: NodeId,
    /// The reason.
    pub cause: String,
    /// Path of its log, if it has one.
    pub log: Option<PathBuf>,
    /// The number of nodes that it blocks.
    pub blocked: usize,
}

/// The reason why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plan cannot be scheduled on this machine.
    #[error(transparent)]
    Spec(#[from] SpecError),
}
