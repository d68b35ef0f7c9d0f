//! Submission: which waiting batches go together, and in which job of which earlier head they may be already.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrate_cache::fault;

use super::{Job, Keeper, Rider, Watched, pace};
use crate::cluster::bundle::bundle;
use crate::cluster::executor::Setting;
use crate::cluster::folder::{Header, JobFolder};
use crate::cluster::ledger::Place;
use crate::cluster::outcome::Outcome;
use crate::cluster::queue::{NotSubmitted, Submission, max_tasks};
use crate::cluster::script::script;
use crate::cluster::work::Work;
use crate::executor::{Failure, Report};
use crate::schedule::BatchId;
use crate::shell::single_quoted;
use crate::usage::Asked;

/// The pause after a limit of submissions.
const PAUSE: Duration = pace(30_000);
/// The length of the comment of a job.
const COMMENT_KEYS: usize = 3;
/// The number of submissions of one job without success.
pub(super) const TRIES_MAX: u32 = 5;
/// The number of tasks that ended without a word on a node before the node gets no more.
pub(super) const BREAKS_OF_A_NODE: u32 = 2;

/// Advice on a job that is refused.
const REFUSED: &str = " (partition, account and the like are passed through from `[cluster]` of orchestrate.toml)";

impl Keeper {
    pub(super) fn may_submit(&self) -> bool {
        let is_paused = self.paused_until.is_some_and(|until| Instant::now() < until);
        !self.waiting.is_empty() && !is_paused && self.room() != Some(0)
    }

    /// Returns the number of tasks that may yet run beside those that are submitted, if that is limited.
    pub(super) fn room(&self) -> Option<usize> {
        let most = self.setting.cluster.max_jobs?;
        let of_job = |job: &Job| job.watched.len().min(job.at_once.unwrap_or(usize::MAX));
        Some(most.max(1).saturating_sub(self.jobs.iter().map(of_job).sum()))
    }

    /// Adopts jobs of earlier heads for what waits, and submits the rest.
    pub(super) fn submit_waiting(&mut self) {
        self.ledger.refresh();
        let (mut adopted, mut fresh) = (HashMap::<PathBuf, usize>::new(), Vec::new());
        for batch in std::mem::take(&mut self.waiting) {
            match self.place_of(batch) {
                Some(place) => {
                    *adopted.entry(place.folder.path().to_owned()).or_default() += 1;
                    self.adopt(place, batch);
                }
                None => fresh.push(batch),
            }
        }
        for (path, tasks) in adopted {
            let job = self.jobs.iter().find(|job| job.folder.path() == path);
            let (name, id) = job.map(|job| (job.folder.name(), job.id.clone())).unwrap_or_default();
            (self.send)(Report::Submitted { job: id.unwrap_or_default(), name, tasks, is_adopted: true });
        }
        self.waiting = fresh;
        while self.may_submit() {
            let Some((asked, tasks)) = self.next_tasks() else { break };
            self.submit(asked, tasks);
        }
        self.hurry();
    }

    /// Finds the task of an earlier head that computes a batch, or has done so since its keys were looked up.
    ///
    /// One in which the stage failed is none: this run tries again. Nor is any for keys that are to be computed anew.
    fn place_of(&mut self, batch: BatchId) -> Option<Place> {
        let Rider { request, cluster, .. } = &self.riders[&batch];
        let keys: Vec<_> = request.actions.iter().map(|action| action.key).collect();
        let place = self.ledger.take(&keys).filter(|_| cluster.forced.is_empty())?;
        let has_failed = |outcome: Outcome| {
            outcome.batches.get(place.batch).is_some_and(|batch| batch.results.iter().any(Result::is_err))
        };
        (!place.folder.outcome(place.task).is_some_and(has_failed)).then_some(place)
    }

    /// Watches the task of another head.
    pub(super) fn adopt(&mut self, place: Place, batch: BatchId) {
        let position = self.jobs.iter().position(|job| job.folder == place.folder);
        let position = position.unwrap_or_else(|| {
            let (folder, since) = (place.folder.clone(), Instant::now());
            let (id, tasks) = (folder.id(), folder.header().map_or(1, |header| header.tasks.len()));
            let watched = BTreeMap::new();
            self.jobs.push(Job { folder, id, submission: None, tries: 1, since, tasks, at_once: None, watched });
            self.jobs.len() - 1
        });
        let task = place.task;
        self.jobs[position].watched.entry(task).or_default().riders.push((place, batch));
    }

    /// Takes the batches of the next job: those that ask for the same as the first, in tasks of one or several.
    pub(super) fn next_tasks(&mut self) -> Option<(Asked, Vec<Vec<BatchId>>)> {
        let asked = self.riders[self.waiting.first()?].cluster.asked.clone();
        let same = self.waiting.iter().copied().filter(|batch| self.riders[batch].cluster.asked == asked);
        let estimate = |batch: &BatchId| {
            let Rider { cluster, losses, breaks, .. } = &self.riders[batch];
            // A batch that was lost goes alone: it may be what breaks the others.
            cluster.estimate.filter(|_| losses + breaks == 0)
        };
        let mut tasks = bundle(same.map(|batch| (batch, estimate(&batch))));
        tasks.truncate(max_tasks(&*self.queue, &self.setting.cluster));
        let taken: HashSet<_> = tasks.iter().flatten().copied().collect();
        self.waiting.retain(|batch| !taken.contains(batch));
        Some((asked, tasks))
    }

