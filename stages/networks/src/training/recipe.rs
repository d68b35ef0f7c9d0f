//! The params that all trainings have in common.

use burn::optim::ModuleOptimizer;
use orchestrate_engine::bounds::Bounds;

use super::optimizer::{self, OptimizerKind};
use super::schedule::Schedule;

/// Epochs, batches and steps of a training, taken from the params of its stage.
///
/// The stages list these params themselves, as a spec is read with the location of each param and serde's `flatten`
/// loses it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    /// Passes over the training images, at least 1.
    pub(crate) epochs: u32,
    /// Images of one step, at least 1.
    pub(crate) batch_size: usize,
    /// The rule that turns gradients into steps.
    pub(crate) optimizer: OptimizerKind,
    /// The learning rate of the first epoch, above 0.
    pub(crate) learning_rate: f64,
    /// The momentum of stochastic gradient descent, 0 ≤ m < 1.
    pub(crate) momentum: f64,
    /// The weight decay of all tensors, at least 0.
    pub(crate) weight_decay: f64,
    /// The learning rate over epochs.
    pub(crate) schedule: Schedule,
}

/// The default number of epochs.
pub(crate) fn epochs() -> u32 {
    10
}

/// The default momentum.
pub(crate) fn momentum() -> f64 {
    0.9
}

/// The ranges of the params of trainings; a stage has those that it has a param for.
pub(crate) const RANGES: &[(&str, Bounds)] = &[
    ("fold", Bounds::from(1.0)),
    ("epochs", Bounds::from(1.0)),
    ("batch_size", Bounds::from(1.0)),
    ("learning_rate", Bounds::above(0.0)),
    ("momentum", Bounds::from(0.0).below(1.0)),
    ("weight_decay", Bounds::from(0.0)),
    ("schedule.step.every", Bounds::from(1.0)),
    ("schedule.step.factor", Bounds::above(0.0)),
    ("class_weights", Bounds::above(0.0)),
];

/// Fields of params outside their range, with a sentence each.
pub(crate) type Problems = Vec<(&'static str, String)>;

/// Adds the problem of `field` unless its rule holds.
pub(crate) fn check(problems: &mut Problems, field: &'static str, holds: bool, rule: &str) {
    if !holds {
        problems.push((field, format!("{field} {rule}")));
    }
}

impl Recipe {
    /// Returns the optimiser before its first step.
    pub(crate) fn optimizer(&self) -> ModuleOptimizer {
        optimizer::optimizer(self.optimizer, self.weight_decay, self.momentum)
    }

    /// Returns the learning rate of an epoch, counted from 1.
    pub(crate) fn learning_rate(&self, epoch: u32) -> f64 {
        self.schedule.learning_rate(self.learning_rate, epoch, self.epochs)
    }
}
