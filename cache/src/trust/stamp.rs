//! Stamps: keyed checksums (BLAKE3) of what only this user reads again. They cost less than signatures, and nobody but
//! the holder of the private key can make or check one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::value::digest::Digest;

/// The domain of the derived key; another use of the private key gets another one.
const CONTEXT: &str = "orchestrate 2026-11-30 stamps of checkpoints and of digests of external files";

/// Length of a stamp in bytes.
pub(crate) const STAMP_LEN: usize = 32;

/// The key for stamps, derived from a private key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StampKey(Digest);

impl StampKey {
    pub(super) fn derive(private: &[u8; 32]) -> Self {
        Self(Digest::from_bytes(blake3::derive_key(CONTEXT, private)))
    }

    /// Returns the stamp of the concatenation of several byte strings; the first names what is stamped.
    pub(crate) fn stamp(&self, parts: &[&[u8]]) -> [u8; STAMP_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(self.0.as_bytes());
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// A name for the files of this key's holder, the same in every process.
    pub(crate) fn name(&self) -> Digest {
        Digest::from_bytes(self.stamp(&[b"name"]))
    }
}

impl fmt::Debug for StampKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StampKey(…)")
    }
}
