//! The external files of a data set: those of a node, which its key names, or those of a check without a run.

use std::collections::HashMap;

use orchestrate_cache::external::{self, EXTERNAL_BYTES_MAX};
use orchestrate_engine::stage::{ExternalFile, FileName};

use super::file::SourceFile;
use super::nifti::Axis;

/// External files by name. There may be hundreds of thousands, so nothing of them is copied.
pub(super) struct Files<'a> {
    source: Source<'a>,
    /// Places in the source.
    index: HashMap<&'a str, u32>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    /// Files whose digests are in the key.
    Keyed(&'a [ExternalFile]),
    Listed(&'a [FileName]),
}

impl<'a> Files<'a> {
    /// Indexes the files of a node.
    pub(super) fn keyed(files: &'a [ExternalFile]) -> Self {
        Self::new(Source::Keyed(files))
    }

    /// Indexes files that no key names.
    pub(super) fn listed(files: &'a [FileName]) -> Self {
        Self::new(Source::Listed(files))
    }

    fn new(source: Source<'a>) -> Self {
        Self { source, index: source.names().zip(0..).collect() }
    }

    /// Returns the names, in the order of the listing.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        self.source.names()
    }

    /// Reads a file. Errors: it changed since the key was made, or cannot be read; one sentence.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let index = *self.index.get(name).ok_or("the file came after the key was made; run again")? as usize;
        match self.source {
            Source::Keyed(files) => files[index].read().map_err(|error| error.to_string()),
            Source::Listed(files) => external::read(&files[index].path, EXTERNAL_BYTES_MAX)
                .map_err(|error| format!("cannot read it: {error}")),
        }
    }

    /// Opens a file with pictures. The error is one sentence without its name.
    pub(super) fn open(&self, name: &str, axis: Axis) -> Result<SourceFile, String> {
        SourceFile::open(self.read(name)?, axis)
    }
}

impl<'a> Source<'a> {
    fn names(self) -> impl ExactSizeIterator<Item = &'a str> + use<'a> {
        let count = match self {
            Self::Keyed(files) => files.len(),
            Self::Listed(files) => files.len(),
        };
        (0..count).map(move |index| match self {
            Self::Keyed(files) => files[index].name.as_str(),
            Self::Listed(files) => files[index].name.as_str(),
        })
    }
}
