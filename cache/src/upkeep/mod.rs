//! Upkeep of a store: garbage collection, pins, lineage, verification and repair.
//!
//! Imports everything else.

mod collect;
mod compact;
pub(crate) mod gc;
pub(crate) mod lineage;
pub(crate) mod pin;
pub(crate) mod repair;
mod retention;
mod small;
pub(crate) mod verify;
