//! Takes over published folders without a record: the sidecar of each point names its files.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use orchestrate_cache::{Digest, Store};

use super::error::Refusal;
use super::folder::PublishedFolder;
use super::record::{FileRecord, PointRecord, is_inside};
use super::sidecar::{SIDECAR, Sidecar};
use super::writer::mtime_ns;

/// Records the files that sidecars name; `points` are the folders of the plan's points.
///
/// Errors: the folder, or the folder of a point, belongs to another stage.
pub(super) fn adopt(folder: &mut PublishedFolder, points: &HashSet<String>, store: &Store) -> Result<(), Refusal> {
    let root = folder.root.clone();
    let inner = fs::read_dir(&root).into_iter().flatten().flatten();
    let inner = inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = inner.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = std::iter::once(String::new()).chain(names).collect();
    names.sort_unstable();
    for name in names {
        let path = root.join(&name).join(SIDECAR);
        let Some(sidecar) = Sidecar::read(&path) else { continue };
        let owner = sidecar.owner();
        if folder.is_ours(&owner) {
            let point = point(&root.join(&name), name, &sidecar, store);
            folder.record.points.insert(point.folder.clone(), point);
        } else if name.is_empty() || points.contains(&name) {
            return Err(Refusal::owned(&root, &owner, &path));
        }
    }
    folder.changed = !folder.record.points.is_empty();
    Ok(())
}

/// Rebuilds the record of a point. The store tells whether a file was edited; a file that the store no longer knows
/// counts as ours.
fn point(dir: &Path, folder: String, sidecar: &Sidecar, store: &Store) -> PointRecord {
    let mut point = sidecar.point(folder, "", SIDECAR);
    let stored = point.stored_files(store);
    let names = sidecar.files.iter().map(String::as_str).chain([SIDECAR]).filter(|name| is_inside(name));
    let file = |name: &str| {
        let path = dir.join(name);
        let metadata = fs::symlink_metadata(&path).ok().filter(|metadata| metadata.is_file())?;
        let record = |digest, size, mtime_ns| Some(FileRecord { name: name.to_owned(), size, mtime_ns, digest });
        let stored = stored.iter().find(|(stored, _)| stored == name).map(|(_, file)| file);
        if let Some(stored) = stored.filter(|stored| stored.size_bytes != metadata.len()) {
            return record(stored.digest, stored.size_bytes, 0);
        }
        let digest = fs::File::open(&path).and_then(Digest::of_reader).ok()?;
        match stored {
            // No file is from time 0, so this version is compared by its digest.
            Some(stored) if stored.digest != digest => record(stored.digest, stored.size_bytes, 0),
            _ => record(digest, metadata.len(), mtime_ns(&metadata)),
        }
    };
    let mut files: Vec<_> = names.filter_map(file).collect();
    files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    files.dedup_by(|a, b| a.name == b.name);
    point.files = files;
    point
}
