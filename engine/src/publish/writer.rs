//! Writes files into a published folder, and removes files of ours from it.
//!
//! No link below the root is followed. Only recorded files are replaced or removed, and only if their contents are as
//! recorded; an edited file is kept under another name. A change takes two steps: [`FolderWriter::prepare`] writes the
//! new files into a staging folder, and [`FolderWriter::apply`], after the record names them, gives them their names by
//! renames.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use orchestrate_cache::{Digest, Store, StoreError, disk};

use super::error::PublishError;
use super::record::FileRecord;

/// The new files of one folder, and our old ones that they replace.
pub(super) struct FileChange {
    /// The folder below the root; empty for the root itself.
    pub(super) dir: String,
    /// Every version of every file of ours that may exist.
    pub(super) old: Vec<FileRecord>,
    pub(super) new: Vec<NewFile>,
    /// True if an old file that nobody edited stays, even if the new one differs: both are of the same results.
    pub(super) keep: bool,
}

/// A file to publish.
pub(super) struct NewFile {
    /// Relative to the folder.
    pub(super) name: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) content: Content,
}

impl NewFile {
    /// Returns a file with these bytes.
    pub(super) fn in_memory(name: String, bytes: Vec<u8>) -> Self {
        Self { name, digest: Digest::of(&bytes), size: bytes.len() as u64, content: Content::Bytes(bytes) }
    }
}

/// The source of a new file's bytes.
pub(super) enum Content {
    /// The store, by the digest.
    Stored { executable: bool },
    /// Memory.
    Bytes(Vec<u8>),
    /// A file in the staging folder.
    Staged(PathBuf),
}

/// A change whose new files are all in the staging folder.
pub(super) struct PreparedChange {
    dir: String,
    old: Vec<FileRecord>,
    /// Files that stay as they are.
    kept: Vec<FileRecord>,
    writes: Vec<Write>,
}

/// A new file in the staging folder.
struct Write {
    file: FileRecord,
    staged: PathBuf,
    /// The file that had the name when the change was prepared.
    found: Option<Stat>,
    /// True if a person edited that file, so that it is kept under another name.
    rescue: bool,
}

/// Metadata by which a change of a file is noticed without reading it.
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

/// Returns whether a path is a regular file with the recorded size and time.
pub(super) fn is_unchanged(path: &Path, file: &FileRecord) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && looks_as(&metadata, file))
}

fn looks_as(metadata: &Metadata, file: &FileRecord) -> bool {
    metadata.size() == file.size && mtime_ns(metadata) == file.mtime_ns
}

/// The present state of a path.
enum Found {
    Nothing,
    File(Metadata),
    Folder,
    /// A link, a device or the like.
    Other(Metadata),
    /// A parent, relative to the root, is no folder.
    Blocked(PathBuf),
}

/// Writes into one published folder. The caller holds its lock.
pub(super) struct FolderWriter {
    root: PathBuf,
    /// The staging folder, empty at first.
    pub(super) staging: PathBuf,
    /// Paths below the root that were found or made as folders.
    folders: HashSet<PathBuf>,
    /// The number of files in the staging folder.
    staged: usize,
    /// The paths of all files renamed from the staging folder so far.
    pub(super) written: Vec<PathBuf>,
    pub(super) warnings: Vec<String>,
}

impl FolderWriter {
    pub(super) fn new(root: PathBuf, staging: PathBuf) -> Self {
        Self { root, staging, folders: HashSet::new(), staged: 0, written: Vec::new(), warnings: Vec::new() }
    }

