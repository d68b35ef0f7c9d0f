//! The worker process, the other end of `protocol.rs`.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{dup2_stdout, getpgrp, getpid};
use orchestrate_cache::disk;

use super::attempt::{self, RateLimited};
use super::descendants::kill_descendants;
use super::failure::Failure;
use super::panic::{self, Print};
use super::protocol::{Message, STOP, StoredOutput, WorkerRequest};
use crate::stage::{Context, Output, Progress, Stage, StageError};
use crate::usage::Usage;

/// Runs the one request on standard input: the whole of the hidden subcommand that a
/// [`ProcessExecutor`](super::ProcessExecutor) starts.
///
/// Output of stages goes to standard error, which is the log of the node. Standard input ends when the engine dies;
/// then the process kills itself and all processes of its group.
pub fn worker_main(stages: &[&dyn Stage]) -> ExitCode {
    match claim_stdout() {
        Ok(output) => serve(stages, io::stdin(), output, die),
        Err(error) => complain(&format!("standard output cannot be used: {error}")),
    }
}

/// Reserves standard output for messages, and redirects all other output there to standard error.
fn claim_stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    dup2_stdout(io::stderr().as_fd())?;
    Ok(File::from(output))
}

/// Ends a worker whose engine is gone.
fn die() {
    // A shell that starts a worker by hand shares its group, and must not be killed.
    if getpgrp() == getpid() {
        kill_descendants(getpid());
        let _ = killpg(getpid(), Signal::SIGKILL);
    }
    process::exit(1);
}

fn complain(problem: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "worker: {problem}");
    ExitCode::from(2)
}

/// Runs the one request on `input`; calls `orphaned` when the input ends.
fn serve(
    stages: &[&dyn Stage],
    input: impl Read + Send + 'static,
    output: impl Write + Send,
    orphaned: fn(),
) -> ExitCode {
    let started = Instant::now();
    let mut input = BufReader::new(input);
    let mut line = String::new();
    let request: WorkerRequest = match input.read_line(&mut line).map(|_| serde_json::from_str(&line)) {
        Ok(Ok(request)) => request,
        Ok(Err(error)) => return complain(&format!("this is started by a run and not by hand (no request: {error})")),
        Err(error) => return complain(&format!("the request cannot be read: {error}")),
    };
    let Some(stage) = stages.iter().find(|stage| stage.facts().kind == request.kind) else {
        return complain(&format!("there is no stage kind `{}`", request.kind));
    };
    raise_oom_score();
    if let Some(limit) = request.memory_limit_bytes
        && let Err(error) = setrlimit(Resource::RLIMIT_DATA, limit, limit)
    {
        complain(&format!("the memory limit is not in force: {error}"));
    }
    let stopped = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&stopped);
    if let Err(error) = thread::Builder::new().spawn(move || listen(input, &heard, orphaned)) {
        return complain(&Failure::not_started(&error).to_string());
    }
    let output = Mutex::new(output);
    let results = run(*stage, &request, &stopped, &output);
    for message in [Message::Used(Usage::of_this_process(started)), Message::Results(results)] {
        // If the engine is gone, nobody is left to report an error to.
        let _ = message.write(&mut *output.lock().unwrap_or_else(PoisonError::into_inner));
    }
    ExitCode::SUCCESS
}

/// Asks the kernel to kill this process before the engine when memory runs out.
fn raise_oom_score() {
    // Absent on other systems, and refused in some containers.
    let _ = fs::write("/proc/self/oom_score_adj", "500");
}

fn listen(input: impl BufRead, stopped: &AtomicBool, orphaned: fn()) {
    for line in input.lines() {
        match line {
            Ok(line) if line == STOP => stopped.store(true, Ordering::Relaxed),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    orphaned();
}

fn run(
    stage: &dyn Stage,
    request: &WorkerRequest,
    stopped: &AtomicBool,
    output: &Mutex<impl Write + Send>,
) -> Vec<Result<Vec<StoredOutput>, Failure>> {
    let (scratch_dir, output_dir) = (request.scratch_dir.join("stage"), request.scratch_dir.join("outputs"));
    let dirs = [Some(&scratch_dir), Some(&output_dir), request.checkpoint_dir.as_ref()];
    for dir in dirs.into_iter().flatten() {
        if let Err(error) = disk::create_dir(dir) {
            let message = error.to_string();
            return request.actions.iter().map(|_| Err(Failure::NotStarted { message: message.clone() })).collect();
        }
    }
    let progress = RateLimited::new(|progress| {
        let _ = Message::Progress(progress).write(&mut *output.lock().unwrap_or_else(PoisonError::into_inner));
    });
    let progress = |made: Progress| progress.report(made);
    let cancelled = || stopped.load(Ordering::Relaxed);
    let context = Context {
        scratch_dir: &scratch_dir,
        checkpoint_dir: request.checkpoint_dir.as_deref(),
        checkpoint_stamp: request.checkpoint_stamp.clone(),
        threads: request.threads,
        device: &request.device,
        log_max_bytes: request.log_max_bytes,
        progress: &progress,
        cancelled: &cancelled,
    };
    let results = attempt::run(stage, &context, &request.actions, Print::AsUsual);
    if let Some(device) = stage.facts().device.filter(|_| results.iter().any(Result::is_ok)) {
        // Results are not lost because a driver fails to describe its card.
        let described = panic::catch(Print::AsUsual, || (device.describe)(&request.device));
        let description = described.unwrap_or_else(|_| request.device.clone());
        if description != request.device {
            let message = Message::Device(description);
            let _ = message.write(&mut *output.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
    let stored = |(action, result): (usize, Result<Vec<Output>, Failure>)| store(result?, action, &output_dir);
    results.into_iter().enumerate().map(stored).collect()
}

fn store(outputs: Vec<Output>, action: usize, dir: &Path) -> Result<Vec<StoredOutput>, Failure> {
    let store = |(index, output)| StoredOutput::store(output, &dir.join(format!("{action}-{index}")));
    let stored: io::Result<Vec<_>> = outputs.into_iter().enumerate().map(store).collect();
    stored.map_err(|error| Failure::Stage(StageError::new(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_started_by_hand_says_so_and_ends() {
        assert_eq!(serve(&[], io::empty(), io::sink(), || ()), ExitCode::from(2));
        assert_eq!(serve(&[], &b"help\n"[..], io::sink(), || ()), ExitCode::from(2));
    }
}
