//! Publishes the nodes of a run, and single nodes for `orchestrate report`.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use orchestrate_cache::{ActionKey, OutputDigest, Store};

use super::adopt;
use super::error::{PublishError, Refusal};
use super::folder::{PointChange, PublishedFolder};
use super::name::PointNames;
use super::record::{Owner, PointRecord, RECORD, published_name};
use super::refused;
use super::sidecar::{self, Sidecar};
use super::writer::{Content, NewFile, is_unchanged};
use crate::diagnostic::SpecError;
use crate::known::Outputs;
use crate::modes::{MODES, Modes};
use crate::node::NodeId;
use crate::plan::Plan;

/// The greatest number of points published while the lock is held once, with one sync.
const POINTS_AT_ONCE: usize = 1000;

/// Returns the published folder of a planned stage, given its index; `None` if it publishes nothing.
pub fn root(plan: &Plan, stage: usize) -> Option<PathBuf> {
    let publish = plan.declared(stage).publish.as_ref()?;
    Some(plan.spec.root.join(publish.get_ref()).components().collect())
}

/// Returns the owner of the published folder of a planned stage.
fn owner(plan: &Plan, stage: usize) -> Owner {
    let spec = &plan.spec;
    let is_outside = root(plan, stage).is_some_and(|root| {
        !root.starts_with(&spec.root) || root.components().any(|part| part == Component::ParentDir)
    });
    // Two projects may share a folder outside both, and their specs may have the same path within the project.
    let path = if is_outside { &spec.path } else { spec.in_project(&spec.path) };
    Owner::new(&spec.name, &plan.stages[stage].name, path)
}

/// Finds every folder of a selected node that belongs to another stage, as a run does before it starts.
pub fn check_folders(plan: &Plan, store: &Store, selected: impl Fn(NodeId) -> bool) -> Result<(), SpecError> {
    Publisher::open(plan, store, selected).map(|_| ())
}

/// Publishes the nodes of one run.
pub(crate) struct Publisher<'a> {
    pub(super) plan: &'a Plan,
    pub(super) store: &'a Store,
    /// One for each planned stage; `None` if it publishes nothing, or belongs to another stage and no node is selected.
    pub(super) stages: Vec<Option<Publication>>,
}

/// The publication of one stage.
pub(super) struct Publication {
    pub(super) folder: PublishedFolder,
    pub(super) names: PointNames,
    /// For each node of the stage, in order: the key that this run published, or found published.
    pub(super) current: Vec<Option<ActionKey>>,
    /// True once this run has published a point.
    pub(super) published: bool,
}

/// The result of a node, for publishing.
#[derive(Clone, Copy, Debug)]
pub struct NodeResult<'a> {
    /// The node.
    pub node: NodeId,
    /// Its key.
    pub key: ActionKey,
    /// Its outputs.
    pub outputs: &'a [(String, OutputDigest)],
    /// The run that publishes it.
    pub run: &'a str,
}

impl<'a> Publisher<'a> {
    /// Opens the published folders of all stages. Errors: every folder of a selected node that belongs to another
    /// stage.
    pub(crate) fn open(plan: &'a Plan, store: &'a Store, selected: impl Fn(NodeId) -> bool) -> Result<Self, SpecError> {
        let mut refused = Vec::new();
        let open = |stage: usize| {
            let root = root(plan, stage)?;
            match Publication::open(plan, store, stage, root) {
                Ok(publication) => Some(publication),
                // The run publishes nothing there.
                Err(_) if !plan.stage_nodes(stage).any(&selected) => None,
                Err(refusal) => {
                    refused.push((plan.declared(stage).publish.as_ref()?.span(), refusal));
                    None
                }
            }
        };
        let stages = (0..plan.stages.len()).map(open).collect();
        if !refused.is_empty() {
            return Err(SpecError::new(plan.spec.sources.clone(), refused::problems(&plan.spec, refused)));
        }
        Ok(Self { plan, store, stages })
    }

