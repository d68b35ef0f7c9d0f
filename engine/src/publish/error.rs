//! Errors of publishing.

use std::path::{Path, PathBuf};

use orchestrate_cache::StoreError;

use super::record::{Owner, RECORD};

/// The reason why a publication failed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The artifact cannot be read, or a file or folder cannot be written.
    #[error("cannot publish: {0}")]
    Store(#[from] StoreError),
    /// A file of somebody else has the name of a file to publish.
    #[error(
        "cannot publish: {path} is in the way, which this stage did not publish; move it elsewhere, or name another \
         folder in `publish`"
    )]
    InTheWay {
        /// The file or folder in the way.
        path: PathBuf,
    },
    /// A folder above the file is a link.
    #[error(
        "cannot publish: {path} is a link, and no link in a published folder is followed; remove it, or name another \
         folder in `publish`"
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// Another program writes the same file.
    #[error("cannot publish: {path} changes while it is published; run again")]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// The folder got another owner since the run began.
    #[error("cannot publish: {0}")]
    Refused(#[from] Refusal),
    /// An error that concerns the whole folder.
    #[error("{0}")]
    Folder(String),
}

/// The reason why a folder cannot be published into.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}; {help}")]
pub struct Refusal {
    /// The problem.
    pub message: String,
    /// The remedy.
    pub help: String,
    /// The owner of the folder, and the folder, if it belongs to another stage.
    pub(super) owned: Option<Box<(Owner, PathBuf)>>,
}

impl Refusal {
    /// The folder belongs to another stage, according to the record or sidecar `by`.
    pub(super) fn owned(root: &Path, owner: &Owner, by: &Path) -> Self {
        let Owner { experiment, stage, spec } = owner;
        let hand_over = match by.file_name().is_some_and(|name| name == RECORD) {
            true => format!("write the new owner into {} to hand the folder over", by.display()),
            false => format!("move the files that {} names elsewhere", by.display()),
        };
        Self {
            message: format!(
                "{} belongs to stage `{stage}` of experiment `{experiment}`, spec {spec}: no other stage can publish \
                 there",
                root.display()
            ),
            help: format!(
                "name another folder in `publish` (`{{experiment}}` in it stands for the experiment's name), \
                 or {hand_over}"
            ),
            owned: Some(Box::new((owner.clone(), root.to_owned()))),
        }
    }

    /// The record of the folder cannot be read.
    pub(super) fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Self {
        Self {
            message: format!("{} cannot be read: {why}", path.display()),
            help: "it says which files may be replaced; mend it, or delete it, and files that differ count as yours"
                .to_owned(),
            owned: None,
        }
    }
}
