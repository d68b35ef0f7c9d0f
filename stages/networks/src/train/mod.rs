//! `kind = "train"`: trains a classifier on all images outside one fold.
//!
//! - Loss: softmax cross-entropy, optionally weighted by class as PyTorch weights it.
//! - Optimisers as in PyTorch: Adam (L2 penalty in the gradient), AdamW (decoupled decay), SGD with momentum.
//! - Random numbers: weights, order of images and augmentation have a stream each, named after the seed, the model, the
//!   fold, the purpose and the epoch. So a checkpoint stores no random state, and neither threads nor other trainings
//!   change a draw.
//! - A checkpoint follows each epoch; a stopped training continues from the last one to the same bytes.

mod data;
mod features;
mod params;
mod task;

#[cfg(test)]
mod tests;

use orchestrate_engine::stage::{Action, Context, Facts, FileName, Output, Port, StageError, Weight};
use orchestrate_stages::artifact::{Curve, ImageReader, Split, Table};
use orchestrate_stages::typed::{Adaptor, Typed};

use crate::device::DEVICE_USE;
use crate::model::{InitialWeights, ModelCard, Weights};
use crate::training::{INIT_WEIGHTS, Init, fit};
use task::Classification;

pub use params::{ClassWeights, Freeze, Params};

/// `kind = "train"`.
pub(crate) static STAGE: Adaptor<Train> = Adaptor::new();

/// Version of the stage, raised when the same inputs would give other weights.
const VERSION: u32 = 4;

/// The stage; see the module.
pub(crate) struct Train;

impl Typed for Train {
    const FACTS: Facts = Facts {
        ports: &[
            Port { name: "images", reads: &["images"], optional: false, many: false },
            Port { name: "split", reads: &["split"], optional: false, many: false },
            Port { name: features::PORT, reads: &[features::PORT], optional: true, many: false },
        ],
        outputs: &["weights", "curve"],
        artifacts: &[&Weights::<ModelCard>::FACTS, Curve::FACTS],
        weight: Weight::Heavy,
        device: Some(DEVICE_USE),
        checkpoints: true,
        path_fields: &[INIT_WEIGHTS],
        check_inputs: Some(data::check_inputs),
        ..Facts::new("train", VERSION, "trains a classifier on all images outside one fold")
    };
    type Params = Params;

    fn files(params: &Params) -> Result<Vec<FileName>, Vec<String>> {
        params.init.files()
    }

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        batch.iter().map(|(params, action)| run(params, context, action)).collect()
    }
}

fn run(params: &Params, context: &Context<'_>, action: &Action) -> Result<Vec<Output>, StageError> {
    let images = ImageReader::from_item(action.one("images")?)?;
    let split = Split::from_item(action.one("split")?)?;
    let division = data::divided(params, &images, &split)?;
    let class_weights = data::class_weights(params, &split, &division.train)?;
    let normalisation = data::normalisation(params.model, &images, &division.train)?;
    let trunk = Init::read(action, |name| params.model.is_of_trunk(name))?;
    let pooled = features::given(params, action, &images.names, trunk.as_ref())?;
    let card = ModelCard {
        model: params.model,
        classes: split.classes.clone(),
        height: images.height,
        width: images.width,
        normalisation,
        fold: params.fold,
        seed: params.seed,
        precision: params.precision,
        init: InitialWeights::of(trunk.as_ref()),
    };
    let (trunk, labels) = (trunk.as_ref(), split.labels.as_slice());
    let task = Classification { params, images: &images, labels, division, class_weights, card, trunk, pooled };
    fit(task, &params.recipe(), context, action)
}
