//! Scores thresholded heatmaps against expert masks. Source: Kang et al. 2021, section 3.3, Eq. 3 and 8.

mod overlap;

use std::collections::{HashMap, HashSet};

use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, Output, Port, StageError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::artifact::{Cams, Masks, Scores, Table, Thresholds};
use crate::batch::{Outcome, digests, in_groups};
use crate::heatmap::{Scale, each_heatmap};
use crate::typed::{Adaptor, Typed};

use overlap::Overlap;

/// Parameters of `kind = "score"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Which images are scored: `"correct"`, those whose class was predicted correctly, or `"all"`.
    #[serde(default)]
    pub images: Which,
}

/// Which images are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// Those whose class was predicted correctly, as in the paper.
    #[default]
    Correct,
    /// All of them.
    All,
}

impl params::Params for Params {}

/// Scores the mask of each image, `heatmap > threshold`, against its ground truth.
///
/// - `cams`: one map an image, `[height, width]`, f32; see [`crate::heatmap`]
/// - `thresholds`: one grey level an image, and the scale of the heatmaps to which they apply
/// - `masks`: ground truth at the network's input size, also of images that `cams` does not have
/// - returns: one row a scored image in the order of `cams`; see [`Scores`]
///
/// Images are matched by name. Empty ground truth has a row without scores. Errors: masks of another size, images that
/// `thresholds` or `masks` lack, and maps that are not finite.
pub fn run(params: &Params, cams: &Cams, thresholds: &Thresholds, masks: &Masks) -> Result<Scores, StageError> {
    score(params, cams, thresholds, &overlaps(cams, masks, thresholds.scale)?)
}

/// The histograms of each image of `cams`, from which the scores at any threshold follow.
fn overlaps(cams: &Cams, masks: &Masks, scale: Scale) -> Result<Vec<Overlap>, StageError> {
    let (height, width) = (cams.input_height, cams.input_width);
    if (masks.height, masks.width) != (height, width) && !cams.names.is_empty() && !masks.names.is_empty() {
        let size = if height == width { height.to_string() } else { format!("[{height}, {width}]") };
        return Err(StageError::input(
            "masks",
            format!(
                "the masks are {} × {}, but the maps are compared at the network's input size, {height} × {width}; set \
                 `size = {size}` in the `dataset` stage that gives the masks",
                masks.height, masks.width
            ),
        ));
    }
    let rows = rows_by_name("masks", &masks.names, &cams.names)?;
    let size = height * width;
    each_heatmap(cams, scale, |row, heatmap| {
        let truth = &masks.pixels[rows[row] * size..(rows[row] + 1) * size];
        Ok(Overlap::of(&heatmap.pixels, truth))
    })
}

fn score(params: &Params, cams: &Cams, thresholds: &Thresholds, overlaps: &[Overlap]) -> Result<Scores, StageError> {
    let threshold_rows = rows_by_name("thresholds", &thresholds.names, &cams.names)?;
    let scored: Vec<usize> = (0..cams.names.len())
        .filter(|&row| params.images == Which::All || cams.labels[row] == cams.predicted[row])
        .collect();
    let agreements: Vec<_> =
        scored.iter().map(|&row| overlaps[row].agreement(thresholds.thresholds[threshold_rows[row]])).collect();
    let metric = |index: usize| agreements.iter().map(|agreement| Some(agreement.metrics?[index])).collect();
    Ok(Scores {
        names: scored.iter().map(|&row| cams.names[row].clone()).collect(),
        labels: scored.iter().map(|&row| cams.labels[row]).collect(),
        predicted: scored.iter().map(|&row| cams.predicted[row]).collect(),
        classes: cams.classes.clone(),
        iou: metric(0),
        dice: metric(1),
        precision: metric(2),
        recall: metric(3),
        mask_pixels: agreements.iter().map(|agreement| agreement.mask_pixels).collect(),
        truth_pixels: agreements.iter().map(|agreement| agreement.truth_pixels).collect(),
    })
}

/// The row in `names` of each of the `wanted` images.
fn rows_by_name(port: &str, names: &[String], wanted: &[String]) -> Result<Vec<usize>, StageError> {
    if names == wanted {
        return Ok((0..wanted.len()).collect());
    }
    let mut rows = HashMap::new();
    for (row, name) in names.iter().enumerate() {
        if rows.insert(name, row).is_some() {
            return Err(StageError::input(port, format!("image `{name}` occurs twice; images are matched by name")));
        }
    }
    let missing: Vec<_> = wanted.iter().filter(|name| !rows.contains_key(name)).collect();
    match missing.first() {
        Some(first) => Err(StageError::input(
            port,
            format!(
                "{} of the {} images of `cams` are missing, `{first}` for one; both must come from the same data set",
                missing.len(),
                wanted.len()
            ),
        )),
        None => Ok(wanted.iter().map(|name| rows[name]).collect()),
    }
}

/// One member of a batch: what it shares with the others is read later.
struct Member<'a> {
    params: &'a Params,
    action: &'a Action,
    thresholds: Thresholds,
}

pub(crate) struct Score;

pub(crate) static STAGE: Adaptor<Score> = Adaptor::new();

impl Typed for Score {
    const KIND: &'static str = "score";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "scores thresholded heatmaps against expert masks: IoU, Dice, pixel precision and recall";
    const PORTS: &'static [Port] = &[
        Port { name: "cams", reads: &[Cams::OUTPUT], optional: false, many: false },
        Port { name: "thresholds", reads: &[Thresholds::OUTPUT], optional: false, many: false },
        Port { name: "masks", reads: &[Masks::OUTPUT], optional: false, many: false },
    ];
    const OUTPUTS: &'static [&'static str] = &[Scores::OUTPUT];
    const BATCHES: bool = true;
    type Params = Params;

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let members = batch.iter().map(|(params, action)| {
            let thresholds = Thresholds::from_item(action.one("thresholds")?)?;
            Ok(Member { params, action, thresholds })
        });
        in_groups(
            members.collect(),
            |member| (digests(member.action, "cams"), digests(member.action, "masks"), member.thresholds.scale),
            |group| {
                if (context.cancelled)() {
                    return Err(StageError::Cancelled);
                }
                let Member { action, thresholds, .. } = &group[0];
                let cams = Cams::from_item(action.one("cams")?)?;
                let names: HashSet<&str> = cams.names.iter().map(String::as_str).collect();
                let masks = Masks::select_from_item(action.one("masks")?, |name| names.contains(name))?;
                let overlaps = overlaps(&cams, &masks, thresholds.scale)?;
                let outcome = |member: &Member<'_>| -> Outcome {
                    Ok(vec![score(member.params, &cams, &member.thresholds, &overlaps)?.output()?])
                };
                Ok(group.par_iter().map(outcome).collect())
            },
        )
    }
}

#[cfg(test)]
mod tests;
