//! A damaged or missing file, as `verify` and `repair` report it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::StoreError;

/// Time until a second look at what seems damaged: it may be a file that is just written.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A damaged or missing file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The damage.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// Makes one of an error at a path.
    pub(crate) fn of(path: &Path, error: &StoreError) -> Self {
        Self::new(path, error.to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}
