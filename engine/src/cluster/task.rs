//! One task of a job, on a machine of the cluster: runs its batches, and records their results in the store.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use nix::unistd::{SysconfVar, gethostname, sysconf};
use orchestrate_cache::{Lease, Store, StoreError};

use super::control_group::memory_kills;
use super::folder::JobFolder;
use super::outcome::{BatchOutcome, Outcome, Stopped, TaskProgress};
use super::work::Work;
use crate::executor::{
    Executor, Failure, Finished, ProcessExecutor, Report, Request, ScratchRoot, SendReport, ThreadExecutor,
    WorkerCommand, report_channel,
};
use crate::resources::display_size;
use crate::run::{Named, Provenance, Stop, checkpoints, record};
use crate::runlog::RunId;
use crate::schedule::{BatchId, cores};
use crate::stage::{Stage, StageError, Weight};
use crate::usage::{Asked, Usage};

/// The interval at which signals, the clock and the claims of others are looked at.
const TICK: Duration = Duration::from_millis(100);
/// The time in which a signal that ended a worker also reaches this process.
const SIGNAL_ARRIVES: Duration = Duration::from_millis(300);
/// The interval at which progress is written.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
/// The interval at which a task looks for the results of keys that others compute.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The time that a stopped worker has to end.
const GRACE: Duration = Duration::from_secs(5);
/// The shortest and the longest time before its limit at which a task stops.
const MARGIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// The machine and the program of a task.
pub struct Site<'a> {
    /// The kinds of stages.
    pub kinds: &'static [&'static dyn Stage],
    /// The command that starts workers.
    pub worker: WorkerCommand,
    /// Lists the GPUs that networks can compute on.
    pub gpus: fn() -> Vec<String>,
    /// The number of GPUs that the queueing system has given to this task; `None` if it does not say.
    pub gpus_given: Option<usize>,
    /// The CPUs that it has given.
    pub cpus_given: Option<usize>,
    /// The memory in bytes that it has given.
    pub memory_given: Option<u64>,
    /// Set to end the task: somebody cancels it, or another one takes its place.
    pub told: &'a Stop,
    /// Set when the queueing system says that the time limit is near.
    pub near_limit: &'a Stop,
}

/// Runs the task of an index, and writes its outcome. Errors: the work cannot be read, or the outcome cannot be
/// written; then nobody hears of it but from the queueing system.
pub fn run_task(store: &Store, folder: &JobFolder, index: usize, site: &Site<'_>) -> io::Result<()> {
    let started = Instant::now();
    let (header, works) = folder.work(index)?;
    let run: RunId = header.run.parse().map_err(io::Error::other)?;
    let limit = Duration::from_millis(header.asked.time_ms);
    let deadline = started + stop_after(limit);
    let task = Task { store, folder, index, site, asked: &header.asked, run: &run, deadline };
    let node = gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut outcome = Outcome { node, warnings: task.shortfalls(), ..Outcome::default() };
    if header.version != env!("CARGO_PKG_VERSION") {
        let message = format!(
            "the program is version {} here, and version {} submitted the job; run the spec again",
            env!("CARGO_PKG_VERSION"),
            header.version
        );
        let failure = Failure::NotStarted { message };
        outcome.batches = works.iter().map(|work| failed(work.actions.len(), &failure)).collect();
        outcome.is_done = true;
        return folder.set_outcome(index, &outcome);
    }
    let works_left = works.len();
    for (position, work) in works.into_iter().enumerate() {
        let members = work.actions.len();
        match task.run(position, work) {
            Ok(Ok(batch)) => outcome.batches.push(batch),
            Ok(Err(stopped)) => {
                outcome.stopped = Some(stopped);
                break;
            }
            Err(error) => {
                let message = format!("the store fails on {}: {error}", outcome.node);
                outcome.batches.push(failed(members, &Failure::NotStarted { message }));
            }
        }
        if position + 1 < works_left {
            folder.set_outcome(index, &outcome)?;
        }
    }
    outcome.is_done = outcome.stopped.is_none();
    folder.set_outcome(index, &outcome)
}

