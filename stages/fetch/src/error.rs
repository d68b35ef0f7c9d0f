//! Errors of a fetch: what failed, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a fetch, as a fragment that reads after "error: ".
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file or folder on this machine.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// Its file or folder.
        path: PathBuf,
        /// The system's error, which is in the message and so is not a `source()`.
        r#source: io::Error,
    },
    /// A server, after all retries or a failure that no retry helps.
    #[error(
        "cannot fetch {url}: {problem}{}; what came is kept, so the same command goes on from there",
        tried(*attempts)
    )]
    Unreachable {
        /// The address.
        url: String,
        /// The last failure.
        problem: String,
        /// Attempts without progress.
        attempts: usize,
    },
    /// A listing that does not fit.
    #[error("{url} is no listing of an article: {problem}")]
    Listing {
        /// Its address.
        url: String,
        /// The problem.
        problem: String,
    },
    /// A complete download whose digest differs from the listing's or the recorded one.
    #[error("{name} from {url} has the wrong bytes: {problem}; it was not kept")]
    WrongBytes {
        /// Its name.
        name: String,
        /// Its address.
        url: String,
        /// Both checksums.
        problem: String,
    },
    /// An archive that must not or cannot be unpacked.
    #[error("cannot unpack {}: {problem}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The entry, and its problem.
        problem: String,
    },
    /// A damaged `checksums.json`.
    #[error("{} cannot be read: {problem}; remove it and the folder `download` beside it to fetch anew", path.display())]
    Checksums {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// Files with names of the data set that no fetch put there.
    #[error(
        "{} holds {name} already, and no checksums.json says where it came from; choose an empty folder", dir.display()
    )]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// One of the files.
        name: String,
    },
    /// Complete data that are not the expected data set.
    #[error("what was fetched is not the data set: {problem}; it is kept in {}", dir.display())]
    Unexpected {
        /// The result of the check.
        problem: String,
        /// The folder of the files.
        dir: PathBuf,
    },
}

impl FetchError {
    /// Adds the attempted action and its path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

fn tried(attempts: usize) -> String {
    if attempts > 1 { format!(" (tried {attempts} times)") } else { String::new() }
}
