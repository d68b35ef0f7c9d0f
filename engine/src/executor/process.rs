//! The executor of heavy stages: a worker process for each batch.
//!
//! A worker leads a process group of its own, so its children die with it. Four threads serve it: one writes to it, one
//! reads from it, one waits for its end, and the supervisor decides. When the worker has ended, and before its pid can
//! be reused, the rest of its group is killed.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::descendants::kill_with_descendants;
use super::failure::Failure;
use super::log::{Log, last_lines};
use super::panic::{self, Print};
use super::protocol::{StoredOutput, WorkerRequest, read_messages};
use super::request::{Executor, Finished, Report, Request, SendReport};
use super::scratch::ScratchRoot;
use super::supervisor::{DRAIN, EndedBy, Notice, Supervisor};
use crate::schedule::BatchId;

/// The command that starts a worker.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program; this one if `None`.
    pub program: Option<PathBuf>,
    /// Its arguments, such as the name of the hidden subcommand.
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// Returns this program with other arguments, even if its file was replaced since it started.
    pub fn this_program(args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { program: None, args: args.into_iter().map(Into::into).collect() }
    }

    fn program(&self) -> io::Result<PathBuf> {
        let own = Path::new("/proc/self/exe");
        match &self.program {
            Some(program) => Ok(program.clone()),
            None if own.exists() => Ok(own.to_owned()),
            None => std::env::current_exe(),
        }
    }
}

/// Runs each batch in a process of its own.
pub struct ProcessExecutor {
    shared: Arc<Shared>,
}

struct Shared {
    command: WorkerCommand,
    scratch: Arc<ScratchRoot>,
    send: SendReport,
    grace: Duration,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    running: HashMap<BatchId, Sender<Notice>>,
    stopped: bool,
}

impl ProcessExecutor {
    /// Returns an executor that starts workers by the command, and kills them `grace` after they were told to stop.
    pub fn new(command: WorkerCommand, scratch: Arc<ScratchRoot>, send: SendReport, grace: Duration) -> Self {
        let (state, ended) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { command, scratch, send, grace, state, ended }) }
    }
}

impl Executor for ProcessExecutor {
    fn start(&self, request: Request) {
        let (sender, notices) = mpsc::channel();
        {
            let mut state = self.shared.lock();
            if state.stopped {
                drop(state);
                return (self.shared.send)(request.failed(&Failure::Cancelled, Duration::ZERO));
            }
            state.running.insert(request.batch, sender.clone());
        }
        let (shared, request) = (Arc::clone(&self.shared), Arc::new(request));
        let started = Arc::clone(&request);
        let run = move || {
            let span =
                tracing::info_span!("worker", kind = started.stage.facts().kind, members = started.actions.len());
            let report = panic::catch(Print::Never, || span.in_scope(|| shared.run(&started, sender, notices)));
            let report =
                report.unwrap_or_else(|message| started.failed(&Failure::Panicked { message }, Duration::ZERO));
            shared.end(started.batch, report);
        };
        if let Err(error) = thread::Builder::new().spawn(run) {
            self.shared.end(request.batch, request.failed(&Failure::not_started(&error), Duration::ZERO));
        }
    }

    fn stop(&self) {
        self.shared.tell_all(|| Notice::Stop);
    }

    fn kill(&self) {
        self.shared.tell_all(|| Notice::Kill);
    }
}

impl Drop for ProcessExecutor {
    /// Kills all workers and waits for their end.
    fn drop(&mut self) {
        self.kill();
        let state = self.shared.lock();
        let all_ended = |state: &mut State| !state.running.is_empty();
        drop(self.shared.ended.wait_timeout_while(state, DRAIN * 2, all_ended));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_all(&self, notice: impl Fn() -> Notice) {
        let mut state = self.lock();
        state.stopped = true;
        for sender in state.running.values() {
            // A worker that just ended needs no notice.
            let _ = sender.send(notice());
        }
    }

    /// Reports the end of a batch.
    fn end(&self, batch: BatchId, report: Report) {
        (self.send)(report);
        self.lock().running.remove(&batch);
        self.ended.notify_all();
    }

    /// Runs a batch from the start of its worker to its end.
    fn run(&self, request: &Request, sender: Sender<Notice>, notices: Receiver<Notice>) -> Report {
        let started = Instant::now();
        let not_started = |error: io::Error| request.failed(&Failure::not_started(&error), started.elapsed());
        let scratch = match self.scratch.take() {
            Ok(scratch) => scratch,
            Err(error) => return not_started(error),
        };
        let is_private = request.actions.iter().any(|action| request.stage.has_secrets(&action.params));
        let log = Log::open(request.log.as_deref(), scratch.path(), is_private);
        let (log, foreign_log) = match log.and_then(|log| Ok((log.again()?, log))) {
            Ok(logs) => logs,
            Err(error) => return not_started(error),
        };
        let line = request_line(request, scratch.path());
        let (mut worker, stdin, stdout) = match self.spawn(request, &log) {
            Ok(spawned) => spawned,
            Err(error) => return not_started(error),
        };
        let attended = write_lines(stdin).and_then(|lines| {
            listen(stdout, foreign_log, sender.clone())?;
            wait_for_exit(worker.pid(), sender)?;
            Ok(lines)
        });
        let lines = match attended {
            Ok(lines) => lines,
            Err(error) => return not_started(error),
        };
        let _ = lines.send(line);
        let supervisor = Supervisor {
            request,
            send: &self.send,
            grace: self.grace,
            pid: worker.pid(),
            lines,
            deadline: request.time_limit().map(|limit| started + limit),
            results: None,
            used: None,
            ended_by: None,
        };
        let (outcome, used) = supervisor.watch(&notices);
        let status = worker.reap();
        let results = outcome.unwrap_or_else(|ended_by| {
            let failure = failure(request, ended_by, status, &log.tail());
            request.actions.iter().map(|_| Err(failure.clone())).collect()
        });
        let outputs = |stored: Vec<StoredOutput>| stored.into_iter().map(StoredOutput::into_output).collect();
        let results = results.into_iter().map(|result| result.map(outputs)).collect();
        let (batch, elapsed) = (request.batch, started.elapsed());
        Report::Finished(Finished { batch, results, elapsed, scratch: Some(scratch), used, asked: None })
    }

    fn spawn(&self, request: &Request, log: &Log) -> io::Result<(Worker, ChildStdin, ChildStdout)> {
        let program = self.command.program()?;
        let device = request.stage.facts().device;
        let mut child = Command::new(&program)
            .arg0("orchestrate")
            .args(&self.command.args)
            .env("RAYON_NUM_THREADS", request.threads.to_string())
            .envs(device.map_or_else(Vec::new, |device| (device.environment)(&request.device)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.to_stdio()?)
            .process_group(0)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot run {} as a worker: {error}", program.display()))
            })?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.expect("both are pipes");
        Ok((Worker { child, is_reaped: false }, stdin, stdout))
    }
}

