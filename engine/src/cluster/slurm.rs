//! Slurm, by its commands and delimited text: the one interface that all versions since 2020 share.
//!
//! | question | command |
//! |---|---|
//! | states of all jobs | `squeue -h -r -t all --me -o '%F\|%K\|%T\|%N\|%j\|%r'`, one for all |
//! | tasks that have left the queue | `sacct -X -n -P -S … -j …`; may be off, late or forgetful, so it only adds |
//! | largest array | `scontrol show config` |
//!
//! Account, partition and quality of service are passed through: sites differ, and only Slurm knows them.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::command;
use super::queue::{NoAnswer, NotSubmitted, Queue, Seen, Sightings, Submission};
use super::state;
use crate::spec::Cluster;

/// The largest array of a controller that does not say.
const MAX_ARRAY: usize = 1000;
/// The fields of a line of `squeue`; the reason comes last, as only it may hold the separator.
const SQUEUE_FIELDS: &str = "%F|%K|%T|%N|%j|%r";
/// The longest job that Slurm knows, in minutes: a year.
const MINUTES_MAX: u64 = 525_600;
/// Seconds before its limit at which a task gets a signal, beside its own clock.
const SIGNAL_SECONDS: u64 = 60;

/// Slurm.
pub(super) struct Slurm {
    cluster: Cluster,
    max_array: OnceLock<usize>,
}

impl Slurm {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone(), max_array: OnceLock::new() }
    }

    fn squeue() -> Result<Vec<(String, Line)>, NoAnswer> {
        let argv = words(["squeue", "-h", "-r", "-t", "all", "--me", "-o", SQUEUE_FIELDS]);
        let answer = command::answered(command::run(&argv, ""))?;
        Ok(answer.stdout.lines().filter_map(line).collect())
    }
}

/// A line of `squeue` or `sacct`, beside the id of the job.
struct Line {
    index: usize,
    name: String,
    seen: Seen,
}

impl Queue for Slurm {
    fn submit(&self, submission: &Submission) -> Result<String, NotSubmitted> {
        if submission.folder.to_str().is_none_or(|path| path.contains('\\')) {
            let path = submission.folder.display();
            return Err(NotSubmitted::Refused(format!("Slurm takes no path such as {path}; move the store")));
        }
        match command::run(&argv(&self.cluster, submission), &submission.script) {
            Ok(answer) if answer.is_success => {
                // `--parsable` prints `ID` or `ID;CLUSTER`; plugins of a site may print lines before it.
                let last = answer.stdout.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
                let id = last.split(';').next().unwrap_or_default().trim();
                let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
                if is_id {
                    Ok(id.to_owned())
                } else {
                    Err(NotSubmitted::Unsure(format!("sbatch said: {}", answer.said)))
                }
            }
            Ok(answer) => Err(refusal(answer.said)),
            Err(error) => Err(command::not_submitted(&error)),
        }
    }

    fn find(&self, name: &str) -> Result<Option<String>, NoAnswer> {
        let found = Self::squeue()?.into_iter().find(|(_, line)| line.name == name).map(|(id, _)| id);
        if found.is_some() {
            return Ok(found);
        }
        let mut argv = words(["sacct", "-X", "-n", "-P", "-o", "JobID", "-S"]);
        argv.extend([SINCE.to_owned(), format!("--name={name}")]);
        let answer = command::run(&argv, "").ok().filter(|answer| answer.is_success);
        let first = answer.and_then(|answer| answer.stdout.lines().next().map(str::to_owned));
        Ok(first.and_then(|line| line.split('_').next().map(|id| id.trim().to_owned())).filter(|id| !id.is_empty()))
    }

    fn look(&self, jobs: &[(String, usize)]) -> Result<Sightings, NoAnswer> {
        if jobs.is_empty() {
            return Ok(Sightings::new());
        }
        let lines = Self::squeue()?.into_iter().map(|(id, line)| ((id, line.index), line.seen));
        Ok(lines.collect())
    }

    fn look_back(&self, jobs: &[String]) -> Sightings {
        if jobs.is_empty() {
            return Sightings::new();
        }
        let mut argv = words(["sacct", "-n", "-P", "-S", SINCE, "-o", "JobID,State,NodeList,ExitCode,MaxRSS", "-j"]);
        argv.push(jobs.join(","));
        match command::run(&argv, "") {
            Ok(answer) if answer.is_success => rows(&answer.stdout),
            // The accounting may be off or down.
            _ => HashMap::new(),
        }
    }

    fn cancel(&self, job: &str) -> Result<(), NoAnswer> {
        let answer = command::run(&words(["scancel", job]), "").map_err(|error| NoAnswer(error.to_string()))?;
        if answer.is_success || answer.said.contains("Invalid job id") { Ok(()) } else { Err(NoAnswer(answer.said)) }
    }

