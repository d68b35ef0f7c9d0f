//! Parameters of `kind = "train"`, with their defaults and ranges.

use std::fmt;

use orchestrate_engine::params;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::{ModelName, Precision};
use crate::training::{Augment, Init, OptimizerKind, Recipe, Schedule, above_0, check, epochs, momentum};

/// Parameters of `kind = "train"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The network: `"alexnet"`, `"vgg16"`, `"vgg19"`, `"modified-alexnet"`, `"modified-vgg16"`, `"modified-vgg19"`,
    /// `"vgg16_bn"`, `"vgg19_bn"`, `"resnet18"`, `"resnet34"`, `"resnet50"`, `"densenet121"`, `"squeezenet1_1"`,
    /// `"tiny"` or `"tiny-modified"`.
    pub model: ModelName,
    /// The fold whose images are left out, from 1; the loss and accuracy of the curve are theirs.
    pub fold: u32,
    /// Passes over the training images, at least 1; default 10.
    #[serde(default = "epochs")]
    pub epochs: u32,
    /// Images per step, at least 1; default 32. The last batch of an epoch may be smaller.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// `"adam"` (default), `"adamw"` or `"sgd"`.
    #[serde(default)]
    pub optimizer: OptimizerKind,
    /// Learning rate of the first epoch, above 0; default 0.001.
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
    /// Weights of the classes in the loss: `"none"` (default), `"balanced"` (n / (k · nₖ), as in scikit-learn), or one
    /// number above 0 per class, in the order of the classes.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// Random changes of training images; default none.
    #[serde(default)]
    pub augment: Augment,
    /// The part that is not trained: `"none"` (default), or `"trunk"`, which needs `init.weights`. The linear layer is
    /// always trained, and so are the convolutions that a modified network adds, unless the file has them. Frozen batch
    /// normalisation uses its running statistics and does not update them.
    #[serde(default)]
    pub freeze: Freeze,
    /// The source of the trunk's weights; default: drawn at random.
    #[serde(default)]
    pub init: Init,
    /// The type of the numbers in the trunk: `"f32"` (default), `"bf16"` or `"f16"`; weights and the loss are f32 in
    /// any case.
    #[serde(default)]
    pub precision: Precision,
    /// Seed of weights, order of images and augmentation.
    #[serde(default)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Freeze {
    /// Everything is trained.
    #[default]
    None,
    /// Layers from `init.weights` stay as they were; layers with drawn weights are trained.
    Trunk,
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
        if let ClassWeights::Given(weights) = &self.class_weights {
            let above_0 = weights.iter().all(|&weight| above_0(weight));
            check(&mut problems, "class_weights", above_0, "must all be numbers above 0");
        }
        check(
            &mut problems,
            "freeze",
            self.freeze == Freeze::None || self.init.weights.is_some(),
            "= \"trunk\" needs `init = { weights = \"…\" }`: a trunk of random weights would stay random",
        );
        problems
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
    use super::*;
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
            ("epochs = 0", "epochs must be at least 1"),
            ("learning_rate = 0.0", "learning_rate must be a number above 0"),
            ("momentum = 1.0", "momentum must be at least 0 and below 1"),
            ("weight_decay = -1.0", "weight_decay must be a number that is at least 0"),
            ("class_weights = [1.0, 0.0]", "class_weights must all be numbers above 0"),
            ("freeze = \"trunk\"", "freeze = \"trunk\" needs `init"),
        ];
        for (toml, expected) in table {
            let problems = params(toml).expect("the type is right").problems();
            assert!(problems.len() == 1 && problems[0].1.starts_with(expected), "{toml}: {problems:?}");
        }
        let table = [
            ("precision = \"f64\"", "unknown precision `f64`; use \"f32\", \"bf16\" or \"f16\""),
            ("class_weights = \"even\"", "invalid value: string \"even\", expected \"none\", \"balanced\" or a list"),
            ("optimizer = \"adm\"", "unknown variant `adm`, expected one of `adam`, `adamw`, `sgd`"),
        ];
        for (toml, expected) in table {
            let error = params(toml).expect_err("the value does not exist");
            assert!(error.starts_with(expected), "{toml}: {error}");
        }
    }
}
