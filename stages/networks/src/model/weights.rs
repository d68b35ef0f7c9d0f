//! What `train` gives: the tensors of a classifier, and what must be known to use them.
//!
//! Two files: `weights.safetensors`, tensors in the order of their names, and `model.json`, the [`ModelCard`].

use burn::tensor::Device;
use orchestrate_engine::stage::{Content, Item, Output, StageError};
use orchestrate_stages::artifact::WEIGHTS;
use serde::{Deserialize, Serialize};

use super::tensors::{Tensors, read_safetensors, write_safetensors};
use super::{Classifier, ModelName, Normalisation, Precision, unet_weights};

pub(super) const TENSORS: &str = "weights.safetensors";
pub(super) const CARD: &str = "model.json";

/// A trained classifier at rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// What it is.
    pub card: ModelCard,
    /// Its tensors by name.
    pub tensors: Tensors,
}

/// What must be known of a classifier beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// Its architecture.
    pub model: ModelName,
    /// Class names in the order of the outputs.
    pub classes: Vec<String>,
    /// Height of an input image, in pixels.
    pub height: usize,
    /// Width of an input image, in pixels.
    pub width: usize,
    /// How grey levels are normalised, one entry a channel.
    pub normalisation: Normalisation,
    /// The fold that it has not seen.
    pub fold: u32,
    /// The seed of its training.
    pub seed: u64,
    /// The type in which its trunk was trained; its tensors are f32.
    pub precision: Precision,
    /// What the trunk was before the first epoch.
    pub init: InitialWeights,
}

/// What the trunk of a network was before its training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitialWeights {
    /// Drawn at random.
    Random,
    /// Read from a file; what a modified network adds to a published one was drawn.
    Published,
}

impl Weights {
    /// Name of the output.
    pub const OUTPUT: &'static str = WEIGHTS;

    /// The output that holds it; the same bytes for the same weights.
    pub fn output(&self) -> Result<Output, StageError> {
        let mut card = serde_json::to_vec_pretty(&self.card)
            .map_err(|error| StageError::new(format!("cannot write {CARD}: {error}")))?;
        card.push(b'\n');
        let files = vec![
            (CARD.to_owned(), Content::Bytes(card)),
            (TENSORS.to_owned(), Content::Bytes(write_safetensors(&self.tensors))),
        ];
        Ok(Output { name: Self::OUTPUT.to_owned(), files })
    }

    /// Reads it from what a port received; a U-Net is refused with a sentence.
    pub fn from_item(item: &Item) -> Result<Self, StageError> {
        if item.files.iter().any(|file| file.name == unet_weights::CARD) {
            return Err(StageError::input(
                "weights",
                "they are those of a U-Net, which has no class activation map; connect a stage of kind `train`, or read the \
                 masks of the U-Net with `predict-masks`",
            ));
        }
        let card = serde_json::from_slice(&item.read(CARD)?)
            .map_err(|error| StageError::new(format!("`{CARD}` cannot be read: {error}")))?;
        let tensors =
            read_safetensors(&item.read(TENSORS)?).map_err(|error| StageError::new(format!("`{TENSORS}`: {error}")))?;
        Ok(Self { card, tensors })
    }

    /// The classifier, ready to use.
    pub fn classifier(&self, device: &Device) -> Result<Classifier, StageError> {
        let Self { card, tensors } = self;
        Classifier::from_tensors(card.model, card.classes.len(), tensors, device)
            .map_err(|error| StageError::new(format!("`{TENSORS}` does not fit model `{}`: {error}", card.model)))
    }
}
