//! The message loop of a run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use orchestrate_cache::{ActionKey, Checkpoints, Lease, Patience, Preimage, Store, StoreError, Using, disk, fault};

use super::action::{ActionMaker, Lost};
use super::record::{Provenance, RecordError, record};
use super::{NodeFailure, RunError, RunOptions, Selection, Stop, Summary, prepare};
use crate::event::{Event, Hits, Reporter, RunStarted, TimedEvent, now_ms};
use crate::executor::{
    Executor, Failure, Finished, ProcessExecutor, Report, Request, ScratchRoot, Sink, ThreadExecutor, Verdict,
    report_channel,
};
use crate::known::{Known, Outputs};
use crate::node::NodeId;
use crate::observe::Observed;
use crate::plan::Plan;
use crate::publish::{PublishError, Publisher};
use crate::runlog::{History, RunLog};
use crate::schedule::{Batch, BatchId, Capacity, NodeState, Scheduler, cores};
use crate::stage::{StageError, Weight};

/// How often listeners may redraw and deferred nodes are looked up again.
const TICK: Duration = Duration::from_millis(100);

/// How often the last use of hits is recorded while nodes run; a run without misses records it once.
const TOUCH_INTERVAL: Duration = Duration::from_secs(10);

/// A number of jobs is often a habit; only one that is so many times what a run can use gets a word.
const JOBS_WITHOUT_A_WORD: usize = 8;

/// Runs whose durations estimate those of this one.
const RUNS_FOR_ESTIMATE: usize = 20;

/// A node whose inputs turn out to be corrupt is tried again this often; more means that the disk is failing.
const REPAIRS_MAX: u32 = 3;

/// A miss on its way.
struct Pending {
    key: ActionKey,
    /// Made when it starts, as all inputs are known then; one may be lost again while it runs.
    preimage: Option<Preimage>,
    /// Held from the start until the result is durable.
    lease: Option<Lease>,
    attempts: u32,
    repairs: u32,
}

/// A batch that runs, by the nodes of the plan.
struct Active {
    nodes: Vec<NodeId>,
    device: String,
    log: Option<std::path::PathBuf>,
}

/// A result that is in the store but not yet durable.
struct Recorded {
    id: NodeId,
    outputs: Outputs,
    elapsed_ms: u64,
}

pub(super) struct Drive<'a, 'l, 'r> {
    plan: &'a Plan,
    store: &'a Store,
    selection: &'a Selection,
    options: &'a RunOptions,
    /// CPU threads that light nodes may use.
    threads: usize,
    listeners: &'l mut [&'r mut dyn Reporter],
    log: RunLog,
    scheduler: Scheduler,
    known: Known<'a>,
    actions: ActionMaker<'a>,
    forced: HashSet<NodeId>,
    pending: HashMap<NodeId, Pending>,
    /// Nodes whose keys others were once seen to compute.
    deferred: HashSet<NodeId>,
    active: HashMap<BatchId, Active>,
    /// Made when the first node is to run; a run of hits needs none.
    executors: Option<Executors>,
    sink: Sink,
    reports: Receiver<Report>,
    failures: Vec<NodeFailure>,
    publisher: Publisher<'a>,
    unpublished: Vec<String>,
    /// Hits that are not yet told of.
    hits: Vec<(NodeId, ActionKey)>,
    /// Hits whose use is not yet recorded.
    untouched: Vec<ActionKey>,
    touched: Option<Instant>,
    stopping: bool,
    /// Whether somebody asked it to stop, and was told so.
    interrupted: bool,
    /// Whether durations of earlier runs were read; a run without misses needs none.
    estimated: bool,
    /// When deferred nodes were last looked up.
    rechecked: Instant,
    /// How long this run has had nothing to do but wait for other processes.
    waiting: Option<Patience>,
    started: Instant,
}

/// Who runs batches.
struct Executors {
    light: ThreadExecutor,
    heavy: ProcessExecutor,
    /// Dropped last: removes what is left in it.
    _scratch_dir: ScratchDir,
}

/// A folder that is removed when this is dropped, unless a program has mounted something in it.
struct ScratchDir(std::path::PathBuf);

impl Drop for ScratchDir {
    fn drop(&mut self) {
        if let Err(error) = disk::remove_dir(&self.0) {
            tracing::warn!("{error}");
        }
    }
}

