//! Scores of thresholded heatmaps, or of masks predicted by a U-Net, against expert masks. Source: Kang et al. 2021,
//! section 3.3, Eq. 3 and 8.

mod matching;
mod overlap;
mod predicted;

use std::sync::Arc;

use orchestrate_cache::Digest;
use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, Facts, InputProblem, Output, PlannedNode, Port, StageError};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::{
    Cams, Foreground, MaskReader, Masks, PredictedMasks, PredictedReader, Rows, Scale, Scores, Series, Table,
    Thresholds,
};
use crate::batch::{Outcome, digests, in_groups};
use crate::maps::derived_cache::DerivedCache;
use crate::maps::heatmap::{Profile, cached_profiles, profiles, within};
use crate::planned_size::{at_port, planned_size};
use crate::typed::{Adaptor, Typed};

use matching::{check_size, rows_by_name};
use overlap::{Overlap, fill};

use predicted::PREDICTED_SIZE;
pub use predicted::run_predicted;

/// Parameters of `kind = "score"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The images to score. Predicted masks are always all scored, as there is no class that could be wrong.
    #[serde(default)]
    pub images: Which,
}

/// Choice of the images to score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
/// - `cams`: one map an image, `[height, width]`, f32; see [`crate::maps::heatmap`]
/// - `thresholds`: one grey level an image, and the scale of the heatmaps to which they apply
/// - `masks`: ground truth at the network's input size; further images are ignored
/// - returns: one row a scored image in the order of `cams`; see [`Scores`]
///
/// Images are matched by name. Empty ground truth has a row without scores. A constant heatmap, which no threshold
/// separates, scores as its empty mask does, and is marked. Errors: masks of another size, images missing from
/// `thresholds` or `masks`, and maps that are not finite.
pub fn run(params: &Params, cams: &Cams, thresholds: &Thresholds, masks: &Masks) -> Result<Scores, StageError> {
    let truths = MaskReader::from(masks);
    let truth_of = truth_of(cams, &truths)?;
    let profiles = profiles(cams, thresholds.scale)?;
    let overlaps = overlaps(cams, thresholds.scale, &profiles, &truth_of);
    let rows = rows_by_name("thresholds", &thresholds.names, "cams", &cams.names)?;
    let scored = scored(params, cams);
    let mut scores = of_cams(params, cams, &profiles, &scored);
    fill(&mut scores, scored.iter().map(|&row| overlaps[row].agreement(thresholds.thresholds[rows[row]])));
    Ok(scores)
}

/// Returns the ground truth of each image of `cams`.
fn truth_of<'t>(cams: &Cams, truths: &'t MaskReader) -> Result<Vec<&'t Foreground>, StageError> {
    if !cams.names.is_empty() && !truths.names.is_empty() {
        check_size((truths.height, truths.width), (cams.input_height, cams.input_width), MAPS_SIZE)?;
    }
    let rows = rows_by_name("masks", &truths.names, "cams", &cams.names)?;
    truths.foregrounds(&rows)
}

/// Computes the overlap of each image of `cams`, from which the scores at any threshold follow.
fn overlaps(cams: &Cams, scale: Scale, profiles: &[Profile], truth_of: &[&Foreground]) -> Vec<Overlap> {
    let inside = within(cams, scale, profiles, |row| truth_of[row]);
    profiles.iter().zip(&inside).map(|(profile, inside)| Overlap::of(&profile.histogram, inside)).collect()
}

/// Returns the rows of the images to score.
fn scored(params: &Params, cams: &Cams) -> Vec<usize> {
    let is_scored = |row: &usize| params.images == Which::All || cams.labels[*row] == cams.predicted[*row];
    (0..cams.names.len()).filter(is_scored).collect()
}

/// Makes a row for each image to score, still without scores.
fn of_cams(params: &Params, cams: &Cams, profiles: &[Profile], scored: &[usize]) -> Scores {
    let constant: Vec<bool> = scored.iter().map(|&row| profiles[row].histogram.is_constant()).collect();
    let of_class = |class: usize| cams.labels.iter().filter(|&&label| label as usize == class).count() as u64;
    Scores {
        constant: if constant.contains(&true) { constant } else { Vec::new() },
        classified: (params.images == Which::Correct).then(|| (0..cams.classes.len()).map(of_class).collect()),
        names: scored.iter().map(|&row| cams.names[row].clone()).collect(),
        labels: scored.iter().map(|&row| cams.labels[row]).collect(),
        predicted: scored.iter().map(|&row| cams.predicted[row]).collect(),
        classes: cams.classes.clone(),
        ..Scores::default()
    }
}

/// One member of a batch; inputs shared with other members are read later.
struct Member<'a> {
    params: &'a Params,
    action: &'a Action,
    /// `None` for predicted masks.
    thresholds: Option<(Rows, Scale)>,
}

impl<'a> Member<'a> {
    fn new(params: &'a Params, action: &'a Action) -> Result<Self, StageError> {
        let connected: Vec<&str> = action.inputs.iter().map(|input| input.port.as_str()).collect();
        check_ports(&connected).map_err(StageError::new)?;
        let mut member = Self { params, action, thresholds: None };
        if action.input("thresholds").is_some() {
            let rows = Thresholds::open(action.one("thresholds")?)?;
            let scale = Thresholds::scale(&rows)?;
            member.thresholds = Some((rows, scale));
        }
        Ok(member)
    }

