//! Files outside the store: bounded reads, and digests remembered by size and times.
//!
//! Imports `lock` and the folders above it.

pub(crate) mod file_digest;
mod read;
pub(crate) mod stat_cache;

pub use read::{EXTERNAL_BYTES_MAX, check, open, read};
