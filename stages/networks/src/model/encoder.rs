//! Encoders of a U-Net: trunks of classifiers, in the choice of segmentation_models_pytorch at depth 5.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::architecture::{Architecture, ModelName};
use super::input::Normalisation;
use super::{resnet, vgg};

/// The number of maps that an encoder gives to the decoder, each at half the size of the one before.
pub(super) const MAPS: usize = 5;

/// The name of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Returns the classifier whose trunk it is.
    pub(super) fn architecture(self) -> &'static Architecture {
        match self {
            Self::Vgg16 => &vgg::VGG16,
            Self::Vgg19 => &vgg::VGG19,
            Self::Vgg16Bn => &vgg::VGG16_BN,
            Self::Vgg19Bn => &vgg::VGG19_BN,
            Self::ResNet34 => &resnet::RESNET34,
        }
    }

    /// Returns the normalisation that pretrained weights expect; drawn weights use the same.
    pub fn normalisation(self) -> Normalisation {
        Normalisation::image_net()
    }

    /// Returns the channels of each map.
    pub(super) fn channels(self) -> [usize; MAPS] {
        match self {
            Self::ResNet34 => [64, 64, 128, 256, 512],
            _ => [128, 256, 512, 512, 512],
        }
    }

    /// Returns true if the decoder has two convolutions before its first block.
    pub(super) fn has_center(self) -> bool {
        !matches!(self, Self::ResNet34)
    }

    /// Returns true for tensors of torchvision's state dict, or of weights by `train`, that are in no encoder.
    pub fn is_head(self, name: &str) -> bool {
        !ModelName::from(self.architecture()).is_of_trunk(name)
    }
}

impl fmt::Display for EncoderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.architecture().name)
    }
}
