//! `run --on CLUSTER --pilot`: one job runs the engine itself, and another one goes on after its deadline.
//!
//! This process shows what the engine in the job says. Once that has everything, it runs the spec here: all nodes are
//! hits then, so tables, published folders and exit codes are as of any run.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use orchestrate_cache::Access;
use orchestrate_engine::cluster::{
    self, End, JobFolder, NotSubmitted, Pilot, Queue, Seen, State, Submission, status_file,
};
use orchestrate_engine::event::message_line;
use orchestrate_engine::run::Stop;
use orchestrate_engine::runlog::{History, RunId};
use orchestrate_engine::spec::Cluster;

use super::cluster::{OnArgs, is_to_cancel, this_program};
use super::run;
use super::study::Study;
use crate::Kinds;
use crate::args::RunArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal::{self, Visible, quoted};

/// The interval at which the output of the job is read.
const READ_EVERY: Duration = Duration::from_millis(500);
/// The intervals at which the queueing system is asked: the first, and the longest.
const ASK_EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// The time that the exit code has to show itself after the job has ended.
const LATE: Duration = Duration::from_secs(30);
/// The number of pilots that may be lost, or make nothing, before it is given up.
const LOSSES_MAX: u32 = 3;

/// A pilot that was submitted.
struct Flight<'a> {
    queue: &'a dyn Queue,
    folder: JobFolder,
    id: String,
    stop: &'a Stop,
}

/// The end of a pilot.
enum Landing {
    /// The engine ended with an exit code.
    Ended(u8),
    /// The job ended without one.
    Lost(Option<Seen>),
    /// People stopped the watch.
    Left,
}

pub(crate) fn pilot(kinds: Kinds, mut args: RunArgs) -> anyhow::Result<Outcome> {
    let plan = run::plan(kinds, &args)?;
    let root = plan.spec.root.clone();
    let declared = args.how.on.cluster(&root)?.context("BUG: --pilot needs --on")?;
    // Whatever is wrong with the data is said here, not by a job.
    let store = Study::open(plan, &args.spec.store, Access::ReadWrite)?.store;
    let (jobs_dir, history) = (store.jobs_dir(), History::new(store.runs_dir()));
    let queue = cluster::open(&declared);
    let asked = Pilot::asks(&declared);
    let working_dir = std::env::current_dir().context("cannot tell the working directory")?;
    let words = run::arguments();
    let mut arguments = there(&words);
    arguments.extend(args.how.jobs.is_none().then(|| format!("--jobs={}", asked.threads)));
    arguments.extend(args.how.deadline.is_none().then(|| format!("--deadline={}s", asked.time_ms / 1000)));
    let pilot = Pilot { root, working_dir, arguments, asked: words };
    let stop = Stop::default();
    run::stop_on_signals(&stop)?;
    let name = RunId::now();
    let (mut losses, mut number) = (0, 0);
    loop {
        let flight = match adopted(&*queue, &jobs_dir, &pilot, &stop) {
            Some(flight) => flight,
            None => {
                let folder = JobFolder::new(jobs_dir.join(format!("{name}-{number}")));
                number += 1;
                pilot.write(&folder).with_context(|| format!("cannot write {}", folder.path().display()))?;
                let submission = Submission {
                    name: folder.name(),
                    tasks: 1,
                    at_once: None,
                    asked: asked.clone(),
                    folder: folder.path().to_owned(),
                    script: script(&declared, &pilot, folder.path())?,
                    excluded: Vec::new(),
                    comment: "pilot".to_owned(),
                };
                let id = submit(&*queue, &submission)?;
                folder.set_id(&id)?;
                terminal::complain(&format!("{:>9}  job {id}: a pilot ({})\n", "submit", folder.name()));
                Flight { queue: &*queue, folder, id, stop: &stop }
            }
        };
        let landing = flight.watch()?;
        match landing {
            Landing::Left => return Ok(Outcome::Interrupted),
            Landing::Ended(0) => {
                flight.folder.remove();
                // Everything is there.
                (args.how.on, args.pilot) = (OnArgs::default(), false);
                return run::run(kinds, args);
            }
            Landing::Ended(130) if has_run_something(&history, &pilot) => losses = 0,
            Landing::Ended(130) => losses += 1,
            Landing::Ended(code) => {
                flight.folder.remove();
                if args.json {
                    let message = format!("the engine in job {} ended with exit code {code}", flight.id);
                    terminal::say(&(message_line("error", &message, None) + "\n"))?;
                }
                return Ok(if code == Outcome::Usage.code() { Outcome::Usage } else { Outcome::Failed });
            }
            Landing::Lost(seen) => {
                losses += 1;
                let state = seen.as_ref().map(|seen| seen.state);
                let word = seen.map_or("unknown to the queueing system".to_owned(), |seen| seen.word);
                let is_final = matches!(state, Some(State::Ended(End::Cancelled | End::OutOfMemory)));
                let problem = format!("job {} ended without an exit code of the engine ({word})", flight.id);
                if is_final || losses > LOSSES_MAX {
                    flight.folder.remove();
                    return Err(anyhow::Error::msg(problem));
                }
                terminal::complain(&format!("warning: {problem}; another pilot goes on\n"));
            }
        }
        flight.folder.remove();
        if losses > LOSSES_MAX {
            anyhow::bail!(
                "{losses} pilots in a row ended no node before their deadline; raise `time` of [cluster.pilot]"
            );
        }
    }
}

