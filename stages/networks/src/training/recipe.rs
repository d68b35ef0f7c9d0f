//! The params that all trainings have in common.

use burn::optim::ModuleOptimizer;

use super::optimizer::{self, OptimizerKind};
use super::schedule::Schedule;

/// Epochs, batches and steps of a training, taken from the params of its stage.
///
/// The stages list these params themselves, as a spec is read with the location of each param and serde's `flatten`
/// loses it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    /// The fold that is left out, from 1.
    pub(crate) fold: u32,
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

/// Fields of params outside their range, with a sentence each.
pub(crate) type Problems = Vec<(&'static str, String)>;

/// Adds the problem of `field` unless its rule holds.
pub(crate) fn check(problems: &mut Problems, field: &'static str, holds: bool, rule: &str) {
    if !holds {
        problems.push((field, format!("{field} {rule}")));
    }
}

/// Returns true for finite numbers above 0.
pub(crate) fn above_0(number: f64) -> bool {
    number > 0.0 && number.is_finite()
}

impl Recipe {
    /// Lists the fields that are outside their range.
    pub(crate) fn problems(&self) -> Problems {
        let mut problems = Vec::new();
        let mut check = |field, holds, rule| check(&mut problems, field, holds, rule);
        check("fold", self.fold >= 1, "counts from 1");
        check("epochs", self.epochs >= 1, "must be at least 1");
        check("batch_size", self.batch_size >= 1, "must be at least 1");
        check("learning_rate", above_0(self.learning_rate), "must be a number above 0");
        check("momentum", (0.0..1.0).contains(&self.momentum), "must be at least 0 and below 1");
        let decays = self.weight_decay >= 0.0 && self.weight_decay.is_finite();
        check("weight_decay", decays, "must be a number that is at least 0");
        if let Schedule::Step { every, factor } = self.schedule {
            check("schedule", every >= 1 && above_0(factor), "needs `every` of at least 1 and a `factor` above 0");
        }
        problems
    }

    /// Returns the optimiser before its first step.
    pub(crate) fn optimizer(&self) -> ModuleOptimizer {
        optimizer::optimizer(self.optimizer, self.weight_decay, self.momentum)
    }

    /// Returns the learning rate of an epoch, counted from 1.
    pub(crate) fn learning_rate(&self, epoch: u32) -> f64 {
        self.schedule.learning_rate(self.learning_rate, epoch, self.epochs)
    }
}
