//! `orchestrate logs NODE`: what a node wrote, in the newest run where it has a log.

use anyhow::Context;
use orchestrate_cache::Access;
use orchestrate_engine::runlog::History;

use super::study::nearby_store;
use crate::args::LogsArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

pub(crate) fn logs(args: LogsArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args.store, Access::ReadOnly)?;
    let history = History::new(store.runs_dir());
    let Some(path) = history.node_log(&args.node) else {
        let known = history.latest(&args.node).is_some();
        let message = match known {
            true => format!("`{}` has no log: light stages run inside the engine and write none", args.node),
            false => format!("no run of `{}` is recorded in {}", args.node, store.dir().display()),
        };
        return Err(UsageError(message).into());
    };
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    terminal::complain(&format!("{}\n", path.display()));
    terminal::say(&String::from_utf8_lossy(&text))?;
    Ok(Outcome::Done)
}
