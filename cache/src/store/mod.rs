//! The open store: lookups, recording, and listings of what it holds.
//!
//! Imports `records` and the folders above it.

pub(crate) mod catalog;
pub(crate) mod last_use;
pub(crate) mod lookup;
mod open;
mod put;
mod read;

pub use open::Store;
pub use put::PutContent;
