//! The convolutional part of a network.

use burn::module::Module;
use burn::tensor::Tensor;

use super::densenet::DenseNet;
use super::resnet::ResNet;
use super::sequential::Sequential;

/// A trunk, by its structure.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has one")]
pub enum Trunk {
    /// AlexNet, SqueezeNet, VGG and `tiny`, modified ones too.
    Sequential(Sequential),
    /// `resnet18`, `resnet34` and `resnet50`.
    ResNet(ResNet),
    /// `densenet121`.
    DenseNet(DenseNet),
}

impl Trunk {
    /// The feature map before global average pooling.
    ///
    /// - `images`: `[batch, channel, height, width]`
    /// - returns: `[batch, feature, h, w]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Sequential(trunk) => trunk.forward(images),
            Self::ResNet(trunk) => trunk.forward(images),
            Self::DenseNet(trunk) => trunk.forward(images),
        }
    }

    /// The maps at ½, ¼, ⅛, 1⁄16 and 1⁄32 of the size, for a decoder.
    ///
    /// - `images`: `[batch, 3, height, width]`, height and width multiples of 32
    ///
    /// Those of VGG are the inputs of the second to the fifth pooling, and the output of the fifth. The decoder does
    /// not use the input of the first pooling, at full size.
    pub(super) fn maps(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        match self {
            Self::Sequential(trunk) => trunk.maps(images).split_off(1),
            Self::ResNet(trunk) => trunk.maps(images).to_vec(),
            Self::DenseNet(_) => unreachable!("BUG: no encoder is a DenseNet"),
        }
    }

    /// Freezes all but the layers that a modified network adds.
    pub(super) fn freeze_pretrained(self) -> Self {
        match self {
            Self::Sequential(trunk) => Self::Sequential(trunk.freeze_pretrained()),
            other => other.freeze(),
        }
    }
}
