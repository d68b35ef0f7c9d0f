//! Why the store cannot do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use crate::value::digest::Digest;

/// Why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused; disk full, for example.
    #[error("cannot {action} {path}: {source}{}", advice(source))]
    Io {
        /// What was tried, for example `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause; a part of the message, so that it is no source beside it.
        r#source: io::Error,
    },
    /// A later version of this program made the store; nothing in it was touched.
    #[error(
        "the store {dir} has format {found}, and this program knows formats up to {known}; \
         use a newer orchestrate or another folder"
    )]
    NewerFormat {
        /// The store's folder.
        dir: PathBuf,
        /// Its format.
        found: u64,
        /// The latest format known here.
        known: u64,
    },
    /// The folder is something else; nothing in it was touched.
    #[error("{dir} is not a store: {reason}")]
    NotAStore {
        /// The folder.
        dir: PathBuf,
        /// How that shows, and what to do.
        reason: String,
    },
    /// Something in the store is of another kind than what a store makes; nothing was touched.
    #[error(
        "{path} is {found}, where the store {dir} has {made}; remove it, or put back what was there \
         (below its root a store follows no links)"
    )]
    WrongKind {
        /// The store's folder.
        dir: PathBuf,
        /// The path in it that is of another kind.
        path: PathBuf,
        /// The kind that a store makes there.
        made: &'static str,
        /// The kind that was found.
        found: &'static str,
    },
    /// The store was opened for reading only.
    #[error("the store {dir} is open for reading only, so nothing can be recorded in it")]
    ReadOnly {
        /// The store's folder.
        dir: PathBuf,
    },
    /// Stored bytes were not those that their digest promises; they are forgotten, so that they count as a miss.
    #[error("blob {digest} in {path} is corrupt ({kept}); run again to produce it anew")]
    Corrupt {
        /// The digest that was promised.
        digest: Digest,
        /// Where the bytes lay.
        path: PathBuf,
        /// Where they are now.
        kept: String,
    },
    /// No bytes are stored under this digest.
    #[error("blob {digest} is not in the store {dir}; run again to produce it anew")]
    Missing {
        /// The digest.
        digest: Digest,
        /// The store's folder.
        dir: PathBuf,
    },
    /// The name cannot be that of a file within an artifact.
    #[error("`{name}` cannot name a file of an artifact: {reason}")]
    FileName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No recorded key begins like this.
    #[error("no recorded key begins with `{prefix}`{}", hint(known))]
    UnknownKey {
        /// What was looked for.
        prefix: String,
        /// Keys that begin almost so.
        known: Vec<String>,
    },
    /// Several recorded keys begin like this.
    #[error("several recorded keys begin with `{prefix}`: {}; give more digits", candidates.join(", "))]
    AmbiguousKey {
        /// What was looked for.
        prefix: String,
        /// Some of them.
        candidates: Vec<String>,
    },
    /// Another process has the store open, so that it cannot be repaired.
    #[error("another process has the store {dir} open; repair it when that has ended")]
    InUse {
        /// The store's folder.
        dir: PathBuf,
    },
    /// Another process collects garbage in this store.
    #[error("another process is collecting garbage in the store {dir}; wait for it to end")]
    GcRunning {
        /// The store's folder.
        dir: PathBuf,
    },
    /// A pin cannot have this name.
    #[error("`{name}` cannot name a pin; use letters, digits, `-`, `_` and `.`, the first of them a letter or digit")]
    PinName {
        /// The name.
        name: String,
    },
    /// What a pin keeps is unknown, so nothing may be collected.
    #[error("the pin {path} cannot be read: {reason}; remove it with `store unpin`, and pin again")]
    Pin {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file changed each time that it was read.
    #[error("{path} changes while it is read; run again when it is complete")]
    Changing {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Names the path of an I/O error.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What to do about the cause.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room (`orchestrate store gc` tells what can go) or name a store on another disk, and run again: \
             what was reported as done stays done"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "; let this user write there, or name another folder"
        }
        _ => "",
    }
}

fn hint(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; keys that begin almost so: {}", known.join(", ")) }
}
