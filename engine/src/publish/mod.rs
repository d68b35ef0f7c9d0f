//! `publish = "results/{experiment}/scores"`: copies what a stage gave to where people look for it.
//!
//! A published folder belongs to one stage of one study. Its record (`record.rs`) says whose it is, and names every file that
//! we wrote; only those are ever replaced or removed. A point has a folder (`name.rs`) with its files and a sidecar that says
//! where they came from; beside the points lies one table of all of them (`tidy.rs`). At the end of a run the points that the
//! plan no longer has go, and those that the run did not come to are marked as of an older run.
//!
//! Files of a publication get their names by renames, after the record names them: a kill at any point leaves nothing of
//! ours that the record lacks. Whoever changes a folder holds the lock of its record, for as long as it takes to publish what
//! is ready, so runs that share a folder take turns. Where the record names the same results and the files look as they were
//! written, nothing is locked, read or written.

mod adopt;
mod finish;
mod folder;
pub mod name;
mod place;
mod record;
#[cfg(test)]
mod tests;
pub mod tidy;

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use orchestrate_cache::{ActionKey, Digest, OutputDigest, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, SpecError};
use crate::known::Outputs;
use crate::modes::{MODES, Modes};
use crate::node::NodeId;
use crate::plan::Plan;
use crate::selection::Selection;
use folder::{Folder, PointChange};
use place::{Content, Wanted, is_unchanged};
use record::{Entry, NamedOutput};

pub use folder::Refusal;
pub use name::PointNames;
pub use record::{Owner, RECORD};
pub use tidy::{MergeTables, TidyPoint};

/// Name of the sidecar, unless an output has a file of that name.
pub const SIDECAR: &str = "provenance.json";

/// Points that are published under one lock and with one sync.
const POINTS_AT_ONCE: usize = 1000;

/// Why a publication failed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file or folder cannot be written.
    #[error("cannot publish: {0}")]
    Target(StoreError),
    /// The artifact cannot be read.
    #[error("cannot publish: {0}")]
    Store(#[from] StoreError),
    /// Something that we did not write has the name of a file that is to be published.
    #[error(
        "cannot publish: {path} is in the way, which this stage did not publish; move it elsewhere, or name another folder \
         in `publish`"
    )]
    InTheWay {
        /// What is there.
        path: PathBuf,
    },
    /// A folder on the way is a link.
    #[error(
        "cannot publish: {path} is a link, and no link in a published folder is followed; remove it, or name another folder in `publish`"
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// Somebody else writes there.
    #[error("cannot publish: {path} changes while it is published; run again")]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// The folder became another's since the run began.
    #[error("cannot publish: {0}")]
    Refused(#[from] Refusal),
    /// Nothing can be published into the folder.
    #[error("{0}")]
    Folder(String),
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
    #[serde(with = "orchestrate_cache::native_path")]
    pub spec: PathBuf,
    /// `--set` values.
    pub overrides: Vec<String>,
    /// Files that were published, relative to the sidecar.
    pub files: Vec<String>,
    /// Whether the last run did not come to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub older_run: bool,
}

impl Sidecar {
    fn text(&self) -> Vec<u8> {
        (serde_json::to_string_pretty(self).expect("a sidecar is plain data") + "\n").into_bytes()
    }
}

/// The folder to which a planned stage, by its index, is published if the spec says so.
pub fn root(plan: &Plan, stage: usize) -> Option<PathBuf> {
    let publish = plan.spec.stages[plan.stages[stage].declared].publish.as_ref()?;
    Some(plan.spec.root.join(publish.get_ref()).components().collect())
}

/// Returns the owner of what a planned stage publishes.
fn owner(plan: &Plan, stage: usize) -> Owner {
    let is_outside = root(plan, stage).is_some_and(|root| {
        !root.starts_with(&plan.spec.root) || root.components().any(|part| part == Component::ParentDir)
    });
    // Of projects that share a folder outside of them each has the same names.
    let spec = match plan.spec.path.strip_prefix(&plan.spec.root) {
        Ok(spec) if !is_outside => spec,
        _ => &plan.spec.path,
    };
    Owner { experiment: plan.spec.name.clone(), stage: plan.stages[stage].name.clone(), spec: spec_text(spec) }
}

/// A path as a record holds it; one that is not UTF-8 stands in quotes, its bytes escaped.
fn spec_text(spec: &Path) -> String {
    spec.to_str().map_or_else(|| format!("{spec:?}"), str::to_owned)
}

/// Publishes the nodes of one run.
pub(crate) struct Publisher<'a> {
    plan: &'a Plan,
    store: &'a Store,
    /// By planned stage; `None` where it publishes nothing.
    stages: Vec<Option<Publication>>,
    /// What people should know.
    warnings: Vec<String>,
}

/// The publication of one stage.
struct Publication {
    folder: Folder,
    names: PointNames,
    /// By the rank of a point, the key of what this run published or found published.
    current: Vec<Option<ActionKey>>,
    /// Whether any point was published.
    published: bool,
}

