//! The cards of classifiers and of U-Nets.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::architecture::{Architecture, ModelName};
use super::classifier::Classifier;
use super::encoder::EncoderName;
use super::input::Normalisation;
use super::precision::Precision;
use super::state_dict::StateDict;
use super::tensors::Tensors;
use super::unet::Unet;
use super::weights::{Card, Training};

/// The settings of a classifier beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// Its architecture.
    pub model: ModelName,
    /// Names of classes, in the order of the network's scores.
    pub classes: Vec<String>,
    /// Height of an input image, in pixels.
    pub height: usize,
    /// Width of an input image, in pixels.
    pub width: usize,
    /// The normalisation of grey levels, one entry per channel.
    pub normalisation: Normalisation,
    /// The fold that it has not seen, from 1.
    pub fold: u32,
    /// The seed of its training.
    pub seed: u64,
    /// The type in which its trunk was trained; its tensors are f32.
    pub precision: Precision,
    /// The trunk's weights before the first epoch.
    pub init: InitialWeights,
}

/// The settings of a U-Net beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetCard {
    /// Its encoder.
    pub encoder: EncoderName,
    /// Height of an image of its training, in pixels.
    pub height: usize,
    /// Width of an image of its training, in pixels.
    pub width: usize,
    /// The normalisation of grey levels, one entry per channel.
    pub normalisation: Normalisation,
    /// The fold that it has not seen, from 1.
    pub fold: u32,
    /// The seed of its training.
    pub seed: u64,
    /// The type in which it was trained.
    pub precision: Precision,
    /// The encoder's weights before the first epoch.
    pub init: InitialWeights,
}

/// Weights before the first epoch of a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitialWeights {
    /// Drawn at random.
    Random,
    /// Read from a file; layers that a modified network adds may have been drawn.
    #[serde(rename = "published")]
    Pretrained,
}

impl InitialWeights {
    pub(crate) fn of(pretrained: Option<&StateDict>) -> Self {
        if pretrained.is_some() { Self::Pretrained } else { Self::Random }
    }
}

impl Card for ModelCard {
    type Network = Classifier;
    const FILE: &'static str = "model.json";
    const ABOUT: &'static str = "JSON with `model`, `classes`, `height` and `width` of an image in pixels, \
                                 `normalisation` (mean and sd a channel), `fold`, `seed`, `precision`, `init`.";
    const NETWORK: &'static str = "model";
    const STAGES: [&'static str; 2] = ["train", "cam"];
    const RESULTS: &'static str = "maps";
    const OTHER_KIND: &'static str = "they are those of a U-Net, which has no class activation map; connect a stage of \
                                      kind `train`, or read the masks of the U-Net with `predict-masks`";

    fn architecture(&self) -> &'static Architecture {
        self.model.architecture()
    }

    fn training(&self) -> Training<'_> {
        let Self { height, width, ref normalisation, fold, seed, .. } = *self;
        Training { height, width, normalisation, fold, seed }
    }

    fn build(&self, tensors: &Tensors, device: &Device) -> Result<Classifier, String> {
        Classifier::from_tensors(self.model, self.classes.len(), tensors, device)
    }

    fn drawn(&self, device: &Device) -> Classifier {
        Classifier::drawn(self.model, self.classes.len(), &self.streams(), device)
    }

    fn with_pretrained(&self, drawn: Classifier, tensors: &Tensors) -> Result<Classifier, String> {
        drawn.with_trunk(self.model, tensors)
    }
}

impl Card for UnetCard {
    type Network = Unet;
    const FILE: &'static str = "unet.json";
    const ABOUT: &'static str = "JSON with `encoder`, `height` and `width` of an image in pixels, `normalisation` \
                                 (mean and sd a channel), `fold`, `seed`, `precision`, `init`.";
    const NETWORK: &'static str = "a U-Net with encoder";
    const STAGES: [&'static str; 2] = ["segment", "predict-masks"];
    const RESULTS: &'static str = "masks";
    const OTHER_KIND: &'static str =
        "they are those of a classifier, which predicts no masks; connect a stage of kind `segment`";

    fn architecture(&self) -> &'static Architecture {
        self.encoder.architecture()
    }

    fn training(&self) -> Training<'_> {
        let Self { height, width, ref normalisation, fold, seed, .. } = *self;
        Training { height, width, normalisation, fold, seed }
    }

    fn build(&self, tensors: &Tensors, device: &Device) -> Result<Unet, String> {
        Unet::from_tensors(self.encoder, tensors, device)
    }

    fn drawn(&self, device: &Device) -> Unet {
        Unet::drawn(self.encoder, &self.streams(), device)
    }

    fn with_pretrained(&self, drawn: Unet, tensors: &Tensors) -> Result<Unet, String> {
        drawn.with_pretrained(self.encoder, tensors)
    }
}
