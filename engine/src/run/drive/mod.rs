//! The message loop of a run.
//!
//! In each turn, ready nodes are looked up; batches start while there is room; reports of running batches are received;
//! the new results are committed at once, and then reported. A node passes through `look_up_ready`, `hit` or `miss`;
//! a miss through `start`, `handle` and `settle`, or `handle_failure`.

mod devices;
mod hosts;
mod stored;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use orchestrate_cache::native_path::NativePath;
use orchestrate_cache::{ActionKey, Digest, Lease, OutputDigest, Patience, Preimage, Store, StoreError, fault};

use crate::event::{Event, Hits, Made, Reporter, RunStarted, now_ms};
use crate::executor::{Failure, Finished, Report, Request, Verdict};
use crate::known::Outputs;
use crate::node::{NodeId, NodeName};
use crate::observe::Observed;
use crate::plan::Plan;
use crate::publish::Publisher;
use crate::run::action::{ActionMaker, Lost};
use crate::run::checkpoints;
use crate::run::elsewhere::ClusterOptions;
use crate::run::executors::Executors;
use crate::run::lookup::{Lookup, Lookups};
use crate::run::options::{RunOptions, Stop};
use crate::run::origin::{self, Inquiry};
use crate::run::prepare;
use crate::run::publications::Publications;
use crate::run::record::{Named, Provenance, record};
use crate::run::remote;
use crate::run::summary::{NodeFailure, RunError, Summary};
use crate::run::telling::Teller;
use crate::run::trust;
use crate::runlog::{Durations, History};
use crate::schedule::{Batch, BatchId, Capacity, Scheduler, SlotId};
use crate::selection::Selection;
use crate::stage::{StageError, Weight};

/// The least interval between two lookups of deferred nodes, and the longest between two calls of listeners.
const TICK: Duration = Duration::from_millis(100);

/// The factor by which `--jobs` may exceed the usable threads without a warning: people often pass it out of habit.
const JOBS_WITHOUT_A_WARNING: usize = 8;

/// The number of runs whose durations estimate those of this one.
const RUNS_FOR_ESTIMATE: usize = 20;

/// The most tables whose digests the log keeps.
const TABLES_LOGGED: usize = 16;

/// The number of times that lost inputs of one node are remade. If one is lost once more, the disk is failing.
const REPAIRS_MAX: u32 = 3;

/// A node that was about to start, or started, and has no durable result yet. Of the misses in the queue, which may be
/// most of a plan, nothing is kept.
struct Pending {
    key: ActionKey,
    /// Made when the node starts: all inputs are known then, and one may be lost again while the node runs. Given up as
    /// soon as the result is recorded: that of a table is as large as the record.
    preimage: Option<Preimage>,
    /// Held from the start until the result is durable.
    lease: Option<Lease>,
    attempts: u32,
    /// The number of times that a lost input was remade.
    repairs: u32,
}

/// A batch that runs.
struct ActiveBatch {
    nodes: Vec<NodeId>,
    device: String,
    log: Option<PathBuf>,
}

/// A result that is in the store but not yet durable.
struct Recorded {
    id: NodeId,
    outputs: Outputs,
    elapsed_ms: u64,
}

/// A run in progress.
pub(in crate::run) struct Drive<'a, 'l, 'r> {
    plan: &'a Plan,
    store: &'a Store,
    selection: &'a Selection,
    options: &'a RunOptions,
    scheduler: Scheduler,
    lookups: Lookups<'a>,
    actions: ActionMaker<'a>,
    executors: Executors<'a>,
    publications: Publications<'a>,
    teller: Teller<'l, 'r>,
    /// Nodes from their start until they have a durable result.
    pending: HashMap<NodeId, Pending>,
    active: HashMap<BatchId, ActiveBatch>,
    /// Ended batches of a cluster whose results are not seen yet, with the time of their end.
    late: Vec<(Finished, Instant)>,
    /// Nodes whose deferral was reported.
    deferred: HashSet<NodeId>,
    failures: Vec<NodeFailure>,
    /// Facts about the machine and the working tree, asked for at the first miss.
    inquiry: Inquiry,
    /// False until devices are found.
    devices_known: bool,
    /// True once the devices are known to suit the nodes that are left.
    devices_checked: bool,
    /// Descriptions of devices that were reported.
    devices_used: HashSet<String>,
    /// True once no more nodes may start.
    stopping: bool,
    /// True once durations of earlier runs were read; a run without misses needs none.
    estimated: bool,
    durations: Durations,
    /// The time of the latest lookup of deferred nodes.
    rechecked: Instant,
    /// Set while this run can only wait for other processes.
    waiting: Option<Patience>,
    started: Instant,
}

