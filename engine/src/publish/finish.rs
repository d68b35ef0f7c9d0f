//! The end of a run for published folders: each then shows one state of one study.

use std::collections::HashSet;
use std::fs;

use orchestrate_cache::Store;

use super::folder::PointChange;
use super::place::Wanted;
use super::record::Entry;
use super::tidy::{self, MergeTables};
use super::{Publication, PublishError, Publisher, Sidecar, folder, in_memory, wanted};
use crate::known::Outputs;
use crate::node::NodeId;
use crate::plan::Plan;

/// How the end of a run went for published folders.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// What people should know.
    pub(crate) warnings: Vec<String>,
    /// What could not be done.
    pub(crate) failures: Vec<String>,
}

impl Publisher<'_> {
    /// Removes points that the plan no longer has, marks those that the run did not come to, brings tables up to date and sums
    /// up the records. A run that was interrupted removes nothing and makes no table.
    ///
    /// Of runs of one spec that publish at the same time one after the other does this, each for all of its stages, and makes again
    /// what an earlier one has removed: the last one has all folders.
    pub(crate) fn finish(
        &mut self,
        run: &str,
        interrupted: bool,
        merge: Option<MergeTables>,
        outputs: &dyn Fn(NodeId) -> Outputs,
    ) -> Finished {
        let mut finished = Finished { warnings: self.take_warnings(), failures: Vec::new() };
        let has_published = self.stages.iter().flatten().any(|publication| publication.published);
        let restores = has_published && !interrupted;
        let _turn = match restores.then(|| folder::take_turn(&self.plan.spec.path)).transpose() {
            Ok(turn) => turn,
            Err(error) => {
                finished.failures.push(error.to_string());
                return finished;
            }
        };
        for (stage, publication) in self.stages.iter_mut().enumerate() {
            let Some(publication) = publication else { continue };
            if restores {
                let restored = publication.restore(self.plan, self.store, stage, run, outputs);
                match restored {
                    Ok(said) => finished.warnings.extend(said),
                    Err(error) => finished.failures.push(format!("{}: {error}", self.plan.stages[stage].name)),
                }
            }
            let merge = merge.filter(|_| !interrupted && !publication.is_single(self.plan, stage));
            if let Err(error) =
                publication.finish(self.plan, self.store, stage, interrupted, merge, &mut finished.warnings)
            {
                finished.failures.push(format!("{}: {error}", self.plan.stages[stage].name));
            }
        }
        finished
    }
}

impl Publication {
    /// Publishes again what this run had published and another one has replaced or removed since.
    fn restore(
        &mut self,
        plan: &Plan,
        store: &Store,
        stage: usize,
        run: &str,
        outputs: &dyn Fn(NodeId) -> Outputs,
    ) -> Result<Vec<String>, PublishError> {
        let current: Vec<_> =
            plan.stage_nodes(stage).zip(&self.current).filter_map(|(id, key)| Some((id, (*key)?))).collect();
        if current.is_empty() {
            return Ok(Vec::new());
        }
        // This reads the record if another process has changed it.
        drop(self.folder.lock()?);
        let mut changes = Vec::new();
        for (id, key) in current {
            let (folder, outputs) = (self.names.folder(plan, id), outputs(id));
            let recorded = self.folder.record.points.get(&folder);
            if !recorded.is_some_and(|entry| !entry.older_run && entry.is_of(key, &outputs)) {
                changes.push(self.change(plan, id, folder, key, &outputs, run, wanted(store, &outputs)?));
            }
        }
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let (done, warnings) = self.put(changes, store);
        done.into_iter().collect::<Result<(), _>>()?;
        Ok(warnings)
    }

    fn is_single(&self, plan: &Plan, stage: usize) -> bool {
        plan.stages[stage].points.axes().is_empty()
    }

    fn finish(
        &mut self,
        plan: &Plan,
        store: &Store,
        stage: usize,
        interrupted: bool,
        merge: Option<MergeTables>,
        warnings: &mut Vec<String>,
    ) -> Result<(), PublishError> {
        let nodes: Vec<NodeId> = plan.stage_nodes(stage).collect();
        let (current, others): (Vec<_>, Vec<_>) =
            nodes.iter().zip(&self.current).partition(|(_, current)| current.is_some());
        let current: Vec<NodeId> = current.into_iter().map(|(id, _)| *id).collect();
        let recorded = self.folder.record.points.len();
        // Where the run came to all that is recorded, nothing is of another one.
        let (mut older, mut absent) = (Vec::new(), Vec::new());
        if recorded > current.len() {
            let others = others.into_iter().map(|(id, _)| self.names.folder(plan, *id));
            let others: HashSet<String> = others.collect();
            let names: HashSet<String> = current.iter().map(|id| self.names.folder(plan, *id)).collect();
            for name in self.folder.record.points.keys().filter(|name| !names.contains(*name)) {
                if others.contains(name) { older.push(name.clone()) } else { absent.push(name.clone()) }
            }
        }
        if interrupted {
            absent.clear();
        }
        let root = self.folder.root.display().to_string();
        if !older.is_empty() {
            let what = match self.is_single(plan, stage) {
                true => format!("{root} is"),
                false => format!("{root}: {}", points(older.len(), "is", "are")),
            };
            warnings.push(format!("{what} of an older run, which this one did not publish anew"));
        }
        older.retain(|name| !self.folder.record.points[name].older_run);
        let tables = merge.filter(|_| !current.is_empty());
        let intact = tables.is_some().then(|| tidy::intact(&self.folder)).flatten();
        let same = !self.published && older.is_empty() && absent.is_empty() && !self.folder.changed;
        if same && (tables.is_none() || intact.is_some()) {
            warnings.extend(intact.into_iter().flatten());
            return Ok(());
        }
        let mut locked = self.folder.lock()?;
        if !absent.is_empty() {
            let ((), said) =
                locked.place(|locked, placer| absent.iter().try_for_each(|name| locked.remove(name, placer, store)))?;
            warnings
                .push(format!("{root}: {} removed, which the plan no longer has", points(absent.len(), "was", "were")));
            warnings.extend(said);
        }
        if !older.is_empty() {
            let changes = older.iter().filter_map(|name| locked.folder.record.points.get(name).cloned());
            let changes: Vec<_> = changes.map(|entry| marked(entry, &locked.folder.root)).collect();
            let (done, said) = locked.change(changes, store);
            warnings.extend(said);
            done.into_iter().collect::<Result<(), _>>()?;
        }
        if let Some(merge) = tables {
            warnings.extend(tidy::update(plan, store, &self.names, &mut locked, &current, merge)?);
        }
        // What an interrupted run left undone the next one sees by a record that is not summed up.
        if interrupted { Ok(()) } else { locked.sum_up() }
    }
}

/// The change that marks a point as of an older run, in the record and in its sidecar. Its files stay as they are.
fn marked(mut entry: Entry, root: &std::path::Path) -> PointChange {
    entry.older_run = true;
    let path = root.join(&entry.folder).join(&entry.sidecar);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
    let read = || serde_json::from_slice::<Sidecar>(&fs::read(&path).ok()?).ok();
    let sidecar = is_file.then(read).flatten().map(|sidecar| Sidecar { older_run: true, ..sidecar });
    let wanted = sidecar.map(|sidecar| in_memory(entry.sidecar.clone(), sidecar.text()));
    PointChange { entry, wanted: wanted.into_iter().collect::<Vec<Wanted>>(), keep: false, only: true }
}

fn points(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 point {one}") } else { format!("{count} points {many}") }
}
