//! The decision when a worker is done, late, or to be killed.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::descendants::kill_with_descendants;
use super::failure::Failure;
use super::protocol::{Message, STOP, StoredOutput};
use super::request::{Report, Request, SendReport};
use crate::usage::Usage;

/// The time that a worker has to end after its results.
const LINGER: Duration = Duration::from_secs(10);

/// The time to read on after a worker ended; a process that left the group may hold the pipe open forever.
pub(super) const DRAIN: Duration = Duration::from_secs(2);

/// A message to the supervisor.
pub(super) enum Notice {
    /// The worker wrote a message.
    Message(Message),
    /// The worker, and all processes that inherited its output, closed it.
    OutputEnd,
    /// The worker ended.
    Exited,
    /// The worker is to stop.
    Stop,
    /// The worker is to be killed.
    Kill,
}

pub(super) type Results = Vec<Result<Vec<StoredOutput>, Failure>>;

/// The reason why the supervisor ended a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    Timeout,
    Stop,
}

/// Supervises one worker.
pub(super) struct Supervisor<'a> {
    pub(super) request: &'a Request,
    pub(super) send: &'a SendReport,
    pub(super) grace: Duration,
    pub(super) pid: Pid,
    /// Lines for the worker's standard input.
    pub(super) lines: Sender<Vec<u8>>,
    /// The time at which to kill.
    pub(super) deadline: Option<Instant>,
    pub(super) results: Option<Results>,
    pub(super) used: Option<Usage>,
    pub(super) ended_by: Option<EndedBy>,
}

impl Supervisor<'_> {
    /// Listens until the worker has ended and all of its output is read; returns its results, or who ended it, and
    /// what it used.
    pub(super) fn watch(mut self, notices: &Receiver<Notice>) -> (Result<Results, Option<EndedBy>>, Option<Usage>) {
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
                    // There is no such group any more if all its processes have ended.
                    let _ = killpg(self.pid, Signal::SIGKILL);
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
        (self.results.ok_or(self.ended_by), self.used)
    }

    fn kill(&mut self) {
        kill_with_descendants(self.pid);
        self.deadline = None;
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Progress(progress) => {
                (self.send)(Report::Progress { batch: self.request.batch, progress });
            }
            Message::Device(description) => {
                (self.send)(Report::Device { batch: self.request.batch, description });
            }
            Message::Used(used) => self.used = Some(used),
            // Results after the deadline are too late.
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
