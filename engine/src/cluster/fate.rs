//! The next step for a task, from its outcome and from its state in the queueing system.
//!
//! The outcome counts. A state alone never means success, and no answer of the queueing system means nothing.

use std::time::Duration;

use super::outcome::{Outcome, Stopped};
use super::queue::Seen;
use super::state::{End, State};

/// The time that an outcome has to show itself after its task has ended well: a file server shows files late.
pub(super) const LATE: Duration = Duration::from_secs(60);
/// The same for a task that ended otherwise, and may have left none.
const LATE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// The time after which a task counts as vanished that an answering queueing system does not know.
const VANISHED: Duration = Duration::from_secs(30);

/// The facts about a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    pub(super) outcome: Option<&'a Outcome>,
    /// Its latest state; `None` if the queueing system does not know it.
    pub(super) seen: Option<&'a Seen>,
    /// The time since it was first seen to have ended, or was first unknown.
    pub(super) ended_for: Duration,
}

/// The next step for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It lives, or its outcome may yet show itself.
    Wait,
    /// It did all its work; its outcome says with what success.
    Done,
    /// It is to be submitted again as it is, from its checkpoint.
    GoOn,
    /// It was lost through no fault of its own.
    Lost(End),
    /// It ended without a word, perhaps because of its node.
    Broken,
    /// It needs more memory.
    MoreMemory,
    /// It needs more time.
    MoreTime,
    /// Somebody cancelled it.
    Cancelled,
    /// It ended well, and left nothing that can be seen here.
    Unseen,
}

/// Returns the next step.
pub(super) fn fate(evidence: Evidence<'_>) -> Fate {
    let Evidence { outcome, seen, ended_for } = evidence;
    let stopped = match outcome {
        Some(Outcome { is_done: true, stopped: None, .. }) => return Fate::Done,
        Some(Outcome { stopped: Some(Stopped::WithCheckpoint), .. }) => return Fate::GoOn,
        Some(Outcome { stopped: Some(Stopped::WithoutCheckpoint), .. }) => return Fate::MoreTime,
        Some(Outcome { stopped: Some(Stopped::Told), .. }) => true,
        // Some batches have ended, and the task lives or was killed.
        Some(_) | None => false,
    };
    let Some(seen) = seen else {
        return if ended_for < VANISHED { Fate::Wait } else { Fate::Lost(End::Vanished) };
    };
    let end = match seen.state {
        State::Waiting | State::Running => return Fate::Wait,
        State::Ended(end) => end,
    };
    let late = if end == End::Completed && !stopped { LATE } else { LATE_AFTER_FAILURE };
    if ended_for < late && !stopped {
        return Fate::Wait;
    }
    match end {
        End::OutOfMemory => Fate::MoreMemory,
        End::TimeLimit => Fate::MoreTime,
        End::Cancelled => Fate::Cancelled,
        End::NodeFailed | End::Preempted | End::Vanished => Fate::Lost(end),
        // It was told to end and obeyed, so its exit code says nothing.
        End::Completed | End::Failed if stopped => Fate::Lost(End::Preempted),
        End::Completed => Fate::Unseen,
        End::Failed => Fate::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::super::state;
    use super::*;

    fn seen(word: &str) -> Seen {
        Seen {
            state: state::of_word(word),
            word: word.to_owned(),
            reason: String::new(),
            node: "n1".to_owned(),
            peak_bytes: None,
        }
    }

    fn of_state(word: &str, seconds: u64) -> Fate {
        fate(Evidence { outcome: None, seen: Some(&seen(word)), ended_for: Duration::from_secs(seconds) })
    }

    fn of_outcome(outcome: &Outcome, word: &str) -> Fate {
        fate(Evidence { outcome: Some(outcome), seen: Some(&seen(word)), ended_for: Duration::ZERO })
    }

    #[test]
    fn states_that_are_no_end_wait_however_long() {
        for word in ["PENDING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "RUNNING", "COMPLETING"] {
            assert_eq!(of_state(word, 1_000_000), Fate::Wait, "{word}");
        }
    }

    #[test]
    fn lost_tasks_come_again_and_limits_ask_for_more() {
        assert_eq!(of_state("NODE_FAIL", 5), Fate::Lost(End::NodeFailed));
        assert_eq!(of_state("BOOT_FAIL", 5), Fate::Lost(End::NodeFailed));
        assert_eq!(of_state("PREEMPTED", 5), Fate::Lost(End::Preempted));
        assert_eq!(of_state("OUT_OF_MEMORY", 5), Fate::MoreMemory);
        assert_eq!(of_state("TIMEOUT", 5), Fate::MoreTime);
        assert_eq!(of_state("CANCELLED", 5), Fate::Cancelled);
        assert_eq!(of_state("FAILED", 5), Fate::Broken);
    }

    #[test]
    fn outcome_has_time_to_show_itself() {
        assert_eq!(of_state("FAILED", 4), Fate::Wait);
        assert_eq!(of_state("COMPLETED", 59), Fate::Wait);
        assert_eq!(of_state("COMPLETED", 60), Fate::Unseen);
        let unknown = |seconds| fate(Evidence { outcome: None, seen: None, ended_for: Duration::from_secs(seconds) });
        assert_eq!((unknown(29), unknown(30)), (Fate::Wait, Fate::Lost(End::Vanished)));
    }

    #[test]
    fn outcome_counts_whatever_the_state_says() {
        let done = Outcome { is_done: true, ..Outcome::default() };
        for word in ["RUNNING", "FAILED", "NODE_FAIL", "CANCELLED", "COMPLETED"] {
            assert_eq!(of_outcome(&done, word), Fate::Done, "{word}");
        }
        let stopped = |stopped| Outcome { stopped: Some(stopped), ..Outcome::default() };
        assert_eq!(of_outcome(&stopped(Stopped::WithCheckpoint), "TIMEOUT"), Fate::GoOn);
        assert_eq!(of_outcome(&stopped(Stopped::WithoutCheckpoint), "COMPLETED"), Fate::MoreTime);
        let told = stopped(Stopped::Told);
        assert_eq!(of_outcome(&told, "COMPLETING"), Fate::Wait);
        assert_eq!(of_outcome(&told, "CANCELLED"), Fate::Cancelled);
        assert_eq!(of_outcome(&told, "FAILED"), Fate::Lost(End::Preempted));
        let partly = Outcome::default();
        assert_eq!(of_outcome(&partly, "RUNNING"), Fate::Wait);
    }
}
