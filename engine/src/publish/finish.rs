//! The end of a run: afterwards each published folder shows one state of one study.

use std::collections::HashSet;
use std::path::Path;

use super::error::PublishError;
use super::folder::{PointChange, take_turn};
use super::publisher::{Publication, Publisher};
use super::record::PointRecord;
use super::sidecar::Sidecar;
use super::tidy::{self, MergeTables};
use super::writer::NewFile;
use crate::known::Outputs;
use crate::node::NodeId;

/// The outcome of finishing the published folders.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    pub(crate) warnings: Vec<String>,
    pub(crate) failures: Vec<String>,
}

impl Publisher<'_> {
    /// Removes points that the plan no longer has, marks points that the run did not reach, updates tables and rewrites
    /// the records. An interrupted run removes nothing and makes no table.
    ///
    /// Runs of one spec that publish at the same time take turns, each for all of its stages. Each publishes again what
    /// an earlier one has removed, so the last one has all folders.
    pub(crate) fn finish(
        &mut self,
        run: &str,
        interrupted: bool,
        merge: Option<MergeTables>,
        outputs: &dyn Fn(NodeId) -> Outputs,
    ) -> Finished {
        let mut failures = Vec::new();
        let restores = !interrupted && self.stages.iter().flatten().any(|publication| publication.published);
        match restores.then(|| take_turn(&self.plan.spec.path)).transpose() {
            Ok(_turn) => {
                for stage in 0..self.stages.len() {
                    let restored = if restores { self.restore(stage, run, outputs) } else { Ok(()) };
                    let finished = self.finish_stage(stage, interrupted, merge.filter(|_| !interrupted));
                    let errors = [restored, finished].into_iter().filter_map(Result::err);
                    failures.extend(errors.map(|error| format!("{}: {error}", self.plan.stages[stage].name)));
                }
            }
            Err(error) => failures.push(error.to_string()),
        }
        Finished { warnings: self.take_warnings(), failures }
    }

    /// Publishes again the nodes of this run that another run has replaced or removed since.
    fn restore(&mut self, stage: usize, run: &str, outputs: &dyn Fn(NodeId) -> Outputs) -> Result<(), PublishError> {
        let Some(publication) = &mut self.stages[stage] else { return Ok(()) };
        let nodes = self.plan.stage_nodes(stage).zip(&publication.current);
        let current: Vec<_> = nodes.filter_map(|(id, key)| Some((id, (*key)?))).collect();
        if current.is_empty() {
            return Ok(());
        }
        // The lock reads the record again if another process has changed it.
        drop(publication.folder.lock(self.store)?);
        let current = current.into_iter().map(|(id, key)| (id, key, outputs(id)));
        let is_lost =
            |(id, key, outputs): &(NodeId, _, Outputs)| publication.recorded(self.plan, *id, *key, outputs).is_none();
        let lost: Vec<_> = current.filter(is_lost).collect();
        self.publish(run, &lost).into_iter().collect()
    }

    fn finish_stage(
        &mut self,
        stage: usize,
        interrupted: bool,
        merge: Option<MergeTables>,
    ) -> Result<(), PublishError> {
        let Some(Publication { folder, names, current, published }) = &mut self.stages[stage] else { return Ok(()) };
        let is_single = self.plan.stages[stage].points.axes().is_empty();
        let (reached, others): (Vec<_>, Vec<_>) =
            self.plan.stage_nodes(stage).zip(current.iter()).partition(|(_, key)| key.is_some());
        let reached: Vec<NodeId> = reached.into_iter().map(|(id, _)| id).collect();
        // If the run reached every recorded point, none is of an older run.
        let (mut older, mut absent) = (Vec::new(), Vec::new());
        if folder.record.points.len() > reached.len() {
            let others: HashSet<String> = others.into_iter().map(|(id, _)| names.folder(self.plan, id)).collect();
            let reached: HashSet<String> = reached.iter().map(|id| names.folder(self.plan, *id)).collect();
            let unreached = folder.record.points.keys().filter(|name| !reached.contains(*name)).cloned();
            (older, absent) = unreached.partition(|name| others.contains(name));
        }
        if interrupted {
            absent.clear();
        }
        let root = folder.root.display().to_string();
        if !older.is_empty() {
            let what = match is_single {
                true => format!("{root} is"),
                false => format!("{root}: {}", points(older.len(), "is", "are")),
            };
            folder.warnings.push(format!("{what} of an older run, which this one did not publish anew"));
        }
        older.retain(|name| !folder.record.points[name].older_run);
        let merge = merge.filter(|_| !is_single && !reached.is_empty());
        let intact = merge.is_some().then(|| tidy::intact(folder)).flatten();
        let is_unchanged = !*published && older.is_empty() && absent.is_empty() && !folder.changed;
        if is_unchanged && (merge.is_none() || intact.is_some()) {
            folder.warnings.extend(intact.into_iter().flatten());
            return Ok(());
        }
        let mut locked = folder.lock(self.store)?;
        if !absent.is_empty() {
            let removed = points(absent.len(), "was", "were");
            locked.warn(format!("{root}: {removed} removed, which the plan no longer has"));
            absent.iter().try_for_each(|name| locked.remove_point(name))?;
        }
        if !older.is_empty() {
            let changes = older.iter().filter_map(|name| locked.folder.record.points.get(name).cloned());
            let changes: Vec<_> = changes.map(|point| marked(point, &locked.folder.root)).collect();
            locked.change(changes)?.into_iter().collect::<Result<(), _>>()?;
        }
        if let Some(merge) = merge {
            tidy::update(self.plan, names, &mut locked, &reached, merge)?;
        }
        // An interrupted run leaves the record as appended, which shows the next run that there is work left.
        if interrupted { Ok(()) } else { locked.sum_up() }
    }
}

/// Makes the change that marks a point as of an older run, in the record and in the sidecar. Its other files stay.
fn marked(mut point: PointRecord, root: &Path) -> PointChange {
    point.older_run = true;
    let sidecar = Sidecar::read(&root.join(&point.folder).join(&point.sidecar));
    let sidecar = sidecar.map(|sidecar| Sidecar { older_run: true, ..sidecar }.text());
    let files = sidecar.map(|text| NewFile::in_memory(point.sidecar.clone(), text)).into_iter().collect();
    PointChange { point, files, keep: false, only: true }
}

fn points(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 point {one}") } else { format!("{count} points {many}") }
}
