//! Features of images by a trunk that does not change.

use burn::tensor::{Device, Tensor, TensorData};
use orchestrate_engine::stage::StageError;
use orchestrate_stages::artifact::ImageReader;

use crate::model::{Classifier, Normalisation, image_data, numbers, pool};
use crate::training::ahead;

/// Features after global average pooling.
pub(crate) struct Pooled {
    /// `[image, feature]`.
    pub(crate) values: Vec<f32>,
    /// The number of features of an image.
    pub(crate) width: usize,
}

impl Pooled {
    /// Computes the features of all images.
    ///
    /// - `network`: without gradients
    /// - `each`: receives the number of images done after each batch
    ///
    /// Images do not see each other, so `batch_size` changes time and memory alone.
    pub(crate) fn compute(
        network: &Classifier,
        images: &ImageReader,
        normalisation: &Normalisation,
        batch_size: usize,
        device: &Device,
        cancelled: &dyn Fn() -> bool,
        mut each: impl FnMut(usize),
    ) -> Result<Self, StageError> {
        let indices: Vec<usize> = (0..images.names.len()).collect();
        let data = |pixels: Vec<u8>| image_data(&pixels, images.height, images.width, normalisation);
        let batches = indices.chunks(batch_size).map(|batch| (batch, images.batch(batch).map(data)));
        let (mut values, mut done, mut width) = (Vec::new(), 0, 0);
        ahead(cancelled, batches, |(batch, data)| {
            let pooled = pool(network.features(Tensor::from_data(data?, device)));
            [_, width] = pooled.dims();
            values.extend(numbers(pooled)?);
            done += batch.len();
            each(done);
            Ok(())
        })?;
        Ok(Self { values, width })
    }

    /// Returns the features of some images, `[image, feature]`.
    pub(crate) fn batch(&self, images: &[usize]) -> TensorData {
        let Self { values, width } = self;
        let rows = images.iter().flat_map(|&image| &values[image * width..(image + 1) * width]);
        TensorData::new(rows.copied().collect::<Vec<f32>>(), [images.len(), *width])
    }
}
