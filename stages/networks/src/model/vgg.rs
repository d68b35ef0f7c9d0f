//! VGG of 16 and 19 layers, with and without batch normalisation, and the modified ones of Kang et al. 2021.
//!
//! Source: Simonyan and Zisserman 2015, arXiv 1409.1556, in torchvision's arrangement and names. The modified networks follow
//! VGGnet-GAP of Zhou et al. 2016: without the last pooling, with one 3×3 convolution of 1,024 units (and ReLU) in its place.

use burn::module::Module;
use burn::nn::Relu;
use burn::tensor::{Device, Tensor};

use super::architecture::Architecture;
use super::batch_norm::BatchNorm;
use super::classifier::Trunk;
use super::input::Normalisation;
use super::layer::{self, Layer, conv, max_pool};

pub(super) const VGG16: Architecture = Architecture {
    name: "vgg16",
    about: "VGG-16 as in torchvision, 14.7 million weights; 7×7 maps at 224 pixels",
    trunk: |device| Trunk::Vgg(Vgg::new(Depth::D16, false, device)),
    ..PLAIN
};

pub(super) const VGG19: Architecture = Architecture {
    name: "vgg19",
    about: "VGG-19 as in torchvision, 20.0 million weights; 7×7 maps at 224 pixels",
    trunk: |device| Trunk::Vgg(Vgg::new(Depth::D19, false, device)),
    ..PLAIN
};

pub(super) const VGG16_BN: Architecture = Architecture {
    name: "vgg16_bn",
    about: "VGG-16 with batch normalisation as in torchvision; 7×7 maps at 224 pixels",
    trunk: |device| Trunk::Vgg(Vgg::new(Depth::D16, true, device)),
    ..PLAIN
};

pub(super) const VGG19_BN: Architecture = Architecture {
    name: "vgg19_bn",
    about: "VGG-19 with batch normalisation as in torchvision; 7×7 maps at 224 pixels",
    trunk: |device| Trunk::Vgg(Vgg::new(Depth::D19, true, device)),
    ..PLAIN
};

pub(super) const MODIFIED_VGG16: Architecture = Architecture {
    name: "modified-vgg16",
    about: "VGG-16 with a convolution of 1,024 in place of the last pooling; 14×14 maps at 224 pixels",
    trunk: |device| Trunk::Vgg(Vgg::modified(Depth::D16, device)),
    ..MODIFIED
};

pub(super) const MODIFIED_VGG19: Architecture = Architecture {
    name: "modified-vgg19",
    about: "VGG-19 with a convolution of 1,024 in place of the last pooling; 14×14 maps at 224 pixels",
    trunk: |device| Trunk::Vgg(Vgg::modified(Depth::D19, device)),
    ..MODIFIED
};

const PLAIN: Architecture = Architecture {
    name: "",
    about: "",
    channels: 3,
    features: FEATURES,
    size_min: 32,
    normalisation: Some(Normalisation::image_net),
    published_head: "classifier.",
    trunk: |device| Trunk::Vgg(Vgg::new(Depth::D16, false, device)),
};

const MODIFIED: Architecture = Architecture { features: ADDED, size_min: 16, ..PLAIN };

const FEATURES: usize = 512;
const ADDED: usize = 1024;

/// The number of layers with weights, torchvision's configurations D and E.
#[derive(Clone, Copy, Debug)]
pub enum Depth {
    /// 13 convolutions and, in the original, three linear layers.
    D16,
    /// 16 convolutions and three linear layers.
    D19,
}

impl Depth {
    /// Convolutions between poolings, and their units.
    fn blocks(self) -> [(usize, usize); 5] {
        match self {
            Self::D16 => [(2, 64), (2, 128), (3, 256), (3, FEATURES), (3, FEATURES)],
            Self::D19 => [(2, 64), (2, 128), (4, 256), (4, FEATURES), (4, FEATURES)],
        }
    }
}

/// The trunk of a VGG network, torchvision's `features`, and what a modified network adds to it.
#[derive(Module, Debug)]
pub struct Vgg {
    features: Vec<Layer>,
    added: Vec<Layer>,
}

impl Vgg {
    /// Number of [`Vgg::maps`].
    pub const MAPS: usize = 6;

    /// The trunk with zero weights; `norm` puts batch normalisation after each convolution.
    pub fn new(depth: Depth, norm: bool, device: &Device) -> Self {
        let mut features = Vec::new();
        let mut channels = 3;
        for (convolutions, units) in depth.blocks() {
            for _ in 0..convolutions {
                features.push(Layer::Conv(conv([channels, units], 3, 1, 1, device)));
                if norm {
                    features.push(Layer::Norm(BatchNorm::new(units, device)));
                }
                features.push(Layer::Relu(Relu));
                channels = units;
            }
            features.push(Layer::MaxPool(max_pool(2, 2, false)));
        }
        Self { features, added: Vec::new() }
    }

    /// The trunk of a modified network, with zero weights.
    pub fn modified(depth: Depth, device: &Device) -> Self {
        let Self { mut features, .. } = Self::new(depth, false, device);
        features.pop();
        let added = vec![Layer::Conv(conv([FEATURES, ADDED], 3, 1, 1, device)), Layer::Relu(Relu)];
        Self { features, added }
    }

    /// Stops from being trained what a published file has.
    pub fn freeze_published(self) -> Self {
        Self { features: self.features.freeze(), added: self.added }
    }

    /// The feature map before global average pooling.
    ///
    /// - `images`: `[batch, 3, height, width]`
    /// - returns: `[batch, 512, height / 32, width / 32]`; modified `[batch, 1024, height / 16, width / 16]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        layer::forward(&self.added, layer::forward(&self.features, images))
    }

    /// The map of every resolution, for a decoder: what each pooling reads, and what the last one gives.
    ///
    /// - `images`: `[batch, 3, height, width]`
    /// - returns: 64, 128, 256, 512, 512 and 512 channels, at 1, ½, ¼, ⅛, 1⁄16 and 1⁄32 of the size; where modified, the last is
    ///   absent, and what is added is not used
    pub fn maps(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let mut maps = Vec::with_capacity(Self::MAPS);
        let mut map = images;
        for block in self.features.split_inclusive(|layer| matches!(layer, Layer::MaxPool(_))) {
            match block {
                [layers @ .., Layer::MaxPool(pool)] => {
                    maps.push(layer::forward(layers, map));
                    map = pool.forward(maps[maps.len() - 1].clone());
                }
                layers => map = layer::forward(layers, map),
            }
        }
        maps.push(map);
        maps
    }
}
