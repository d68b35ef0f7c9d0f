//! The domain: data sets, networks, class activation maps, thresholds, scores and tables.
//!
//! Invariant: this crate knows no spec, no store and no schedule; it sees actions and gives outputs.

pub mod artifact;
mod batch;
mod bootstrap;
pub mod cam;
pub mod classify;
pub mod command;
pub mod compare;
pub mod dataset;
pub mod export;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gpu;
mod hdf5;
pub mod heatmap;
mod memo;
pub mod model;
pub mod predict_masks;
pub mod report;
pub mod score;
pub mod segment;
pub mod split;
pub mod sweep;
pub mod table;
#[cfg(test)]
mod testing;
pub mod threshold;
pub mod tidy;
pub mod train;
mod training;
mod typed;

use orchestrate_engine::stage::Stage;

/// Every kind of stage, in the order of a study; help text and error messages are made from it.
pub static STAGES: &[&dyn Stage] = &[
    &dataset::STAGE,
    &split::STAGE,
    &train::STAGE,
    &cam::STAGE,
    &threshold::STAGE,
    &segment::STAGE,
    &predict_masks::STAGE,
    &score::STAGE,
    &classify::STAGE,
    &table::STAGE,
    &compare::STAGE,
    &report::STAGE,
    &command::STAGE,
];
