//! Masks as a U-Net sees them: 1 where the sigmoid of the logit is at least `cut`. Source: Kang et al. 2021, section 3.2.

use burn::tensor::Device;
use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, Facts, Port, Progress, StageError, Weight};
use serde::{Deserialize, Serialize};

use crate::cam::Which;
use crate::model::{DEVICE_USE, UnetWeights, device, image_tensor};
use crate::segment::check_size;
use crate::segment::mask::Level;
use crate::train::{check_names, divide};
use crate::training::unreadable;
use orchestrate_stages::artifact::{ImageReader, Images, PredictedMasks, Split, Table};
use orchestrate_stages::batch::{Outcome, digests, in_groups};
use orchestrate_stages::threads::with_threads;
use orchestrate_stages::typed::{Adaptor, Typed};

/// Parameters of `kind = "predict-masks"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The fold whose images are taken, from 1; default: the fold that the weights have not seen, and no other is taken.
    #[serde(default)]
    pub fold: Option<u32>,
    /// `"validation"` (default), the images of the fold, or `"all"`, training images too.
    #[serde(default)]
    pub images: Which,
    /// Images that go through the network at a time, at least 1; default 8.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// The probability from which on a pixel is foreground, above 0 and below 1; default 0.5.
    #[serde(default = "cut")]
    pub cut: f64,
}

fn batch_size() -> usize {
    8
}

fn cut() -> f64 {
    0.5
}

impl params::Params for Params {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.fold == Some(0) {
            problems.push(("fold", "fold counts from 1".to_owned()));
        }
        if self.batch_size == 0 {
            problems.push(("batch_size", "batch_size must be at least 1".to_owned()));
        }
        if !(self.cut > 0.0 && self.cut < 1.0) {
            problems.push(("cut", "cut must be above 0 and below 1; it is a probability".to_owned()));
        }
        problems
    }
}

/// `kind = "predict-masks"`.
pub(crate) static STAGE: Adaptor<PredictMasks> = Adaptor::new();

/// The stage; see the module.
pub(crate) struct PredictMasks;

impl Typed for PredictMasks {
    const FACTS: Facts = Facts {
        ports: &[
            Port { name: "images", reads: &[Images::OUTPUT], optional: false, many: false },
            Port { name: "split", reads: &[Split::OUTPUT], optional: false, many: false },
            Port { name: "weights", reads: &[UnetWeights::OUTPUT], optional: false, many: false },
        ],
        outputs: &[PredictedMasks::OUTPUT],
        weight: Weight::Heavy,
        device: Some(DEVICE_USE),
        batches: true,
        ..Facts::new("predict-masks", 2, "predicts the mask of each validation image by a U-Net")
    };
    type Params = Params;

    /// Members that differ in `cut` alone go through the network once.
    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Outcome> {
        in_groups(
            batch.iter().map(Ok).collect(),
            |(params, action)| {
                let read = ["images", "split", "weights"].map(|port| digests(action, port));
                (read, params.fold, params.images == Which::All, params.batch_size)
            },
            |group| {
                let (params, action) = group[0];
                let images = ImageReader::from_item(action.one("images")?)?;
                let split = Split::from_item(action.one("split")?)?;
                let weights = UnetWeights::from_item(action.one("weights")?)?;
                let device = device(context.device)?;
                let predict = || predict(params, &images, &split, &weights, &device, context);
                let logits = with_threads(context.threads, predict)?;
                let outcome = |(params, _): &&(Params, &Action)| Ok(vec![logits.masks(params.cut).output()?]);
                Ok(group.iter().map(outcome).collect())
            },
        )
    }
}

/// What a network says of images.
struct Logits {
    /// The images, with masks that are empty yet.
    of: PredictedMasks,
    /// `[image, height, width]`.
    values: Vec<f32>,
}

impl Logits {
    fn masks(&self, cut: f64) -> PredictedMasks {
        let level = Level::of(cut);
        let pixels = self.values.iter().map(|&logit| u8::from(level.reached_by(logit))).collect();
        PredictedMasks { pixels, ..self.of.clone() }
    }
}

/// Logits of images in data set order.
///
/// Errors: a split or images that the weights were not trained on; a fold that they have seen; a network that gives NaN or
/// infinity, with the name of the image.
fn predict(
    params: &Params,
    images: &ImageReader,
    split: &Split,
    weights: &UnetWeights,
    device: &Device,
    context: &Context<'_>,
) -> Result<Logits, StageError> {
    let fold = check(params, images, split, weights)?;
    let indices = match params.images {
        Which::All => (0..images.names.len()).collect(),
        Which::Validation => divide(split, fold)?.1,
    };
    let unet = weights.unet(device)?;
    let (height, width) = (images.height, images.width);
    let size = height * width;
    let mut values = Vec::with_capacity(indices.len() * size);
    for batch in indices.chunks(params.batch_size) {
        if (context.cancelled)() {
            return Err(StageError::Cancelled);
        }
        let tensor = image_tensor(&images.batch(batch)?, height, width, &weights.card.normalisation, device);
        let logits: Vec<f32> = unet.logits(tensor).into_data().try_into_vec_as().map_err(unreadable)?;
        if let Some(bad) = logits.iter().position(|logit| !logit.is_finite()) {
            let name = &images.names[batch[bad / size]];
            return Err(StageError::new(format!(
                "the network gives NaN or infinity for image `{name}`; train it again with a lower learning_rate"
            )));
        }
        values.extend(logits);
        let (done, total) = ((values.len() / size) as u64, indices.len() as u64);
        (context.progress)(Progress { done, total, message: format!("image {done}/{total}") });
    }
    let of = PredictedMasks {
        names: indices.iter().map(|&image| images.names[image].clone()).collect(),
        labels: indices.iter().map(|&image| split.labels[image]).collect(),
        classes: split.classes.clone(),
        height,
        width,
        pixels: Vec::new(),
    };
    Ok(Logits { of, values })
}

/// The fold to predict, once everything fits together.
fn check(params: &Params, images: &ImageReader, split: &Split, weights: &UnetWeights) -> Result<u32, StageError> {
    check_names(images, split)?;
    check_size(images)?;
    let card = &weights.card;
    if (card.height, card.width) != (images.height, images.width) {
        return Err(StageError::input(
            "weights",
            format!(
                "the network was trained on {}×{} pixels, but the images are {}×{}; connect the data set of the training",
                card.height, card.width, images.height, images.width
            ),
        ));
    }
    match params.fold {
        Some(fold) if fold != card.fold => Err(StageError::new(format!(
            "fold = {fold}, but the weights have not seen fold {}: they were trained on the images of fold {fold}, so the masks would \
             leak; vary `segment` and `predict-masks` over the same axis `fold`",
            card.fold
        ))),
        _ => Ok(card.fold),
    }
}

#[cfg(test)]
mod tests;
