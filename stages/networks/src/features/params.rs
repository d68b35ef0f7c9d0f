//! Parameters of `kind = "features"`, with their defaults and ranges.

use std::path::PathBuf;

use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::params;
use orchestrate_engine::stage::StageError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{ModelName, Normalisation, Precision};
use crate::training::Init;

/// Parameters of `kind = "features"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The network whose trunk is used. It has pretrained weights, and so a normalisation that is the same in all
    /// folds; `tiny` and `tiny-modified` have none.
    #[schemars(example = &"squeezenet1_1")]
    pub model: ModelName,
    /// The source of the trunk's weights.
    #[schemars(example = Source { weights: "weights/squeezenet1_1.safetensors".into() })]
    pub init: Source,
    /// Images per batch: more take more memory, and give the same features.
    #[serde(default = "batch_size")]
    #[schemars(example = 16)]
    pub batch_size: usize,
    /// The type of the numbers in the trunk; features have 32 bits in any case.
    #[serde(default)]
    pub precision: Precision,
}

/// The source of a whole trunk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A state dict as in `init.weights` of `train`. It holds the whole trunk: of a modified network also the
    /// convolutions that it adds.
    #[schemars(extend("format" = "path"), example = &"weights/squeezenet1_1.safetensors")]
    pub weights: PathBuf,
}

fn batch_size() -> usize {
    32
}

impl Params {
    /// Returns the normalisation that the pretrained weights expect.
    ///
    /// Errors: a model that normalises images by those of a training.
    pub(super) fn normalisation(&self) -> Result<Normalisation, StageError> {
        let expected = self.model.architecture().normalisation;
        expected.map(|expected| expected()).ok_or_else(|| {
            StageError::new(format!(
                "model `{}` normalises images by the training images of each fold, so no features hold for all folds; \
                 take a model with pretrained weights, such as \"squeezenet1_1\"",
                self.model
            ))
        })
    }
}

impl params::Params for Params {
    const RANGES: &'static [(&'static str, Bounds)] = &[("batch_size", Bounds::from(1.0))];

    fn problems(&self) -> Vec<(&'static str, String)> {
        self.normalisation().err().map(|error| ("model", error.to_string())).into_iter().collect()
    }
}

impl From<&Source> for Init {
    fn from(Source { weights }: &Source) -> Self {
        Self { weights: Some(weights.clone()) }
    }
}
