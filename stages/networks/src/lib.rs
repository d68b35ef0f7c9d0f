//! Networks: training, features of pretrained trunks, class activation maps of classifiers, and masks predicted by a
//! U-Net.
//! Invariant: no other crate of stages knows tensors; `orchestrate-stages` does not depend on this one.

pub mod cam;
pub mod device;
pub mod features;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod inference;
pub mod model;
pub mod predict_masks;
pub mod segment;
pub mod speed;
#[cfg(test)]
mod testing;
pub mod train;
mod training;

use orchestrate_engine::stage::Stage;
// The shared files below `testing` name it as a module of their crate.
#[cfg(test)]
use orchestrate_stages::artifact;

/// The kinds of stages of this crate, in the order of a study.
pub static STAGES: &[&dyn Stage] =
    &[&features::STAGE, &train::STAGE, &cam::STAGE, &segment::STAGE, &predict_masks::STAGE];