impl Executors {
    fn new(store: &Store, options: &RunOptions, threads: usize, sink: &Sink) -> Result<Self, StoreError> {
        let scratch_dir = ScratchDir(store.scratch()?.keep());
        let scratch = ScratchRoot::new(&scratch_dir.0);
        let heavy = ProcessExecutor::new(options.worker.clone(), Arc::clone(&scratch), Arc::clone(sink));
        let light = ThreadExecutor::new(threads.min(cores()), scratch, Arc::clone(sink));
        Ok(Self { light, heavy: heavy.with_grace(options.grace), _scratch_dir: scratch_dir })
    }
}

impl<'a, 'l, 'r> Drive<'a, 'l, 'r> {
    pub(super) fn new(
        plan: &'a Plan,
        observed: &'a Observed,
        store: &'a Store,
        selection: &'a Selection,
        options: &'a RunOptions,
        listeners: &'l mut [&'r mut dyn Reporter],
    ) -> Result<Self, RunError> {
        let asks_for_memory = plan.spec.stages.iter().any(|stage| stage.resources.memory_bytes.is_some());
        let asked = || {
            let heavy = selection.nodes().iter().filter(|id| plan.stage(**id).kind.facts().weight == Weight::Heavy);
            heavy.map(|id| plan.spec.stages[plan.stage(*id).declared].resources.threads.unwrap_or(1)).sum()
        };
        let capacity = Capacity::of_machine(options.jobs, options.devices.clone(), asks_for_memory).bounded(asked);
        let (threads, cores) = (capacity.threads, capacity.cores);
        let scheduler = prepare::scheduler(plan, selection, capacity)?;
        // Before anything runs, as a folder may be another's.
        let publisher = Publisher::open(plan, store, |id| selection.contains(id))?;
        let (sink, reports) = report_channel();
        let mut drive = Self {
            known: Known::new(plan, observed),
            actions: ActionMaker::new(plan, observed, store),
            forced: options.forced.iter().copied().collect(),
            log: RunLog::create(&store.runs_dir()),
            pending: HashMap::new(),
            deferred: HashSet::new(),
            active: HashMap::new(),
            failures: Vec::new(),
            publisher,
            unpublished: Vec::new(),
            hits: Vec::new(),
            untouched: Vec::new(),
            touched: None,
            stopping: false,
            interrupted: false,
            estimated: false,
            rechecked: Instant::now(),
            waiting: None,
            started: Instant::now(),
            executors: None,
            threads,
            plan,
            store,
            selection,
            options,
            listeners,
            scheduler,
            sink,
            reports,
        };
        drive.report(Event::RunStarted(RunStarted {
            run: drive.log.id().clone(),
            spec: plan.spec.path.clone(),
            overrides: plan.spec.overrides.clone(),
            nodes: selection.nodes().len(),
            jobs: threads,
            device: if options.devices.is_empty() { "cpu".to_owned() } else { options.devices.join(",") },
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }));
        if let Some(jobs) = options.jobs.filter(|jobs| *jobs > threads.saturating_mul(JOBS_WITHOUT_A_WORD)) {
            let asked = asked();
            drive.warn(format!(
                "--jobs {jobs} is capped at {threads}, of which use can be made: this machine has {cores} cores, and the \
                 workers of this run ask for {asked} threads"
            ));
        }
        Ok(drive)
    }

    pub(super) fn drive(mut self, stop: &Stop) -> Result<Summary, RunError> {
        let outcome = self.turn_until_done(stop);
        if let (Err(_), Some(executors)) = (&outcome, &self.executors) {
            // The store fails: nothing that still runs could be recorded.
            executors.heavy.kill();
        }
        outcome?;
        self.store.commit()?;
        self.touch();
        self.finish_published(stop.asked());
        let counts = self.scheduler.counts();
        let elapsed_ms = milliseconds(self.started.elapsed());
        self.report(Event::RunFinished { counts, elapsed_ms });
        Ok(Summary {
            run: self.log.id().clone(),
            counts,
            elapsed_ms,
            interrupted: stop.asked(),
            failures: self.failures,
            outputs: self.known.into_outputs(),
            unpublished: self.unpublished,
        })
    }

    fn turn_until_done(&mut self, stop: &Stop) -> Result<(), RunError> {
        loop {
            if stop.asked() && !self.interrupted {
                self.interrupted = true;
                self.report(Event::RunStopping);
                if !self.stopping {
                    self.stop();
                }
            }
            self.look_up_ready()?;
            while let Some(batch) = self.scheduler.next_batch() {
                self.start(batch)?;
            }
            if self.scheduler.is_done() {
                return Ok(());
            }
            let first = match self.reports.recv_timeout(TICK) {
                Ok(report) => Some(report),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => panic!("BUG: the executors are gone while nodes run"),
            };
            let mut recorded = Vec::new();
            let waiting: Vec<_> = self.reports.try_iter().collect();
            for report in first.into_iter().chain(waiting) {
                self.take(report, &mut recorded)?;
            }
            self.settle(recorded)?;
            self.recheck()?;
            self.tick();
        }
    }

    /// Looks up nodes as long as hits make others ready.
    fn look_up_ready(&mut self) -> Result<(), RunError> {
        loop {
            let rest = self.pass_hits()?;
            if rest.is_empty() {
                self.tell_hits()?;
                return Ok(());
            }
            let published = self.publish_hits(&rest);
            for ((id, key, _), published) in rest.into_iter().zip(published) {
                if published { self.hit(id, key) } else { self.miss(id, key) }
            }
        }
    }

    /// Looks up what is ready, and what that makes ready in turn; gives misses, and hits of which something is published.
    ///
    /// What is found is noted once, before garbage collection may go on, so that it stays until this run ends.
    fn pass_hits(&mut self) -> Result<Vec<(NodeId, ActionKey, bool)>, StoreError> {
        let mut ready = self.scheduler.take_ready();
        if ready.is_empty() {
            return Ok(Vec::new());
        }
        let using = self.store.using()?;
        let (mut found, mut rest) = (Vec::new(), Vec::new());
        while !ready.is_empty() {
            let ids: Vec<_> = ready.into_iter().map(|number| self.selection.node(number)).collect();
            let nodes = self.known.keys(&ids);
            for ((id, key), hit) in nodes.iter().copied().zip(self.look_up(&nodes)) {
                if hit {
                    found.push(key);
                }
                if hit && !self.publisher.publishes(id) { self.hit(id, key) } else { rest.push((id, key, hit)) }
            }
            ready = self.scheduler.take_ready();
        }
        note(&using, &found);
        Ok(rest)
    }

    /// Whether each node is a hit. Nobody may collect garbage meanwhile.
    fn look_up(&mut self, nodes: &[(NodeId, ActionKey)]) -> Vec<bool> {
        let mut hits = self.known.look_up(self.store, nodes);
        if !self.forced.is_empty() {
            for ((id, _), hit) in nodes.iter().zip(&mut hits).filter(|((id, _), _)| self.forced.contains(id)) {
                self.known.forget(*id);
                *hit = false;
            }
        }
        hits
    }

    fn miss(&mut self, id: NodeId, key: ActionKey) {
        // One that waited only for an input that had to be made again goes on with its lease and its count of attempts.
        if self.pending.get(&id).is_none_or(|pending| pending.key != key) {
            self.pending.insert(id, Pending { key, preimage: None, lease: None, attempts: 0, repairs: 0 });
        }
        if !self.estimated {
            self.estimated = true;
            let durations = History::new(self.store.runs_dir()).durations(RUNS_FOR_ESTIMATE);
            let (plan, selection) = (self.plan, self.selection);
            self.scheduler.set_estimates(|number| prepare::estimate_ms(plan, selection.node(number), Some(&durations)));
        }
        self.scheduler.miss(self.selection.slot(id));
    }

    /// Looks up the nodes again that other processes compute, some times a second.
    fn recheck(&mut self) -> Result<(), RunError> {
        if self.scheduler.count(NodeState::Deferred) > 0 && self.rechecked.elapsed() >= TICK {
            self.rechecked = Instant::now();
            self.tell_of_wait();
            self.store.refresh()?;
            self.scheduler.recheck();
        }
        Ok(())
    }

    /// Says for whom this run waits, when it does nothing else for long.
    fn tell_of_wait(&mut self) {
        if !self.active.is_empty() {
            self.waiting = None;
            return;
        }
        let Some(seconds) = self.waiting.get_or_insert_default().is_over() else { return };
        let numbers: Vec<_> = self.scheduler.deferred().collect();
        let Some(id) = numbers.iter().min().map(|number| self.selection.node(*number)) else { return };
        let key = self.known.keys(&[id])[0].1;
        let more = match numbers.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let (node, holder) = (self.plan.name(id), self.store.who_computes(&key));
        tracing::warn!("waiting for {seconds} s for {node}{more}: {holder} computes it");
    }

    /// Publishes what the store has for those nodes that are hits; says for each whether it is one after all, which it is not if
    /// reading shows that it is lost.
    fn publish_hits(&mut self, nodes: &[(NodeId, ActionKey, bool)]) -> Vec<bool> {
        let hits: Vec<_> = nodes.iter().filter(|(.., hit)| *hit).map(|(id, key, _)| (*id, *key)).collect();
        let mut published = self.publish(&hits).into_iter();
        let mut is_hit = |(id, _, hit): &(NodeId, ActionKey, bool)| {
            if !hit {
                return false;
            }
            match published.next().expect("each hit was published") {
                Err(PublishError::Store(error @ (StoreError::Corrupt { .. } | StoreError::Missing { .. }))) => {
                    self.known.forget(*id);
                    self.warn(format!("{}: {error}; it is made again", self.plan.name(*id)));
                    false
                }
                published => {
                    self.note_unpublished(*id, published);
                    true
                }
            }
        };
        nodes.iter().map(&mut is_hit).collect()
    }

    /// The outputs of a node are known because the store had them.
    fn hit(&mut self, id: NodeId, key: ActionKey) {
        self.scheduler.hit(self.selection.slot(id));
        self.hits.push((id, key));
    }

    /// Tells of the hits since it was last called, all at once, once they are durable: another process may have written them just now.
    fn tell_hits(&mut self) -> Result<(), StoreError> {
        if self.hits.is_empty() {
            return Ok(());
        }
        self.store.commit()?;
        let nodes = std::mem::take(&mut self.hits);
        let at_ms = now_ms();
        let hits = Hits { plan: self.plan, outputs: self.known.all_outputs(), nodes: &nodes, at_ms };
        self.log.hits(&hits);
        for listener in self.listeners.iter_mut() {
            listener.hits(&hits);
        }
        self.untouched.extend(nodes.iter().map(|(_, key)| *key));
        self.warn_of_log();
        Ok(())
    }

    /// Leases the keys of nodes that are about to run; gives those that this process is to compute. The others are left
    /// to the process that holds the lease, or were filled by one that has just released it.
    fn lease(&mut self, nodes: Vec<NodeId>) -> Result<Vec<NodeId>, RunError> {
        let mut ours = Vec::with_capacity(nodes.len());
        let mut fresh = Vec::new();
        for id in nodes {
            let pending = self.pending.get_mut(&id).expect("a node that is queued is pending");
            if pending.lease.is_some() {
                ours.push(id);
                continue;
            }
            // What a light node costs is less than what telling other hosts does.
            pending.lease = match self.plan.stage(id).kind.facts().weight {
                Weight::Heavy => self.store.try_lease_across_hosts(&pending.key)?,
                Weight::Light => self.store.try_lease(&pending.key)?,
            };
            match pending.lease {
                Some(_) => fresh.push(id),
                None => self.defer(id),
            }
        }
        if !fresh.is_empty() {
            self.store.refresh()?;
        }
        let fresh: Vec<_> = fresh.into_iter().map(|id| (id, self.pending[&id].key)).collect();
        let hits = {
            let using = self.store.using()?;
            let hits = self.look_up(&fresh);
            let found: Vec<_> = fresh.iter().zip(&hits).filter(|(_, hit)| **hit).map(|((_, key), _)| *key).collect();
            note(&using, &found);
            hits
        };
        let fresh: Vec<_> = fresh.into_iter().zip(hits).map(|((id, key), hit)| (id, key, hit)).collect();
        let published = self.publish_hits(&fresh);
        for ((id, key, _), published) in fresh.into_iter().zip(published) {
            if published {
                self.pending.remove(&id);
                self.hit(id, key);
            } else {
                ours.push(id);
            }
        }
        self.tell_hits()?;
        Ok(ours)
    }

    /// Another process, or another node of this run that has the same key, computes the node.
    fn defer(&mut self, id: NodeId) {
        let pending = self.pending.remove(&id).expect("a node that is queued is pending");
        if !self.scheduler.defer(self.selection.slot(id)) {
            return self.fail(id, "an input that was lost could not be made again".to_owned(), None, 0);
        }
        if self.deferred.insert(id) {
            let computes = |(_, other): &(&NodeId, &Pending)| other.key == pending.key && other.lease.is_some();
            let with = self.pending.iter().find(computes).map(|(other, _)| self.plan.name(*other).as_str().to_owned());
            self.report(Event::NodeDeferred { node: self.plan.name(id), key: pending.key, with });
        }
    }

    fn start(&mut self, batch: Batch) -> Result<(), RunError> {
        let nodes: Vec<_> = batch.nodes.iter().map(|number| self.selection.node(*number)).collect();
        let nodes = self.lease(nodes)?;
        let mut actions = Vec::with_capacity(nodes.len());
        let mut runnable = Vec::with_capacity(nodes.len());
        for id in nodes {
            match self.actions.action(id, self.pending[&id].key, &self.known) {
                Ok(action) => {
                    let pending = self.pending.get_mut(&id).expect("a node that starts is pending");
                    pending.preimage = self.known.preimage(id);
                    actions.push(action);
                    runnable.push(id);
                }
                Err(lost) => self.make_again(id, lost),
            }
        }
        let Some(first) = runnable.first().copied() else { return Ok(()) };
        if self.executors.is_none() {
            self.executors = Some(Executors::new(self.store, self.options, self.threads, &self.sink)?);
        }
        let stage = self.plan.stage(first);
        let declared = &self.plan.spec.stages[stage.declared];
        let heavy = stage.kind.facts().weight == Weight::Heavy;
        let log = heavy.then(|| self.log.node_log(&self.plan.name(first)));
        let device = self.scheduler.device(&batch.grant);
        let checkpoint_dir = stage.kind.facts().checkpoints.then(|| self.store.checkpoint_dir(&actions[0].key));
        let request = Request {
            batch: batch.id,
            stage: stage.kind,
            actions,
            threads: batch.grant.threads,
            device: device.clone(),
            memory_limit_bytes: declared.resources.memory_bytes,
            timeout: declared.timeout_ms.map(Duration::from_millis),
            checkpoint_dir,
            log: log.clone(),
            log_max_bytes: self.options.log_max_bytes,
        };
        for id in &runnable {
            self.pending.get_mut(id).expect("a node that starts is pending").attempts += 1;
        }
        let (node, key, members) = (self.plan.name(first), self.pending[&first].key, runnable.len());
        self.report(Event::NodeStarted { node, key, members, log: log.clone() });
        self.active.insert(batch.id, Active { nodes: runnable, device, log });
        // Soon, not only at the end: a collection beside a long run is to see what the run will read.
        if self.touched.is_none_or(|touched| touched.elapsed() >= TOUCH_INTERVAL) {
            self.touch();
        }
        let executors = self.executors.as_ref().expect("they were made above");
        if heavy {
            executors.heavy.start(request)
        } else {
            executors.light.start(request)
        }
        Ok(())
    }

    fn take(&mut self, report: Report, recorded: &mut Vec<Recorded>) -> Result<(), RunError> {
        match report {
            Report::Started { .. } => Ok(()),
            Report::Progress { batch, progress } => {
                if let Some(id) = self.active.get(&batch).and_then(|active| active.nodes.first().copied()) {
                    self.report(Event::NodeProgress { node: self.plan.name(id), progress });
                }
                Ok(())
            }
            Report::Device { batch, description } => {
                if let Some(active) = self.active.get_mut(&batch) {
                    active.device = description;
                }
                Ok(())
            }
            Report::Finished(finished) => self.finished(finished, recorded),
        }
    }

    fn finished(&mut self, finished: Finished, recorded: &mut Vec<Recorded>) -> Result<(), RunError> {
        let Finished { batch, results, elapsed, scratch } = finished;
        let active = self.active.remove(&batch).expect("a batch finishes once");
        let members = active.nodes.len();
        let elapsed_ms = milliseconds(elapsed) / u64::try_from(members).unwrap_or(1).max(1);
        for (id, result) in active.nodes.iter().copied().zip(results) {
            let outputs = match result {
                Ok(outputs) => outputs,
                Err(failure) => {
                    self.failed(id, &failure, members, &active, elapsed_ms);
                    continue;
                }
            };
            let pending = &self.pending[&id];
            if self.forced.remove(&id) {
                self.store.forget_result(&pending.key);
            }
            let run = self.log.id().clone();
            let provenance = Provenance { run: &run, device: &active.device, elapsed_ms };
            let preimage = pending.preimage.as_ref().expect("it was made when the node started");
            match record(self.plan, self.store, id, pending.key, preimage, outputs, &provenance) {
                Ok(outputs) => recorded.push(Recorded { id, outputs, elapsed_ms }),
                Err(RecordError::Outputs(message)) => self.fail(id, message, active.log.clone(), elapsed_ms),
                Err(RecordError::Store(error)) => return Err(error.into()),
            }
        }
        // Files that the store did not take over are gone with the scratch folder.
        drop(scratch);
        Ok(())
    }

    /// Makes results durable, and only then tells of them.
    fn settle(&mut self, recorded: Vec<Recorded>) -> Result<(), StoreError> {
        if recorded.is_empty() {
            return Ok(());
        }
        fault::between("results are recorded, not durable");
        self.store.commit()?;
        let mut nodes = Vec::with_capacity(recorded.len());
        for Recorded { id, outputs, .. } in &recorded {
            let Pending { key, .. } = self.pending.remove(id).expect("a node that ran was pending");
            if self.plan.stage(*id).kind.facts().checkpoints {
                // Of no more use; what cannot be removed now goes with the next collection.
                let _ = Checkpoints::new(&self.store.checkpoint_dir(&key), key).remove();
            }
            assert!(self.known.learn(*id, outputs), "BUG: a result lacks an output that its stage declares");
            nodes.push((*id, key));
        }
        fault::between("results are durable, not published");
        let published = self.publish(&nodes);
        for ((Recorded { id, outputs, elapsed_ms }, (_, key)), published) in
            recorded.into_iter().zip(nodes).zip(published)
        {
            fault::between("a result is durable, not reported");
            self.note_unpublished(id, published);
            self.scheduler.finish(self.selection.slot(id));
            self.report(Event::NodeRan { node: self.plan.name(id), key, outputs, elapsed_ms });
        }
        Ok(())
    }

    fn failed(&mut self, id: NodeId, failure: &Failure, members: usize, active: &Active, elapsed_ms: u64) {
        if let Failure::Stage(StageError::Corrupt { digest, .. }) = failure {
            self.store.invalidate(digest);
            self.actions.forget();
            let lost = self.plan.inputs(id).iter().copied().find(|input| {
                let outputs = self.known.digests(*input);
                // Unknown: another batch that read the same bytes has noticed before, and they are being made again.
                outputs.is_none_or(|outputs| outputs.iter().any(|output| self.holds(output, digest)))
            });
            if let Some(upstream) = lost {
                self.warn(format!(
                    "a stored file that {} reads is corrupt: {failure}; it is made again",
                    self.plan.name(id)
                ));
                return self.make_again(id, Lost { upstream });
            }
        }
        let retries = self.plan.spec.stages[self.plan.stage(id).declared].retries;
        let number = self.selection.slot(id);
        match failure.verdict(members, self.pending[&id].attempts, retries) {
            verdict @ (Verdict::Retry | Verdict::RetryAlone) if self.scheduler.retry(number) => {
                if let (Verdict::RetryAlone, Some(pending)) = (verdict, self.pending.get_mut(&id)) {
                    pending.attempts -= 1;
                }
                self.report(Event::NodeRetried { node: self.plan.name(id), cause: failure.to_string() });
            }
            // Not tried again though it may be: an input was lost meanwhile, and could not be made again.
            Verdict::Retry | Verdict::RetryAlone if !self.stopping => {
                self.fail(id, failure.to_string(), active.log.clone(), elapsed_ms);
            }
            Verdict::Fail => self.fail(id, failure.to_string(), active.log.clone(), elapsed_ms),
            Verdict::Cancel | Verdict::Retry | Verdict::RetryAlone => {
                self.pending.remove(&id);
                self.report(Event::NodeCancelled { node: self.plan.name(id) });
                for number in self.scheduler.cancel(number) {
                    self.report(Event::NodeCancelled { node: self.plan.name(self.selection.node(number)) });
                }
            }
        }
    }

    fn holds(&self, output: &orchestrate_cache::OutputDigest, digest: &orchestrate_cache::Digest) -> bool {
        self.store.artifact(output).is_none_or(|artifact| artifact.files.iter().any(|file| file.digest == *digest))
    }

    /// An input of a node is lost: the node that gave it runs again, and this one is looked up once more after it.
    fn make_again(&mut self, id: NodeId, lost: Lost) {
        if self.scheduler.revoke(self.selection.slot(lost.upstream)) {
            self.known.forget(lost.upstream);
        }
        let pending = self.pending.get_mut(&id).expect("a node that runs is pending");
        pending.repairs += 1;
        if pending.repairs > REPAIRS_MAX || !self.scheduler.defer(self.selection.slot(id)) {
            let cause = format!("its input {} was lost and cannot be made again", self.plan.name(lost.upstream));
            self.fail(id, cause, None, 0);
        }
    }

    fn fail(&mut self, id: NodeId, cause: String, log: Option<std::path::PathBuf>, elapsed_ms: u64) {
        let key = self.pending.remove(&id).map(|pending| pending.key);
        let name = self.plan.name(id);
        self.report(Event::NodeFailed { node: name.clone(), key, cause: cause.clone(), log: log.clone(), elapsed_ms });
        let blocked = self.scheduler.fail(self.selection.slot(id));
        for number in &blocked {
            let node = self.plan.name(self.selection.node(*number));
            self.report(Event::NodeBlocked { node, by: name.as_str().to_owned() });
        }
        self.failures.push(NodeFailure { node: id, cause, log, blocked: blocked.len() });
        if self.options.fail_fast && !self.stopping {
            self.stop();
        }
    }

    /// Starts nothing more, and tells what runs to stop.
    fn stop(&mut self) {
        self.stopping = true;
        for number in self.scheduler.cancel_rest() {
            let id = self.selection.node(number);
            self.pending.remove(&id);
            self.report(Event::NodeCancelled { node: self.plan.name(id) });
        }
        if let Some(executors) = &self.executors {
            executors.light.stop();
            executors.heavy.stop();
        }
    }

    /// Copies the outputs of nodes, which are known, to where their stages say; one result for each.
    fn publish(&mut self, nodes: &[(NodeId, ActionKey)]) -> Vec<Result<(), PublishError>> {
        let outputs = |id: &NodeId| match self.publisher.publishes(*id) {
            true => self.known.outputs(*id).expect("the outputs of a node that ended well are known"),
            false => Vec::new(),
        };
        let nodes: Vec<_> = nodes.iter().map(|(id, key)| (*id, *key, outputs(id))).collect();
        let published = self.publisher.publish(self.log.id().as_str(), &nodes);
        self.publisher.take_warnings().into_iter().for_each(|warning| self.warn(warning));
        published
    }

    /// Brings published folders to one state.
    fn finish_published(&mut self, interrupted: bool) {
        let known = &self.known;
        let outputs = |id| known.outputs(id).expect("what is published is known");
        let finished = self.publisher.finish(self.log.id().as_str(), interrupted, self.options.merge_tables, &outputs);
        self.unpublished.extend(finished.failures);
        finished.warnings.into_iter().for_each(|warning| self.warn(warning));
    }

    fn note_unpublished(&mut self, id: NodeId, published: Result<(), PublishError>) {
        if let Err(error) = published {
            self.unpublished.push(format!("{}: {error}", self.plan.name(id)));
        }
    }

    /// Records the last use of what was hit since it was last recorded.
    fn touch(&mut self) {
        self.touched = Some(Instant::now());
        let hits = std::mem::take(&mut self.untouched);
        if let Err(error) = self.store.touch(&hits) {
            tracing::debug!("last use is not recorded: {error}");
        }
    }

    fn warn(&mut self, message: String) {
        self.report(Event::Warning { message });
    }

    fn report(&mut self, event: Event) {
        let record = TimedEvent::now(event);
        self.log.report(&record);
        for listener in self.listeners.iter_mut() {
            listener.report(&record);
        }
        self.warn_of_log();
    }

    fn warn_of_log(&mut self) {
        if let Some(message) = self.log.take_warning() {
            let warning = TimedEvent::now(Event::Warning { message });
            for listener in self.listeners.iter_mut() {
                listener.report(&warning);
            }
        }
    }

    fn tick(&mut self) {
        self.log.tick();
        for listener in self.listeners.iter_mut() {
            listener.tick();
        }
    }
}

/// Keeps garbage collection from what was found, until this run ends.
fn note(using: &Using<'_>, found: &[ActionKey]) {
    if let Err(error) = using.note(found) {
        tracing::warn!("{error}; a garbage collection beside this run may take what it needs");
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
