//! The executor of light stages: threads of this process.
//!
//! The threads do not belong to a rayon pool. A rayon thread that waits for a parallel loop of one stage would start
//! the next batch meanwhile: the first batch would seem to take as long as both, and two batches that want one lock
//! would deadlock. Parallel loops within a stage use rayon's global pool.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::attempt::{self, RateLimited};
use super::failure::Failure;
use super::panic::{self, Print};
use super::request::{Executor, Finished, Report, Request, SendReport};
use super::scratch::ScratchRoot;
use crate::stage::{Context, Progress, StageError};

/// Runs batches in threads of this process; a thread starts when it is first needed.
pub struct ThreadExecutor {
    shared: Arc<Shared>,
}

struct Shared {
    threads_max: usize,
    scratch: Arc<ScratchRoot>,
    send: SendReport,
    stopped: AtomicBool,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Request>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl ThreadExecutor {
    /// Returns an executor that runs at most `threads` batches at once.
    pub fn new(threads: usize, scratch: Arc<ScratchRoot>, send: SendReport) -> Self {
        let shared = Shared {
            threads_max: threads.max(1),
            scratch,
            send,
            stopped: AtomicBool::new(false),
            state: Mutex::default(),
            wake: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Executor for ThreadExecutor {
    fn start(&self, request: Request) {
        let mut state = self.shared.lock();
        state.queue.push_back(request);
        if state.idle >= state.queue.len() || state.threads == self.shared.threads_max {
            drop(state);
            self.shared.wake.notify_one();
            return;
        }
        let shared = Arc::clone(&self.shared);
        match thread::Builder::new().name("stage".to_owned()).spawn(move || shared.work()) {
            Ok(_) => state.threads += 1,
            // The existing threads take it up; without any it fails.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                let failure = Failure::not_started(&error);
                if let Some(request) = state.queue.pop_back() {
                    (self.shared.send)(request.failed(&failure, Duration::ZERO));
                }
            }
        }
    }

    /// Tells all batches to stop; a stage that never polls runs to its end.
    fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let queue = std::mem::take(&mut self.shared.lock().queue);
        for request in queue {
            (self.shared.send)(request.failed(&Failure::Cancelled, Duration::ZERO));
        }
    }
}

impl Drop for ThreadExecutor {
    fn drop(&mut self) {
        // Threads are not joined: one that hangs must not keep the process from ending.
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(request) = self.next() {
            let started = Instant::now();
            let report = if self.stopped.load(Ordering::Relaxed) {
                request.failed(&Failure::Cancelled, Duration::ZERO)
            } else {
                // The other methods of a stage may panic too, and a thread that ended would never report.
                panic::catch(Print::Never, || self.run(&request, started))
                    .unwrap_or_else(|message| request.failed(&Failure::Panicked { message }, started.elapsed()))
            };
            // The action of a table holds half of a large plan; it goes before the result is recorded.
            drop(request);
            (self.send)(report);
        }
    }

    fn next(&self) -> Option<Request> {
        let mut state = self.lock();
        loop {
            if let Some(request) = state.queue.pop_front() {
                return Some(request);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn run(&self, request: &Request, started: Instant) -> Report {
        let scratch = match self.scratch.take() {
            Ok(scratch) => scratch,
            Err(error) => {
                let failure = Failure::not_started(&error);
                return request.failed(&failure, started.elapsed());
            }
        };
        let limit = request.time_limit();
        let timed_out = || limit.is_some_and(|limit| started.elapsed() >= limit);
        let cancelled = || self.stopped.load(Ordering::Relaxed) || timed_out();
        let progress = RateLimited::new(|progress| (self.send)(Report::Progress { batch: request.batch, progress }));
        let progress = |made: Progress| progress.report(made);
        let context = Context {
            scratch_dir: scratch.path(),
            checkpoint_dir: request.checkpoint_dir.as_deref(),
            checkpoint_stamp: request.checkpoint_stamp.clone(),
            threads: request.threads,
            device: &request.device,
            log_max_bytes: request.log_max_bytes,
            progress: &progress,
            cancelled: &cancelled,
        };
        let mut results = attempt::run(request.stage, &context, &request.actions, Print::Never);
        if let Some(limit) = limit.filter(|_| !self.stopped.load(Ordering::Relaxed)) {
            for result in &mut results {
                if matches!(result, Err(Failure::Cancelled | Failure::Stage(StageError::Cancelled))) {
                    *result = Err(Failure::TimedOut { limit });
                }
            }
        }
        let (batch, elapsed) = (request.batch, started.elapsed());
        Report::Finished(Finished { batch, results, elapsed, scratch: Some(scratch), used: None, asked: None })
    }
}
