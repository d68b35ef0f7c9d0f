//! Inference, as `cam` and `predict-masks` share it: images through a trained network, a batch at a time.

use burn::tensor::{Device, Tensor};
use orchestrate_engine::stage::{Context, Progress, StageError};
use orchestrate_stages::artifact::{ImageReader, Split};
use serde::{Deserialize, Serialize};

use crate::model::{Normalisation, image_data};
use crate::training::{Problems, ahead, check};

/// The images that go through the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// The images of the fold.
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

/// Lists the params that are outside their range.
pub(crate) fn problems(fold: Option<u32>, batch_size: usize) -> Problems {
    let mut problems = Vec::new();
    check(&mut problems, "fold", fold != Some(0), "counts from 1");
    check(&mut problems, "batch_size", batch_size >= 1, "must be at least 1");
    problems
}

/// Images of a data set, and how a network reads them.
pub(crate) struct Batches<'a> {
    pub(crate) images: &'a ImageReader,
    /// The images to read, in data set order.
    pub(crate) indices: &'a [usize],
    /// Images of a batch, at least 1; the last batch may have fewer.
    pub(crate) batch_size: usize,
    pub(crate) normalisation: &'a Normalisation,
}

impl Batches<'_> {
    /// Passes the indices of each batch and its images, `[image, channel, height, width]`, to `consume`, and reports progress.
    pub(crate) fn each(
        &self,
        device: &Device,
        context: &Context<'_>,
        mut consume: impl FnMut(&[usize], Tensor<4>) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let Self { images, indices, batch_size, normalisation } = *self;
        let prepared = indices.chunks(batch_size).map(|batch| {
            let data = |pixels: Vec<u8>| image_data(&pixels, images.height, images.width, normalisation);
            (batch, images.batch(batch).map(data))
        });
        let (mut done, total) = (0, indices.len() as u64);
        ahead(context.cancelled, prepared, |(batch, data)| {
            consume(batch, Tensor::from_data(data?, device))?;
            done += batch.len() as u64;
            (context.progress)(Progress { done, total, message: format!("image {done}/{total}") });
            Ok(())
        })
    }

    /// The error of a network that gives NaN or infinity for an image.
    pub(crate) fn not_finite(&self, image: usize) -> StageError {
        let name = &self.images.names[image];
        StageError::new(format!(
            "the network gives NaN or infinity for image `{name}`; train it again with a lower learning_rate"
        ))
    }
}