impl<'a, 'l, 'r> Drive<'a, 'l, 'r> {
    pub(in crate::run) fn new(
        plan: &'a Plan,
        observed: &'a Observed,
        store: &'a Store,
        selection: &'a Selection,
        options: &'a RunOptions,
        listeners: &'l mut [&'r mut dyn Reporter],
    ) -> Result<Self, RunError> {
        let asks_for_memory = plan.spec.stages.iter().any(|stage| stage.resources.memory_bytes.is_some());
        let threads_asked = || {
            let is_here = |id: &NodeId| options.cluster.as_ref().is_none_or(|cluster| !cluster.takes(plan.stage(*id)));
            let is_heavy = |id: &NodeId| plan.stage(*id).kind.facts().weight == Weight::Heavy;
            let heavy = selection.nodes().iter().filter(|id| is_heavy(id) && is_here(id));
            heavy.map(|id| plan.spec.stages[plan.stage(*id).declared].resources.threads.unwrap_or(1)).sum()
        };
        let devices = devices::at_the_start(plan, options);
        let known = devices.clone().unwrap_or_default();
        let capacity = Capacity::of_machine(options.jobs, known, asks_for_memory).bounded(threads_asked);
        let (threads, cores) = (capacity.threads, capacity.cores);
        let scheduler = prepare::scheduler(plan, selection, capacity, options.cluster.as_ref())?;
        // Before anything runs, as a folder may belong to another study.
        let publisher = Publisher::open(plan, store, |id| selection.contains(id))?;
        let mut teller = Teller::new(&store.runs_dir(), listeners);
        teller.report(Event::RunStarted(RunStarted {
            run: teller.run().clone(),
            spec: plan.spec.path.clone(),
            overrides: plan.spec.overrides.clone(),
            nodes: selection.nodes().len(),
            jobs: threads,
            device: match devices.as_deref() {
                None => "auto".to_owned(),
                Some([]) => "cpu".to_owned(),
                Some(names) => names.join(","),
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            origin: Some(Box::new(origin::origin(plan, &options.invocation))),
        }));
        if let Some(jobs) = options.jobs.filter(|jobs| *jobs > threads.saturating_mul(JOBS_WITHOUT_A_WARNING)) {
            let asked = threads_asked();
            teller.warn(format!(
                "--jobs {jobs} is capped at {threads}, of which use can be made: this machine has {cores} cores, and \
                 the workers of this run ask for {asked} threads"
            ));
        }
        Ok(Self {
            plan,
            store,
            selection,
            options,
            scheduler,
            lookups: Lookups::new(plan, observed, store, &options.forced),
            actions: ActionMaker::new(plan, observed, store),
            executors: Executors::new(store, options, threads, &plan.spec.root),
            publications: Publications::new(plan, publisher),
            teller,
            pending: HashMap::new(),
            active: HashMap::new(),
            late: Vec::new(),
            deferred: HashSet::new(),
            failures: Vec::new(),
            inquiry: Inquiry::new(),
            devices_known: devices.is_some(),
            devices_checked: false,
            devices_used: HashSet::new(),
            stopping: false,
            estimated: false,
            durations: Durations::default(),
            rechecked: Instant::now(),
            waiting: None,
            started: Instant::now(),
        })
    }

    /// Runs the loop until every node has ended, then finishes the published folders.
    pub(in crate::run) fn drive(mut self, stop: &Stop) -> Result<Summary, RunError> {
        // If the store fails, results of running nodes could not be recorded.
        self.run_loop(stop).inspect_err(|_| self.executors.kill())?;
        self.store.commit()?;
        self.lookups.touch();
        let (known, interrupted) = (&self.lookups.known, stop.asked());
        self.publications.finish(known, &mut self.teller, interrupted, self.options.merge_tables);
        self.store
            .take_warnings()
            .into_iter()
            .chain(self.store.warn_of_rivals())
            .for_each(|text| self.teller.warn(text));
        if let Some(remote) = &self.options.remote {
            remote::finish(remote, &mut self.teller);
        }
        let remote = self.options.remote.as_ref().and_then(|remote| remote.counts());
        let counts = self.scheduler.counts();
        trust::notes(self.store, counts.ran > 0).into_iter().for_each(|note| self.teller.warn(note));
        let found = self.inquiry.finish();
        found.into_iter().for_each(|found| self.teller.report(Event::Surroundings(found)));
        let outputs = self.lookups.known.all_outputs();
        let tables = self.options.find_tables.map(|find| find(self.plan, outputs, self.store)).unwrap_or_default();
        let published = self.publications.folders();
        let elapsed_ms = milliseconds(self.started.elapsed());
        let made = self.made(&tables, &published);
        self.teller.report(Event::RunFinished { counts, elapsed_ms, made, remote });
        Ok(Summary {
            run: self.teller.run().clone(),
            counts,
            elapsed_ms,
            interrupted: stop.asked(),
            failures: self.failures,
            outputs: self.lookups.known.into_outputs(),
            tables,
            published,
            unpublished: self.publications.failures,
            remote,
        })
    }

    /// Returns what the log keeps of tables and published folders.
    fn made(&self, tables: &[(NodeId, OutputDigest)], published: &[PathBuf]) -> Made {
        let named = tables.iter().take(TABLES_LOGGED).map(|(id, digest)| (self.name(*id).to_string(), *digest));
        Made { tables: named.collect(), published: published.iter().cloned().map(NativePath).collect() }
    }

    fn run_loop(&mut self, stop: &Stop) -> Result<(), RunError> {
        let mut interrupted = false;
        loop {
            if stop.asked() && !interrupted {
                interrupted = true;
                self.teller.report(Event::RunStopping);
                self.stop();
            }
            self.look_up_ready()?;
            while let Some(batch) = self.scheduler.next_batch() {
                self.start(batch)?;
            }
            if self.scheduler.is_done() {
                return Ok(());
            }
            let mut recorded = Vec::new();
            for report in self.executors.reports(TICK) {
                self.handle(report, &mut recorded)?;
            }
            self.find_late(&mut recorded)?;
            self.settle(recorded)?;
            self.recheck()?;
            let found = self.inquiry.poll();
            found.into_iter().for_each(|found| self.teller.report(Event::Surroundings(found)));
            self.store.take_warnings().into_iter().for_each(|warning| self.teller.warn(warning));
            if let Some(remote) = &self.options.remote {
                remote::tell(remote, &mut self.teller);
            }
            self.teller.tick();
        }
    }

    fn name(&self, id: NodeId) -> NodeName {
        self.plan.name(id)
    }

    /// Returns the cluster on which a node runs, if it does not run here.
    fn cluster_of(&self, id: NodeId) -> Option<&'a ClusterOptions> {
        self.options.cluster.as_ref().filter(|cluster| cluster.takes(self.plan.stage(id)))
    }

    fn slot(&self, id: NodeId) -> SlotId {
        self.selection.slot(id)
    }

    fn pending(&mut self, id: NodeId) -> &mut Pending {
        self.pending.get_mut(&id).expect("a node that starts or runs is pending")
    }

    /// Looks up nodes as long as hits make others ready.
    fn look_up_ready(&mut self) -> Result<(), RunError> {
        loop {
            let published = |id| self.publications.concern(id);
            let mut rest = self.lookups.pass_hits(&mut self.scheduler, self.selection, published)?;
            if rest.is_empty() {
                self.tell_hits()?;
                return Ok(());
            }
            if let Some(remote) = &self.options.remote {
                // The hits so far need not wait for it.
                self.tell_hits()?;
                remote::look_up(remote, self.store, &mut self.lookups, &mut rest, &mut self.teller)?;
            }
            self.publications.publish_hits(&mut rest, &mut self.lookups.known, &mut self.teller);
            for Lookup { id, key, hit } in rest {
                if hit { self.hit(id, key) } else { self.miss(id)? }
            }
        }
    }

    fn hit(&mut self, id: NodeId, key: ActionKey) {
        self.scheduler.hit(self.slot(id));
        self.lookups.hits.push((id, key));
    }

    fn miss(&mut self, id: NodeId) -> Result<(), RunError> {
        self.equip(id)?;
        if !self.estimated {
            self.estimated = true;
            self.inquiry.start(self.plan, self.store.dir());
            let durations = History::new(self.store.runs_dir()).makes_summaries_again().durations(RUNS_FOR_ESTIMATE);
            let (plan, selection) = (self.plan, self.selection);
            self.scheduler.set_estimates(|slot| prepare::estimate_ms(plan, selection.node(slot), Some(&durations)));
            self.durations = durations;
        }
        self.scheduler.miss(self.slot(id));
        Ok(())
    }

    /// Reports all hits since the last call at once. Makes them durable first, as another process may have just written
    /// them.
    fn tell_hits(&mut self) -> Result<(), StoreError> {
        let nodes = self.lookups.take_hits();
        if nodes.is_empty() {
            return Ok(());
        }
        self.store.commit()?;
        let outputs = self.lookups.known.all_outputs();
        self.teller.hits(&Hits { plan: self.plan, outputs, nodes: &nodes, at_ms: now_ms() });
        Ok(())
    }

    /// Starts the nodes of a batch that this process is to compute, if any.
    fn start(&mut self, batch: Batch) -> Result<(), RunError> {
        let nodes: Vec<_> = batch.nodes.iter().map(|slot| self.selection.node(*slot)).collect();
        let nodes = self.lease(nodes)?;
        let mut actions = Vec::with_capacity(nodes.len());
        let mut runnable = Vec::with_capacity(nodes.len());
        for id in nodes {
            match self.actions.action(id, self.pending[&id].key, &self.lookups.known) {
                Ok(action) => {
                    self.pending(id).attempts += 1;
                    actions.push(action);
                    runnable.push(id);
                }
                Err(lost) => self.make_again(id, lost),
            }
        }
        let Some(first) = runnable.first().copied() else { return Ok(()) };
        let stage = self.plan.stage(first);
        let declared = &self.plan.spec.stages[stage.declared];
        let (node, key, facts) = (self.name(first), actions[0].key, stage.kind.facts());
        let log = (facts.weight == Weight::Heavy).then(|| self.teller.node_log(&node));
        let device = self.scheduler.device(&batch.grant);
        let (checkpoint_dir, checkpoint_stamp) = checkpoints::place(self.store, facts, &key);
        let cluster = self.cluster_of(first).map(|cluster| {
            let take = |id: &NodeId| self.pending.get_mut(id).and_then(|pending| pending.preimage.take());
            let preimages = runnable.iter().map(take);
            let preimages = preimages.map(|preimage| preimage.expect("it was made when the node started")).collect();
            let forced = runnable.iter().filter(|id| self.lookups.is_forced(**id)).map(|id| self.pending[id].key);
            cluster.on_cluster(self.plan, &runnable, preimages, forced.collect(), &self.durations)
        });
        let request = Request {
            batch: batch.id,
            stage: stage.kind,
            actions,
            threads: batch.grant.threads,
            device: device.clone(),
            memory_limit_bytes: declared.resources.memory_bytes,
            timeout: declared.timeout_ms.map(Duration::from_millis),
            checkpoint_dir,
            checkpoint_stamp,
            log: log.clone(),
            log_max_bytes: self.options.log_max_bytes,
            cluster,
        };
        if request.cluster.is_some() {
            self.note_results(&runnable)?;
        }
        self.teller.report(Event::NodeStarted { node, key, members: runnable.len(), log: log.clone() });
        self.active.insert(batch.id, ActiveBatch { nodes: runnable, device, log });
        self.lookups.touch_if_due();
        self.executors.start(request, self.teller.run())?;
        Ok(())
    }

    /// Handles a report of an executor. Adds new results, not yet durable, to `recorded`.
    fn handle(&mut self, report: Report, recorded: &mut Vec<Recorded>) -> Result<(), StoreError> {
        match report {
            Report::Progress { batch, progress } => {
                if let Some(id) = self.active.get(&batch).and_then(|active| active.nodes.first()) {
                    self.teller.report(Event::NodeProgress { node: self.plan.name(*id), progress });
                }
            }
            Report::Device { batch, description } => {
                if let Some(active) = self.active.get_mut(&batch) {
                    active.device.clone_from(&description);
                }
                if self.devices_used.insert(description.clone()) {
                    self.teller.report(Event::DeviceUsed { device: description });
                }
            }
            Report::Submitted { job, name, tasks, is_adopted } => {
                self.teller.report(Event::JobSubmitted { job, name, tasks, is_adopted });
            }
            Report::Again { batch, message } => {
                if let Some(id) = self.active.get(&batch).and_then(|active| active.nodes.first()) {
                    self.teller.report(Event::NodeRetried { node: self.plan.name(*id), cause: message });
                }
            }
            Report::Warning { message } => self.teller.warn(message),
            Report::Finished(finished) if finished.asked.is_some() => {
                self.find_stored(finished, Instant::now(), recorded)?
            }
            Report::Finished(finished) => self.record_batch(finished, recorded)?,
        }
        Ok(())
    }

    /// Records the results of a batch that has ended, and handles its failures.
    fn record_batch(&mut self, finished: Finished, recorded: &mut Vec<Recorded>) -> Result<(), StoreError> {
        let Finished { batch, results, elapsed, scratch, used, asked } = finished;
        let active = self.active.remove(&batch).expect("a batch finishes once");
        let elapsed_ms = milliseconds(elapsed) / u64::try_from(active.nodes.len()).unwrap_or(1).max(1);
        self.report_use(&active, used.filter(|_| results.iter().any(Result::is_ok)), asked);
        let done = active.nodes.iter().zip(&results).filter(|(_, result)| result.is_ok()).map(|(id, _)| *id);
        let ours = self.confirm(done.collect())?;
        for (id, result) in active.nodes.iter().copied().zip(results) {
            let outputs = match result {
                Ok(_) if !ours.contains(&id) => continue,
                Ok(outputs) => outputs,
                Err(failure) => {
                    self.handle_failure(id, &failure, &active, elapsed_ms);
                    continue;
                }
            };
            let pending = self.pending(id);
            let preimage = pending.preimage.take().expect("it was made when the node started");
            let key = pending.key;
            if self.lookups.take_forced(id) {
                self.store.forget_result(&key);
            }
            let provenance = Provenance { run: self.teller.run(), device: &active.device, elapsed_ms };
            let node = self.plan.name(id);
            let named = Named { node: node.as_str(), kind: self.plan.stage(id).kind.facts().kind };
            let outputs = record(self.store, named, key, &preimage, outputs, &provenance)?;
            recorded.push(Recorded { id, outputs, elapsed_ms });
        }
        // Files that the store did not take over are removed with the scratch folder.
        drop(scratch);
        Ok(())
    }

    /// Makes results durable, and only then reports them.
    fn settle(&mut self, recorded: Vec<Recorded>) -> Result<(), StoreError> {
        if recorded.is_empty() {
            return Ok(());
        }
        fault::between("results are recorded, not durable");
        self.store.commit()?;
        let recorded = self.served(recorded)?;
        let mut nodes = Vec::with_capacity(recorded.len());
        for Recorded { id, outputs, .. } in &recorded {
            // The lease is held until the checkpoint is gone: another process may write one for the same key then.
            let Pending { key, lease: _lease, .. } = self.pending.remove(id).expect("a node that ran was pending");
            // A task on a cluster has removed them itself, under the lease of the key.
            if self.plan.stage(*id).kind.facts().checkpoints && self.cluster_of(*id).is_none() {
                checkpoints::remove(self.store, &key);
            }
            assert!(self.lookups.known.learn(*id, outputs), "BUG: a result lacks an output that its stage declares");
            nodes.push((*id, key));
        }
        fault::between("results are durable, not published");
        if let Some(remote) = &self.options.remote {
            remote.add(&nodes.iter().map(|(_, key)| *key).collect::<Vec<_>>());
        }
        self.publications.publish_new(&nodes, &self.lookups.known, &mut self.teller);
        for (Recorded { id, outputs, elapsed_ms }, (_, key)) in recorded.into_iter().zip(nodes) {
            fault::between("a result is durable, not reported");
            self.scheduler.finish(self.slot(id));
            self.teller.report(Event::NodeRan { node: self.plan.name(id), key, outputs, elapsed_ms });
        }
        Ok(())
    }

    /// Has a lost input remade, or retries, cancels or fails a node after a failed attempt.
    fn handle_failure(&mut self, id: NodeId, failure: &Failure, active: &ActiveBatch, elapsed_ms: u64) {
        if let Failure::Stage(StageError::Corrupt { digest, .. }) = failure {
            self.store.invalidate(digest);
            self.actions.forget();
            let lost = self.plan.inputs(id).iter().copied().find(|input| {
                let outputs = self.lookups.known.digests(*input);
                // Unknown outputs are being remade: another batch has noticed the same corrupt bytes before.
                outputs.is_none_or(|outputs| outputs.iter().any(|output| self.holds(output, digest)))
            });
            if let Some(upstream) = lost {
                let name = self.name(id);
                self.teller.warn(format!("a stored file that {name} reads is corrupt: {failure}; it is made again"));
                return self.make_again(id, Lost { upstream });
            }
        }
        let retries = self.plan.spec.stages[self.plan.stage(id).declared].retries;
        let (slot, cause) = (self.slot(id), failure.to_string());
        match failure.verdict(active.nodes.len(), self.pending[&id].attempts, retries) {
            verdict @ (Verdict::Retry | Verdict::RetryAlone) if self.scheduler.retry(slot) => {
                if verdict == Verdict::RetryAlone {
                    self.pending(id).attempts -= 1;
                }
                self.teller.report(Event::NodeRetried { node: self.plan.name(id), cause });
            }
            Verdict::Cancel => self.cancel(id),
            // The scheduler refuses a retry, because the run is being stopped.
            Verdict::Retry | Verdict::RetryAlone if self.stopping => self.cancel(id),
            // It refuses, because an input was lost meanwhile and cannot be remade; or the verdict allows no retry.
            _ => self.fail(id, cause, active.log.clone(), elapsed_ms),
        }
    }

    /// Returns whether an output has a file of this digest, or may have, as the store has lost the list of its files.
    fn holds(&self, output: &OutputDigest, digest: &Digest) -> bool {
        self.store.artifact(output).is_none_or(|artifact| artifact.files.iter().any(|file| file.digest == *digest))
    }

    /// Runs the node again that produced a lost input, and looks up its reader once more afterwards.
    fn make_again(&mut self, id: NodeId, lost: Lost) {
        if self.scheduler.revoke(self.slot(lost.upstream)) {
            self.lookups.known.forget(lost.upstream);
        }
        let pending = self.pending(id);
        pending.repairs += 1;
        if pending.repairs > REPAIRS_MAX || !self.scheduler.defer(self.slot(id)) {
            let cause = format!("its input {} was lost and cannot be made again", self.name(lost.upstream));
            self.fail(id, cause, None, 0);
        }
    }

    /// Ends a node as failed, and blocks the nodes that depend on it.
    fn fail(&mut self, id: NodeId, cause: String, log: Option<PathBuf>, elapsed_ms: u64) {
        let key = self.pending.remove(&id).map(|pending| pending.key);
        let node = self.name(id);
        let by = node.as_str().to_owned();
        self.teller.report(Event::NodeFailed { node, key, cause: cause.clone(), log: log.clone(), elapsed_ms });
        let blocked = self.scheduler.fail(self.slot(id));
        for slot in &blocked {
            let node = self.name(self.selection.node(*slot));
            self.teller.report(Event::NodeBlocked { node, by: by.clone() });
        }
        self.failures.push(NodeFailure { node: id, cause, log, blocked: blocked.len() });
        if self.options.fail_fast {
            self.stop();
        }
    }

    fn cancel(&mut self, id: NodeId) {
        let mut cancelled = vec![self.slot(id)];
        cancelled.extend(self.scheduler.cancel(self.slot(id)));
        self.report_cancelled(&cancelled);
    }

    /// Starts no more nodes, and tells running ones to stop.
    fn stop(&mut self) {
        if !self.stopping {
            self.stopping = true;
            let cancelled = self.scheduler.cancel_rest();
            self.report_cancelled(&cancelled);
            self.executors.stop();
        }
    }

    fn report_cancelled(&mut self, slots: &[SlotId]) {
        for slot in slots {
            let id = self.selection.node(*slot);
            self.pending.remove(&id);
            self.teller.report(Event::NodeCancelled { node: self.plan.name(id) });
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
