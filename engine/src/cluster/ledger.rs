//! The jobs of other heads in the store, by the keys of their tasks.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orchestrate_cache::ActionKey;

use super::folder::JobFolder;

/// A batch of a task of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) folder: JobFolder,
    /// Index of the task.
    pub(super) task: usize,
    /// Place of the batch in the work of the task.
    pub(super) batch: usize,
    /// The keys of the batch, in the order of its results.
    pub(super) keys: Arc<[ActionKey]>,
}

/// The jobs of other heads, read once each.
#[derive(Debug)]
pub(super) struct Ledger {
    jobs_dir: PathBuf,
    /// Paths of folders that were read, or that this head made.
    known: HashSet<PathBuf>,
    /// The places of keys, the newest job last.
    places: HashMap<ActionKey, Vec<Place>>,
}

impl Ledger {
    pub(super) fn new(jobs_dir: &Path) -> Self {
        let (known, places) = Default::default();
        Self { jobs_dir: jobs_dir.to_owned(), known, places }
    }

    /// Leaves out a folder, as this head makes it or has read it.
    pub(super) fn leave_out(&mut self, folder: &JobFolder) {
        self.known.insert(folder.path().to_owned());
    }

    /// Reads the folders that are new since the last call.
    pub(super) fn refresh(&mut self) {
        for folder in JobFolder::list_new(&self.jobs_dir, &self.known) {
            self.leave_out(&folder);
            // That of another user cannot be read; a damaged one, and one of another version, is of no use.
            let Ok(header) = folder.header() else { continue };
            if header.version != env!("CARGO_PKG_VERSION") {
                continue;
            }
            for (task, entry) in header.tasks.into_iter().enumerate() {
                for (batch, keys) in entry.keys.into_iter().enumerate() {
                    let place = Place { folder: folder.clone(), task, batch, keys: keys.into() };
                    place.keys.iter().for_each(|key| self.places.entry(*key).or_default().push(place.clone()));
                }
            }
        }
    }

    /// Takes the newest batch that computes all of these keys.
    pub(super) fn take(&mut self, keys: &[ActionKey]) -> Option<Place> {
        let of_first = self.places.get(keys.first()?)?;
        let has_all = |place: &&Place| keys.iter().all(|key| place.keys.contains(key));
        let found = of_first.iter().rev().find(has_all)?.clone();
        // Should it turn out to be dead, it is not found once more.
        for key in keys {
            self.places.get_mut(key).into_iter().for_each(|places| places.retain(|place| *place != found));
        }
        Some(found)
    }
}
