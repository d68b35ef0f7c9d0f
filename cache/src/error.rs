//! Errors of the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::owner;
use crate::value::digest::Digest;

/// Why an operation on a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused; disk full, for example.
    #[error("cannot {action} {path}: {source}{}", advice(path, source))]
    Io {
        /// The attempted action, for example `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause; it is in the message, so it is not the `source` of this error too.
        r#source: io::Error,
    },
    /// The store was made by a later version of this program; nothing in it was touched.
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
    /// The folder is no store; nothing in it was touched.
    #[error("{dir} is not a store: {reason}")]
    NotAStore {
        /// The folder.
        dir: PathBuf,
        /// Evidence, and advice.
        reason: String,
    },
    /// A path in the store is of another kind than a store makes; nothing was touched.
    #[error(
        "{path} is {found}, where the store {dir} has {made}; remove it, or put back what was there \
         (below its root a store follows no links)"
    )]
    WrongKind {
        /// The store's folder.
        dir: PathBuf,
        /// The path.
        path: PathBuf,
        /// The kind of the store's own file or folder.
        made: &'static str,
        /// The present kind.
        found: &'static str,
    },
    /// The store was opened for reading only.
    #[error("the store {dir} is open for reading only, so nothing can be recorded in it")]
    ReadOnly {
        /// The store's folder.
        dir: PathBuf,
    },
    /// Stored bytes do not have their digest; they are out of use, and count as a miss.
    #[error("blob {digest} in {path} is corrupt ({kept}); run again to produce it anew")]
    Corrupt {
        /// The digest.
        digest: Digest,
        /// The file of the bytes.
        path: PathBuf,
        /// A sentence about the present place of the bytes.
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
    /// The name is not allowed for a file of an artifact.
    #[error("`{name}` cannot name a file of an artifact: {reason}")]
    FileName {
        /// The name.
        name: String,
        /// The broken rule.
        reason: &'static str,
    },
    /// No recorded key begins like this.
    #[error("no recorded key begins with `{prefix}`{}", hint(known))]
    UnknownKey {
        /// The given digits.
        prefix: String,
        /// Keys with the same first digits.
        known: Vec<String>,
    },
    /// Several recorded keys begin like this.
    #[error("several recorded keys begin with `{prefix}`: {}; give more digits", candidates.join(", "))]
    AmbiguousKey {
        /// The given digits.
        prefix: String,
        /// Some of them.
        candidates: Vec<String>,
    },
    /// Another process has the store open, which is to be repaired or to forget; nothing was touched.
    #[error("the store {dir} is in use, so nothing was changed: {holder} has it open; try again when that has ended")]
    InUse {
        /// The store's folder.
        dir: PathBuf,
        /// A text that names the process.
        holder: String,
    },
    /// A host whose locks do not reach this one has the store open, or had it ten minutes ago; nothing was touched.
    #[error(
        "the store {dir} is in use by {hosts}, and locks do not reach from here to there, so nothing was changed; try \
         again when all runs there have ended. If that host was switched off, try again in ten minutes: if no \
         heartbeat of it is seen until then, it counts as gone"
    )]
    BeyondLocks {
        /// The store's folder.
        dir: PathBuf,
        /// Names of the hosts.
        hosts: String,
    },
    /// A pack has records that only a later version of this program can copy, so their neighbours cannot be removed.
    #[error("the pack {path} has records of a later version of orchestrate, and only that version can forget; use it")]
    ForeignRecords {
        /// Its file.
        path: PathBuf,
    },
    /// A pack cannot be read, so it is unknown what its results need; nothing was deleted.
    #[error("the pack {path} cannot be read, so nothing is deleted: it is unknown what its results need ({reason})")]
    UnreadablePack {
        /// Its file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The list of an interrupted forgetting cannot be read.
    #[error("{path} cannot be read: {reason}; `store repair` removes it, then forget the same again")]
    Forgetting {
        /// Its file.
        path: PathBuf,
        /// The damage.
        reason: String,
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
    /// A pin cannot be read, so its keys are unknown and nothing may be collected.
    #[error("the pin {path} cannot be read: {reason}; remove it with `store unpin`, and pin again")]
    Pin {
        /// Its file.
        path: PathBuf,
        /// The damage.
        reason: String,
    },
    /// A private key cannot be used.
    #[error("the private key {path} is not used: {reason}")]
    PrivateKey {
        /// Its file.
        path: PathBuf,
        /// The fault, and advice.
        reason: String,
    },
    /// A file changed during each attempt to read it.
    #[error("{path} changes while it is read; run again when it is complete")]
    Changing {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Returns whether the operating system refused with this kind of error.
    pub(crate) fn is(&self, kind: io::ErrorKind) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == kind)
    }

    /// Returns whether a file is gone, here or on its server.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_gone(source))
    }

    /// Adds action and path to an I/O error.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Returns whether a file is gone: another host may have removed it while this one had it open, or had its name.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}

/// Returns advice about a cause.
fn advice(path: &Path, source: &io::Error) -> String {
    let advice = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room (`orchestrate store gc` tells what can go) or name a store on another disk, and run again: \
             what was reported as done stays done"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; let this user write there, or name another folder",
        io::ErrorKind::PermissionDenied => {
            return format!("{}; let this user use it, or name another folder", owner::note(path));
        }
        _ => "",
    };
    advice.to_owned()
}

fn hint(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; similar keys: {}", known.join(", ")) }
}
