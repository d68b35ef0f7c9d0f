//! Inference for `cam` and `predict-masks`: passes images through a trained network in mini-batches.

use burn::tensor::{Device, Tensor};
use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::stage::{Action, Context, InputProblem, PlannedNode, Progress, StageError};
use orchestrate_stages::artifact::{ImageReader, Split, Table};
use orchestrate_stages::planned_size::{at_port, planned_size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device::device;
use crate::model::{Card, Training, Weights, image_data};
use crate::training::{ahead, check_names};

/// The param `images` of both stages: the images that go through the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// The images of the fold that the training left out.
    #[default]
    Validation,
    /// All images; the network was trained on most of them.
    All,
}

impl Which {
    /// Returns the indices of the images, in data set order.
    pub(crate) fn indices(self, split: &Split, fold: u32) -> Vec<usize> {
        (0..split.folds.len()).filter(|&image| self == Self::All || split.folds[image] == fold).collect()
    }
}

/// The ranges of the params of both stages.
pub(crate) const RANGES: &[(&str, Bounds)] =
    &[("fold", Bounds::from(1.0)), ("batch_size", Bounds::from(1.0)), ("cut", Bounds::above(0.0).below(1.0))];

/// A trained network and the images to pass through it.
pub(crate) struct Inference<'a, C> {
    context: &'a Context<'a>,
    pub(crate) device: Device,
    pub(crate) images: ImageReader,
    pub(crate) split: Split,
    pub(crate) weights: Weights<C>,
}

/// Finds images of another size than those of the training before anything runs.
pub(crate) fn check_inputs(node: &dyn PlannedNode) -> Vec<InputProblem> {
    let sizes = planned_size(node, "weights").zip(planned_size(node, "images"));
    let Some((trained, size)) = sizes else { return Vec::new() };
    at_port("weights", check_size((trained, trained), (size, size)))
}

fn check_size((height, width): (usize, usize), images: (usize, usize)) -> Result<(), StageError> {
    if (height, width) == images {
        return Ok(());
    }
    Err(StageError::input(
        "weights",
        format!(
            "the network was trained on {height}×{width} pixels, but the images are {}×{}; connect the data set of the \
             training",
            images.0, images.1
        ),
    ))
}

impl<'a, C: Card> Inference<'a, C> {
    /// Opens the artifacts that the ports received; fails unless images and split are of one data set.
    pub(crate) fn open(action: &Action, context: &'a Context<'a>) -> Result<Self, StageError> {
        let images = ImageReader::from_item(action.one("images")?)?;
        let split = Split::from_item(action.one("split")?)?;
        let weights = Weights::from_item(action.one("weights")?)?;
        let device = device(context.device)?;
        check_names(&images, &split)?;
        Ok(Self { context, device, images, split, weights })
    }

    /// Checks that the images fit the network, and returns the fold that its training left out.
    ///
    /// `fold` is the param, if set. Errors: images of another size than those of the training; a `fold` that the
    /// network was trained on.
    pub(crate) fn fold(&self, fold: Option<u32>) -> Result<u32, StageError> {
        let Training { height, width, fold: unseen, .. } = self.weights.card.training();
        let images = &self.images;
        check_size((height, width), (images.height, images.width))?;
        let ([trains, uses], results) = (C::STAGES, C::RESULTS);
        match fold {
            Some(fold) if fold != unseen => Err(StageError::new(format!(
                "fold = {fold}, but the weights have not seen fold {unseen}: they were trained on the images of fold \
                 {fold}, so the {results} would leak; vary `{trains}` and `{uses}` over the same axis `fold`"
            ))),
            _ => Ok(unseen),
        }
    }

    /// Passes the images to `consume`, one mini-batch at a time, and reports progress.
    ///
    /// - `indices`: the images, in data set order
    /// - `consume`: receives the indices of a mini-batch and its normalised images, `[image, channel, height, width]`
    pub(crate) fn each_batch(
        &self,
        indices: &[usize],
        batch_size: usize,
        mut consume: impl FnMut(&[usize], Tensor<4>) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let (images, Training { normalisation, .. }) = (&self.images, self.weights.card.training());
        let prepared = indices.chunks(batch_size).map(|batch| {
            let data = |pixels: Vec<u8>| image_data(&pixels, images.height, images.width, normalisation);
            (batch, images.batch(batch).map(data))
        });
        let (mut done, total) = (0, indices.len() as u64);
        ahead(self.context.cancelled, prepared, |(batch, data)| {
            consume(batch, Tensor::from_data(data?, &self.device))?;
            done += batch.len() as u64;
            (self.context.progress)(Progress { done, total, message: format!("image {done}/{total}") });
            Ok(())
        })
    }

    /// Returns the error of a network that gives NaN or infinity for an image.
    pub(crate) fn not_finite(&self, image: usize) -> StageError {
        let name = &self.images.names[image];
        StageError::new(format!(
            "the network gives NaN or infinity for image `{name}`; train it again with a lower learning_rate"
        ))
    }
}
