//! Parameters of `kind = "segment"`, with their defaults and ranges.

use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::loss::Loss;
use crate::model::{EncoderName, Precision};
use crate::training::{Augment, Flip, Init, OptimizerKind, RANGES, Recipe, Schedule, check, epochs, momentum};

/// Parameters of `kind = "segment"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The encoder of the U-Net.
    pub encoder: EncoderName,
    /// The fold whose images are left out; the loss and IoU of the curve are theirs.
    #[schemars(example = 1)]
    pub fold: u32,
    /// Passes over the training images.
    #[serde(default = "epochs")]
    #[schemars(example = 20)]
    pub epochs: u32,
    /// Images per step. The last batch of an epoch may be smaller.
    #[serde(default = "batch_size")]
    #[schemars(example = 16)]
    pub batch_size: usize,
    /// The rule that turns gradients into steps.
    #[serde(default)]
    pub optimizer: OptimizerKind,
    /// Learning rate of the first epoch.
    #[serde(default = "learning_rate")]
    #[schemars(example = 0.001)]
    pub learning_rate: f64,
    /// Momentum of `"sgd"`. The others have β₁ = 0.9, β₂ = 0.999, ε = 1e-8, as in PyTorch.
    #[serde(default = "momentum")]
    #[schemars(example = 0.95)]
    pub momentum: f64,
    /// Weight decay of all tensors: decoupled in `"adamw"`, an L2 penalty in the others.
    #[serde(default)]
    #[schemars(example = 0.0001)]
    pub weight_decay: f64,
    /// The learning rate of each epoch.
    #[serde(default)]
    #[schemars(example = Schedule::Step { every: 10, factor: 0.1 })]
    pub schedule: Schedule,
    /// `"dice"` (default, as in the paper), `"bce"` or `"dice+bce"`.
    #[serde(default)]
    pub loss: Loss,
    /// Random changes of training images and, alike, of their masks.
    #[serde(default)]
    #[schemars(example = Augment { flip: Flip::Horizontal, shift: 4 })]
    pub augment: Augment,
    /// The part that is not trained. Frozen batch normalisation uses its running statistics and does not update them.
    #[serde(default)]
    pub freeze: Freeze,
    /// The source of weights: torchvision's state dict for the encoder, weights by `train`, or a whole U-Net of
    /// segmentation_models_pytorch; default: drawn at random.
    #[serde(default)]
    #[schemars(example = Init { weights: Some("weights/vgg16.safetensors".into()) })]
    pub init: Init,
    /// The type of the numbers; only `"f32"`, which the running statistics of batch normalisation need.
    #[serde(default)]
    #[schemars(example = &"f32")]
    pub precision: Precision,
    /// Seed of weights, order of images and augmentation; default that of the experiment.
    #[serde(default)]
    #[schemars(example = 7)]
    pub seed: u64,
}

fn batch_size() -> usize {
    8
}

fn learning_rate() -> f64 {
    0.0001
}

/// The part of a U-Net that is not trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Freeze {
    /// Everything is trained.
    #[default]
    None,
    /// The encoder stays as `init.weights`, which must be set, has it; decoder and head are trained.
    Encoder,
}

impl Params {
    pub(super) fn recipe(&self) -> Recipe {
        let Self { epochs, batch_size, optimizer, learning_rate, momentum, weight_decay, schedule, .. } = *self;
        Recipe { epochs, batch_size, optimizer, learning_rate, momentum, weight_decay, schedule }
    }
}

impl params::Params for Params {
    const RANGES: &'static [(&'static str, Bounds)] = RANGES;

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
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
    use super::super::STAGE;
    use super::*;
    use crate::testing::problems;
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
            ("epochs = 0", "`epochs` must be at least 1, not 0"),
            ("learning_rate = -0.1", "`learning_rate` must be above 0, not -0.1"),
            ("loss = \"iou\"", "`loss` must be \"dice\", \"bce\" or \"dice+bce\", not the text \"iou\""),
            ("freeze = \"encoder\"", "freeze = \"encoder\" needs `init"),
            ("precision = \"bf16\"", "precision must be \"f32\": a U-Net has batch normalisation"),
        ];
        for (toml, expected) in table {
            let problems = problems(&STAGE, format!("encoder = \"vgg16\"\nfold = 1\n{toml}"));
            assert!(problems.len() == 1 && problems[0].starts_with(expected), "{toml}: {problems:?}");
        }
        let problems = problems(&STAGE, "encoder = \"alexnet\"\nfold = 1".to_owned());
        assert!(
            problems[0].contains("\"vgg16\", \"vgg19\", \"vgg16_bn\", \"vgg19_bn\" or \"resnet34\""),
            "{problems:?}"
        );
    }
}
