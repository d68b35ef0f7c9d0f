//! Access to the file system: every read, write and sync of the crate passes through here.
//!
//! Imports `value` and `error`.

pub(crate) mod clock;
pub mod disk;
pub mod fault;
pub(crate) mod frame;
pub(crate) mod host;
pub(crate) mod mounts;
pub mod native_path;
pub(crate) mod process;
pub(crate) mod regular;
pub(crate) mod rights;
