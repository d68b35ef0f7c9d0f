//! `orchestrate store gc`, and the automatic collection after each day's first run.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use orchestrate_cache::{Access, Collected, GcPolicy, GcReport, Store, StoreError};
use orchestrate_engine::event::now_ms;
use orchestrate_engine::resources::display_size;
use orchestrate_engine::runlog::{self, Collection};
use orchestrate_engine::spec::StoreLimits;

use super::pin;
use super::store::ago;
use super::study::nearby_store;
use crate::args::StoreArgs;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

/// The least time between two automatic collections.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// The most results that are listed one by one; an old sweep has thousands.
const RESULTS_SHOWN: usize = 20;

/// Deletes results beyond the limits of the command line, or else of the store.
pub(crate) fn gc(limits: StoreLimits, dry_run: bool, args: StoreArgs) -> anyhow::Result<Outcome> {
    let store = nearby_store(&args, Access::ReadWrite)?;
    let limits = if limits.is_some() { limits } else { StoreLimits::of_store(store.dir(), None)? };
    if !limits.is_some() {
        let help = "say how much to keep: --max-size 20GB, --max-age 30d, or both; or `[store]` in orchestrate.toml";
        return Err(UsageError(format!("nothing limits the store\nhelp: {help}")).into());
    }
    let done = collect(&store, &GcPolicy { dry_run, ..policy(&limits) })?;
    let collected = &done.report.collected;
    let said = terminal::say(&(results(collected) + &by_kind(collected) + &total(&done, dry_run)));
    terminal::complain(&over_limit(&done.report, &limits).unwrap_or_default());
    Outcome::Done.after_saying(said)
}

/// Collects after a run, if the store has limits and the last collection was a day ago. Returns a summary.
///
/// Results of the run stay. A failed collection is only a warning, as the run is done.
pub(super) fn after_run(store: &Store, limits: &StoreLimits) -> Option<String> {
    if !limits.is_some() || store.access() == Access::ReadOnly || !is_due(store.last_gc_ms(), now_ms()) {
        return None;
    }
    let collected = everybodys(store)
        .and_then(|all| collect(all.as_ref().unwrap_or(store), &GcPolicy { keep_own: true, ..policy(limits) }));
    let done = match collected {
        Ok(done) => done,
        // Another process is collecting now.
        Err(StoreError::GcRunning { .. }) => return None,
        Err(error) => return Some(format!("warning: the store's limits are not kept: {error}\n")),
    };
    let went = done.report.bytes_freed > 0 || !done.report.collected.is_empty();
    let line = went.then(|| format!("store limits: {}", total(&done, false)));
    let over = over_limit(&done.report, limits);
    (line.is_some() || over.is_some()).then(|| line.unwrap_or_default() + &over.unwrap_or_default())
}

/// Opens a store that passes over untrusted results once more, with all of them: those of others stay or go as the
/// limits say.
fn everybodys(store: &Store) -> Result<Option<Store>, StoreError> {
    store.trust().is_limited().then(|| Store::open(store.dir(), store.access())).transpose()
}

/// Collects results and logs; logs of pinned runs stay.
fn collect(store: &Store, policy: &GcPolicy) -> Result<Collection, StoreError> {
    let pinned = store.pins()?.iter().filter_map(pin::run_of).collect();
    runlog::collect(store, policy, &pinned)
}

fn policy(limits: &StoreLimits) -> GcPolicy {
    let StoreLimits { max_size_bytes, max_age, .. } = *limits;
    GcPolicy { max_size_bytes, max_age, ..GcPolicy::default() }
}

fn is_due(last_gc_ms: Option<u64>, now_ms: u64) -> bool {
    // A time in the future comes from a wrong clock.
    last_gc_ms.is_none_or(|last| last > now_ms || u128::from(now_ms - last) >= INTERVAL.as_millis())
}