    fn max_array(&self) -> usize {
        *self.max_array.get_or_init(|| {
            let answer = command::run(&words(["scontrol", "show", "config"]), "").ok();
            let text = answer.map(|answer| answer.stdout).unwrap_or_default();
            let line = text.lines().find(|line| line.trim_start().starts_with("MaxArraySize"));
            let value = line.and_then(|line| line.split('=').nth(1)?.trim().parse().ok());
            // The largest index is one less than this number.
            value.filter(|size| *size > 0).unwrap_or(MAX_ARRAY)
        })
    }

    fn index_variable(&self) -> (&str, usize) {
        ("SLURM_ARRAY_TASK_ID", 0)
    }
}

/// The start of the time that `sacct` is asked about; by default it forgets at midnight. Jobs older than this are not
/// asked for any more.
const SINCE: &str = "now-60days";

/// Returns the command that submits a job.
fn argv(cluster: &Cluster, submission: &Submission) -> Vec<String> {
    let Submission { name, tasks, at_once, asked, folder, excluded, comment, .. } = submission;
    let folder = folder.display();
    let minutes = asked.time_ms.div_ceil(60_000).clamp(1, MINUTES_MAX);
    let throttle = at_once.map(|most| format!("%{most}")).unwrap_or_default();
    let mut argv = words(["sbatch", "--parsable", "--no-requeue", "--nodes=1", "--ntasks=1", "--open-mode=append"]);
    argv.extend([
        format!("--job-name={name}"),
        format!("--comment={comment}"),
        format!("--array=0-{}{throttle}", tasks - 1),
        format!("--chdir={folder}"),
        // Slurm fills in `%j` and the like, also in the names of folders.
        format!("--output={}/%a.out", folder.to_string().replace('%', "%%")),
        format!("--cpus-per-task={}", asked.threads),
        format!("--mem={}M", asked.memory_bytes.div_ceil(1 << 20)),
        format!("--time={minutes}"),
        // To the task itself, which replaces the shell of its script.
        format!("--signal=B:USR1@{}", SIGNAL_SECONDS.min(minutes * 60 / 4)),
    ]);
    let partition = cluster.partition_for(asked);
    let options = [("partition", partition), ("account", cluster.account.as_deref()), ("qos", cluster.qos.as_deref())];
    argv.extend(options.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?))));
    argv.extend(asked.gpu.iter().flat_map(|gpu| cluster.gpu_flags(gpu)));
    argv.extend((!excluded.is_empty()).then(|| format!("--exclude={}", excluded.join(","))));
    argv.extend(cluster.flags.iter().cloned());
    argv
}

/// Sorts the reason of a submission that failed, by the words of Slurm's messages (`slurm_errno.c` of 22.05).
fn refusal(said: String) -> NotSubmitted {
    const UNSURE: [&str; 6] = [
        "timed out",
        "Unable to contact slurm controller",
        "Connection refused",
        "Connection reset",
        "communication",
        "Zero Bytes",
    ];
    const LATER: [&str; 5] =
        ["SubmitLimit", "submit limit", "job count limit", "temporarily", "maximum number of jobs"];
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&UNSURE) {
        NotSubmitted::Unsure(said)
    } else if has(&LATER) {
        NotSubmitted::Later(said)
    } else {
        NotSubmitted::Refused(said)
    }
}

/// Reads a line of `squeue`. A job that is no array has the index `N/A`.
fn line(line: &str) -> Option<(String, Line)> {
    let mut fields = line.splitn(6, '|');
    let mut next = || fields.next().map(str::trim);
    let (id, index, word, node, name, reason) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let seen = seen(word, node, reason);
    Some((id.to_owned(), Line { index: index.parse().unwrap_or(0), name: name.to_owned(), seen }))
}

/// Reads the answer of `sacct`: a line for each task, and one for each of its steps, such as `12_3.batch`, which alone
/// have the memory. Tasks that have not started stand together as `12_[3-7]`; they are in the queue.
fn rows(text: &str) -> Sightings {
    let mut found = Sightings::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split('|').map(str::trim).collect();
        let [id, word, node, exit, peak] = fields.as_slice() else { continue };
        let (task, step) = id.split_once('.').map_or((*id, None), |(task, step)| (task, Some(step)));
        let (id, index) = task.split_once('_').unwrap_or((task, "0"));
        let Ok(index) = index.parse::<usize>() else { continue };
        let place = (id.to_owned(), index);
        match (step, found.get_mut(&place)) {
            (Some(_), Some(seen)) => seen.peak_bytes = seen.peak_bytes.max(size(peak)),
            (Some(_), None) => {}
            (None, _) => {
                let reason = if *exit == "0:0" { String::new() } else { format!("exit code {exit}") };
                found.insert(place, seen(word, node, &reason));
            }
        }
    }
    found
}

