//! Modes of an artifact: which of its files can be executed, and which folders in it are empty.
//!
//! A store knows names and bytes. So an artifact that has any of the two holds them in one more file, named [`MODES`];
//! all others have no such file, and the digests that they had before there were modes. Readers of an artifact as a folder
//! give people and programs the modes and not the file.

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
    /// Names of files that can be executed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub executable: BTreeSet<String>,
    /// Names of folders that hold nothing.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub empty_folders: BTreeSet<String>,
}

impl Modes {
    /// The contents of the file; `None` where there is nothing to say.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        (*self != Self::default()).then(|| serde_json::to_vec(self).expect("names are plain data"))
    }

    /// Reads the contents of the file; folders whose names would lead out of the artifact are left out.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut modes: Self = serde_json::from_slice(bytes)?;
        let is_inside = |name: &str| {
            let mut parts = Path::new(name).components().peekable();
            parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        modes.empty_folders.retain(|name| is_inside(name));
        Ok(modes)
    }

    /// The modes of a stored artifact.
    ///
    /// Modes that cannot be read as such, whoever wrote them, are none.
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
    fn modes_come_back_from_the_store_and_lead_nowhere_else() {
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
