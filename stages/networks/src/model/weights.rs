//! A trained network as an output: its tensors, and the card that tells how to use them.
//!
//! Two files: `weights.safetensors`, tensors in the order of their names, and the card, JSON. The name of the card's file
//! tells a classifier from a U-Net.

use burn::tensor::Device;
use orchestrate_engine::stage::{Content, Item, Output, StageError};
use orchestrate_stages::artifact::{ImageReader, WEIGHTS};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::tensors::{Tensors, read_safetensors, write_safetensors};

/// The name of the file of tensors.
const TENSORS: &str = "weights.safetensors";

/// A trained network at rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights<C> {
    /// Its settings.
    pub card: C,
    /// Its tensors by name.
    pub tensors: Tensors,
}

/// The settings of a network beside its tensors.
pub trait Card: Serialize + DeserializeOwned {
    /// The network.
    type Network;

    /// The name of the card's file.
    const FILE: &'static str;

    /// The error where a port receives weights of another kind.
    const OTHER_KIND: &'static str;

    /// The stage that trains such a network, the stage that uses it, and the output of the latter, for errors.
    const STAGES: [&'static str; 3];

    /// Names the network in errors: ``model `tiny` ``.
    fn name(&self) -> String;

    /// The fold that the network has not seen.
    fn fold(&self) -> u32;

    /// Height and width of the images of its training, in pixels.
    fn size(&self) -> [usize; 2];

    /// Builds the network; the error names every tensor that does not fit.
    fn build(&self, tensors: &Tensors, device: &Device) -> Result<Self::Network, String>;
}

impl<C: Card> Weights<C> {
    /// The name of the output.
    pub const OUTPUT: &'static str = WEIGHTS;

    /// Writes the output; the same weights give the same bytes.
    pub fn output(&self) -> Result<Output, StageError> {
        let mut card = serde_json::to_vec_pretty(&self.card)
            .map_err(|error| StageError::new(format!("cannot write {}: {error}", C::FILE)))?;
        card.push(b'\n');
        let files = vec![
            (C::FILE.to_owned(), Content::Bytes(card)),
            (TENSORS.to_owned(), Content::Bytes(write_safetensors(&self.tensors))),
        ];
        Ok(Output { name: Self::OUTPUT.to_owned(), files })
    }

    /// Reads what a port received; weights of another kind are refused with [`Card::OTHER_KIND`].
    pub fn from_item(item: &Item) -> Result<Self, StageError> {
        let has = |name: &str| item.files.iter().any(|file| file.name == name);
        if has(TENSORS) && !has(C::FILE) {
            return Err(StageError::input("weights", C::OTHER_KIND));
        }
        let card = serde_json::from_slice(&item.read(C::FILE)?)
            .map_err(|error| StageError::new(format!("`{}` cannot be read: {error}", C::FILE)))?;
        let tensors =
            read_safetensors(&item.read(TENSORS)?).map_err(|error| StageError::new(format!("`{TENSORS}`: {error}")))?;
        Ok(Self { card, tensors })
    }

    /// Builds the network, ready to use.
    pub fn network(&self, device: &Device) -> Result<C::Network, StageError> {
        let network = self.card.build(&self.tensors, device);
        network.map_err(|error| StageError::new(format!("`{TENSORS}` does not fit {}: {error}", self.card.name())))
    }

    /// Returns the fold whose images the network has not seen.
    ///
    /// Errors: images of another size than those of its training; a `fold`, from a spec, that it was trained on.
    pub(crate) fn unseen_fold(&self, images: &ImageReader, fold: Option<u32>) -> Result<u32, StageError> {
        let ([height, width], unseen) = (self.card.size(), self.card.fold());
        if [height, width] != [images.height, images.width] {
            return Err(StageError::input(
                "weights",
                format!(
                    "the network was trained on {height}×{width} pixels, but the images are {}×{}; connect the data set of \
                     the training",
                    images.height, images.width
                ),
            ));
        }
        let [trains, uses, outputs] = C::STAGES;
        match fold {
            Some(fold) if fold != unseen => Err(StageError::new(format!(
                "fold = {fold}, but the weights have not seen fold {unseen}: they were trained on the images of fold {fold}, so \
                 the {outputs} would leak; vary `{trains}` and `{uses}` over the same axis `fold`"
            ))),
            _ => Ok(unseen),
        }
    }
}
