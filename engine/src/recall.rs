//! External files as the records of runs have them: names and digests are in the preimages of keys.

use std::cell::OnceCell;
use std::collections::HashSet;

use orchestrate_cache::{ActionResult, Store, Value};
use serde_json::Value as Json;

use crate::plan::{Recall, Recalled};
use crate::runlog::{History, RunId};

/// Recalls external files from runs.
pub struct RunRecall<'a> {
    store: &'a Store,
    /// The runs, the most relevant first; each with its records once they were read.
    runs: Vec<(RunId, OnceCell<Vec<Record>>)>,
    comes_first: bool,
}

/// A recorded result that has external files or observations.
struct Record {
    kind: String,
    version: Json,
    params: Option<Value>,
    recalled: Recalled,
}

impl<'a> RunRecall<'a> {
    /// Recalls everything as one run had it, whatever lies on the disk.
    pub fn of_run(store: &'a Store, run: RunId) -> Self {
        Self { store, runs: vec![(run, OnceCell::new())], comes_first: true }
    }

    /// Recalls data that are gone from the first of some runs that had them.
    pub fn of_runs(store: &'a Store, runs: Vec<RunId>) -> Self {
        let runs = runs.into_iter().map(|run| (run, OnceCell::new())).collect();
        Self { store, runs, comes_first: false }
    }

    fn read(&self, run: &RunId) -> Vec<Record> {
        let keys = History::new(self.store.runs_dir()).keys(run).unwrap_or_default();
        let recorded: Vec<_> = self.store.results_of(&keys).map(|(key, result, _)| (key, result)).collect();
        let found: HashSet<_> = recorded.iter().map(|(key, _)| *key).collect();
        let missing = keys.iter().filter(|key| !found.contains(key)).copied().collect();
        let collected = self.store.collected(&missing).unwrap_or_default();
        let collected = collected.into_iter().map(|(key, lineage)| (key, lineage.result));
        recorded.into_iter().chain(collected).filter_map(|(_, result)| record(run, result)).collect()
    }
}

impl Recall for RunRecall<'_> {
    fn comes_first(&self) -> bool {
        self.comes_first
    }

    fn recall(&self, kind: &str, version: u32, keyed: &Value) -> Option<Recalled> {
        let is_wanted = |record: &&Record| {
            record.kind == kind && record.version == version && record.params.as_ref() == Some(keyed)
        };
        self.runs.iter().find_map(|(run, records)| {
            let records = records.get_or_init(|| self.read(run));
            records.iter().find(is_wanted).map(|record| record.recalled.clone())
        })
    }
}

/// Reads what is outside of params and inputs in the preimage of a key; `None` if there is nothing.
fn record(run: &RunId, result: ActionResult) -> Option<Record> {
    let preimage = &result.preimage;
    let text = |json: &Json| json.as_str().map(str::to_owned);
    let pairs = |field: &str| preimage[field].as_object().into_iter().flatten();
    let files = preimage["file_order"].as_array().into_iter().flatten();
    let files = files.map(|name| Some((text(name)?, preimage["files"][name.as_str()?].as_str()?.parse().ok()?)));
    let files = files.collect::<Option<Vec<_>>>()?;
    let env: Vec<_> = pairs("env").map(|(name, value)| (name.clone(), text(value))).collect();
    let probes = pairs("observed").map(|(name, value)| Some((name.clone(), text(value)?)));
    let probes = probes.collect::<Option<Vec<_>>>()?;
    if files.is_empty() && env.is_empty() && probes.is_empty() {
        return None;
    }
    let params = Value::from_json(&preimage["params"]).ok();
    let recalled = Recalled { run: run.clone(), files, env, probes };
    Some(Record { kind: result.kind, version: preimage["version"].clone(), params, recalled })
}
