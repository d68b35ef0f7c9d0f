//! `orchestrate path [SPEC] NODE`: lays out the files of results for other programs, and prints where they lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use orchestrate_cache::{Access, ActionKey};
use orchestrate_engine::modes::{MODES, Modes};
use orchestrate_engine::node::{NodeId, Point};
use orchestrate_engine::publish::PointNames;
use serde::Serialize;

use super::named_nodes::NamedNodes;
use super::recorded::Recorded;
use super::study::{Study, run_command};
use crate::Kinds;
use crate::args::NodeArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

const EXAMPLES: &str = "Examples:
  orchestrate path experiments/quickstart.toml 'train[model=tiny,fold=1]'
  orchestrate path experiments/quickstart.toml score --json";

/// Print the folder of a node's results, with a folder for each output in it
///
/// Files lie below `links` in the store: read-only copies, checked against their digests each time, so that no program
/// can change a result. A collection removes copies that nobody asked for within a day; removing them by hand is safe.
/// A stage without points in brackets stands for all of its nodes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PathArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// One JSON object a node a line: `node`, `stage`, `kind`, `point`, `key`, `dir`, and `outputs` by name, each with
    /// `dir` and `files` (absolute paths)
    #[arg(long)]
    pub(crate) json: bool,
}

/// A node with its laid out files; a line of `--json`.
#[derive(Serialize)]
struct LaidOut<'a> {
    node: String,
    stage: &'a str,
    kind: &'a str,
    point: Point,
    key: ActionKey,
    dir: PathBuf,
    outputs: BTreeMap<&'a str, LaidOutput>,
}

#[derive(Serialize)]
struct LaidOutput {
    dir: PathBuf,
    files: Vec<PathBuf>,
}

pub(crate) fn path(kinds: Kinds, args: &PathArgs) -> anyhow::Result<Outcome> {
    let NamedNodes { plan, nodes, store } = NamedNodes::find(kinds, &args.node)?;
    let node = args.node.target.last().expect("clap takes one or two");
    let run = run_command(&plan, node);
    let study = Study::open_existing(plan, &store, Access::ReadWrite)?;
    let recorded = Recorded::look_up(&study);
    recorded.require(&nodes, &run)?;
    if study.store.access() == Access::ReadOnly {
        let message = "files cannot be laid out in a store that this user may only read\nhelp: `orchestrate export` \
                       writes files elsewhere, and `publish` in the spec copies results to a folder for people";
        return Err(UsageError(message.to_owned()).into());
    }
    // A selector names one stage.
    let names = PointNames::new(&study.plan, study.plan.node(nodes[0]).stage as usize);
    for id in nodes {
        let node = lay_out(&study, &recorded, id, &names)?;
        if args.json {
            let line = serde_json::to_string(&node).context("JSON holds no paths other than UTF-8")?;
            terminal::say_as_is(&format!("{line}\n"))?;
        } else {
            terminal::say(&format!("{}\n", node.dir.display()))?;
        }
    }
    Ok(Outcome::Done)
}

/// Writes the files of a node to `STAGE/POINT/OUTPUT/NAME` below the folder of its key.
fn lay_out<'a>(
    study: &'a Study,
    recorded: &'a Recorded<'_>,
    id: NodeId,
    names: &PointNames,
) -> anyhow::Result<LaidOut<'a>> {
    let (plan, store) = (&study.plan, &study.store);
    let (key, outputs) = recorded.result(id).context("BUG: what is missing was told above")?;
    let (name, stage) = (plan.name(id), plan.stage(id));
    let of_node = Path::new(&stage.name).join(names.folder(plan, id));
    let mut dir = PathBuf::new();
    let mut laid_out = BTreeMap::new();
    for (output, digest) in outputs {
        let lost = || format!("the store has lost the output `{output}` of `{name}`; run again");
        let mut artifact = store.artifact(digest).with_context(lost)?;
        let modes = Modes::of(&artifact, store)?;
        artifact.files.retain(|file| file.name != MODES);
        let is_executable = |name: &str| modes.executable.contains(name);
        let of_output = store.lay_out(&key, &of_node.join(output), &artifact.files, is_executable)?;
        dir = of_output.parent().context("BUG: an output has a folder in that of its node")?.to_owned();
        let files = artifact.files.iter().map(|file| of_output.join(&file.name)).collect();
        laid_out.insert(output.as_str(), LaidOutput { dir: of_output, files });
    }
    Ok(LaidOut {
        node: name.to_string(),
        stage: &stage.name,
        kind: stage.kind.facts().kind,
        point: name.point().clone(),
        key,
        dir,
        outputs: laid_out,
    })
}