    /// Returns the threshold of each image of `cams`.
    fn levels(&self, cams: &Cams) -> Result<Vec<f64>, StageError> {
        let (rows, _) = self.thresholds.as_ref().expect("members of a group are alike");
        // Comparing costs less than reading the names once more for each of hundreds of thresholds.
        if rows.has_texts("image", &cams.names)? {
            return Thresholds::levels(rows, |row| cams.names[row].clone());
        }
        let thresholds = Thresholds::from_rows(rows)?;
        let rows = rows_by_name("thresholds", &thresholds.names, "cams", &cams.names)?;
        Ok(rows.into_iter().map(|row| thresholds.thresholds[row]).collect())
    }
}

/// Requires either heatmaps with thresholds or predicted masks.
fn check_ports(connected: &[&str]) -> Result<(), String> {
    let has = |port: &str| connected.contains(&port);
    let choice = "read either `cams` and `thresholds`, or `predicted`";
    match (has("cams"), has("thresholds"), has("predicted")) {
        (true, true, false) | (false, false, true) => Ok(()),
        (_, _, true) => Err(format!("it has both heatmaps and predicted masks to score; {choice}")),
        (true, false, false) => Err(format!("it reads `cams` without `thresholds`; {choice}")),
        (false, true, false) => Err(format!("it reads `thresholds` without `cams`; {choice}")),
        (false, false, false) => Err(format!("it has no masks to score; {choice}")),
    }
}

pub(crate) struct Score;

pub(crate) static STAGE: Adaptor<Score> = Adaptor::new();

impl Typed for Score {
    const FACTS: Facts = Facts {
        ports: &[
            Port { name: "cams", reads: &[Cams::OUTPUT], optional: true, many: false },
            Port { name: "thresholds", reads: &[Thresholds::OUTPUT], optional: true, many: false },
            Port { name: "predicted", reads: &[PredictedMasks::OUTPUT], optional: true, many: false },
            Port { name: "masks", reads: &[Masks::OUTPUT], optional: false, many: false },
        ],
        outputs: &[Scores::OUTPUT],
        artifacts: &[Scores::FACTS],
        batches: true,
        check_ports,
        check_inputs: Some(check_sizes),
        ..Facts::new(
            "score",
            3,
            "scores thresholded heatmaps, or predicted masks, against expert masks: IoU, Dice, pixel precision and \
             recall",
        )
    };
    type Params = Params;

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        in_groups(
            batch.par_iter().map(|(params, action)| Member::new(params, action)).collect(),
            |member| {
                let read = ["cams", "predicted", "masks"].map(|port| digests(member.action, port));
                (read, member.thresholds.as_ref().map(|(_, scale)| *scale), member.params.images)
            },
            |group| {
                if (context.cancelled)() {
                    return Err(StageError::Cancelled);
                }
                match &group[0].thresholds {
                    Some((_, scale)) => score_maps(group, *scale),
                    None => score_predicted(group),
                }
            },
        )
    }
}

/// The reason why ground truth needs the size of the images, after "but".
const MAPS_SIZE: &str = "the maps are compared at the network's input size";

/// Compares the size of the ground truth with that of the images before anything runs.
fn check_sizes(node: &dyn PlannedNode) -> Vec<InputProblem> {
    let Some(truth) = planned_size(node, "masks") else { return Vec::new() };
    let wanted = planned_size(node, "cams").map(|size| (size, MAPS_SIZE));
    let wanted = wanted.or_else(|| Some((planned_size(node, "predicted")?, PREDICTED_SIZE)));
    let Some((size, why)) = wanted else { return Vec::new() };
    at_port("masks", check_size((truth, truth), (size, size), why))
}

/// Scores members that share maps, ground truth, scale and the choice of images, each with its thresholds.
fn score_maps(group: &[Member<'_>], scale: Scale) -> Result<Vec<Outcome>, StageError> {
    let Member { params, action, .. } = &group[0];
    let cams = Cams::from_item(action.one("cams")?)?;
    let truths = cached_truths(action)?;
    let truth_of = truth_of(&cams, &truths)?;
    let profiles = cached_profiles(&cams, digests(action, "cams"), scale)?;
    let overlaps = overlaps(&cams, scale, &profiles, &truth_of);
    let scored = scored(params, &cams);
    // The rows are the same for all members, so each thread copies them once.
    let rows = || (of_cams(params, &cams, &profiles, &scored), Series::default());
    let outcome = |(scores, series): &mut (Scores, Series), member: &Member<'_>| -> Outcome {
        let levels = member.levels(&cams)?;
        fill(scores, scored.iter().map(|&row| overlaps[row].agreement(levels[row])));
        Ok(vec![series.output(scores)?])
    };
    Ok(group.par_iter().map_init(rows, outcome).collect())
}

/// Scores members that share predicted masks and ground truth, which decide the result.
fn score_predicted(group: &[Member<'_>]) -> Result<Vec<Outcome>, StageError> {
    let action = group[0].action;
    let predicted = PredictedReader::from_item(action.one("predicted")?)?;
    let scores = run_predicted(&predicted, &*cached_truths(action)?)?;
    Ok(group.iter().map(|_| Ok(vec![scores.output()?])).collect())
}

/// Recent ground truth, by the digests of the masks; every fold and every network needs some of a data set's.
static CACHE: DerivedCache<Vec<Digest>, MaskReader> = DerivedCache::new(64 << 20, MaskReader::size_bytes);

fn cached_truths(action: &Action) -> Result<Arc<MaskReader>, StageError> {
    CACHE.get_or_compute(&digests(action, "masks"), || MaskReader::from_item(action.one("masks")?))
}

#[cfg(test)]
mod tests;
