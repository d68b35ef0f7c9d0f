//! The keeper: packs batches into jobs, submits them, and watches them until their ends are known.
//!
//! A batch is taken (`take`), waits, is submitted or adopted (`submit.rs`), watched (`watch.rs`), and ends with a
//! report, or is submitted again (`ended.rs`). What goes wrong on the cluster's side, lost nodes and limits of memory
//! and time, is tried again here; failures of a stage are the run loop's business.

mod ended;
mod submit;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use self::watch::{LOOKS, QUESTIONS};
use super::executor::Setting;
use super::folder::JobFolder;
use super::ledger::{Ledger, Place};
use super::queue::{Queue, Seen, Submission};
use crate::executor::{Failure, OnCluster, Report, Request, SendReport};
use crate::schedule::BatchId;

/// The silence after which requests are packed: all that are ready at once go into one job.
const GATHERING: Duration = pace(250);

/// The factor by which time is shorter in tests.
const SPEED: u32 = if cfg!(test) { 100 } else { 1 };

/// Returns a duration of a keeper, in milliseconds.
const fn pace(milliseconds: u64) -> Duration {
    Duration::from_micros(milliseconds * 1000 / SPEED as u64)
}

/// A message of the run loop.
pub(super) enum Message {
    Start(Box<Request>),
    /// Ask what to do with what is submitted, and end.
    Stop,
    /// End at once, and leave everything running.
    Leave,
}

/// A batch that waits for its submission, or for its task.
struct Rider {
    request: Box<Request>,
    /// Taken out of the request; what it asks for may grow.
    cluster: OnCluster,
    started: Instant,
    losses: u32,
    breaks: u32,
}

/// A job that this head watches.
struct Job {
    folder: JobFolder,
    id: Option<String>,
    /// The submission, to be repeated if there is no trace of it; `None` for the job of another head.
    submission: Option<Submission>,
    tries: u32,
    /// The time of the submission, or of its adoption.
    since: Instant,
    /// The number of tasks.
    tasks: usize,
    at_once: Option<usize>,
    watched: BTreeMap<usize, Watched>,
}

impl Job {
    /// Returns the batches that wait for its tasks.
    fn into_batches(self) -> impl Iterator<Item = BatchId> {
        self.watched.into_values().flat_map(|watched| watched.riders).map(|(_, batch)| batch)
    }
}

/// A task that is watched.
#[derive(Default)]
struct Watched {
    /// By the place of the batch in the work of the task: its keys, and who waits for it.
    riders: Vec<(Place, BatchId)>,
    seen: Option<Seen>,
    /// The time at which it was first seen to have ended, or was first unknown to an answering system.
    ended: Option<Instant>,
}

pub(super) struct Keeper {
    setting: Setting,
    queue: Box<dyn Queue>,
    send: SendReport,
    ledger: Ledger,
    riders: HashMap<BatchId, Rider>,
    /// Batches that are to be submitted, in order.
    waiting: Vec<BatchId>,
    jobs: Vec<Job>,
    /// The number of the next job of this run.
    next_job: usize,
    /// The number of tasks that ended without a word, by node.
    breaks: HashMap<String, u32>,
    look_at: Instant,
    look_interval: Duration,
    ask_at: Instant,
    ask_interval: Duration,
    /// The time of the first question without an answer since the last answer.
    silent_since: Option<Instant>,
    is_silence_told: bool,
    /// Set after a limit of submissions.
    paused_until: Option<Instant>,
    refusals: u32,
    told: HashSet<String>,
}

impl Keeper {
    pub(super) fn new(setting: Setting, queue: Box<dyn Queue>, send: SendReport) -> Self {
        let (ledger, now) = (Ledger::new(&setting.jobs_dir), Instant::now());
        let (riders, waiting, jobs, breaks, told) = Default::default();
        Self {
            setting,
            queue,
            send,
            ledger,
            riders,
            waiting,
            jobs,
            next_job: 0,
            breaks,
            look_at: now,
            look_interval: LOOKS.0,
            ask_at: now,
            ask_interval: QUESTIONS.0,
            silent_since: None,
            is_silence_told: false,
            paused_until: None,
            refusals: 0,
            told,
        }
    }

    /// Handles messages and looks at jobs until the run ends.
    pub(super) fn keep(mut self, messages: &Receiver<Message>) {
        loop {
            let pause = match (self.riders.is_empty(), self.may_submit()) {
                (true, _) => Duration::from_secs(3600),
                (false, true) => GATHERING,
                (false, false) => self.look_at.saturating_duration_since(Instant::now()),
            };
            match messages.recv_timeout(pause) {
                Ok(Message::Start(request)) => {
                    self.take(request);
                    continue;
                }
                Ok(Message::Stop) => {
                    self.leave(true);
                    // Whatever else was about to start.
                    while let Ok(message) = messages.recv() {
                        match message {
                            Message::Start(request) => (self.send)(request.failed(&Failure::Cancelled, Duration::ZERO)),
                            Message::Stop => {}
                            Message::Leave => return,
                        }
                    }
                    return;
                }
                Ok(Message::Leave) | Err(RecvTimeoutError::Disconnected) => return self.leave(false),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.may_submit() {
                self.submit_waiting();
            }
            if Instant::now() >= self.look_at {
                self.look();
            }
        }
    }

    fn take(&mut self, mut request: Box<Request>) {
        let cluster = request.cluster.take().expect("BUG: the request is for a cluster");
        let (batch, started) = (request.batch, Instant::now());
        self.riders.insert(batch, Rider { request, cluster, started, losses: 0, breaks: 0 });
        self.waiting.push(batch);
    }

    fn warn(&mut self, message: String) {
        if self.told.insert(message.clone()) {
            (self.send)(Report::Warning { message });
        }
    }

    /// Ends the watch. What is submitted is left running, or cancelled if people say so.
    fn leave(&mut self, ask: bool) {
        let tasks = self.jobs.iter().map(|job| job.watched.len()).sum();
        let is_to_cancel = ask && tasks > 0 && (self.setting.is_to_cancel)(tasks);
        let (mut left, mut cancelled) = (Vec::new(), Vec::new());
        for job in std::mem::take(&mut self.jobs) {
            let id = job.id.clone().or_else(|| self.queue.find(&job.folder.name()).ok().flatten());
            match id {
                Some(id) if is_to_cancel => match self.queue.cancel(&id) {
                    Ok(()) => {
                        job.folder.remove();
                        cancelled.push(id);
                    }
                    Err(error) => self.warn(format!("job {id} cannot be cancelled: {error}")),
                },
                Some(id) => left.push(id),
                None => {}
            }
        }
        let named = |ids: &[String]| format!("{} {}", if ids.len() == 1 { "job" } else { "jobs" }, ids.join(", "));
        if !cancelled.is_empty() {
            self.warn(format!("cancelled {}", named(&cancelled)));
        }
        if ask && !left.is_empty() {
            let jobs = named(&left);
            self.warn(format!(
                "left running: {jobs}; `orchestrate attach` or the same run again waits for what they do"
            ));
        }
        for batch in self.riders.keys().copied().collect::<Vec<_>>() {
            self.fail(batch, &Failure::Cancelled);
        }
        self.waiting.clear();
    }
}
