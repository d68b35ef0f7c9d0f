//! `kind = "predict-masks"`: masks by a U-Net, 1 where the sigmoid of the logit is at least `cut`. Source: Kang et al.
//! 2021, section 3.2.

use std::path::{Path, PathBuf};

use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, Facts, Output, Port, StageError, Weight};
use orchestrate_stages::artifact::{Images, PredictedMasks, Split, Table};
use orchestrate_stages::batch::{Outcome, digests, in_groups};
use orchestrate_stages::threads::with_threads;
use orchestrate_stages::typed::{Adaptor, Typed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device::DEVICE_USE;
use crate::inference::{Inference, RANGES, Which, check_inputs};
use crate::model::{UnetCard, Weights, numbers};
use crate::segment::check_size;
use crate::segment::mask::Level;
use crate::training::divide;

/// Parameters of `kind = "predict-masks"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The fold whose images are taken; default: the fold that the weights have not seen, the only one allowed.
    #[serde(default)]
    #[schemars(example = 1)]
    pub fold: Option<u32>,
    /// The images that go through the network.
    #[serde(default)]
    pub images: Which,
    /// Images per batch.
    #[serde(default = "batch_size")]
    #[schemars(example = 16)]
    pub batch_size: usize,
    /// The smallest probability of a foreground pixel.
    #[serde(default = "cut")]
    #[schemars(example = 0.4)]
    pub cut: f64,
}

fn batch_size() -> usize {
    8
}

fn cut() -> f64 {
    0.5
}

impl params::Params for Params {
    const RANGES: &'static [(&'static str, Bounds)] = RANGES;
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
            Port { name: "weights", reads: &[Weights::<UnetCard>::OUTPUT], optional: false, many: false },
        ],
        outputs: &[PredictedMasks::OUTPUT],
        artifacts: &[PredictedMasks::FACTS],
        weight: Weight::Heavy,
        device: Some(DEVICE_USE),
        check_inputs: Some(check_inputs),
        batches: true,
        ..Facts::new("predict-masks", 2, "predicts the mask of each validation image by a U-Net")
    };
    type Params = Params;

    /// Computes logits once for members that differ in `cut` alone.
    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Outcome> {
        in_groups(
            batch.iter().map(Ok).collect(),
            |(params, action)| {
                let read = ["images", "split", "weights"].map(|port| digests(action, port));
                (read, params.fold, params.images == Which::All, params.batch_size)
            },
            |group| {
                let (params, action) = group[0];
                let inference = Inference::open(action, context)?;
                let cuts: Vec<f64> = group.iter().map(|(params, _)| params.cut).collect();
                let outputs = with_threads(context.threads, || predict(params, &cuts, &inference, context))?;
                Ok(outputs.into_iter().map(|output| Ok(vec![output])).collect())
            },
        )
    }
}

/// Predicts masks of images in data set order, at each cut, and writes them to a file each.
///
/// Errors: images that the network was not trained on, or cannot take; a fold that it was trained on; a network that
/// gives NaN or infinity, with the name of the image.
fn predict(
    params: &Params,
    cuts: &[f64],
    inference: &Inference<'_, UnetCard>,
    context: &Context<'_>,
) -> Result<Vec<Output>, StageError> {
    let Inference { images, split, .. } = inference;
    check_size(images.height, images.width)?;
    let fold = inference.fold(params.fold)?;
    if params.images == Which::Validation {
        divide(split, fold)?;
    }
    let indices = params.images.indices(split, fold);
    let unet = inference.weights.network(&inference.device)?;
    let (height, width) = (images.height, images.width);
    let predicted = PredictedMasks {
        names: indices.iter().map(|&image| images.names[image].clone()).collect(),
        labels: indices.iter().map(|&image| split.labels[image]).collect(),
        classes: split.classes.clone(),
        height,
        width,
        pixels: Vec::new(),
    };
    let writer = |cut: &f64| Ok((Level::of(*cut), predicted.writer(&new_file(context.scratch_dir))?));
    let mut writers = cuts.iter().map(writer).collect::<Result<Vec<_>, StageError>>()?;
    inference.each_batch(&indices, params.batch_size, |batch, tensor| {
        let logits = numbers(unet.logits(tensor))?;
        if let Some(bad) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(inference.not_finite(batch[bad / (height * width)]));
        }
        writers.iter_mut().try_for_each(|(level, writer)| {
            let pixels: Vec<u8> = logits.iter().map(|&logit| u8::from(level.reached_by(logit))).collect();
            writer.push(&pixels)
        })
    })?;
    writers.into_iter().map(|(_, writer)| writer.finish()).collect()
}

/// The path of a file that does not exist yet; members of a batch share the folder.
fn new_file(dir: &Path) -> PathBuf {
    let mut paths = (0_u64..).map(|number| dir.join(format!("{number}.parquet")));
    paths.find(|path| !path.exists()).expect("numbers do not end")
}

#[cfg(test)]
mod tests;
