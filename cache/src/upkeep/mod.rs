//! Upkeep of a store: garbage collection, pins, lineage, verification and repair.
//!
//! Imports everything else.

mod collection_plan;
mod compact;
pub(crate) mod gc;
pub(crate) mod gc_report;
pub(crate) mod lineage;
pub(crate) mod pin;
pub(crate) mod problem;
pub(crate) mod repair;
mod retention;
mod side_files;
mod strays;
pub(crate) mod verify;
