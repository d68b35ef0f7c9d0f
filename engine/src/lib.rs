//! Graphs and time: spec → plan → schedule → execute → record.
//!
//! Invariant: this crate knows no tensor, no image and no model. A stage computes behind the trait [`stage::Stage`].

mod absolute;
pub mod alike;
pub mod bounds;
pub mod cluster;
pub mod diagnostic;
pub mod efficiency;
pub mod event;
pub mod executor;
pub mod explain;
pub mod key;
pub mod known;
pub mod modes;
mod nearest;
pub mod node;
pub mod observe;
pub mod parallel;
pub mod params;
pub mod plan;
pub mod publish;
pub mod recall;
pub mod repository;
pub mod resources;
pub mod run;
mod run_id;
pub mod runlog;
pub mod schedule;
mod selection;
pub mod shell;
pub mod source;
pub mod spec;
pub mod stage;
pub mod survey;
pub mod usage;
pub mod words;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

#[cfg(test)]
mod fake;

pub use nearest::nearest;
