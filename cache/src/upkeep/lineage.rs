//! The file `lineage`: a line of sealed JSON for each collected result, with key, outputs, preimage and provenance, so
//! that the origin of a number can still be found.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader};

use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::disk;
use crate::files::frame::{is_sealed, sealed};
use crate::files::regular;
use crate::format::layout::Layout;
use crate::store::Store;
use crate::upkeep::gc_report::Collected;
use crate::value::artifact::{ActionKey, ActionResult, OutputDigest};
use crate::value::producer::Producer;

/// A longer file is none.
pub(crate) const BYTES_MAX: u64 = 1 << 32;

/// A collected result.
#[derive(Clone, Debug, PartialEq)]
pub struct Lineage {
    /// Its key.
    pub key: ActionKey,
    /// Its record.
    pub result: ActionResult,
    /// When it was collected, in milliseconds since 1970.
    pub collected_ms: u64,
}

/// The fields of a line, in their order.
#[derive(Serialize, Deserialize)]
struct Line {
    key: ActionKey,
    node: String,
    kind: String,
    run: String,
    device: String,
    outputs: Vec<(String, OutputDigest)>,
    elapsed_ms: u64,
    recorded_ms: u64,
    last_used_ms: u64,
    collected_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    producer: Option<Producer>,
    #[serde(rename = "manifest")]
    preimage: serde_json::Value,
}

impl From<Line> for Lineage {
    fn from(line: Line) -> Self {
        let Line { key, outputs, preimage, node, kind, run, device, .. } = line;
        let Line { elapsed_ms, recorded_ms, collected_ms, producer, .. } = line;
        let result = ActionResult { outputs, preimage, node, kind, run, elapsed_ms, recorded_ms, device, producer };
        Self { key, result, collected_ms }
    }
}

impl Store {
    /// Iterates over all collected results, the earliest first; one collected twice comes twice.
    ///
    /// Unreadable lines, as a crash may leave one, are skipped.
    pub fn lineage(&self) -> Result<impl Iterator<Item = Lineage> + use<>, StoreError> {
        let path = self.layout.lineage();
        let file = match regular::open_bounded(&path, BYTES_MAX) {
            Ok((file, _)) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let lines = file.into_iter().flat_map(|file| BufReader::with_capacity(1 << 20, file).split(b'\n'));
        let lines = lines.map_while(Result::ok).filter_map(|line| serde_json::from_slice::<Line>(&line).ok());
        Ok(lines.map(Lineage::from))
    }

    /// Returns the lineage of those keys that were collected; the latest one, if a key was collected more than once.
    pub fn collected(&self, keys: &HashSet<ActionKey>) -> Result<HashMap<ActionKey, Lineage>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let wanted = self.lineage()?.filter(|lineage| keys.contains(&lineage.key));
        Ok(wanted.map(|lineage| (lineage.key, lineage)).collect())
    }

    /// Removes the lines of some keys durably, and unreadable ones, which may be theirs.
    pub(crate) fn drop_lineage(&self, keys: &HashSet<ActionKey>) -> Result<(), StoreError> {
        let path = self.layout.lineage();
        let bytes = match disk::read(&path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let stays = |line: &&[u8]| {
            let line = serde_json::from_slice::<Line>(line).ok().filter(|_| is_sealed(line) == Some(true));
            line.is_some_and(|line| !keys.contains(&line.key))
        };
        let left = bytes.split_inclusive(|byte| *byte == b'\n').filter(stays).collect::<Vec<_>>().concat();
        if left.len() < bytes.len() { disk::replace(&path, &left, true) } else { Ok(()) }
    }

    /// Appends the lines of collected results durably.
    pub(crate) fn write_lineage(&self, collected: &[Collected], collected_ms: u64) -> Result<(), StoreError> {
        if collected.is_empty() {
            return Ok(());
        }
        let line = |Collected { key, last_used_ms, .. }: &Collected| {
            let ActionResult { outputs, preimage, node, kind, run, elapsed_ms, recorded_ms, device, producer } =
                self.recorded(key)?;
            let (key, last_used_ms) = (*key, *last_used_ms);
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
                producer,
                preimage,
            };
            Some(sealed(&line) + "\n")
        };
        let lines: String = collected.iter().filter_map(line).collect();
        append(&self.layout, lines.as_bytes())
    }
}

/// Appends lines durably, in place of half a line after a crash.
fn append(layout: &Layout, lines: &[u8]) -> Result<(), StoreError> {
    let path = layout.lineage();
    let file = disk::open_or_create(&path)?;
    let before = disk::read(&path, BYTES_MAX).map_err(StoreError::io("read", &path))?;
    let end = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    if end < before.len() {
        disk::truncate(&file, end as u64, &path)?;
    }
    disk::write_at(&file, lines, end as u64, &path)?;
    disk::sync(&file, &path)
}

/// Returns the damage of the file's bytes, whether only its end is damaged, and the bytes that can be kept.
pub(crate) fn damage(bytes: &[u8]) -> Option<(String, bool, Vec<u8>)> {
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\n").collect();
    let is_whole = |line: &&&[u8]| line.ends_with(b"\n") && is_sealed(line) == Some(true);
    let whole: Vec<_> = lines.iter().filter(is_whole).copied().collect();
    let bad = lines.len() - whole.len();
    let only_end = bad == 1 && !bytes.ends_with(b"\n");
    (bad > 0).then(|| (format!("{bad} of {} lines are damaged", lines.len()), only_end, whole.concat()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn half_a_line_does_not_spoil_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::at(dir.path()).unwrap();
        let line = (sealed(&serde_json::json!({ "node": "score" })) + "\n").into_bytes();
        append(&layout, &line).unwrap();
        append(&layout, &line[..9]).unwrap();
        assert!(damage(&fs::read(layout.lineage()).unwrap()).is_some_and(|(_, only_end, _)| only_end));
        append(&layout, &line).unwrap();
        let twice = [&line[..], &line].concat();
        assert_eq!(fs::read(layout.lineage()).unwrap(), twice);
        let mut flipped = twice.clone();
        flipped[9] ^= 1;
        let (message, only_end, whole) = damage(&flipped).unwrap();
        assert_eq!((message.as_str(), only_end, whole), ("1 of 2 lines are damaged", false, line));
        assert!(damage(&twice).is_none());
    }
}
