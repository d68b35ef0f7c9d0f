//! Trunks that are plain layers in a row: AlexNet, SqueezeNet, VGG and our own small ones.

use burn::module::Module;
use burn::tensor::Tensor;

use super::layer::{self, Layer};

/// Layers in a row, torchvision's `features`, then the layers that a modified network adds.
#[derive(Module, Debug)]
pub struct Sequential {
    features: Vec<Layer>,
    added: Vec<Layer>,
}

impl Sequential {
    pub(super) fn new(features: Vec<Layer>) -> Self {
        Self { features, added: Vec::new() }
    }

    /// Replaces the last layer, a pooling, as the modified networks of Kang et al. 2021 do.
    pub(super) fn modified(mut self, added: Vec<Layer>) -> Self {
        self.features.pop();
        Self { added, ..self }
    }

    /// Stops the training of the layers that pretrained weights cover.
    pub(super) fn freeze_pretrained(self) -> Self {
        Self { features: self.features.freeze(), added: self.added }
    }

    /// `[batch, channel, height, width]` to the feature map before global average pooling.
    pub(super) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        layer::forward(&self.added, layer::forward(&self.features, images))
    }

    /// The map of every resolution, for a decoder: the input of each pooling, then the output of the last one.
    pub(super) fn maps(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let (mut maps, mut map) = (Vec::new(), images);
        for block in self.features.split_inclusive(|layer| matches!(layer, Layer::MaxPool(_))) {
            match block {
                [layers @ .., Layer::MaxPool(pool)] => {
                    let full = layer::forward(layers, map);
                    map = pool.forward(full.clone());
                    maps.push(full);
                }
                layers => map = layer::forward(layers, map),
            }
        }
        maps.push(map);
        maps
    }
}
