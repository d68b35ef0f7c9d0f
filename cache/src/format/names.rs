//! Which names a store makes in which of its folders. Whatever else lies there is somebody's: it is not read, not moved and not
//! removed, and `verify` names it.

use std::ffi::{OsStr, OsString};
use std::fs::FileType;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::disk::{self, finished_name};
use crate::format::checkpoint;
use crate::format::layout::Layout;
use crate::upkeep::pin::Pin;
use crate::value::digest::Digest;

/// Folders of a store that are made when it is opened.
pub(crate) const FOLDERS: [&str; 7] = ["packs", "objects", "tmp", "quarantine", "runs", "checkpoints", "leases.d"];
/// Folders that are made when they are first needed.
pub(crate) const LATER_FOLDERS: [&str; 3] = ["claims", "pins", "lease-files"];
/// Files beside them.
pub(crate) const FILES: [&str; 9] =
    ["format", "CACHEDIR.TAG", "stat-cache", "last-use", "last-gc", "lineage", "pack-ends", "gc.lock", "use.lock"];
/// What others put into any folder, and people do not see; and limits of the store, which its owner writes.
pub(crate) const IGNORED: [&str; 2] = [".DS_Store", "lost+found"];
const LIMITS: &str = "orchestrate.toml";

/// Whether a store makes something of this name in a folder.
type Is = fn(&str) -> bool;

/// What becomes of a name in a folder of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// A file or folder that a store makes.
    Ours,
    /// A file that was to become one of them.
    Unfinished,
    /// Anything else.
    Strange,
}

/// The id of a pack, if that is the name of one: `0198f2c4a1b3-1f3a-0`, time, process and attempt.
pub(crate) fn pack_id(name: &str) -> Option<&str> {
    let id = name.strip_suffix(".pack")?;
    let parts: Vec<_> = id.split('-').collect();
    let is_id = matches!(parts.as_slice(), [time, process, attempt]
        if time.len() >= 12 && [time, process, attempt].iter().all(|part| is_hex(part)));
    is_id.then_some(id)
}

/// The number of a session, if that is the name of its folder.
pub(crate) fn session_number(name: &str) -> Option<u32> {
    name.parse().ok().filter(|number: &u32| number.to_string() == name)
}

