//! `orchestrate store pin | unpin | pins`: results that no limit deletes.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use orchestrate_cache::{Access, ActionKey, Pin, Store, StoreError};
use orchestrate_engine::event::now_ms;
use orchestrate_engine::plan::Plan;
use orchestrate_engine::resources::display_size;
use orchestrate_engine::runlog::{History, RunId};
use orchestrate_engine::survey::Answer;

use super::store::{ago, size_bytes};
use super::study::{self, Study, nearby_store, set_arguments};
use crate::Kinds;
use crate::args::{PinArgs, StoreArgs};
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

/// Prefix of a pin's source that is a run.
const OF_RUN: &str = "run ";

/// Pins the results of a run, or the recorded results of a spec.
pub(crate) fn pin(kinds: Kinds, args: PinArgs) -> anyhow::Result<Outcome> {
    let (store, name, source, keys) = match args.what.parse::<RunId>() {
        Ok(run) => of_run(&run, &args)?,
        Err(_) => of_spec(kinds, &args)?,
    };
    let name = args.name.unwrap_or(name);
    let wanted = keys.len();
    if !Pin::is_name(&name) {
        let error = StoreError::PinName { name };
        return Err(UsageError(format!("{error}\nhelp: give the pin another one with --name NAME")).into());
    }
    store.pin(Pin { name: name.clone(), source: source.clone(), pinned_ms: now_ms(), keys })?;
    let pins = store.pins()?;
    let pin = pins.iter().find(|pin| pin.name == name).context("somebody removed the pin just now")?;
    // Counted after pinning: from now on none is deleted.
    let held = pin.keys.iter().filter(|key| store.hit(key).is_some()).count();
    let mut text = format!("pinned {} of {source} as {name}\n", terminal::count(held, "result"));
    if held < wanted {
        let _ = writeln!(text, "{} of the run are no longer in the store", terminal::count(wanted - held, "result"));
    }
    Outcome::Done.after_saying(terminal::say(&text))
}

/// Store, default name, source and keys of a pin.
type Found = (Store, String, String, Vec<ActionKey>);

fn of_run(run: &RunId, args: &PinArgs) -> anyhow::Result<Found> {
    let store = nearby_store(&args.store, Access::ReadWrite)?;
    let history = History::new(store.runs_dir());
    if !history.runs().contains(run) {
        let newest = history.runs().into_iter().next();
        let help = newest.map_or_else(String::new, |newest| format!("\nhelp: the newest run is {newest}"));
        return Err(UsageError(format!("the store {} knows no run {run}{help}", store.dir().display())).into());
    }
    let keys = history.keys(run).with_context(|| format!("cannot tell what run {run} used"))?;
    if keys.is_empty() {
        return Err(UsageError(format!("run {run} has no result")).into());
    }
    Ok((store, run.to_string(), format!("{OF_RUN}{run}"), keys))
}

/// The run of a pin; `None` for the pin of a spec.
pub(super) fn run_of(pin: &Pin) -> Option<RunId> {
    pin.source.strip_prefix(OF_RUN)?.parse().ok()
}

fn of_spec(kinds: Kinds, args: &PinArgs) -> anyhow::Result<Found> {
    let path = Path::new(&args.what);
    if !path.exists() {
        return Err(UsageError(format!("`{}` is neither a run nor the path of a spec", args.what)).into());
    }
    let plan = study::plan(kinds, path, &args.overrides)?;
    let study = Study::open(plan, &args.store, Access::ReadWrite)?;
    let found = study.survey(&HashSet::new());
    let hit = |answer: &Answer| match answer {
        Answer::Hit { key, .. } => Some(*key),
        _ => None,
    };
    let keys: Vec<_> = found.answers.iter().filter_map(hit).collect();
    if keys.is_empty() {
        let run = format!("run `orchestrate run {}` first", path.display());
        return Err(UsageError(format!("the store has no result of {}\nhelp: {run}", path.display())).into());
    }
    if let missing @ 1.. = found.answers.len() - keys.len() {
        let nodes = terminal::count(missing, "node");
        terminal::complain(&format!("warning: {nodes} of the spec did not run yet; the pin takes in what they give\n"));
    }
    let Study { plan, store, .. } = study;
    Ok((store, plan.spec.name.clone(), source_of(&plan), keys))
}

/// The source of a spec's pin: its file and its overrides.
fn source_of(plan: &Plan) -> String {
    format!("spec {}{}", plan.spec.path.display(), set_arguments(&plan.spec.overrides))
}

/// Adds the results of a run to the pins of its spec.
pub(super) fn follow(store: &Store, plan: &Plan, run: &RunId) -> anyhow::Result<()> {
    if store.access() == Access::ReadOnly {
        return Ok(());
    }
    let source = source_of(plan);
    let pins: Vec<_> = store.pins()?.into_iter().filter(|pin| pin.source == source).collect();
    if pins.is_empty() {
        return Ok(());
    }
    let keys = History::new(store.runs_dir()).keys(run)?;
    for mut pin in pins {
        let known: HashSet<_> = pin.keys.iter().copied().collect();
        if keys.iter().any(|key| !known.contains(key)) {
            pin.keys.extend(&keys);
            store.pin(pin)?;
        }
    }
    Ok(())
}

/// Removes a pin.
pub(crate) fn unpin(name: &str, args: StoreArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args, Access::ReadWrite)?;
    match store.unpin(name) {
        Ok(true) => {}
        Ok(false) | Err(StoreError::PinName { .. }) => {
            // Damaged pins are listed too, so that they can be removed.
            let names: Vec<_> = store.pins().unwrap_or_default().into_iter().map(|pin| pin.name).collect();
            let known = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
            let near = orchestrate_engine::nearest(name, names.iter().map(String::as_str));
            let help = near.map_or_else(String::new, |near| format!("\nhelp: did you mean `{near}`?"));
            return Err(UsageError(format!("no pin is named `{name}`\n  = pins: {known}{help}")).into());
        }
        Err(error) => return Err(error.into()),
    }
    let said = terminal::say(&format!("unpinned {name}; the next collection may delete what only it kept\n"));
    Outcome::Done.after_saying(said)
}

/// Lists the pins.
pub(crate) fn list(args: StoreArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args, Access::ReadOnly)?;
    let pins = store.pins()?;
    let mut text = String::new();
    if pins.is_empty() {
        text += "nothing is pinned\n";
    } else {
        let _ = writeln!(text, "{:24} {:>8} {:>10} {:>12}  source", "pin", "results", "size", "pinned");
    }
    for pin in pins {
        let hits: Vec<_> = pin.keys.iter().filter_map(|key| store.hit(key)).collect();
        let outputs: HashSet<_> = hits.iter().flat_map(|hit| hit.outputs.iter().map(|(_, output)| *output)).collect();
        let (size, pinned) = (display_size(size_bytes(&store, &outputs)), ago(pin.pinned_ms));
        let _ = writeln!(text, "{:24} {:>8} {size:>10} {pinned:>12}  {}", pin.name, hits.len(), pin.source);
    }
    Outcome::Done.after_saying(terminal::say(&text))
}
