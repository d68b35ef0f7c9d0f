//! `orchestrate store init | show | verify`.

use std::fmt::Write;

use orchestrate_cache::{Access, ActionKey, ActionResult, OutputDigest, Problem, Signed, Store, StoreError, Trust};
use orchestrate_engine::event::now_ms;
use orchestrate_engine::resources::display_size;
use orchestrate_engine::runlog::{self, DamagedLog};

use super::study::{dir_for_store, nearby_store, nearby_trust, trusting_store};
use crate::args::StoreArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

/// Makes a store; shares it with its group if asked to.
pub(crate) fn init(shared: bool, args: StoreArgs) -> anyhow::Result<Outcome> {
    let dir = dir_for_store(&args)?;
    let store = Store::open(&dir, Access::ReadWrite)?;
    if !shared {
        return Outcome::Done.after_saying(terminal::say(&format!("{} is a store\n", dir.display())));
    }
    let refused = store.share()?;
    let mut text = format!("{} is a store that its group shares\n", dir.display());
    for path in &refused {
        let _ = writeln!(text, "{}: only its owner or root can share it, by the same command", path.display());
    }
    let outcome = if refused.is_empty() { Outcome::Done } else { Outcome::Failed };
    outcome.after_saying(terminal::say(&text))
}

/// Shows the provenance of a result: outputs, files, and the preimage of its key.
pub(crate) fn show(prefix: &str, args: StoreArgs) -> anyhow::Result<Outcome> {
    // Of several results of a key, this project's lookups find the one that it trusts.
    let trust = nearby_trust()?;
    let trusting = trust.is_limited().then(|| trusting_store(&args, nearby_trust()?)).transpose()?;
    let found = trusting.and_then(|store| Some((find(&store, prefix).ok()?, store)));
    let ((key, result, collected_ms), store) = match found {
        Some(found) => found,
        None => {
            let store = nearby_store(&args, Access::ReadOnly)?;
            (find(&store, prefix)?, store)
        }
    };
    let mut text = String::new();
    let recorded = ago(result.recorded_ms);
    let _ = writeln!(text, "key       {}", key.0);
    let _ = writeln!(text, "node      {} (kind {})", result.node, result.kind);
    let took = terminal::duration(result.elapsed_ms);
    let _ = writeln!(text, "recorded  {recorded} by run {}, took {took}", result.run);
    let _ = writeln!(text, "device    {}", result.device);
    let _ = writeln!(text, "producer  {}", result.produced_by());
    if collected_ms.is_none() {
        let _ = writeln!(text, "signed    {}", signed(&store.signed(&key), &trust));
    }
    if result.key() != Ok(key) {
        let _ =
            writeln!(text, "warning   this key is not the digest of the manifest below, so the program never made it");
    }
    if let Some(collected_ms) = collected_ms {
        let _ = writeln!(text, "deleted   {} by garbage collection", ago(collected_ms));
    }
    for (name, digest) in &result.outputs {
        let _ = writeln!(text, "output    {name} {}", digest.0);
        for file in store.artifact(digest).unwrap_or_default().files {
            let location = match store.locate(&file.digest) {
                Some(location) if location.offset == 0 => location.path.display().to_string(),
                Some(location) => format!("{} at byte {}", location.path.display(), location.offset),
                None => "lost".to_owned(),
            };
            let _ = writeln!(text, "  {}  {}  {location}", file.name, display_size(file.size_bytes));
        }
    }
    let _ = writeln!(text, "manifest  {}", serde_json::to_string_pretty(&result.preimage)?);
    Outcome::Done.after_saying(terminal::say(&text))
}

/// Formats a signature, and the trust in it of the project around the working directory.
fn signed(signed: &Signed, trust: &Trust) -> String {
    let key = match signed {
        Signed::Unsigned if trust.is_limited() => return "by nobody, so this project passes over it".to_owned(),
        Signed::Unsigned => return "by nobody".to_owned(),
        Signed::Falsely => return "falsely: the signature is not that of this result".to_owned(),
        Signed::By(key) => key,
    };
    let own = trust.own_key().is_some_and(|own| own.public() == *key);
    match trust.name_of(key) {
        _ if own => format!("by {key}, your own key"),
        Some(name) => format!("by {key} {name}").trim_end().to_owned(),
        None if trust.is_limited() => format!("by {key}, whom this project does not trust, so it passes over it"),
        None => format!("by {key}"),
    }
}

