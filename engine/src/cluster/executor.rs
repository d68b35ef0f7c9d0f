//! The executor of a cluster: packs batches into jobs, submits them, and watches them until their ends are known.
//!
//! A thread, the keeper, does it all; the run loop sends it requests and gets reports, as from any executor. What goes
//! wrong on the cluster's side (lost nodes, limits of memory and time) is tried again here; failures of a stage are the
//! run loop's business.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use orchestrate_cache::disk;

use super::ask::{Asked, More, more};
use super::fate::{Evidence, Fate, fate};
use super::folder::{Header, JobFolder};
use super::ledger::{Ledger, Place};
use super::outcome::{BatchOutcome, Outcome};
use super::queue::{self, NotSubmitted, Queue, Seen, Submission};
use super::state::{End, State};
use super::work::Work;
use crate::executor::{Executor, Failure, Finished, Report, Request, SendReport};
use crate::schedule::BatchId;
use crate::spec::cluster::Cluster;

/// The silence after which requests are packed: all that are ready at once go into one job.
const GATHERING: Duration = Duration::from_millis(100);
/// The shortest and the longest interval between two looks at job folders.
const LOOKS: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(5));
/// The same between two questions to the queueing system, which answers for all jobs at once.
const QUESTIONS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// The silence of the queueing system after which people are told.
const SILENCE: Duration = Duration::from_secs(30);
/// The time in which a submission without an answer may yet appear in the queue.
const APPEARS: Duration = Duration::from_secs(20);
/// The pause after a limit of submissions.
const PAUSE: Duration = Duration::from_secs(30);
/// The number of times that a batch is submitted again after it was lost.
const LOSSES_MAX: u32 = 5;
/// The number of times that a batch ends without a word before the fault is taken for its own.
const BROKEN_MAX: u32 = 2;
/// The number of tasks that ended without a word on a node before the node gets no more.
const BREAKS_OF_A_NODE: u32 = 2;
/// The number of submissions of one job without success.
const TRIES_MAX: u32 = 5;
/// The estimated duration of the batches that one task does in a row, and the most of them.
const BUNDLE: (Duration, usize) = (Duration::from_secs(60), 200);
/// The length of the comment of a job.
const COMMENT_KEYS: usize = 3;

/// Asks people, when a run is stopped, whether this many tasks are to be cancelled.
pub type Leave = Arc<dyn Fn(usize) -> bool + Send + Sync>;

/// The facts of a run that its jobs need.
#[derive(Clone)]
pub(crate) struct Setting {
    /// The cluster.
    pub(crate) cluster: Cluster,
    /// The run, whose name is that of its jobs.
    pub(crate) run: String,
    /// The project's root.
    pub(crate) root: PathBuf,
    /// The folder of jobs.
    pub(crate) jobs_dir: PathBuf,
    /// The program that tasks run.
    pub(crate) program: PathBuf,
    /// Asks whether to cancel what is submitted.
    pub(crate) is_to_cancel: Leave,
}

/// Runs batches as tasks of jobs on a cluster.
pub struct ClusterExecutor {
    messages: Sender<Message>,
    keeper: Option<JoinHandle<()>>,
}

enum Message {
    Start(Box<Request>),
    /// Ask what to do with what is submitted, and end.
    Stop,
    /// End at once, and leave everything running.
    Leave,
}

impl ClusterExecutor {
    pub(crate) fn new(setting: Setting, send: SendReport) -> Self {
        let (messages, received) = channel();
        let queue = queue::open(&setting.cluster);
        let keep = move || Keeper::new(setting, queue, send).keep(&received);
        let keeper = std::thread::Builder::new().name("cluster".to_owned()).spawn(keep).ok();
        Self { messages, keeper }
    }
}

impl Executor for ClusterExecutor {
    fn start(&self, request: Request) {
        // Without a keeper the run has ended.
        let _ = self.messages.send(Message::Start(Box::new(request)));
    }

    fn stop(&self) {
        let _ = self.messages.send(Message::Stop);
    }

