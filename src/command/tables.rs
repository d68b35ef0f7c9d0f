//! The tables of a study that people see: printed at the end of a run, and shown again from its record.

use std::collections::HashMap;

use orchestrate_cache::{OutputDigest, Store, StoreError};
use orchestrate_engine::known::KnownOutputs;
use orchestrate_engine::node::NodeId;
use orchestrate_engine::plan::Plan;

use super::study::Study;

/// The output file that is printed at the end of a run.
const PRINTED: &str = "table.txt";

/// Finds the outputs with a printed table, in the order of the spec.
pub(super) fn find(plan: &Plan, outputs: &KnownOutputs, store: &Store) -> Vec<(NodeId, OutputDigest)> {
    // A kind with fixed outputs writes the same files at each point, so one point tells for all.
    let digests = |id: NodeId| outputs.digests(id).unwrap_or_default();
    let mut prints: HashMap<u32, bool> = HashMap::new();
    let mut found = Vec::new();
    for id in plan.ids().filter(|id| !digests(*id).is_empty()) {
        let has_table = || {
            let is_free = plan.stage(id).kind.facts().outputs.is_empty();
            is_free || store.have_file(digests(id), PRINTED).contains(&true)
        };
        if *prints.entry(plan.node(id).stage).or_insert_with(has_table) {
            found.extend(digests(id).iter().map(|digest| (id, *digest)));
        }
    }
    let have_table = store.have_file(&found.iter().map(|(_, digest)| *digest).collect::<Vec<_>>(), PRINTED);
    let tables = found.into_iter().zip(have_table).filter(|(_, has_table)| *has_table);
    let mut tables: Vec<_> = tables.map(|(output, _)| output).collect();
    tables.sort_by_key(|(id, _)| (plan.stage(*id).declared, *id));
    tables
}

/// Returns the text of every table with the name of its node.
pub(super) fn texts(study: &Study, tables: &[(NodeId, OutputDigest)]) -> Result<Vec<(String, String)>, StoreError> {
    let texts = tables.iter().filter_map(|(id, digest)| {
        let text = read(&study.store, digest, PRINTED)?;
        Some(text.map(|text| (study.plan.name(*id).to_string(), String::from_utf8_lossy(&text).into_owned())))
    });
    texts.collect()
}

/// Reads one file of an output; `None` if the output has no such file, or the store has lost it.
pub(super) fn read(store: &Store, output: &OutputDigest, name: &str) -> Option<Result<Vec<u8>, StoreError>> {
    let artifact = store.artifact(output)?;
    let file = artifact.files.iter().find(|file| file.name == name)?;
    Some(store.read(&file.digest))
}
