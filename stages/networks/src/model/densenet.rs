//! DenseNet-121. Source: Huang et al. 2017, arXiv 1608.06993, in torchvision's arrangement and names.

use burn::module::Module;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::tensor::{Device, Tensor};

use super::architecture::{Architecture, IMAGE_NET};
use super::batch_norm::BatchNorm;
use super::conv::{Conv, conv_unbiased};
use super::layer::{MaxPool, max_pool_padded};
use super::trunk::Trunk;

/// DenseNet-121 as in torchvision, 7.0 million weights; 7×7 maps at 224 pixels.
pub(super) const DENSENET121: Architecture = Architecture {
    name: "densenet121",
    features: FEATURES,
    trunk: |device| Trunk::DenseNet(DenseNet::new(device)),
    ..IMAGE_NET
};

const FEATURES: usize = 1024;

/// Channels added by a layer.
const GROWTH: usize = 32;

/// Channels between the two convolutions of a layer.
const BOTTLENECK: usize = 4 * GROWTH;

/// The trunk of DenseNet-121.
#[derive(Module, Debug)]
pub struct DenseNet {
    features: Features,
}

#[derive(Module, Debug)]
struct Features {
    conv0: Conv,
    norm0: BatchNorm,
    pool0: MaxPool,
    denseblock1: Vec<DenseLayer>,
    transition1: Transition,
    denseblock2: Vec<DenseLayer>,
    transition2: Transition,
    denseblock3: Vec<DenseLayer>,
    transition3: Transition,
    denseblock4: Vec<DenseLayer>,
    norm5: BatchNorm,
}

/// Computes [`GROWTH`] channels from all channels before it.
#[derive(Module, Debug)]
struct DenseLayer {
    norm1: BatchNorm,
    conv1: Conv,
    norm2: BatchNorm,
    conv2: Conv,
}

/// Halves the channels and the size.
#[derive(Module, Debug)]
struct Transition {
    norm: BatchNorm,
    conv: Conv,
    pool: AvgPool2d,
}

impl DenseNet {
    /// The trunk with zero weights.
    fn new(device: &Device) -> Self {
        let block = |input: usize, layers: usize| {
            (0..layers).map(|layer| DenseLayer::new(input + layer * GROWTH, device)).collect::<Vec<_>>()
        };
        let features = Features {
            conv0: conv_unbiased([3, 64], 7, 2, 3, device),
            norm0: BatchNorm::new(64, device),
            pool0: max_pool_padded(3, 2, 1),
            denseblock1: block(64, 6),
            transition1: Transition::new(256, device),
            denseblock2: block(128, 12),
            transition2: Transition::new(512, device),
            denseblock3: block(256, 24),
            transition3: Transition::new(1024, device),
            denseblock4: block(512, 16),
            norm5: BatchNorm::new(FEATURES, device),
        };
        Self { features }
    }

    /// The feature map before global average pooling, after the last normalisation and its ReLU.
    ///
    /// - `images`: `[batch, 3, height, width]`
    /// - returns: `[batch, 1024, h, w]`, 7×7 for images of 224×224
    pub(super) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let layers = &self.features;
        let dense = |block: &[DenseLayer], map: Tensor<4>| block.iter().fold(map, |map, layer| layer.forward(map));
        let map = layers.pool0.forward(layers.norm0.forward_relu(layers.conv0.forward(images)));
        let map = layers.transition1.forward(dense(&layers.denseblock1, map));
        let map = layers.transition2.forward(dense(&layers.denseblock2, map));
        let map = layers.transition3.forward(dense(&layers.denseblock3, map));
        layers.norm5.forward_relu(dense(&layers.denseblock4, map))
    }
}

impl DenseLayer {
    fn new(channels: usize, device: &Device) -> Self {
        Self {
            norm1: BatchNorm::new(channels, device),
            conv1: conv_unbiased([channels, BOTTLENECK], 1, 1, 0, device),
            norm2: BatchNorm::new(BOTTLENECK, device),
            conv2: conv_unbiased([BOTTLENECK, GROWTH], 3, 1, 1, device),
        }
    }

    /// Appends [`GROWTH`] channels to the input.
    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let map = self.conv1.forward(self.norm1.forward_relu(input.clone()));
        let map = self.conv2.forward(self.norm2.forward_relu(map));
        Tensor::cat(vec![input, map], 1)
    }
}

impl Transition {
    fn new(channels: usize, device: &Device) -> Self {
        Self {
            norm: BatchNorm::new(channels, device),
            conv: conv_unbiased([channels, channels / 2], 1, 1, 0, device),
            pool: AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.pool.forward(self.conv.forward(self.norm.forward_relu(input)))
    }
}
