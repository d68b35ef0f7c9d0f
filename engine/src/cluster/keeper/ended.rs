//! The ends of tasks: a report, or another try.

use std::time::Duration;

use super::submit::BREAKS_OF_A_NODE;
use super::{Job, Keeper, Watched};
use crate::cluster::ask::{More, more};
use crate::cluster::fate::Fate;
use crate::cluster::ledger::Place;
use crate::cluster::outcome::{BatchOutcome, Outcome};
use crate::cluster::queue::Seen;
use crate::cluster::state::End;
use crate::executor::{Failure, Finished, Report};
use crate::resources::{display_duration, display_size};
use crate::schedule::BatchId;
use crate::stage::Action;

/// The number of times that a batch is submitted again after it was lost.
const LOSSES_MAX: u32 = 5;
/// The number of times that a batch ends without a word before the fault is taken for its own.
const BROKEN_MAX: u32 = 2;

/// Words of Slurm in the output of a task that it ended for its memory.
const OVER_MEMORY: [&str; 3] = ["exceeded memory limit", "Exceeded job memory limit", "oom-kill"];

impl Keeper {
    /// Handles the end of a task.
    pub(super) fn end(&mut self, job: &Job, task: usize, watched: &mut Watched, outcome: Outcome, next: Fate) {
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
                    "node {node} gets no more tasks of this run, as {count} wrote no outcome there",
                    count = BREAKS_OF_A_NODE
                ));
            }
        } else if next == Fate::Done {
            self.breaks.remove(&node);
        }
        let is_bad = next != Fate::Done || batches.iter().any(ran_out_of_memory);
        let tail = if is_bad { job.folder.output_tail(task) } else { String::new() };
        // Without control groups Slurm itself ends the task, and calls that a failure.
        let is_over = next == Fate::Broken && OVER_MEMORY.iter().any(|words| tail.contains(words));
        let next = if is_over { Fate::MoreMemory } else { next };
        let ended = Ended {
            job: label(job, task),
            node,
            tail,
            peak_bytes: if is_bad { peak(&batches).or_else(|| self.peak(job, task)) } else { None },
            seen: watched.seen.clone(),
        };
        let mut is_first = true;
        for (place, batch) in std::mem::take(&mut watched.riders) {
            match batches.get(place.batch) {
                Some(outcome) if ran_out_of_memory(outcome) => self.again(batch, Fate::MoreMemory, &ended),
                Some(outcome) => self.finish(batch, &place, outcome),
                None => {
                    // The first batch without an outcome is the one that ran; those behind it had no turn.
                    if std::mem::take(&mut is_first) {
                        self.again(batch, next, &ended);
                    } else {
                        self.waiting.push(batch);
                    }
                }
            }
        }
    }

    /// Asks the accounting for the peak memory of a task.
    fn peak(&self, job: &Job, task: usize) -> Option<u64> {
        let id = job.id.clone()?;
        self.queue.look_back(std::slice::from_ref(&id)).get(&(id, task))?.peak_bytes
    }

    /// Reports the outcome of a batch.
    fn finish(&mut self, batch: BatchId, place: &Place, outcome: &BatchOutcome) {
        let Some(rider) = self.riders.remove(&batch) else { return };
        let BatchOutcome { results, device, elapsed_ms, used } = outcome;
        let of_key = |key| place.keys.iter().position(|known| *known == key).and_then(|index| results.get(index));
        let result = |action: &Action| match of_key(action.key) {
            Some(Ok(())) => Ok(Vec::new()),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::NotStarted { message: "its task wrote no outcome for it".to_owned() }),
        };
        let results = rider.request.actions.iter().map(result).collect();
        if *device != "cpu" {
            (self.send)(Report::Device { batch, description: device.clone() });
        }
        let (elapsed, asked) = (Duration::from_millis(*elapsed_ms), Some(rider.cluster.asked));
        let finished = Finished { batch, results, elapsed, scratch: None, used: *used, asked };
        (self.send)(Report::Finished(finished));
    }

    /// Submits a batch again, or reports its failure.
    fn again(&mut self, batch: BatchId, next: Fate, ended: &Ended) {
        let cluster = &self.setting.cluster;
        let Some(rider) = self.riders.get_mut(&batch) else { return };
        let why = match next {
            // An outcome that was cut short: the task did not come to this batch.
            Fate::Wait | Fate::Done => "it did not come to its turn".to_owned(),
            Fate::GoOn => "its time was nearly over, and it goes on from its checkpoint".to_owned(),
            Fate::Lost(end) => {
                rider.losses += 1;
                if rider.losses > LOSSES_MAX {
                    return self.fail(batch, &ended.failure("it was lost again and again"));
                }
                lost(end).to_owned()
            }
            Fate::Broken => {
                rider.breaks += 1;
                if rider.breaks > BROKEN_MAX {
                    return self.fail(batch, &ended.failure(""));
                }
                let last = ended.tail.lines().last().map(|line| format!("; its last line: {line}"));
                format!("it wrote no outcome{}", last.unwrap_or_default())
            }
            Fate::MoreMemory => {
                let had = display_size(rider.cluster.asked.memory_bytes);
                let Some(asked) = more(&rider.cluster.asked, More::Memory, cluster) else {
                    return self
                        .fail(batch, &ended.failure(&at_limit("memory", &had, cluster.max_memory_bytes.is_some())));
                };
                rider.cluster.asked = asked;
                format!(
                    "it ran out of its {had} of memory, and asks for {}",
                    display_size(rider.cluster.asked.memory_bytes)
                )
            }
            Fate::MoreTime => {
                let had = display_duration(rider.cluster.asked.time());
                let Some(asked) = more(&rider.cluster.asked, More::Time, cluster) else {
                    return self.fail(batch, &ended.failure(&at_limit("time", &had, cluster.max_time.is_some())));
                };
                rider.cluster.asked = asked;
                format!("its {had} were over, and it asks for {}", display_duration(rider.cluster.asked.time()))
            }
            Fate::Cancelled => return self.fail(batch, &ended.failure("somebody cancelled it")),
            Fate::Unseen => {
                let folder = self.setting.jobs_dir.display();
                let why =
                    format!("nothing of it can be seen in {folder}: do its nodes have the same filesystem there?");
                return self.fail(batch, &ended.failure(&why));
            }
        };
        (self.send)(Report::Again { batch, message: ended.text(&why) });
        self.waiting.push(batch);
    }
}

