//! Decides when a worker is done, late, or to be killed.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::descendants::kill_with_descendants;
use super::protocol::{Message, STOP, StoredOutput};
use super::{Failure, Report, Request, SendReport};

/// How long a worker that was told to stop may take.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// How long a worker may take to end after it gave its results.
const LINGER: Duration = Duration::from_secs(10);

/// How long to read on after a worker ended; a process that left the group may hold the pipe open for ever.
pub(super) const DRAIN: Duration = Duration::from_secs(2);

/// What a supervisor hears.
pub(super) enum Notice {
    /// The worker wrote a message.
    Message(Message),
    /// The worker and all who could write in its place closed its output.
    OutputEnd,
    /// The worker ended.
    Exited,
    /// Tell it to stop.
    Stop,
    /// Kill it.
    Kill,
}

pub(super) type Results = Vec<Result<Vec<StoredOutput>, Failure>>;

/// Why the supervisor ended a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    Timeout,
    Stop,
}

/// What became of the request.
pub(super) enum Outcome {
    Results(Results),
    None(Option<EndedBy>),
}

/// Looks after one worker.
pub(super) struct Supervisor<'a> {
    request: &'a Request,
    sink: &'a SendReport,
    grace: Duration,
    pid: Pid,
    lines: Sender<Vec<u8>>,
    /// When to kill.
    deadline: Option<Instant>,
    results: Option<Results>,
    ended_by: Option<EndedBy>,
}

impl<'a> Supervisor<'a> {
    /// Looks after the worker `pid`, to which `lines` are written.
    pub(super) fn new(request: &'a Request, sink: &'a SendReport, pid: Pid, lines: Sender<Vec<u8>>) -> Self {
        Self { request, sink, grace: GRACE, pid, lines, deadline: None, results: None, ended_by: None }
    }

    /// Kills the worker so long after it was told to stop.
    pub(super) fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Kills the worker then.
    pub(super) fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Listens until the worker has ended and all that it said is read.
    pub(super) fn watch(mut self, notices: &Receiver<Notice>) -> Outcome {
        let (mut exited, mut output_ended) = (false, false);
        while !(exited && output_ended) {
            let notice = match self.deadline {
                Some(deadline) => notices.recv_timeout(deadline.saturating_duration_since(Instant::now())),
                None => notices.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match notice {
                Ok(Notice::Message(message)) => self.take(message),
                Ok(Notice::OutputEnd) => output_ended = true,
                Ok(Notice::Exited) => {
                    exited = true;
                    kill_group(self.pid);
                    self.deadline = Some(Instant::now() + DRAIN);
                }
                Ok(Notice::Stop | Notice::Kill) if exited => {}
                Ok(Notice::Stop) => {
                    self.ended_by.get_or_insert(EndedBy::Stop);
                    let _ = self.lines.send(format!("{STOP}\n").into_bytes());
                    let grace_ends = Instant::now() + self.grace;
                    self.deadline = Some(self.deadline.map_or(grace_ends, |deadline| deadline.min(grace_ends)));
                }
                Ok(Notice::Kill) => {
                    self.ended_by.get_or_insert(EndedBy::Stop);
                    self.kill();
                }
                Err(_) if exited => break,
                Err(_) => {
                    if self.results.is_none() {
                        self.ended_by.get_or_insert(EndedBy::Timeout);
                    }
                    self.kill();
                }
            }
        }
        match self.results {
            Some(results) => Outcome::Results(results),
            None => Outcome::None(self.ended_by),
        }
    }

    fn kill(&mut self) {
        kill_with_descendants(self.pid);
        self.deadline = None;
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Progress(progress) => {
                (self.sink)(Report::Progress { batch: self.request.batch, progress });
            }
            Message::Device(description) => {
                (self.sink)(Report::Device { batch: self.request.batch, description });
            }
            // What arrives after the deadline is too late.
            Message::Results(results)
                if results.len() == self.request.actions.len() && self.ended_by != Some(EndedBy::Timeout) =>
            {
                self.results = Some(results);
                self.deadline = Some(Instant::now() + LINGER);
            }
            Message::Results(_) => {}
        }
    }
}

/// Kills all processes of a worker.
fn kill_group(pid: Pid) {
    // There is no such group any more where all have ended.
    let _ = killpg(pid, Signal::SIGKILL);
}
