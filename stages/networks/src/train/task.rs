//! A classifier as a task of the training loop.

use burn::module::Module;
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};
use orchestrate_engine::stage::{Progress, StageError};
use orchestrate_stages::artifact::ImageReader;
use orchestrate_stages::random::Generator;

use super::features::PORT;
use super::params::{Freeze, Params};
use crate::features::Pooled;
use crate::model::{Classifier, ModelCard, StateDict, image_data, scalar, unreadable};
use crate::training::{Augment, Division, Start, Task, changed};

/// One classifier, its images and their classes.
pub(super) struct Classification<'a> {
    pub(super) params: &'a Params,
    pub(super) images: &'a ImageReader,
    /// Class index of each image.
    pub(super) labels: &'a [u32],
    pub(super) division: Division,
    /// The weight of each class in the loss; `None` if all are equal.
    pub(super) class_weights: Option<Vec<f32>>,
    pub(super) card: ModelCard,
    /// Weights that replace the drawn ones of the trunk.
    pub(super) trunk: Option<&'a StateDict>,
    /// Pooled features of every image: given, or computed if a frozen trunk sees the same images in every epoch.
    pub(super) pooled: Option<Pooled>,
}

/// Sums over validation images.
#[derive(Default)]
pub(super) struct Tally {
    /// Of the loss of each image times the weight of its class.
    loss: f64,
    /// Of the weights of classes.
    weight: f64,
    /// The number of images whose class is predicted.
    correct: usize,
}

impl Classification<'_> {
    fn cross_entropy(&self, device: &Device) -> CrossEntropyLoss {
        CrossEntropyLossConfig::new().with_weights(self.class_weights.clone()).init(device)
    }

    /// Class scores of a batch, `[image, class]`.
    fn logits(&self, network: &Classifier, batch: TensorData, device: &Device) -> Tensor<2> {
        match &self.pooled {
            Some(_) => network.head().forward(Tensor::from_data(batch, device)),
            None => network.logits(Tensor::from_data(batch, device)),
        }
    }

    /// Class indices, `[image]`.
    fn targets(&self, images: &[usize], device: &Device) -> Tensor<1, Int> {
        let labels: Vec<i64> = images.iter().map(|&image| i64::from(self.labels[image])).collect();
        Tensor::from_data(TensorData::new(labels, [images.len()]), device)
    }

    fn class_weight(&self, image: usize) -> f64 {
        let weights = self.class_weights.as_ref();
        weights.map_or(1.0, |weights| f64::from(weights[self.labels[image] as usize]))
    }

    /// Computes the pooled features of all images, by a trunk that does not change.
    fn pool_all(&self, network: &Classifier, start: &Start<'_>) -> Result<Pooled, StageError> {
        let Start { context, device, epochs_done } = *start;
        let Params { batch_size, epochs, .. } = *self.params;
        let (cancelled, normalisation) = (context.cancelled, &self.card.normalisation);
        let each = |images: usize| {
            let message = format!("features {images}/{}", self.labels.len());
            (context.progress)(Progress { done: epochs_done as u64, total: u64::from(epochs), message });
        };
        Pooled::compute(&network.valid(), self.images, normalisation, batch_size, device, cancelled, each)
    }
}

impl Task for Classification<'_> {
    type Network = Classifier;
    type Card = ModelCard;
    /// Pooled features `[image, feature]` if they are known, or else normalised images `[image, channel, height,
    /// width]`.
    type Batch = TensorData;
    type Tally = Tally;
    /// The accuracy.
    type Figure = f64;

    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn division(&self) -> &Division {
        &self.division
    }

    fn pretrained(&self) -> Option<&StateDict> {
        self.trunk
    }

    fn prepare(&mut self, network: Classifier, start: &Start<'_>) -> Result<Classifier, StageError> {
        self.params.precision.check(start.device, network.tensors().keys())?;
        let mut network = network.with_precision(self.params.precision);
        if let (Freeze::Trunk, Some(trunk)) = (self.params.freeze, self.trunk) {
            network = network.freeze_trunk(&trunk.tensors);
        }
        let is_fixed = network.is_trunk_frozen() && self.params.augment == Augment::default();
        match self.pooled {
            None if is_fixed => self.pooled = Some(self.pool_all(&network, start)?),
            Some(_) if !is_fixed => {
                let problem = "the training has layers before the pooling that it trains; leave the features out";
                return Err(StageError::input(PORT, problem));
            }
            _ => {}
        }
        Ok(network)
    }

    fn batch(&self, images: &[usize], generator: Option<&mut Generator>) -> Result<TensorData, StageError> {
        if let Some(pooled) = &self.pooled {
            return Ok(pooled.batch(images));
        }
        let all = self.images;
        let changes = self.params.augment.changes(images.len(), generator);
        let pixels = changed(&changes, all.batch(images)?, all.width);
        Ok(image_data(&pixels, all.height, all.width, &self.card.normalisation))
    }

    fn loss(&self, network: &Classifier, images: &[usize], batch: TensorData, device: &Device) -> Tensor<1> {
        let logits = self.logits(network, batch, device);
        self.cross_entropy(device).forward(logits, self.targets(images, device))
    }

    fn score(
        &self,
        network: &Classifier,
        images: &[usize],
        batch: TensorData,
        device: &Device,
        tally: &mut Tally,
    ) -> Result<(), StageError> {
        let logits = self.logits(network, batch, device);
        // The loss of a batch is a mean over class weights, and so is the loss of all images.
        let weight: f64 = images.iter().map(|&image| self.class_weight(image)).sum();
        let loss = self.cross_entropy(device).forward(logits.clone(), self.targets(images, device));
        tally.loss += weight * scalar(loss)?;
        tally.weight += weight;
        let predicted: Vec<i64> = logits.argmax(1).into_data_as::<i64>().try_into_vec().map_err(unreadable)?;
        let hit = |(&image, &class): (&usize, &i64)| i64::from(self.labels[image]) == class;
        tally.correct += images.iter().zip(&predicted).filter(|&pair| hit(pair)).count();
        Ok(())
    }

    fn figures(&self, tally: Tally) -> (f64, f64) {
        (tally.loss / tally.weight, tally.correct as f64 / self.division.validation.len() as f64)
    }
}
