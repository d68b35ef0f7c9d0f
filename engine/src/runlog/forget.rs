//! Forgetting of results together with the logs of the runs that used them.
//!
//! Such a run loses all of its logs: events, durations and node logs. Stages print what they like, names of files
//! among it, and a warning or the cause of a failure may quote an image. Runs whose logs name a file that is to be
//! forgotten lose theirs too: a run that failed to read it recorded no result.
//!
//! A checkpoint has a key and no inputs. The logs tell which runs worked on it: it stays only if none of them used
//! what is to be forgotten.

use std::collections::{BTreeSet, HashSet};
use std::io;

use orchestrate_cache::{ActionKey, Forgetting, Forgotten, Store, StoreError, disk};
use rayon::prelude::*;

use super::collect::{Collection, Removal};
use super::files::RunFiles;
use super::history::History;
use super::layout::LOGS;
use crate::event::RunStarted;
use crate::run_id::RunId;

/// The largest node log that is searched for names; of a larger one the start is.
const LOG_BYTES_MAX: u64 = 1 << 30;

/// Traces of results in the logs of runs, and unfinished work on them.
#[derive(Debug, Default)]
pub struct Traces {
    /// Runs that used the results, or whose logs name one of the files; the newest first.
    pub runs: Vec<RunId>,
    /// The requests of these runs, as far as they can be read; the newest first.
    pub requests: Vec<RunStarted>,
    /// Keys without a result whose checkpoints may be made of the results.
    pub checkpoints: BTreeSet<ActionKey>,
}

/// Finds the traces of some results, and of files by their names in keys.
pub fn traces(store: &Store, keys: &HashSet<ActionKey>, names: &BTreeSet<String>) -> Result<Traces, StoreError> {
    let history = History::new(store.runs_dir());
    let is_unfinished = |key: &ActionKey| !keys.contains(key) && store.recorded(key).is_none();
    let unfinished: Vec<_> = store.checkpointed()?.into_iter().filter(is_unfinished).collect();
    let look = |run: RunId| -> (RunId, bool, Vec<ActionKey>) {
        let text = match history.text(&run) {
            Ok(text) => text,
            // A run that was killed before its first event.
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            // It used nobody knows what.
            Err(_) => return (run, true, unfinished.clone()),
        };
        let used = history.keys_in(&run, &text).map_or(true, |used| used.iter().any(|key| keys.contains(key)));
        let is_affected = used || names_any(&text, names) || logs_name_any(store, &run, names);
        let begun = unfinished.iter().filter(|key| text.contains(&key.0.to_string()));
        (run, is_affected, begun.copied().collect())
    };
    let looked_at: Vec<_> = history.runs().into_par_iter().map(look).collect();
    let is_begun = |key: &&ActionKey| looked_at.iter().any(|(_, _, begun)| begun.contains(key));
    let mut traces = Traces::default();
    traces.checkpoints.extend(unfinished.iter().filter(|key| !is_begun(key)));
    for (run, _, begun) in looked_at.into_iter().filter(|(_, is_affected, _)| *is_affected) {
        traces.checkpoints.extend(begun);
        traces.requests.extend(history.started(&run).ok().flatten());
        traces.runs.push(run);
    }
    Ok(traces)
}

/// Says what a forgetting would remove, logs included; changes nothing.
pub fn plan_forgetting(store: &Store, what: &Forgetting) -> Result<Collection, StoreError> {
    let report = store.plan_forgetting(what)?;
    Ok(with_logs(report, &files(store, what)))
}

/// Removes results with all that they leave, the logs of their runs included; returns what was forgotten too, with the
/// rest of an interrupted forgetting. Errors: those of [`Store::forget`].
pub fn forget(store: &Store, what: &Forgetting) -> Result<(Collection, Forgetting), StoreError> {
    let mut runs = Vec::new();
    let Forgotten { report, what } = store.forget(what, |what| {
        runs = files(store, what);
        let mut removal = Removal::default();
        for RunFiles { dir, record, logs, .. } in &runs {
            let logs_dir = dir.join(LOGS);
            removal.remove(&logs.paths, &[&logs_dir]);
            removal.remove(&record.paths, &[&logs_dir, dir]);
        }
        removal.outcome()
    })?;
    Ok((with_logs(report, &runs), what))
}

fn files(store: &Store, what: &Forgetting) -> Vec<RunFiles> {
    let find = |run: &String| {
        let mut files = RunFiles::find(&store.runs_dir(), run.parse().ok()?)?;
        files.read_events();
        Some(files)
    };
    what.runs.iter().filter_map(find).collect()
}

fn with_logs(mut report: orchestrate_cache::GcReport, runs: &[RunFiles]) -> Collection {
    let size_bytes = runs.iter().map(|run| run.record.size_bytes + run.logs.size_bytes).sum::<u64>();
    report.log_bytes_freed += size_bytes;
    report.bytes_freed += size_bytes;
    Collection { report, runs: runs.len() }
}

fn logs_name_any(store: &Store, run: &RunId, names: &BTreeSet<String>) -> bool {
    if names.is_empty() {
        return false;
    }
    let Some(files) = RunFiles::find(&store.runs_dir(), run.clone()) else { return false };
    files.logs.paths.iter().any(|path| match disk::read(path, LOG_BYTES_MAX) {
        Ok(bytes) => names_any(&String::from_utf8_lossy(&bytes), names),
        // What cannot be read may name it.
        Err(_) => true,
    })
}

