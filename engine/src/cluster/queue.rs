//! The interface of a queueing system.

use std::collections::HashMap;
use std::path::PathBuf;

use super::slurm::Slurm;
use super::state::State;
use super::templates::Templates;
use crate::spec::{Cluster, ClusterKind};
use crate::usage::Asked;

/// A job to submit.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Name of the job, by which it is found again.
    pub name: String,
    /// The number of tasks, at least 1; their indices count from 0.
    pub tasks: usize,
    /// The most tasks that may run at once, if that is limited.
    pub at_once: Option<usize>,
    /// The resources of each task.
    pub asked: Asked,
    /// The folder of the job, an absolute path; also the working folder, and the place of its outputs.
    pub folder: PathBuf,
    /// The lines of the script that runs one task; the index is in the variable [`Queue::index_variable`].
    pub script: String,
    /// Names of nodes that are to get none of it.
    pub excluded: Vec<String>,
    /// A comment for administrators: the first keys.
    pub comment: String,
}

/// The reason why a job was not submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSubmitted {
    /// The queueing system is busy or cannot be reached; the job may have been submitted all the same.
    Unsure(String),
    /// A limit of jobs is reached; it can be tried later.
    Later(String),
    /// It refuses the job.
    Refused(String),
}

/// The queueing system gave no answer, which means nothing about the jobs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// A task in the queueing system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its state.
    pub state: State,
    /// The state in the system's own word.
    pub word: String,
    /// The reason of the state; empty if there is none.
    pub reason: String,
    /// Name of the node that it runs or ran on; empty if there is none.
    pub node: String,
    /// The most memory that it used, if the accounting knows it.
    pub peak_bytes: Option<u64>,
}

/// The states of the tasks of some jobs: by id of the job, and index.
pub type Sightings = HashMap<(String, usize), Seen>;

/// A queueing system.
pub trait Queue: Send + Sync {
    /// Submits a job; returns its id.
    fn submit(&self, submission: &Submission) -> Result<String, NotSubmitted>;

    /// Returns the id of the job of that name, if there is one, ended jobs included as far as they are known.
    fn find(&self, name: &str) -> Result<Option<String>, NoAnswer>;

    /// Returns the states of all tasks of these jobs that are in the queue, and of those that ended a moment ago.
    fn look(&self, jobs: &[(String, usize)]) -> Result<Sightings, NoAnswer>;

    /// Returns the states of tasks that have left the queue, as far as the accounting knows them.
    fn look_back(&self, jobs: &[String]) -> Sightings;

    /// Cancels a job; one that has ended is no error.
    fn cancel(&self, job: &str) -> Result<(), NoAnswer>;

    /// Returns the most tasks of one job.
    fn max_array(&self) -> usize;

    /// Returns the name of the environment variable with the index of a task, and the index of the first.
    fn index_variable(&self) -> (&str, usize);
}

/// Returns the most tasks of one job: as many as the queueing system and the cluster allow.
pub fn max_tasks(queue: &dyn Queue, cluster: &Cluster) -> usize {
    queue.max_array().min(cluster.max_array.unwrap_or(usize::MAX)).max(1)
}

/// Opens the queueing system that a cluster declares.
pub fn open(cluster: &Cluster) -> Box<dyn Queue> {
    match &cluster.kind {
        ClusterKind::Slurm => Box::new(Slurm::new(cluster)),
        ClusterKind::Commands(commands) => Box::new(Templates::new(cluster, commands)),
    }
}
