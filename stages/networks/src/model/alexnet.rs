//! AlexNet, and the modified one of Kang et al. 2021.
//!
//! Source: Krizhevsky 2014, arXiv 1404.5997, in torchvision's arrangement and names. The modified network follows AlexNet*-GAP of
//! Zhou et al. 2016: without the last pooling, with two 3×3 convolutions of 512 units (each with ReLU) in its place.

use burn::module::Module;
use burn::nn::Relu;
use burn::tensor::{Device, Tensor};

use super::architecture::Architecture;
use super::classifier::Trunk;
use super::input::Normalisation;
use super::layer::{self, Layer, conv, max_pool};

/// AlexNet's trunk with this project's head.
pub(super) const ALEXNET: Architecture = Architecture {
    name: "alexnet",
    about: "AlexNet as in torchvision, 2.5 million weights; 6×6 maps at 224 pixels",
    channels: 3,
    features: FEATURES,
    size_min: 63,
    normalisation: Some(Normalisation::image_net),
    published_head: "classifier.",
    trunk: |device| Trunk::AlexNet(AlexNet::new(device)),
};

/// [`ALEXNET`] with two convolutions in place of the last pooling.
pub(super) const MODIFIED_ALEXNET: Architecture = Architecture {
    name: "modified-alexnet",
    about: "AlexNet with two convolutions of 512 in place of the last pooling; 13×13 maps at 224 pixels",
    features: ADDED,
    size_min: 31,
    trunk: |device| Trunk::AlexNet(AlexNet::modified(device)),
    ..ALEXNET
};

const FEATURES: usize = 256;
const ADDED: usize = 512;

/// The trunk of AlexNet, torchvision's `features`, and what the modified network adds to it.
#[derive(Module, Debug)]
pub struct AlexNet {
    features: Vec<Layer>,
    added: Vec<Layer>,
}

impl AlexNet {
    /// The trunk with zero weights.
    pub fn new(device: &Device) -> Self {
        let features = vec![
            Layer::Conv(conv([3, 64], 11, 4, 2, device)),
            Layer::Relu(Relu),
            Layer::MaxPool(max_pool(3, 2, false)),
            Layer::Conv(conv([64, 192], 5, 1, 2, device)),
            Layer::Relu(Relu),
            Layer::MaxPool(max_pool(3, 2, false)),
            Layer::Conv(conv([192, 384], 3, 1, 1, device)),
            Layer::Relu(Relu),
            Layer::Conv(conv([384, FEATURES], 3, 1, 1, device)),
            Layer::Relu(Relu),
            Layer::Conv(conv([FEATURES, FEATURES], 3, 1, 1, device)),
            Layer::Relu(Relu),
            Layer::MaxPool(max_pool(3, 2, false)),
        ];
        Self { features, added: Vec::new() }
    }

    /// The trunk of the modified network, with zero weights.
    pub fn modified(device: &Device) -> Self {
        let Self { mut features, .. } = Self::new(device);
        features.pop();
        let added = vec![
            Layer::Conv(conv([FEATURES, ADDED], 3, 1, 1, device)),
            Layer::Relu(Relu),
            Layer::Conv(conv([ADDED, ADDED], 3, 1, 1, device)),
            Layer::Relu(Relu),
        ];
        Self { features, added }
    }

    /// Stops from being trained what a published file has.
    pub fn freeze_published(self) -> Self {
        Self { features: self.features.freeze(), added: self.added }
    }

    /// The feature map before global average pooling.
    ///
    /// - `images`: `[batch, 3, height, width]`
    /// - returns: `[batch, 256, h, w]`, 6×6 for images of 224×224; modified `[batch, 512, h, w]`, 13×13
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        layer::forward(&self.added, layer::forward(&self.features, images))
    }
}
