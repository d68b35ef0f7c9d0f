//! A U-Net as a task of the training loop.

use burn::tensor::{Device, Tensor, TensorData};
use orchestrate_engine::stage::StageError;
use orchestrate_stages::artifact::{ImageReader, MaskReader};
use orchestrate_stages::random::Generator;

use super::loss;
use super::mask::{self, Level};
use super::params::{Freeze, Params};
use crate::model::{StateDict, Unet, UnetCard, image_data, numbers};
use crate::training::{Division, Start, Task, changed};

/// One U-Net, its images and their masks.
pub(super) struct Segmentation<'a> {
    pub(super) params: &'a Params,
    pub(super) images: &'a ImageReader,
    pub(super) masks: &'a MaskReader,
    pub(super) division: Division,
    pub(super) card: UnetCard,
    /// Weights that replace the drawn ones of the encoder, or of the whole network.
    pub(super) pretrained: Option<&'a StateDict>,
}

/// Sums over validation images.
#[derive(Default)]
pub(super) struct Tally {
    loss: loss::Tally,
    /// Intersection over union of each image that has a mask, 0..=1.
    ious: Vec<f64>,
}

impl Task for Segmentation<'_> {
    type Network = Unet;
    type Card = UnetCard;
    /// Images `[image, 3, height, width]` and their masks `[image, 1, height, width]`, changed alike.
    type Batch = (TensorData, TensorData);
    type Tally = Tally;
    /// The mean intersection over union.
    type Figure = Option<f64>;

    fn card(&self) -> &UnetCard {
        &self.card
    }

    fn division(&self) -> &Division {
        &self.division
    }

    fn pretrained(&self) -> Option<&StateDict> {
        self.pretrained
    }

    fn prepare(&mut self, network: Unet, _: &Start<'_>) -> Result<Unet, StageError> {
        Ok(if self.params.freeze == Freeze::Encoder { network.freeze_encoder() } else { network })
    }

    fn batch(&self, images: &[usize], generator: Option<&mut Generator>) -> Result<Self::Batch, StageError> {
        let (all, shape) = (self.images, [images.len(), 1, self.images.height, self.images.width]);
        let changes = self.params.augment.changes(images.len(), generator);
        let pixels = changed(&changes, all.batch(images)?, all.width);
        let masks = images.iter().map(|&image| self.masks.pixels(image)).collect::<Result<Vec<_>, _>>()?.concat();
        let truth: Vec<f32> = changed(&changes, masks, all.width).into_iter().map(f32::from).collect();
        let images = image_data(&pixels, all.height, all.width, &self.card.normalisation);
        Ok((images, TensorData::new(truth, shape)))
    }

    fn loss(&self, network: &Unet, _: &[usize], (images, truth): Self::Batch, device: &Device) -> Tensor<1> {
        let logits = network.logits(Tensor::from_data(images, device));
        self.params.loss.forward(logits, Tensor::from_data(truth, device))
    }

    fn score(
        &self,
        network: &Unet,
        images: &[usize],
        (pixels, _): Self::Batch,
        device: &Device,
        tally: &mut Tally,
    ) -> Result<(), StageError> {
        let logits = numbers(network.logits(Tensor::from_data(pixels, device)))?;
        for (logits, &image) in logits.chunks_exact(logits.len() / images.len()).zip(images) {
            let truth = self.masks.pixels(image)?;
            tally.loss.add(logits, &truth);
            tally.ious.extend(mask::iou(logits, &truth, Level::HALF));
        }
        Ok(())
    }

    fn figures(&self, Tally { loss, ious }: Tally) -> (f64, Option<f64>) {
        let iou = (!ious.is_empty()).then(|| ious.iter().sum::<f64>() / ious.len() as f64);
        (loss.loss(self.params.loss), iou)
    }
}
