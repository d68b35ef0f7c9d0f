//! `publish = "results/table3"`: copies the artifact of a node to where people look for it.
//!
//! Each file is replaced in one rename, the sidecar `provenance.json` last; files of an earlier publication that the new
//! one lacks are removed, and nothing else in the folder is touched. Where the sidecar already names the same outputs and
//! its files are there, nothing is written.

pub mod tidy;

use std::fs;
use std::path::{Component, Path, PathBuf};

use orchestrate_cache::{ActionKey, OutputDigest, Store, StoreError, disk};
use serde::{Deserialize, Serialize};

use crate::node::{NodeId, NodeName};
use crate::plan::Plan;

/// Name of the sidecar.
pub const SIDECAR: &str = "provenance.json";

/// Why a publication failed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file or folder cannot be written.
    #[error("cannot publish: {0}")]
    Target(StoreError),
    /// The artifact cannot be read.
    #[error("cannot publish: {0}")]
    Store(#[from] StoreError),
}

/// Where a published artifact came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// The node.
    pub node: String,
    /// Its key.
    pub key: ActionKey,
    /// Its outputs.
    pub outputs: Vec<(String, OutputDigest)>,
    /// Name of the experiment.
    pub experiment: String,
    /// The spec, relative to the project's root where it lies below it.
    pub spec: PathBuf,
    /// `--set` values.
    pub overrides: Vec<String>,
    /// Files that were published, relative to the sidecar.
    pub files: Vec<String>,
}

/// The folder to which a node is published, if its stage says so: a folder a point where the stage varies.
pub fn target(plan: &Plan, id: NodeId) -> Option<PathBuf> {
    let stage = &plan.spec.stages[plan.stage(id).declared];
    let publish = stage.publish.as_ref()?;
    let base = plan.spec.root.join(publish.get_ref());
    let point = plan.point(id);
    if point.is_empty() {
        return Some(base);
    }
    Some(base.join(folder(&point)))
}

/// The name of a point's folder, `model=tiny,fold=1`; a label leads to no other folder.
pub fn folder(point: &[(&str, &str)]) -> String {
    let labels = point.iter().map(|(axis, label)| format!("{axis}={}", label.replace(['/', '\\'], "_")));
    labels.collect::<Vec<_>>().join(",")
}

/// Copies the outputs of a node to its target. Several outputs get a folder each.
pub fn publish(
    plan: &Plan,
    store: &Store,
    id: NodeId,
    key: ActionKey,
    outputs: &[(String, OutputDigest)],
) -> Result<(), PublishError> {
    let Some(target) = target(plan, id) else { return Ok(()) };
    let previous = read_sidecar(&target);
    if previous
        .as_ref()
        .is_some_and(|sidecar| sidecar.key == key && sidecar.outputs == outputs && complete(&target, sidecar))
    {
        return Ok(());
    }
    let mut files = Vec::new();
    for (name, digest) in outputs {
        let artifact = store.artifact(digest).unwrap_or_default();
        for file in &artifact.files {
            let relative = if outputs.len() == 1 { file.name.clone() } else { format!("{name}/{}", file.name) };
            write(&target.join(&relative), &store.read(&file.digest)?)?;
            files.push(relative);
        }
    }
    // A sidecar comes from a folder where anybody may write, and what it names is removed.
    let is_inside = |name: &&String| Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let before = previous.iter().flat_map(|sidecar| &sidecar.files).filter(is_inside);
    for gone in before.filter(|file| !files.contains(file)) {
        disk::remove_file(&target.join(gone)).map_err(PublishError::Target)?;
    }
    let spec = plan.spec.path.strip_prefix(&plan.spec.root).unwrap_or(&plan.spec.path).to_owned();
    let sidecar = Sidecar {
        node: node_name(plan.name(id)),
        key,
        outputs: outputs.to_vec(),
        experiment: plan.spec.name.clone(),
        spec,
        overrides: plan.spec.overrides.clone(),
        files,
    };
    let text = serde_json::to_string_pretty(&sidecar).expect("a sidecar is plain data") + "\n";
    write(&target.join(SIDECAR), text.as_bytes())
}

fn node_name(name: NodeName) -> String {
    name.as_str().to_owned()
}

fn read_sidecar(target: &Path) -> Option<Sidecar> {
    serde_json::from_slice(&fs::read(target.join(SIDECAR)).ok()?).ok()
}

fn complete(target: &Path, sidecar: &Sidecar) -> bool {
    sidecar.files.iter().all(|file| target.join(file).is_file())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), PublishError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let written = disk::create_dir(dir).and_then(|()| disk::replace(path, bytes, true));
    written.map_err(PublishError::Target)
}
