//! `provenance.json`: a file among the files of a published point that says where they came from.

use std::path::{Path, PathBuf};

use orchestrate_cache::{ActionKey, OutputDigest, disk};
use serde::{Deserialize, Serialize};

use super::record::{Owner, PointRecord};

/// Name of the sidecar, unless an output has a file of that name.
pub(super) const SIDECAR: &str = "provenance.json";

/// The size of the largest sidecar; a larger file was not written here.
const BYTES_MAX: u64 = 1 << 26;

/// The provenance of a published point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sidecar {
    /// Name of the node.
    pub(super) node: String,
    pub(super) key: ActionKey,
    pub(super) outputs: Vec<(String, OutputDigest)>,
    /// Name of the experiment.
    pub(super) experiment: String,
    /// Path of the spec, relative to the project's root if it lies below it.
    #[serde(with = "orchestrate_cache::native_path")]
    pub(super) spec: PathBuf,
    /// `--set` values.
    pub(super) overrides: Vec<String>,
    /// Published files, relative to the sidecar.
    pub(super) files: Vec<String>,
    /// True if the last run did not reach this point.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) older_run: bool,
}

impl Sidecar {
    /// Reads a sidecar; `None` if the path is no regular file (a link could lead elsewhere), or is no sidecar.
    pub(super) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&disk::read(path, BYTES_MAX).ok()?).ok()
    }

    /// The bytes of the file.
    pub(super) fn text(&self) -> Vec<u8> {
        (serde_json::to_string_pretty(self).expect("a sidecar is plain data") + "\n").into_bytes()
    }

    /// Makes the record of the point, without files; `name` is that of the sidecar.
    pub(super) fn point(&self, folder: String, run: &str, name: &str) -> PointRecord {
        PointRecord {
            folder,
            node: self.node.clone(),
            key: self.key,
            outputs: self.outputs.clone(),
            run: run.to_owned(),
            older_run: self.older_run,
            sidecar: name.to_owned(),
            before: Vec::new(),
            files: Vec::new(),
        }
    }

    /// The owner of the folder.
    pub(super) fn owner(&self) -> Owner {
        let stage = self.node.split('[').next().unwrap_or_default();
        Owner::new(&self.experiment, stage, &self.spec)
    }
}

/// Returns a name for the sidecar that is no name and no folder of a file.
pub(super) fn free_name<'a>(files: impl Iterator<Item = &'a str> + Clone) -> String {
    let is_taken = |name: &String| {
        let mut files = files.clone();
        files.any(|file| file.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    let others = (1_u32..).map(|number| match number {
        1 => "provenance.orchestrate.json".to_owned(),
        _ => format!("provenance.orchestrate-{number}.json"),
    });
    std::iter::once(SIDECAR.to_owned()).chain(others).find(|name| !is_taken(name)).expect("there are enough names")
}
