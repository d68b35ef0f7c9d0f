//! The reason why an action has no result, and the verdict on it.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::resources::{display_duration, display_size};
use crate::stage::StageError;

/// The reason why an action has no result, as a fragment that reads after "failed: ".
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum Failure {
    /// The stage returned an error.
    #[error(transparent)]
    Stage(StageError),
    /// The stage has a bug, or met data that its author did not expect.
    #[error("the stage panicked: {message}{}", advice(message))]
    Panicked {
        /// The message of the panic with its location in the source.
        message: String,
    },
    /// A signal ended the worker, other than one that the run sent.
    #[error("the worker was killed by {signal}{}{}{}", on(driver), advice(stderr), tail(stderr))]
    Killed {
        /// Name of the signal, `SIGSEGV` for example.
        signal: String,
        /// The device that it computed on with its driver, which may be to blame; `None` for the CPU.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver: Option<String>,
        /// The last lines that the worker printed.
        stderr: String,
    },
    /// There was not enough memory.
    #[error("{}{}", out_of_memory(*limit_bytes), tail(stderr))]
    OutOfMemory {
        /// The limit of the worker, if it had one.
        limit_bytes: Option<u64>,
        /// The last lines that the worker printed.
        stderr: String,
    },
    /// It ran longer than its time limit.
    #[error(
        "it ran longer than its timeout of {}; raise `timeout` of the stage if it needs more",
        display_duration(*limit)
    )]
    TimedOut {
        /// The time limit of the batch.
        limit: Duration,
    },
    /// The worker ended by itself without a result.
    #[error("the worker ended without a result ({status}){}{}", advice(stderr), tail(stderr))]
    NoResult {
        /// Its status, `exit status: 2` for example.
        status: String,
        /// The last lines that the worker printed.
        stderr: String,
    },
    /// Its task on a cluster ended without a result.
    #[error("{message}{}", tail(stderr))]
    Job {
        /// The task, its state, reason and node, and what was decided.
        message: String,
        /// The last lines that its script printed.
        stderr: String,
    },
    /// It could not be started.
    #[error("it could not be started: {message}")]
    NotStarted {
        /// The reason.
        message: String,
    },
    /// The run was stopped.
    #[error("cancelled")]
    Cancelled,
}

/// The fate of an action that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Retry it alone; the attempt does not count, as another member may be at fault.
    RetryAlone,
    /// Retry it, as one more attempt.
    Retry,
    /// It failed for good.
    Fail,
    /// The run was stopped.
    Cancel,
}

impl Failure {
    /// Returns the failure to start, perhaps for want of threads or processes.
    pub(super) fn not_started(error: &io::Error) -> Self {
        let too_few = if error.kind() == io::ErrorKind::WouldBlock { TOO_FEW } else { "" };
        Self::NotStarted { message: format!("{error}{too_few}") }
    }

    /// Returns the verdict on one of `members` actions that ran together, after `attempts` of its own that failed, this
    /// one included, if `retries` more are allowed.
    pub fn verdict(&self, members: usize, attempts: u32, retries: u32) -> Verdict {
        match self {
            Self::Cancelled => Verdict::Cancel,
            _ if members > 1 && self.is_of_whole_batch() => Verdict::RetryAlone,
            _ if attempts <= retries => Verdict::Retry,
            _ => Verdict::Fail,
        }
    }

    /// Returns whether one member can have caused it for all others.
    pub fn is_of_whole_batch(&self) -> bool {
        match self {
            Self::Panicked { .. }
            | Self::Killed { .. }
            | Self::OutOfMemory { .. }
            | Self::TimedOut { .. }
            | Self::NoResult { .. } => true,
            // It was tried again already, by itself.
            Self::Job { .. } => false,
            Self::Stage(_) | Self::NotStarted { .. } | Self::Cancelled => false,
        }
    }
}

fn out_of_memory(limit_bytes: Option<u64>) -> String {
    match limit_bytes {
        Some(limit) => format!("the worker ran out of the {} of memory that it may use", display_size(limit)),
        None => "the worker was killed by SIGKILL, most likely by the system because memory ran out; \
                 set `resources.memory` of the stage so that fewer run at once"
            .to_owned(),
    }
}

