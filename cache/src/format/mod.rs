//! On-disk formats: the layout of a store's folder, packs, records, objects and checkpoints.
//!
//! Imports `files` and `value`.

pub(crate) mod blob;
pub(crate) mod checkpoint;
pub(crate) mod filter;
pub(crate) mod index_file;
pub(crate) mod index_writer;
pub(crate) mod layout;
pub(crate) mod names;
pub(crate) mod object;
pub(crate) mod open_blob;
pub(crate) mod pack;
pub(crate) mod record;
mod window;
