//! Puts files into a published folder, and takes files of ours out of it.
//!
//! No link below the root is followed. Only what the record names is replaced or removed, and only while it is as it was
//! written; what a person has edited is kept under another name. New files are written in a hidden folder and get their
//! names by a rename.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use orchestrate_cache::{Digest, Store, StoreError, disk};

use super::PublishError;
use super::record::FileRecord;

/// The files that are to lie in a folder in place of those that we wrote there before.
pub(super) struct Change {
    /// The folder below the root; empty for the root itself.
    pub(super) dir: String,
    /// Every version of every file of ours that may be there.
    pub(super) old: Vec<FileRecord>,
    pub(super) wanted: Vec<Wanted>,
    /// Whether a file that is as it was recorded stays, whatever is wanted: it belongs to the same results.
    pub(super) keep: bool,
}

/// A file that is to be there.
pub(super) struct Wanted {
    /// Relative to the folder.
    pub(super) name: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) content: Content,
}

pub(super) enum Content {
    /// The store has it under its digest.
    Stored {
        executable: bool,
    },
    Bytes(Vec<u8>),
    /// It lies in the hidden folder already.
    Staged(PathBuf),
}

/// A change of which all new files are written, and none has its name yet.
pub(super) struct Prepared {
    dir: String,
    old: Vec<FileRecord>,
    kept: Vec<FileRecord>,
    writes: Vec<Write>,
}

struct Write {
    file: FileRecord,
    staged: PathBuf,
    /// What has the name now, and whether that is to be kept under another one.
    found: Option<Stat>,
    rescue: bool,
}

/// The metadata that tells without reading whether a file is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    inode: u64,
    size: u64,
    mtime_ns: i64,
}

impl Stat {
    fn of(metadata: &Metadata) -> Self {
        Self { inode: metadata.ino(), size: metadata.size(), mtime_ns: mtime_ns(metadata) }
    }
}

pub(super) fn mtime_ns(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// Whether a file still looks as it was recorded; a link does not.
pub(super) fn is_unchanged(path: &Path, file: &FileRecord) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && looks_as(&metadata, file))
}

fn looks_as(metadata: &Metadata, file: &FileRecord) -> bool {
    metadata.size() == file.size && mtime_ns(metadata) == file.mtime_ns
}

enum There {
    Nothing,
    File(Metadata),
    Folder,
    /// A link, a device or the like.
    Other(Metadata),
    /// What should be a folder on the way is none; relative to the root.
    Blocked(PathBuf),
}

/// Works in one folder, of which the lock is held.
pub(super) struct Placer<'a> {
    root: &'a Path,
    staging: &'a Path,
    /// Folders below the root that were seen to be folders.
    folders: HashSet<PathBuf>,
    /// Files in the hidden folder.
    staged: usize,
    /// Files that got their names.
    pub(super) written: Vec<PathBuf>,
    /// What people should know.
    pub(super) warnings: Vec<String>,
}

impl<'a> Placer<'a> {
    /// `staging` is an empty folder below the root.
    pub(super) fn new(root: &'a Path, staging: &'a Path) -> Self {
        Self { root, staging, folders: HashSet::new(), staged: 0, written: Vec::new(), warnings: Vec::new() }
    }

    /// Looks whether a change can be made, and writes what it needs. Nothing that is there changes.
    pub(super) fn prepare(&mut self, change: Change, store: &Store) -> Result<Prepared, PublishError> {
        let Change { dir, old, wanted, keep } = change;
        let mut versions: BTreeMap<&str, Vec<&FileRecord>> = BTreeMap::new();
        old.iter().for_each(|file| versions.entry(&file.name).or_default().push(file));
        let names: HashSet<&str> = wanted.iter().map(|file| file.name.as_str()).collect();
        let goes = |name: &Path| {
            let recorded = name.to_str().filter(|name| versions.contains_key(name));
            recorded.is_some_and(|name| !names.contains(name))
        };
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for (index, file) in wanted.iter().enumerate() {
            let relative = Path::new(&dir).join(&file.name);
            let recorded = versions.get(file.name.as_str()).map_or(&[][..], Vec::as_slice);
            let in_the_way = || PublishError::InTheWay { path: self.root.join(&relative) };
            let (found, rescue) = match self.look(&relative)? {
                There::Nothing => (None, false),
                There::Blocked(path) if path.strip_prefix(&dir).is_ok_and(goes) => (None, false),
                There::Blocked(path) => return Err(blocked(self.root.join(path))),
                There::Folder if self.only_holds(&relative, &dir, &goes)? => (None, false),
                There::Folder => return Err(in_the_way()),
                There::Other(metadata) if !recorded.is_empty() => (Some(Stat::of(&metadata)), true),
                There::Other(_) => return Err(in_the_way()),
                There::File(metadata) => {
                    let path = self.root.join(&relative);
                    // What is to be replaced is read, as an edit may keep size and time.
                    let stays = |version: &&&FileRecord| {
                        looks_as(&metadata, version) && (keep || version.digest == file.digest)
                    };
                    let is_known = |size| size == file.size || recorded.iter().any(|version| version.size == size);
                    let digest = match recorded.iter().find(stays) {
                        Some(version) => Some(version.digest),
                        None if is_known(metadata.size()) => Some(digest(&path)?),
                        None => None,
                    };
                    let ours = recorded.iter().any(|version| Some(version.digest) == digest);
                    if let Some(digest) = digest.filter(|digest| *digest == file.digest || keep && ours) {
                        let (size, mtime_ns) = (metadata.size(), mtime_ns(&metadata));
                        kept.push(FileRecord { name: file.name.clone(), size, mtime_ns, digest });
                        continue;
                    }
                    if recorded.is_empty() {
                        return Err(in_the_way());
                    }
                    (Some(Stat::of(&metadata)), !ours)
                }
            };
            missing.push((index, found, rescue));
        }
        let mut wanted: Vec<_> = wanted.into_iter().map(Some).collect();
        let mut writes = Vec::with_capacity(missing.len());
        for (index, found, rescue) in missing {
            let file = wanted[index].take().expect("each is missing once");
            writes.push(self.stage(file, store, found, rescue)?);
        }
        Ok(Prepared { dir, old, kept, writes })
    }

