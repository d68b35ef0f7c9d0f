//! A trained network as an output: its tensors, and the card that tells how to use them.
//!
//! Two files: `weights.safetensors`, tensors in the order of their names, and the card, JSON. The name of the card's
//! file tells a classifier from a U-Net.

use burn::module::Module;
use burn::tensor::Device;
use orchestrate_engine::stage::{ArtifactFacts, Content, FileFacts, Item, Output, StageError};
use orchestrate_engine::words::of_reader;
use orchestrate_stages::artifact::WEIGHTS;
use orchestrate_stages::random::Seed;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::architecture::Architecture;
use super::input::Normalisation;
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
    type Network: Module;

    /// The name of the card's file.
    const FILE: &'static str;

    /// The fields of the card's file, in a sentence.
    const ABOUT: &'static str;

    /// The words before the name of the architecture in errors.
    const NETWORK: &'static str;

    /// The stage that trains such a network, and the stage that uses it.
    const STAGES: [&'static str; 2];

    /// The results of the stage that uses it.
    const RESULTS: &'static str;

    /// The error of a port that receives weights of another kind.
    const OTHER_KIND: &'static str;

    /// Returns the architecture of the network, or of its encoder.
    fn architecture(&self) -> &'static Architecture;

    /// Returns facts about the training of the network.
    fn training(&self) -> Training<'_>;

    /// Builds the network; the error names tensors that do not fit.
    fn build(&self, tensors: &Tensors, device: &Device) -> Result<Self::Network, String>;

    /// Builds the network with weights drawn from [`Card::streams`].
    fn drawn(&self, device: &Device) -> Self::Network;

    /// Replaces drawn weights by pretrained ones; the error names tensors that do not fit.
    fn with_pretrained(&self, drawn: Self::Network, tensors: &Tensors) -> Result<Self::Network, String>;

    /// Names the network in errors: ``model `tiny` ``.
    fn name(&self) -> String {
        format!("{} `{}`", Self::NETWORK, self.architecture().name)
    }

    /// Returns the seed of all streams of random numbers of the training.
    fn streams(&self) -> Seed {
        let Training { fold, seed, .. } = self.training();
        Seed::new(Self::STAGES[0], seed, &[self.architecture().name, &fold.to_string()])
    }
}

/// Facts about the training of a network.
#[derive(Clone, Copy, Debug)]
pub struct Training<'a> {
    /// Height of its images, in pixels.
    pub height: usize,
    /// Width of its images, in pixels.
    pub width: usize,
    /// The normalisation of their grey levels, one entry per channel.
    pub normalisation: &'a Normalisation,
    /// The fold that it left out, from 1.
    pub fold: u32,
    /// The param `seed`.
    pub seed: u64,
}

impl<C: Card> Weights<C> {
    /// The name of the output.
    pub const OUTPUT: &'static str = WEIGHTS;

    /// Facts about its files.
    pub const FACTS: ArtifactFacts = ArtifactFacts {
        name: WEIGHTS,
        about: "A trained network: its tensors, and the card that tells how to use them.",
        files: &[
            FileFacts::new(C::FILE, C::ABOUT),
            FileFacts::new(TENSORS, "Tensors of f32 by name, in the order of their names."),
        ],
    };

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
            .map_err(|error| StageError::new(format!("`{}`: {}", C::FILE, of_reader(&error.to_string()))))?;
        let tensors =
            read_safetensors(&item.read(TENSORS)?).map_err(|error| StageError::new(format!("`{TENSORS}`: {error}")))?;
        Ok(Self { card, tensors })
    }

    /// Builds the network, ready to use.
    pub fn network(&self, device: &Device) -> Result<C::Network, StageError> {
        let network = self.card.build(&self.tensors, device);
        network.map_err(|error| StageError::new(format!("`{TENSORS}` does not fit {}: {error}", self.card.name())))
    }
}
