//! The arguments of the command line; their doc comments are the help text.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use orchestrate_engine::resources::parse_duration;

use crate::command::attach::AttachArgs;
use crate::command::cancel::CancelArgs;
use crate::command::cluster::OnArgs;
use crate::command::devices::DevicesArgs;
use crate::command::diff::DiffArgs;
use crate::command::graph::GraphArgs;
use crate::command::guessed::ColumnArgs;
use crate::command::kinds::KindsArgs;
use crate::command::man::ManArgs;
use crate::command::new::NewArgs;
use crate::command::path::PathArgs;
use crate::command::remote::MoveArgs;
use crate::command::runs::RunsArgs;
use crate::command::schema::SchemaArgs;
use crate::command::show::ShowArgs;
use crate::command::task::TaskArgs;
use crate::command::verify_results::VerifyResultsArgs;
use crate::complete::CompletionsArgs;
use crate::device::DeviceChoice;
use crate::overrides::Overrides;

/// Runs experiments declared in TOML: only what changed, in parallel, every number traceable.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  orchestrate run experiments/quickstart.toml
  orchestrate explain experiments/quickstart.toml 'cam[model=tiny,fold=3]'")]
pub(crate) struct Cli {
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a spec: cached nodes are hits, the others run in parallel
    Run(RunArgs),
    /// Find the best value of an axis: run its scores, and draw them
    Sweep(SweepArgs),
    /// Show what a run would do, and why, without running or writing anything
    Plan(PlanArgs),
    /// Draw the stages or nodes of a spec, with hits and misses: SVG, Mermaid or dot
    Graph(GraphArgs),
    /// Start a study: a spec that runs at once, on drawn slices or on a folder of images
    New(NewArgs),
    /// Explain why a node would run: the value, file or upstream output that differs
    #[command(after_help = "\
Examples:
  orchestrate explain experiments/quickstart.toml 'cam[model=tiny,fold=3]'
  orchestrate explain 'cam[model=tiny,fold=3]' --set stages.cam.batch_size=8")]
    Explain(NodeArgs),
    /// Write the report of a study, with times and the provenance of each number
    Report(ReportArgs),
    /// Write the outputs of a node as files for other programs: PNG, NPY, safetensors, CSV
    #[command(subcommand)]
    #[command(after_help = "\
Examples:
  orchestrate export table experiments/quickstart.toml iou --to tables
  orchestrate export masks images --to masks")]
    Export(ExportCommand),
    Path(PathArgs),
    Runs(RunsArgs),
    Show(ShowArgs),
    Diff(DiffArgs),
    VerifyResults(VerifyResultsArgs),
    /// Show a node's log from its latest run
    Logs(LogsArgs),
    /// List, show, verify, repair, limit, forget, pin or sign the results in the store
    #[command(subcommand)]
    #[command(after_help = "\
Examples:
  orchestrate store verify
  orchestrate store gc --max-size 20GB --dry-run")]
    Store(StoreCommand),
    /// Check a data set, or fetch a published one
    #[command(subcommand)]
    #[command(after_help = "\
Examples:
  orchestrate data check experiments/quickstart.toml
  orchestrate data brain-tumor --to data/brain-tumor")]
    Data(DataCommand),
    /// Describe the kinds of stages: params, inputs, outputs and their columns
    Kinds(KindsArgs),
    /// List the devices for networks: the CPU and GPUs, with drivers, memory and precisions
    Devices(DevicesArgs),
    /// Print the form of a spec as JSON Schema, for editors
    Schema(SchemaArgs),
    /// Print the script that completes commands, specs, stages and nodes in a shell
    Completions(CompletionsArgs),
    /// Write the manual pages of all commands
    Man(ManArgs),
    Attach(AttachArgs),
    Cancel(CancelArgs),
    #[command(hide = true)]
    Task(TaskArgs),
    /// Run one batch for an engine (reads its request from standard input)
    #[command(hide = true)]
    Worker,
}

