//! What `segment` gives: the tensors of a U-Net, and what must be known to use them.
//!
//! Two files: `weights.safetensors`, tensors in the order of their names, and `unet.json`, the [`UnetCard`]. The name of the
//! card tells it from a classifier's [`super::Weights`].

use burn::tensor::Device;
use orchestrate_engine::stage::{Content, Item, Output, StageError};
use serde::{Deserialize, Serialize};

use super::precision::Precision;
use super::tensors::{Tensors, read_safetensors, write_safetensors};
use super::weights::{self, InitialWeights, TENSORS};
use super::{EncoderName, Normalisation, Unet};

/// Name of the card's file.
pub(super) const CARD: &str = "unet.json";

/// A trained U-Net at rest.
#[derive(Clone, Debug, PartialEq)]
pub struct UnetWeights {
    /// What it is.
    pub card: UnetCard,
    /// Its tensors by name.
    pub tensors: Tensors,
}

/// What must be known of a U-Net beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetCard {
    /// Its encoder.
    pub encoder: EncoderName,
    /// Height of an image of its training, in pixels.
    pub height: usize,
    /// Width of an image of its training, in pixels.
    pub width: usize,
    /// How grey levels are normalised, one entry a channel.
    pub normalisation: Normalisation,
    /// The fold that it has not seen.
    pub fold: u32,
    /// The seed of its training.
    pub seed: u64,
    /// The type in which it was trained.
    pub precision: Precision,
    /// What the encoder was before the first epoch.
    pub init: InitialWeights,
}

impl UnetWeights {
    /// Name of the output.
    pub const OUTPUT: &'static str = "weights";

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

    /// Reads it from what a port received; a classifier is refused with a sentence.
    pub fn from_item(item: &Item) -> Result<Self, StageError> {
        if item.files.iter().any(|file| file.name == weights::CARD) {
            return Err(StageError::input(
                "weights",
                "they are those of a classifier, which predicts no masks; connect a stage of kind `segment`",
            ));
        }
        let card = serde_json::from_slice(&item.read(CARD)?)
            .map_err(|error| StageError::new(format!("`{CARD}` cannot be read: {error}")))?;
        let tensors =
            read_safetensors(&item.read(TENSORS)?).map_err(|error| StageError::new(format!("`{TENSORS}`: {error}")))?;
        Ok(Self { card, tensors })
    }

    /// The network, ready to use.
    pub fn unet(&self, device: &Device) -> Result<Unet, StageError> {
        let encoder = self.card.encoder;
        Unet::from_tensors(encoder, &self.tensors, device).map_err(|error| {
            StageError::new(format!("`{TENSORS}` does not fit a U-Net with encoder `{encoder}`: {error}"))
        })
    }
}
