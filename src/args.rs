//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::device::Asked;

/// Runs experiments that are declared in TOML: only what changed, in parallel, every number traceable.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a spec: what is cached is a hit, the rest runs in parallel
    Run(RunArgs),
    /// Find the best value of an axis: runs what its scores need, and draws them
    Sweep(SweepArgs),
    /// Show what a run would do, and why, without running or writing anything
    Plan(PlanArgs),
    /// Say why a node would run: the one value, file or upstream output that differs
    Explain(ExplainArgs),
    /// Write the report of a study, with times and where each number comes from
    Report(ReportArgs),
    /// Write what a node gave as files for other programs: PNG, NPY, safetensors, CSV
    #[command(subcommand)]
    Export(ExportCommand),
    /// Show what the latest run of a node wrote to its log
    Logs(LogsArgs),
    /// List, show, verify, repair, limit or pin what the store holds
    #[command(subcommand)]
    Store(StoreCommand),
    /// Fetch a published data set
    #[command(subcommand)]
    Data(DataCommand),
    /// List the kinds of stages with their params, inputs and outputs
    Kinds,
    /// Run one batch for an engine (reads its request from standard input)
    #[command(hide = true)]
    Worker,
}

/// A spec with its overrides.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// The experiment's TOML file
    pub(crate) spec: PathBuf,
    /// Override a value, for example `stages.train.epochs=3` or 'axes.threshold=[180, 200]' (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Where artifacts lie.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Folder of the store [env: ORCHESTRATE_STORE] [default: .orchestrate beside the project's root]
    #[arg(long = "store", value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl StoreArgs {
    /// The folder that was named, here or by `ORCHESTRATE_STORE`; a variable that is empty names none, as where it is not set.
    pub(crate) fn dir(&self) -> Option<PathBuf> {
        // Not by clap, which takes an empty variable for an argument without a value.
        let of_environment = || std::env::var_os("ORCHESTRATE_STORE").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        self.dir.clone().or_else(of_environment)
    }
}

/// Which nodes.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// Only these nodes and what they need: STAGE or 'STAGE[AXIS=VALUE,…]' (repeatable)
    #[arg(long, value_name = "NODES")]
    pub(crate) only: Vec<String>,
    /// Only this stage and what it needs
    #[arg(long, value_name = "STAGE")]
    pub(crate) until: Option<String>,
    /// Run these nodes even where the store has their results (repeatable)
    #[arg(long, value_name = "NODES")]
    pub(crate) force: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    /// One JSON object a line instead of text
    ///
    /// What a line is about stands in `reason`:
    ///
    /// node: how a node ended. `stage`, `point`, `status` (hit, ran, failed, blocked or cancelled), `key`, `output` (null without one; an
    /// object by name where there are several), `elapsed_ms`; `cause` and `log` of one that failed; `by`, which names the node that failed,
    /// of one that is blocked.
    ///
    /// warning: `message`, and `at` where it is about a place in the spec.
    ///
    /// error: the same, of what is wrong other than nodes: the spec, the arguments, the store, what is published.
    ///
    /// summary: `nodes`, `hit`, `ran`, `failed`, `blocked`, `cancelled`, `elapsed_ms`; once, when the nodes have ended.
    ///
    /// A later version may add reasons and fields.
    #[arg(long)]
    pub(crate) json: bool,
}

