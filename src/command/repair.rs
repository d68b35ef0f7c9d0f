//! `orchestrate store repair`.

use std::fmt::Write;

use anyhow::Context;
use orchestrate_cache::Store;
use orchestrate_engine::runlog;

use super::study::nearby_dir;
use crate::args::StoreArgs;
use crate::outcome::Outcome;
use crate::terminal;

/// Repairs the damage that `verify` reports, and prints what was found and done. The exit code is 0, as the store is whole then.
pub(crate) fn repair(args: &StoreArgs) -> anyhow::Result<Outcome> {
    let dir = nearby_dir(args)?;
    let report = Store::repair(&dir)?;
    let logs = runlog::check(&dir.join("runs")).context("the run logs cannot be read")?;
    let mut text = String::new();
    for problem in &report.problems {
        let _ = writeln!(text, "found    {problem}");
    }
    for log in &logs {
        let _ = writeln!(text, "found    {}: {}", log.path.display(), log.message);
    }
    for done in &report.done {
        let _ = writeln!(text, "repair   {done}");
    }
    for log in &logs {
        let _ = writeln!(text, "repair   {}", log.mend(&dir.join("quarantine"))?);
    }
    for node in &report.dropped {
        let _ = writeln!(
            text,
            "dropped  the result of {node}, as bytes of it are lost; a run that needs it makes it again"
        );
    }
    let found = report.problems.len() + logs.len();
    let _ = match (found, report.done.len()) {
        (0, 0) => writeln!(text, "{}: all is well", dir.display()),
        _ => writeln!(
            text,
            "{}: {} mended, {} dropped",
            dir.display(),
            terminal::count(found, "problem"),
            terminal::count(report.dropped.len(), "result"),
        ),
    };
    Outcome::Done.after_saying(terminal::say(&text))
}
