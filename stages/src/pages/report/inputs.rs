//! The output digests of a report's inputs.

use std::collections::HashSet;

use orchestrate_cache::{Artifact, FileEntry};
use orchestrate_engine::stage::{InputFile, Item};

/// Returns the output digest of an input, as runs and stores name it.
pub(super) fn digest(item: &Item) -> String {
    let file =
        |file: &InputFile| FileEntry { name: file.name.clone(), digest: file.digest, size_bytes: file.size_bytes };
    Artifact::new(item.files.iter().map(file).collect()).digest().0.to_string()
}

/// Returns the distinct digests of some inputs, in order.
pub(super) fn digests(items: &[Item]) -> Vec<String> {
    let mut seen = HashSet::new();
    items.iter().map(digest).filter(|digest| seen.insert(digest.clone())).collect()
}
