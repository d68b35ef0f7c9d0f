//! Trains a classifier on all images outside one fold.
//!
//! - Loss: softmax cross-entropy, optionally weighted by class as PyTorch weights it.
//! - Optimisers as in PyTorch: Adam (L2 penalty in the gradient), AdamW (decay beside it), SGD with momentum.
//! - Random numbers: weights, order of images and augmentation are drawn from streams named after the seed, the model, the fold,
//!   what they are for and the epoch. So nothing random needs to be stored to go on from a checkpoint, and neither threads nor
//!   other trainings move anything.
//! - After each epoch a checkpoint is written; a training that was stopped goes on from the last one, to the same bytes.

mod data;
mod fit;
mod params;

#[cfg(test)]
mod tests;

use orchestrate_engine::stage::{Action, Context, Facts, FileName, Output, Port, StageError, Weight};

use crate::model::{DEVICE_USE, InitialWeights, ModelCard, Weights, device};
use crate::training::published::{self, INIT_WEIGHTS};
use crate::training::{Checkpoints, Session};
use data::Data;
use orchestrate_stages::artifact::{ImageReader, Split, Table};
use orchestrate_stages::threads::with_threads;
use orchestrate_stages::typed::{Adaptor, Typed};

pub(crate) use data::{check_names, divide};

pub use params::{Augment, ClassWeights, Flip, Freeze, Init, OptimizerKind, Params, Schedule};

/// `kind = "train"`.
pub(crate) static STAGE: Adaptor<Train> = Adaptor::new();

/// Raised when the same inputs would give other weights.
const VERSION: u32 = 3;

/// The stage; see the module.
pub(crate) struct Train;

impl Typed for Train {
    const FACTS: Facts = Facts {
        ports: &[
            Port { name: "images", reads: &["images"], optional: false, many: false },
            Port { name: "split", reads: &["split"], optional: false, many: false },
        ],
        outputs: &["weights", "curve"],
        weight: Weight::Heavy,
        device: Some(DEVICE_USE),
        checkpoints: true,
        path_fields: &[INIT_WEIGHTS],
        ..Facts::new("train", VERSION, "trains a classifier on all images outside one fold")
    };
    type Params = Params;

    fn files(params: &Params) -> Result<Vec<FileName>, Vec<String>> {
        Ok(published::files(params.init.weights.as_deref()))
    }

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        batch.iter().map(|(params, action)| run(params, context, action)).collect()
    }
}

fn run(params: &Params, context: &Context<'_>, action: &Action) -> Result<Vec<Output>, StageError> {
    let images = ImageReader::from_item(action.one("images")?)?;
    let split = Split::from_item(action.one("split")?)?;
    let data = Data::new(params, &images, &split)?;
    let trunk = published::published(action, |name| params.model.is_of_trunk(name))?;
    let session = Session {
        device: device(context.device)?,
        checkpoints: context.checkpoint_dir.map(|dir| Checkpoints::new(dir, action.key)),
        progress: context.progress,
        cancelled: context.cancelled,
    };
    let (tensors, curve) = with_threads(context.threads, || fit::fit(params, &data, trunk.as_ref(), &session))?;
    let card = ModelCard {
        model: params.model,
        classes: split.classes.clone(),
        height: images.height,
        width: images.width,
        normalisation: data.normalisation.clone(),
        fold: params.fold,
        seed: params.seed,
        precision: params.precision,
        init: if trunk.is_some() { InitialWeights::Published } else { InitialWeights::Random },
    };
    Ok(vec![Weights { card, tensors }.output()?, curve.output()?])
}
