//! One file a command.

pub(crate) mod data;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod kinds;
pub(crate) mod logs;
pub(crate) mod pin;
mod place;
pub(crate) mod plan;
mod recorded;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod store;
mod study;
pub(crate) mod sweep;
mod target;
