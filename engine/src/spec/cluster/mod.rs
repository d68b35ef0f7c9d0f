//! A cluster: section `[cluster]` of the `orchestrate.toml` in the project's root. None of it is in a key.
//!
//! ```toml
//! [cluster]
//! kind = "slurm"
//! partition = "cpu"
//! gpu_partition = "gpu"
//! time = "4h"
//!
//! [cluster.stages.train]
//! memory = "16 GB"
//! gpu = "a100:1"
//! ```
//!
//! One section serves all specs of a project, so it may name stages that a spec lacks; [`Cluster::check`] tells.

mod check;
mod parse;

use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;

use super::limits::{PROJECT_FILE, project_file};
use super::placeholder::fill;
use crate::diagnostic::SpecError;
use crate::usage::Asked;

/// Placeholders of `submit`. `first` and `last` are the numbers of tasks, `hours` is the time as `H:MM:00`, and `gpu`
/// stands as a word of its own for the flags that ask for GPUs.
pub const SUBMIT: &[&str] = &[
    "name",
    "tasks",
    "first",
    "last",
    "at_once",
    "script",
    "output",
    "threads",
    "memory_mb",
    "minutes",
    "hours",
    "gpu",
];

/// Placeholders of `cancel`.
pub const CANCEL: &[&str] = &["job"];

/// The placeholder of `gpu`.
pub const GPU: &[&str] = &["gpu"];

/// A cluster, and the requests that jobs make there.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its scheduler.
    pub kind: ClusterKind,
    /// The partition of jobs.
    pub partition: Option<String>,
    /// The partition of jobs with a GPU; `partition` if there is none.
    pub gpu_partition: Option<String>,
    /// The account that pays.
    pub account: Option<String>,
    /// The quality of service.
    pub qos: Option<String>,
    /// Further flags of a submission, passed through.
    pub flags: Vec<String>,
    /// The flags that ask for GPUs: a template with the placeholder `{gpu}`; split like a shell does.
    pub gpu: String,
    /// Lines of shell before the program, such as `module load cuda`.
    pub setup: Vec<String>,
    /// The program on the cluster's hosts, absolute; this one if `None`.
    pub program: Option<PathBuf>,
    /// The kinds of stages that go there; the heavy ones if `None`.
    pub kinds: Option<Vec<String>>,
    /// The most tasks that run at a time.
    pub max_jobs: Option<usize>,
    /// The most tasks of one job.
    pub max_array: Option<usize>,
    /// The request for a stage of which nothing else is known; without a GPU.
    pub defaults: Ask,
    /// The longest time that is asked for after a job reached its limit.
    pub max_time: Option<Duration>,
    /// The most memory that is asked for after a job ran out of it.
    pub max_memory_bytes: Option<u64>,
    /// Requests by stage.
    pub stages: IndexMap<String, Ask>,
    /// The request of a job that runs the engine itself.
    pub pilot: Ask,
}

impl Cluster {
    /// Returns the partition of a job, if one is named.
    pub fn partition_for(&self, asked: &Asked) -> Option<&str> {
        let of_gpus = self.gpu_partition.as_ref().filter(|_| asked.gpu.is_some());
        of_gpus.or(self.partition.as_ref()).map(String::as_str)
    }

    /// Returns the flags that ask for GPUs.
    pub fn gpu_flags(&self, gpu: &str) -> Vec<String> {
        let text = fill(&self.gpu, |_| Some(gpu.to_owned())).unwrap_or_default();
        shlex::split(&text).unwrap_or_default()
    }
}

/// The scheduler of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterKind {
    /// Slurm.
    Slurm,
    /// Any other, by its commands.
    Commands(Commands),
}

/// Commands of a scheduler, each as a list of words with placeholders.
#[derive(Clone, Debug, PartialEq)]
pub struct Commands {
    /// Submits a job; see [`SUBMIT`].
    pub submit: Vec<String>,
    /// Lists the user's jobs.
    pub status: Vec<String>,
    /// Cancels a job; see [`CANCEL`].
    pub cancel: Vec<String>,
    /// Name of the variable with the number of a task, such as `SGE_TASK_ID`.
    pub index: String,
    /// The number of the first task: 0 or 1.
    pub first_index: usize,
}

/// A request for one task; what it leaves out is found elsewhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    /// The time limit.
    pub time: Option<Duration>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU threads, at least 1.
    pub threads: Option<usize>,
    /// GPUs as the scheduler names them, such as `1` or `a100:2`; `0` for none.
    pub gpu: Option<String>,
}

