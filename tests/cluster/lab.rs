//! A project whose heavy nodes go to a cluster, and what can be seen of them there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) use crate::sandbox::signal;
use crate::sandbox::{Run, Said, Sandbox, wait_at_most};
use crate::slurm::{Cluster, Task};

/// Small tasks, so that all tests find room on the nodes.
const CONFIG: &str = "[cluster]\nkind = \"slurm\"\nmemory = \"100MB\"\nthreads = 1\ntime = \"10m\"\n";

/// Notes who computes a node: its label, the job and the index of its task, and the node of the cluster. A program of a
/// `command` stage sees nothing of Slurm, so they come from the processes above it.
const NOTE: &str = r#"#!/bin/sh
pid=$PPID
wanted='SLURM_ARRAY_(JOB|TASK)_ID|SLURMD_NODENAME|JOB_ID|(SGE|ANY)_TASK_ID'
while [ "$pid" -gt 1 ]; do
  found=$(tr '\0' '\n' < /proc/$pid/environ | grep -E "^($wanted)=")
  [ -z "$found" ] || break
  pid=$(sed 's/.*) //' /proc/$pid/stat | cut -d ' ' -f 2)
done
of() { echo "$found" | sed -En "s/^($1)=//p"; }
echo "$1 $(of 'SLURM_ARRAY_JOB_ID|JOB_ID')_$(of '[A-Z_]*TASK_ID') $(of SLURMD_NODENAME)" >> "${0%/bin/note}/worked"
"#;

/// Waits until the test says go. It ends by itself, should the test be killed.
pub(crate) const WAITS: &str = "for i in $(seq 900); do [ ! -e LAB/go ] || break; sleep 0.1; done";

/// A project, and the cluster for its heavy nodes.
pub(crate) struct Lab<'a> {
    /// `None` for one of another queueing system.
    cluster: Option<&'a Cluster>,
    /// Environment variables that its commands need.
    variables: Vec<(&'static str, OsString)>,
    pub(crate) sandbox: Sandbox,
}

/// The computation of a node, as it noted itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Worked {
    pub(crate) label: String,
    /// Id of the job and index of the task, as `12_0`; `_` outside of a job.
    pub(crate) task: String,
    /// Node of the cluster.
    pub(crate) node: String,
}

/// A study of one heavy stage, `make`, for some letters, whose script has the letter as `$1` and its folder as `$2`.
pub(crate) fn letters(letters: &[&str], script: &str) -> String {
    format!(
        "[experiment]\nname = \"letters\"\n\n[axes]\nletter = {letters:?}\n\n[stages.make]\nkind = \"command\"\n\
         over = [\"letter\"]\n\
         argv = [\"sh\", \"-ec\", '''LAB/bin/note $1; {script}\necho $1 > $2/text''', \"sh\", \"{{letter}}\", \
         \"{{out}}\"]\n"
    )
}

impl<'a> Lab<'a> {
    /// Makes a project with more lines below `[cluster]`, and a spec in which `LAB` stands for its folder.
    pub(crate) fn new(cluster: &'a Cluster, config: &str, spec: &str) -> Self {
        let variables = vec![("SLURM_CONF", cluster.config().into_os_string())];
        let lab = Self { cluster: Some(cluster), variables, sandbox: Sandbox::new() };
        lab.configure(config);
        lab.spec(spec);
        lab.program("note", NOTE);
        lab
    }

