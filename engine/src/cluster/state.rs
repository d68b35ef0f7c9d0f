//! States of jobs, as Slurm names them (`JOB STATE CODES` in the manual page of `squeue`).

/// The state of a task in the queueing system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for its turn, or for another one after the site requeued it.
    Waiting,
    /// It runs, or is about to end.
    Running,
    /// It ended.
    Ended(End),
}

impl State {
    /// Returns whether it is an end.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

/// The way a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With exit code 0.
    Completed,
    /// With another exit code, or by a signal.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// It used more memory than it asked for.
    OutOfMemory,
    /// It ran longer than it asked for.
    TimeLimit,
    /// Its node failed or did not boot.
    NodeFailed,
    /// A job of higher priority took its place.
    Preempted,
    /// It is not known any more.
    Vanished,
}

/// Returns the state of a word, in `squeue` or `sacct`; an unknown one counts as running, as it ends in time.
///
/// `sacct` writes `CANCELLED by 1000`, and some sites cut words off with a `+`.
pub(super) fn of_word(word: &str) -> State {
    let word = word.split_whitespace().next().unwrap_or_default().trim_end_matches('+');
    match word {
        // RESV_DEL_HOLD, REQUEUE_FED and the like wait too.
        "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "RESV_DEL_HOLD" | "SPECIAL_EXIT" | "SUSPENDED"
        | "STOPPED" | "CONFIGURING" | "RESIZING" => State::Waiting,
        "COMPLETED" => State::Ended(End::Completed),
        "FAILED" => State::Ended(End::Failed),
        "CANCELLED" | "REVOKED" => State::Ended(End::Cancelled),
        "OUT_OF_MEMORY" | "OUT_OF_ME" => State::Ended(End::OutOfMemory),
        "TIMEOUT" | "DEADLINE" => State::Ended(End::TimeLimit),
        "NODE_FAIL" | "BOOT_FAIL" | "LAUNCH_FAILED" => State::Ended(End::NodeFailed),
        "PREEMPTED" => State::Ended(End::Preempted),
        _ => State::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_slurm_is_waiting_running_or_an_end() {
        let ended = |word: &str| match of_word(word) {
            State::Ended(end) => Some(end),
            _ => None,
        };
        // The list of the manual page of Slurm 22.05 and 24.11.
        for word in ["PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT", "SUSPENDED"]
        {
            assert_eq!(of_word(word), State::Waiting, "{word}");
        }
        for word in ["RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "SOMETHING_NEW"] {
            assert_eq!(of_word(word), State::Running, "{word}");
        }
        assert_eq!(["NODE_FAIL", "BOOT_FAIL"].map(ended), [Some(End::NodeFailed); 2]);
        assert_eq!(["TIMEOUT", "DEADLINE"].map(ended), [Some(End::TimeLimit); 2]);
        assert_eq!(["CANCELLED", "CANCELLED by 1000", "CANCELLED+"].map(ended), [Some(End::Cancelled); 3]);
        assert_eq!(["OUT_OF_MEMORY", "OUT_OF_ME+"].map(ended), [Some(End::OutOfMemory); 2]);
        assert_eq!(
            ["COMPLETED", "FAILED", "PREEMPTED"].map(ended),
            [Some(End::Completed), Some(End::Failed), Some(End::Preempted)]
        );
    }
}
