//! One published folder with its record, and the lock under which both change.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use orchestrate_cache::{Digest, Store, StoreError, disk};

use super::PublishError;
use super::place::{Change, Placer, Prepared, Wanted, target};
use super::record::{Entry, FileRecord, Owner, RECORD, Record, STAGING, Table, Unreadable, staging_block};

/// As many files are made durable at the end of a run. Of more, those that a power cut leaves short are seen by their size and
/// made again from the store, as syncing thousands takes longer than the run.
const SYNCED_MAX: usize = 64;

/// A longer record is none: that would be of millions of files.
const BYTES_MAX: u64 = 1 << 30;

/// So many folders are looked at for the records of others; more are not those of a study.
const LOOKS_MAX: usize = 100_000;

/// One published folder.
pub(super) struct Folder {
    pub(super) root: PathBuf,
    pub(super) record: Record,
    /// The project's root.
    project: PathBuf,
    /// The file of the record as it was read; `None` where there was none.
    seen: Option<Seen>,
    /// Whether the file of the record lacks something that is known.
    pub(super) changed: bool,
    /// What was written and not synced; `None` where it is too much.
    unsynced: Option<Vec<PathBuf>>,
}

/// The identity of a record file, which tells whether another process has changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    size: u64,
}

/// Why a folder cannot be published into.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}; {help}")]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Refusal {
    /// The folder is another stage's.
    pub(super) fn owned(root: &Path, owner: &Owner, by: &Path) -> Self {
        let Owner { experiment, stage, spec } = owner;
        let hand_over = match by.file_name().is_some_and(|name| name == RECORD) {
            true => format!("write the new owner into {} to hand the folder over", by.display()),
            false => format!("move what {} tells of elsewhere", by.display()),
        };
        Self {
            message: format!(
                "{} belongs to stage `{stage}` of experiment `{experiment}`, spec {spec}: nothing of another stage is \
                 published there",
                root.display()
            ),
            help: format!(
                "name another folder in `publish` (`{{experiment}}` in it stands for the experiment's name), or {hand_over}"
            ),
        }
    }

    fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Self {
        Self {
            message: format!("{} cannot be read: {why}", path.display()),
            help: "it says which files may be replaced; mend it, or delete it, and files that differ count as yours"
                .to_owned(),
        }
    }
}

/// A change to the files of one point.
pub(super) struct PointChange {
    /// The entry as it is to be, without its files.
    pub(super) entry: Entry,
    pub(super) wanted: Vec<Wanted>,
    /// Whether files that are as they were recorded stay, whatever is wanted.
    pub(super) keep: bool,
    /// Whether the other files of the point stay as they are and as they are recorded.
    pub(super) only: bool,
}

/// A change that is ready to be made, with the entry as it is while that is done.
struct Ready {
    entry: Entry,
    /// What may be there instead of files even afterwards.
    before: Vec<FileRecord>,
    prepared: Prepared,
}

impl Folder {
    /// Reads the record of a folder, if there is one. Errors: the folder is another's, or nobody can tell.
    pub(super) fn open(root: PathBuf, owner: Owner, project: PathBuf) -> Result<Self, Refusal> {
        let record = Record::new(owner);
        let mut folder = Self { root, record, project, seen: None, changed: false, unsynced: Some(Vec::new()) };
        let path = folder.record_path();
        match disk::open(&path) {
            Ok(mut file) => folder.read(&mut file)?,
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(StoreError::Io { source, .. }) => return Err(Refusal::unreadable(&path, &source)),
            Err(error) => return Err(Refusal::unreadable(&path, &error)),
        }
        Ok(folder)
    }

    /// Whether there is no record yet.
    pub(super) fn is_new(&self) -> bool {
        self.seen.is_none()
    }

