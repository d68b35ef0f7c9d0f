//! Modes of an artifact: its executable files and its empty folders.
//!
//! A store knows names and bytes only. So an artifact with executable files or empty folders lists them in one more
//! file, named [`MODES`]; any other artifact has no such file, so its digest needs no modes. Readers of an artifact as
//! a folder apply the modes and hide the file.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use orchestrate_cache::{Artifact, Store, StoreError};
use serde::{Deserialize, Serialize};

/// The name of the file; no other file of an artifact may have it.
pub const MODES: &str = ".orchestrate-modes";

/// Modes of the files and folders of an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Modes {
    /// Names of executable files.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub executable: BTreeSet<String>,
    /// Names of empty folders.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub empty_folders: BTreeSet<String>,
}

impl Modes {
    /// Returns the contents of the file; `None` if it is not needed.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        (*self != Self::default()).then(|| serde_json::to_vec(self).expect("names are plain data"))
    }

    /// Parses the contents of the file; skips folders outside the artifact.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut modes: Self = serde_json::from_slice(bytes)?;
        let is_inside = |name: &str| {
            let mut components = Path::new(name).components().peekable();
            components.peek().is_some() && components.all(|component| matches!(component, Component::Normal(_)))
        };
        modes.empty_folders.retain(|name| is_inside(name));
        Ok(modes)
    }

    /// Returns the modes of a stored artifact; none if the file cannot be parsed.
    pub fn of(artifact: &Artifact, store: &Store) -> Result<Self, StoreError> {
        match artifact.files.iter().find(|file| file.name == MODES) {
            Some(file) => Ok(Self::from_bytes(&store.read(&file.digest)?).unwrap_or_default()),
            None => Ok(Self::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use orchestrate_cache::{Access, PutContent};

    use super::*;

    #[test]
    fn modes_survive_the_store_and_stay_inside_the_artifact() {
        assert_eq!(Modes::default().to_bytes(), None);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let modes = Modes { executable: names(&["bin/tool"]), empty_folders: names(&["a/b", "../out", "/tmp", ""]) };
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        let file = |name: &str, bytes: Vec<u8>| (name.to_owned(), PutContent::Bytes(bytes));
        let files = vec![file("bin/tool", vec![1]), file(MODES, modes.to_bytes().unwrap())];
        let (_, artifact) = store.put_artifact(files).unwrap();
        store.commit().unwrap();
        let read = Modes::of(&artifact, &store).unwrap();
        assert_eq!(read, Modes { executable: names(&["bin/tool"]), empty_folders: names(&["a/b"]) });
    }
}
