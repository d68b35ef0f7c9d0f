//! Foreign files and folders in a store, and unfinished files.

use std::ffi::OsStr;
use std::fs::FileType;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::disk::{self, finished_name};
use crate::format::layout::Layout;
use crate::format::names::{self, is_digest, is_prefix};
use crate::upkeep::problem::Problem;

/// Returns whether a store makes something of this name in a folder.
type Is = fn(&str) -> bool;

/// Origin of a name in a folder of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// A file or folder of the store.
    Ours,
    /// An unfinished file of the store.
    Unfinished,
    /// Anything else.
    Stray,
}

/// Lists foreign paths, as far as folders can be listed; `denied` gets the other folders. Folders of sessions and of
/// runs are not searched.
pub(crate) fn strays(layout: &Layout, denied: &mut Vec<Problem>) -> Result<Vec<PathBuf>, StoreError> {
    let mut strays = search(&folders(layout)?, Name::Stray, denied);
    let sessions = inside(&layout.tmp(), names::is_session)?;
    strays.extend(sessions.into_iter().filter(|dir| !dir.with_extension("lock").is_file()));
    let is_ignored =
        |path: &Path| path.file_name().and_then(OsStr::to_str).is_some_and(|name| names::IGNORED.contains(&name));
    strays.retain(|path| !is_ignored(path) && *path != layout.dir.join(names::LIMITS));
    Ok(strays)
}

/// Lists unfinished files, of killed processes and of live ones, as far as folders can be listed.
pub(crate) fn unfinished(layout: &Layout) -> Result<Vec<PathBuf>, StoreError> {
    let mut folders = folders(layout)?;
    let run_folders = inside(&layout.runs(), |name| names::is_run(name) || name == "hits")?;
    let is_file = |name: &str| names::is_run_file(name) || is_digest(name);
    folders.extend(run_folders.into_iter().map(|path| Folder::new(path, is_file)));
    Ok(search(&folders, Name::Unfinished, &mut Vec::new()))
}

/// Lists the paths of one sort in some folders, sorted.
fn search(folders: &[Folder], wanted: Name, denied: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in folders {
        let entries = disk::entries(&folder.path).unwrap_or_else(|error| {
            denied.push(Problem::of(&folder.path, &error));
            Vec::new()
        });
        let entries = entries.into_iter();
        let wanted = entries.filter(|(name, kind)| folder.classify(name, *kind) == wanted);
        found.extend(wanted.map(|(name, _)| folder.path.join(name)));
    }
    found.sort_unstable();
    found
}

/// A folder of a store, with tests for the names of its own files and folders.
struct Folder {
    path: PathBuf,
    is_file: Is,
    is_folder: Is,
    /// Allows a link or a FIFO to have the name of a file.
    any_kind: bool,
}

impl Folder {
    fn new(path: PathBuf, is_file: Is) -> Self {
        Self { path, is_file, is_folder: |_| false, any_kind: false }
    }

    fn and_folders(self, is_folder: Is) -> Self {
        Self { is_folder, ..self }
    }

    fn classify(&self, name: &OsStr, kind: FileType) -> Name {
        let Some(name) = name.to_str() else { return Name::Stray };
        match kind {
            // One that is empty and never got its name stays, as it does no harm.
            kind if kind.is_dir() && (self.is_folder)(finished_name(name).unwrap_or(name)) => Name::Ours,
            kind if (kind.is_file() || self.any_kind && !kind.is_dir()) && (self.is_file)(name) => Name::Ours,
            kind if kind.is_file() && finished_name(name).is_some_and(self.is_file) => Name::Unfinished,
            _ => Name::Stray,
        }
    }
}

/// Lists all folders but those of sessions and runs.
fn folders(layout: &Layout) -> Result<Vec<Folder>, StoreError> {
    let mut folders = vec![
        Folder::new(layout.dir.clone(), |name| names::FILES.contains(&name)).and_folders(names::is_folder),
        Folder::new(layout.stat_caches(), is_digest),
        Folder::new(layout.packs(), |name| names::pack_id(name).or_else(|| names::index_id(name)).is_some()),
        Folder::new(layout.objects(), |_| false).and_folders(is_prefix),
        Folder::new(layout.tmp(), names::is_session_file).and_folders(names::is_session),
        // A repair moves links and FIFOs there that lie in the place of a file.
        Folder { any_kind: true, ..Folder::new(layout.quarantine(), names::is_quarantined) },
        Folder::new(layout.checkpoints(), |_| false).and_folders(is_digest),
        Folder::new(layout.claims(), is_digest),
        Folder::new(layout.leases(), is_prefix),
        Folder::new(layout.lease_files(), is_digest),
        Folder::new(layout.pins(), names::is_pin),
        Folder::new(layout.jobs(), |_| false).and_folders(names::is_job),
    ];
    folders.extend(inside(&layout.objects(), is_prefix)?.into_iter().map(|path| Folder::new(path, is_digest)));
    folders.push(Folder::new(layout.remotes(), |_| false).and_folders(names::is_remote));
    let remotes = inside(&layout.remotes(), names::is_remote)?;
    folders.extend(remotes.into_iter().map(|path| Folder::new(path, names::is_remote_file)));
    let checkpoints = inside(&layout.checkpoints(), is_digest)?;
    folders.extend(checkpoints.into_iter().map(|path| Folder::new(path, names::is_checkpoint)));
    Ok(folders)
}

/// Lists the folders in a folder that have such names.
fn inside(parent: &Path, is_ours: Is) -> Result<Vec<PathBuf>, StoreError> {
    let names = disk::list_if(parent, FileType::is_dir, is_ours)?;
    Ok(names.into_iter().map(|name| parent.join(name)).collect())
}