    /// A path for a new file in the hidden folder.
    pub(super) fn next_staged(&mut self) -> PathBuf {
        self.staged += 1;
        self.staging.join(self.staged.to_string())
    }

    fn stage(&mut self, file: Wanted, store: &Store, found: Option<Stat>, rescue: bool) -> Result<Write, PublishError> {
        let staged = match &file.content {
            Content::Staged(path) => path.clone(),
            _ => self.next_staged(),
        };
        let open = match file.content {
            Content::Stored { executable } => {
                new_file(&staged, &store.read(&file.digest)?, if executable { 0o777 } else { 0o666 })
            }
            Content::Bytes(bytes) => new_file(&staged, &bytes, 0o666),
            Content::Staged(_) => File::open(&staged).map_err(at("open", &staged)),
        };
        let written = open.and_then(|file| file.metadata().map_err(at("look at", &staged)));
        let metadata = written.map_err(PublishError::Target)?;
        let (size, mtime_ns) = (metadata.size(), mtime_ns(&metadata));
        let file = FileRecord { name: file.name, size, mtime_ns, digest: file.digest };
        Ok(Write { file, staged, found, rescue })
    }

    /// Makes a change that was prepared and recorded.
    pub(super) fn apply(&mut self, prepared: &Prepared) -> Result<(), PublishError> {
        let Prepared { dir, old, kept, writes } = prepared;
        let stays: HashSet<&str> =
            kept.iter().chain(writes.iter().map(|write| &write.file)).map(|file| file.name.as_str()).collect();
        let mut gone: Vec<&str> = old.iter().map(|file| file.name.as_str()).filter(|it| !stays.contains(it)).collect();
        gone.sort_unstable();
        gone.dedup();
        let mut emptied: HashSet<PathBuf> = HashSet::new();
        for name in gone {
            let versions: Vec<_> = old.iter().filter(|file| file.name == name).collect();
            let relative = Path::new(dir).join(name);
            self.remove(&relative, &versions)?;
            emptied.extend(relative.parent().map(Path::to_owned));
        }
        self.prune(emptied)?;
        for Write { file, staged, found, rescue } in writes {
            let relative = Path::new(dir).join(&file.name);
            let path = self.root.join(&relative);
            let there = match self.look(&relative)? {
                There::Nothing => None,
                There::File(metadata) | There::Other(metadata) => Some(Stat::of(&metadata)),
                There::Folder => return Err(PublishError::InTheWay { path }),
                There::Blocked(other) => return Err(blocked(self.root.join(other))),
            };
            if there != *found {
                return Err(PublishError::Changing { path });
            }
            if *rescue {
                self.rescue(&path, "it is there again as it was published")?;
            }
            self.make_parents(&relative)?;
            disk::rename(staged, &path).map_err(PublishError::Target)?;
            self.written.push(path);
        }
        Ok(())
    }

    /// Removes a file of ours; one that was edited gets another name.
    fn remove(&mut self, relative: &Path, versions: &[&FileRecord]) -> Result<(), PublishError> {
        let path = self.root.join(relative);
        let ours = match self.look(relative)? {
            There::Nothing | There::Folder | There::Blocked(_) => return Ok(()),
            There::Other(_) => false,
            There::File(metadata) if versions.iter().all(|version| version.size != metadata.size()) => false,
            There::File(_) => {
                let digest = digest(&path)?;
                versions.iter().any(|version| version.digest == digest)
            }
        };
        if ours {
            return disk::remove_file(&path).map_err(PublishError::Target);
        }
        self.rescue(&path, "it is published no longer")
    }

