//! External files of a stage: their names before a run, their contents during it.

use std::path::PathBuf;

use orchestrate_cache::external::{self, EXTERNAL_BYTES_MAX};
use orchestrate_cache::{Digest, FileStat, native_path};
use serde::{Deserialize, Serialize};

use super::error::StageError;

/// An external file: its name in the key and its path on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// Name relative to the manifest, folder or list that mentions it, with `/`; part of the key.
    pub name: String,
    /// Absolute path; not part of the key.
    pub path: PathBuf,
    /// Metadata of the file if the stage has read it, so that nobody reads it again.
    pub stat: Option<FileStat>,
}

impl FileName {
    /// Returns a file without metadata.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), path: path.into(), stat: None }
    }
}

/// An external file with its digest in the key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExternalFile {
    /// Name in the key.
    pub name: String,
    /// Absolute path.
    #[serde(with = "native_path")]
    pub path: PathBuf,
    /// Digest of the contents at the time of the key.
    pub digest: Digest,
}

impl ExternalFile {
    /// Reads the contents; fails if they changed since the key was made.
    pub fn read(&self) -> Result<Vec<u8>, StageError> {
        let bytes = external::read(&self.path, EXTERNAL_BYTES_MAX)
            .map_err(|error| StageError::new(format!("cannot read {}: {error}", self.path.display())))?;
        if Digest::of(&bytes) == self.digest { Ok(bytes) } else { Err(self.changed()) }
    }

    /// Fails if the contents changed since the key was made; for a reader of parts of a large file.
    pub fn check(&self) -> Result<(), StageError> {
        let digest = external::open(&self.path, EXTERNAL_BYTES_MAX)
            .and_then(Digest::of_reader)
            .map_err(|error| StageError::new(format!("cannot read {}: {error}", self.path.display())))?;
        if digest == self.digest { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> StageError {
        StageError::new(format!("{} changed while the run was reading it; run again", self.path.display()))
    }
}
