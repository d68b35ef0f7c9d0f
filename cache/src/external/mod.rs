//! Files outside the store: bounded reads, and digests remembered by size and times.
//!
//! Imports `format` and `files`.

pub(crate) mod file_digest;
mod read;
pub(crate) mod stat_cache;

pub use read::{EXTERNAL_BYTES_MAX, check, open, read};
