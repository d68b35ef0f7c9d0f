//! Records in memory and on their way to disk: the index of all packs, group commit, durability.
//!
//! Imports `lock` and what that imports.

pub(crate) mod durable;
pub(crate) mod ends;
pub(crate) mod index;
pub(crate) mod places;
pub(crate) mod writer;