    /// Looks whether a folder above, below the project's root, or one that lies in it is another's.
    pub(super) fn check_neighbours(&self) -> Result<(), Refusal> {
        for above in self.root.ancestors().skip(1).take_while(|above| above.starts_with(&self.project)) {
            self.check_record_of(above)?;
        }
        let mut looks = 0;
        let mut below = folders_in(&self.root);
        while let Some(dir) = below.pop().filter(|_| looks < LOOKS_MAX) {
            looks += 1;
            self.check_record_of(&dir)?;
            below.extend(folders_in(&dir));
        }
        Ok(())
    }

    fn check_record_of(&self, dir: &Path) -> Result<(), Refusal> {
        let path = dir.join(RECORD);
        let Ok(bytes) = disk::read(&path, BYTES_MAX) else { return Ok(()) };
        match Record::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(Some(record)) if record.owner != self.record.owner => Err(Refusal::owned(dir, &record.owner, &path)),
            _ => Ok(()),
        }
    }

    /// Whether an owner is the one who publishes here now: the same, or the same before its spec got another name.
    pub(super) fn is_ours(&self, found: &Owner) -> bool {
        let own = &self.record.owner;
        let is_same_stage = found.experiment == own.experiment && found.stage == own.stage;
        // What is no UTF-8 stands there in quotes.
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
            return Err(unreadable(&"it is longer than any that was written here"));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| unreadable(&error))?;
        match Record::parse(&text) {
            Ok(Some(record)) if !self.is_ours(&record.owner) => {
                return Err(Refusal::owned(&self.root, &record.owner, &path));
            }
            Ok(Some(record)) => {
                let size = text.len() as u64;
                self.seen = Some(Seen { device: metadata.dev(), inode: metadata.ino(), size });
                self.changed |= !record.whole || record.owner != self.record.owner;
                self.record = Record { owner: self.record.owner.clone(), ..record };
            }
            // Whoever made it was killed before it named anything.
            Ok(None) => {}
            Err(error @ (Unreadable::Newer | Unreadable::Wrong(_))) => return Err(unreadable(&error)),
        }
        Ok(())
    }

    /// Locks the folder, and takes note of what other processes published meanwhile.
    pub(super) fn lock(&mut self) -> Result<Locked<'_>, PublishError> {
        disk::create_dir(&self.root).map_err(PublishError::Target)?;
        let path = self.record_path();
        let mut file = loop {
            let file = disk::open_to_append(&path).map_err(PublishError::Target)?;
            lock(&file, &path)?;
            // Its last holder may have put a new one in its place.
            if disk::is_at(&file, &path) {
                break file;
            }
        };
        let metadata = file.metadata().map_err(target("look at", &path))?;
        let now = Seen { device: metadata.dev(), inode: metadata.ino(), size: metadata.size() };
        if self.seen != Some(now) {
            self.seen = None;
            self.read(&mut file)?;
            if self.seen.is_none() {
                // What somebody left who was killed at once.
                disk::truncate(&file, 0, &path).map_err(PublishError::Target)?;
            }
        }
        let mut locked = Locked { folder: self, file, staging: None };
        locked.begin()?;
        Ok(locked)
    }
}

/// A published folder that nobody else changes.
pub(super) struct Locked<'a> {
    pub(super) folder: &'a mut Folder,
    file: File,
    /// The hidden folder in which new files are written, once it is needed.
    staging: Option<PathBuf>,
}

