//! The folder of a job: the work of its tasks, its id, and what its tasks leave there.
//!
//! | file | contents |
//! |---|---|
//! | `tasks` | a line of JSON, the [`Header`]; then the work of each task, at the offset that the header gives |
//! | `id` | the id of the job, once it is known |
//! | `N.outcome` | the outcome of task N, replaced as a whole |
//! | `N.progress` | its progress |
//! | `N.out` | the output of its script |
//!
//! Only its owner may read it: whoever could change the work of a task could run programs as its owner.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use orchestrate_cache::{ActionKey, disk, native_path};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, TaskProgress};
use super::pilot::Pilot;
use super::work::Work;
use crate::executor::tail_of;
use crate::usage::Asked;

const TASKS: &str = "tasks";
/// The command of a pilot (`pilot.rs`), in place of `tasks`.
pub(super) const PILOT: &str = "pilot";
const ID: &str = "id";
/// The largest small file that is read: outcomes of a thousand batches with the last lines of their logs.
const BYTES_MAX: u64 = 64 << 20;
/// The longest tail of the output of a script.
const TAIL_BYTES: u64 = 4096;

/// A job folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFolder {
    dir: PathBuf,
}

/// The first line of `tasks`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// Version of the program that submitted it; another one may read the work otherwise.
    pub(super) version: String,
    /// The run that submitted it.
    pub(super) run: String,
    /// The project's root, which says whose results are trusted.
    #[serde(with = "native_path")]
    pub(super) root: PathBuf,
    /// The resources of each task.
    pub(super) asked: Asked,
    /// The tasks, by index.
    pub(super) tasks: Vec<TaskEntry>,
}

/// A task in the header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TaskEntry {
    /// Offset of its work after the header, in bytes.
    offset: u64,
    /// Length of its work in bytes.
    length: u64,
    /// The keys of each batch.
    pub(super) keys: Vec<Vec<ActionKey>>,
}

impl JobFolder {
    /// Names a job folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Returns the root of the project that submitted it. Errors: the folder has no work that can be read.
    pub fn root(&self) -> io::Result<PathBuf> {
        match Pilot::read(self) {
            Some(pilot) => Ok(pilot.root),
            None => Ok(self.header()?.root),
        }
    }

    /// Returns whether a run submitted it.
    pub fn is_of(&self, run: &str) -> bool {
        self.name().strip_prefix(run).is_some_and(|number| number.starts_with('-'))
    }

