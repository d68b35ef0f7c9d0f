//! AlexNet, and the modified one of Kang et al. 2021.
//!
//! Source: Krizhevsky 2014, arXiv 1404.5997, in torchvision's arrangement and names. The modified network follows
//! AlexNet*-GAP of Zhou et al. 2016: two 3×3 convolutions of 512 units, each with ReLU, replace the last pooling.

use burn::nn::Relu;
use burn::tensor::Device;

use super::architecture::{Architecture, IMAGE_NET};
use super::conv::conv;
use super::layer::{Layer, conv_relu, max_pool};
use super::sequential::Sequential;
use super::trunk::Trunk;

/// AlexNet as in torchvision, 2.5 million weights; 6×6 maps at 224 pixels.
pub(super) const ALEXNET: Architecture = Architecture {
    name: "alexnet",
    features: FEATURES,
    size_min: 63,
    trunk: |device| Trunk::Sequential(alexnet(device)),
    ..IMAGE_NET
};

/// AlexNet with two convolutions of 512 in place of the last pooling; 13×13 maps at 224 pixels.
pub(super) const MODIFIED_ALEXNET: Architecture = Architecture {
    name: "modified-alexnet",
    features: ADDED,
    size_min: 31,
    trunk: |device| {
        let added = [conv_relu([FEATURES, ADDED], device), conv_relu([ADDED, ADDED], device)];
        Trunk::Sequential(alexnet(device).modified(added.into_iter().flatten().collect()))
    },
    ..IMAGE_NET
};

const FEATURES: usize = 256;
const ADDED: usize = 512;

/// The trunk with zero weights: `[batch, 3, height, width]` to `[batch, 256, h, w]`, 6×6 for images of 224×224.
fn alexnet(device: &Device) -> Sequential {
    let pool = || Layer::MaxPool(max_pool(3, 2, false));
    let mut layers = vec![Layer::Conv(conv([3, 64], 11, 4, 2, device)), Layer::Relu(Relu), pool()];
    layers.extend([Layer::Conv(conv([64, 192], 5, 1, 2, device)), Layer::Relu(Relu), pool()]);
    for channels in [[192, 384], [384, FEATURES], [FEATURES, FEATURES]] {
        layers.extend(conv_relu(channels, device));
    }
    layers.push(pool());
    Sequential::new(layers)
}