/// Reads a size such as `5320K`.
fn size(text: &str) -> Option<u64> {
    let unit = ["K", "M", "G", "T"].iter().position(|unit| text.ends_with(unit));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().ok()?;
    Some((number * 1024_f64.powi(unit.map_or(0, |unit| unit as i32 + 1))) as u64)
}

fn seen(word: &str, node: &str, reason: &str) -> Seen {
    let given =
        |text: &str| if matches!(text, "None" | "None assigned" | "(null)" | "n/a") { "" } else { text }.to_owned();
    Seen {
        state: state::of_word(word),
        word: word.to_owned(),
        reason: given(reason),
        node: given(node),
        peak_bytes: None,
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::state::{End, State};
    use super::*;
    use crate::usage::Asked;

    fn cluster(text: &str) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("orchestrate.toml"), format!("[cluster]\nkind = \"slurm\"\n{text}")).unwrap();
        crate::spec::cluster(dir.path()).unwrap().unwrap()
    }

    fn submission(gpu: Option<&str>) -> Submission {
        Submission {
            name: "run-0".to_owned(),
            tasks: 20,
            at_once: Some(4),
            asked: Asked { threads: 3, memory_bytes: 3 << 30, time_ms: 61_000, gpu: gpu.map(str::to_owned) },
            folder: "/store/jobs/run-0".into(),
            script: String::new(),
            excluded: vec!["n3".to_owned()],
            comment: "abc".to_owned(),
        }
    }

    #[test]
    fn submission_asks_for_what_was_decided_and_passes_the_rest_through() {
        let cluster =
            cluster("partition = \"cpu\"\ngpu_partition = \"a100\"\naccount = \"lab\"\nflags = [\"-C ib\"]\n");
        let argv = |gpu| argv(&cluster, &submission(gpu)).join(" ");
        let all = argv(None);
        for option in [
            "--array=0-19%4",
            "--cpus-per-task=3",
            "--mem=3072M",
            "--time=2 ",
            "--signal=B:USR1@30",
            "--no-requeue",
            "--partition=cpu",
            "--account=lab",
            "--exclude=n3",
            "-C ib",
            "--output=/store/jobs/run-0/%a.out",
        ] {
            assert!(all.contains(option), "{option} is not in {all}");
        }
        assert!(!all.contains("gres") && !all.contains("qos"), "{all}");
        let with_gpu = argv(Some("a100:2"));
        assert!(with_gpu.contains("--partition=a100") && with_gpu.contains("--gres=gpu:a100:2"), "{with_gpu}");
    }

    #[test]
    fn lines_of_squeue_and_sacct_are_read() {
        let (id, read) = line("12|3|NODE_FAIL|n3|run-0|(launch|failed)").unwrap();
        assert_eq!((id.as_str(), read.index, read.name.as_str()), ("12", 3, "run-0"));
        assert_eq!(read.seen.state, State::Ended(End::NodeFailed));
        assert_eq!((read.seen.node.as_str(), read.seen.reason.as_str()), ("n3", "(launch|failed)"));
        let (_, single) = line("13|N/A|PENDING||other|Priority").unwrap();
        assert_eq!((single.index, single.seen.state), (0, State::Waiting));
        assert!(line("slurm_load_jobs error: oops").is_none());
        let text = "12_4|CANCELLED by 0|None assigned|0:0|\n12_5|FAILED|n1|1:0|\n12_5.batch|FAILED|n1|1:0|5320K\n\
                    12_[6-9]|PENDING|None assigned|0:0|\n";
        let found = rows(text);
        let of = |index| &found[&("12".to_owned(), index)];
        assert_eq!((of(4).state, of(4).node.as_str()), (State::Ended(End::Cancelled), ""));
        assert_eq!((of(5).reason.as_str(), of(5).peak_bytes), ("exit code 1:0", Some(5320 << 10)));
        assert_eq!(found.len(), 2, "the others are in the queue");
    }

    #[test]
    fn failed_submission_is_unsure_later_or_refused() {
        let sort = |said: &str| refusal(format!("sbatch: error: Batch job submission failed: {said}"));
        assert!(matches!(sort("Socket timed out on send/recv operation"), NotSubmitted::Unsure(_)));
        assert!(matches!(sort("Unable to contact slurm controller (connect failure)"), NotSubmitted::Unsure(_)));
        assert!(matches!(
            sort("Job violates accounting/QOS policy (job submit limit, user's size)"),
            NotSubmitted::Later(_)
        ));
        assert!(matches!(sort("Resource temporarily unavailable"), NotSubmitted::Later(_)));
        assert!(matches!(sort("invalid partition specified: gpu"), NotSubmitted::Refused(_)));
    }
}
