//! `orchestrate store repair`.

use std::fmt::Write;

use anyhow::Context;
use orchestrate_cache::Store;
use orchestrate_engine::runlog;

use super::store::damage;
use super::study::nearby_dir;
use crate::args::StoreArgs;
use crate::outcome::Outcome;
use crate::terminal;

/// Repairs the damage that `verify` reports, and prints what was found and done. The exit code is 0 if the store is whole
/// then, and 1 if something could not be mended.
pub(crate) fn repair(args: &StoreArgs) -> anyhow::Result<Outcome> {
    let dir = nearby_dir(args)?;
    let report = Store::repair(&dir)?;
    let logs = runlog::check(&dir.join("runs")).context("the run logs cannot be read")?;
    let mut text = String::new();
    let found = damage(&report.problems, &logs);
    for problem in &found {
        let _ = writeln!(text, "found    {problem}");
    }
    for done in &report.done {
        let _ = writeln!(text, "repair   {done}");
    }
    let mut failed = report.failed;
    for log in &logs {
        match log.mend(&dir.join("quarantine")) {
            Ok(done) => drop(writeln!(text, "repair   {done}")),
            Err(error) => failed.push(error.to_string()),
        }
    }
    for left in &failed {
        let _ = writeln!(text, "left     {left}");
    }
    for node in &report.dropped {
        let why = "as bytes of it are lost; a run that needs it recomputes it";
        let _ = writeln!(text, "dropped  the result of {node}, {why}");
    }
    let outcome = match (found.len(), report.done.len()) {
        (0, 0) => "all is well".to_owned(),
        (found, _) => {
            let dropped = terminal::count(report.dropped.len(), "result");
            format!("{} repaired, {dropped} dropped", terminal::count(found.saturating_sub(failed.len()), "problem"))
        }
    };
    let left = match failed.len() {
        0 => String::new(),
        number => format!("; {} left, see above", terminal::count(number, "problem")),
    };
    let _ = writeln!(text, "{}: {outcome}{left}", dir.display());
    let outcome = if failed.is_empty() { Outcome::Done } else { Outcome::Failed };
    outcome.after_saying(terminal::say(&text))
}