pub(super) fn results(collected: &[Collected]) -> String {
    let mut text = String::new();
    for Collected { key, node, last_used_ms, .. } in collected.iter().take(RESULTS_SHOWN) {
        let used = ago(*last_used_ms);
        let _ = writeln!(text, "{}  {used:>12}  {node}", key.0.short());
    }
    if let more @ 1.. = collected.len().saturating_sub(RESULTS_SHOWN) {
        let _ = writeln!(text, "and {more} more, used later");
    }
    text
}

/// Tabulates by kind of stage the bytes freed and the time to recompute, the longest first.
pub(super) fn by_kind(collected: &[Collected]) -> String {
    let mut kinds: BTreeMap<&str, (usize, u64, u64)> = BTreeMap::new();
    for Collected { kind, size_bytes, elapsed_ms, .. } in collected {
        let (results, size, elapsed) = kinds.entry(kind).or_default();
        *results += 1;
        *size += size_bytes;
        *elapsed += elapsed_ms;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(kind, (_, _, elapsed_ms))| (std::cmp::Reverse(*elapsed_ms), *kind));
    let mut text = String::new();
    if !kinds.is_empty() {
        let _ = writeln!(text, "\n{:14} {:>8} {:>10} {:>16}", "kind", "results", "size", "computing again");
    }
    for (kind, (results, size_bytes, elapsed_ms)) in kinds {
        let (size, cost) = (display_size(size_bytes), terminal::duration(elapsed_ms));
        let _ = writeln!(text, "{kind:14} {results:>8} {size:>10} {cost:>16}");
    }
    text
}

pub(super) fn total(done: &Collection, dry_run: bool) -> String {
    let report = &done.report;
    let (verb, free, keep) =
        if dry_run { ("would delete", "would free", "would keep") } else { ("deleted", "freed", "kept") };
    let results = terminal::count(report.collected.len(), "result");
    let files = terminal::count(report.objects as usize, "large file");
    let what = match done.runs {
        0 => format!("{results} and {files}"),
        runs => format!(
            "{results}, {files} and logs of {} ({})",
            terminal::count(runs, "run"),
            display_size(report.log_bytes_freed)
        ),
    };
    let mut text = format!(
        "{verb} {what}, {free} {}, {keep} {}; computing it again would take {}\n",
        display_size(report.bytes_freed),
        display_size(report.bytes_kept),
        terminal::duration(report.recompute_ms),
    );
    if report.in_use {
        text += "a run uses the store: results that it may need were kept\n";
    }
    text
}

/// Warns if the results that must stay exceed the limit.
fn over_limit(report: &GcReport, limits: &StoreLimits) -> Option<String> {
    let max = limits.max_size_bytes.filter(|max| report.bytes_kept > *max)?;
    Some(format!(
        "warning: pinned results, results that runs need and the log of the latest run take {}, more than the {} that \
         the store may hold\n",
        display_size(report.bytes_protected),
        display_size(max),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use orchestrate_cache::{ActionKey, Digest};

    fn collected(kind: &str, size_bytes: u64, elapsed_ms: u64) -> Collected {
        let key = ActionKey(Digest::of(kind.as_bytes()));
        let (node, kind) = (kind.to_owned(), kind.to_owned());
        Collected { key, node, kind, last_used_ms: 0, size_bytes, elapsed_ms }
    }

    #[test]
    fn deleted_results_are_summed_by_kind_the_longest_first() {
        let all = [
            collected("score", 1_000, 5),
            collected("train", 700_000_000, 5_400_000),
            collected("score", 2_000, 10),
            collected("train", 600_000_000, 9_000_000),
        ];
        let expected = [
            "",
            "kind            results       size  computing again",
            "train                 2     1.3 GB       4 h 00 min",
            "score                 2       3 kB           0.01 s",
            "",
        ];
        assert_eq!(by_kind(&all), expected.join("\n"));
        assert_eq!(by_kind(&[]), "");
    }

    #[test]
    fn a_day_passes_between_two_collections() {
        let day = 86_400_000;
        assert!(is_due(None, 5) && is_due(Some(0), day) && is_due(Some(5), 4));
        assert!(!is_due(Some(1), day) && !is_due(Some(5), 5));
    }
}
