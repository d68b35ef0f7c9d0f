//! Parameters of `kind = "segment"`, with their defaults and ranges.

use orchestrate_engine::params;
use serde::{Deserialize, Serialize};

use super::loss::Loss;
use crate::model::{EncoderName, Precision};
use crate::training::{Augment, Init, OptimizerKind, Recipe, Schedule, check, epochs, momentum};

/// Parameters of `kind = "segment"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The encoder of the U-Net: `"vgg16"`, `"vgg19"`, `"vgg16_bn"`, `"vgg19_bn"` or `"resnet34"`.
    pub encoder: EncoderName,
    /// The fold whose images are left out, from 1; the loss and IoU of the curve are theirs.
    pub fold: u32,
    /// Passes over the training images, at least 1; default 10.
    #[serde(default = "epochs")]
    pub epochs: u32,
    /// Images per step, at least 1; default 8. The last batch of an epoch may be smaller.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// `"adam"` (default), `"adamw"` or `"sgd"`.
    #[serde(default)]
    pub optimizer: OptimizerKind,
    /// Learning rate of the first epoch, above 0; default 0.0001.
    #[serde(default = "learning_rate")]
    pub learning_rate: f64,
    /// Momentum of `"sgd"`, 0 ≤ m < 1; default 0.9. The others have β₁ = 0.9, β₂ = 0.999, ε = 1e-8, as in PyTorch.
    #[serde(default = "momentum")]
    pub momentum: f64,
    /// Weight decay of all tensors, at least 0; default 0. Decoupled in `"adamw"`, an L2 penalty in the others.
    #[serde(default)]
    pub weight_decay: f64,
    /// The learning rate of each epoch: `"constant"` (default), `"cosine"` (to 0 after the last
    /// epoch), or `{ step = { every = 10, factor = 0.1 } }`.
    #[serde(default)]
    pub schedule: Schedule,
    /// `"dice"` (default, as in the paper), `"bce"` or `"dice+bce"`.
    #[serde(default)]
    pub loss: Loss,
    /// Random changes of training images and, alike, of their masks; default none.
    #[serde(default)]
    pub augment: Augment,
    /// The part that is not trained: `"none"` (default), or `"encoder"`, which needs `init.weights`. Its batch
    /// normalisation then uses its running statistics and does not update them.
    #[serde(default)]
    pub freeze: Freeze,
    /// The source of weights: torchvision's state dict for the encoder, weights by `train`, or a whole U-Net of
    /// segmentation_models_pytorch; default: drawn at random.
    #[serde(default)]
    pub init: Init,
    /// The type of the numbers: `"f32"`, which the running statistics of batch normalisation need.
    #[serde(default)]
    pub precision: Precision,
    /// Seed of weights, order of images and augmentation.
    #[serde(default)]
    pub seed: u64,
}

fn batch_size() -> usize {
    8
}

fn learning_rate() -> f64 {
    0.0001
}

/// The part of a U-Net that is not trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freeze {
    /// Everything is trained.
    #[default]
    None,
    /// The encoder stays as it was; decoder and head are trained.
    Encoder,
}

impl Params {
    pub(super) fn recipe(&self) -> Recipe {
        let Self { fold, epochs, batch_size, optimizer, learning_rate, momentum, weight_decay, schedule, .. } = *self;
        Recipe { fold, epochs, batch_size, optimizer, learning_rate, momentum, weight_decay, schedule }
    }
}

impl params::Params for Params {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = self.recipe().problems();
        check(
            &mut problems,
            "freeze",
            self.freeze == Freeze::None || self.init.weights.is_some(),
            "= \"encoder\" needs `init = { weights = \"…\" }`: an encoder of random weights would stay random",
        );
        check(
            &mut problems,
            "precision",
            self.precision == Precision::F32,
            "must be \"f32\": a U-Net has batch normalisation, whose running statistics need it",
        );
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orchestrate_engine::params::Params as _;

    fn params(toml: &str) -> Result<Params, String> {
        toml::from_str(&format!("encoder = \"vgg16\"\nfold = 1\n{toml}")).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn every_form_of_every_param_is_read_and_written_back() {
        let text =
            "loss = \"dice+bce\"\nfreeze = \"encoder\"\ninit = { weights = \"/w.pth\" }\naugment = { flip = \"both\" }";
        let params = params(text).expect("all of it is valid");
        assert_eq!((params.loss, params.problems()), (Loss::DiceBce, Vec::new()));
        let json = serde_json::to_value(&params).expect("params have a JSON form");
        assert_eq!((&json["loss"], &json["encoder"]), (&"dice+bce".into(), &"vgg16".into()));
        assert_eq!(serde_json::from_value::<Params>(json).expect("it was just written"), params);
    }

    #[test]
    fn wrong_values_are_answered_with_a_sentence() {
        let table = [
            ("epochs = 0", "epochs must be at least 1"),
            ("learning_rate = -0.1", "learning_rate must be a number above 0"),
            ("freeze = \"encoder\"", "freeze = \"encoder\" needs `init"),
            ("precision = \"bf16\"", "precision must be \"f32\": a U-Net has batch normalisation"),
        ];
        for (toml, expected) in table {
            let problems = params(toml).expect("the type is right").problems();
            assert!(problems.len() == 1 && problems[0].1.starts_with(expected), "{toml}: {problems:?}");
        }
        let error = params("loss = \"iou\"").expect_err("there is no such loss");
        assert!(error.starts_with("unknown variant `iou`, expected one of `dice`, `bce`, `dice+bce`"), "{error}");
        let error = toml::from_str::<Params>("encoder = \"alexnet\"\nfold = 1").expect_err("no encoder");
        assert!(error.message().contains("expected one of `vgg16`, `vgg19`, `vgg16_bn`, `vgg19_bn`, `resnet34`"));
    }
}
