//! One run: looks nodes up as their inputs become known, runs the misses, records the results.
//!
//! The loop in `drive/` is where scheduler, store and executors meet. The scheduler owns every state and runs
//! nothing; an executor runs a batch and knows no graph; the store holds the results. Data flows one way: `lookup.rs`
//! finds hits, `drive/` runs misses, `publications.rs` copies outputs, `telling.rs` reports.
//!
//! A node is reported, as `ran` or as a hit, only once everything that its result names is durable, whoever wrote it.
//! Results of one turn of the loop share one commit.
//!
//! Two processes on one store: before a miss runs, its key is leased. If another process holds the lease, the node is
//! deferred and looked up again. If the lease is free, the store is read once more, because the other process may have
//! just finished. So on one host each key is computed once. Claims of heavy nodes reach other hosts too.

mod action;
pub(crate) mod checkpoints;
mod drive;
mod elsewhere;
mod executors;
mod foreseen;
mod lookup;
mod options;
mod origin;
mod prepare;
mod publications;
mod record;
mod remote;
mod summary;
mod telling;
mod trust;

use orchestrate_cache::Store;

use crate::event::Reporter;
use crate::observe::Observed;
use crate::plan::Plan;

pub use crate::selection::Selection;
pub use action::{ActionMaker, Lost};
pub use elsewhere::ClusterOptions;
pub use foreseen::Foreseen;
pub use options::{Devices, FindTables, Invocation, RunOptions, Stop};
pub use origin::processor;
pub(crate) use record::{Named, Provenance, record};
pub use summary::{NodeFailure, RunError, Summary};
pub use trust::passed_over;

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
    let mut drive = || drive::Drive::new(plan, observed, store, selection, options, listeners)?.drive(stop);
    match &options.remote {
        Some(remote) => remote::beside(remote, store, drive),
        None => drive(),
    }
}
