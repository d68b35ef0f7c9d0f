//! `run --on`: the cluster of a project, and the question when a run there is stopped.

use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use orchestrate_engine::cluster::Leave;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::run::ClusterOptions;
use orchestrate_engine::spec::{self, Cluster, ClusterKind};
use orchestrate_networks::device::GPU_SUPPORT;

use crate::Kinds;
use crate::device::DeviceChoice;
use crate::outcome::UsageError;
use crate::terminal;

/// The place of a run's nodes: this machine, or the cluster of the project.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct OnArgs {
    /// Run heavy nodes as jobs on the project's cluster: `slurm` or `commands`, as `[cluster]` of orchestrate.toml
    /// declares it
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) on: Option<String>,
    /// Run light nodes there too, so that this machine only watches
    #[arg(long, requires = "on")]
    pub(crate) all: bool,
}

/// An example of the section, for people who have none.
const EXAMPLE: &str = "\
help: it stands in the project's root, for example:
[cluster]
kind = \"slurm\"
partition = \"cpu\"
time = \"4h\"";

impl OnArgs {
    /// Reads the cluster, if the run is to use it.
    pub(crate) fn cluster(&self, root: &Path) -> anyhow::Result<Option<Cluster>> {
        let Some(wanted) = &self.on else { return Ok(None) };
        let Some(cluster) = spec::cluster(root)? else {
            let file = root.join("orchestrate.toml");
            let (file, is_there) = (file.display(), file.is_file());
            let lack =
                if is_there { format!("{file} has no section [cluster]") } else { format!("there is no {file}") };
            let problem = format!("--on {wanted}: {lack}\n{EXAMPLE}");
            return Err(UsageError(problem).into());
        };
        let kind = kind(&cluster);
        if wanted != kind {
            let problem =
                format!("--on {wanted}: [cluster] of orchestrate.toml has the kind `{kind}`\nhelp: --on {kind}");
            return Err(UsageError(problem).into());
        }
        Ok(Some(cluster))
    }

    /// Warns of names in the section that nobody has.
    pub(crate) fn warn(&self, plan: &Plan, kinds: Kinds) -> anyhow::Result<()> {
        let warnings = self.cluster(&plan.spec.root)?.map(|cluster| cluster.check(plan, kinds));
        for warning in warnings.into_iter().flatten() {
            terminal::complain(&format!("warning: orchestrate.toml: {warning}\n"));
        }
        Ok(())
    }

    /// Returns the cluster as a run needs it.
    pub(crate) fn options(&self, root: &Path, device: &DeviceChoice) -> anyhow::Result<Option<ClusterOptions>> {
        let Some(cluster) = self.cluster(root)? else { return Ok(None) };
        Ok(Some(ClusterOptions {
            cluster,
            all: self.all,
            gpus: GPU_SUPPORT && *device != DeviceChoice::Cpu,
            program: this_program()?,
            is_to_cancel: is_to_cancel(),
        }))
    }
}

/// The path of this program, which jobs are to run.
pub(super) fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot tell the path of this program")
}

/// The word for the kind of a cluster.
pub(crate) fn kind(cluster: &Cluster) -> &'static str {
    match cluster.kind {
        ClusterKind::Slurm => "slurm",
        ClusterKind::Commands(_) => "commands",
    }
}

/// Asks people on a terminal whether to cancel; elsewhere tasks are left running.
pub(crate) fn is_to_cancel() -> Leave {
    Arc::new(|tasks| {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return false;
        }
        let tasks = terminal::count(tasks, "submitted task");
        terminal::complain(&format!("{tasks}: leave running, or cancel? [L/c] (Ctrl-C leaves) "));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "c" | "cancel")
    })
}