/// A worker process. It is killed on drop if nobody waited for it, perhaps because its thread panicked.
struct Worker {
    child: Child,
    is_reaped: bool,
}

impl Worker {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Frees the pid of a worker that has ended.
    fn reap(&mut self) -> Option<ExitStatus> {
        self.is_reaped = true;
        self.child.wait().ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.is_reaped {
            kill_with_descendants(self.pid());
            self.reap();
        }
    }
}

fn request_line(request: &Request, scratch_dir: &Path) -> Vec<u8> {
    let request = WorkerRequest {
        kind: request.stage.facts().kind.to_owned(),
        actions: request.actions.clone(),
        threads: request.threads,
        device: request.device.clone(),
        scratch_dir: scratch_dir.to_owned(),
        checkpoint_dir: request.checkpoint_dir.clone(),
        checkpoint_stamp: request.checkpoint_stamp.clone(),
        memory_limit_bytes: request.memory_limit_bytes,
        log_max_bytes: request.log_max_bytes,
    };
    let mut line = serde_json::to_vec(&request).expect("a request is plain data");
    line.push(b'\n');
    line
}

/// Starts a thread that writes lines to the worker, and closes its input when all senders are gone.
fn write_lines(mut stdin: ChildStdin) -> io::Result<Sender<Vec<u8>>> {
    let (sender, lines) = mpsc::channel::<Vec<u8>>();
    let write = move || {
        for line in lines {
            // A worker that does not read any more has ended or is about to.
            let _ = stdin.write_all(&line);
        }
    };
    thread::Builder::new().spawn(write).map(|_| sender)
}

/// Starts a thread that forwards the messages of the worker, and writes its other output to the log at once, so that a
/// flood of it does not fill the memory.
fn listen(stdout: ChildStdout, mut log: Log, sender: Sender<Notice>) -> io::Result<()> {
    let listen = move || {
        let take = |message| sender.send(Notice::Message(message)).is_ok();
        read_messages(BufReader::new(stdout), |line| log.add(line), take);
        let _ = sender.send(Notice::OutputEnd);
    };
    thread::Builder::new().spawn(listen).map(drop)
}

/// Starts a thread that waits for the end of the worker, without freeing its pid.
fn wait_for_exit(pid: Pid, sender: Sender<Notice>) -> io::Result<()> {
    let wait = move || {
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        let _ = sender.send(Notice::Exited);
    };
    thread::Builder::new().spawn(wait).map(drop)
}

/// Returns the reason why there are no results.
fn failure(request: &Request, ended_by: Option<EndedBy>, status: Option<ExitStatus>, tail: &str) -> Failure {
    let limit = request.time_limit();
    match (ended_by, limit) {
        (Some(EndedBy::Stop), _) => return Failure::Cancelled,
        (Some(EndedBy::Timeout), Some(limit)) => return Failure::TimedOut { limit },
        _ => {}
    }
    let signal = status.and_then(|status| status.signal());
    let signal = signal.map(|number| (number, Signal::try_from(number)));
    // Rust's standard library aborts with this message if an allocation fails.
    let refused = tail.contains("memory allocation of") && tail.contains("failed");
    let stderr = last_lines(tail);
    match signal {
        Some((_, Ok(Signal::SIGABRT))) if refused => {
            Failure::OutOfMemory { limit_bytes: request.memory_limit_bytes, stderr }
        }
        Some((_, Ok(Signal::SIGKILL))) => Failure::OutOfMemory { limit_bytes: None, stderr },
        Some((number, known)) => {
            let signal = known.map_or_else(|_| format!("signal {number}"), |signal| signal.as_str().to_owned());
            // A process that a driver brought down may have left it in a state in which it cannot be asked.
            let driver = request.stage.facts().device.map(|device| device.driver);
            let ask = |driver: fn(&str) -> Option<String>| panic::catch(Print::Never, || driver(&request.device)).ok();
            Failure::Killed { signal, driver: driver.and_then(ask).flatten(), stderr }
        }
        None => {
            let status = status.map_or("its status is unknown".to_owned(), |status| status.to_string());
            Failure::NoResult { status, stderr }
        }
    }
}