    /// Returns whether outputs of a node are published.
    pub(crate) fn publishes(&self, id: NodeId) -> bool {
        self.stages[self.plan.node(id).stage as usize].is_some()
    }

    /// Publishes nodes whose outputs are in the store, unless they are published already. Returns one result for each,
    /// in order.
    pub(crate) fn publish(
        &mut self,
        run: &str,
        nodes: &[(NodeId, ActionKey, Outputs)],
    ) -> Vec<Result<(), PublishError>> {
        let (plan, store) = (self.plan, self.store);
        let mut results: Vec<_> = nodes.iter().map(|_| Ok(())).collect();
        let mut waiting: Vec<Vec<(usize, PointChange)>> = self.stages.iter().map(|_| Vec::new()).collect();
        for (index, (id, key, outputs)) in nodes.iter().enumerate() {
            let stage = plan.node(*id).stage as usize;
            let Some(publication) = &mut self.stages[stage] else { continue };
            if publication.is_current(plan, *id, *key, outputs) {
                publication.mark_current(plan, *id, *key);
                continue;
            }
            let folder = publication.names.folder(plan, *id);
            let result = NodeResult { node: *id, key: *key, outputs, run };
            match stored_files(store, outputs) {
                Ok(files) => waiting[stage].push((index, publication.change(plan, folder, result, files))),
                Err(error) => results[index] = Err(error),
            }
        }
        for (publication, waiting) in self.stages.iter_mut().zip(waiting) {
            let Some(publication) = publication else { continue };
            let mut waiting = waiting.into_iter().peekable();
            while waiting.peek().is_some() {
                let (indices, changes): (Vec<_>, Vec<_>) = waiting.by_ref().take(POINTS_AT_ONCE).unzip();
                for (index, done) in indices.into_iter().zip(publication.put(changes, store)) {
                    if done.is_ok() {
                        publication.mark_current(plan, nodes[index].0, nodes[index].1);
                    }
                    results[index] = done;
                }
            }
        }
        results
    }

    /// Returns the folders in which a point is up to date, in the order of the spec.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let is_current = |publication: &Publication| publication.current.iter().any(Option::is_some);
        let stages = self.stages.iter().zip(&self.plan.stages);
        let current = stages.filter_map(|(publication, stage)| Some((stage, publication.as_ref()?)));
        let mut folders: Vec<_> = current.filter(|(_, publication)| is_current(publication)).collect();
        folders.sort_by_key(|(stage, _)| stage.declared);
        folders.into_iter().map(|(_, publication)| publication.folder.root.clone()).collect()
    }

    /// Takes the warnings since the last call.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        let publications = self.stages.iter_mut().flatten();
        publications.flat_map(|publication| std::mem::take(&mut publication.folder.warnings)).collect()
    }
}