/// A spec with its overrides.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// The experiment's TOML file; commands that only show results also take a run, such as `latest`
    #[arg(allow_negative_numbers = true)]
    pub(crate) spec: PathBuf,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Nodes with an optional spec.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node or nodes, for example 'score[model=tiny,fold=3,threshold=200]', after the spec (default: that of the
    /// latest run)
    #[arg(num_args = 1..=2, required = true, value_name = "[SPEC|RUN] NODE", allow_negative_numbers = true)]
    pub(crate) target: Vec<String>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Arguments of `store ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orchestrate store ls
  orchestrate store ls experiments/quickstart.toml --sort size")]
pub(crate) struct LsArgs {
    /// Only the results that a run of this spec would find, or those of a stage or kind of this name
    #[arg(value_name = "SPEC|STAGE|KIND")]
    pub(crate) what: Option<String>,
    /// Order of the list; the greatest come last
    #[arg(long, value_enum, default_value_t = Order::Used)]
    pub(crate) sort: Order,
    /// Override a value of the spec as in `run` (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Order of a list of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// By last use
    Used,
    /// By the bytes of outputs
    Size,
    /// By run time
    Took,
    /// By name
    Node,
}

/// The folder of the store.
#[derive(Clone, Debug, Args)]
pub(crate) struct StoreArgs {
    /// Folder of the store [env: ORCHESTRATE_STORE] [default: .orchestrate in the project's root]
    #[arg(long = "store", value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl StoreArgs {
    /// The same as `--store DIR`.
    pub(crate) fn at(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    /// The folder from `--store` or `ORCHESTRATE_STORE`. An empty variable counts as unset.
    pub(crate) fn dir(&self) -> Option<PathBuf> {
        // Not read by clap, as clap takes an empty variable for an argument without a value.
        let of_environment = || std::env::var_os("ORCHESTRATE_STORE").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        self.dir.clone().or_else(of_environment)
    }
}

/// The nodes of a run.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// Only these nodes and their inputs: STAGE or 'STAGE[AXIS=VALUE,…]' (repeatable)
    #[arg(long, value_name = "NODES")]
    pub(crate) only: Vec<String>,
    /// Only this stage and its inputs
    #[arg(long, value_name = "STAGE")]
    pub(crate) until: Option<String>,
    /// Run these nodes even if the store has their results (repeatable)
    #[arg(long, value_name = "NODES")]
    pub(crate) force: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrate run experiments/quickstart.toml
  orchestrate run experiments/quickstart.toml --set stages.cam.batch_size=8")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Publish the results of a grid too, in a folder a stage below this one
    #[arg(long, value_name = "DIR", requires = "grid")]
    pub(crate) publish: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    /// Run the whole engine in one job of the cluster, and in another one after its deadline
    #[arg(long, requires = "on", conflicts_with = "all")]
    pub(crate) pilot: bool,
    /// One JSON object a line instead of text
    ///
    /// The field `reason` says what a line is:
    ///
    /// node: the end of a node. `stage`, `point`, `status` (hit, ran, failed, blocked or cancelled), `key`, `output`
    /// (null if there is none; an object by name if there are several), `elapsed_ms`. A failed node has `cause` and
    /// `log`; a blocked node has `by`, the name of the failed node.
    ///
    /// job: tasks on a cluster. `job`, its id; `name`; `tasks`, their number; `adopted`, true if an earlier run had
    /// submitted it.
    ///
    /// warning: `message`, and `at` if it has a location in the spec.
    ///
    /// error: the same, for errors other than failed nodes: of the spec, the arguments, the store, or published files.
    ///
    /// summary: `nodes`, `hit`, `ran`, `failed`, `blocked`, `cancelled`, `elapsed_ms`; once, after all nodes have
    /// ended.
    ///
    /// efficiency: of a stage on a cluster, after the summary. `stage`; `asked`: `threads`, `memory_bytes`, `time_ms`,
    /// `gpu`; `used`: `batches`, `peak_bytes`, `batch_ms` (the longest), `cpu_ms`, `wall_ms`; `fitting`: the numbers
    /// that would have fitted better, else null.
    ///
    /// text: `node`, `text`: a table, an audit, or a warning that a node has; after the summary, on hits too.
    ///
    /// A later version may add reasons and fields.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Threads, devices and the reaction to failures.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// CPU threads to use [default: all cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// The device for networks: auto (GPUs if there are any), cpu, all of cuda or wgpu, or some: cuda:0,cuda:1
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub(crate) device: DeviceChoice,
    /// Stop at the first failed node
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Stop in order before so much time is over, as a job of a cluster must: 90m, 4h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) deadline: Option<Duration>,
    #[command(flatten)]
    pub(crate) on: OnArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrate sweep experiments/quickstart.toml threshold=0..=255:5
  orchestrate sweep experiments/quickstart.toml threshold=200,q90 --nested")]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// An axis and the values that replace its own: threshold=0..=255, threshold=0..=255:5 or
    /// threshold=200,225,q90,otsu. Or a param by its path: stages.train.learning_rate=1e-3,1e-4
    #[arg(value_name = "AXIS|PARAM=VALUES")]
    pub(crate) sweep: String,
    /// The metric to maximize
    #[arg(long, default_value = "iou", value_parser = orchestrate_stages::pages::sweep::METRICS)]
    pub(crate) metric: String,
    /// The images to score: those whose class was predicted correctly, or all [default: as in the spec]
    #[arg(long, value_parser = ["correct", "all"])]
    pub(crate) images: Option<String>,
    /// Also choose the value for each fold on the other folds, and score it on the fold left out
    #[arg(long)]
    pub(crate) nested: bool,
    /// Chart of the metric against the axis, an SVG [default: results/EXPERIMENT/sweep-AXIS-METRIC.svg]
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: HowArgs,
    /// One JSON object with all scores instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrate plan experiments/quickstart.toml
  orchestrate plan experiments/quickstart.toml --until score --verbose
  orchestrate plan experiments/quickstart.toml --on slurm")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    #[command(flatten)]
    pub(crate) on: OnArgs,
    /// One line a node instead of one a stage
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// One JSON object a line instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrate report experiments/quickstart.toml
  orchestrate report experiments/quickstart.toml --to page")]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Folder to write to [default: the published folder of the stage, else results/EXPERIMENT/STAGE]
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// Masks of a `threshold`, `score`, `predict-masks` or `dataset` node: a PNG for each image, 0 or 255
    #[command(after_help = "\
Examples:
  orchestrate export masks 'score[model=tiny,fold=3]' --to masks
  orchestrate export masks experiments/quickstart.toml images --to image-masks")]
    Masks(ExportArgs),
    /// Heatmaps of a `cam`, `threshold` or `score` node: grey levels 0 to 255 at the network's input size
    #[command(after_help = "\
Examples:
  orchestrate export heatmaps 'cam[model=tiny,fold=3]' --to maps
  orchestrate export heatmaps 'cam[model=tiny]' --to pictures --format png")]
    Heatmaps {
        /// The format: npy (f32, [height, width]) or png (8-bit grey)
        #[arg(long, default_value = "npy", value_parser = ["npy", "png"])]
        format: String,
        #[command(flatten)]
        args: ExportArgs,
    },
    /// Weights of a training: safetensors and model.json
    #[command(after_help = "\
Examples:
  orchestrate export weights experiments/quickstart.toml train --to weights
  orchestrate export weights 'train[model=tiny]' --to weights --overwrite")]
    Weights(ExportArgs),
    /// A table as CSV
    #[command(after_help = "\
Examples:
  orchestrate export table experiments/quickstart.toml iou --to tables
  orchestrate export table classification --to tables --overwrite")]
    Table(ExportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Folder to write to; several nodes get a folder each below it
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Replace existing files that differ
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// One JSON object a file a line: `node`, `image` (null for weights and tables), `file`
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrate logs 'train[model=tiny,fold=3]'
  orchestrate logs 'train[model=tiny,fold=3]' --tail 20 --follow")]
pub(crate) struct LogsArgs {
    /// The node, for example 'train[model=tiny,fold=3]'
    pub(crate) node: String,
    /// Only the last lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tail: Option<u64>,
    /// Go on until the node ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// As written, instead of with control characters escaped as \u{1b}
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Cheng's brain tumour set (figshare 1512427, CC BY 4.0): 3,064 slices of 233 patients, some 900 MB
    ///
    /// Fetches four archives and cvind.mat, unpacks them into DIR as 1.mat to 3064.mat, and compares the numbers of
    /// slices and patients with the reference values. A stopped fetch continues where it stopped; a complete one only
    /// compares the files with DIR/checksums.json.
    BrainTumor(FetchArgs),
    /// Audit a data set before anything runs: files, masks, patients, duplicates, and what is odd about them
    ///
    /// Exits with 2 if files cannot be used. Warnings do not change the exit code.
    Check(CheckArgs),
}

/// A data set to audit.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrate data check experiments/quickstart.toml
  orchestrate data check experiments/quickstart.toml --set experiment.seed=1")]
pub(crate) struct CheckArgs {
    /// A spec, of which every `dataset` is audited; a CSV file; or a folder: with labels.csv, with 1.mat and so on, or
    /// with a folder a class
    #[arg(value_name = "SPEC|DIR")]
    pub(crate) what: PathBuf,
    /// Override a value of the spec as in `run` (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten, next_help_heading = "Columns of a CSV file")]
    pub(crate) columns: ColumnArgs,
}

/// The address of a data set, and the folder for it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrate data brain-tumor --to data/brain-tumor
  orchestrate data brain-tumor --to data/brain-tumor --keep-archives")]
pub(crate) struct FetchArgs {
    /// Folder for the data; made if it is missing
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// A mirror with figshare's API: URL/articles/1512427 lists name, size, download_url (may be relative to URL) and
    /// computed_md5 of each file
    #[arg(long, value_name = "URL", default_value = orchestrate_fetch::FIGSHARE, value_parser = address)]
    pub(crate) from: String,
    /// Keep the archives in DIR/download after unpacking
    #[arg(long)]
    pub(crate) keep_archives: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Make a store, or share one with a group
    ///
    /// A run makes its store by itself; this is for one that is to be shared from the start.
    #[command(after_help = "\
Examples:
  orchestrate store init
  orchestrate store init --shared --store /data/lab/store")]
    Init {
        /// Let the group of the folder read and write everything, whatever the umask of those who run is. To choose the
        /// group, run `chgrp -R GROUP DIR` first
        #[arg(long)]
        shared: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List recorded results: node, age, size, duration
    Ls(LsArgs),
    /// Show one result: outputs, files, and the preimage of its key
    #[command(after_help = "\
Examples:
  orchestrate store show 3f9ac2
  orchestrate store show 3f9ac2 --store /data/lab/store")]
    Show {
        /// The key, or its beginning
        key: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Read everything, and report and quarantine corrupt files
    #[command(after_help = "\
Examples:
  orchestrate store verify
  orchestrate store verify --quick")]
    Verify {
        /// Check lengths, lists and index files alone; the time does not grow with what is stored
        #[arg(long)]
        quick: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Repair the damage that verify reports, so that the next run recomputes only lost results; nobody else may use
    /// the store
    #[command(after_help = "\
Examples:
  orchestrate store repair
  orchestrate store repair --store /data/lab/store")]
    Repair(StoreArgs),
    /// Delete results unused for long, or the least recently used until the rest fits
    ///
    /// Keeps pinned results, results that a run needs, and the results they were made from. Logs of runs count and are
    /// deleted like results. Without limits here, those in `orchestrate.toml` apply: `[store]` with `max_size = "200
    /// GB"`, `max_age = "90 days"`. With such limits each day's first run collects automatically, and reports it.
    #[command(after_help = "\
Examples:
  orchestrate store gc --max-size 20GB --dry-run
  orchestrate store gc --max-age 30d
  orchestrate store gc --remote --max-age 180d")]
    Gc {
        /// Keep at most this much, for example 20GB
        #[arg(long, value_name = "SIZE", value_parser = orchestrate_engine::resources::parse_size)]
        max_size: Option<u64>,
        /// Delete results unused for longer, for example 30d
        #[arg(long, value_name = "AGE", value_parser = orchestrate_engine::resources::parse_duration)]
        max_age: Option<std::time::Duration>,
        /// Collect in the remote of the project, not here: results uploaded longer ago than --max-age, and a day later
        /// their bytes. Pinned results stay
        #[arg(long, requires = "max_age", conflicts_with = "max_size")]
        remote: bool,
        /// Show the results that would be deleted, and the time to recompute them, and delete nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Upload results that the remote of the project lacks: of a run, a spec, or all
    ///
    /// A run uploads what it computes by itself if `[store.remote]` has `mode = "read-write"`. This is for what was
    /// there before, and for what was left.
    Push(MoveArgs),
    /// Read results of the remote of the project that the store lacks: of a run, a spec, or all
    ///
    /// A run reads what it needs by itself. This is for a machine that will have no network.
    Pull(MoveArgs),
    /// Remove an image or a patient: every result that was made of it, with its checkpoints and the logs of its runs
    ///
    /// For a consent that was withdrawn, or an image that must not be kept. Deletes pinned results too, and leaves no
    /// bytes of them in the store. Published files stay; they are listed, as are the commands to run again. Nobody else
    /// may use the store meanwhile.
    ///
    /// Remove the file from the data first, or the next run makes everything of it again.
    Forget(ForgetArgs),
    /// Keep the results of a run or a spec beyond all limits, until they are unpinned
    ///
    /// The pin of a spec also gets the results of its later runs with the same overrides. Pinning it again releases
    /// results that the spec no longer has.
    Pin(PinArgs),
    /// Remove a pin; its results stay until a collection deletes them
    #[command(after_help = "\
Examples:
  orchestrate store unpin submitted
  orchestrate store unpin 20260131-174502-318-9f02ac")]
    Unpin {
        /// The pin's name
        name: String,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List the pins
    #[command(after_help = "\
Examples:
  orchestrate store pins
  orchestrate store pins --store /data/lab/store")]
    Pins(StoreArgs),
    /// Make the private key with which this user signs results, and print its public key for `[store.trust]`
    ///
    /// The private key lies in ~/.config/orchestrate/key (XDG_CONFIG_HOME is respected, and ORCHESTRATE_KEY names
    /// another file), for its owner alone. A key is never overwritten. Whoever has one signs every result; a project
    /// that lists public keys believes no other results.
    #[command(after_help = "\
Examples:
  orchestrate store keygen
  orchestrate store keygen --show")]
    Keygen {
        /// Only print the public key of the private key that is there
        #[arg(long)]
        show: bool,
    },
}

/// The sources to forget.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrate store forget --patient 17 --dry-run
  orchestrate store forget data/images/0001.png --dry-run")]
pub(crate) struct ForgetArgs {
    /// A file that results were made of: its path, its name in the key (`images/0001.png`) or its digest. Or the id of
    /// a patient, as the column `patient` of `labels` has it
    #[arg(required = true, value_name = "FILE|PATIENT")]
    pub(crate) what: Vec<String>,
    /// Take them for ids of patients, even if files have such names
    #[arg(long)]
    pub(crate) patient: bool,
    /// Show what would be deleted, and the time to recompute it, and delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// The results to pin.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  orchestrate store pin experiments/quickstart.toml --name submitted
  orchestrate store pin 20260131-174502-318-9f02ac")]
pub(crate) struct PinArgs {
    /// A run, such as 20260131-174502-318-9f02ac (a folder of `runs` in the store), or a spec
    #[arg(value_name = "RUN|SPEC")]
    pub(crate) what: String,
    /// The pin's name; replaces a pin of that name [default: the run, or the experiment's name]
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

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{Command, CommandFactory, Parser};

    #[test]
    fn arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_ends_with_two_examples_that_are_command_lines() {
        let mut wrong = Vec::new();
        check(&Cli::command(), &mut wrong);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn check(command: &Command, wrong: &mut Vec<String>) {
        let name = command.get_name();
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        if examples.len() < 2 {
            wrong.push(format!("{name}: {} examples", examples.len()));
        }
        for example in examples {
            if example.len() > 76 {
                wrong.push(format!("{name}: {example} is wrapped in a terminal of 80 columns"));
            }
            // A shell would read on from here.
            let own = example.split(['>', '|', '&']).next().unwrap_or_default();
            let words = shlex::split(own).unwrap_or_default();
            if let Err(error) = Cli::try_parse_from(words) {
                wrong.push(format!("{name}: {example}: {error}"));
            }
        }
        command.get_subcommands().filter(|command| !command.is_hide_set()).for_each(|command| check(command, wrong));
    }
}
