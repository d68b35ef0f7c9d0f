//! Locks and sessions: how processes that share a store exclude and see each other.
//!
//! Imports `format` and what that imports.

pub(crate) mod holder;
pub(crate) mod host_lease;
pub(crate) mod lease;
pub(crate) mod notes;
pub(crate) mod session;
pub(crate) mod using;
pub(crate) mod wait;
