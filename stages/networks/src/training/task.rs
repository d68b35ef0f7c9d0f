//! A training as a stage describes it: the network, its data and its loss.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use orchestrate_engine::stage::{Context, StageError};
use orchestrate_stages::artifact::Figure;
use orchestrate_stages::random::Generator;

use super::fold::Division;
use crate::model::{Card, Tensors};

/// A network, the images that it is trained on, and its loss.
///
/// Batches are made on another thread than the network's, so a task is shared between two threads.
pub(crate) trait Task: Send + Sync {
    /// The network.
    type Network: Module;
    /// The card of the network.
    type Card: Card<Network = Self::Network> + Clone;
    /// One batch, before it is on a device.
    type Batch: Send;
    /// Sums over validation images, from which their loss and the figure of the curve follow.
    type Tally: Default;
    /// The figure of the curve.
    type Figure: Figure + Send;

    /// Returns the card of the network after its training.
    fn card(&self) -> &Self::Card;

    /// Returns the indices of the training images, and of those of the fold that is left out.
    fn division(&self) -> &Division;

    /// Returns the weights of `init.weights`, if given.
    fn pretrained(&self) -> Option<&Tensors>;

    /// Sets precision and frozen layers of a network, once before its first step in this process.
    fn prepare(&mut self, network: Self::Network, start: &Start<'_>) -> Result<Self::Network, StageError>;

    /// Reads a batch, and changes it at random if a generator is given.
    fn batch(&self, images: &[usize], generator: Option<&mut Generator>) -> Result<Self::Batch, StageError>;

    /// Computes the loss of a batch: a mean over its images.
    fn loss(&self, network: &Self::Network, images: &[usize], batch: Self::Batch, device: &Device) -> Tensor<1>;

    /// Adds a batch of validation images to the tally.
    fn score(
        &self,
        network: &Self::Network,
        images: &[usize],
        batch: Self::Batch,
        device: &Device,
        tally: &mut Self::Tally,
    ) -> Result<(), StageError>;

    /// Returns the loss of all validation images, and their figure.
    fn figures(&self, tally: Self::Tally) -> (f64, Self::Figure);
}

/// The state in which a training starts in this process.
pub(crate) struct Start<'a> {
    pub(crate) context: &'a Context<'a>,
    /// The device of the training, without gradients.
    pub(crate) device: &'a Device,
    /// The epochs of the checkpoint that the training continues.
    pub(crate) epochs_done: usize,
}