    /// Gives what a person made of a file of ours another name, one that nothing has.
    fn rescue(&mut self, path: &Path, now: &str) -> Result<(), PublishError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".edited");
        for number in 1_u32.. {
            let mut free = name.clone();
            if number > 1 {
                free.push(format!("-{number}"));
            }
            let free = path.with_file_name(free);
            match disk::link(path, &free) {
                Ok(()) => disk::remove_file(path).map_err(PublishError::Target)?,
                Err(_) if fs::symlink_metadata(&free).is_ok() => continue,
                // A filesystem without second names.
                Err(_) => disk::rename(path, &free).map_err(PublishError::Target)?,
            }
            let kept = free.file_name().unwrap_or_default().display().to_string();
            self.warnings.push(format!(
                "{} was edited after it was published; {now}, and yours is kept as {kept}",
                path.display()
            ));
            break;
        }
        Ok(())
    }

    /// Removes folders that are empty now, and those above them, but not the root.
    fn prune(&mut self, emptied: HashSet<PathBuf>) -> Result<(), PublishError> {
        let mut emptied: Vec<_> = emptied.into_iter().collect();
        // The innermost first.
        emptied.sort_unstable_by_key(|dir| std::cmp::Reverse(dir.components().count()));
        for mut dir in emptied {
            while !dir.as_os_str().is_empty()
                && disk::remove_empty_dir(&self.root.join(&dir)).map_err(PublishError::Target)?
            {
                self.folders.remove(&dir);
                dir.pop();
            }
        }
        Ok(())
    }

    /// What has a name below the root.
    fn look(&mut self, relative: &Path) -> Result<There, PublishError> {
        let parent = relative.parent().unwrap_or(Path::new(""));
        if !self.folders.contains(parent) {
            let mut dir = PathBuf::new();
            for part in parent.components() {
                dir.push(part);
                if self.folders.contains(&dir) {
                    continue;
                }
                match lstat(&self.root.join(&dir))? {
                    None => return Ok(There::Nothing),
                    Some(metadata) if metadata.is_dir() => drop(self.folders.insert(dir.clone())),
                    Some(_) => return Ok(There::Blocked(dir)),
                }
            }
        }
        Ok(match lstat(&self.root.join(relative))? {
            None => There::Nothing,
            Some(metadata) if metadata.is_dir() => There::Folder,
            Some(metadata) if metadata.is_file() => There::File(metadata),
            Some(metadata) => There::Other(metadata),
        })
    }

    fn make_parents(&mut self, relative: &Path) -> Result<(), PublishError> {
        let parent = relative.parent().unwrap_or(Path::new(""));
        if self.folders.contains(parent) {
            return Ok(());
        }
        let mut dir = PathBuf::new();
        for part in parent.components() {
            dir.push(part);
            let path = self.root.join(&dir);
            if self.folders.contains(&dir) {
                continue;
            }
            match lstat(&path)? {
                None => disk::create_new_dir(&path).map_err(PublishError::Target)?,
                Some(metadata) if metadata.is_dir() => {}
                Some(_) => return Err(blocked(path)),
            }
            self.folders.insert(dir.clone());
        }
        Ok(())
    }

    /// Whether all files of a folder are of ours and go.
    fn only_holds(&self, folder: &Path, dir: &str, goes: &impl Fn(&Path) -> bool) -> Result<bool, PublishError> {
        let path = self.root.join(folder);
        for entry in fs::read_dir(&path).map_err(target("list", &path))? {
            let entry = entry.map_err(target("list", &path))?;
            let inner = folder.join(entry.file_name());
            let ours = match entry.file_type().map_err(target("look at", &path))?.is_dir() {
                true => self.only_holds(&inner, dir, goes)?,
                false => inner.strip_prefix(dir).is_ok_and(goes),
            };
            if !ours {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Prepared {
    /// The files that are there afterwards.
    pub(super) fn files(&self) -> Vec<FileRecord> {
        let mut files: Vec<_> = self.kept.iter().chain(self.writes.iter().map(|write| &write.file)).cloned().collect();
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        files
    }

    /// The files that may be there until then.
    pub(super) fn before(&self) -> Vec<FileRecord> {
        let files = self.files();
        self.old.iter().filter(|file| !files.contains(file)).cloned().collect()
    }
}

fn new_file(path: &Path, bytes: &[u8], mode: u32) -> Result<File, StoreError> {
    let mut file = disk::create_new(path, mode)?;
    disk::append(&mut file, bytes, path)?;
    Ok(file)
}

fn digest(path: &Path) -> Result<Digest, PublishError> {
    // A link or a pipe may have come to lie there since it was looked at.
    let file = disk::open(path).map_err(PublishError::Target)?;
    Digest::of_reader(file).map_err(target("read", path))
}

fn lstat(path: &Path) -> Result<Option<Metadata>, PublishError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(target("look at", path)(error)),
    }
}

fn blocked(path: PathBuf) -> PublishError {
    if path.is_symlink() { PublishError::Link { path } } else { PublishError::InTheWay { path } }
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { action, path: path.to_owned(), source }
}

pub(super) fn target(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PublishError {
    move |source| PublishError::Target(StoreError::Io { action, path: path.to_owned(), source })
}
