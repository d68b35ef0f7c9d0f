//! A published folder with its record, and the lock under which both change.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use orchestrate_cache::{Digest, Store, StoreError, disk};

use super::error::{PublishError, Refusal};
use super::record::{
    FileRecord, FolderRecord, Owner, PointRecord, RECORD, STAGING, TableRecord, Unreadable, staging_block,
};
use super::writer::{FileChange, FolderWriter, NewFile, PreparedChange};

/// The most files that are synced at the end of a run. Syncing thousands would take longer than the run. A power cut
/// may then leave short files; their size gives them away, and the store has them.
const SYNCED_MAX: usize = 64;

/// The size of the largest record; a larger one would list millions of files.
pub(super) const BYTES_MAX: u64 = 1 << 30;

/// The most folders that are searched for records of other stages; a study has fewer.
pub(super) const SEARCHED_MAX: usize = 100_000;

/// One published folder.
pub(super) struct PublishedFolder {
    pub(super) root: PathBuf,
    pub(super) record: FolderRecord,
    /// The project's root.
    project: PathBuf,
    /// The identity of the record file that was read; `None` if there was none.
    seen: Option<FileIdentity>,
    /// True if the record in memory has changes that the file lacks.
    pub(super) changed: bool,
    /// Files that were written and not synced; `None` if they are too many.
    unsynced: Option<Vec<PathBuf>>,
    pub(super) warnings: Vec<String>,
}

/// The identity of a record file: it differs once another process has changed the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    size: u64,
}

impl FileIdentity {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.size() }
    }
}

/// A change to the files of one point.
pub(super) struct PointChange {
    /// The new record, without its files.
    pub(super) point: PointRecord,
    pub(super) files: Vec<NewFile>,
    /// True if old files with unchanged contents stay, whatever the new ones are.
    pub(super) keep: bool,
    /// True if old files of other names stay, in the folder and in the record.
    pub(super) only: bool,
}

/// A change that is ready to be applied.
struct ReadyChange {
    /// The record while the change is applied.
    point: PointRecord,
    /// Old files that may exist even afterwards.
    before: Vec<FileRecord>,
    prepared: PreparedChange,
}

impl PublishedFolder {
    /// Reads the record of a folder, if there is one. Errors: the folder belongs to another stage, or its record cannot
    /// be read.
    pub(super) fn open(root: PathBuf, owner: Owner, project: PathBuf) -> Result<Self, Refusal> {
        let record = FolderRecord::new(owner);
        let (unsynced, warnings) = (Some(Vec::new()), Vec::new());
        let mut folder = Self { root, record, project, seen: None, changed: false, unsynced, warnings };
        let path = folder.record_path();
        match disk::open(&path) {
            Ok(mut file) => folder.read(&mut file)?,
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(StoreError::Io { source, .. }) => return Err(Refusal::unreadable(&path, &source)),
            Err(error) => return Err(Refusal::unreadable(&path, &error)),
        }
        Ok(folder)
    }

    /// Returns whether there is no record yet.
    pub(super) fn is_new(&self) -> bool {
        self.seen.is_none()
    }

    /// Checks that no folder above, up to the project's root, and no folder below belongs to another stage.
    pub(super) fn check_neighbours(&self) -> Result<(), Refusal> {
        for above in self.root.ancestors().skip(1).take_while(|above| above.starts_with(&self.project)) {
            self.check_record_of(above)?;
        }
        let mut searched = 0;
        let mut below = subfolders(&self.root);
        while let Some(dir) = below.pop().filter(|_| searched < SEARCHED_MAX) {
            searched += 1;
            self.check_record_of(&dir)?;
            below.extend(subfolders(&dir));
        }
        Ok(())
    }

