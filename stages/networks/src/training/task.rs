//! The interface between the training loop in `fit.rs` and a stage that trains: the network, its data and its loss.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use orchestrate_engine::stage::{Context, StageError};
use orchestrate_stages::artifact::Figure;
use orchestrate_stages::random::Generator;

use super::fold::Division;
use crate::model::{Card, StateDict};

/// A network, the images that it is trained on, and its loss.
///
/// A batch is here a mini-batch. Another thread prepares the batches while the network computes, hence `Sync`.
pub(crate) trait Task: Send + Sync {
    /// The network.
    type Network: Module;
    /// The card of the network: its settings, stored beside its tensors.
    type Card: Card<Network = Self::Network> + Clone;
    /// One batch in host memory, before it is copied to a device.
    type Batch: Send;
    /// Sums over validation images; [`Task::figures`] makes their loss and their figure of them.
    type Tally: Default;
    /// The figure of the validation images in the training curve, beside their loss, such as accuracy.
    type Figure: Figure + Send;

    /// Returns the card to store with the trained network.
    fn card(&self) -> &Self::Card;

    /// Returns the indices of the training images, and of the validation images: those of the fold left out.
    fn division(&self) -> &Division;

    /// Returns the pretrained weights of `init.weights`, if given.
    fn pretrained(&self) -> Option<&StateDict>;

    /// Sets the precision of a network and freezes layers, once before its first step in this process.
    fn prepare(&mut self, network: Self::Network, start: &Start<'_>) -> Result<Self::Network, StageError>;

    /// Reads a batch; augments it at random if a generator is given.
    fn batch(&self, images: &[usize], generator: Option<&mut Generator>) -> Result<Self::Batch, StageError>;

    /// Computes the loss of a batch: the mean over its images.
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

/// The state in which a training starts, or is resumed, in this process.
pub(crate) struct Start<'a> {
    pub(crate) context: &'a Context<'a>,
    /// The device of the training, without autodiff.
    pub(crate) device: &'a Device,
    /// The number of epochs in the checkpoint that the training is resumed from; 0 without one.
    pub(crate) epochs_done: usize,
}