/// With what nodes run.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// CPU threads to use [default: all cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Where networks compute: auto (GPUs where there are any), cpu, cuda (all GPUs), or one such as cuda:1
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub(crate) device: Asked,
    /// Stop at the first node that fails
    #[arg(long)]
    pub(crate) fail_fast: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// An axis and the values that replace its own: threshold=0..=255, threshold=0..=255:5 or threshold=200,225,q90,otsu
    #[arg(value_name = "AXIS=VALUES")]
    pub(crate) sweep: String,
    /// What is to be large
    #[arg(long, default_value = "iou", value_parser = orchestrate_stages::pages::sweep::METRICS)]
    pub(crate) metric: String,
    /// Which images are scored: those whose class was predicted correctly, or all [default: as in the spec]
    #[arg(long, value_parser = ["correct", "all"])]
    pub(crate) images: Option<String>,
    /// For each fold, also choose the value on the other folds, and say what it scores on the one that was left out
    #[arg(long)]
    pub(crate) nested: bool,
    /// Where to draw the metric against the axis, an SVG [default: results/EXPERIMENT/sweep-AXIS-METRIC.svg]
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    /// One JSON object with all scores instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// One line a node instead of one a stage
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// One JSON object a line instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The node, for example 'score[model=tiny,fold=3,threshold=200]', after its spec (default: that of the latest run)
    #[arg(num_args = 1..=2, required = true, value_name = "[SPEC] NODE")]
    pub(crate) target: Vec<String>,
    /// Override a value as in `run` (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Folder to write to [default: where the stage publishes, else results/EXPERIMENT/STAGE]
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Masks of a `threshold`, `score`, `predict-masks` or `dataset` node: one PNG an image, 0 or 255
    Masks(ExportArgs),
    /// Heatmaps of a `cam`, `threshold` or `score` node: grey levels 0 to 255 at the network's input size
    Heatmaps {
        /// The format: npy (f32, [height, width]) or png (8-bit grey)
        #[arg(long, default_value = "npy", value_parser = ["npy", "png"])]
        format: String,
        #[command(flatten)]
        args: ExportArgs,
    },
    /// Weights of a training: safetensors, and model.json beside them
    Weights(ExportArgs),
    /// A table as CSV
    Table(ExportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The node or nodes, for example 'score[model=tiny,fold=3,threshold=200]', after the spec (default: that of the latest run)
    #[arg(num_args = 1..=2, required = true, value_name = "[SPEC] NODE")]
    pub(crate) target: Vec<String>,
    /// Folder to write to; several nodes get a folder each below it
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Replace files that are there and differ
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Override a value as in `run` (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The node, for example 'train[model=tiny,fold=3]'
    pub(crate) node: String,
    /// Only the last lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tail: Option<u64>,
    /// As the program wrote it, instead of with control characters shown as \u{1b}
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Cheng's brain tumour set (figshare 1512427, CC BY 4.0): 3,064 slices of 233 patients, some 900 MB
    ///
    /// Fetches four archives and cvind.mat, unpacks them, compares the number of slices of each class and of patients with
    /// what was published, and puts 1.mat to 3064.mat into DIR. A fetch that was stopped goes on where it was; one
    /// that is complete only compares the files with DIR/checksums.json.
    BrainTumor(FetchArgs),
}

/// Where a data set comes from and goes to.
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Folder for the data; made if it is missing
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// A mirror that answers as figshare's API does: URL/articles/1512427 lists name, size, download_url (perhaps relative to
    /// URL) and computed_md5 of each file
    #[arg(long, value_name = "URL", default_value = orchestrate_fetch::FIGSHARE, value_parser = address)]
    pub(crate) from: String,
    /// Keep the archives in DIR/download after they were unpacked
    #[arg(long)]
    pub(crate) keep_archives: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// List what is recorded: node, age, size, duration
    Ls(StoreArgs),
    /// Show one result: outputs, files, and the manifest that its key is the digest of
    Show {
        /// The key, or the beginning of one
        key: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Read everything, and name and quarantine what is corrupt
    Verify(StoreArgs),
    /// Mend what verify names, so that the next run makes again what is lost and only that; nobody else may use the store
    Repair(StoreArgs),
    /// Delete what was not used for long, or the least recently used until the rest fits
    ///
    /// Deletes no result that is pinned or that a run needs, nor what such a result was made from. Logs of runs count and go as results
    /// do. Without limits here those in
    /// `orchestrate.toml` hold: `[store]` with `max_size = "200 GB"`, `max_age = "90 days"`. With such limits each
    /// day's first run collects by itself, and says so.
    Gc {
        /// Keep at most this much, for example 20GB
        #[arg(long, value_name = "SIZE", value_parser = size)]
        max_size: Option<u64>,
        /// Delete what was last used longer ago, for example 30d
        #[arg(long, value_name = "AGE", value_parser = age)]
        max_age: Option<std::time::Duration>,
        /// Say what would be deleted, and what recomputing it would cost, and delete nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Keep the results of a run or a spec whatever the limits, until they are unpinned
    ///
    /// A spec's pin takes in what later runs of it, with the same overrides, use and make; pinning it again lets go of what it
    /// no longer names.
    Pin(PinArgs),
    /// Remove a pin; its results stay until a collection deletes them
    Unpin {
        /// The pin
        name: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List the pins
    Pins(StoreArgs),
}

/// What is pinned.
#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// A run, such as 20260131-174502-318-9f02ac (folders of `runs` in the store), or a spec
    #[arg(value_name = "RUN|SPEC")]
    pub(crate) what: String,
    /// The pin's name; a pin of that name is replaced [default: the run, or the experiment's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Override a value of the spec as in `run` (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

fn address(text: &str) -> Result<String, String> {
    if text.starts_with("https://") || text.starts_with("http://") {
        Ok(text.to_owned())
    } else {
        Err("an address that begins with https:// or http:// is expected".to_owned())
    }
}

fn size(text: &str) -> Result<u64, String> {
    orchestrate_engine::resources::parse_size(text)
}

fn age(text: &str) -> Result<std::time::Duration, String> {
    orchestrate_engine::resources::parse_duration(text)
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