    fn check_record_of(&self, dir: &Path) -> Result<(), Refusal> {
        let path = dir.join(RECORD);
        let Ok(bytes) = disk::read(&path, BYTES_MAX) else { return Ok(()) };
        match FolderRecord::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(Some(record)) if record.owner != self.record.owner => Err(Refusal::owned(dir, &record.owner, &path)),
            _ => Ok(()),
        }
    }

    /// Returns whether an owner is the present one, or was it before the spec was renamed.
    pub(super) fn is_ours(&self, found: &Owner) -> bool {
        let own = &self.record.owner;
        let is_same_stage = found.experiment == own.experiment && found.stage == own.stage;
        // A path that is not UTF-8 is quoted.
        let has_gone = !found.spec.starts_with('"') && !self.project.join(&found.spec).exists();
        is_same_stage && (found.spec == own.spec || has_gone)
    }

    fn record_path(&self) -> PathBuf {
        self.root.join(RECORD)
    }

    fn read(&mut self, file: &mut File) -> Result<(), Refusal> {
        let path = self.record_path();
        let unreadable = |error: &dyn std::fmt::Display| Refusal::unreadable(&path, error);
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        if metadata.len() > BYTES_MAX {
            return Err(unreadable(&"it is too long"));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| unreadable(&error))?;
        match FolderRecord::parse(&text) {
            Ok(Some(record)) if !self.is_ours(&record.owner) => {
                return Err(Refusal::owned(&self.root, &record.owner, &path));
            }
            Ok(Some(record)) => {
                self.seen = Some(FileIdentity { size: text.len() as u64, ..FileIdentity::of(&metadata) });
                self.changed |= !record.whole || record.owner != self.record.owner;
                self.record = FolderRecord { owner: self.record.owner.clone(), ..record };
            }
            // Its writer was killed before it recorded any file.
            Ok(None) => {}
            Err(error @ (Unreadable::Newer | Unreadable::Wrong(_))) => return Err(unreadable(&error)),
        }
        Ok(())
    }

    /// Locks the folder, and reads the record again if another process has changed it.
    pub(super) fn lock<'a>(&'a mut self, store: &'a Store) -> Result<LockedFolder<'a>, PublishError> {
        // Copying may take minutes, in a run that computes nothing.
        store.stay();
        disk::create_dir(&self.root)?;
        let path = self.record_path();
        let mut file = loop {
            let file = disk::open_to_append(&path)?;
            lock(&file, &path)?;
            // The last lock holder may have replaced the file.
            if disk::is_at(&file, &path) {
                break file;
            }
        };
        let metadata = file.metadata().map_err(StoreError::io("look at", &path))?;
        if self.seen != Some(FileIdentity::of(&metadata)) {
            self.seen = None;
            self.read(&mut file)?;
            if self.seen.is_none() {
                // A killed process left the beginning of a record.
                disk::truncate(&file, 0, &path)?;
            }
        }
        let mut locked = LockedFolder { folder: self, store, file, writer: None };
        locked.begin()?;
        Ok(locked)
    }
}

/// A published folder while its lock is held.
pub(super) struct LockedFolder<'a> {
    pub(super) folder: &'a mut PublishedFolder,
    pub(super) store: &'a Store,
    /// The record, open to append.
    file: File,
    /// Made with its staging folder when it is first needed.
    writer: Option<FolderWriter>,
}

