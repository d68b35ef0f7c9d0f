//! SqueezeNet 1.1. Source: Iandola et al. 2016, arXiv 1602.07360, in torchvision's arrangement and names.

use burn::nn::Relu;
use burn::tensor::Device;

use super::architecture::{Architecture, IMAGE_NET};
use super::conv::conv;
use super::fire::Fire;
use super::layer::{Layer, max_pool};
use super::sequential::Sequential;
use super::trunk::Trunk;

/// SqueezeNet 1.1: trunk, global average pooling and, in place of torchvision's head, one linear layer.
///
/// torchvision has a ReLU before the pooling, which breaks Eq. 1–2 of Kang et al. 2021.
pub(super) const SQUEEZENET1_1: Architecture =
    Architecture { name: "squeezenet1_1", trunk: |device| Trunk::Sequential(squeezenet(device)), ..IMAGE_NET };

/// The trunk with zero weights: `[batch, 3, height, width]` to `[batch, 512, h, w]`, 13×13 for images of 224×224.
pub(super) fn squeezenet(device: &Device) -> Sequential {
    let fire = |input, squeezed, expanded| Layer::Fire(Fire::new(input, squeezed, expanded, device));
    let pool = || Layer::MaxPool(max_pool(3, 2, true));
    Sequential::new(vec![
        Layer::Conv(conv([3, 64], 3, 2, 0, device)),
        Layer::Relu(Relu),
        pool(),
        fire(64, 16, 64),
        fire(128, 16, 64),
        pool(),
        fire(128, 32, 128),
        fire(256, 32, 128),
        pool(),
        fire(256, 48, 192),
        fire(384, 48, 192),
        fire(384, 64, 256),
        fire(512, 64, 256),
    ])
}
