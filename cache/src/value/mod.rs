//! Values and their names: digests, the canonical encoding, preimages of keys, artifacts and action results.
//!
//! Imports nothing from the rest of the crate.

pub(crate) mod artifact;
pub(crate) mod canonical;
pub(crate) mod digest;
pub(crate) mod preimage;
pub(crate) mod producer;
