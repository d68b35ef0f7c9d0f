//! Upkeep of a store: garbage collection, forgetting, pins, lineage, verification and repair.
//!
//! Imports everything else.

mod collection_plan;
mod compact;
pub(crate) mod forget;
pub(crate) mod gc;
pub(crate) mod gc_report;
pub(crate) mod lineage;
pub(crate) mod made_of;
pub(crate) mod pin;
pub(crate) mod problem;
pub(crate) mod repair;
mod retention;
mod rivals;
mod share;
mod side_files;
mod strays;
pub(crate) mod verify;
