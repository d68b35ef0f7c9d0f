//! The commands, a file each, and what several of them share.

pub(crate) mod data;
pub(crate) mod data_check;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod forget;
pub(crate) mod gc;
pub(crate) mod keygen;
pub(crate) mod kinds;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod man;
mod named_nodes;
mod output_files;
pub(crate) mod path;
pub(crate) mod pin;
pub(crate) mod plan;
mod recorded;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod store;
pub(crate) mod study;
pub(crate) mod sweep;
mod tables;
