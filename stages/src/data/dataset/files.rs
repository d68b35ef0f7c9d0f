//! The external files of a data set: those of a node, which its key names, or those of a check without a run.

use std::collections::HashMap;
use std::path::PathBuf;

use orchestrate_cache::Digest;
use orchestrate_cache::external::{self, EXTERNAL_BYTES_MAX};
use orchestrate_engine::stage::{ExternalFile, FileName};

use super::file::SourceFile;
use super::nifti::Axis;

/// External files by name.
pub(super) struct Files {
    /// Names in the order of the listing.
    names: Vec<String>,
    /// Path, and digest if the key has one.
    found: HashMap<String, (PathBuf, Option<Digest>)>,
}

impl From<&[ExternalFile]> for Files {
    fn from(files: &[ExternalFile]) -> Self {
        Self::new(files.iter().map(|file| (file.name.clone(), file.path.clone(), Some(file.digest))))
    }
}

impl From<Vec<FileName>> for Files {
    fn from(files: Vec<FileName>) -> Self {
        Self::new(files.into_iter().map(|file| (file.name, file.path, None)))
    }
}

impl Files {
    fn new(files: impl Iterator<Item = (String, PathBuf, Option<Digest>)>) -> Self {
        let mut all = Self { names: Vec::new(), found: HashMap::new() };
        for (name, path, digest) in files {
            all.names.push(name.clone());
            all.found.insert(name, (path, digest));
        }
        all
    }

    /// Returns the names, in the order of the listing.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Reads a file. Errors: it changed since the key was made, or cannot be read; one sentence.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let (path, digest) = self.found.get(name).ok_or("the file came after the key was made; run again")?;
        match *digest {
            Some(digest) => {
                let file = ExternalFile { name: name.to_owned(), path: path.clone(), digest };
                file.read().map_err(|error| error.to_string())
            }
            None => external::read(path, EXTERNAL_BYTES_MAX).map_err(|error| format!("cannot read it: {error}")),
        }
    }

    /// Opens a file with pictures. The error is one sentence without its name.
    pub(super) fn open(&self, name: &str, axis: Axis) -> Result<SourceFile, String> {
        SourceFile::open(self.read(name)?, axis)
    }
}