    /// Makes a project for another queueing system.
    pub(crate) fn of_commands(variables: Vec<(&'static str, OsString)>, config: &str, spec: &str) -> Self {
        let lab = Self { cluster: None, variables, sandbox: Sandbox::new() };
        lab.sandbox.write("orchestrate.toml", lab.here(config));
        lab.spec(spec);
        lab.program("note", NOTE);
        lab
    }

    fn cluster(&self) -> &Cluster {
        self.cluster.expect("the queueing system is Slurm")
    }

    pub(crate) fn spec(&self, spec: &str) {
        self.sandbox.write("spec.toml", self.here(spec));
    }

    /// Writes `orchestrate.toml`; lines of `config` replace the usual ones of their names.
    pub(crate) fn configure(&self, config: &str) {
        let is_given = |usual: &&str| {
            let name = usual.split(" = ").next().expect("a split has a part");
            usual.contains(" = ") && config.lines().any(|line| line.split(" = ").next() == Some(name))
        };
        let usual: String = CONFIG.lines().filter(|line| !is_given(line)).map(|line| format!("{line}\n")).collect();
        self.sandbox.write("orchestrate.toml", usual + &self.here(config));
    }

    fn here(&self, text: &str) -> String {
        text.replace("LAB", self.dir().to_str().expect("temporary folders have plain names"))
    }

    pub(crate) fn dir(&self) -> std::path::PathBuf {
        // Without a slash at its end.
        self.sandbox.path("spec.toml").parent().expect("a file has a folder").to_owned()
    }

    /// Writes a program that is found before any other of its name; `REAL` in it is the one that it hides.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        let real = std::env::split_paths(&dirs).map(|dir| dir.join(name)).find(|path| path.exists());
        let script = self.here(script).replace("REAL", &real.unwrap_or_default().display().to_string());
        let path = format!("bin/{name}");
        self.sandbox.write(&path, script);
        fs::set_permissions(self.sandbox.path(&path), fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    /// The program, as on a login node of the cluster.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(args);
        let mut dirs = vec![self.sandbox.path("bin")];
        dirs.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        command.env("PATH", std::env::join_paths(dirs).expect("paths have no colons"));
        // A head that is dead is known to be so after seconds.
        command.env("ORCHESTRATE_HEARTBEAT_MS", "250");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the program to its end.
    pub(crate) fn orchestrate(&self, args: &[&str]) -> Said {
        Said::from(self.command(args).output().expect("the program starts"), &self.dir())
    }

    /// Starts a run on the cluster.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let kind = if self.cluster.is_some() { "slurm" } else { "commands" };
        let mut all = vec!["run", "spec.toml", "--json", "--on", kind];
        all.extend(args);
        self.start_any(&all)
    }

    pub(crate) fn start_any(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Waits for the end of a run.
    pub(crate) fn end(&self, head: Child) -> Run {
        Run::from(Said::from(head.wait_with_output().expect("it is a child"), &self.dir()))
    }

    /// Runs `spec.toml` on the cluster.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.end(self.start(args))
    }

    /// Runs `spec.toml` on the cluster, which must succeed.
    pub(crate) fn run_well(&self, args: &[&str]) -> Run {
        well(self.run(args))
    }

    /// All computations so far, in order.
    pub(crate) fn worked(&self) -> Vec<Worked> {
        let text = fs::read_to_string(self.sandbox.path("worked")).unwrap_or_default();
        let worked = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            let mut next = || words.next().unwrap_or_default();
            Worked { label: next(), task: next(), node: next() }
        };
        text.lines().map(worked).collect()
    }

    /// The tasks of this project that Slurm knows.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        self.cluster().tasks(&self.dir())
    }

    /// The names of the jobs of this project, by id.
    pub(crate) fn jobs(&self) -> BTreeMap<String, String> {
        self.tasks().into_iter().map(|task| (task.job, task.name)).collect()
    }

    /// Waits until a task of this project fulfils a condition.
    pub(crate) fn wait_for_task(&self, what: &str, is_it: impl Fn(&Task) -> bool) -> Task {
        self.cluster().wait(&self.dir(), what, is_it)
    }

    /// Checks that each of these labels was computed once, by a task that Slurm knows.
    pub(crate) fn assert_each_once(&self, labels: &[&str]) {
        let worked = self.worked();
        let mut found: Vec<_> = worked.iter().map(|worked| worked.label.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, labels, "{worked:#?}");
        self.assert_known();
    }

    /// Checks that Slurm knows the tasks of all computations.
    pub(crate) fn assert_known(&self) {
        let known: BTreeSet<_> = self.tasks().iter().map(Task::id).collect();
        for worked in self.worked() {
            assert!(known.contains(&worked.task), "Slurm knows nothing of {worked:?}: {known:?}");
        }
    }

    /// Waits for a number of computations to begin.
    pub(crate) fn wait_for_work(&self, count: usize) {
        wait_for(&format!("{count} computations"), || self.worked().len() >= count);
    }
}

impl Drop for Lab<'_> {
    /// Jobs must not outlive their project.
    fn drop(&mut self) {
        let Some(cluster) = self.cluster.filter(|cluster| cluster.answers()) else { return };
        let jobs: Vec<_> = self.jobs().into_keys().collect();
        let ids = jobs.iter().map(String::as_str);
        let line: Vec<_> = ["scancel"].into_iter().chain(ids).collect();
        let _ = Command::new(line[0]).args(&line[1..]).env("SLURM_CONF", cluster.config()).output();
    }
}

/// Checks that a run succeeded.
pub(crate) fn well(run: Run) -> Run {
    assert_eq!(run.said.code, Some(0), "{}\n{}", run.said.out, run.said.err);
    run
}

pub(crate) fn wait_for(what: &str, done: impl Fn() -> bool) {
    wait_at_most(Duration::from_secs(60), what, done);
}
