//! Published folders as their records describe them, for people who ask which results lie where.

use std::fs;
use std::path::{Path, PathBuf};

use orchestrate_cache::{ActionKey, disk};

use super::error::Refusal;
use super::folder::{BYTES_MAX, SEARCHED_MAX, subfolders};
use super::record::{FolderRecord, Owner, RECORD};

/// A published folder.
#[derive(Clone, Debug)]
pub struct Published {
    /// Path of the folder.
    pub root: PathBuf,
    /// The stage that it belongs to.
    pub owner: Owner,
    /// Its points with files, in the order of the record.
    pub points: Vec<PublishedPoint>,
    /// Paths of the tables that join the files of all points.
    pub tables: Vec<PathBuf>,
}

/// One published node.
#[derive(Clone, Debug)]
pub struct PublishedPoint {
    /// Name of the node.
    pub node: String,
    /// Key of its result.
    pub key: ActionKey,
    /// Paths of its files, at least one.
    pub files: Vec<PathBuf>,
}

/// The records at or below some folders.
#[derive(Debug, Default)]
pub struct Records {
    /// Folders with a record, sorted.
    pub folders: Vec<PathBuf>,
    /// True if there were too many folders to search them all.
    pub cut: bool,
}

/// Finds the published folders at or below a folder. Follows no links, and leaves hidden folders out.
pub fn records_below(dir: &Path) -> Records {
    let mut found = Records::default();
    let mut left = vec![dir.to_owned()];
    let mut searched = 0;
    while let Some(dir) = left.pop() {
        searched += 1;
        if searched > SEARCHED_MAX {
            found.cut = true;
            break;
        }
        if dir.join(RECORD).symlink_metadata().is_ok_and(|record| record.is_file()) {
            found.folders.push(dir.clone());
        }
        let is_hidden = |dir: &PathBuf| dir.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        left.extend(subfolders(&dir).into_iter().filter(|dir| !is_hidden(dir)));
    }
    found.folders.sort_unstable();
    found
}

impl Published {
    /// Reads the record of a folder; `None` if there is none. Only files that still exist are listed, edited or not.
    pub fn read(root: &Path) -> Result<Option<Self>, Refusal> {
        let path = root.join(RECORD);
        let bytes = match disk::read(&path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Refusal::unreadable(&path, &error)),
        };
        let record = FolderRecord::parse(&String::from_utf8_lossy(&bytes));
        let Some(record) = record.map_err(|error| Refusal::unreadable(&path, &error))? else { return Ok(None) };
        let existing = |dir: &Path, names: Vec<String>| {
            let mut files: Vec<_> = names.into_iter().map(|name| dir.join(name)).collect();
            files.retain(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file()));
            files.sort_unstable();
            files.dedup();
            files
        };
        let points = record.points.into_values().map(|point| {
            let names = point.files.into_iter().chain(point.before).map(|file| file.name).collect();
            let files = existing(&root.join(&point.folder), names);
            PublishedPoint { node: point.node, key: point.key, files }
        });
        Ok(Some(Self {
            root: root.to_owned(),
            owner: record.owner,
            points: points.filter(|point| !point.files.is_empty()).collect(),
            tables: existing(root, record.tables.into_keys().collect()),
        }))
    }
}
