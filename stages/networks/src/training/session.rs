//! What a training uses beside its params and data, and what it says when it cannot go on.

use burn::tensor::{Device, Tensor};
use orchestrate_engine::stage::{Progress, StageError};

use super::Checkpoints;

/// People are told of the loss so many times an epoch.
const REPORTS_PER_EPOCH: usize = 10;

/// What a training uses beside its params and data.
pub(crate) struct Session<'a> {
    pub(crate) device: Device,
    pub(crate) checkpoints: Option<Checkpoints>,
    pub(crate) progress: &'a (dyn Fn(Progress) + Sync),
    pub(crate) cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl Session<'_> {
    /// Fails when the run is being stopped.
    pub(crate) fn check_cancelled(&self) -> Result<(), StageError> {
        if (self.cancelled)() { Err(StageError::Cancelled) } else { Ok(()) }
    }

    /// Tells people how many of the epochs are done, and the latest loss.
    pub(crate) fn report(&self, done: u32, total: u32, loss: f64) {
        let (done, total) = (u64::from(done), u64::from(total));
        (self.progress)(Progress { done, total, message: format!("loss {loss:.3}") });
    }

    /// Whether people are told of the loss of that batch, counted from 0, of so many an epoch.
    pub(crate) fn reports(batch: usize, batches: usize) -> bool {
        batch.is_multiple_of(batches.div_ceil(REPORTS_PER_EPOCH))
    }
}

/// The number in a tensor of one.
pub(crate) fn scalar(tensor: Tensor<1>) -> Result<f64, StageError> {
    tensor.try_into_scalar::<f32>().map(f64::from).map_err(unreadable)
}

/// The device does not give a tensor.
pub(crate) fn unreadable(error: impl std::fmt::Display) -> StageError {
    StageError::new(format!("a tensor cannot be read from the device: {error}"))
}

/// The loss is no number, counting epochs and batches from 1.
pub(crate) fn diverged(loss: f64, epoch: u32, batch: usize, learning_rate: f64) -> StageError {
    StageError::new(format!(
        "the loss is {loss} in epoch {epoch}, batch {batch}: the training diverged; \
         lower `learning_rate` (now {learning_rate})"
    ))
}
