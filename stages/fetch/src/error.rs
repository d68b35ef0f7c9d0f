//! Why a fetch failed: what, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why a fetch failed, as a fragment that reads after "error: ".
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file or folder on this machine.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says; a part of the message, so that it is no source beside it.
        r#source: io::Error,
    },
    /// A server, after all retries or where retrying cannot help.
    #[error(
        "cannot fetch {url}: {problem}{}; what came is kept, so the same command goes on from there",
        tried(*attempts)
    )]
    Unreachable {
        /// What was asked for.
        url: String,
        /// The last answer.
        problem: String,
        /// How often it was tried without getting further.
        attempts: usize,
    },
    /// The listing of the article is not what was expected.
    #[error("{url} is no listing of an article: {problem}")]
    Listing {
        /// Where it came from.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A whole download that is not what was announced or recorded.
    #[error("{name} from {url} has the wrong bytes: {problem}; it was not kept")]
    WrongBytes {
        /// Its name.
        name: String,
        /// Where it came from.
        url: String,
        /// Both checksums.
        problem: String,
    },
    /// An archive that must not or cannot be unpacked.
    #[error("cannot unpack {}: {problem}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Which entry, and what is wrong with it.
        problem: String,
    },
    /// A damaged `checksums.json`.
    #[error("{} cannot be read: {problem}; remove it and the folder `download` beside it to fetch anew", path.display())]
    Checksums {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Files of the data set's names that this command did not put there.
    #[error(
        "{} holds {name} already, and no checksums.json says where it came from; choose an empty folder", dir.display()
    )]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// One of the files.
        name: String,
    },
    /// Everything was fetched, and is not the data set that it should be.
    #[error("what was fetched is not the data set: {problem}; it is kept in {}", dir.display())]
    Unexpected {
        /// What the check says.
        problem: String,
        /// Where the files lie.
        dir: PathBuf,
    },
}

impl FetchError {
    /// Says what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

fn tried(attempts: usize) -> String {
    if attempts > 1 { format!(" (tried {attempts} times)") } else { String::new() }
}
