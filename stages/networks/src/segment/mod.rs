//! Trains a U-Net on the masks of all images outside one fold.
//!
//! - The network: [`crate::model::Unet`], one logit a pixel. Source of its place beside classifiers: Kang et al. 2021, section 3.2.
//! - Loss: [`Loss`], over all pixels of a batch. Images without a mask are trained on too.
//! - Optimisers, schedules, augmentation, random numbers, checkpoints: those of [`crate::train`]. A training that was stopped goes
//!   on from the last epoch to the same bytes.

mod data;
mod fit;
pub(crate) mod loss;
pub(crate) mod mask;
mod packed;
mod params;

#[cfg(test)]
mod tests;

use orchestrate_engine::stage::{Action, Context, Facts, FileName, Output, Port, StageError, Weight};

use crate::model::{DEVICE_USE, InitialWeights, UnetCard, UnetWeights, device};
use crate::training::published::{self, INIT_WEIGHTS};
use crate::training::{Checkpoints, Session};
use data::Data;
use orchestrate_stages::artifact::{ImageReader, Images, Masks, Split, Table};
use orchestrate_stages::threads::with_threads;
use orchestrate_stages::typed::{Adaptor, Typed};

pub(crate) use data::check_size;

pub use loss::Loss;
pub use params::{Freeze, Params};

/// `kind = "segment"`.
pub(crate) static STAGE: Adaptor<Segment> = Adaptor::new();

/// The stage; see the module.
pub(crate) struct Segment;

impl Typed for Segment {
    const FACTS: Facts = Facts {
        ports: &[
            Port { name: "images", reads: &[Images::OUTPUT], optional: false, many: false },
            Port { name: "masks", reads: &[Masks::OUTPUT], optional: false, many: false },
            Port { name: "split", reads: &[Split::OUTPUT], optional: false, many: false },
        ],
        outputs: &[UnetWeights::OUTPUT, "curve"],
        weight: Weight::Heavy,
        device: Some(DEVICE_USE),
        checkpoints: true,
        path_fields: &[INIT_WEIGHTS],
        ..Facts::new("segment", 2, "trains a U-Net on the masks of all images outside one fold")
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
    let masks = Masks::from_item(action.one("masks")?)?;
    let split = Split::from_item(action.one("split")?)?;
    let data = Data::new(params, &images, masks, &split)?;
    let published = published::published(action, |name| !params.encoder.is_head(name))?;
    let session = Session {
        device: device(context.device)?,
        checkpoints: context.checkpoint_dir.map(|dir| Checkpoints::new(dir, action.key)),
        progress: context.progress,
        cancelled: context.cancelled,
    };
    let (tensors, curve) = with_threads(context.threads, || fit::fit(params, &data, published.as_ref(), &session))?;
    let card = UnetCard {
        encoder: params.encoder,
        height: images.height,
        width: images.width,
        normalisation: params.encoder.normalisation(),
        fold: params.fold,
        seed: params.seed,
        precision: params.precision,
        init: if published.is_some() { InitialWeights::Published } else { InitialWeights::Random },
    };
    Ok(vec![UnetWeights { card, tensors }.output()?, curve.output()?])
}
