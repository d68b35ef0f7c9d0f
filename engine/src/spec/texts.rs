//! Texts of a spec in the log of a run, from which the spec of then can be read again.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use orchestrate_cache::native_path;
use serde::{Deserialize, Serialize};

use crate::source::SourceMap;

/// One file of a spec, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecText {
    /// Its absolute path.
    #[serde(with = "native_path")]
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl SpecText {
    /// Returns the files of a spec in the order in which they were read, overrides left out.
    pub(crate) fn all(sources: &SourceMap) -> Vec<Self> {
        let text = |source: &crate::source::SourceFile| {
            let name = Path::new(&source.name).file_name().unwrap_or_default();
            Self { path: source.dir.join(name), text: source.text.clone() }
        };
        sources.files().map(text).collect()
    }
}

/// A spec in the log of a run.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'r> {
    /// The path of the spec.
    pub path: &'r Path,
    /// The project's root.
    pub root: &'r Path,
    /// The folder against which paths in overrides resolve.
    pub working_dir: &'r Path,
    /// The texts of the spec and of all that it extends, in the order in which they were read.
    pub texts: &'r [SpecText],
    /// The overrides.
    pub overrides: &'r [String],
}

/// The source of the texts of a spec: the disk, or the log of a run.
#[derive(Debug, Default)]
pub(super) struct Texts(Option<VecDeque<SpecText>>);

impl Texts {
    /// Reads texts from a log: the files are the same as then, in the same order.
    pub(super) fn recorded(texts: &[SpecText]) -> Self {
        Self(Some(texts.iter().cloned().collect()))
    }

    /// Returns whether texts come from a log.
    pub(super) fn are_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Takes the next text of a log; `None` on disk, or if the log lacks it.
    pub(super) fn next(&mut self) -> Option<SpecText> {
        self.0.as_mut()?.pop_front()
    }
}