impl Locked<'_> {
    /// Begins the record where there is none, and removes what killed processes left.
    fn begin(&mut self) -> Result<(), PublishError> {
        if self.folder.seen.is_none() {
            let entries: String = self.folder.record.points.values().map(Entry::block).collect();
            let text = self.folder.record.head() + &entries;
            self.append(&text)?;
        }
        for left in std::mem::take(&mut self.folder.record.staging) {
            self.folder.changed = true;
            disk::remove_dir(&self.folder.root.join(left)).map_err(PublishError::Target)?;
        }
        Ok(())
    }

    fn append(&mut self, text: &str) -> Result<(), PublishError> {
        let path = self.folder.record_path();
        // Even half of it makes the record another one.
        self.folder.changed = true;
        let appended = disk::append(&mut self.file, text.as_bytes(), &path);
        let metadata = self.file.metadata().map_err(target("look at", &path))?;
        self.folder.seen = Some(Seen { device: metadata.dev(), inode: metadata.ino(), size: metadata.size() });
        appended.map_err(PublishError::Target)
    }

    /// Returns the hidden folder, which is recorded before it is made.
    fn staging(&mut self) -> Result<PathBuf, PublishError> {
        if let Some(staging) = &self.staging {
            return Ok(staging.clone());
        }
        // One of this process and moment, so that what is in it is of nobody else.
        let token = format!("{} {} {}", std::process::id(), jiff::Timestamp::now(), self.folder.root.display());
        let name = format!("{STAGING}{}", Digest::of(token.as_bytes()).short());
        self.append(&staging_block(&name))?;
        let staging = self.folder.root.join(name);
        disk::create_new_dir(&staging).map_err(PublishError::Target)?;
        Ok(self.staging.insert(staging).clone())
    }

    /// Works with files, in the hidden folder.
    pub(super) fn place<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Placer<'_>) -> Result<T, PublishError>,
    ) -> Result<(T, Vec<String>), PublishError> {
        let (root, staging) = (self.folder.root.clone(), self.staging()?);
        let mut placer = Placer::new(&root, &staging);
        let done = work(self, &mut placer);
        let Placer { written, warnings, .. } = placer;
        if let Some(unsynced) = &mut self.folder.unsynced {
            unsynced.extend(written);
        }
        self.folder.unsynced.take_if(|unsynced| unsynced.len() > SYNCED_MAX);
        Ok((done?, warnings))
    }

    /// Makes changes to points, each as a whole or not at all; gives what people should know.
    pub(super) fn change(
        &mut self,
        changes: Vec<PointChange>,
        store: &Store,
    ) -> (Vec<Result<(), PublishError>>, Vec<String>) {
        let count = changes.len();
        let placed = self.place(|locked, placer| {
            let ready: Vec<_> = changes.into_iter().map(|change| locked.prepare(change, placer, store)).collect();
            let blocks: String = ready.iter().flatten().map(|ready| ready.entry.block()).collect();
            locked.record(&blocks)?;
            let mut finals = String::new();
            let applied = ready.into_iter().map(|ready| {
                let Ready { mut entry, before, prepared } = ready?;
                let applied = placer.apply(&prepared);
                if applied.is_ok() && entry.before != before {
                    entry.before = before;
                    finals.push_str(&entry.block());
                }
                locked.folder.record.points.insert(entry.folder.clone(), entry);
                applied
            });
            let applied = applied.collect();
            if !finals.is_empty() {
                locked.append(&finals)?;
            }
            Ok(applied)
        });
        match placed {
            Ok((results, warnings)) => (results, warnings),
            Err(error) => {
                let message = error.to_string();
                ((0..count).map(|_| Err(PublishError::Folder(message.clone()))).collect(), Vec::new())
            }
        }
    }

    fn prepare(&self, change: PointChange, placer: &mut Placer<'_>, store: &Store) -> Result<Ready, PublishError> {
        let PointChange { mut entry, wanted, keep, only } = change;
        let (mut files, mut before) = match self.folder.record.points.get(&entry.folder) {
            Some(recorded) => (recorded.files.clone(), recorded.before.clone()),
            None => (Vec::new(), Vec::new()),
        };
        let names: HashSet<&str> = wanted.iter().map(|file| file.name.as_str()).collect();
        let is_old = |file: &mut FileRecord| !only || names.contains(file.name.as_str());
        let old = files.extract_if(.., is_old).chain(before.extract_if(.., is_old)).collect();
        let change = Change { dir: entry.folder.clone(), old, wanted, keep };
        let prepared = placer.prepare(change, store)?;
        entry.files = files.into_iter().chain(prepared.files()).collect();
        entry.before = before.iter().cloned().chain(prepared.before()).collect();
        Ok(Ready { entry, before, prepared })
    }

    /// Appends blocks, which are durable before the files that they name get their names.
    fn record(&mut self, blocks: &str) -> Result<(), PublishError> {
        self.append(blocks)?;
        disk::sync(&self.file, &self.folder.record_path()).map_err(PublishError::Target)
    }

    /// Takes a point's files away.
    pub(super) fn remove(&mut self, folder: &str, placer: &mut Placer<'_>, store: &Store) -> Result<(), PublishError> {
        let Some(entry) = self.folder.record.points.get(folder) else { return Ok(()) };
        let old = entry.files.iter().chain(&entry.before).cloned().collect();
        let gone = placer.prepare(Change { dir: folder.to_owned(), old, wanted: Vec::new(), keep: false }, store)?;
        placer.apply(&gone)?;
        self.folder.record.points.shift_remove(folder);
        self.folder.changed = true;
        Ok(())
    }

    /// Puts a table beside the points, or takes it away.
    pub(super) fn put_table(
        &mut self,
        mut table: Table,
        wanted: Option<Wanted>,
        placer: &mut Placer<'_>,
        store: &Store,
    ) -> Result<(), PublishError> {
        let old = self.folder.record.tables.get(&table.name).map(|table| table.files.clone()).unwrap_or_default();
        let change = Change { dir: String::new(), old, wanted: wanted.into_iter().collect(), keep: false };
        let prepared = placer.prepare(change, store)?;
        table.files = prepared.files().into_iter().chain(prepared.before()).collect();
        self.record(&table.block())?;
        let applied = placer.apply(&prepared);
        if applied.is_ok() {
            table.files = prepared.files();
        }
        self.folder.record.tables.insert(table.name.clone(), table);
        applied
    }

    /// Makes what was published durable where that is little, and writes the record anew, at once.
    pub(super) fn sum_up(mut self) -> Result<(), PublishError> {
        self.clear()?;
        let path = self.folder.record_path();
        for file in self.folder.unsynced.replace(Vec::new()).unwrap_or_default() {
            match File::open(&file) {
                Ok(open) => disk::sync(&open, &file).map_err(PublishError::Target)?,
                Err(error) => tracing::debug!("{} is not synced: {error}", file.display()),
            }
        }
        self.folder.record.staging.clear();
        let text = self.folder.record.text();
        disk::replace(&path, text.as_bytes(), true).map_err(PublishError::Target)?;
        let metadata = fs::symlink_metadata(&path).map_err(target("look at", &path))?;
        self.folder.seen = Some(Seen { device: metadata.dev(), inode: metadata.ino(), size: metadata.size() });
        self.folder.changed = false;
        Ok(())
    }

    /// Removes the hidden folder.
    fn clear(&mut self) -> Result<(), PublishError> {
        self.staging.take().map_or(Ok(()), |staging| disk::remove_dir(&staging).map_err(PublishError::Target))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // The record names it, so the next one who publishes here removes what cannot be removed now.
        if let Err(error) = self.clear() {
            tracing::debug!("{error}");
        }
    }
}

/// Keeps other runs of a spec from bringing published folders to their state, as long as it is open.
pub(super) fn take_turn(spec: &Path) -> Result<Option<File>, PublishError> {
    let Ok(file) = File::open(spec) else { return Ok(None) };
    lock(&file, spec)?;
    Ok(Some(file))
}

/// The folders in a folder; none in one that cannot be read.
fn folders_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Waits for the lock of a file. Errors: it was interrupted. Where files cannot be locked, two runs at the same time are as unlikely
/// as elsewhere.
fn lock(file: &File, path: &Path) -> Result<(), PublishError> {
    match orchestrate_cache::lock_alone(file, "its turn to publish", path) {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::Interrupted => Err(PublishError::Folder(
            format!("it was stopped while it waited for its turn to publish: {}", path.display()),
        )),
        _ => Ok(()),
    }
}