/// Returns the arguments without those that make a pilot.
fn there(words: &[String]) -> Vec<String> {
    let mut words = words.iter();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--on" => drop(words.next()),
            // People read what the job says; lines for programs come at the end, from the head.
            "--pilot" | "--json" => {}
            _ if word.starts_with("--on=") => {}
            _ => kept.push(word.clone()),
        }
    }
    kept
}

/// Returns whether the newest run of a pilot has ended a node.
fn has_run_something(history: &History, pilot: &Pilot) -> bool {
    let is_of_pilot = |run: &RunId| {
        let started = history.started(run).ok().flatten();
        started.and_then(|started| started.origin).is_some_and(|origin| origin.arguments == pilot.arguments)
    };
    let newest = history.runs().into_iter().find(is_of_pilot);
    newest.and_then(|run| history.finished(&run).ok().flatten()).is_some_and(|finished| finished.counts.ran > 0)
}

/// Finds a pilot of the same command that an earlier head submitted, and that lives.
fn adopted<'a>(queue: &'a dyn Queue, jobs_dir: &Path, pilot: &Pilot, stop: &'a Stop) -> Option<Flight<'a>> {
    let is_same = |other: Pilot| other.arguments == pilot.arguments && other.working_dir == pilot.working_dir;
    let same = |folder: &JobFolder| Pilot::read(folder).is_some_and(is_same);
    for folder in JobFolder::list(jobs_dir).into_iter().filter(same) {
        let id = folder.id().or_else(|| queue.find(&folder.name()).ok().flatten());
        let Some(id) = id else { continue };
        let seen = queue.look(&[(id.clone(), 1)]).ok()?.remove(&(id.clone(), 0));
        if Pilot::status(&folder).is_some() || seen.is_some_and(|seen| !seen.state.is_end()) {
            terminal::complain(&format!("{:>9}  job {id}: a pilot ({})\n", "attach", folder.name()));
            return Some(Flight { queue, folder, id, stop });
        }
        folder.remove();
    }
    None
}

fn script(cluster: &Cluster, pilot: &Pilot, folder: &Path) -> anyhow::Result<String> {
    let program = cluster.program.clone().map_or_else(this_program, Ok)?;
    let words = pilot.arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let path = |path: &Path| quoted(&path.display().to_string());
    let lines = [
        // The engine has its own clock; the signal before the limit would end this shell.
        "trap '' USR1".to_owned(),
        format!("cd {} || exit 3", path(&pilot.working_dir)),
        // Tables come at the end, from the head.
        format!("{} {words} > /dev/null", path(&program)),
        format!("echo $? > {}", path(&status_file(folder))),
    ];
    Ok(cluster::script(cluster, &lines))
}

/// Submits a job, and looks for it by its name if the queueing system does not confirm it.
fn submit(queue: &dyn Queue, submission: &Submission) -> anyhow::Result<String> {
    let said = match queue.submit(submission) {
        Ok(id) => return Ok(id),
        Err(NotSubmitted::Unsure(said)) => {
            let deadline = Instant::now() + LATE;
            while Instant::now() < deadline {
                if let Ok(Some(id)) = queue.find(&submission.name) {
                    return Ok(id);
                }
                std::thread::sleep(ASK_EVERY.0);
            }
            said
        }
        Err(NotSubmitted::Later(said) | NotSubmitted::Refused(said)) => said,
    };
    JobFolder::new(submission.folder.clone()).remove();
    Err(UsageError(format!("the queueing system refuses the job: {said}")).into())
}

impl Flight<'_> {
    /// Shows what the engine says until its job has ended.
    fn watch(&self) -> anyhow::Result<Landing> {
        let (mut offset, mut interval) = (0, ASK_EVERY.0);
        let mut ask_at = Instant::now();
        let mut ended: Option<(Instant, Option<Seen>)> = None;
        loop {
            let said = Pilot::said(&self.folder, &mut offset);
            if !said.is_empty() {
                // Without a terminal nobody reads it.
                let _ = Visible(std::io::stderr()).write_all(&said);
                continue;
            }
            if let Some(code) = Pilot::status(&self.folder) {
                return Ok(Landing::Ended(code));
            }
            if let Some((_, seen)) = ended.as_ref().filter(|(at, _)| at.elapsed() >= LATE) {
                return Ok(Landing::Lost(seen.clone()));
            }
            if self.stop.asked() {
                return Ok(self.leave());
            }
            if Instant::now() >= ask_at {
                interval = (interval * 3 / 2).min(ASK_EVERY.1);
                ask_at = Instant::now() + interval;
                let place = (self.id.clone(), 0);
                // No answer means nothing.
                if let Ok(mut sightings) = self.queue.look(&[(self.id.clone(), 1)]) {
                    let before = || self.queue.look_back(std::slice::from_ref(&self.id)).remove(&place);
                    let seen = sightings.remove(&place).or_else(before);
                    let is_over = seen.as_ref().is_none_or(|seen| seen.state.is_end());
                    ended = if is_over { ended.or(Some((Instant::now(), seen))) } else { None };
                }
            }
            std::thread::sleep(READ_EVERY);
        }
    }

    fn leave(&self) -> Landing {
        if is_to_cancel()(1) {
            match self.queue.cancel(&self.id) {
                Ok(()) => {
                    self.folder.remove();
                    terminal::complain(&format!("cancelled job {}\n", self.id));
                }
                Err(error) => terminal::complain(&format!("error: job {} cannot be cancelled: {error}\n", self.id)),
            }
        } else {
            let id = &self.id;
            terminal::complain(&format!("job {id} goes on; the same run again waits for it\n"));
        }
        Landing::Left
    }
}