/// Reads the cluster of a project; `None` if its file has no such section.
///
/// Errors: everything that is wrong with the section, with locations.
pub fn cluster(root: &Path) -> Result<Option<Cluster>, SpecError> {
    let path = root.join(PROJECT_FILE);
    if !path.exists() {
        return Ok(None);
    }
    project_file(&path, |file, reader| parse::parse(file.get("cluster")?, root, reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Cluster>, String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join(PROJECT_FILE), text).expect("the folder is writable");
        let shown = dir.path().join(PROJECT_FILE).display().to_string();
        let short = |line: &str| line.chars().take(100).collect::<String>().trim_end().to_owned() + "\n";
        cluster(dir.path()).map_err(|error| error.to_string().replace(&shown, "FILE").lines().map(short).collect())
    }

    #[test]
    fn section_is_read_as_written() {
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("[store]\nmax_size = \"2 GB\"\n"), Ok(None));
        let least = read("[cluster]\nkind = \"slurm\"\n").expect("it is right").expect("it is there");
        assert_eq!((&least.kind, least.gpu.as_str()), (&ClusterKind::Slurm, "--gres=gpu:{gpu}"));
        assert_eq!((least.defaults, least.kinds, least.program), (Ask::default(), None, None));
        let text = "\
[cluster]
kind = \"slurm\"
partition = \"cpu\"
flags = \"--constraint=ib '--comment=a b'\"
gpu = \"--gpus={gpu}\"
setup = [\"module load cuda\"]
program = \"/opt/orchestrate\"
kinds = [\"train\"]
max_array = 500
time = \"4h\"
max_time = \"2 days\"
max_memory = \"64 GB\"
[cluster.stages.train]
memory = \"16 GB\"
threads = 8
gpu = 1
[cluster.pilot]
gpu = \"a100:2\"
";
        let cluster = read(text).expect("it is right").expect("it is there");
        let hour = Duration::from_secs(3600);
        assert_eq!(cluster.flags, ["--constraint=ib", "--comment=a b"]);
        assert_eq!((cluster.gpu.as_str(), cluster.max_array), ("--gpus={gpu}", Some(500)));
        assert_eq!((cluster.defaults.time, cluster.max_time), (Some(4 * hour), Some(48 * hour)));
        let gpu = |count: &str| Some(count.to_owned());
        let train = Ask { memory_bytes: Some(16_000_000_000), threads: Some(8), gpu: gpu("1"), time: None };
        assert_eq!(cluster.stages["train"], train);
        assert_eq!(cluster.pilot, Ask { gpu: gpu("a100:2"), ..Ask::default() });
        assert_eq!(cluster.program, Some("/opt/orchestrate".into()));
    }

    #[test]
    fn commands_are_texts_split_like_a_shell_does_or_lists_of_words() {
        let text = "\
[cluster]
kind = \"commands\"
submit = \"qsub -N {name} -t 1-{tasks} -o '{output}' -l h_vmem={memory_mb}M {gpu} {script}\"
status = [\"qstat\", \"-u\", \"me and you\"]
cancel = \"qdel {job}\"
index = \"SGE_TASK_ID\"
first_index = 1
gpu = \"-l gpu={gpu}\"
";
        let cluster = read(text).expect("it is right").expect("it is there");
        let ClusterKind::Commands(commands) = cluster.kind else { panic!("these are commands") };
        assert_eq!(commands.submit[..6], ["qsub", "-N", "{name}", "-t", "1-{tasks}", "-o"]);
        assert_eq!((commands.status[2].as_str(), commands.first_index), ("me and you", 1));
        assert_eq!(cluster.gpu, "-l gpu={gpu}");
    }

    #[test]
    fn all_mistakes_are_reported_with_their_locations() {
        let text = "\
[cluster]
kind = \"slurn\"
partion = \"gpu\"
gpu = \"--gpus={gpus}\"
flags = \"--a 'b\"
max_array = 0
time = \"4 hours\"
memory = 4
submit = \"qsub\"
[cluster.stages.\"a b\"]
[cluster.stages.train]
tiem = \"2h\"
gpu = \"one gpu\"
[cluster.pilot]
threads = 0
";
        insta::assert_snapshot!(read(text).unwrap_err(), @r#"
        FILE:2:8: there is no kind of cluster `slurn`
          = kinds: slurm, commands
          help: did you mean `slurm`?
        FILE:3:1: unknown field `partion` in `cluster`
          = fields: kind, gpu, setup, program, kinds, max_jobs, max_array, time, memory, threads, max_time,
          help: did you mean `partition`?
        FILE:4:7: `gpu` has the placeholder `{gpus}`, which stands for nothing
          = placeholders: gpu
          help: did you mean `gpu`?
        FILE:5:9: `flags` opens a quote that it does not close, or ends with a backslash
        FILE:6:13: `max_array` is 0, but must be at least 1 and at most 1048576
        FILE:7:8: `time`: `4 hours` is not a duration; write a number and a unit, for example "90s", "2h" or
        FILE:8:10: `memory` must be a text, found the number 4
        FILE:10:17: stage name `a b` has characters that node names cannot hold
          help: use letters, digits, `-` and `_`
        FILE:12:1: unknown field `tiem` in `cluster.stages.train`
          = fields: time, memory, threads, gpu
          help: did you mean `time`?
        FILE:13:7: `gpu`: "one gpu" cannot be a number of GPUs
          help: write a number, or a type and a number as the cluster has them: "a100:2"
        FILE:15:11: `threads` is 0, but must be at least 1 and at most 65536
        "#);
    }

    #[test]
    fn mistakes_in_commands_are_reported_with_their_locations() {
        let text = "\
[cluster]
kind = \"commands\"
submit = \"qsub {tasks} {memory}\"
status = \"qstat {job}\"
cancel = []
index = \"SGE TASK\"
first_index = 2
partition = \"cpu\"
max_memory = \"1 GB\"
time = \"2h\"
max_time = \"1h\"
[cluster.stages.train]
memory = \"2 GB\"
";
        insta::assert_snapshot!(read(text).unwrap_err(), @r#"
        FILE:3:10: `submit` has the placeholder `{memory}`, which stands for nothing
          = placeholders: name, tasks, first, last, at_once, script, output, threads, memory_mb, minutes, ho
          help: did you mean `memory_mb`?
        FILE:4:10: `status` has the placeholder `{job}`, which stands for nothing
          = placeholders: none
        FILE:5:10: `cancel` names no program
        FILE:6:9: `index`: `SGE TASK` cannot name an environment variable
          help: write the one that has the number of a task, without `$`: SGE_TASK_ID, PBS_ARRAY_INDEX, LSB_
        FILE:7:15: `first_index` is 2, but must be at least 0 and at most 1
        FILE:8:1: `partition` belongs to a cluster of kind "slurm"
          help: write it into `submit`
        FILE:10:8: `time` is more than `max_time`, 1h 00m
          help: raise `max_time`, the most that is ever asked for
        FILE:13:10: `memory` is more than `max_memory`, 1 GB
          help: raise `max_memory`, the most that is ever asked for
        "#);
        insta::assert_snapshot!(read("[cluster]\nkind = \"commands\"\nsubmit = \"{script\"\n").unwrap_err(), @r#"
        FILE:1:1: a cluster of kind "commands" needs `status`, `cancel`, `index`, `first_index`
          help: for SGE: submit = "qsub -terse -cwd -N {name} -t 1-{tasks} -o {output} -j y {script}", statu
        FILE:3:10: `submit` has a single brace
          help: write `{{` and `}}` for braces
        "#);
        insta::assert_snapshot!(read("[cluster]\ntime = \"2h\"\n").unwrap_err(), @r#"
        FILE:1:1: `cluster` has no `kind`
          help: write kind = "slurm", or "commands" for another scheduler
        "#);
        let commands = |submit: &str, rest: &str| {
            let text = format!("[cluster]\nkind = \"commands\"\nsubmit = \"{submit} {{script}}\"\n{rest}");
            let rest = "status = \"s\"\ncancel = \"c {job}\"\nindex = \"I\"\nfirst_index = 1\n";
            let error = read(&text.replacen("]\n", &format!("]\n{rest}"), 1)).err().unwrap_or_default();
            error.lines().next().unwrap_or_default().replace("FILE:7:10: ", "")
        };
        for (submit, rest, problem) in [
            ("q", "", ""),
            ("q {gpu}", "gpu = \"-g {gpu}\"\n", ""),
            ("q {gpu}", "", ""),
            ("q {gpu}", "[cluster.stages.a]\ngpu = 1\n", "`submit` has `{gpu}`, but there are no flags `gpu` for it"),
            ("q -g={gpu}", "", "`{gpu}` in `submit` is a part of a word, but stands for whole flags"),
            ("q", "gpu = \"-g {gpu}\"\n", "`submit` has no `{gpu}`, so no job would get a GPU"),
            ("q", "[cluster.stages.a]\ngpu = 1\n", "`submit` has no `{gpu}`, so no job would get a GPU"),
        ] {
            assert_eq!(commands(submit, rest), problem, "{submit} {rest}");
        }
        let error = read("cluster = 3\n").unwrap_err();
        assert_eq!(error, "FILE:1:11: `cluster` must be a table, found the number 3\n");
    }
}
