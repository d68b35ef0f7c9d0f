//! Parameters of `kind = "train"`, with their defaults and ranges.

use std::borrow::Cow;
use std::fmt;

use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::params;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{ModelName, Precision};
use crate::training::{Augment, Flip, Init, OptimizerKind, RANGES, Recipe, Schedule, check, epochs, momentum};

/// Parameters of `kind = "train"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The network.
    #[schemars(example = &"tiny")]
    pub model: ModelName,
    /// The fold whose images are left out; the loss and accuracy of the curve are theirs.
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
    #[schemars(example = 0.01)]
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
    /// Weights of the classes in the loss: by name, or one number a class, in the order of the classes.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// Random changes of training images.
    #[serde(default)]
    #[schemars(example = Augment { flip: Flip::Horizontal, shift: 4 })]
    pub augment: Augment,
    /// The part that is not trained. The linear layer always is, and so are the convolutions that a modified network
    /// adds, unless the file has them. Frozen batch normalisation uses its running statistics and does not update them.
    #[serde(default)]
    pub freeze: Freeze,
    /// The source of the trunk's weights; default: drawn at random.
    #[serde(default)]
    #[schemars(example = Init { weights: Some("weights/vgg16.safetensors".into()) })]
    pub init: Init,
    /// The type of the numbers in the trunk; weights and the loss have 32 bits in any case.
    #[serde(default)]
    pub precision: Precision,
    /// Seed of weights, order of images and augmentation; default that of the experiment.
    #[serde(default)]
    #[schemars(example = 7)]
    pub seed: u64,
}

fn batch_size() -> usize {
    32
}

fn learning_rate() -> f64 {
    0.001
}

/// Weights of the classes in the loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// Equal weights.
    #[default]
    None,
    /// n / (k · nₖ) for class k of nₖ training images: all classes have the same total weight.
    Balanced,
    /// One weight per class, in the order of the classes.
    Given(Vec<f64>),
}

/// The part of a classifier that is not trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Freeze {
    /// Everything is trained.
    #[default]
    None,
    /// Layers from `init.weights`, which must be set, stay as they were; layers with drawn weights are trained.
    Trunk,
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
            "= \"trunk\" needs `init = { weights = \"…\" }`: a trunk of random weights would stay random",
        );
        problems
    }
}

impl JsonSchema for ClassWeights {
    fn schema_name() -> Cow<'static, str> {
        "ClassWeights".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "const": "none", "description": "Equal weights." },
            { "const": "balanced", "description": "n / (k · nₖ), as in scikit-learn: all classes weigh the same." },
            { "type": "array", "items": { "type": "number" } },
        ] })
    }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Balanced => serializer.serialize_str("balanced"),
            Self::Given(weights) => weights.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rule;

        impl<'de> Visitor<'de> for Rule {
            type Value = ClassWeights;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"none\", \"balanced\" or a list of numbers, one a class")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ClassWeights, E> {
                match name {
                    "none" => Ok(ClassWeights::None),
                    "balanced" => Ok(ClassWeights::Balanced),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ClassWeights, A::Error> {
                let mut weights = Vec::new();
                while let Some(weight) = list.next_element()? {
                    weights.push(weight);
                }
                Ok(ClassWeights::Given(weights))
            }
        }

        deserializer.deserialize_any(Rule)
    }
}

#[cfg(test)]
mod tests {
    use super::super::STAGE;
    use super::*;
    use crate::testing::problems;
    use orchestrate_engine::params::Params as _;

    fn params(toml: &str) -> Result<Params, String> {
        toml::from_str(&format!("model = \"tiny\"\nfold = 1\n{toml}")).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn every_form_of_every_param_is_read_and_written_back() {
        let text = "optimizer = \"adamw\"\nschedule = { step = { every = 2, factor = 0.5 } }\n\
                    class_weights = [1, 2.5]\naugment = { flip = \"both\", shift = 3 }\n\
                    freeze = \"trunk\"\ninit = { weights = \"/w.safetensors\" }";
        let params = params(text).expect("all of it is valid");
        assert_eq!(params.schedule, Schedule::Step { every: 2, factor: 0.5 });
        assert_eq!(params.class_weights, ClassWeights::Given(vec![1.0, 2.5]));
        assert_eq!(params.problems(), []);
        let json = serde_json::to_value(&params).expect("params have a JSON form");
        assert_eq!(serde_json::from_value::<Params>(json).expect("it was just written"), params);
    }

    #[test]
    fn wrong_values_are_answered_with_a_sentence() {
        let table = [
            ("epochs = 0", "`epochs` must be at least 1, not 0"),
            ("learning_rate = 0.0", "`learning_rate` must be above 0, not 0.0"),
            ("momentum = 1.0", "`momentum` must be below 1, not 1.0"),
            ("weight_decay = -1.0", "`weight_decay` must be at least 0, not -1.0"),
            ("class_weights = [1.0, 0.0]", "`class_weights` must be above 0, not 0.0"),
            ("schedule = { step = { every = 0, factor = 0.5 } }", "`schedule.step.every` must be at least 1, not 0"),
            ("freeze = \"trunk\"", "freeze = \"trunk\" needs `init"),
            ("precision = \"f64\"", "`precision` must be \"f32\", \"bf16\" or \"f16\", not the text \"f64\""),
            (
                "class_weights = \"even\"",
                "`class_weights` must be \"none\", \"balanced\" or a list of numbers above 0, not the text \"even\"",
            ),
            ("optimizer = \"adm\"", "`optimizer` must be \"adam\", \"adamw\" or \"sgd\", not the text \"adm\""),
            ("schedule = { step = { every = 2 } }", "`schedule.step.factor` is missing; it is a number above 0"),
            ("augment = { flipp = \"both\" }", "unknown field `flipp` in `augment`"),
        ];
        for (toml, expected) in table {
            let problems = problems(&STAGE, format!("model = \"tiny\"\nfold = 1\n{toml}"));
            assert!(problems.len() == 1 && problems[0].starts_with(expected), "{toml}: {problems:?}");
        }
    }
}
