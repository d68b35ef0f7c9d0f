//! Tests of the store as a whole that need its internals.

pub(crate) mod crash;
mod golden;
mod indexes;
mod planted;