    /// Checks that a change is possible, and writes its new files into the staging folder. Changes no published file.
    pub(super) fn prepare(&mut self, change: FileChange, store: &Store) -> Result<PreparedChange, PublishError> {
        let FileChange { dir, old, new, keep } = change;
        let mut versions: BTreeMap<&str, Vec<&FileRecord>> = BTreeMap::new();
        old.iter().for_each(|file| versions.entry(&file.name).or_default().push(file));
        let names: HashSet<String> = new.iter().map(|file| file.name.clone()).collect();
        let is_removed = |name: &Path| {
            let recorded = name.to_str().filter(|name| versions.contains_key(name));
            recorded.is_some_and(|name| !names.contains(name))
        };
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for file in new {
            let relative = Path::new(&dir).join(&file.name);
            let recorded = versions.get(file.name.as_str()).map_or(&[][..], Vec::as_slice);
            let path = self.root.join(&relative);
            let in_the_way = || PublishError::InTheWay { path: path.clone() };
            let (found, rescue) = match self.look(&relative)? {
                Found::Nothing => (None, false),
                Found::Blocked(path) if path.strip_prefix(&dir).is_ok_and(is_removed) => (None, false),
                Found::Blocked(path) => return Err(blocked(self.root.join(path))),
                Found::Folder if self.holds_only_removed(&relative, &dir, &is_removed)? => (None, false),
                Found::Folder => return Err(in_the_way()),
                Found::Other(metadata) if !recorded.is_empty() => (Some(Stat::of(&metadata)), true),
                Found::Other(_) => return Err(in_the_way()),
                Found::File(metadata) => {
                    // A file that stays needs no reading. One that is replaced does, as an edit may keep size and time;
                    // but a file of another size than ours is surely edited.
                    let stays = |version: &&&FileRecord| {
                        looks_as(&metadata, version) && (keep || version.digest == file.digest)
                    };
                    let has_known_size =
                        |size| size == file.size || recorded.iter().any(|version| version.size == size);
                    let digest = match recorded.iter().find(stays) {
                        Some(version) => Some(version.digest),
                        None if has_known_size(metadata.size()) => Some(digest(&path)?),
                        None => None,
                    };
                    let unedited = recorded.iter().any(|version| Some(version.digest) == digest);
                    if let Some(digest) = digest.filter(|digest| *digest == file.digest || keep && unedited) {
                        let (size, mtime_ns) = (metadata.size(), mtime_ns(&metadata));
                        kept.push(FileRecord { name: file.name, size, mtime_ns, digest });
                        continue;
                    }
                    if recorded.is_empty() {
                        return Err(in_the_way());
                    }
                    (Some(Stat::of(&metadata)), !unedited)
                }
            };
            missing.push((file, found, rescue));
        }
        let stage = |(file, found, rescue)| self.stage(file, store, found, rescue);
        let writes = missing.into_iter().map(stage).collect::<Result<_, _>>()?;
        Ok(PreparedChange { dir, old, kept, writes })
    }

    /// Returns the path of a new file in the staging folder.
    pub(super) fn next_staged(&mut self) -> PathBuf {
        self.staged += 1;
        self.staging.join(self.staged.to_string())
    }

    /// Writes one new file into the staging folder, unless it is there already.
    fn stage(
        &mut self,
        file: NewFile,
        store: &Store,
        found: Option<Stat>,
        rescue: bool,
    ) -> Result<Write, PublishError> {
        let staged = match &file.content {
            Content::Staged(path) => path.clone(),
            _ => self.next_staged(),
        };
        let open = match file.content {
            Content::Stored { executable } => {
                new_file(&staged, &store.read(&file.digest)?, if executable { 0o777 } else { 0o666 })?
            }
            Content::Bytes(bytes) => new_file(&staged, &bytes, 0o666)?,
            Content::Staged(_) => File::open(&staged).map_err(StoreError::io("open", &staged))?,
        };
        let metadata = open.metadata().map_err(StoreError::io("look at", &staged))?;
        let (size, mtime_ns) = (metadata.size(), mtime_ns(&metadata));
        let file = FileRecord { name: file.name, size, mtime_ns, digest: file.digest };
        Ok(Write { file, staged, found, rescue })
    }

