//! Batches on the machines of a cluster, through its queueing system: Slurm, or any other by command templates.
//!
//! ```text
//! Request ──pack──▶ job folder ──submit──▶ queueing system ──▶ `orchestrate task FOLDER INDEX` ──▶ store
//!   run loop  executor         folder            queue, slurm, templates              task      results, outcomes
//! ```
//!
//! A **task** computes one batch or several in a row. The tasks of one submission are a **job**. Their work is in a
//! folder of the store (`folder.rs`), from which each task takes its own by its index. A task takes the claims of its
//! keys, runs a worker, records the results in the store itself, and writes its outcome beside its work (`task.rs`).
//! Nobody opens a connection: the run that submitted a job, its **head**, watches the folder and asks the queueing
//! system (`executor.rs`).
//!
//! **Truth.** A result in the store counts, whatever the queueing system says. Its states serve two questions only:
//! does a task without an outcome still live, and if not, of what did it die (`fate.rs`)? No answer means unknown.
//!
//! **The head may die.** A head holds a lease derived from each key that it has submitted ([`submission_key`]), not
//! that of the key, which its task needs. The next head to get that lease finds the job folder, asks for the job by
//! its name, and adopts it (`ledger.rs`).

mod ask;
mod bundle;
mod command;
mod control_group;
mod executor;
mod fate;
mod folder;
mod keeper;
mod ledger;
mod outcome;
mod pilot;
mod queue;
mod script;
mod slurm;
mod state;
mod task;
mod templates;
mod work;

pub use ask::{More, Request, Wants, ask, more};
pub(crate) use ask::{memory_for, time_for};
#[cfg(test)]
pub(crate) use bundle::BUNDLE;
pub(crate) use bundle::bundle;
pub use executor::Leave;
pub(crate) use executor::{ClusterExecutor, Setting};
pub use folder::JobFolder;
pub use pilot::{Pilot, status_file};
pub use queue::{NoAnswer, NotSubmitted, Queue, Seen, Sightings, Submission, max_tasks, open};
pub use script::script;
pub use state::{End, State};
pub use task::{Site, run_task, stop_after};

use orchestrate_cache::{ActionKey, Digest};

/// Returns the key whose lease a head holds while the task of a key is submitted.
pub fn submission_key(key: &ActionKey) -> ActionKey {
    ActionKey(Digest::of(&[b"orchestrate submission ", key.0.as_bytes().as_slice()].concat()))
}