/// Turns a failure into the one that has caused it: a program that the kernel has ended for want of memory.
fn out_of_memory(failure: &mut Failure) {
    if *failure != Failure::Cancelled {
        *failure = Failure::OutOfMemory { limit_bytes: None, stderr: failure.to_string() };
    }
}

/// Returns the time after which a task of this limit stops by itself, so that it can end in order.
pub fn stop_after(limit: Duration) -> Duration {
    limit - (limit / 10).clamp(MARGIN.0, MARGIN.1).min(limit / 2)
}

/// Returns the outcome of a batch of which no member was computed.
fn failed(members: usize, failure: &Failure) -> BatchOutcome {
    let results = vec![Err(failure.clone()); members];
    BatchOutcome { results, device: "cpu".to_owned(), elapsed_ms: 0, used: None }
}

struct Task<'a> {
    store: &'a Store,
    folder: &'a JobFolder,
    index: usize,
    site: &'a Site<'a>,
    asked: &'a Asked,
    run: &'a RunId,
    deadline: Instant,
}

/// A batch that runs in this process.
struct Running {
    executor: Box<dyn Executor>,
    reports: Receiver<Report>,
    /// Dropped last, after the files in it are recorded.
    _scratch: tempfile::TempDir,
}

impl Task<'_> {
    /// Returns sentences on resources that were asked for and are not there.
    fn shortfalls(&self) -> Vec<String> {
        let mut found = Vec::new();
        let Asked { threads, memory_bytes, .. } = self.asked;
        let online =
            sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten().and_then(|count| usize::try_from(count).ok());
        if let Some(cpus) = self.site.cpus_given.filter(|cpus| cpus < threads) {
            found.push(format!("{threads} CPUs were asked for, and the queueing system gave {cpus}"));
        } else if cores() < *threads && online.is_some_and(|online| cores() < online) {
            found.push(format!(
                "{threads} CPUs were asked for, and the task is bound to {} of the machine's {}",
                cores(),
                online.unwrap_or_default()
            ));
        }
        if let Some(memory) = self.site.memory_given.filter(|memory| memory < memory_bytes) {
            let (asked, given) = (display_size(*memory_bytes), display_size(memory));
            found.push(format!("{asked} of memory were asked for, and the queueing system gave {given}"));
        }
        found
    }

    /// Runs a batch until the store has the result of each key, or has none for a reason.
    fn run(&self, position: usize, mut work: Work) -> Result<Result<BatchOutcome, Stopped>, StoreError> {
        let mut results: Vec<Option<Result<(), Failure>>> = vec![None; work.actions.len()];
        let mut batch = BatchOutcome { results: Vec::new(), device: "cpu".to_owned(), elapsed_ms: 0, used: None };
        let checkpoints = self.checkpoints(&work);
        loop {
            let leases = self.lease(&work, &mut results)?;
            if !leases.is_empty() {
                if let Err(lost) = work.locate_inputs(self.store) {
                    let (digest, port) = lost;
                    let message = format!("the store has lost it, and input `{port}` needs it");
                    let failure = Failure::Stage(StageError::Corrupt { digest, message });
                    return Ok(Ok(self::failed(work.actions.len(), &failure)));
                }
                let (finished, _running) = self.compute(position, &work, &leases, &mut batch)?;
                self.record(&work, leases, finished, &mut results, &batch)?;
            }
            if let Some(stopped) = self.stopped(&results) {
                let has_new = self.checkpoints(&work) != checkpoints;
                let near_limit = if has_new { Stopped::WithCheckpoint } else { Stopped::WithoutCheckpoint };
                return Ok(Err(if stopped == Stopped::Told { stopped } else { near_limit }));
            }
            if let Some(results) = results.iter().cloned().collect() {
                return Ok(Ok(BatchOutcome { results, ..batch }));
            }
            // Others compute the rest.
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Returns why the task stopped before it had all results of a batch, if it did.
    fn stopped(&self, results: &[Option<Result<(), Failure>>]) -> Option<Stopped> {
        let has_failed = |result: &Option<Result<(), Failure>>| matches!(result, Some(Err(_)));
        if results.iter().any(has_failed) && !self.site.told.asked() {
            std::thread::sleep(SIGNAL_ARRIVES);
        }
        let stopped = self.asked_to_stop()?;
        // The signal went to all processes of the task, so any failure may come of it.
        let is_stopped = |result: &Option<Result<(), Failure>>| match result {
            Some(Ok(())) => false,
            Some(Err(failure)) => stopped == Stopped::Told || *failure == Failure::Cancelled,
            None => true,
        };
        results.iter().any(is_stopped).then_some(stopped)
    }

    /// Returns why the task is to stop now, if it is.
    fn asked_to_stop(&self) -> Option<Stopped> {
        if self.site.told.asked() {
            return Some(Stopped::Told);
        }
        let is_near = self.site.near_limit.asked() || Instant::now() >= self.deadline;
        is_near.then_some(Stopped::WithoutCheckpoint)
    }

    /// Lists the checkpoints of a batch.
    fn checkpoints(&self, work: &Work) -> BTreeSet<std::ffi::OsString> {
        let dir = self.store.checkpoint_dir(&work.actions[0].key);
        std::fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.file_name())).collect()
    }

    /// Returns whether the store has the result of an action that need not be computed anew.
    fn has(&self, work: &Work, index: usize) -> bool {
        let key = &work.actions[index].key;
        !work.forced.contains(key) && self.store.hit(key).is_some()
    }

    /// Notes the keys that the store has, and takes the claims of the others as far as they are free.
    fn lease(
        &self,
        work: &Work,
        results: &mut [Option<Result<(), Failure>>],
    ) -> Result<Vec<(usize, Lease)>, StoreError> {
        self.store.refresh()?;
        let mut leases = Vec::new();
        for (index, action) in work.actions.iter().enumerate().filter(|(index, _)| results[*index].is_none()) {
            if self.has(work, index) {
                continue;
            }
            leases.extend(self.store.try_lease_across_hosts(&action.key)?.map(|lease| (index, lease)));
        }
        // The former holder may have recorded a result just now.
        self.store.refresh()?;
        leases.retain(|(index, _)| !self.has(work, *index));
        let is_ours = |index: usize| leases.iter().any(|(leased, _)| *leased == index);
        let mut found = Vec::new();
        for (index, result) in results.iter_mut().enumerate().filter(|(_, result)| result.is_none()) {
            if !is_ours(index) && self.has(work, index) {
                *result = Some(Ok(()));
                found.push(work.actions[index].key);
            }
        }
        // They may be somebody else's, and not durable yet.
        if !found.is_empty() {
            self.store.commit()?;
        }
        Ok(leases)
    }

    /// Computes the leased actions of a batch.
    fn compute(
        &self,
        position: usize,
        work: &Work,
        leases: &[(usize, Lease)],
        batch: &mut BatchOutcome,
    ) -> Result<(Finished, Running), StoreError> {
        let stage = self.site.kinds.iter().find(|stage| stage.facts().kind == work.kind);
        let stage = *stage.expect("BUG: a program of the same version has the same kinds");
        let actions: Vec<_> = leases.iter().map(|(index, _)| work.actions[*index].clone()).collect();
        let facts = stage.facts();
        let (checkpoint_dir, checkpoint_stamp) = checkpoints::place(self.store, facts, &actions[0].key);
        let request = Request {
            batch: BatchId(0),
            stage,
            threads: self.site.cpus_given.map_or(self.asked.threads, |cpus| cpus.min(self.asked.threads)).max(1),
            device: self.device(stage),
            memory_limit_bytes: work.memory_limit_bytes,
            timeout: work.timeout,
            checkpoint_dir,
            checkpoint_stamp,
            log: work.log.clone(),
            log_max_bytes: work.log_max_bytes,
            cluster: None,
            actions,
        };
        batch.device.clone_from(&request.device);
        let (running, started, kills) = (self.start(facts.weight)?, Instant::now(), memory_kills());
        running.executor.start(request);
        let mut is_stopping = false;
        let mut written: Option<Instant> = None;
        loop {
            if !is_stopping && self.asked_to_stop().is_some() {
                is_stopping = true;
                running.executor.stop();
            }
            match running.reports.recv_timeout(TICK) {
                Ok(Report::Progress { progress, .. }) => {
                    if written.is_none_or(|written| written.elapsed() >= PROGRESS_INTERVAL) {
                        written = Some(Instant::now());
                        // Nobody needs it.
                        let _ = self.folder.set_progress(self.index, &TaskProgress { batch: position, progress });
                    }
                }
                Ok(Report::Device { description, .. }) => batch.device = description,
                Ok(Report::Finished(mut finished)) => {
                    if kills.zip(memory_kills()).is_some_and(|(before, now)| now > before) {
                        finished.results.iter_mut().filter_map(|result| result.as_mut().err()).for_each(out_of_memory);
                    }
                    batch.elapsed_ms += u64::try_from(finished.elapsed.as_millis()).unwrap_or(u64::MAX);
                    // A worker that died has told nothing; then this process knows of its children. Light stages run
                    // in this process, and are not measured.
                    let of_children = || (facts.weight == Weight::Heavy).then(|| Usage::of_this_process(started));
                    batch.used = finished.used.or_else(of_children);
                    return Ok((finished, running));
                }
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn start(&self, weight: Weight) -> Result<Running, StoreError> {
        let scratch = self.store.scratch()?;
        let root = ScratchRoot::new(scratch.path());
        let (send, reports): (SendReport, _) = report_channel();
        let executor: Box<dyn Executor> = match weight {
            Weight::Heavy => Box::new(ProcessExecutor::new(self.site.worker.clone(), root, Arc::clone(&send), GRACE)),
            Weight::Light => Box::new(ThreadExecutor::new(1, root, send)),
        };
        Ok(Running { executor, reports, _scratch: scratch })
    }

    /// Returns the device of a batch: the GPUs of this task, if any were asked for.
    fn device(&self, stage: &dyn Stage) -> String {
        if self.asked.gpu.is_none() {
            return "cpu".to_owned();
        }
        let names = match stage.facts().device {
            // One device, of those that the program can use.
            Some(_) => (self.site.gpus)().into_iter().take(1).collect(),
            None => (0..self.site.gpus_given.unwrap_or(1)).map(|index| format!("cuda:{index}")).collect::<Vec<_>>(),
        };
        if names.is_empty() { "cpu".to_owned() } else { names.join(",") }
    }

    /// Records results, makes them durable, and notes which keys have one now.
    fn record(
        &self,
        work: &Work,
        leases: Vec<(usize, Lease)>,
        finished: Finished,
        results: &mut [Option<Result<(), Failure>>],
        batch: &BatchOutcome,
    ) -> Result<(), StoreError> {
        let Finished { results: made, scratch, .. } = finished;
        let members = u64::try_from(leases.len()).unwrap_or(1).max(1);
        let mut recorded = Vec::new();
        for ((index, lease), made) in leases.into_iter().zip(made) {
            let action = &work.actions[index];
            let outputs = match made {
                Ok(outputs) => outputs,
                Err(failure) => {
                    results[index] = Some(Err(failure));
                    continue;
                }
            };
            // Another host that took it over records its result.
            if lease.confirm()?.is_none() {
                continue;
            }
            let Some(preimage) = work.preimage(index) else {
                let message = "the work of the task is damaged".to_owned();
                results[index] = Some(Err(Failure::NotStarted { message }));
                continue;
            };
            let elapsed_ms = batch.elapsed_ms / members;
            let provenance = Provenance { run: self.run, device: &batch.device, elapsed_ms };
            let named = Named { node: &action.node, kind: &work.kind };
            if work.forced.contains(&action.key) {
                self.store.forget_result(&action.key);
            }
            let outputs = record(self.store, named, action.key, &preimage, outputs, &provenance)?;
            recorded.push((index, action.key, outputs, lease));
        }
        drop(scratch);
        self.store.commit()?;
        self.store.refresh()?;
        for (index, key, outputs, lease) in recorded {
            self.store.served(&key, &outputs, !lease.is_ours())?;
            results[index] = self.store.hit(&key).map(|_| Ok(()));
            checkpoints::remove(self.store, &key);
        }
        Ok(())
    }
}
