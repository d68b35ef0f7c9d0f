//! `kind = "segment"`: trains a U-Net on the masks of all images outside one fold.
//!
//! - Network: [`crate::model::Unet`], one logit per pixel, compared with class activation maps. Source: Kang et al.
//!   2021, section 3.2.
//! - Loss: [`Loss`], over all pixels of a batch. Images without a mask are trained on too.
//! - Optimisers, schedules, augmentation, random numbers and checkpoints are those of [`crate::train`].

mod data;
pub(crate) mod loss;
pub(crate) mod mask;
mod params;
mod task;

#[cfg(test)]
mod tests;

use orchestrate_engine::stage::{Action, Context, Facts, FileName, Output, Port, StageError, Weight};
use orchestrate_stages::artifact::{ImageReader, Images, MaskReader, Masks, SegmentCurve, Split, Table};
use orchestrate_stages::typed::{Adaptor, Typed};

use crate::device::DEVICE_USE;
use crate::model::{InitialWeights, UnetCard, Weights};
use crate::training::{INIT_WEIGHTS, Init, fit};
use task::Segmentation;

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
        outputs: &[Weights::<UnetCard>::OUTPUT, "curve"],
        artifacts: &[&Weights::<UnetCard>::FACTS, SegmentCurve::FACTS],
        weight: Weight::Heavy,
        device: Some(DEVICE_USE),
        checkpoints: true,
        path_fields: &[INIT_WEIGHTS],
        check_inputs: Some(data::check_inputs),
        ..Facts::new("segment", 3, "trains a U-Net on the masks of all images outside one fold")
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
    let masks = MaskReader::from_item(action.one("masks")?)?;
    masks.load(&(0..masks.names.len()).collect::<Vec<_>>())?;
    let split = Split::from_item(action.one("split")?)?;
    let division = data::divided(params, &images, &masks, &split)?;
    let pretrained = Init::read(action, |name| !params.encoder.is_head(name))?;
    let card = UnetCard {
        encoder: params.encoder,
        height: images.height,
        width: images.width,
        normalisation: params.encoder.normalisation(),
        fold: params.fold,
        seed: params.seed,
        precision: params.precision,
        init: InitialWeights::of(pretrained.as_ref()),
    };
    let pretrained = pretrained.as_ref();
    let task = Segmentation { params, images: &images, masks: &masks, division, card, pretrained };
    fit(task, &params.recipe(), context, action)
}
