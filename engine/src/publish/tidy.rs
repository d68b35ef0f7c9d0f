//! One table of all points of a published stage, beside their folders: for each Parquet file of its outputs the rows of all
//! points of this plan, with the axes as columns.
//!
//! What is in the file, and how rows are joined, is the business of whoever gives [`MergeTables`].

use std::collections::BTreeMap;
use std::io::Write;

use orchestrate_cache::{Digest, Digester, OutputDigest, Store, disk};

use super::folder::{Folder, Locked};
use super::place::{Content, Placer, Wanted, is_unchanged, target};
use super::record::{Entry, Table, is_inside};
use super::{PointNames, PublishError};
use crate::node::NodeId;
use crate::plan::Plan;
use crate::stage::{InputFile, StageError};

/// Files that together hold more are not joined: a copy of gigabytes is of no use beside them.
const BYTES_MAX: u64 = 256 << 20;

/// How the name of a file ends that is a table.
const EXTENSION: &str = ".parquet";

/// The file of one point.
#[derive(Clone, Debug)]
pub struct TidyPoint {
    /// The value of each axis: a number, a truth value or a text, which is the label where the value is a table.
    pub values: Vec<serde_json::Value>,
    /// The stored file.
    pub file: InputFile,
}

/// Joins the tables of points into one, whose first columns are the axes.
pub type MergeTables = fn(axes: &[&str], points: &[TidyPoint], out: &mut (dyn Write + Send)) -> Result<(), StageError>;

/// A table that is to be made, from files of points in the order of the plan.
struct Source {
    of: Digest,
    points: Vec<TidyPoint>,
}

/// Brings the tables of a stage up to date with those of its points that are current; gives what people should know.
///
/// Nothing is done for a stage without axes. Where no point is current, tables stay as they are, like the points.
pub(super) fn update(
    plan: &Plan,
    store: &Store,
    names: &PointNames,
    locked: &mut Locked<'_>,
    current: &[NodeId],
    merge: MergeTables,
) -> Result<Vec<String>, PublishError> {
    if current.is_empty() {
        return Ok(Vec::new());
    }
    let sources = sources(plan, store, names, &locked.folder.record.points, current);
    let is_kept =
        |table: &Table| is_intact(locked.folder, table) && sources.get(&table.name).is_some_and(|it| it.of == table.of);
    let (kept, old): (Vec<_>, Vec<_>) = locked.folder.record.tables.values().cloned().partition(is_kept);
    let gone: Vec<_> = old.into_iter().map(|table| table.name).filter(|name| !sources.contains_key(name)).collect();
    let is_made = |name: &String| kept.iter().all(|table| table.name != *name);
    let made: Vec<_> = sources.into_iter().filter(|(name, _)| is_made(name)).collect();
    let mut warnings: Vec<_> = kept.into_iter().filter_map(|table| table.missing).collect();
    if made.is_empty() && gone.is_empty() {
        return Ok(warnings);
    }
    let axes = plan.stage(current[0]).points.axes().iter().map(|axis| plan.spec.axes[*axis].name.get_ref().as_str());
    let axes: Vec<&str> = axes.collect();
    let ((), said) = locked.place(|locked, placer| {
        for name in gone {
            let table = Table { name: name.clone(), of: Digest::of(b""), missing: None, files: Vec::new() };
            locked.put_table(table, None, placer, store)?;
            locked.folder.record.tables.shift_remove(&name);
        }
        for (name, source) in made {
            let (mut wanted, mut missing) = (None, None);
            let bytes = source.points.iter().fold(0_u64, |sum, point| sum.saturating_add(point.file.size_bytes));
            let path = locked.folder.root.join(&name);
            if bytes > BYTES_MAX {
                warnings.push(format!(
                    "there is no {}: the files of the points hold more than {} MiB",
                    path.display(),
                    BYTES_MAX >> 20
                ));
            } else {
                match make(&axes, &name, &source.points, placer, merge)? {
                    Ok(made) => wanted = Some(made),
                    Err(error) => missing = Some(format!("there is no {}: {error}", path.display())),
                }
            }
            warnings.extend(missing.clone());
            let table = Table { name, of: source.of, missing, files: Vec::new() };
            locked.put_table(table, wanted, placer, store)?;
        }
        Ok(())
    })?;
    warnings.extend(said);
    Ok(warnings)
}

