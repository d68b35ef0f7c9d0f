//! Retries of requests that failed.

use std::thread;
use std::time::Duration;

use crate::client::Problem;
use crate::error::FetchError;
use crate::progress::Progress;

/// Longest pause that a server can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// The pauses before retries of a failed request.
#[derive(Clone, Debug)]
pub struct Retries {
    /// One pause before each retry; a download that gets further than before begins with the first again.
    pub delays: Vec<Duration>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { delays: [1, 2, 4, 8, 16, 32].map(Duration::from_secs).to_vec() }
    }
}

impl Retries {
    /// Sends a short request until it succeeds, fails for good, or no retry is left.
    pub(crate) fn request<T>(
        &self,
        url: &str,
        listener: &mut dyn FnMut(Progress<'_>),
        mut attempt: impl FnMut() -> Result<T, Problem>,
    ) -> Result<T, FetchError> {
        let mut failures = 0;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(problem) => {
                    failures += 1;
                    self.pause(url, url, &problem, failures, listener)?;
                }
            }
        }
    }

    /// Waits before the next attempt; an error if the problem lasts, or no retry is left.
    pub(crate) fn pause(
        &self,
        name: &str,
        url: &str,
        problem: &Problem,
        failures: usize,
        listener: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), FetchError> {
        let Some(delay) = self.delays.get(failures - 1).filter(|_| problem.passing) else {
            let (url, problem) = (url.to_owned(), problem.message.clone());
            return Err(FetchError::Unreachable { url, problem, attempts: failures });
        };
        let delay = problem.wait.unwrap_or_default().min(PAUSE_MAX).max(*delay);
        listener(Progress::Retry { name, problem: &problem.message, delay });
        thread::sleep(delay);
        Ok(())
    }
}