impl<'a> Publisher<'a> {
    /// Reads the records of all folders into which selected nodes are published. Errors: every one that belongs to another.
    pub(crate) fn open(plan: &'a Plan, store: &'a Store, selection: &Selection) -> Result<Self, SpecError> {
        let mut problems = Vec::new();
        let open = |stage: usize| {
            let root = root(plan, stage)?;
            match Publication::open(plan, store, stage, root) {
                Ok(publication) => Some(publication),
                // What nobody wants to publish is nobody's problem.
                Err(_) if !plan.stage_nodes(stage).any(|id| selection.contains(id)) => None,
                Err(Refusal { message, help }) => {
                    let written = plan.spec.stages[plan.stages[stage].declared].publish.as_ref()?;
                    problems.push(Diagnostic::error(message).at(written.span()).help(help));
                    None
                }
            }
        };
        let stages = (0..plan.stages.len()).map(open).collect();
        if !problems.is_empty() {
            return Err(SpecError::new(plan.spec.sources.clone(), problems));
        }
        Ok(Self { plan, store, stages, warnings: Vec::new() })
    }

    /// Whether outputs of a node are copied out of the store.
    pub(crate) fn publishes(&self, id: NodeId) -> bool {
        self.stages[self.plan.node(id).stage as usize].is_some()
    }

    /// Publishes nodes whose outputs are in the store; one result for each, in order.
    pub(crate) fn publish(
        &mut self,
        run: &str,
        nodes: &[(NodeId, ActionKey, Outputs)],
    ) -> Vec<Result<(), PublishError>> {
        let plan = self.plan;
        let mut results: Vec<_> = nodes.iter().map(|_| Ok(())).collect();
        let mut waiting: Vec<Vec<(usize, PointChange)>> = self.stages.iter().map(|_| Vec::new()).collect();
        for (place, (id, key, outputs)) in nodes.iter().enumerate() {
            let stage = plan.node(*id).stage as usize;
            let Some(publication) = &mut self.stages[stage] else { continue };
            if !publication.is_current(plan, *id, *key, outputs) {
                let folder = publication.names.folder(plan, *id);
                match wanted(self.store, outputs) {
                    Ok(files) => {
                        let change = publication.change(plan, *id, folder, *key, outputs, run, files);
                        waiting[stage].push((place, change));
                    }
                    Err(error) => results[place] = Err(error),
                }
            }
        }
        for (publication, waiting) in self.stages.iter_mut().zip(waiting) {
            let Some(publication) = publication else { continue };
            let mut waiting = waiting.into_iter().peekable();
            while waiting.peek().is_some() {
                let (places, changes): (Vec<_>, Vec<_>) = waiting.by_ref().take(POINTS_AT_ONCE).unzip();
                let (done, warnings) = publication.put(changes, self.store);
                self.warnings.extend(warnings);
                for (place, done) in places.into_iter().zip(done) {
                    if done.is_ok() {
                        publication.mark_current(plan, nodes[place].0, nodes[place].1);
                    }
                    results[place] = done;
                }
            }
        }
        results
    }

    /// What people should know since it was last asked.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

impl Publication {
    fn open(plan: &Plan, store: &Store, stage: usize, root: PathBuf) -> Result<Self, Refusal> {
        let mut folder = Folder::open(root, owner(plan, stage), plan.spec.root.clone())?;
        let names = PointNames::new(plan, stage);
        if folder.is_new() {
            folder.check_neighbours()?;
        }
        if folder.is_new() && folder.root.is_dir() {
            let ours: HashSet<String> = plan.stage_nodes(stage).map(|id| names.folder(plan, id)).collect();
            adopt::adopt(&mut folder, &ours, store)?;
        }
        Ok(Self { folder, names, current: vec![None; plan.stages[stage].len()], published: false })
    }

    /// Whether a node is published already, so that nothing is to be done.
    fn is_current(&mut self, plan: &Plan, id: NodeId, key: ActionKey, outputs: &[(String, OutputDigest)]) -> bool {
        let name = self.names.folder(plan, id);
        let Some(entry) = self.folder.record.points.get(&name) else { return false };
        if entry.older_run || !entry.before.is_empty() || !entry.is_of(key, outputs) {
            return false;
        }
        let dir = self.folder.root.join(&name);
        let current =
            !entry.files.is_empty() && entry.files.iter().all(|file| is_unchanged(&dir.join(&file.name), file));
        if current {
            self.mark_current(plan, id, key);
        }
        current
    }

    fn mark_current(&mut self, plan: &Plan, id: NodeId, key: ActionKey) {
        self.current[id.index() - plan.stage(id).first_node.index()] = Some(key);
    }

