//! Encoders of a U-Net: trunks of classifiers that give their map of every resolution.
//!
//! The choice of maps is that of segmentation_models_pytorch at depth 5.

use std::fmt;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Normalisation, ResNet, ResNetDepth, Vgg, VggDepth};

/// The name of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncoderName {
    /// VGG-16.
    #[serde(rename = "vgg16")]
    Vgg16,
    /// VGG-19.
    #[serde(rename = "vgg19")]
    Vgg19,
    /// VGG-16 with batch normalisation.
    #[serde(rename = "vgg16_bn")]
    Vgg16Bn,
    /// VGG-19 with batch normalisation.
    #[serde(rename = "vgg19_bn")]
    Vgg19Bn,
    /// ResNet-34.
    #[serde(rename = "resnet34")]
    ResNet34,
}

impl EncoderName {
    /// The word after `encoder =`, which is torchvision's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vgg16 => "vgg16",
            Self::Vgg19 => "vgg19",
            Self::Vgg16Bn => "vgg16_bn",
            Self::Vgg19Bn => "vgg19_bn",
            Self::ResNet34 => "resnet34",
        }
    }

    /// How published weights expect grey levels; the same without them.
    pub fn normalisation(self) -> Normalisation {
        Normalisation::image_net()
    }

    /// Channels of [`Encoder::maps`].
    pub(super) fn channels(self) -> [usize; Encoder::MAPS] {
        match self {
            Self::ResNet34 => [64, 64, 128, 256, 512],
            _ => [128, 256, 512, 512, 512],
        }
    }

    /// Whether the decoder has two convolutions before its first block.
    pub(super) fn has_center(self) -> bool {
        !matches!(self, Self::ResNet34)
    }

    /// Whether a tensor of that name in torchvision's state dict, or in weights that `train` gave, is of no encoder.
    pub fn is_head(self, name: &str) -> bool {
        let published = if matches!(self, Self::ResNet34) { "fc." } else { "classifier." };
        name.starts_with("head.") || name.starts_with(published)
    }
}

impl fmt::Display for EncoderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An encoder, by family.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has one")]
pub enum Encoder {
    /// `vgg16`, `vgg19`, `vgg16_bn`, `vgg19_bn`.
    Vgg(Vgg),
    /// `resnet34`.
    ResNet(ResNet),
}

impl Encoder {
    /// Number of [`Encoder::maps`].
    pub const MAPS: usize = 5;

    /// The encoder with zero weights.
    pub fn new(name: EncoderName, device: &Device) -> Self {
        match name {
            EncoderName::Vgg16 => Self::Vgg(Vgg::new(VggDepth::D16, false, device)),
            EncoderName::Vgg19 => Self::Vgg(Vgg::new(VggDepth::D19, false, device)),
            EncoderName::Vgg16Bn => Self::Vgg(Vgg::new(VggDepth::D16, true, device)),
            EncoderName::Vgg19Bn => Self::Vgg(Vgg::new(VggDepth::D19, true, device)),
            EncoderName::ResNet34 => Self::ResNet(ResNet::new(ResNetDepth::D34, device)),
        }
    }

    /// The maps at ½, ¼, ⅛, 1⁄16 and 1⁄32 of the size.
    ///
    /// - `images`: `[batch, 3, height, width]`, height and width multiples of 32
    ///
    /// Those of VGG are what the second to the fifth pooling read, and what the fifth gives: the map at full size, which
    /// the first pooling reads, is not used by the decoder.
    pub fn maps(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        match self {
            Self::Vgg(trunk) => trunk.maps(images).split_off(1),
            Self::ResNet(trunk) => trunk.maps(images).to_vec(),
        }
    }
}
