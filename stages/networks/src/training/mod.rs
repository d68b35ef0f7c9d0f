//! Training, as `train` and `segment` share it.
//!
//! A stage describes its network, its data and its loss as a [`Task`]. [`fit`] trains the network by a [`Recipe`], the
//! params that all trainings have in common, and writes a [`checkpoint`] after each epoch.

mod augment;
pub(crate) mod checkpoint;
mod fit;
mod fold;
mod loader;
pub(crate) mod optimizer;
mod pretrained;
mod recipe;
mod schedule;
mod task;

pub(crate) use augment::{Augment, Flip, changed};
pub(crate) use fit::fit;
pub(crate) use fold::{Division, check_names, divide};
pub(crate) use loader::ahead;
pub(crate) use optimizer::OptimizerKind;
pub(crate) use pretrained::{INIT_WEIGHTS, Init, told};
pub(crate) use recipe::{RANGES, Recipe, check, epochs, momentum};
pub(crate) use schedule::Schedule;
pub(crate) use task::{Start, Task};