    fn kill(&self) {
        let _ = self.messages.send(Message::Leave);
    }
}

impl Drop for ClusterExecutor {
    fn drop(&mut self) {
        self.kill();
        self.keeper.take().map(JoinHandle::join);
    }
}

/// A batch that waits for its submission, or for its task.
struct Rider {
    request: Box<Request>,
    asked: Asked,
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

/// A task that is watched.
#[derive(Default)]
struct Watched {
    /// By the place of the batch in the work of the task: its keys, and who waits for it.
    riders: Vec<(Place, BatchId)>,
    seen: Option<Seen>,
    /// The time at which it was first seen to have ended, or was first unknown to an answering system.
    ended: Option<Instant>,
}

struct Keeper {
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
    fn new(setting: Setting, queue: Box<dyn Queue>, send: SendReport) -> Self {
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
    fn keep(mut self, messages: &Receiver<Message>) {
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

    fn may_submit(&self) -> bool {
        let is_paused = self.paused_until.is_some_and(|until| Instant::now() < until);
        !self.waiting.is_empty() && !is_paused && self.room() != Some(0)
    }

    /// Returns the number of tasks that may yet run beside those that are submitted, if that is limited.
    fn room(&self) -> Option<usize> {
        let most = self.setting.cluster.max_jobs?;
        let of_job = |job: &Job| job.watched.len().min(job.at_once.unwrap_or(usize::MAX));
        Some(most.max(1).saturating_sub(self.jobs.iter().map(of_job).sum()))
    }

    fn take(&mut self, request: Box<Request>) {
        let asked = request.cluster.as_ref().expect("BUG: the request is for a cluster").asked.clone();
        let (batch, started) = (request.batch, Instant::now());
        self.riders.insert(batch, Rider { request, asked, started, losses: 0, breaks: 0 });
        self.waiting.push(batch);
    }

    fn warn(&mut self, message: String) {
        if self.told.insert(message.clone()) {
            (self.send)(Report::Warning { message });
        }
    }

    /// Adopts jobs of earlier heads for what waits, and submits the rest.
    fn submit_waiting(&mut self) {
        self.ledger.refresh();
        let (mut adopted, mut fresh) = (HashMap::<PathBuf, usize>::new(), Vec::new());
        for batch in std::mem::take(&mut self.waiting) {
            let keys: Vec<_> = self.riders[&batch].request.actions.iter().map(|action| action.key).collect();
            match self.ledger.take(&keys) {
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

    /// Looks at everything soon.
    fn hurry(&mut self) {
        (self.look_interval, self.ask_interval) = (LOOKS.0, QUESTIONS.0);
        let now = Instant::now();
        self.look_at = now + self.look_interval;
        self.ask_at = self.ask_at.min(now + self.ask_interval);
    }

    /// Watches the task of another head.
    fn adopt(&mut self, place: Place, batch: BatchId) {
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
    fn next_tasks(&mut self) -> Option<(Asked, Vec<Vec<BatchId>>)> {
        let asked = self.riders[self.waiting.first()?].asked.clone();
        let most = self.queue.max_array().min(self.setting.cluster.max_array.unwrap_or(usize::MAX)).max(1);
        let mut tasks: Vec<(Duration, Vec<BatchId>)> = Vec::new();
        let mut rest = Vec::new();
        for batch in std::mem::take(&mut self.waiting) {
            let rider = &self.riders[&batch];
            if rider.asked != asked {
                rest.push(batch);
                continue;
            }
            let cluster = rider.request.cluster.as_ref().expect("BUG: the request is for a cluster");
            // A batch that was lost goes alone: it may be what breaks the others.
            let is_alone = rider.losses + rider.breaks > 0;
            let estimate = cluster.estimate.filter(|_| !is_alone).unwrap_or(BUNDLE.0);
            let fits = |(sum, members): &&mut (Duration, Vec<BatchId>)| {
                *sum + estimate <= BUNDLE.0 && members.len() < BUNDLE.1
            };
            match tasks.last_mut().filter(fits) {
                Some((sum, members)) => {
                    *sum += estimate;
                    members.push(batch);
                }
                None if tasks.len() < most => tasks.push((estimate, vec![batch])),
                None => rest.push(batch),
            }
        }
        self.waiting = rest;
        Some((asked, tasks.into_iter().map(|(_, members)| members).collect()))
    }

    /// Writes the folder of a job and submits it.
    fn submit(&mut self, asked: Asked, tasks: Vec<Vec<BatchId>>) {
        let name = format!("{}-{}", self.setting.run, self.next_job);
        self.next_job += 1;
        let folder = JobFolder::new(self.setting.jobs_dir.join(&name));
        self.ledger.leave_out(&folder);
        let work = |batch: &BatchId| {
            let request = &self.riders[batch].request;
            Work::of(request, &request.cluster.as_ref().expect("BUG: the request is for a cluster").preimages)
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
        orchestrate_cache::fault::between("the folder of a job is written, not submitted");
        let keys = works.iter().flatten().flat_map(Work::keys).take(COMMENT_KEYS);
        let comment = keys.map(|key| key.0.short()).collect::<Vec<_>>().join(",");
        let at_once = self.room().filter(|room| *room < tasks.len());
        let excluded = self.breaks.iter().filter(|(_, count)| **count >= BREAKS_OF_A_NODE).map(|(node, _)| node.clone());
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
        self.jobs.push(Job { folder, id: None, submission: Some(submission), tries: 0, since, tasks, at_once, watched });
        self.submit_job(self.jobs.len() - 1);
    }

    /// The script of a task.
    fn script(&self, folder: &JobFolder) -> String {
        let (variable, first) = self.queue.index_variable();
        let quoted = |path: &std::path::Path| format!("'{}'", path.display().to_string().replace('\'', "'\\''"));
        let program = self.setting.cluster.program.as_ref().unwrap_or(&self.setting.program);
        let mut lines = vec!["#!/bin/sh".to_owned()];
        lines.extend(self.setting.cluster.setup.iter().cloned());
        let (program, folder) = (quoted(program), quoted(folder.path()));
        lines.push(format!("exec {program} task {folder} \"${{{variable}:-{first}}}\" --first {first}"));
        lines.join("\n") + "\n"
    }

    /// Submits a job for the first time, or again.
    fn submit_job(&mut self, position: usize) {
        let job = &mut self.jobs[position];
        let submission = job.submission.clone().expect("BUG: only own jobs are submitted");
        job.tries += 1;
        job.since = Instant::now();
        let submitted = self.queue.submit(&submission);
        orchestrate_cache::fault::between("a job is submitted, its id is not known");
        match submitted {
            Ok(id) => {
                self.refusals = 0;
                self.set_id(position, id);
            }
            // `look` asks for its name.
            Err(NotSubmitted::Unsure(said)) => {
                self.warn(format!("the queueing system did not confirm a job, which is looked for by its name: {said}"));
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
                self.waiting.extend(job.watched.into_values().flat_map(|watched| watched.riders).map(|(_, batch)| batch));
            }
            Err(NotSubmitted::Refused(said)) => {
                let job = self.jobs.remove(position);
                self.fail_job(job, &said);
            }
        }
    }

    fn set_id(&mut self, position: usize, id: String) {
        let job = &mut self.jobs[position];
        if let Err(error) = job.folder.set_id(&id) {
            tracing::warn!("{error}");
        }
        let (name, tasks) = (job.folder.name(), job.watched.len());
        job.id = Some(id.clone());
        (self.send)(Report::Submitted { job: id, name, tasks, is_adopted: false });
    }

    fn fail_job(&mut self, job: Job, said: &str) {
        job.folder.remove();
        let failure = Failure::NotStarted { message: format!("the queueing system refuses its job: {said}") };
        for (_, batch) in job.watched.into_values().flat_map(|watched| watched.riders) {
            self.fail(batch, &failure);
        }
    }

    fn fail(&mut self, batch: BatchId, failure: &Failure) {
        if let Some(rider) = self.riders.remove(&batch) {
            (self.send)(rider.request.failed(failure, rider.started.elapsed()));
        }
    }

    /// Looks at all job folders, and now and then asks the queueing system.
    fn look(&mut self) {
        let has_asked = Instant::now() >= self.ask_at;
        if has_asked {
            self.ask();
            self.ask_interval = (self.ask_interval * 3 / 2).min(QUESTIONS.1);
            self.ask_at = Instant::now() + self.ask_interval;
        }
        let mut is_news = false;
        for mut job in std::mem::take(&mut self.jobs) {
            let written = outcomes_in(&job.folder);
            for (task, mut watched) in std::mem::take(&mut job.watched) {
                // The exact name of a task that has ended: the list may be old.
                let outcome =
                    if written.contains(&task) || watched.ended.is_some() { job.folder.outcome(task) } else { None };
                self.tell_progress(&job, task, &watched, outcome.as_ref());
                let ended_for = watched.ended.map_or(Duration::ZERO, |ended| ended.elapsed());
                let evidence = Evidence { outcome: outcome.as_ref(), seen: watched.seen.as_ref(), ended_for };
                let next = fate(evidence);
                if next == Fate::Wait {
                    job.watched.insert(task, watched);
                    continue;
                }
                is_news = true;
                self.end(&job, task, &mut watched, outcome.unwrap_or_default(), next);
            }
            if job.watched.is_empty() {
                job.folder.remove();
            } else {
                self.jobs.push(job);
            }
        }
        self.look_interval = (self.look_interval * 3 / 2).min(LOOKS.1);
        self.look_at = Instant::now() + self.look_interval;
        if is_news {
            self.hurry();
        }
    }

    fn tell_progress(&self, job: &Job, task: usize, watched: &Watched, outcome: Option<&Outcome>) {
        if outcome.is_some() || !watched.seen.as_ref().is_some_and(|seen| seen.state == State::Running) {
            return;
        }
        let Some(told) = job.folder.progress(task) else { return };
        for (_, batch) in watched.riders.iter().filter(|(place, _)| place.batch == told.batch) {
            (self.send)(Report::Progress { batch: *batch, progress: told.progress.clone() });
        }
    }

    /// Asks the queueing system for all jobs at once.
    fn ask(&mut self) {
        self.find_unconfirmed();
        let ids: Vec<(String, usize)> =
            self.jobs.iter().filter_map(|job| Some((job.id.clone()?, job.tasks))).collect();
        if ids.is_empty() {
            return;
        }
        let sightings = match self.queue.look(&ids) {
            Ok(sightings) => sightings,
            Err(error) => return self.note_silence(&error.to_string()),
        };
        (self.silent_since, self.is_silence_told) = (None, false);
        let is_gone = |job: &Job| {
            let Some(id) = &job.id else { return false };
            job.watched.keys().any(|task| !sightings.contains_key(&(id.clone(), *task)))
        };
        let gone: Vec<_> = self.jobs.iter().filter(|job| is_gone(job)).filter_map(|job| job.id.clone()).collect();
        let before = self.queue.look_back(&gone);
        for job in &mut self.jobs {
            let Some(id) = &job.id else { continue };
            for (task, watched) in &mut job.watched {
                let place = (id.clone(), *task);
                let seen = sightings.get(&place).or_else(|| before.get(&place).filter(|seen| is_end(seen.state)));
                let is_over = seen.is_none_or(|seen| is_end(seen.state));
                // A site that requeues a task by itself brings it back.
                watched.ended = watched.ended.filter(|_| is_over).or_else(|| is_over.then(Instant::now));
                watched.seen = seen.cloned();
            }
        }
    }

    /// Looks for jobs whose submission was not confirmed, and submits those again of which there is no trace.
    fn find_unconfirmed(&mut self) {
        for position in (0..self.jobs.len()).rev() {
            let job = &self.jobs[position];
            if job.id.is_some() {
                continue;
            }
            // Another process of the head that died may have noted it since.
            let found = match job.folder.id() {
                Some(id) => Ok(Some(id)),
                None => self.queue.find(&job.folder.name()),
            };
            match found {
                Ok(Some(id)) => self.set_id(position, id),
                Ok(None) if job.since.elapsed() < APPEARS => self.ask_interval = QUESTIONS.0,
                Ok(None) if job.submission.is_none() => {
                    // The head died before it had submitted it.
                    let job = self.jobs.remove(position);
                    job.folder.remove();
                    let batches = job.watched.into_values().flat_map(|watched| watched.riders);
                    self.waiting.extend(batches.map(|(_, batch)| batch));
                }
                Ok(None) if job.tries >= TRIES_MAX => {
                    let job = self.jobs.remove(position);
                    self.fail_job(job, "there is no trace of it in the queue after several tries");
                }
                Ok(None) => self.submit_job(position),
                Err(error) => self.note_silence(&error.to_string()),
            }
        }
    }

    fn note_silence(&mut self, said: &str) {
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= SILENCE && !self.is_silence_told {
            self.is_silence_told = true;
            (self.send)(Report::Warning {
                message: format!(
                    "the queueing system gives no answer; jobs go on, and their results count as before: {said}"
                ),
            });
        }
    }

    /// Handles the end of a task.
    fn end(&mut self, job: &Job, task: usize, watched: &mut Watched, outcome: Outcome, next: Fate) {
        for warning in &outcome.warnings {
            self.warn(format!("{} (job {}, node {})", warning, label(job, task), outcome.node));
        }
        let Outcome { batches, node, .. } = outcome;
        let node = watched.seen.as_ref().map(|seen| seen.node.clone()).filter(|node| !node.is_empty()).unwrap_or(node);
        if next == Fate::Broken && batches.is_empty() {
            let count = self.breaks.entry(node.clone()).or_default();
            *count += 1;
            if *count == BREAKS_OF_A_NODE && !node.is_empty() {
                self.warn(format!(
                    "node {node} gets no more tasks of this run, as {count} ended there without a word",
                    count = BREAKS_OF_A_NODE
                ));
            }
        } else if next == Fate::Done {
            self.breaks.remove(&node);
        }
        let ended = Ended { job: label(job, task), node, tail: job.folder.output_tail(task), seen: watched.seen.clone() };
        let mut is_first = true;
        for (place, batch) in std::mem::take(&mut watched.riders) {
            match batches.get(place.batch) {
                Some(outcome) => self.finish(batch, &place, outcome),
                None => {
                    // The first batch without an outcome is the one that ran; those behind it had no turn.
                    let next = if std::mem::take(&mut is_first) { next } else { Fate::GoOn };
                    self.again(batch, next, &ended);
                }
            }
        }
    }

    /// Reports the outcome of a batch.
    fn finish(&mut self, batch: BatchId, place: &Place, outcome: &BatchOutcome) {
        let Some(rider) = self.riders.remove(&batch) else { return };
        let BatchOutcome { results, device, elapsed_ms, used } = outcome;
        let of_key = |key| place.keys.iter().position(|known| *known == key).and_then(|index| results.get(index));
        let result = |action: &crate::stage::Action| match of_key(action.key) {
            Some(Ok(())) => Ok(Vec::new()),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::NotStarted { message: "its task wrote no outcome for it".to_owned() }),
        };
        let results = rider.request.actions.iter().map(result).collect();
        if *device != "cpu" {
            (self.send)(Report::Device { batch, description: device.clone() });
        }
        let (elapsed, asked) = (Duration::from_millis(*elapsed_ms), Some(rider.asked));
        let finished = Finished { batch, results, elapsed, scratch: None, used: *used, asked, is_stored: true };
        (self.send)(Report::Finished(finished));
    }

    /// Submits a batch again, or reports its failure.
    fn again(&mut self, batch: BatchId, next: Fate, ended: &Ended) {
        let cluster = &self.setting.cluster;
        let Some(rider) = self.riders.get_mut(&batch) else { return };
        let why = match next {
            Fate::Wait | Fate::Done | Fate::GoOn => None,
            Fate::Lost(end) => {
                rider.losses += 1;
                if rider.losses > LOSSES_MAX {
                    return self.fail(batch, &ended.failure("it was lost again and again"));
                }
                Some(lost(end).to_owned())
            }
            Fate::Broken => {
                rider.breaks += 1;
                if rider.breaks > BROKEN_MAX {
                    return self.fail(batch, &ended.failure(""));
                }
                Some("it ended without a word".to_owned())
            }
            Fate::MoreMemory | Fate::MoreTime => {
                let (why, word) = match next {
                    Fate::MoreMemory => (More::Memory, "memory"),
                    _ => (More::Time, "time"),
                };
                let Some(asked) = more(&rider.asked, why, cluster) else {
                    let limit = format!("`max_{word}` of `[cluster]` allows no more than it had");
                    return self.fail(batch, &ended.failure(&limit));
                };
                rider.asked = asked;
                Some(format!("it ran out of {word}, and asks for twice as much now"))
            }
            Fate::Cancelled => return self.fail(batch, &ended.failure("somebody cancelled it")),
            Fate::Unseen => {
                let folder = self.setting.jobs_dir.display();
                let why = format!("nothing of it can be seen in {folder}: do its nodes have the same filesystem there?");
                return self.fail(batch, &ended.failure(&why));
            }
        };
        if let Some(why) = why {
            let message = ended.text(&why);
            (self.send)(Report::Again { batch, message });
        }
        self.waiting.push(batch);
    }

    /// Ends the watch. What is submitted is left running, or cancelled if people say so.
    fn leave(&mut self, ask: bool) {
        let tasks = self.jobs.iter().map(|job| job.watched.len()).sum();
        let is_to_cancel = ask && tasks > 0 && (self.setting.is_to_cancel)(tasks);
        let mut left = Vec::new();
        for job in std::mem::take(&mut self.jobs) {
            let id = job.id.clone().or_else(|| self.queue.find(&job.folder.name()).ok().flatten());
            match id {
                Some(id) if is_to_cancel => match self.queue.cancel(&id) {
                    Ok(()) => job.folder.remove(),
                    Err(error) => self.warn(format!("job {id} cannot be cancelled: {error}")),
                },
                Some(id) => left.push(id),
                None => {}
            }
        }
        if ask && !left.is_empty() {
            let jobs = left.join(", ");
            self.warn(format!(
                "left running: {tasks} tasks of jobs {jobs}; `orchestrate attach` or the same run again waits for them"
            ));
        }
        for batch in self.riders.keys().copied().collect::<Vec<_>>() {
            self.fail(batch, &Failure::Cancelled);
        }
        self.waiting.clear();
    }
}

/// A task that ended badly, for messages.
struct Ended {
    job: String,
    node: String,
    tail: String,
    seen: Option<Seen>,
}

impl Ended {
    fn text(&self, why: &str) -> String {
        let state = match &self.seen {
            Some(seen) if seen.reason.is_empty() => seen.word.clone(),
            Some(seen) => format!("{}, {}", seen.word, seen.reason),
            None => "unknown to the queueing system".to_owned(),
        };
        let node = if self.node.is_empty() { String::new() } else { format!(", on node {}", self.node) };
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        format!("its task {} ended ({state}){node}{why}", self.job)
    }

    fn failure(&self, why: &str) -> Failure {
        Failure::Job { message: self.text(why), stderr: self.tail.clone() }
    }
}

fn lost(end: End) -> &'static str {
    match end {
        End::NodeFailed => "its node failed",
        End::Preempted => "another job took its place",
        _ => "it vanished",
    }
}

fn is_end(state: State) -> bool {
    matches!(state, State::Ended(_))
}

fn label(job: &Job, task: usize) -> String {
    format!("{}_{task}", job.id.as_deref().unwrap_or("?"))
}

/// Lists the tasks of a folder that have written an outcome.
fn outcomes_in(folder: &JobFolder) -> HashSet<usize> {
    let entries = disk::names(folder.path()).into_iter();
    entries.filter_map(|name| name.strip_suffix(".outcome")?.parse().ok()).collect()
}
