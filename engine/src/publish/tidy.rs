//! Tables of all points of a published stage, beside the folders of the points. For each Parquet file of the outputs,
//! one table has the rows of all points in the plan, with the axes as columns.
//!
//! The caller's function [`MergeTables`] knows the contents of the files, and joins the rows.

use std::collections::BTreeMap;
use std::io::Write;

use indexmap::IndexMap;
use orchestrate_cache::{Digest, Digester, Store, StoreError, disk};

use super::error::PublishError;
use super::folder::{LockedFolder, PublishedFolder};
use super::name::PointNames;
use super::record::{PointRecord, TableRecord, is_inside};
use super::writer::{Content, NewFile, is_unchanged};
use crate::node::NodeId;
use crate::plan::Plan;
use crate::stage::{InputFile, StageError};

/// The most bytes in one table: a copy of gigabytes beside the files is of no use.
const BYTES_MAX: u64 = 256 << 20;

/// Extension of the files that are tables.
const EXTENSION: &str = ".parquet";

/// The file of one point, for a table.
#[derive(Clone, Debug)]
pub struct TidyPoint {
    /// The value of each axis: a number, a truth value or a text; the label of a table.
    pub values: Vec<serde_json::Value>,
    /// The stored file.
    pub file: InputFile,
}

/// Joins the tables of points into one, whose first columns are the axes.
pub type MergeTables = fn(axes: &[&str], points: &[TidyPoint], out: &mut (dyn Write + Send)) -> Result<(), StageError>;

/// The files of points that one table joins, in the order of the plan.
struct MergeInput {
    /// Digest of the points and their files.
    of: Digest,
    points: Vec<TidyPoint>,
}

/// Updates the tables of a stage from its current points.
///
/// A stage without axes has no table. Without current points the tables stay as they are, like the points.
pub(super) fn update(
    plan: &Plan,
    names: &PointNames,
    locked: &mut LockedFolder<'_>,
    current: &[NodeId],
    merge: MergeTables,
) -> Result<(), PublishError> {
    let Some(first) = current.first() else { return Ok(()) };
    let inputs = merge_inputs(plan, locked.store, names, &locked.folder.record.points, current);
    let is_kept = |table: &TableRecord| {
        is_intact(locked.folder, table) && inputs.get(&table.name).is_some_and(|input| input.of == table.of)
    };
    let tables = locked.folder.record.tables.values().cloned();
    let (kept, old): (IndexMap<String, TableRecord>, IndexMap<String, TableRecord>) =
        tables.map(|table| (table.name.clone(), table)).partition(|(_, table)| is_kept(table));
    kept.values().filter_map(|table| table.missing.clone()).for_each(|missing| locked.warn(missing));
    for name in old.keys().filter(|name| !inputs.contains_key(*name)) {
        locked.remove_table(name)?;
    }
    let axes: Vec<&str> = plan.axes(plan.stage(*first)).map(|axis| axis.name.get_ref().as_str()).collect();
    for (name, MergeInput { of, points }) in inputs.into_iter().filter(|(name, _)| !kept.contains_key(name)) {
        let mut table = TableRecord { name, of, missing: None, files: Vec::new() };
        let path = locked.folder.root.join(&table.name);
        let bytes = points.iter().fold(0_u64, |sum, point| sum.saturating_add(point.file.size_bytes));
        let mut file = None;
        if bytes > BYTES_MAX {
            let why = format!("the files of the points hold more than {} MiB", BYTES_MAX >> 20);
            locked.warn(format!("there is no {}: {why}", path.display()));
        } else {
            match make(&axes, &table.name, &points, locked, merge)? {
                Ok(made) => file = Some(made),
                Err(error) => table.missing = Some(format!("there is no {}: {error}", path.display())),
            }
        }
        table.missing.iter().for_each(|missing| locked.warn(missing.clone()));
        locked.put_table(table, file)?;
    }
    Ok(())
}

/// Returns the warnings of tables that could not be made, if every table is as it was written.
pub(super) fn intact(folder: &PublishedFolder) -> Option<Vec<String>> {
    let tables = || folder.record.tables.values();
    tables().all(|table| is_intact(folder, table)).then(|| tables().filter_map(|table| table.missing.clone()).collect())
}

fn is_intact(folder: &PublishedFolder, table: &TableRecord) -> bool {
    table.files.len() <= 1 && table.files.iter().all(|file| is_unchanged(&folder.root.join(&file.name), file))
}

/// Collects, for each name of a table, the points that have such a file.
fn merge_inputs(
    plan: &Plan,
    store: &Store,
    names: &PointNames,
    points: &IndexMap<String, PointRecord>,
    current: &[NodeId],
) -> BTreeMap<String, MergeInput> {
    let mut inputs: BTreeMap<String, (Digester, Vec<TidyPoint>)> = BTreeMap::new();
    for id in current {
        let folder = names.folder(plan, *id);
        for (name, file) in points.get(&folder).map(|point| point.stored_files(store)).unwrap_or_default() {
            // A table must not lie in the folder of a point.
            let first = name.split('/').next().unwrap_or_default();
            if !name.ends_with(EXTENSION) || points.contains_key(first) || !is_inside(&name) {
                continue;
            }
            let Some(location) = store.locate(&file.digest) else { continue };
            let (digester, points) = inputs.entry(name).or_default();
            digester.update(folder.as_bytes());
            digester.update(&[0]);
            digester.update(file.digest.as_bytes());
            let file = InputFile { name: file.name, digest: file.digest, size_bytes: file.size_bytes, location };
            points.push(TidyPoint { values: values(plan, *id), file });
        }
    }
    let digested =
        |(name, (digester, points)): (_, (Digester, _))| (name, MergeInput { of: digester.digest(), points });
    inputs.into_iter().map(digested).collect()
}

/// The value of each of a node's axes.
fn values(plan: &Plan, id: NodeId) -> Vec<serde_json::Value> {
    let value = |position| {
        let (axis, value) = plan.value(id, position);
        plan.spec.axes[axis].values[value].json_value()
    };
    (0..plan.stage(id).points.axes().len()).map(value).collect()
}

/// Writes a table to the staging folder. Errors: it cannot be written; inside: the files cannot be joined.
fn make(
    axes: &[&str],
    name: &str,
    points: &[TidyPoint],
    locked: &mut LockedFolder<'_>,
    merge: MergeTables,
) -> Result<Result<NewFile, StageError>, PublishError> {
    let path = locked.writer()?.next_staged();
    let file = disk::create_new(&path, 0o666)?;
    let mut out =
        DigestWriter { file: std::io::BufWriter::with_capacity(1 << 16, file), digester: Digester::default() };
    if let Err(error) = merge(axes, points, &mut out) {
        return Ok(Err(error));
    }
    out.flush().map_err(StoreError::io("write", &path))?;
    let digest = out.digester.digest();
    let size = out.file.get_ref().metadata().map_err(StoreError::io("look at", &path))?.len();
    Ok(Ok(NewFile { name: name.to_owned(), digest, size, content: Content::Staged(path) }))
}

/// Digests a file while it is written.
struct DigestWriter<W> {
    file: W,
    digester: Digester,
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digester.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
