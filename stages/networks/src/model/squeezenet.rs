//! SqueezeNet 1.1. Source: Iandola et al. 2016, arXiv 1602.07360, in torchvision's arrangement and names.

use burn::module::Module;
use burn::nn::Relu;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::architecture::Architecture;
use super::classifier::Trunk;
use super::head::pool;
use super::input::Normalisation;
use super::layer::{Conv, Layer, conv, max_pool};
use super::tensors::{self, Tensors};

/// SqueezeNet 1.1 with this project's head: trunk, global average pooling, linear layer.
pub(super) const SQUEEZENET1_1: Architecture = Architecture {
    name: "squeezenet1_1",
    about: "SqueezeNet 1.1 as in torchvision, 1.2 million weights; 13×13 maps at 224 pixels",
    channels: 3,
    features: FEATURES,
    size_min: 32,
    normalisation: Some(Normalisation::image_net),
    published_head: "classifier.",
    trunk: |device| Trunk::SqueezeNet(SqueezeNet::new(device)),
};

const FEATURES: usize = 512;

/// The trunk of SqueezeNet 1.1, torchvision's `features`.
#[derive(Module, Debug)]
pub struct SqueezeNet {
    features: Vec<Block>,
}

#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has a dozen of them")]
enum Block {
    Plain(Layer),
    Fire(Fire),
}

/// Squeezes the channels by a 1×1 convolution, then expands them by 1×1 and 3×3 ones side by side.
#[derive(Module, Debug)]
struct Fire {
    squeeze: Conv,
    expand1x1: Conv,
    expand3x3: Conv,
}

impl SqueezeNet {
    /// The trunk with zero weights.
    pub fn new(device: &Device) -> Self {
        let fire = |input, squeezed, expanded| Block::Fire(Fire::new(input, squeezed, expanded, device));
        let pool = || Block::Plain(Layer::MaxPool(max_pool(3, 2, true)));
        let features = vec![
            Block::Plain(Layer::Conv(conv([3, 64], 3, 2, 0, device))),
            Block::Plain(Layer::Relu(Relu)),
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
        ];
        Self { features }
    }

    /// The feature map after the last fire module.
    ///
    /// - `images`: `[batch, 3, height, width]`
    /// - returns: `[batch, 512, h, w]`, 13×13 for images of 224×224
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let (mut blocks, mut map) = (self.features.as_slice(), images);
        loop {
            (map, blocks) = match blocks {
                [] => return map,
                [Block::Plain(Layer::Conv(conv)), Block::Plain(Layer::Relu(_)), rest @ ..] => {
                    (conv.forward_relu(map), rest)
                }
                [Block::Plain(layer), rest @ ..] => (layer.forward(map), rest),
                [Block::Fire(fire), rest @ ..] => (fire.forward(map), rest),
            };
        }
    }
}

impl Fire {
    fn new(input: usize, squeezed: usize, expanded: usize, device: &Device) -> Self {
        Self {
            squeeze: conv([input, squeezed], 1, 1, 0, device),
            expand1x1: conv([squeezed, expanded], 1, 1, 0, device),
            expand3x3: conv([squeezed, expanded], 3, 1, 1, device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let squeezed = self.squeeze.forward_relu(input);
        let point = self.expand1x1.forward_relu(squeezed.clone());
        let square = self.expand3x3.forward_relu(squeezed);
        Tensor::cat(vec![point, square], 1)
    }
}

/// SqueezeNet 1.1 with torchvision's own head: 1×1 convolution to 1,000 classes, ReLU, global average pooling.
///
/// The ReLU before the pooling breaks Eq. 1–2 of Kang et al. 2021, so this head is for ImageNet's classes and for checks
/// against torchvision; classifiers that are trained here have a [`super::Head`].
#[derive(Module, Debug)]
pub struct SqueezeNet1000 {
    trunk: SqueezeNet,
    classifier: Conv,
}

impl SqueezeNet1000 {
    /// Builds it from a full state dict under torchvision's names; the error names every tensor that does not fit.
    pub fn from_state_dict(tensors: &Tensors, device: &Device) -> Result<Self, String> {
        let network = Self { trunk: SqueezeNet::new(device), classifier: conv([FEATURES, 1000], 1, 1, 0, device) };
        // torchvision's classifier is dropout, convolution, ReLU, pooling; only the second has tensors.
        let renamed =
            tensors.iter().map(|(name, values)| (name.replace("classifier.1.", "classifier."), values.clone()));
        tensors::load(network, &renamed.collect(), |_| false, |_| false)
    }

    /// The trunk.
    pub fn trunk(&self) -> &SqueezeNet {
        &self.trunk
    }

    /// The map of each class before the last ReLU, bias included, `[batch, 1000, h, w]`, from the trunk's features.
    pub fn class_map(&self, features: Tensor<4>) -> Tensor<4> {
        self.classifier.forward(features)
    }

    /// Class scores before softmax, `[batch, 1000]`, from the trunk's features.
    pub fn logits(&self, features: Tensor<4>) -> Tensor<2> {
        pool(relu(self.class_map(features)))
    }
}
