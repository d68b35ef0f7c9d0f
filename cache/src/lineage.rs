//! What is left of a collected result: one line of JSON in the file `lineage` with its key, outputs, manifest and
//! provenance, so that it can still be told where a number came from.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use crate::artifact::{ActionKey, ActionResult, OutputDigest};
use crate::disk;
use crate::error::StoreError;
use crate::gc::Collected;
use crate::store::Store;

/// A result that was collected.
#[derive(Clone, Debug, PartialEq)]
pub struct Lineage {
    /// Its key.
    pub key: ActionKey,
    /// What was recorded for it.
    pub result: ActionResult,
    /// When it was collected, in milliseconds since 1970.
    pub collected_ms: u64,
}

/// A line as it is written.
#[derive(Serialize, Deserialize)]
struct Line {
    key: ActionKey,
    node: String,
    kind: String,
    run: String,
    device: String,
    outputs: Outputs,
    elapsed_ms: u64,
    recorded_ms: u64,
    #[serde(default)]
    last_used_ms: u64,
    collected_ms: u64,
    manifest: serde_json::Value,
}

/// In the order in which the stage declares them; lines of before have a map.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Outputs {
    List(Vec<(String, OutputDigest)>),
    Map(std::collections::BTreeMap<String, OutputDigest>),
}

impl Line {
    fn into_lineage(self) -> Lineage {
        let outputs = match self.outputs {
            Outputs::List(list) => list,
            Outputs::Map(map) => map.into_iter().collect(),
        };
        let Self { key, node, kind, run, device, elapsed_ms, recorded_ms, collected_ms, manifest, .. } = self;
        let result = ActionResult { outputs, manifest, node, kind, run, elapsed_ms, recorded_ms, device };
        Lineage { key, result, collected_ms }
    }
}

impl Store {
    /// All results that were collected, the earliest first; one that was collected twice comes twice.
    ///
    /// Lines that cannot be read, as a crash may leave one, are skipped.
    pub fn lineage(&self) -> Result<impl Iterator<Item = Lineage> + use<>, StoreError> {
        let path = self.layout.lineage();
        let file = match fs::File::open(&path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let lines = file.into_iter().flat_map(|file| BufReader::with_capacity(1 << 20, file).split(b'\n'));
        let lines = lines.map_while(Result::ok).filter_map(|line| serde_json::from_slice(&line).ok());
        Ok(lines.map(Line::into_lineage))
    }

    /// What is left of the results of some keys, as far as they were collected; the latest, where more than once.
    pub fn collected(&self, keys: &HashSet<ActionKey>) -> Result<HashMap<ActionKey, Lineage>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let wanted = self.lineage()?.filter(|lineage| keys.contains(&lineage.key));
        Ok(wanted.map(|lineage| (lineage.key, lineage)).collect())
    }

    /// Appends the lines of results that are about to go, durably.
    pub(crate) fn write_lineage(&self, collected: &[Collected], now_ms: u64) -> Result<(), StoreError> {
        if collected.is_empty() {
            return Ok(());
        }
        let path = self.layout.lineage();
        let file = disk::open_or_create(&path)?;
        let end = file.metadata().map_err(StoreError::io("read", &path))?.len();
        let mut lines = Vec::new();
        let mut last = [0];
        // A line that a crash has torn stays alone.
        if end > 0 && file.read_at(&mut last, end - 1).map_err(StoreError::io("read", &path))? == 1 && last != *b"\n" {
            lines.push(b'\n');
        }
        for Collected { key, last_used_ms, .. } in collected {
            let Some(result) = self.recorded(key) else { continue };
            let ActionResult { outputs, manifest, node, kind, run, elapsed_ms, recorded_ms, device } = result;
            let outputs = Outputs::List(outputs);
            let (key, last_used_ms, collected_ms) = (*key, *last_used_ms, now_ms);
            let line = Line {
                key,
                node,
                kind,
                run,
                device,
                outputs,
                elapsed_ms,
                recorded_ms,
                last_used_ms,
                collected_ms,
                manifest,
            };
            serde_json::to_writer(&mut lines, &line).expect("texts and JSON values can be written to memory");
            lines.write_all(b"\n").expect("memory can be written to");
        }
        disk::write_at(&file, &lines, end, &path)?;
        disk::sync(&file, &path)
    }
}
