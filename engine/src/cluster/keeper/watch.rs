//! The watch over jobs: their folders, and what the queueing system says about them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::submit::TRIES_MAX;
use super::{Job, Keeper, SPEED, Watched, pace};
use crate::cluster::fate::{Evidence, Fate, fate};
use crate::cluster::folder::JobFolder;
use crate::cluster::outcome::Outcome;
use crate::cluster::state::State;
use crate::executor::Report;

/// The shortest and the longest interval between two looks at job folders.
pub(super) const LOOKS: (Duration, Duration) = (pace(300), pace(5_000));
/// The same between two questions to the queueing system, which answers for all jobs at once.
pub(super) const QUESTIONS: (Duration, Duration) = (pace(2_000), pace(60_000));
/// The silence of the queueing system after which people are told.
const SILENCE: Duration = pace(30_000);
/// The time in which a submission without an answer may yet appear in the queue.
const APPEARS: Duration = pace(20_000);

/// Reasons of Slurm for which a job waits until somebody acts.
const STUCK: [&str; 10] = [
    "JobHeldUser",
    "JobHeldAdmin",
    "PartitionDown",
    "PartitionInactive",
    "PartitionTimeLimit",
    "PartitionNodeLimit",
    "AccountNotAllowed",
    "QOSNotAllowed",
    "BadConstraints",
    "launch_failed_requeued_held",
];

impl Keeper {
    /// Looks at everything soon.
    pub(super) fn hurry(&mut self) {
        (self.look_interval, self.ask_interval) = (LOOKS.0, QUESTIONS.0);
        let now = Instant::now();
        self.look_at = now + self.look_interval;
        self.ask_at = self.ask_at.min(now + self.ask_interval);
    }

    /// Looks at all job folders, and now and then asks the queueing system.
    pub(super) fn look(&mut self) {
        if Instant::now() >= self.ask_at {
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
                let ended_for = watched.ended.map_or(Duration::ZERO, |ended| ended.elapsed() * SPEED);
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
        let ids: Vec<(String, usize)> = self.jobs.iter().filter_map(|job| Some((job.id.clone()?, job.tasks))).collect();
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
                let seen = sightings.get(&place).or_else(|| before.get(&place).filter(|seen| seen.state.is_end()));
                let is_over = seen.is_none_or(|seen| seen.state.is_end());
                // A site that requeues a task by itself brings it back.
                watched.ended = watched.ended.filter(|_| is_over).or_else(|| is_over.then(Instant::now));
                watched.seen = seen.cloned();
            }
        }
        self.warn_of_stuck();
    }

    /// Warns of jobs that wait for somebody, and will not start by themselves.
    fn warn_of_stuck(&mut self) {
        let of_job = |job: &Job| {
            let seen = job.watched.values().filter_map(|watched| watched.seen.as_ref());
            let mut reasons =
                seen.filter(|seen| seen.state == State::Waiting).map(|seen| seen.reason.trim_matches(['(', ')']));
            Some((job.id.clone()?, reasons.find(|reason| STUCK.contains(reason))?.to_owned()))
        };
        let stuck: Vec<_> = self.jobs.iter().filter_map(of_job).collect();
        for (id, reason) in stuck {
            self.warn(format!("job {id} waits, and will not start by itself: {reason}"));
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
                    self.waiting.extend(job.into_batches());
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
}

/// Lists the tasks of a folder that have written an outcome.
fn outcomes_in(folder: &JobFolder) -> HashSet<usize> {
    let entries = std::fs::read_dir(folder.path()).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".outcome")?.parse().ok()).collect()
}
