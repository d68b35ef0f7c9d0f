//! VGG of 16 and 19 layers, with and without batch normalisation, and the modified ones of Kang et al. 2021.
//!
//! Source: Simonyan and Zisserman 2015, arXiv 1409.1556, in torchvision's arrangement and names. The modified networks
//! follow VGGnet-GAP of Zhou et al. 2016: one 3×3 convolution of 1,024 units, with ReLU, replaces the last pooling.

use burn::nn::Relu;
use burn::tensor::Device;

use super::architecture::{Architecture, IMAGE_NET};
use super::batch_norm::BatchNorm;
use super::conv::conv;
use super::layer::{Layer, conv_relu, max_pool};
use super::sequential::Sequential;
use super::trunk::Trunk;

/// VGG-16 as in torchvision, 14.7 million weights; 7×7 maps at 224 pixels.
pub(super) const VGG16: Architecture =
    Architecture { name: "vgg16", trunk: |device| Trunk::Sequential(vgg(D, false, device)), ..IMAGE_NET };

/// VGG-19 as in torchvision, 20.0 million weights; 7×7 maps at 224 pixels.
pub(super) const VGG19: Architecture =
    Architecture { name: "vgg19", trunk: |device| Trunk::Sequential(vgg(E, false, device)), ..IMAGE_NET };

/// VGG-16 with batch normalisation as in torchvision; 7×7 maps at 224 pixels.
pub(super) const VGG16_BN: Architecture =
    Architecture { name: "vgg16_bn", trunk: |device| Trunk::Sequential(vgg(D, true, device)), ..IMAGE_NET };

/// VGG-19 with batch normalisation as in torchvision; 7×7 maps at 224 pixels.
pub(super) const VGG19_BN: Architecture =
    Architecture { name: "vgg19_bn", trunk: |device| Trunk::Sequential(vgg(E, true, device)), ..IMAGE_NET };

/// VGG-16 with a convolution of 1,024 in place of the last pooling; 14×14 maps at 224 pixels.
pub(super) const MODIFIED_VGG16: Architecture =
    Architecture { name: "modified-vgg16", trunk: |device| modified(D, device), ..MODIFIED };

/// VGG-19 with a convolution of 1,024 in place of the last pooling; 14×14 maps at 224 pixels.
pub(super) const MODIFIED_VGG19: Architecture =
    Architecture { name: "modified-vgg19", trunk: |device| modified(E, device), ..MODIFIED };

const MODIFIED: Architecture = Architecture { features: ADDED, size_min: 16, ..IMAGE_NET };

const FEATURES: usize = 512;
const ADDED: usize = 1024;

/// Convolutions between poolings, and their units.
type Blocks = [(usize, usize); 5];

/// torchvision's configuration D, VGG-16: 13 convolutions and, in the original, three linear layers.
const D: Blocks = [(2, 64), (2, 128), (3, 256), (3, FEATURES), (3, FEATURES)];

/// torchvision's configuration E, VGG-19: 16 convolutions and three linear layers.
const E: Blocks = [(2, 64), (2, 128), (4, 256), (4, FEATURES), (4, FEATURES)];

/// The trunk with zero weights; `norm` puts batch normalisation after each convolution.
///
/// `[batch, 3, height, width]` to `[batch, 512, height / 32, width / 32]`. Its maps have 64, 128, 256, 512, 512 and 512
/// channels.
fn vgg(blocks: Blocks, norm: bool, device: &Device) -> Sequential {
    let mut layers = Vec::new();
    let mut channels = 3;
    for (convolutions, units) in blocks {
        for _ in 0..convolutions {
            layers.push(Layer::Conv(conv([channels, units], 3, 1, 1, device)));
            if norm {
                layers.push(Layer::Norm(BatchNorm::new(units, device)));
            }
            layers.push(Layer::Relu(Relu));
            channels = units;
        }
        layers.push(Layer::MaxPool(max_pool(2, 2, false)));
    }
    Sequential::new(layers)
}

/// The trunk of a modified network, with zero weights: to `[batch, 1024, height / 16, width / 16]`.
fn modified(blocks: Blocks, device: &Device) -> Trunk {
    Trunk::Sequential(vgg(blocks, false, device).modified(conv_relu([FEATURES, ADDED], device).into()))
}
