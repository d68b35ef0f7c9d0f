//! The domain without its networks: data sets, heatmaps, thresholds, scores, tables and pages.
//!
//! Invariant: this crate knows no spec, no store, no schedule and no tensor. It receives actions and returns outputs.
//! The crate `orchestrate-networks` depends on it and adds the networks.

pub mod artifact;
pub mod batch;
pub mod command;
pub mod data;
pub mod export;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gpu;
pub mod maps;
pub mod pages;
pub mod planned_size;
mod problems;
pub mod random;
pub mod tables;
#[cfg(test)]
mod testing;
pub mod threads;
pub mod typed;

use orchestrate_engine::stage::Stage;

use data::{dataset, split};
use maps::{score, threshold};
use pages::report;
use tables::{classify, compare, table};

/// The kinds of stages of this crate, in the order of a study.
pub static STAGES: &[&dyn Stage] = &[
    &dataset::STAGE,
    &split::STAGE,
    &threshold::STAGE,
    &score::STAGE,
    &classify::STAGE,
    &table::STAGE,
    &compare::STAGE,
    &report::STAGE,
    &command::STAGE,
];
