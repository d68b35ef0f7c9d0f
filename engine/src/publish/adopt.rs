//! Folders that programs before the record published into: each point has a sidecar, which names its files.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use orchestrate_cache::{Digest, Store, disk};

use super::folder::{Folder, Refusal};
use super::place::mtime_ns;
use super::record::{Entry, FileRecord, NamedOutput, Owner, is_inside};
use super::{SIDECAR, Sidecar, spec_text};

/// A longer sidecar is none of ours.
const SIDECAR_BYTES_MAX: u64 = 1 << 26;

/// Takes over what sidecars name in a folder that has no record; `points` are the folders of the plan's points.
///
/// Errors: the folder, or that of a point, is another stage's.
pub(super) fn adopt(folder: &mut Folder, points: &HashSet<String>, store: &Store) -> Result<(), Refusal> {
    let root = folder.root.clone();
    let inner = fs::read_dir(&root).into_iter().flatten().flatten();
    let inner = inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = inner.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = std::iter::once(String::new()).chain(names).collect();
    names.sort_unstable();
    for name in names {
        let path = root.join(&name).join(SIDECAR);
        let Some(sidecar) = read(&path) else { continue };
        let owner = owner(&sidecar);
        if folder.is_ours(&owner) {
            let entry = entry(&root.join(&name), name, &sidecar, store);
            folder.record.points.insert(entry.folder.clone(), entry);
        } else if name.is_empty() || points.contains(&name) {
            return Err(Refusal::owned(&root, &owner, &path));
        }
    }
    folder.changed = !folder.record.points.is_empty();
    Ok(())
}

fn read(path: &Path) -> Option<Sidecar> {
    // A link would lead elsewhere, and nothing else here is so long.
    serde_json::from_slice(&disk::read(path, SIDECAR_BYTES_MAX).ok()?).ok()
}

fn owner(sidecar: &Sidecar) -> Owner {
    let stage = sidecar.node.split('[').next().unwrap_or_default().to_owned();
    Owner { experiment: sidecar.experiment.clone(), stage, spec: spec_text(&sidecar.spec) }
}

/// The entry that a record would have of a point. What the store still knows of a file says whether it was edited; what it
/// does not know counts as ours as it is.
fn entry(dir: &Path, folder: String, sidecar: &Sidecar, store: &Store) -> Entry {
    let known: Vec<(String, Digest, u64)> = sidecar
        .outputs
        .iter()
        .flat_map(|(output, digest)| {
            let files = store.artifact(digest).unwrap_or_default().files;
            let single = sidecar.outputs.len() == 1;
            let name = move |name: String| if single { name } else { format!("{output}/{name}") };
            files.into_iter().map(move |file| (name(file.name), file.digest, file.size_bytes))
        })
        .collect();
    let names = sidecar.files.iter().map(String::as_str).chain([SIDECAR]).filter(|name| is_inside(name));
    let file = |name: &str| {
        let path = dir.join(name);
        let metadata = fs::symlink_metadata(&path).ok().filter(|metadata| metadata.is_file())?;
        let stored = known.iter().find(|(known, ..)| known == name);
        if let Some((_, digest, size)) = stored.filter(|(.., size)| *size != metadata.len()) {
            return Some(FileRecord { name: name.to_owned(), size: *size, mtime_ns: 0, digest: *digest });
        }
        let digest = fs::File::open(&path).and_then(Digest::of_reader).ok()?;
        let (digest, size, mtime_ns) = match stored {
            // No file is that old, so this version is compared by its digest.
            Some((_, known, size)) if *known != digest => (*known, *size, 0),
            _ => (digest, metadata.len(), mtime_ns(&metadata)),
        };
        Some(FileRecord { name: name.to_owned(), size, mtime_ns, digest })
    };
    let mut files: Vec<_> = names.filter_map(file).collect();
    files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    files.dedup_by(|a, b| a.name == b.name);
    let outputs = sidecar.outputs.iter().map(|(name, digest)| NamedOutput { name: name.clone(), digest: *digest });
    Entry {
        folder,
        node: sidecar.node.clone(),
        key: sidecar.key,
        outputs: outputs.collect(),
        run: String::new(),
        older_run: sidecar.older_run,
        sidecar: SIDECAR.to_owned(),
        before: Vec::new(),
        files,
    }
}