    /// Returns the name of the job.
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns whether the folder is this user's, and nobody else may write to it. Whoever can write to a job folder
    /// says what its tasks run.
    pub fn is_own(&self) -> bool {
        let metadata = std::fs::symlink_metadata(&self.dir);
        metadata.is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0)
    }

    /// Lists the folders of this user's jobs below a folder, oldest first.
    pub fn list(jobs_dir: &Path) -> Vec<Self> {
        Self::list_new(jobs_dir, &HashSet::new())
    }

    /// The same without those that are known, which cost nothing then.
    pub(super) fn list_new(jobs_dir: &Path, known: &HashSet<PathBuf>) -> Vec<Self> {
        let entries = std::fs::read_dir(jobs_dir).into_iter().flatten().filter_map(Result::ok);
        let mut folders: Vec<_> = entries.map(|entry| Self::new(entry.path())).collect();
        folders.retain(|folder| !known.contains(&folder.dir));
        folders.retain(|folder| folder.is_own() && [TASKS, PILOT].iter().any(|name| folder.dir.join(name).is_file()));
        folders.sort_unstable_by(|a, b| a.dir.cmp(&b.dir));
        folders
    }

    /// Makes the folder, for this user alone.
    pub(super) fn make(&self) -> io::Result<()> {
        let above = self.dir.parent().unwrap_or(Path::new("."));
        disk::create_folder(above).map_err(io::Error::other)?;
        disk::create_new_private_dir(&self.dir).map_err(io::Error::other)
    }

    /// Creates the folder with the work of its tasks, each one or several batches.
    pub(super) fn create(&self, header: Header, tasks: &[Vec<Work>]) -> io::Result<()> {
        self.make()?;
        let mut bytes = Vec::new();
        let mut entries = Vec::with_capacity(tasks.len());
        for batches in tasks {
            let offset = bytes.len() as u64;
            serde_json::to_writer(&mut bytes, batches)?;
            let keys = batches.iter().map(Work::keys).collect();
            entries.push(TaskEntry { offset, length: bytes.len() as u64 - offset, keys });
        }
        let mut contents = serde_json::to_vec(&Header { tasks: entries, ..header })?;
        contents.push(b'\n');
        contents.append(&mut bytes);
        disk::replace(&self.dir.join(TASKS), &contents, true).map_err(io::Error::other)
    }

    /// Reads the header.
    pub(super) fn header(&self) -> io::Result<Header> {
        Ok(self.open()?.0)
    }

    fn open(&self) -> io::Result<(Header, BufReader<File>, u64)> {
        let mut reader = BufReader::new(disk::open(&self.dir.join(TASKS)).map_err(io::Error::other)?);
        let mut line = Vec::new();
        let length = reader.by_ref().take(BYTES_MAX).read_until(b'\n', &mut line)? as u64;
        Ok((serde_json::from_slice(&line)?, reader, length))
    }

    /// Reads the header, and the work of one task.
    pub(super) fn work(&self, index: usize) -> io::Result<(Header, Vec<Work>)> {
        let (header, mut reader, start) = self.open()?;
        let no_task = || io::Error::other(format!("job {} has no task {index}", self.name()));
        let entry = header.tasks.get(index).ok_or_else(no_task)?;
        reader.seek(SeekFrom::Start(start + entry.offset))?;
        let work = serde_json::from_reader(reader.take(entry.length))?;
        Ok((header, work))
    }

    /// Records the id of the job.
    pub fn set_id(&self, id: &str) -> io::Result<()> {
        disk::replace(&self.dir.join(ID), id.as_bytes(), true).map_err(io::Error::other)
    }

    /// Returns the id of the job, if it is known.
    pub fn id(&self) -> Option<String> {
        let bytes = disk::read(&self.dir.join(ID), 1024).ok()?;
        String::from_utf8(bytes).ok().filter(|id| !id.is_empty())
    }

    pub(super) fn set_outcome(&self, index: usize, outcome: &Outcome) -> io::Result<()> {
        self.write(&format!("{index}.outcome"), outcome, true)
    }

    /// Returns the outcome of a task, opened by its exact name: a list of names may be old on a file server.
    pub(super) fn outcome(&self, index: usize) -> Option<Outcome> {
        self.read(&format!("{index}.outcome"))
    }

    pub(super) fn set_progress(&self, index: usize, progress: &TaskProgress) -> io::Result<()> {
        self.write(&format!("{index}.progress"), progress, false)
    }

    pub(super) fn progress(&self, index: usize) -> Option<TaskProgress> {
        self.read(&format!("{index}.progress"))
    }

    fn write(&self, name: &str, value: &impl Serialize, durable: bool) -> io::Result<()> {
        disk::replace(&self.dir.join(name), &serde_json::to_vec(value)?, durable).map_err(io::Error::other)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&disk::read(&self.dir.join(name), BYTES_MAX).ok()?).ok()
    }

    /// Returns the last bytes that the script of a task has printed.
    pub(super) fn output_tail(&self, index: usize) -> String {
        tail_of(&self.dir.join(format!("{index}.out")), 0, TAIL_BYTES).trim().to_owned()
    }

    /// Removes the folder.
    pub fn remove(&self) {
        if let Err(error) = disk::remove_dir(&self.dir) {
            tracing::debug!("{error}");
        }
    }
}
