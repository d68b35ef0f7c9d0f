//! The speed of a device: training, and class activation maps, with random weights on random images.

use std::time::{Duration, Instant};

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use orchestrate_convolution::Adam;
use orchestrate_engine::stage::StageError;
use orchestrate_stages::random::Seed;

use crate::cam::class_activation_map;
use crate::model::{Classifier, ModelName, Precision, numbers, pool, scalar};

/// Classes, as in Cheng's data set.
const CLASSES: usize = 3;

/// The work of one step.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The network.
    pub model: ModelName,
    /// Height and width of the images in pixels.
    pub size: usize,
    /// Images in a batch.
    pub batch: usize,
    /// The type of the numbers in the trunk.
    pub precision: Precision,
}

impl Load {
    /// A usual load of a network in f32: 8 images of 224 pixels, or 32 of 96 for networks of grey images.
    pub fn usual(model: ModelName) -> Self {
        let (size, batch) = if model.architecture().channels == 1 { (96, 32) } else { (224, 8) };
        Self { model, size, batch, precision: Precision::F32 }
    }

    /// Returns the images a second of training steps: forward, backward, and a step of Adam. Kernels are compiled
    /// before time is taken; at least two steps take it.
    pub fn training(&self, device: &Device, at_least: Duration) -> Result<f64, StageError> {
        let device = device.clone().autodiff();
        let mut classifier = self.classifier(&device)?;
        let mut optimizer = ModuleOptimizer::from(Adam::new(1e-8, 0.0));
        let loss = CrossEntropyLossConfig::new().init(&device);
        let (images, labels) = (self.images(), self.labels());
        self.rate(at_least, || {
            let targets = Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [self.batch]), &device);
            let loss = loss.forward(classifier.logits(Tensor::from_data(images.clone(), &device)), targets);
            let gradients = GradientsParams::from_grads(loss.backward(), &classifier);
            classifier = optimizer.step(1e-4, classifier.clone(), gradients);
            scalar(loss)
        })
    }

    /// Returns the class activation maps a second, with the probabilities of the classes.
    pub fn maps(&self, device: &Device, at_least: Duration) -> Result<f64, StageError> {
        let classifier = self.classifier(device)?;
        let (images, labels) = (self.images(), self.labels());
        let classes: Vec<u32> = labels.iter().map(|label| *label as u32).collect();
        self.rate(at_least, || {
            let features = classifier.features(Tensor::from_data(images.clone(), device));
            let logits = classifier.head().forward(pool(features.clone()));
            let probability = scalar(softmax(logits, 1).max())?;
            let maps = numbers(class_activation_map(features, classifier.head().class_weights(), &classes))?;
            Ok(probability + f64::from(maps[0]))
        })
    }

    fn classifier(&self, device: &Device) -> Result<Classifier, StageError> {
        let classifier = Classifier::drawn(self.model, CLASSES, &Seed::new("speed", 0, &[]), device);
        self.precision.check(device, classifier.tensors().keys())?;
        Ok(classifier.with_precision(self.precision))
    }

    /// Draws images `[batch, channel, size, size]`, uniform from −1 to 1.
    fn images(&self) -> TensorData {
        let mut generator = Seed::new("speed", 0, &[]).generator("images", "");
        let shape = [self.batch, self.model.architecture().channels, self.size, self.size];
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| (2.0 * generator.unit() - 1.0) as f32).collect();
        TensorData::new(values, shape)
    }

    fn labels(&self) -> Vec<i64> {
        (0..self.batch).map(|image| (image % CLASSES) as i64).collect()
    }

    fn rate(&self, at_least: Duration, mut step: impl FnMut() -> Result<f64, StageError>) -> Result<f64, StageError> {
        let mut checked = || match step()? {
            result if result.is_finite() => Ok(()),
            result => Err(StageError::new(format!("the network gave {result}"))),
        };
        for _ in 0..2 {
            checked()?;
        }
        let (began, mut steps) = (Instant::now(), 0);
        while steps < 2 || began.elapsed() < at_least {
            checked()?;
            steps += 1;
        }
        Ok((steps * self.batch) as f64 / began.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{CPU, device};

    #[test]
    fn speed_is_a_number_of_images_a_second() {
        let load = Load { size: 32, batch: 2, ..Load::usual(ModelName::new("tiny").unwrap()) };
        let device = device(CPU).unwrap();
        for rate in [load.training(&device, Duration::ZERO), load.maps(&device, Duration::ZERO)] {
            assert!(rate.unwrap() > 0.0);
        }
        let half = Load { model: ModelName::new("resnet18").unwrap(), precision: Precision::F16, ..load };
        assert!(half.maps(&device, Duration::ZERO).is_err(), "batch normalisation");
    }
}
