//! `orchestrate data check`: audits data sets before anything runs, without a store.

use orchestrate_engine::plan::Plan;
use orchestrate_stages::artifact::Audit;
use orchestrate_stages::data::dataset::{self, Look};

use super::guessed::guessed;
use super::study;
use crate::Kinds;
use crate::args::CheckArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

/// The kind of the stages that read data.
const KIND: &str = "dataset";

pub(crate) fn run(kinds: Kinds, args: &CheckArgs) -> anyhow::Result<Outcome> {
    let is_table = args.what.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let is_folder = args.what.is_dir() || is_table;
    let sets = if is_folder {
        let guess = guessed(&args.what, &args.columns)?;
        vec![(args.what.display().to_string(), guess.params())]
    } else if !args.columns.given().is_empty() {
        let message = "the options name columns of a CSV file; in a spec the params of the stage do";
        return Err(UsageError(message.to_owned()).into());
    } else {
        data_sets(&study::plan(kinds, &args.what, &args.overrides)?)
    };
    if sets.is_empty() {
        return Err(UsageError(format!("{} has no stage of kind `{KIND}`", args.what.display())).into());
    }
    let mut outcome = Outcome::Done;
    for (name, params) in sets {
        match dataset::look(&params) {
            Ok(Look { audit, .. }) => {
                terminal::say(&told(&name, &audit))?;
                // A folder alone has no `size` yet.
                if !is_folder && params["size"].is_null() && audit.warnings().any(|finding| finding.topic == "sizes") {
                    terminal::complain(&format!(
                        "error: {name} cannot be used: set `size`, as pictures differ in size\n"
                    ));
                    outcome = Outcome::Usage;
                }
            }
            Err(problems) => {
                let problems: String = problems.iter().map(|problem| format!("  {problem}\n")).collect();
                let count = terminal::count(problems.lines().count(), "problem");
                terminal::complain(&format!("error: {name} cannot be used: {count}\n{problems}"));
                outcome = Outcome::Usage;
            }
        }
    }
    Ok(outcome)
}

/// Returns the data sets of a plan: the name of the stage, with its point if there are several, and the params.
fn data_sets(plan: &Plan) -> Vec<(String, serde_json::Value)> {
    let stages = plan.stages.iter().filter(|stage| stage.kind.facts().kind == KIND);
    let sets = stages.flat_map(|stage| {
        let several = stage.param_sets.len() > 1;
        stage.param_sets.iter().enumerate().map(move |(index, set)| {
            let number = if several { format!(" ({})", index + 1) } else { String::new() };
            (format!("{}{number}", stage.name), set.params.clone())
        })
    });
    sets.collect()
}

fn told(name: &str, audit: &Audit) -> String {
    let warnings = audit.warnings().count();
    let count = if warnings == 0 { "no warnings".to_owned() } else { terminal::count(warnings, "warning") };
    format!("{name}: {count}\n{}", audit.text())
}