    /// Writes the folder of a job and submits it.
    pub(super) fn submit(&mut self, asked: Asked, tasks: Vec<Vec<BatchId>>) {
        let name = format!("{}-{}", self.setting.run, self.next_job);
        self.next_job += 1;
        let folder = JobFolder::new(self.setting.jobs_dir.join(&name));
        self.ledger.leave_out(&folder);
        let work = |batch: &BatchId| {
            let Rider { request, cluster, .. } = &self.riders[batch];
            Work::of(request, cluster)
        };
        let works: Vec<Vec<Work>> = tasks.iter().map(|members| members.iter().map(work).collect()).collect();
        let Setting { run, root, .. } = &self.setting;
        let header = Header {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run: run.clone(),
            root: root.clone(),
            asked: asked.clone(),
            tasks: Vec::new(),
        };
        if let Err(error) = folder.create(header, &works) {
            let failure = Failure::NotStarted { message: format!("its job cannot be written: {error}") };
            return tasks.into_iter().flatten().for_each(|batch| self.fail(batch, &failure));
        }
        fault::between("the folder of a job is written, not submitted");
        let keys = works.iter().flatten().flat_map(Work::keys).take(COMMENT_KEYS);
        let comment = keys.map(|key| key.0.short()).collect::<Vec<_>>().join(",");
        let at_once = self.room().filter(|room| *room < tasks.len());
        let excluded =
            self.breaks.iter().filter(|(_, count)| **count >= BREAKS_OF_A_NODE).map(|(node, _)| node.clone());
        let mut excluded: Vec<_> = excluded.collect();
        excluded.sort_unstable();
        let script = self.script(&folder);
        let submission = Submission {
            name,
            tasks: tasks.len(),
            at_once,
            asked,
            folder: folder.path().to_owned(),
            script,
            excluded,
            comment,
        };
        let mut watched = BTreeMap::<usize, Watched>::new();
        for (task, members) in tasks.into_iter().enumerate() {
            for (position, batch) in members.into_iter().enumerate() {
                let keys: Arc<[_]> = works[task][position].keys().into();
                let place = Place { folder: folder.clone(), task, batch: position, keys };
                watched.entry(task).or_default().riders.push((place, batch));
            }
        }
        let (tasks, since) = (submission.tasks, Instant::now());
        self.jobs.push(Job {
            folder,
            id: None,
            submission: Some(submission),
            tries: 0,
            since,
            tasks,
            at_once,
            watched,
        });
        self.submit_job(self.jobs.len() - 1);
    }

    /// The script of a task.
    pub(super) fn script(&self, folder: &JobFolder) -> String {
        let (variable, first) = self.queue.index_variable();
        let Setting { cluster, program, .. } = &self.setting;
        let program = cluster.program.as_ref().unwrap_or(program);
        let [program, folder] = [program, folder.path()].map(|path| single_quoted(&path.display().to_string()));
        let run = format!("exec {program} task {folder} \"${{{variable}:-{first}}}\" --first {first}");
        script(cluster, &[run])
    }

    /// Submits a job for the first time, or again.
    pub(super) fn submit_job(&mut self, position: usize) {
        let job = &mut self.jobs[position];
        let submission = job.submission.clone().expect("BUG: only own jobs are submitted");
        job.tries += 1;
        job.since = Instant::now();
        let submitted = self.queue.submit(&submission);
        fault::between("a job is submitted, its id is not known");
        match submitted {
            Ok(id) => {
                self.refusals = 0;
                self.set_id(position, id);
            }
            // `look` asks for its name.
            Err(NotSubmitted::Unsure(said)) => {
                self.warn(format!(
                    "the queueing system did not confirm a job, which is looked for by its name and submitted again if \
                     it is not there: {said}"
                ));
            }
            Err(NotSubmitted::Later(said)) => {
                let job = self.jobs.remove(position);
                self.refusals += 1;
                if self.refusals > TRIES_MAX && self.jobs.is_empty() {
                    return self.fail_job(job, &said);
                }
                job.folder.remove();
                self.warn(format!("a limit of submitted jobs is reached, and the rest waits: {said}"));
                self.paused_until = Some(Instant::now() + PAUSE);
                self.waiting.extend(job.into_batches());
            }
            Err(NotSubmitted::Refused(said)) => {
                let job = self.jobs.remove(position);
                self.fail_job(job, &said);
            }
        }
    }

    pub(super) fn set_id(&mut self, position: usize, id: String) {
        let job = &mut self.jobs[position];
        if let Err(error) = job.folder.set_id(&id) {
            tracing::warn!("{error}");
        }
        let (name, tasks) = (job.folder.name(), job.watched.len());
        job.id = Some(id.clone());
        (self.send)(Report::Submitted { job: id, name, tasks, is_adopted: false });
    }

    pub(super) fn fail_job(&mut self, job: Job, said: &str) {
        job.folder.remove();
        let failure = Failure::NotStarted { message: format!("the queueing system refuses its job: {said}{REFUSED}") };
        job.into_batches().for_each(|batch| self.fail(batch, &failure));
    }

    pub(super) fn fail(&mut self, batch: BatchId, failure: &Failure) {
        if let Some(rider) = self.riders.remove(&batch) {
            (self.send)(rider.request.failed(failure, rider.started.elapsed()));
        }
    }
}
