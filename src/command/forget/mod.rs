//! `orchestrate store forget`: removes every result that was made of a file or of a patient's images.

mod published;
mod source;

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use std::path::PathBuf;

use orchestrate_cache::{Access, ActionKey, Digest, FileDigests, Forgetting, MadeOf, Store};
use orchestrate_engine::event::RunStarted;
use orchestrate_engine::runlog::{self, Collection, Traces};

use super::gc::{by_kind, results, total};
use super::study::{nearby_store, nearby_trust, set_arguments};
use crate::args::ForgetArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;
use source::{Source, Sources, Unresolved};

/// The most paths, versions or commands that are listed.
const SHOWN: usize = 10;

pub(crate) fn forget(args: ForgetArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args.store, Access::ReadWrite)?;
    let interrupted = store.interrupted_forgetting()?;
    let digests = FileDigests::open_trusting(store.dir(), nearby_trust()?.stamps());
    let sources = Sources::read(&store)?;
    let wanted = match find_all(&store, &sources, &digests, &args) {
        Ok(wanted) => wanted,
        Err(error) if interrupted.is_none() || args.dry_run => return Err(error),
        // It may have named what is half gone.
        Err(error) => {
            terminal::complain(&format!("{error}\n"));
            Vec::new()
        }
    };
    let reads = |_: &ActionKey, result: &_| wanted.iter().any(|source| source.was_read_for(result));
    let is_recorded = wanted.iter().any(Source::has_results);
    let MadeOf { keys, untraced } = if is_recorded { store.made_of(reads)? } else { MadeOf::default() };
    let names = wanted.iter().flat_map(|source| source.names.iter().cloned()).collect();
    let traces = match wanted.is_empty() {
        true => Traces::default(),
        false => runlog::traces(&store, &keys, &names)?,
    };
    let folders = published::folders(&store, &traces.requests);
    let what = Forgetting {
        keys: keys.into_iter().collect(),
        checkpoints: traces.checkpoints,
        runs: traces.runs.iter().map(ToString::to_string).collect(),
        again: commands(&traces.requests, &args),
    };
    // Asked before the store forgets them.
    let mut text = told_before(&sources, &wanted, untraced);
    let left = files_left(&wanted, &digests, &args);
    let pins = pins(&store, &what)?;
    let (done, what) = match args.dry_run {
        true => (runlog::plan_forgetting(&store, &what)?, what),
        false => runlog::forget(&store, &what)?,
    };
    if interrupted.is_some() {
        text += match args.dry_run {
            true => "an earlier `store forget` was interrupted; the next one finishes it too\n",
            false => "finished an earlier `store forget` too, which was interrupted\n",
        };
    }
    text += &told(&done, args.dry_run);
    text += &pins;
    text += &published::describe(&folders, &what.keys, &sources.known);
    text += &left;
    text += &list("to make the rest again, run:", &what.again);
    if !args.dry_run && is_recorded && !store.made_of(reads)?.keys.is_empty() {
        // Between the search and the lock of the store.
        terminal::complain("warning: a run has made results of it meanwhile; forget it once more\n");
    }
    Outcome::Done.after_saying(terminal::say(&text))
}

/// Resolves all texts. Errors: those of all texts together, or of the store.
fn find_all(store: &Store, sources: &Sources, digests: &FileDigests, args: &ForgetArgs) -> anyhow::Result<Vec<Source>> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for text in &args.what {
        match sources.find(text, digests, args.patient) {
            Ok(source) => found.push(source),
            // A run that failed to read a file recorded no result, and its log names the file.
            Err(Unresolved { is_unknown: true, .. }) if !args.patient && is_logged(store, text)? => {
                found.push(Source::in_logs(text));
            }
            Err(error) => errors.push(error.message),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(UsageError(errors.join("\n")).into()) }
}

