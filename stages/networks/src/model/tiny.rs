//! A small trunk of our own for grey images of 64 to 96 pixels; a CPU trains it in seconds.

use burn::nn::Relu;
use burn::tensor::Device;

use super::architecture::Architecture;
use super::conv::conv;
use super::layer::{Layer, conv_relu, max_pool};
use super::sequential::Sequential;
use super::trunk::Trunk;

/// Four convolutions, each with ReLU: 7×7 at stride 4, then 3×3; 2×2 max pooling after the second and the fourth.
pub(super) const TINY: Architecture = Architecture {
    name: "tiny",
    channels: 1,
    features: FEATURES,
    size_min: 16,
    normalisation: None,
    pretrained_head: "head.",
    trunk: |device| trunk(device, [Layer::MaxPool(max_pool(2, 2, false))]),
};

/// [`TINY`] with a convolution in place of the last pooling, as in the modified networks of Kang et al. 2021.
pub(super) const TINY_MODIFIED: Architecture = Architecture {
    name: "tiny-modified",
    trunk: |device| trunk(device, conv_relu([FEATURES, FEATURES], device)),
    ..TINY
};

const FEATURES: usize = 64;

/// The trunk with zero weights, up to its last layers: `[batch, 1, height, width]` to `[batch, 64, height / 16, width /
/// 16]`, modified `/ 8`.
fn trunk(device: &Device, last: impl IntoIterator<Item = Layer>) -> Trunk {
    // A stride of 4 costs a third of stride 2 and pooling, and learned as well on slices of 96 pixels.
    let mut layers = vec![Layer::Conv(conv([1, 32], 7, 4, 3, device)), Layer::Relu(Relu)];
    layers.extend(conv_relu([32, 32], device));
    layers.push(Layer::MaxPool(max_pool(2, 2, false)));
    layers.extend(conv_relu([32, FEATURES], device));
    layers.extend(conv_relu([FEATURES, FEATURES], device));
    layers.extend(last);
    Trunk::Sequential(Sequential::new(layers))
}
