//! The speed of a device: steps of training, class activation maps and masks, with random weights on random images.

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use orchestrate_engine::stage::StageError;
use orchestrate_stages::random::Seed;

use crate::cam::class_activation_map;
use crate::model::{Classifier, EncoderName, ModelName, Precision, Unet, numbers, pool, scalar};
use crate::segment::Loss;
use crate::training::{OptimizerKind, optimizer};

/// Classes, as in Cheng's data set.
const CLASSES: usize = 3;

/// The name of the U-Net.
const UNET: &str = "unet-vgg16";

/// A network whose speed is measured.
#[derive(Clone, Copy, Debug)]
pub enum Network {
    /// A classifier.
    Classifier(ModelName),
    /// The U-Net with the encoder `vgg16`.
    Unet,
}

impl Network {
    /// Finds a network by its name; the error lists the names of classifiers.
    pub fn new(name: &str) -> Result<Self, String> {
        if name == UNET {
            return Ok(Self::Unet);
        }
        ModelName::new(name).map(Self::Classifier).map_err(|error| format!("{error}; or `{UNET}`"))
    }

    fn channels(self) -> usize {
        match self {
            Self::Classifier(model) => model.architecture().channels,
            Self::Unet => 3,
        }
    }
}

/// The work of one step.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The network.
    pub network: Network,
    /// Height and width of the images in pixels.
    pub size: usize,
    /// Images in a batch.
    pub batch: usize,
    /// The type of the numbers in the trunk of a classifier.
    pub precision: Precision,
}

/// One step; it returns a number that follows from all that it computes.
pub type Step = Box<dyn FnMut() -> Result<f64, StageError>>;

impl Load {
    /// A usual load of a network in f32: 8 images of 224 pixels, or 32 of 96 for networks of grey images.
    pub fn usual(network: Network) -> Self {
        let (size, batch) = if network.channels() == 1 { (96, 32) } else { (224, 8) };
        Self { network, size, batch, precision: Precision::F32 }
    }

    /// Returns a step of training: forward, backward, and a step of Adam.
    pub fn training(self, device: &Device) -> Result<Step, StageError> {
        let device = device.clone().autodiff();
        let images = self.images(self.network.channels());
        match self.network {
            Network::Classifier(model) => {
                let loss = CrossEntropyLossConfig::new().init(&device);
                let labels: Vec<i64> = self.labels().into_iter().map(i64::from).collect();
                Ok(fit(self.classifier(model, &device)?, move |classifier| {
                    let labels = TensorData::new(labels.clone(), [self.batch]);
                    let logits = classifier.logits(Tensor::from_data(images.clone(), &device));
                    loss.forward(logits, Tensor::<1, Int>::from_data(labels, &device))
                }))
            }
            Network::Unet => {
                let masks = Tensor::<4>::from_data(self.images(1), &device).greater_elem(0.0).float();
                Ok(fit(Unet::drawn(EncoderName::Vgg16, &seed(), &device), move |unet| {
                    Loss::Dice.forward(unet.logits(Tensor::from_data(images.clone(), &device)), masks.clone())
                }))
            }
        }
    }

    /// Returns a step of inference: class activation maps with the probabilities of the classes, or logits of masks.
    pub fn inference(self, device: &Device) -> Result<Step, StageError> {
        let device = device.clone();
        let images = self.images(self.network.channels());
        match self.network {
            Network::Classifier(model) => {
                let (classifier, classes) = (self.classifier(model, &device)?, self.labels());
                Ok(Box::new(move || {
                    let features = classifier.features(Tensor::from_data(images.clone(), &device));
                    let logits = classifier.head().forward(pool(features.clone()));
                    let probability = scalar(softmax(logits, 1).max())?;
                    let maps = class_activation_map(features, classifier.head().class_weights(), &classes);
                    Ok(probability + f64::from(numbers(maps)?[0]))
                }))
            }
            Network::Unet => {
                let unet = Unet::drawn(EncoderName::Vgg16, &seed(), &device);
                Ok(Box::new(move || {
                    let logits = unet.logits(Tensor::from_data(images.clone(), &device));
                    Ok(f64::from(numbers(logits)?[0]))
                }))
            }
        }
    }

    /// Returns the images a second of a step. It is done twice before time is taken, as kernels are compiled then, and
    /// at least twice meanwhile.
    pub fn rate(&self, mut step: Step, at_least: Duration) -> Result<f64, StageError> {
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

    fn classifier(&self, model: ModelName, device: &Device) -> Result<Classifier, StageError> {
        let classifier = Classifier::drawn(model, CLASSES, &seed(), device);
        self.precision.check(device, classifier.tensors().keys())?;
        Ok(classifier.with_precision(self.precision))
    }

    /// Draws images `[batch, channel, size, size]`, uniform from −1 to 1.
    fn images(&self, channels: usize) -> TensorData {
        let mut generator = seed().generator("images", "");
        let shape = [self.batch, channels, self.size, self.size];
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| (2.0 * generator.unit() - 1.0) as f32).collect();
        TensorData::new(values, shape)
    }

    fn labels(&self) -> Vec<u32> {
        (0..self.batch).map(|image| (image % CLASSES) as u32).collect()
    }
}

/// Returns a step of Adam on the loss of a batch.
fn fit<M: Module + 'static>(network: M, loss: impl Fn(&M) -> Tensor<1> + 'static) -> Step {
    let mut optimizer = optimizer::optimizer(OptimizerKind::Adam, 0.0, 0.0);
    let mut network = network;
    Box::new(move || {
        let loss = loss(&network);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(1e-4, network.clone(), gradients);
        scalar(loss)
    })
}

fn seed() -> Seed {
    Seed::new("speed", 0, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{CPU, device};

    #[test]
    fn speed_is_a_number_of_images_a_second() {
        let device = device(CPU).unwrap();
        for name in ["tiny", UNET] {
            let load = Load { size: 32, batch: 2, ..Load::usual(Network::new(name).unwrap()) };
            for step in [load.training(&device), load.inference(&device)] {
                assert!(load.rate(step.unwrap(), Duration::ZERO).unwrap() > 0.0, "{name}");
            }
        }
        let half = Load { precision: Precision::F16, ..Load::usual(Network::new("resnet50").unwrap()) };
        assert!(half.inference(&device).is_err(), "batch normalisation");
        assert!(Network::new("vgg").unwrap_err().ends_with("; or `unet-vgg16`"));
    }
}
