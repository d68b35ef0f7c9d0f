//! Failures of a stage.

use orchestrate_cache::{BlobError, Digest};
use serde::{Deserialize, Serialize};

/// The reason of a stage's failure, as a fragment that reads after "failed: ".
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
pub enum StageError {
    /// The problem and its remedy.
    #[error("{0}")]
    Failed(String),
    /// Stored bytes do not match their digest.
    #[error("stored file {digest} is corrupt: {message}")]
    Corrupt {
        /// The expected digest.
        digest: Digest,
        /// The error of the read.
        message: String,
    },
    /// The run was stopped.
    #[error("cancelled")]
    Cancelled,
}

impl StageError {
    /// Returns a failure with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// Returns a failure caused by stored bytes that cannot be served.
    pub fn corrupt(digest: Digest, error: &BlobError) -> Self {
        Self::Corrupt { digest, message: error.to_string() }
    }

    /// Returns a failure caused by the input at a port.
    pub fn input(port: &str, message: impl std::fmt::Display) -> Self {
        Self::Failed(format!("input `{port}`: {message}"))
    }
}
