//! Durations of nodes and needs of stages, for estimates.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use orchestrate_cache::{disk, is_sealed, sealed};
use serde::{Deserialize, Serialize};

use crate::node::NodeName;
use crate::usage::{Needs, Usage};

/// The shortest duration that is kept for a node by itself. Shorter ones are many, and the mean of the stage is as
/// good.
const SHORT_MS: u64 = 100;
/// The largest size of a file that is read.
const BYTES_MAX: u64 = 1 << 30;

/// Durations of nodes and needs of stages, for estimates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    /// In milliseconds.
    by_node: HashMap<String, u64>,
    /// Sum in milliseconds, and count.
    by_stage: HashMap<String, (u64, u64)>,
    /// Of stages in worker processes; nothing in files of earlier versions.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    needs: HashMap<String, Needs>,
}

impl Durations {
    /// Adds one duration of the current run; a short one counts for its stage only.
    pub(super) fn add(&mut self, node: &NodeName, elapsed_ms: u64) {
        if elapsed_ms >= SHORT_MS {
            // A node that ran twice in a run replaced a lost result, and the later time counts.
            self.by_node.insert(node.as_str().to_owned(), elapsed_ms);
        }
        let (sum_ms, count) = self.by_stage.entry(node.stage().to_owned()).or_default();
        *sum_ms = sum_ms.saturating_add(elapsed_ms);
        *count = count.saturating_add(1);
    }

    /// Adds what one batch of the current run used.
    pub(super) fn add_used(&mut self, node: &NodeName, members: usize, used: &Usage) {
        self.needs.entry(node.stage().to_owned()).or_default().add(members, used);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_stage.is_empty()
    }

    /// Adds the durations of an earlier run.
    pub(super) fn extend(&mut self, earlier: Self) {
        for (node, elapsed_ms) in earlier.by_node {
            self.by_node.entry(node).or_insert(elapsed_ms);
        }
        for (stage, (sum_ms, count)) in earlier.by_stage {
            let (sum, all) = self.by_stage.entry(stage).or_default();
            *sum = sum.saturating_add(sum_ms);
            *all = all.saturating_add(count);
        }
        for (stage, needs) in earlier.needs {
            self.needs.entry(stage).or_default().join(&needs);
        }
    }

    /// Returns the latest duration of a node, else the mean of its stage.
    pub fn estimate_ms(&self, node: &NodeName) -> Option<u64> {
        self.by_node.get(node.as_str()).copied().or_else(|| self.stage_mean_ms(node.stage()))
    }

    /// Returns the mean over the nodes of a stage.
    pub fn stage_mean_ms(&self, stage: &str) -> Option<u64> {
        self.by_stage.get(stage).map(|(sum_ms, count)| sum_ms.checked_div(*count).unwrap_or(0))
    }

    /// Returns the greatest needs of a stage; `None` if no run measured them.
    pub fn needs(&self, stage: &str) -> Option<Needs> {
        self.needs.get(stage).copied()
    }

    /// Writes the durations to a file, unless there are none.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        disk::replace(path, &self.to_bytes(), false).map_err(io::Error::other)
    }

    /// Returns the contents of a file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        sealed(self).into_bytes()
    }

    /// Reads durations from a file; `None` if it is missing or damaged.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let bytes = disk::read(path, BYTES_MAX).ok().filter(|bytes| is_sealed(bytes) == Some(true))?;
        serde_json::from_slice(&bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Point;
    use serde_json::json;

    fn score(fold: u32) -> NodeName {
        NodeName::new("score", Point(vec![("fold".into(), json!(fold))]))
    }

    #[test]
    fn sums_of_a_run_keep_long_nodes_and_the_means_of_stages() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("durations.json");
        let mut summed = Durations::default();
        summed.add(&score(1), 10);
        summed.add(&score(2), 400);
        summed.write(&path).expect("the folder is writable");
        let mut read = Durations::default();
        read.add(&score(2), 300);
        read.extend(Durations::read(&path).expect("it was just written"));
        assert_eq!(read.estimate_ms(&score(2)), Some(300), "the newer one holds");
        assert_eq!(read.estimate_ms(&score(1)), Some((300 + 10 + 400) / 3));
        let of_an_earlier_version = sealed(&json!({ "by_node": {}, "by_stage": { "score": [5, 1] } }));
        std::fs::write(&path, of_an_earlier_version).expect("the folder is writable");
        assert_eq!(Durations::read(&path).and_then(|read| read.stage_mean_ms("score")), Some(5));
    }
}
