//! Locations of blobs, and checked reads.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::files::{native_path, regular};
use crate::value::digest::Digest;

/// A whole object file, or a range of a pack. It can be sent to a worker process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobLocation {
    /// The file; blobs of one pack share the path.
    #[serde(with = "native_path")]
    pub path: Arc<Path>,
    /// Offset of the blob in it.
    pub offset: u64,
    /// Length of the blob.
    pub size_bytes: u64,
}

/// Why a blob cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause; it is in the message, so it is not the `source` of this error too.
        r#source: io::Error,
    },
    /// The bytes do not have their digest.
    #[error("{path} holds other bytes than the digest {expected} promises")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The expected digest.
        expected: Digest,
    },
}

impl BlobLocation {
    /// Reads the bytes and checks their digest.
    pub fn read_verified(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        let bytes = self.read().map_err(|source| BlobError::Read { path: self.path.to_path_buf(), source })?;
        if Digest::of(&bytes) == *digest {
            Ok(bytes)
        } else {
            Err(BlobError::Mismatch { path: self.path.to_path_buf(), expected: *digest })
        }
    }

    /// Reads the bytes unchecked.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let mut file = regular::open_to_read(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let length = usize::try_from(self.size_bytes).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(io::Error::other)?;
        file.take(self.size_bytes).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
