//! The open store: lookups, recording, and listings of what it holds.
//!
//! Imports `records` and what that imports.

pub(crate) mod catalog;
pub(crate) mod last_use;
pub(crate) mod lookup;
mod open;

pub use open::{PutContent, Store};