    /// Applies a prepared change, which the record already names: removes old files, then renames the new ones.
    pub(super) fn apply(&mut self, prepared: &PreparedChange) -> Result<(), PublishError> {
        let PreparedChange { dir, old, kept, writes } = prepared;
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
            let now = match self.look(&relative)? {
                Found::Nothing => None,
                Found::File(metadata) | Found::Other(metadata) => Some(Stat::of(&metadata)),
                Found::Folder => return Err(PublishError::InTheWay { path }),
                Found::Blocked(other) => return Err(blocked(self.root.join(other))),
            };
            if now != *found {
                return Err(PublishError::Changing { path });
            }
            if *rescue {
                self.rescue(&path, "the published version is restored")?;
            }
            if let Some(Found::Blocked(other)) = self.enter_parents(&relative, true)? {
                return Err(blocked(self.root.join(other)));
            }
            disk::rename(staged, &path)?;
            self.written.push(path);
        }
        Ok(())
    }

    /// Removes a file of ours; an edited file gets another name instead.
    fn remove(&mut self, relative: &Path, versions: &[&FileRecord]) -> Result<(), PublishError> {
        let path = self.root.join(relative);
        let unedited = match self.look(relative)? {
            Found::Nothing | Found::Folder | Found::Blocked(_) => return Ok(()),
            Found::Other(_) => false,
            Found::File(metadata) if versions.iter().all(|version| version.size != metadata.size()) => false,
            Found::File(_) => {
                let digest = digest(&path)?;
                versions.iter().any(|version| version.digest == digest)
            }
        };
        if unedited {
            return Ok(disk::remove_file(&path)?);
        }
        self.rescue(&path, "it is no longer published")
    }

    /// Renames a file of ours that a person has edited to a free name, with a warning.
    ///
    /// - `effect`: for the warning, the effect of the change on the published name
    fn rescue(&mut self, path: &Path, effect: &str) -> Result<(), PublishError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".edited");
        for number in 1_u32.. {
            let mut free = name.clone();
            if number > 1 {
                free.push(format!("-{number}"));
            }
            let free = path.with_file_name(free);
            match disk::link(path, &free) {
                Ok(()) => disk::remove_file(path)?,
                Err(_) if fs::symlink_metadata(&free).is_ok() => continue,
                // The filesystem has no hard links.
                Err(_) => disk::rename(path, &free)?,
            }
            let kept = free.file_name().unwrap_or_default().display().to_string();
            self.warnings.push(format!(
                "{} was edited after it was published; {effect}, and yours is kept as {kept}",
                path.display()
            ));
            break;
        }
        Ok(())
    }

    /// Removes folders that became empty, and their empty parents, but not the root.
    fn prune(&mut self, emptied: HashSet<PathBuf>) -> Result<(), PublishError> {
        let mut emptied: Vec<_> = emptied.into_iter().collect();
        // The innermost first.
        emptied.sort_unstable_by_key(|dir| std::cmp::Reverse(dir.components().count()));
        for mut dir in emptied {
            while !dir.as_os_str().is_empty() && disk::remove_empty_dir(&self.root.join(&dir))? {
                self.folders.remove(&dir);
                dir.pop();
            }
        }
        Ok(())
    }

    /// Returns the state of a path below the root.
    fn look(&mut self, relative: &Path) -> Result<Found, PublishError> {
        if let Some(found) = self.enter_parents(relative, false)? {
            return Ok(found);
        }
        Ok(match lstat(&self.root.join(relative))? {
            None => Found::Nothing,
            Some(metadata) if metadata.is_dir() => Found::Folder,
            Some(metadata) if metadata.is_file() => Found::File(metadata),
            Some(metadata) => Found::Other(metadata),
        })
    }

    /// Checks that everything above a path is a folder, and with `create` makes missing folders. If a parent is missing
    /// or is no folder, returns the state of the path that follows.
    fn enter_parents(&mut self, relative: &Path, create: bool) -> Result<Option<Found>, PublishError> {
        let parent = relative.parent().unwrap_or(Path::new(""));
        if self.folders.contains(parent) {
            return Ok(None);
        }
        let mut dir = PathBuf::new();
        for name in parent.components() {
            dir.push(name);
            if self.folders.contains(&dir) {
                continue;
            }
            let path = self.root.join(&dir);
            match lstat(&path)? {
                None if create => disk::create_new_dir(&path)?,
                None => return Ok(Some(Found::Nothing)),
                Some(metadata) if metadata.is_dir() => {}
                // A link to a folder too: it is not followed.
                Some(_) => return Ok(Some(Found::Blocked(dir))),
            }
            self.folders.insert(dir.clone());
        }
        Ok(None)
    }

    /// Returns whether all files in a folder, also in its subfolders, are removed by the change of `dir`.
    fn holds_only_removed(
        &self,
        folder: &Path,
        dir: &str,
        is_removed: &impl Fn(&Path) -> bool,
    ) -> Result<bool, PublishError> {
        let path = self.root.join(folder);
        for entry in fs::read_dir(&path).map_err(StoreError::io("list", &path))? {
            let entry = entry.map_err(StoreError::io("list", &path))?;
            let inner = folder.join(entry.file_name());
            let removed = match entry.file_type().map_err(StoreError::io("look at", &path))?.is_dir() {
                true => self.holds_only_removed(&inner, dir, is_removed)?,
                false => inner.strip_prefix(dir).is_ok_and(is_removed),
            };
            if !removed {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl PreparedChange {
    /// The files after the change.
    pub(super) fn files(&self) -> Vec<FileRecord> {
        let mut files: Vec<_> = self.kept.iter().chain(self.writes.iter().map(|write| &write.file)).cloned().collect();
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        files
    }

    /// Old files that may exist until the change is applied.
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
    // Another program may have put a link or a pipe there by now.
    let file = disk::open(path)?;
    Ok(Digest::of_reader(file).map_err(StoreError::io("read", path))?)
}

fn lstat(path: &Path) -> Result<Option<Metadata>, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("look at", path)(error)),
    }
}

fn blocked(path: PathBuf) -> PublishError {
    if path.is_symlink() { PublishError::Link { path } } else { PublishError::InTheWay { path } }
}
