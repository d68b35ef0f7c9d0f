//! The state of a remote in this process: whether it is still asked, what was said, and the counts.
//!
//! A fault of the whole remote is said once, and then it is not asked any more. Faults of single results are said a few
//! times and counted.

use std::sync::Mutex;

use crate::lock::memory::lock;
use crate::remote::bucket::BucketError;
use crate::remote::counts::RemoteCounts;

/// Failed calls in a row after which the remote is not asked any more.
const FAILURES_MAX: u32 = 3;
/// Results whose failures are told one by one.
const TOLD_MAX: u64 = 3;

/// The state of a remote.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: RemoteCounts,
    warnings: Vec<String>,
    /// Failed calls since the last one that succeeded.
    failures: u32,
    is_off: bool,
    is_read_only: bool,
    told: u64,
}

impl Health {
    /// Returns whether the remote is not asked any more.
    pub(crate) fn is_off(&self) -> bool {
        lock(&self.0).is_off
    }

    /// Returns whether the server refuses to take anything from this user.
    pub(crate) fn is_read_only(&self) -> bool {
        lock(&self.0).is_read_only
    }

    /// Takes note of the outcome of a call. Too many failures in a row end the use of the remote.
    pub(crate) fn note<T>(&self, shown: &str, outcome: &Result<T, BucketError>) {
        let mut state = lock(&self.0);
        match outcome {
            Ok(_) | Err(BucketError::Missing(_)) => state.failures = 0,
            Err(BucketError::Stopped) => state.is_off = true,
            Err(BucketError::Denied(_)) => {}
            Err(error @ BucketError::Failed(_)) => {
                state.failures += 1;
                if state.failures >= FAILURES_MAX {
                    state.end(shown, &error.to_string());
                }
            }
        }
    }

    /// Ends the use of the remote, and says why, once.
    pub(crate) fn end(&self, shown: &str, error: &BucketError) {
        let mut state = lock(&self.0);
        match error {
            BucketError::Stopped => state.is_off = true,
            error => state.end(shown, &error.to_string()),
        }
    }

    /// Takes note that nothing can be put there by this user, and says so, once.
    pub(crate) fn refuse_writes(&self, shown: &str, error: &BucketError) {
        let mut state = lock(&self.0);
        if !std::mem::replace(&mut state.is_read_only, true) {
            state.warnings.push(format!(
                "these credentials may only read {shown}, so nothing is uploaded ({error}); `mode = \"read\"` in \
                 `[store.remote]` says the same without asking"
            ));
        }
    }

    /// Counts a result that cannot be used or put, and says why, the first times.
    pub(crate) fn fail(&self, why: impl FnOnce() -> String) {
        let mut state = lock(&self.0);
        state.counts.failed += 1;
        state.told += 1;
        match state.told {
            ..=TOLD_MAX => state.warnings.push(why()),
            told if told == TOLD_MAX + 1 => {
                state.warnings.push("more results of the remote fail; they are counted at the end".to_owned());
            }
            _ => {}
        }
    }

    /// Says something.
    pub(crate) fn warn(&self, text: String) {
        lock(&self.0).warnings.push(text);
    }

    /// Changes the counts.
    pub(crate) fn count(&self, change: impl FnOnce(&mut RemoteCounts)) {
        change(&mut lock(&self.0).counts);
    }

    /// Returns the counts.
    pub(crate) fn counts(&self) -> RemoteCounts {
        lock(&self.0).counts
    }

    /// Takes what is to be said.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0).warnings)
    }
}

impl State {
    fn end(&mut self, shown: &str, cause: &str) {
        if !std::mem::replace(&mut self.is_off, true) {
            self.warnings.push(format!("the remote {shown} is not used from here on, only this store is: {cause}"));
        }
    }
}
