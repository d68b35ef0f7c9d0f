//! External files as the records of runs have them: names and digests are in the preimages of keys.

use std::cell::OnceCell;
use std::collections::HashSet;

use orchestrate_cache::{ActionResult, Store, Value};
use serde_json::Value as Json;

use crate::plan::{Recall, Recalled};
use crate::runlog::{History, RunId};
use crate::stage::Stage;

/// Recalls external files from a run.
pub struct RunRecall<'a> {
    store: &'a Store,
    run: RunId,
    /// Its records, once they were read.
    records: OnceCell<Vec<Record>>,
}

/// A recorded result that has external files or observations.
struct Record {
    kind: String,
    version: Json,
    params: Option<Value>,
    recalled: Recalled,
}

impl<'a> RunRecall<'a> {
    /// Recalls everything as a run had it, whatever lies on the disk.
    pub fn of_run(store: &'a Store, run: RunId) -> Self {
        Self { store, run, records: OnceCell::new() }
    }

    fn read(&self) -> Vec<Record> {
        let run = &self.run;
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
        true
    }

    fn recall(&self, kind: &dyn Stage, keyed: &Value, _: &Json) -> Option<Recalled> {
        let facts = kind.facts();
        let is_wanted = |record: &&Record| {
            record.kind == facts.kind && record.version == facts.version && record.params.as_ref() == Some(keyed)
        };
        let records = self.records.get_or_init(|| self.read());
        records.iter().find(is_wanted).map(|record| record.recalled.clone())
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
