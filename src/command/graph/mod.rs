//! `orchestrate graph`: draws the stages of a spec, or its nodes, with what a run would find in the store.

mod alternative;
mod dot;
mod drawing;
mod layout;
mod mermaid;
mod stored;
mod svg;
mod without_files;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use orchestrate_cache::Access;
use orchestrate_engine::diagnostic::SpecError;

use super::study::{self, Study};
use super::subject::Subject;
use crate::Kinds;
use crate::args::SpecArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

pub(crate) use alternative::alternative;
pub(crate) use drawing::Drawing;
pub(crate) use svg::inline_svg;

/// Arguments of `graph`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  orchestrate graph experiments/quickstart.toml --to quickstart.svg
  orchestrate graph experiments/quickstart.toml --nodes --only cam")]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Draw every node instead of every stage; at most 300
    #[arg(long)]
    pub(crate) nodes: bool,
    /// The format [default: as the ending of --to, else mermaid]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// File to write, whose ending (.svg, .mmd, .dot) tells the format; an existing one is replaced [default: standard
    /// output]
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Only these nodes and their inputs: STAGE or 'STAGE[AXIS=VALUE,…]' (repeatable)
    #[arg(long, value_name = "NODES")]
    pub(crate) only: Vec<String>,
    /// Only this stage and its inputs
    #[arg(long, value_name = "STAGE")]
    pub(crate) until: Option<String>,
}

/// The format of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A picture, for browsers and papers
    Svg,
    /// Text that GitHub and many wikis draw
    Mermaid,
    /// Text for Graphviz
    Dot,
}

/// The most nodes that are drawn.
const NODES_MAX: usize = 300;

pub(crate) fn graph(kinds: Kinds, args: &GraphArgs) -> anyhow::Result<Outcome> {
    let format = format(args)?;
    let (Subject { plan, store, .. }, problem) = plan(kinds, &args.spec)?;
    let selection = study::selection_of(&plan, &args.only, args.until.as_ref())?;
    if selection.nodes().is_empty() {
        return Err(UsageError(format!("{} has no stages to draw", args.spec.spec.display())).into());
    }
    if args.nodes && selection.nodes().len() > NODES_MAX {
        let nodes = selection.nodes().len();
        let help = "select some, such as --only 'score[model=tiny,fold=1]' or --until train, or draw the stages \
                    without --nodes";
        return Err(UsageError(format!("{nodes} nodes are too many to draw, at most {NODES_MAX}\nhelp: {help}")).into());
    }
    let drawing = match problem {
        Some(problem) => {
            let note = format!("hits and misses are unknown: {problem}");
            terminal::complain(&format!("warning: {note}\n"));
            Drawing::new(&plan, &selection, args.nodes, None, Some(note))
        }
        None => {
            let study = Study::open(plan, &store, Access::ReadOnly)?;
            let survey = study.survey(&std::collections::HashSet::new());
            Drawing::new(&study.plan, &selection, args.nodes, Some(&survey), None)
        }
    };
    let text = match format {
        Format::Svg => svg::svg(&drawing),
        Format::Mermaid => mermaid::mermaid(&drawing),
        Format::Dot => dot::dot(&drawing),
    };
    match &args.to {
        Some(file) => {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
            Outcome::Done.after_saying(terminal::say(&format!("{}\n", file.display())))
        }
        None => Outcome::Done.after_saying(terminal::say_as_is(&text)),
    }
}

/// Returns the format that the arguments name.
fn format(args: &GraphArgs) -> Result<Format, UsageError> {
    let Some(file) = &args.to else { return Ok(args.format.unwrap_or(Format::Mermaid)) };
    let of_ending = of_ending(file);
    match (args.format, of_ending) {
        (Some(format), Some(other)) if format != other => Err(UsageError(format!(
            "--format {} and the ending of {} differ\nhelp: leave out --format",
            format.to_possible_value().expect("no format is skipped").get_name(),
            file.display()
        ))),
        (Some(format), _) | (None, Some(format)) => Ok(format),
        (None, None) => Err(UsageError(format!(
            "the ending of {} tells no format\nhelp: use .svg, .mmd or .dot, or --format",
            file.display()
        ))),
    }
}

fn of_ending(file: &Path) -> Option<Format> {
    match file.extension()?.to_str()?.to_lowercase().as_str() {
        "svg" => Some(Format::Svg),
        "mmd" | "mermaid" => Some(Format::Mermaid),
        "dot" | "gv" => Some(Format::Dot),
        _ => None,
    }
}

/// Plans a spec or a run. If external files are not to be had and no run recalls them, plans without them, and also
/// returns the first problem.
fn plan(kinds: Kinds, args: &SpecArgs) -> anyhow::Result<(Subject, Option<String>)> {
    let error = match Subject::find(kinds, &args.spec, &args.overrides, &args.store) {
        Ok(subject) => return Ok((subject, None)),
        Err(error) => error,
    };
    let Some(problem) = error.downcast_ref::<SpecError>().and_then(|error| error.diagnostics.first()) else {
        return Err(error);
    };
    let problem = problem.message.clone();
    match Subject::find(without_files::kinds(kinds), &args.spec, &args.overrides, &args.store) {
        Ok(subject) => Ok((subject, Some(problem))),
        // The spec is wrong whether its files are there or not.
        Err(_) => Err(error),
    }
}