    /// The change that publishes files of a node.
    #[expect(clippy::too_many_arguments, reason = "each says something else of the entry")]
    fn change(
        &self,
        plan: &Plan,
        id: NodeId,
        folder: String,
        key: ActionKey,
        outputs: &[(String, OutputDigest)],
        run: &str,
        mut wanted: Vec<Wanted>,
    ) -> PointChange {
        let keep = self.folder.record.points.get(&folder).is_some_and(|entry| entry.is_of(key, outputs));
        let name = sidecar_name(&wanted);
        let sidecar = Sidecar {
            node: plan.name(id).as_str().to_owned(),
            key,
            outputs: outputs.to_vec(),
            experiment: plan.spec.name.clone(),
            spec: plan.spec.path.strip_prefix(&plan.spec.root).unwrap_or(&plan.spec.path).to_owned(),
            overrides: plan.spec.overrides.clone(),
            files: wanted.iter().map(|file| file.name.clone()).collect(),
            older_run: false,
        };
        let entry = Entry {
            folder,
            node: sidecar.node.clone(),
            key,
            outputs: outputs.iter().map(|(name, digest)| NamedOutput { name: name.clone(), digest: *digest }).collect(),
            run: run.to_owned(),
            older_run: false,
            sidecar: name.clone(),
            before: Vec::new(),
            files: Vec::new(),
        };
        wanted.push(in_memory(name, sidecar.text()));
        PointChange { entry, wanted, keep, only: false }
    }

    fn put(&mut self, changes: Vec<PointChange>, store: &Store) -> (Vec<Result<(), PublishError>>, Vec<String>) {
        self.published = true;
        let count = changes.len();
        match self.folder.lock() {
            Ok(mut locked) => locked.change(changes, store),
            Err(error) => {
                let message = error.to_string();
                ((0..count).map(|_| Err(PublishError::Folder(message.clone()))).collect(), Vec::new())
            }
        }
    }
}

/// The files of a node as they are published: several outputs get a folder each; empty folders are left out.
fn wanted(store: &Store, outputs: &[(String, OutputDigest)]) -> Result<Vec<Wanted>, PublishError> {
    let mut wanted = Vec::new();
    for (output, digest) in outputs {
        let artifact = store.artifact(digest).unwrap_or_default();
        let modes = Modes::of(&artifact, store)?;
        for file in artifact.files.into_iter().filter(|file| file.name != MODES) {
            let content = Content::Stored { executable: modes.executable.contains(&file.name) };
            let name = if outputs.len() == 1 { file.name } else { format!("{output}/{}", file.name) };
            if name == RECORD {
                return Err(PublishError::Folder(format!(
                    "cannot publish: an output has a file `{RECORD}`, which is the name of the record of what is published; give it another name"
                )));
            }
            wanted.push(Wanted { name, digest: file.digest, size: file.size_bytes, content });
        }
    }
    Ok(wanted)
}

/// A name for the sidecar that no file has.
fn sidecar_name(files: &[Wanted]) -> String {
    let taken = |name: &String| {
        files.iter().any(|file| {
            file.name == *name || file.name.strip_prefix(name.as_str()).is_some_and(|it| it.starts_with('/'))
        })
    };
    let others = (1_u32..).map(|number| match number {
        1 => "provenance.orchestrate.json".to_owned(),
        _ => format!("provenance.orchestrate-{number}.json"),
    });
    std::iter::once(SIDECAR.to_owned()).chain(others).find(|name| !taken(name)).expect("there are enough names")
}

fn in_memory(name: String, bytes: Vec<u8>) -> Wanted {
    Wanted { name, digest: Digest::of(&bytes), size: bytes.len() as u64, content: Content::Bytes(bytes) }
}

/// A node with files of which some are not as the store has them, as `orchestrate report` publishes it.
#[derive(Debug)]
pub struct Annotated<'a> {
    /// The node.
    pub node: NodeId,
    /// Its key.
    pub key: ActionKey,
    /// Its outputs.
    pub outputs: &'a [(String, OutputDigest)],
    /// The run that made it.
    pub run: &'a str,
    /// Files by name, with their bytes.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Publishes one node as its stage would, into a folder that its stage owns or comes to own; gives what people should know.
///
/// `folder` is that of the point, below the root. Errors: the folder is another's, or a file cannot be written.
pub fn publish_annotated(
    plan: &Plan,
    store: &Store,
    root: &Path,
    folder: &str,
    node: Annotated<'_>,
) -> Result<Vec<String>, PublishError> {
    let stage = plan.node(node.node).stage as usize;
    let mut publication = Publication::open(plan, store, stage, root.to_owned())?;
    let mut files = wanted(store, node.outputs)?;
    for (name, bytes) in node.files {
        match files.iter_mut().find(|file| file.name == name) {
            Some(file) => *file = in_memory(name, bytes),
            None => files.push(in_memory(name, bytes)),
        }
    }
    let mut change = publication.change(plan, node.node, folder.to_owned(), node.key, node.outputs, node.run, files);
    change.keep = false;
    let is_whole = !publication.folder.changed || publication.folder.is_new();
    let (results, warnings) = publication.put(vec![change], store);
    results.into_iter().collect::<Result<(), _>>()?;
    if is_whole {
        publication.folder.lock()?.sum_up()?;
    }
    Ok(warnings)
}
