//! The open store: lookups, recording, and listings of what it holds.
//!
//! Imports `records` and the folders above it.

pub(crate) mod catalog;
pub(crate) mod last_use;
pub(crate) mod links;
pub(crate) mod lookup;
mod open;
pub(crate) mod passed_over;
mod put;
mod read;

pub use open::Store;
pub use passed_over::{PassedOver, Signed};
pub use put::PutContent;