impl LockedFolder<'_> {
    /// Begins a record if there is none, and removes the staging folders of killed processes.
    fn begin(&mut self) -> Result<(), PublishError> {
        if self.folder.seen.is_none() {
            let points: String = self.folder.record.points.values().map(PointRecord::block).collect();
            let text = self.folder.record.head() + &points;
            self.append(&text)?;
        }
        for left in std::mem::take(&mut self.folder.record.staging) {
            self.folder.changed = true;
            disk::remove_dir(&self.folder.root.join(left))?;
        }
        Ok(())
    }

    fn append(&mut self, text: &str) -> Result<(), PublishError> {
        let path = self.folder.record_path();
        // Even a torn append changes the record.
        self.folder.changed = true;
        let appended = disk::append(&mut self.file, text.as_bytes(), &path);
        let metadata = self.file.metadata().map_err(StoreError::io("look at", &path))?;
        self.folder.seen = Some(FileIdentity::of(&metadata));
        Ok(appended?)
    }

    /// Appends blocks and syncs them, before the files in them get their names.
    fn record(&mut self, blocks: &str) -> Result<(), PublishError> {
        self.append(blocks)?;
        Ok(disk::sync(&self.file, &self.folder.record_path())?)
    }

    /// Returns the writer of this folder. Its staging folder is recorded before it is made.
    pub(super) fn writer(&mut self) -> Result<&mut FolderWriter, PublishError> {
        if self.writer.is_none() {
            // A name of this process and moment, so that nobody else writes there.
            let token = format!("{} {} {}", std::process::id(), jiff::Timestamp::now(), self.folder.root.display());
            let name = format!("{STAGING}{}", Digest::of(token.as_bytes()).short());
            self.append(&staging_block(&name))?;
            let staging = self.folder.root.join(name);
            disk::create_new_dir(&staging)?;
            self.writer = Some(FolderWriter::new(self.folder.root.clone(), staging));
        }
        Ok(self.writer.as_mut().expect("it was just made"))
    }

    /// Adds a warning after those of the writer.
    pub(super) fn warn(&mut self, warning: String) {
        let writer = self.writer.as_mut().map(|writer| &mut writer.warnings);
        writer.unwrap_or(&mut self.folder.warnings).push(warning);
    }

    /// Changes points, each as a whole or not at all. Returns one result for each.
    pub(super) fn change(&mut self, changes: Vec<PointChange>) -> Result<Vec<Result<(), PublishError>>, PublishError> {
        self.writer()?;
        let ready: Vec<_> = changes.into_iter().map(|change| self.prepare(change)).collect();
        let blocks: String = ready.iter().flatten().map(|ready| ready.point.block()).collect();
        self.record(&blocks)?;
        let mut finals = String::new();
        let applied = ready.into_iter().map(|ready| self.apply(ready?, &mut finals)).collect();
        if !finals.is_empty() {
            self.append(&finals)?;
        }
        Ok(applied)
    }

    fn prepare(&mut self, change: PointChange) -> Result<ReadyChange, PublishError> {
        let PointChange { mut point, files: new, keep, only } = change;
        let (mut files, mut before) = match self.folder.record.points.get(&point.folder) {
            Some(recorded) => (recorded.files.clone(), recorded.before.clone()),
            None => (Vec::new(), Vec::new()),
        };
        let names: HashSet<&str> = new.iter().map(|file| file.name.as_str()).collect();
        let is_old = |file: &mut FileRecord| !only || names.contains(file.name.as_str());
        let old = files.extract_if(.., is_old).chain(before.extract_if(.., is_old)).collect();
        let change = FileChange { dir: point.folder.clone(), old, new, keep };
        let store = self.store;
        let prepared = self.writer()?.prepare(change, store)?;
        point.files = files.into_iter().chain(prepared.files()).collect();
        point.before = before.iter().cloned().chain(prepared.before()).collect();
        Ok(ReadyChange { point, before, prepared })
    }

    /// Applies a change, and appends to `finals` the block of a point whose old files are gone.
    fn apply(&mut self, ready: ReadyChange, finals: &mut String) -> Result<(), PublishError> {
        let ReadyChange { mut point, before, prepared } = ready;
        let applied = self.writer()?.apply(&prepared);
        if applied.is_ok() && point.before != before {
            point.before = before;
            finals.push_str(&point.block());
        }
        self.folder.record.points.insert(point.folder.clone(), point);
        applied
    }

    /// Removes a point with its files.
    pub(super) fn remove_point(&mut self, name: &str) -> Result<(), PublishError> {
        let Some(point) = self.folder.record.points.get(name) else { return Ok(()) };
        self.remove_files(name, point.files.iter().chain(&point.before).cloned().collect())?;
        self.folder.record.points.shift_remove(name);
        Ok(())
    }

    /// Removes a table.
    pub(super) fn remove_table(&mut self, name: &str) -> Result<(), PublishError> {
        let Some(table) = self.folder.record.tables.get(name) else { return Ok(()) };
        self.remove_files("", table.files.clone())?;
        self.folder.record.tables.shift_remove(name);
        Ok(())
    }

    fn remove_files(&mut self, dir: &str, old: Vec<FileRecord>) -> Result<(), PublishError> {
        let store = self.store;
        let writer = self.writer()?;
        let change = FileChange { dir: dir.to_owned(), old, new: Vec::new(), keep: false };
        let prepared = writer.prepare(change, store)?;
        writer.apply(&prepared)?;
        self.folder.changed = true;
        Ok(())
    }

    /// Writes a table beside the points; without a file it only records why there is none.
    pub(super) fn put_table(&mut self, mut table: TableRecord, file: Option<NewFile>) -> Result<(), PublishError> {
        let old = self.folder.record.tables.get(&table.name).map(|table| table.files.clone()).unwrap_or_default();
        let change = FileChange { dir: String::new(), old, new: file.into_iter().collect(), keep: false };
        let store = self.store;
        let prepared = self.writer()?.prepare(change, store)?;
        table.files = prepared.files().into_iter().chain(prepared.before()).collect();
        self.record(&table.block())?;
        let applied = self.writer()?.apply(&prepared);
        if applied.is_ok() {
            table.files = prepared.files();
        }
        self.folder.record.tables.insert(table.name.clone(), table);
        applied
    }

    /// Syncs the published files if they are few, and rewrites the record in one step.
    pub(super) fn sum_up(mut self) -> Result<(), PublishError> {
        self.close_writer()?;
        let path = self.folder.record_path();
        for file in self.folder.unsynced.replace(Vec::new()).unwrap_or_default() {
            match File::open(&file) {
                Ok(open) => disk::sync(&open, &file)?,
                Err(error) => tracing::debug!("{} is not synced: {error}", file.display()),
            }
        }
        self.folder.record.staging.clear();
        let text = self.folder.record.text();
        disk::replace(&path, text.as_bytes(), true)?;
        let metadata = fs::symlink_metadata(&path).map_err(StoreError::io("look at", &path))?;
        self.folder.seen = Some(FileIdentity::of(&metadata));
        self.folder.changed = false;
        Ok(())
    }

    /// Removes the staging folder, and takes over the warnings and unsynced files of the writer.
    fn close_writer(&mut self) -> Result<(), StoreError> {
        let Some(FolderWriter { staging, written, warnings, .. }) = self.writer.take() else { return Ok(()) };
        self.folder.warnings.extend(warnings);
        self.folder.unsynced.iter_mut().for_each(|unsynced| unsynced.extend_from_slice(&written));
        self.folder.unsynced.take_if(|unsynced| unsynced.len() > SYNCED_MAX);
        disk::remove_dir(&staging)
    }
}

impl Drop for LockedFolder<'_> {
    fn drop(&mut self) {
        // The record names the staging folder, so the next process that publishes here removes it.
        if let Err(error) = self.close_writer() {
            tracing::debug!("{error}");
        }
    }
}

/// Waits until no other run of the spec finishes its published folders. The turn ends when the file is closed.
pub(super) fn take_turn(spec: &Path) -> Result<Option<File>, PublishError> {
    let Ok(file) = File::open(spec) else { return Ok(None) };
    lock(&file, spec)?;
    Ok(Some(file))
}

/// The folders in a folder; none if it cannot be read.
pub(super) fn subfolders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Waits for the lock of a file. Errors: the wait was interrupted. A filesystem without locks is no error, as two runs
/// at the same time are rare.
fn lock(file: &File, path: &Path) -> Result<(), PublishError> {
    match orchestrate_cache::lock_alone(file, "its turn to publish", path) {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::Interrupted => Err(PublishError::Folder(
            format!("it was stopped while it waited for its turn to publish: {}", path.display()),
        )),
        _ => Ok(()),
    }
}