/// Advice if the system starts no more threads or processes.
const TOO_FEW: &str = "; a limit of processes and threads is reached: this user's (`ulimit -u`) or that of the control \
                       group (`pids.max`); raise it, or let fewer nodes run at once with `--jobs`";

/// Returns advice on a fault of a GPU, recognised by the text of its driver, and on too few threads, recognised by the
/// texts of the standard library and rayon.
fn advice(message: &str) -> &'static str {
    if message.contains("CUDA_ERROR_OUT_OF_MEMORY") {
        "; the memory of the GPU ran out: lower `batch_size`, and see with `nvidia-smi` who else uses it"
    } else if message.contains("CUDA_ERROR") {
        "; the GPU reported a fault: the kernel's log has an `Xid` if the card or its driver is to blame; run again, \
         and a training goes on from its last checkpoint"
    } else if message.contains("failed to spawn thread") || message.contains("ThreadPoolBuildError") {
        TOO_FEW
    } else {
        ""
    }
}

fn on(driver: &Option<String>) -> String {
    let on =
        |driver| format!(" while it computed on {driver}; the driver may be to blame: try another, or --device cpu");
    driver.as_ref().map(on).unwrap_or_default()
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; its last lines:\n{stderr}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panicked() -> Failure {
        Failure::Panicked { message: "index out of bounds".to_owned() }
    }

    #[test]
    fn panic_of_a_batch_is_retried_member_by_member_and_costs_no_attempt() {
        assert_eq!(panicked().verdict(3, 1, 0), Verdict::RetryAlone);
        assert_eq!(panicked().verdict(1, 1, 0), Verdict::Fail);
        let timed_out = Failure::TimedOut { limit: Duration::from_secs(3) };
        assert_eq!(timed_out.verdict(2, 1, 0), Verdict::RetryAlone);
    }

    #[test]
    fn member_with_an_error_of_its_own_has_only_its_retries() {
        let failure = Failure::Stage(StageError::new("no such column"));
        assert_eq!(failure.verdict(3, 1, 0), Verdict::Fail);
        assert_eq!(
            [1, 2, 3].map(|attempts| failure.verdict(1, attempts, 2)),
            [Verdict::Retry, Verdict::Retry, Verdict::Fail]
        );
    }

    #[test]
    fn stopped_run_retries_nothing() {
        assert_eq!(Failure::Cancelled.verdict(3, 1, 9), Verdict::Cancel);
    }

    #[test]
    fn failure_names_its_cause_and_the_output() {
        let failure = Failure::NoResult { status: "exit status: 2".to_owned(), stderr: "boom".to_owned() };
        assert_eq!(failure.to_string(), "the worker ended without a result (exit status: 2); its last lines:\nboom");
        let failure = Failure::OutOfMemory { limit_bytes: Some(2_000_000_000), stderr: String::new() };
        assert_eq!(failure.to_string(), "the worker ran out of the 2 GB of memory that it may use");
        let failure = Failure::TimedOut { limit: Duration::from_secs(90) };
        let message = "it ran longer than its timeout of 1m 30s; raise `timeout` of the stage if it needs more";
        assert_eq!(failure.to_string(), message);
    }

    #[test]
    fn fault_of_a_gpu_comes_with_advice() {
        let said = |error: &str| {
            let message = format!("called `Result::unwrap()` on an `Err` value: DriverError({error})");
            Failure::Panicked { message }.to_string()
        };
        assert!(said("CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"").contains("lower `batch_size`"));
        assert!(said("CUDA_ERROR_ILLEGAL_ADDRESS, \"…\"").contains("goes on from its last checkpoint"));
        let failure =
            Failure::NoResult { status: "exit status: 134".to_owned(), stderr: "CUDA_ERROR_LAUNCH_FAILED".to_owned() };
        let text = failure.to_string();
        assert!(
            text.contains("the GPU reported a fault") && text.ends_with("last lines:\nCUDA_ERROR_LAUNCH_FAILED"),
            "{text}"
        );
    }
}