fn is_logged(store: &Store, text: &str) -> anyhow::Result<bool> {
    let names = BTreeSet::from([text.to_owned()]);
    Ok(!runlog::traces(store, &HashSet::new(), &names)?.runs.is_empty())
}

/// The commands of runs that can be repeated, each once.
fn commands(requests: &[RunStarted], args: &ForgetArgs) -> BTreeSet<String> {
    let store = args.store.dir().map_or_else(String::new, |dir| format!(" --store {}", dir.display()));
    let existing = requests.iter().filter(|request| request.spec.is_file());
    let command = |RunStarted { spec, overrides, .. }: &RunStarted| {
        format!("orchestrate run {}{}{store}", spec.display(), set_arguments(overrides))
    };
    existing.map(command).collect()
}

fn told_before(sources: &Sources, wanted: &[Source], untraced: usize) -> String {
    let mut text = String::new();
    for source in wanted {
        let _ = writeln!(text, "{}", source.title);
        let versions = sources.other_versions(source).into_iter().map(|(name, digest)| format!("{name} {digest}"));
        text += &list("other files had its name, and are not forgotten:", &versions.collect());
    }
    if untraced > 0 {
        let results = terminal::count(untraced, "result");
        let _ = writeln!(text, "{results} with inputs of unknown origin will go too, as they may be made of it");
    }
    text
}

fn told(done: &Collection, dry_run: bool) -> String {
    let report = &done.report;
    let mut text = results(&report.collected) + &by_kind(&report.collected) + &total(done, dry_run);
    let mut also = Vec::new();
    if report.checkpoints > 0 {
        also.push(format!("checkpoints of {}", terminal::count(report.checkpoints as usize, "node")));
    }
    if report.leftovers > 0 {
        also.push(terminal::count(report.leftovers as usize, "corrupt or unfinished file"));
    }
    if !also.is_empty() {
        let _ = writeln!(text, "{} {}", if dry_run { "would delete" } else { "deleted" }, also.join(" and "));
    }
    text
}

/// Says which pins lose results.
fn pins(store: &Store, what: &Forgetting) -> anyhow::Result<String> {
    let mut text = String::new();
    for pin in store.pins()? {
        let lost = pin.keys.iter().filter(|key| what.keys.contains(*key)).count();
        if lost > 0 {
            let _ =
                writeln!(text, "the pin {} loses {lost} of {}", pin.name, terminal::count(pin.keys.len(), "result"));
        }
    }
    Ok(text)
}

/// Warns of files that still exist: the next run would read them again.
fn files_left(wanted: &[Source], digests: &FileDigests, args: &ForgetArgs) -> String {
    let files: HashSet<Digest> = wanted.iter().flat_map(|source| source.files.iter().copied()).collect();
    if files.is_empty() {
        return String::new();
    }
    let mut paths: BTreeSet<PathBuf> = digests.paths_of(&files).into_iter().collect();
    let is_known = !paths.is_empty();
    paths.extend(args.what.iter().filter_map(|text| std::path::absolute(text).ok()));
    let is_there = |path: &&PathBuf| path.is_file() && digests.digest(path).is_ok_and(|digest| files.contains(&digest));
    let left: BTreeSet<_> = paths.iter().filter(is_there).map(|path| path.display().to_string()).collect();
    if left.is_empty() {
        let found = if is_known { "it is no longer where it was last read" } else { "where it lies is not known" };
        return format!(
            "{found}; a run makes all of it again, unless it is removed from the data and every manifest\n"
        );
    }
    list("still there; a run makes all of it again, unless it is removed from the data and every manifest:", &left)
}

/// A heading with some lines; nothing without lines.
fn list(heading: &str, lines: &BTreeSet<String>) -> String {
    let mut text = String::new();
    if !lines.is_empty() {
        let _ = writeln!(text, "{heading}");
    }
    for line in lines.iter().take(SHOWN) {
        let _ = writeln!(text, "  {line}");
    }
    if let more @ 1.. = lines.len().saturating_sub(SHOWN) {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}