/// Finds a result by a prefix of its key. A collected result is read from the lineage, with the time of its collection.
fn find(store: &Store, prefix: &str) -> anyhow::Result<(ActionKey, ActionResult, Option<u64>)> {
    let unknown = match store.find(prefix) {
        Ok(key) => {
            let unreadable = || UsageError(format!("the result {} cannot be read", key.0));
            return Ok((key, store.recorded(&key).ok_or_else(unreadable)?, None));
        }
        Err(error @ (StoreError::UnknownKey { .. } | StoreError::AmbiguousKey { .. })) => error,
        Err(error) => return Err(error.into()),
    };
    let prefix = prefix.to_ascii_lowercase();
    let mut left: Vec<_> = match &unknown {
        StoreError::UnknownKey { .. } => {
            store.lineage()?.filter(|left| left.key.0.to_string().starts_with(&prefix)).collect()
        }
        _ => Vec::new(),
    };
    let last = left.pop().filter(|last| left.iter().all(|other| other.key == last.key));
    let last = last.ok_or_else(|| UsageError(unknown.to_string()))?;
    Ok((last.key, last.result, Some(last.collected_ms)))
}

/// Describes damaged files and run logs, a line each.
pub(super) fn damage(problems: &[Problem], logs: &[DamagedLog]) -> Vec<String> {
    let logs = logs.iter().map(|log| format!("{}: {}", log.path.display(), log.message));
    problems.iter().map(ToString::to_string).chain(logs).collect()
}

/// Reads everything, or little of it, and reports damage, with exit code 1.
pub(crate) fn verify(quick: bool, args: StoreArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args, Access::ReadWrite)?;
    let report = if quick { store.verify_quickly()? } else { store.verify()? };
    let logs = if quick { Vec::new() } else { runlog::check(&store.runs_dir()) };
    let mut text = String::new();
    let problems = damage(&report.problems, &logs);
    for problem in &problems {
        let _ = writeln!(text, "{problem}");
    }
    for torn in &report.torn {
        let _ = writeln!(text, "{torn}, as a crash leaves it; the next process that writes there cuts it");
    }
    let _ = writeln!(
        text,
        "{} and {} {}, {}: {}",
        terminal::count(report.records as usize, "record"),
        terminal::count(report.objects as usize, "large file"),
        if quick { "counted, not read" } else { "read" },
        display_size(report.bytes_read),
        match problems.len() {
            0 => "all is well".to_owned(),
            number => format!(
                "{}; the next run recomputes what it needs, and `orchestrate store repair` repairs the store",
                terminal::count(number, "problem")
            ),
        }
    );
    if !report.orphans.is_empty() {
        let orphans = terminal::count(report.orphans.len(), "file");
        let _ = writeln!(text, "{orphans} that no result needs; `orchestrate store gc` deletes them");
    }
    for rivals in &report.rivals {
        let _ = writeln!(text, "{rivals}; a stage that gives other bytes each time is not worth caching");
    }
    for path in &report.strange {
        let _ = writeln!(text, "{}: not made by the store, which leaves it alone", path.display());
    }
    let outcome = if problems.is_empty() { Outcome::Done } else { Outcome::Failed };
    outcome.after_saying(terminal::say(&text))
}

/// Sums up the sizes of outputs.
pub(super) fn size_bytes<'a>(store: &Store, outputs: impl IntoIterator<Item = &'a OutputDigest>) -> u64 {
    let artifacts = outputs.into_iter().filter_map(|digest| store.artifact(digest));
    artifacts.map(|artifact| artifact.size_bytes()).sum()
}

/// Formats a time, in milliseconds since 1970, as `5 min ago`.
pub(super) fn ago(time_ms: u64) -> String {
    match now_ms().saturating_sub(time_ms) / 1000 {
        0..60 => "just now".to_owned(),
        seconds @ 60..3_600 => format!("{} min ago", seconds / 60),
        seconds @ 3_600..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}
