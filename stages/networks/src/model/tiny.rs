//! A small trunk of ours for grey images of 64 to 96 pixels, quick enough to train on a CPU within seconds.

use burn::module::Module;
use burn::nn::Relu;
use burn::tensor::{Device, Tensor};

use super::architecture::Architecture;
use super::classifier::Trunk;
use super::layer::{self, Layer, conv, max_pool};

/// Four convolutions, each with ReLU: 7×7 at stride 4, then 3×3; 2×2 max pooling after the second and the fourth.
pub(super) const TINY: Architecture = Architecture {
    name: "tiny",
    about: "four convolutions for grey images of 64 to 96 pixels; the map is a sixteenth of the image",
    channels: 1,
    features: FEATURES,
    size_min: 16,
    normalisation: None,
    published_head: "head.",
    trunk: |device| Trunk::Tiny(Tiny::new(device)),
};

/// [`TINY`] with a convolution in place of the last pooling, as in the modified networks of Kang et al. 2021.
pub(super) const TINY_MODIFIED: Architecture = Architecture {
    name: "tiny-modified",
    about: "tiny with a convolution in place of the last pooling; the map is an eighth of the image",
    channels: 1,
    features: FEATURES,
    size_min: 16,
    normalisation: None,
    published_head: "head.",
    trunk: |device| Trunk::Tiny(Tiny::modified(device)),
};

const FEATURES: usize = 64;

/// The trunk of `tiny` and `tiny-modified`.
#[derive(Module, Debug)]
pub struct Tiny {
    features: Vec<Layer>,
}

impl Tiny {
    /// The trunk of `tiny`, with zero weights.
    pub fn new(device: &Device) -> Self {
        let mut features = common(device);
        features.push(Layer::MaxPool(max_pool(2, 2, false)));
        Self { features }
    }

    /// The trunk of `tiny-modified`, with zero weights.
    pub fn modified(device: &Device) -> Self {
        let mut features = common(device);
        features.push(Layer::Conv(conv([FEATURES, FEATURES], 3, 1, 1, device)));
        features.push(Layer::Relu(Relu));
        Self { features }
    }

    /// The feature map before pooling.
    ///
    /// - `images`: `[batch, 1, height, width]`
    /// - returns: `[batch, 64, height / 16, width / 16]`, where modified `/ 8`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        layer::forward(&self.features, images)
    }
}

fn common(device: &Device) -> Vec<Layer> {
    vec![
        // A stride of 4 at once costs a third of stride 2 and pooling, and learned as well on 96-pixel slices.
        Layer::Conv(conv([1, 32], 7, 4, 3, device)),
        Layer::Relu(Relu),
        Layer::Conv(conv([32, 32], 3, 1, 1, device)),
        Layer::Relu(Relu),
        Layer::MaxPool(max_pool(2, 2, false)),
        Layer::Conv(conv([32, FEATURES], 3, 1, 1, device)),
        Layer::Relu(Relu),
        Layer::Conv(conv([FEATURES, FEATURES], 3, 1, 1, device)),
        Layer::Relu(Relu),
    ]
}