/// Whether quarantine keeps something under this name: a blob, or what was a file of the store.
pub(crate) fn is_quarantined(name: &str) -> bool {
    let (file, rest) = name.split_once('-').unwrap_or((name, ""));
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let of_run = |rest: &str| rest == "events.jsonl" || rest == "durations.json";
    let of_pack = |stem: &str| {
        stem.rsplit_once('-').is_some_and(|(id, place)| {
            pack_id(&format!("{id}.pack")).is_some() && place.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    is_digest(name)
        || pack_id(name).is_some()
        || matches!(extension, "tail" | "damage") && of_pack(stem)
        || FILES.contains(&name)
        || file == "pins" && is_pin(rest)
        || file == "checkpoints"
            && rest.split_once('-').is_some_and(|(key, file)| is_digest(key) && checkpoint::is_name(file))
        || file == "hits" && is_digest(rest)
        || name
            .get(RUN_LEN..)
            .is_some_and(|rest| rest.strip_prefix('-').is_some_and(of_run) && is_run(&name[..RUN_LEN]))
}

const RUN_LEN: usize = "20260131-174502-318-9f02ac".len();

fn is_run(name: &str) -> bool {
    let lens: Vec<_> = name.split('-').map(str::len).collect();
    lens == [8, 6, 3, 6] && name.split('-').all(is_hex)
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(crate) fn is_digest(name: &str) -> bool {
    name.parse::<Digest>().is_ok_and(|digest| digest.to_string() == name)
}

/// Whether that is the name of a pin's file.
pub(crate) fn is_pin(name: &str) -> bool {
    name.strip_suffix(".json").is_some_and(Pin::is_name)
}

/// Whether that is the name of a folder of objects.
pub(crate) fn is_prefix(name: &str) -> bool {
    name.len() == 2 && is_hex(name)
}

/// Whether that is the name of a session's file.
pub(crate) fn is_lock(name: &str) -> bool {
    name.strip_suffix(".lock").is_some_and(|number| session_number(number).is_some())
}

fn is_run_file(name: &str) -> bool {
    matches!(name, "events.jsonl" | "durations.json")
}

/// Names in the folders of a store that it did not make; those in the folders of sessions and runs are others' business.
pub(crate) fn strange(layout: &Layout) -> Result<Vec<PathBuf>, StoreError> {
    let mut strange = look(&folders(layout)?, Name::Strange)?;
    let sessions = inside(&layout.tmp(), |name| session_number(name).is_some())?;
    strange.extend(sessions.into_iter().filter(|dir| !dir.with_extension("lock").is_file()));
    let ignored = |path: &PathBuf| path.file_name().and_then(OsStr::to_str).is_some_and(|name| IGNORED.contains(&name));
    strange.retain(|path| !ignored(path) && *path != layout.dir.join(LIMITS));
    Ok(strange)
}

/// Files that killed processes did not finish, and those that are being written just now.
pub(crate) fn unfinished(layout: &Layout) -> Result<Vec<PathBuf>, StoreError> {
    let mut folders = folders(layout)?;
    let run_folders = inside(&layout.runs(), |name| is_run(name) || name == "hits")?;
    folders.extend(run_folders.into_iter().map(|path| Folder::new(path, |name| is_run_file(name) || is_digest(name))));
    look(&folders, Name::Unfinished)
}

/// The paths in folders that are of one sort, sorted.
fn look(folders: &[Folder], wanted: Name) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for folder in folders {
        let entries = disk::entries(&folder.path)?.into_iter();
        let wanted = entries.filter(|(name, kind)| folder.what_is(name, *kind) == wanted);
        found.extend(wanted.map(|(name, _)| folder.path.join(name)));
    }
    found.sort_unstable();
    Ok(found)
}

/// A folder of a store: which files and which folders are made in it.
struct Folder {
    path: PathBuf,
    is_file: Is,
    is_folder: Is,
    /// Whether a link or a FIFO that has the name of a file may have it.
    any_kind: bool,
}

impl Folder {
    fn new(path: PathBuf, is_file: Is) -> Self {
        Self { path, is_file, is_folder: |_| false, any_kind: false }
    }

    fn and_folders(self, is_folder: Is) -> Self {
        Self { is_folder, ..self }
    }

    fn what_is(&self, name: &OsStr, kind: FileType) -> Name {
        let Some(name) = name.to_str() else { return Name::Strange };
        match kind {
            kind if kind.is_dir() && (self.is_folder)(name) => Name::Ours,
            kind if (kind.is_file() || self.any_kind && !kind.is_dir()) && (self.is_file)(name) => Name::Ours,
            kind if kind.is_file() && finished_name(name).is_some_and(self.is_file) => Name::Unfinished,
            _ => Name::Strange,
        }
    }
}

/// All folders but those of sessions and runs.
fn folders(layout: &Layout) -> Result<Vec<Folder>, StoreError> {
    let root_folder = |name: &str| FOLDERS.contains(&name) || LATER_FOLDERS.contains(&name);
    let mut folders = vec![
        Folder::new(layout.dir.clone(), |name| FILES.contains(&name)).and_folders(root_folder),
        Folder::new(layout.packs(), |name| pack_id(name).is_some()),
        Folder::new(layout.objects(), |_| false).and_folders(is_prefix),
        Folder::new(layout.tmp(), is_lock).and_folders(|name| session_number(name).is_some()),
        // A repair moves there what lies in the place of a file.
        Folder { any_kind: true, ..Folder::new(layout.quarantine(), is_quarantined) },
        Folder::new(layout.checkpoints(), |_| false).and_folders(is_digest),
        Folder::new(layout.claims(), is_digest),
        Folder::new(layout.leases(), is_prefix),
        Folder::new(layout.dir.join("lease-files"), is_digest),
        Folder::new(layout.pins(), is_pin),
    ];
    folders.extend(inside(&layout.objects(), is_prefix)?.into_iter().map(|path| Folder::new(path, is_digest)));
    let checkpoints = inside(&layout.checkpoints(), is_digest)?;
    folders.extend(checkpoints.into_iter().map(|path| Folder::new(path, checkpoint::is_name)));
    Ok(folders)
}

/// The folders in a folder that have such names.
fn inside(parent: &Path, is_ours: Is) -> Result<Vec<PathBuf>, StoreError> {
    let is_ours = |(name, kind): &(OsString, FileType)| kind.is_dir() && name.to_str().is_some_and(is_ours);
    Ok(disk::entries(parent)?.into_iter().filter(is_ours).map(|(name, _)| parent.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_a_store_makes_and_no_others() {
        let digest = Digest::of(b"1").to_string();
        let pack = "0198f2c4a1b3-1f3a-0";
        let kept = [
            digest.clone(),
            format!("{pack}.pack"),
            format!("{pack}-4096.tail"),
            format!("{pack}-32.damage"),
            "format".to_owned(),
            "pins-paper.json".to_owned(),
            format!("checkpoints-{digest}-epoch-000003.checkpoint"),
            "20260131-174502-318-9f02ac-events.jsonl".to_owned(),
            format!("hits-{digest}"),
        ];
        assert!(kept.iter().all(|name| is_quarantined(name)), "{kept:?}");
        for name in ["notes.txt", "a.pack", "scan-3.tail", "pins-.json", "hits-1", "2026.damage", "events.jsonl", ""] {
            assert!(!is_quarantined(name), "{name}");
        }
        assert_eq!(pack_id(&format!("{pack}.pack")), Some(pack));
        for name in ["copy of a.pack", "1-1-1.pack", "0198f2c4a1b3-1f3a-0 (1).pack", "0198f2c4a1b3-1f3a.pack"] {
            assert_eq!(pack_id(name), None, "{name}");
        }
        assert_eq!(["0", "17", "017", "+1", "x", ""].map(session_number), [Some(0), Some(17), None, None, None, None]);
        assert!(is_digest(&digest) && !is_digest(&digest.to_uppercase()) && is_prefix("0f") && !is_prefix("0F"));
    }
}
