//! Records in memory and on their way to disk: the index of all packs, group commit, durability.
//!
//! Imports `lock` and the folders above it.

pub(crate) mod coverage;
pub(crate) mod durable;
pub(crate) mod extend;
pub(crate) mod index;
pub(crate) mod locations;
pub(crate) mod pack_lengths;
pub(crate) mod seal;
pub(crate) mod writer;
