//! `orchestrate store ls`: results with their sizes, of the whole store, a spec, a stage or a kind.

use std::fmt::Write;
use std::path::Path;

use orchestrate_cache::{Access, ActionKey, ActionResult, Store};
use orchestrate_engine::resources::display_size;
use orchestrate_engine::runlog::{self, LogUsage};
use orchestrate_engine::survey::Answer;

use super::store::{ago, size_bytes};
use super::study::{self, Study, nearby_dir, nearby_store};
use crate::Kinds;
use crate::args::{LsArgs, Order, StoreArgs};
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

/// A recorded result in the list.
struct Row {
    key: ActionKey,
    node: String,
    size_bytes: u64,
    elapsed_ms: u64,
    /// Milliseconds since 1970.
    last_used_ms: u64,
}

impl Row {
    fn new(store: &Store, key: ActionKey, result: ActionResult, last_used_ms: u64) -> Self {
        let size_bytes = size_bytes(store, result.outputs.iter().map(|(_, output)| output));
        Self { key, node: result.node, size_bytes, elapsed_ms: result.elapsed_ms, last_used_ms }
    }
}

/// Lists recorded results, by default the most recently used last, and the totals.
pub(crate) fn ls(kinds: Kinds, args: LsArgs) -> anyhow::Result<Outcome> {
    let LsArgs { what, sort, overrides, store } = args;
    let spec =
        what.as_deref().map(Path::new).filter(|what| what.is_file() || what.extension() == Some("toml".as_ref()));
    let (mut rows, totals) = match (spec, what.as_deref()) {
        (Some(spec), _) => of_spec(kinds, spec, &overrides, store)?,
        _ if !overrides.is_empty() => return Err(UsageError("--set changes a spec; name one".to_owned()).into()),
        (None, Some(name)) => of_name(name, store)?,
        (None, None) => of_all(store)?,
    };
    rows.sort_by(|a, b| a.node.cmp(&b.node).then_with(|| a.last_used_ms.cmp(&b.last_used_ms)));
    match sort {
        Order::Used => rows.sort_by_key(|row| row.last_used_ms),
        Order::Size => rows.sort_by_key(|row| row.size_bytes),
        Order::Took => rows.sort_by_key(|row| row.elapsed_ms),
        Order::Node => {}
    }
    Outcome::Done.after_saying(terminal::say(&(table(&rows) + &totals)))
}

/// Lists the results of a spec that a run of it would find. Reads no others.
fn of_spec(kinds: Kinds, spec: &Path, overrides: &[String], args: StoreArgs) -> anyhow::Result<(Vec<Row>, String)> {
    let plan = study::plan(kinds, spec, overrides)?;
    let nodes = plan.nodes.len();
    if args.dir().is_some() {
        // A store that is named must exist.
        nearby_dir(&args)?;
    }
    let study = Study::open(plan, &args, Access::ReadOnly)?;
    let survey = study.survey(&Default::default());
    let mut keys: Vec<_> = survey.answers.iter().filter_map(Answer::hit).collect();
    keys.sort_unstable();
    keys.dedup();
    let results = study.store.results_of(&keys);
    let rows: Vec<_> = results.map(|(key, result, used_ms)| Row::new(&study.store, key, result, used_ms)).collect();
    let totals = format!(
        "{} in {}, of {} of {}, {}\n",
        terminal::count(rows.len(), "result"),
        study.store.dir().display(),
        terminal::count(nodes, "node"),
        spec.display(),
        display_size(rows.iter().map(|row| row.size_bytes).sum()),
    );
    Ok((rows, totals))
}

/// Lists the results of all stages of a name, or else of a kind.
fn of_name(name: &str, args: StoreArgs) -> anyhow::Result<(Vec<Row>, String)> {
    let store = nearby_store(&args, Access::ReadOnly)?;
    let is_named = |result: &ActionResult| {
        let stage = result.node.split_once('[').map_or(result.node.as_str(), |(stage, _)| stage);
        stage == name || result.kind == name
    };
    let results = store.results().filter(|(_, result, _)| is_named(result));
    let rows: Vec<_> = results.map(|(key, result, used_ms)| Row::new(&store, key, result, used_ms)).collect();
    if rows.is_empty() {
        let message = format!("{} has no result of a stage or a kind `{name}`", store.dir().display());
        return Err(UsageError(message).into());
    }
    let totals = format!(
        "{} of `{name}` in {}, {}\n",
        terminal::count(rows.len(), "result"),
        store.dir().display(),
        display_size(rows.iter().map(|row| row.size_bytes).sum()),
    );
    Ok((rows, totals))
}

/// Lists all results.
fn of_all(args: StoreArgs) -> anyhow::Result<(Vec<Row>, String)> {
    let store = nearby_store(&args, Access::ReadOnly)?;
    let results = store.results();
    let rows: Vec<_> = results.map(|(key, result, used_ms)| Row::new(&store, key, result, used_ms)).collect();
    let stats = store.stats()?;
    let quarantined = match stats.quarantined {
        0 => String::new(),
        number => format!(", {} in quarantine", terminal::count(number as usize, "file")),
    };
    let pins = match store.pins()?.len() {
        0 => String::new(),
        number => format!(", {}", terminal::count(number, "pin")),
    };
    let logs = match runlog::usage(&store.runs_dir()) {
        LogUsage { runs: 0, .. } => String::new(),
        LogUsage { runs, size_bytes } => {
            format!(", logs of {} {}", terminal::count(runs, "run"), display_size(size_bytes))
        }
    };
    let totals = format!(
        "{} in {}, {}, {}{logs}{pins}{quarantined}\n",
        terminal::count(rows.len(), "result"),
        store.dir().display(),
        terminal::count(stats.objects as usize, "large file"),
        display_size(stats.object_bytes + stats.pack_bytes),
    );
    Ok((rows, totals))
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    if !rows.is_empty() {
        let _ = writeln!(text, "{:12}  {:>10}  {:>10}  {:>12}  node", "key", "size", "took", "last used");
    }
    for Row { key, node, size_bytes, elapsed_ms, last_used_ms } in rows {
        let (size, took) = (display_size(*size_bytes), terminal::duration(*elapsed_ms));
        let _ = writeln!(text, "{}  {size:>10}  {took:>10}  {:>12}  {node}", key.0.short(), ago(*last_used_ms));
    }
    text
}
