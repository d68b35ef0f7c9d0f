//! What the trainings of `train` and `segment` share: initial weights, optimisers, checkpoints, random changes of images, batches that are made
//! ahead, and how they stop.

pub(crate) mod augment;
pub(crate) mod checkpoint;
pub(crate) mod loader;
pub(crate) mod optimizer;
pub(crate) mod published;
pub(crate) mod session;

pub(crate) use checkpoint::{Checkpoint, Checkpoints};
pub(crate) use loader::ahead;
pub(crate) use optimizer::optimizer;
pub(crate) use session::{Session, diverged, scalar, unreadable};
