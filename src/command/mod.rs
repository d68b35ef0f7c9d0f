//! One file a command.

pub(crate) mod explain;
pub(crate) mod kinds;
pub(crate) mod logs;
pub(crate) mod plan;
pub(crate) mod run;
pub(crate) mod store;
mod study;