/// Returns whether a text has one of some names, as a whole word or in a path, as it is or as JSON writes it.
fn names_any(text: &str, names: &BTreeSet<String>) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let has = |name: &str| {
        text.match_indices(name)
            .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part))
    };
    names.iter().filter(|name| !name.is_empty()).any(|name| {
        let quoted = serde_json::to_string(name).expect("a text is written as JSON");
        has(name) || has(quoted.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use orchestrate_cache::{Access, CHECKPOINT_HEADER_BYTES, Checkpoints, Digest};

    use super::*;
    use crate::event::{Counts, Event, Reporter, TimedEvent};
    use crate::node::{NodeName, Point};
    use crate::runlog::RunLog;

    fn key(name: &str) -> ActionKey {
        ActionKey(Digest::of(name.as_bytes()))
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Writes the log of a run in which `ran` ran, `began` began and printed a text.
    fn run(store: &Store, ran: &str, began: &str, printed: &str) -> RunId {
        let mut log = RunLog::create(&store.runs_dir());
        let node = NodeName::new(began, Point::default());
        let path = log.node_log(&node);
        let events = [
            Event::RunStarted(RunStarted {
                run: log.id().clone(),
                spec: format!("{ran}.toml").into(),
                overrides: Vec::new(),
                nodes: 2,
                jobs: 1,
                device: "cpu".to_owned(),
                version: "1".to_owned(),
                origin: None,
            }),
            Event::NodeRan {
                node: NodeName::new(ran, Point::default()),
                key: key(ran),
                outputs: Vec::new(),
                elapsed_ms: 1,
            },
            Event::NodeStarted { node, key: key(began), members: 1, log: Some(path.clone()) },
            Event::RunFinished { counts: Counts::default(), elapsed_ms: 1, made: Default::default(), remote: None },
        ];
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the store is writable");
        fs::write(path, printed).expect("the store is writable");
        events.into_iter().for_each(|event| log.report(&TimedEvent::now(event)));
        std::thread::sleep(std::time::Duration::from_millis(2));
        log.id().clone()
    }

    fn checkpoint(store: &Store, name: &str) {
        let checkpoints = Checkpoints::new(&store.checkpoint_dir(&key(name)), key(name));
        checkpoints.save(1, vec![7; CHECKPOINT_HEADER_BYTES + 9]).expect("the store is writable");
    }

    #[test]
    fn runs_that_used_a_result_or_name_a_file_go_with_their_checkpoints_and_no_others() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(dir.path(), Access::ReadWrite).expect("the folder is empty");
        let used = run(&store, "data", "train", "epoch 1");
        let named = run(&store, "another", "b", "cannot read 'set/images/1.png'");
        let other = run(&store, "other", "other train", "images/11.png, images/1.png2 and images/1.pn");
        ["train", "other train", "nobody knows"].iter().for_each(|name| checkpoint(&store, name));
        let found = traces(&store, &HashSet::from([key("data")]), &names(&["images/1.png"])).expect("logs are read");
        assert_eq!(found.runs, [named.clone(), used.clone()]);
        let specs: Vec<_> = found.requests.iter().map(|request| request.spec.display().to_string()).collect();
        assert_eq!(specs, ["another.toml", "data.toml"]);
        assert_eq!(found.checkpoints, BTreeSet::from([key("train"), key("nobody knows")]));

        let runs = found.runs.iter().map(ToString::to_string).collect();
        let what = Forgetting { runs, checkpoints: found.checkpoints, ..Forgetting::default() };
        fs::write(store.runs_dir().join(used.as_str()).join("notes.txt"), "mine").expect("the store is writable");
        let planned = plan_forgetting(&store, &what).expect("it only looks");
        let (done, _) = forget(&store, &what).expect("nobody else has the store open");
        assert_eq!(done, planned);
        assert_eq!((done.runs, done.report.checkpoints), (2, 2));
        assert!(done.report.log_bytes_freed > 500, "{:?}", done.report);
        let files = |run: &RunId| {
            let entries = fs::read_dir(store.runs_dir().join(run.as_str())).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().into_string().expect("plain names")).collect::<Vec<_>>()
        };
        assert_eq!((files(&named).len(), files(&used), files(&other).len()), (0, vec!["notes.txt".to_owned()], 3));
        assert!(store.checkpoint_dir(&key("other train")).exists());
    }

    #[test]
    fn a_run_whose_list_of_hits_is_lost_counts_as_one_that_used_the_result() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(dir.path(), Access::ReadWrite).expect("the folder is empty");
        let mut log = RunLog::create(&store.runs_dir());
        log.report(&TimedEvent::now(Event::NodesHit { nodes: 200, list: Digest::of(b"lost") }));
        log.flush().expect("the store is writable");
        let found = traces(&store, &HashSet::from([key("data")]), &names(&[])).expect("logs are read");
        assert_eq!(found.runs, [log.id().clone()]);
    }

    #[test]
    fn names_are_found_whole_in_paths_quotes_and_json() {
        let has = |text: &str, name: &str| names_any(text, &names(&[name]));
        for text in ["1.png", "`1.png`", "/data/1.png: bad", "{\"cause\":\"1.png\"}", "11.png 1.png"] {
            assert!(has(text, "1.png"), "{text}");
        }
        for text in ["11.png", "1.pngx", "x_1.png", "1_png", ""] {
            assert!(!has(text, "1.png"), "{text}");
        }
        assert!(has(r#"{"cause":"a\"b.png is bad"}"#, "a\"b.png") && has("größe.png", "größe.png"));
    }
}