/// A task that ended badly, for messages.
struct Ended {
    job: String,
    node: String,
    tail: String,
    peak_bytes: Option<u64>,
    seen: Option<Seen>,
}

impl Ended {
    fn text(&self, why: &str) -> String {
        let state = match &self.seen {
            // Its outcome came first.
            Some(seen) if !seen.state.is_end() => None,
            Some(seen) if seen.reason.is_empty() => Some(seen.word.clone()),
            Some(seen) => Some(format!("{}, {}", seen.word, seen.reason)),
            None => Some("unknown to the queueing system".to_owned()),
        };
        let node = if self.node.is_empty() { String::new() } else { format!(", on node {}", self.node) };
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        let peak = self.peak_bytes.map(|peak| format!("peak memory {}", display_size(peak)));
        let facts = state.into_iter().chain(peak).collect::<Vec<_>>().join(", ");
        let facts = if facts.is_empty() { facts } else { format!(" ({facts})") };
        format!("its task {} ended{facts}{node}{why}", self.job)
    }

    fn failure(&self, why: &str) -> Failure {
        Failure::Job { message: self.text(why), stderr: self.tail.clone() }
    }
}

/// Returns whether the worker of a batch was killed: control groups kill the largest process, and the task lives on.
fn ran_out_of_memory(outcome: &BatchOutcome) -> bool {
    let is_killed = |failure: &Failure| matches!(failure, Failure::OutOfMemory { limit_bytes: None, .. });
    outcome.results.iter().any(|result| result.as_ref().is_err_and(is_killed))
}

/// Returns why no more of a resource is asked for.
fn at_limit(resource: &str, had: &str, has_limit: bool) -> String {
    let limit = if has_limit {
        format!("`max_{resource}` of `[cluster]` allows no more")
    } else {
        format!("`[cluster]` has no `max_{resource}`, up to which it could ask for more")
    };
    format!("{had} of {resource} were too little, and {limit}")
}

/// Returns the most memory that batches say they used.
fn peak(batches: &[BatchOutcome]) -> Option<u64> {
    batches.iter().filter_map(|batch| Some(batch.used?.peak_bytes)).max()
}

fn lost(end: End) -> &'static str {
    match end {
        End::NodeFailed => "its node failed",
        End::Preempted => "another job took its place",
        _ => "it vanished",
    }
}

fn label(job: &Job, task: usize) -> String {
    format!("{}_{task}", job.id.as_deref().unwrap_or("?"))
}
