//! Execution of a batch of actions: in a thread of this process, or in a worker process of its own.
//!
//! An executor knows nothing of the graph. It gets a [`Request`], returns at once, and sends [`Report`]s of progress
//! and of the end of the batch. Exactly one [`Report::Finished`] follows each request, whatever happens, and it has one
//! result for each action, in order.

mod attempt;
pub mod descendants;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod log;
mod panic;
mod process;
mod protocol;
mod request;
mod scratch;
mod supervisor;
mod thread;
pub mod worker;

pub use failure::{Failure, Verdict};
pub(crate) use log::tail_of;
pub use process::{ProcessExecutor, WorkerCommand};
pub use request::{Executor, Finished, OnCluster, Report, Request, SendReport, report_channel};
pub use scratch::{Scratch, ScratchRoot};
pub use thread::ThreadExecutor;
