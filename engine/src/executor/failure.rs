//! Why an action has no result, and what follows from that.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::resources::{display_duration, display_size};
use crate::stage::StageError;

/// Why an action has no result, as a fragment that reads after "failed: ".
#[derive(Clone, Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum Failure {
    /// The stage says why.
    #[error(transparent)]
    Stage(StageError),
    /// The stage has a bug, or met data that its author did not think of.
    #[error("the stage panicked: {message}{}", advice(message))]
    Panicked {
        /// The message of the panic with its place in the source.
        message: String,
    },
    /// A signal ended the worker, and the run did not send it.
    #[error("the worker was killed by {signal}{}{}", advice(stderr), tail(stderr))]
    Killed {
        /// Name of the signal, `SIGSEGV` for example.
        signal: String,
        /// The last lines that the worker printed.
        stderr: String,
    },
    /// There was not enough memory.
    #[error("{}{}", out_of_memory(*limit_bytes), tail(stderr))]
    OutOfMemory {
        /// The limit that the worker had, if it had one.
        limit_bytes: Option<u64>,
        /// The last lines that the worker printed.
        stderr: String,
    },
    /// It took longer than it may.
    #[error("it ran longer than its timeout of {}; raise `timeout` of the stage if it needs more", display_duration(*limit))]
    TimedOut {
        /// How long the batch may take.
        limit: Duration,
    },
    /// The worker ended by itself and gave no result.
    #[error("the worker ended without a result ({status}){}{}", advice(stderr), tail(stderr))]
    NoResult {
        /// How it ended, `exit status: 2` for example.
        status: String,
        /// The last lines that the worker printed.
        stderr: String,
    },
    /// It could not be started.
    #[error("it could not be started: {message}")]
    NotStarted {
        /// Why.
        message: String,
    },
    /// The run was stopped.
    #[error("cancelled")]
    Cancelled,
}

/// What is to become of an action that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try it again; whose fault it was is not known, so that this is no attempt of its own.
    RetryAlone,
    /// Try it again, as one more attempt.
    Retry,
    /// It failed for good.
    Fail,
    /// The run was stopped.
    Cancel,
}

impl Failure {
    /// It could not be started, for want of threads or processes perhaps.
    pub(super) fn not_started(error: &io::Error) -> Self {
        let too_few = if error.kind() == io::ErrorKind::WouldBlock { TOO_FEW } else { "" };
        Self::NotStarted { message: format!("{error}{too_few}") }
    }

    /// What is to become of one of `members` actions that ran together, after `attempts` of its own that failed, this
    /// one included, where `retries` more are allowed.
    pub fn verdict(&self, members: usize, attempts: u32, retries: u32) -> Verdict {
        match self {
            Self::Cancelled => Verdict::Cancel,
            _ if members > 1 && self.is_of_whole_batch() => Verdict::RetryAlone,
            _ if attempts <= retries => Verdict::Retry,
            _ => Verdict::Fail,
        }
    }

    /// Whether one member can have caused it for all others.
    pub fn is_of_whole_batch(&self) -> bool {
        match self {
            Self::Panicked { .. }
            | Self::Killed { .. }
            | Self::OutOfMemory { .. }
            | Self::TimedOut { .. }
            | Self::NoResult { .. } => true,
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

/// What to do where the system starts no more threads or processes.
const TOO_FEW: &str = "; a limit of processes and threads is reached: this user's (`ulimit -u`) or that of the control group \
                       (`pids.max`); raise it, or let fewer nodes run at once with `--jobs`";

/// What to do about a fault of a GPU, which its driver tells in capitals wherever it comes out, and about too few threads, of
/// which the standard library and rayon tell.
fn advice(message: &str) -> &'static str {
    if message.contains("CUDA_ERROR_OUT_OF_MEMORY") {
        "; the memory of the GPU ran out: lower `batch_size`, and see with `nvidia-smi` who else uses it"
    } else if message.contains("CUDA_ERROR") {
        "; the GPU reported a fault: the kernel's log has an `Xid` if the card or its driver is to blame; run again, and a \
         training goes on from its last checkpoint"
    } else if message.contains("failed to spawn thread") || message.contains("ThreadPoolBuildError") {
        TOO_FEW
    } else {
        ""
    }
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
    fn panic_of_a_batch_is_tried_again_member_by_member_and_costs_no_attempt() {
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
    fn stopped_run_tries_nothing_again() {
        assert_eq!(Failure::Cancelled.verdict(3, 1, 9), Verdict::Cancel);
    }

    #[test]
    fn failure_says_what_happened_and_what_was_printed() {
        let failure = Failure::NoResult { status: "exit status: 2".to_owned(), stderr: "boom".to_owned() };
        assert_eq!(failure.to_string(), "the worker ended without a result (exit status: 2); its last lines:\nboom");
        let failure = Failure::OutOfMemory { limit_bytes: Some(2_000_000_000), stderr: String::new() };
        assert_eq!(failure.to_string(), "the worker ran out of the 2 GB of memory that it may use");
        let failure = Failure::TimedOut { limit: Duration::from_secs(90) };
        let message = "it ran longer than its timeout of 1m 30s; raise `timeout` of the stage if it needs more";
        assert_eq!(failure.to_string(), message);
    }

    #[test]
    fn fault_of_a_gpu_says_what_to_do() {
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