/// Whether every table of a folder is there as it was written, and what is to be told of one that could not be made.
pub(super) fn intact(folder: &Folder) -> Option<Vec<String>> {
    let tables = || folder.record.tables.values();
    tables().all(|table| is_intact(folder, table)).then(|| tables().filter_map(|table| table.missing.clone()).collect())
}

fn is_intact(folder: &Folder, table: &Table) -> bool {
    table.files.len() <= 1 && table.files.iter().all(|file| is_unchanged(&folder.root.join(&file.name), file))
}

/// For each name of a table the points that have it.
fn sources(
    plan: &Plan,
    store: &Store,
    names: &PointNames,
    entries: &indexmap::IndexMap<String, Entry>,
    current: &[NodeId],
) -> BTreeMap<String, Source> {
    let mut points: BTreeMap<String, (Digester, Vec<TidyPoint>)> = BTreeMap::new();
    for id in current {
        let folder = names.folder(plan, *id);
        let Some(entry) = entries.get(&folder) else { continue };
        let outputs: Vec<(&str, &OutputDigest)> =
            entry.outputs.iter().map(|it| (it.name.as_str(), &it.digest)).collect();
        for (output, digest) in &outputs {
            for file in store.artifact(digest).unwrap_or_default().files {
                let name = if outputs.len() == 1 { file.name.clone() } else { format!("{output}/{}", file.name) };
                // A table is not to lie in the folder of a point.
                let first = name.split('/').next().unwrap_or_default();
                if !name.ends_with(EXTENSION) || entries.contains_key(first) || !is_inside(&name) {
                    continue;
                }
                let Some(location) = store.locate(&file.digest) else { continue };
                let (digester, points) = points.entry(name).or_default();
                digester.update(folder.as_bytes());
                digester.update(&[0]);
                digester.update(file.digest.as_bytes());
                let file = InputFile { name: file.name, digest: file.digest, size_bytes: file.size_bytes, location };
                points.push(TidyPoint { values: values(plan, *id), file });
            }
        }
    }
    points.into_iter().map(|(name, (digester, points))| (name, Source { of: digester.digest(), points })).collect()
}

/// The value of each of a node's axes.
fn values(plan: &Plan, id: NodeId) -> Vec<serde_json::Value> {
    let value = |position| {
        let (axis, value) = plan.value(id, position);
        plan.spec.axes[axis].values[value].json_value()
    };
    (0..plan.stage(id).points.axes().len()).map(value).collect()
}

/// Writes a table to the hidden folder. Errors: it cannot be written; inside: it cannot be made.
fn make(
    axes: &[&str],
    name: &str,
    points: &[TidyPoint],
    placer: &mut Placer<'_>,
    merge: MergeTables,
) -> Result<Result<Wanted, StageError>, PublishError> {
    let path = placer.next_staged();
    let file = disk::create_new(&path, 0o666).map_err(PublishError::Target)?;
    let mut out = Digested { file: std::io::BufWriter::with_capacity(1 << 16, file), digester: Digester::default() };
    if let Err(error) = merge(axes, points, &mut out) {
        return Ok(Err(error));
    }
    out.flush().map_err(target("write", &path))?;
    let digest = out.digester.digest();
    let size = out.file.get_ref().metadata().map_err(target("look at", &path))?.len();
    Ok(Ok(Wanted { name: name.to_owned(), digest, size, content: Content::Staged(path) }))
}

/// A file of which the digest is known as it grows.
struct Digested<W> {
    file: W,
    digester: Digester,
}

impl<W: Write> Write for Digested<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digester.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
