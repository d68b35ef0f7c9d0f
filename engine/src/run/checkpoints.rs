//! The checkpoints of a node that can resume.

use std::path::PathBuf;

use orchestrate_cache::{ActionKey, Checkpoints, StampKey, Stamps, Store};

use crate::stage::Facts;

/// Returns the folder for checkpoints of a key, if its kind writes any and somebody may believe them, and their stamp.
pub(crate) fn place(store: &Store, facts: &Facts, key: &ActionKey) -> (Option<PathBuf>, Option<StampKey>) {
    let folder = || facts.checkpoints.then(|| store.checkpoint_dir(key));
    match store.trust().stamps() {
        Stamps::Unneeded => (folder(), None),
        Stamps::With(stamp) => (folder(), Some(stamp)),
        Stamps::Impossible => (None, None),
    }
}

/// Removes the checkpoints of a key that has its result, while its lease is held: another process may write one then.
pub(crate) fn remove(store: &Store, key: &ActionKey) {
    // Errors are ignored: the next collection removes checkpoints that stay.
    let _ = Checkpoints::new(&store.checkpoint_dir(key), *key).remove();
}
