//! `orchestrate kinds`: describes the kinds of stages, from the facts that each registers.

mod json;
mod markdown;
#[cfg(test)]
mod tests;
mod text;
mod wrap;

use std::fmt::Write;
use std::path::PathBuf;

use orchestrate_engine::nearest;
use orchestrate_engine::stage::{Facts, Port, Stage};

use crate::Kinds;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

use wrap::wrap;

/// Arguments of `kinds`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  orchestrate kinds train\n  orchestrate kinds --json")]
pub(crate) struct KindsArgs {
    /// Only this kind, with all that is known about it
    kind: Option<String>,
    /// One JSON object a kind and line instead of text
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Write reference pages to this folder
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "kind")]
    markdown: Option<PathBuf>,
}

pub(crate) fn kinds(kinds: Kinds, args: &KindsArgs) -> anyhow::Result<Outcome> {
    if let Some(dir) = &args.markdown {
        markdown::write(kinds, dir)?;
        return Ok(Outcome::Done);
    }
    let chosen: Vec<&dyn Stage> = match &args.kind {
        Some(name) => vec![find(kinds, name)?],
        None => kinds.to_vec(),
    };
    if args.json {
        let lines: String = chosen.iter().map(|stage| format!("{}\n", json::kind(*stage))).collect();
        return Outcome::Done.after_saying(terminal::say_as_is(&lines));
    }
    let text = match chosen.as_slice() {
        [stage] if args.kind.is_some() => text::kind(*stage),
        kinds => list(kinds),
    };
    Outcome::Done.after_saying(terminal::say(&text))
}

fn find(kinds: Kinds, name: &str) -> anyhow::Result<&'static dyn Stage> {
    if let Some(stage) = kinds.iter().find(|stage| stage.facts().kind == name) {
        return Ok(*stage);
    }
    let names: Vec<_> = kinds.iter().map(|stage| stage.facts().kind).collect();
    let near = nearest(name, names.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
    let message = format!("there is no kind `{name}`; kinds: {}{}", names.join(", "), near.unwrap_or_default());
    Err(UsageError(message).into())
}

/// Lists kinds with the names of their params, inputs and outputs.
fn list(kinds: &[&dyn Stage]) -> String {
    let mut text = String::new();
    for stage in kinds {
        let facts = stage.facts();
        let _ = writeln!(text, "{}\n    {}", facts.kind, facts.about);
        let ports: Vec<_> = facts.ports.iter().map(port).collect();
        let ports = if facts.takes_any_port { "any".to_owned() } else { ports.join(", ") };
        if !ports.is_empty() {
            wrap(&mut text, 96, "    inputs   ", 13, &ports);
        }
        let params = if facts.fields().is_empty() { "none".to_owned() } else { facts.fields().join(", ") };
        let _ = writeln!(text, "    outputs  {}", outputs(*stage).join(", "));
        wrap(&mut text, 96, "    params   ", 13, &params);
        text.push('\n');
    }
    text + "orchestrate kinds KIND tells all about one of them\n"
}

fn port(port: &Port) -> String {
    let many = if port.many { " (several)" } else { "" };
    let optional = if port.optional { " (optional)" } else { "" };
    format!("{}{many}{optional}", port.name)
}

/// The names of the outputs without params.
fn outputs(stage: &dyn Stage) -> Vec<String> {
    stage.outputs(&serde_json::Value::Null)
}

/// The outputs that a port reads, the preferred one first.
fn reads(port: &Port) -> Vec<&'static str> {
    if port.reads.is_empty() { vec![port.name] } else { port.reads.to_vec() }
}

/// The rule of the axes of a stage.
fn axes(facts: &Facts) -> &'static str {
    if facts.inherits_axes() {
        "`over` lists only the axes that the stage adds to those of its inputs"
    } else {
        "`over` lists all axes of the stage; it gathers the others that its inputs have"
    }
}

/// The rule by which a port receives the points of its input.
const fn rule(port: &Port) -> &'static str {
    if port.many {
        "all points along the axes that the stage lacks, in order; a list of stages too"
    } else {
        "one artifact, that of the same point on the axes both have"
    }
}