impl Publication {
    fn open(plan: &Plan, store: &Store, stage: usize, root: PathBuf) -> Result<Self, Refusal> {
        let mut folder = PublishedFolder::open(root, owner(plan, stage), plan.spec.root.clone())?;
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

    /// Returns the record of a node's point, if it names this key and these outputs and is not marked as of an older
    /// run.
    pub(super) fn recorded(
        &self,
        plan: &Plan,
        id: NodeId,
        key: ActionKey,
        outputs: &[(String, OutputDigest)],
    ) -> Option<&PointRecord> {
        let point = self.folder.record.points.get(&self.names.folder(plan, id))?;
        (!point.older_run && point.is_of(key, outputs)).then_some(point)
    }

    /// Returns whether a node is already published, with all files as recorded. Takes no lock, and reads no file.
    fn is_current(&self, plan: &Plan, id: NodeId, key: ActionKey, outputs: &[(String, OutputDigest)]) -> bool {
        self.recorded(plan, id, key, outputs).is_some_and(|point| {
            let dir = self.folder.root.join(&point.folder);
            let mut files = point.files.iter();
            // Old files would mean that an earlier publication did not finish.
            point.before.is_empty()
                && !point.files.is_empty()
                && files.all(|file| is_unchanged(&dir.join(&file.name), file))
        })
    }

    fn mark_current(&mut self, plan: &Plan, id: NodeId, key: ActionKey) {
        self.current[id.index() - plan.stage(id).first_node.index()] = Some(key);
    }

    /// Returns the change that publishes these files of a node, with a sidecar.
    fn change(&self, plan: &Plan, folder: String, result: NodeResult<'_>, mut files: Vec<NewFile>) -> PointChange {
        let NodeResult { node, key, outputs, run } = result;
        let keep = self.folder.record.points.get(&folder).is_some_and(|point| point.is_of(key, outputs));
        let name = sidecar::free_name(files.iter().map(|file| file.name.as_str()));
        let sidecar = Sidecar {
            node: plan.name(node).as_str().to_owned(),
            key,
            outputs: outputs.to_vec(),
            experiment: plan.spec.name.clone(),
            spec: plan.spec.in_project(&plan.spec.path).to_owned(),
            overrides: plan.spec.overrides.clone(),
            files: files.iter().map(|file| file.name.clone()).collect(),
            older_run: false,
        };
        let point = sidecar.point(folder, run, &name);
        files.push(NewFile::in_memory(name, sidecar.text()));
        PointChange { point, files, keep, only: false }
    }

    /// Applies changes under the lock of the folder; returns one result for each.
    fn put(&mut self, changes: Vec<PointChange>, store: &Store) -> Vec<Result<(), PublishError>> {
        self.published = true;
        let count = changes.len();
        let done = self.folder.lock(store).and_then(|mut locked| locked.change(changes));
        done.unwrap_or_else(|error| {
            let message = error.to_string();
            (0..count).map(|_| Err(PublishError::Folder(message.clone()))).collect()
        })
    }
}

/// Returns the files of a node's outputs with their published names. Empty folders are left out.
fn stored_files(store: &Store, outputs: &[(String, OutputDigest)]) -> Result<Vec<NewFile>, PublishError> {
    let mut files = Vec::new();
    for (output, digest) in outputs {
        let artifact = store.artifact(digest).unwrap_or_default();
        let modes = Modes::of(&artifact, store)?;
        for file in artifact.files.into_iter().filter(|file| file.name != MODES) {
            let content = Content::Stored { executable: modes.executable.contains(&file.name) };
            let name = published_name(outputs, output, &file.name);
            if name == RECORD {
                return Err(PublishError::Folder(format!(
                    "cannot publish: an output has a file `{RECORD}`, which is the name of the record of what is \
                     published; give it another name"
                )));
            }
            files.push(NewFile { name, digest: file.digest, size: file.size_bytes, content });
        }
    }
    Ok(files)
}

/// Publishes one node with some of its files replaced or added: `annotated`, by name. Returns warnings.
///
/// - `root`: a folder that the node's stage owns, or that nobody owns yet
/// - `folder`: the folder of the point, below the root
///
/// Errors: the root belongs to another stage, or a file cannot be written.
pub fn publish_annotated(
    plan: &Plan,
    store: &Store,
    root: &Path,
    folder: &str,
    result: NodeResult<'_>,
    annotated: Vec<(String, Vec<u8>)>,
) -> Result<Vec<String>, PublishError> {
    let stage = plan.node(result.node).stage as usize;
    let mut publication = Publication::open(plan, store, stage, root.to_owned())?;
    let mut files = stored_files(store, result.outputs)?;
    for (name, bytes) in annotated {
        files.retain(|file| file.name != name);
        files.push(NewFile::in_memory(name, bytes));
    }
    let change = PointChange { keep: false, ..publication.change(plan, folder.to_owned(), result, files) };
    // A record with changes is left for the run that made them, or for the next one, to rewrite.
    let rewrites_record = !publication.folder.changed || publication.folder.is_new();
    publication.put(vec![change], store).into_iter().collect::<Result<(), _>>()?;
    if rewrites_record {
        publication.folder.lock(store)?.sum_up()?;
    }
    Ok(publication.folder.warnings)
}
