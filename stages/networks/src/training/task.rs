//! A training as a stage describes it: the network, its data and its loss.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use orchestrate_engine::stage::{Context, StageError};
use orchestrate_stages::artifact::Table;
use orchestrate_stages::random::{Generator, Seed};

use super::fold::Division;
use crate::model::Tensors;

/// A network, the images that it is trained on, and its loss.
///
/// Batches are made on another thread than the network's, so a task is shared between two threads.
pub(crate) trait Task: Send + Sync {
    /// The network.
    type Network: Module;
    /// One batch, before it is on a device.
    type Batch: Send;
    /// Sums over validation images, from which their loss and the figure of [`Task::Curve`] follow.
    type Tally: Default;
    /// The table of epochs.
    type Curve: History;

    /// The images of the training, and those of the fold that is left out.
    fn division(&self) -> &Division;

    /// The seed of weights, order of images and augmentation.
    fn seed(&self) -> Seed;

    /// Names the network in errors: ``model `tiny` ``.
    fn name(&self) -> String;

    /// Weights that replace drawn ones; `None` without `init.weights`.
    fn pretrained(&self) -> Option<&Tensors>;

    /// Returns true if pretrained weights of this network exist, so that a start without them is worth a warning.
    fn has_pretrained(&self) -> bool;

    /// Returns the network with weights drawn by [`Task::seed`].
    fn drawn(&self, device: &Device) -> Self::Network;

    /// Replaces drawn weights by pretrained ones; the error names every tensor that does not fit.
    fn with_pretrained(&self, drawn: Self::Network, tensors: &Tensors) -> Result<Self::Network, String>;

    /// Returns the network with the tensors of a checkpoint; the error names every tensor that does not fit.
    fn restored(&self, tensors: &Tensors, device: &Device) -> Result<Self::Network, String>;

    /// Sets precision and frozen layers of a network, once before its first step in this process.
    ///
    /// - `device`: the device of the training, without gradients
    /// - `epochs_done`: the epochs of the checkpoint that the training continues
    fn prepare(
        &mut self,
        network: Self::Network,
        device: &Device,
        context: &Context<'_>,
        epochs_done: usize,
    ) -> Result<Self::Network, StageError>;

    /// Reads a batch, and changes it at random if a generator is given.
    fn batch(&self, images: &[usize], generator: Option<&mut Generator>) -> Result<Self::Batch, StageError>;

    /// The loss of a batch: a mean over its images.
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
    fn figures(&self, tally: Self::Tally) -> (f64, <Self::Curve as History>::Figure);
}

/// The table of a training's epochs, one row each.
pub(crate) trait History: Table + Clone + Default + Send {
    /// The column beside the losses: accuracy or intersection over union.
    type Figure;

    /// Returns the number of epochs that are done.
    fn epochs(&self) -> usize;

    /// Appends the row of an epoch.
    fn push(&mut self, losses: Losses, figure: Self::Figure);
}

/// Columns that the curves of all trainings have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Losses {
    /// The number of the epoch, from 1.
    pub(crate) epoch: u32,
    /// The learning rate of its batches.
    pub(crate) learning_rate: f64,
    /// The mean over training images, each before the step of its batch.
    pub(crate) training: f64,
    /// The mean over validation images, after the epoch.
    pub(crate) validation: f64,
}
