//! Scores thresholded heatmaps, or the masks that a U-Net predicts, against expert masks. Source: Kang et al. 2021, section 3.3,
//! Eq. 3 and 8.

mod overlap;
mod predicted;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use orchestrate_cache::Digest;
use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, Facts, Output, Port, StageError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::artifact::{
    Cams, Foreground, Masks, PredictedMasks, Rows, Scale, Scores, Series, Table, Thresholds, Truths,
};
use crate::batch::{Outcome, digests, in_groups};
use crate::maps::heatmap::{Profile, profiles, recent, within};
use crate::maps::memo::Memo;
use crate::typed::{Adaptor, Typed};

use overlap::{Agreement, Overlap};

pub use predicted::run_predicted;

/// Parameters of `kind = "score"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Which images are scored: `"correct"` (default), those whose class was predicted correctly, or `"all"`. Of masks that a
    /// network predicts itself all are: there is no class that could be wrong.
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
/// - `cams`: one map an image, `[height, width]`, f32; see [`crate::maps::heatmap`]
/// - `thresholds`: one grey level an image, and the scale of the heatmaps to which they apply
/// - `masks`: ground truth at the network's input size, also of images that `cams` does not have
/// - returns: one row a scored image in the order of `cams`; see [`Scores`]
///
/// Images are matched by name. Empty ground truth has a row without scores. Errors: masks of another size, images that
/// `thresholds` or `masks` lack, and maps that are not finite.
pub fn run(params: &Params, cams: &Cams, thresholds: &Thresholds, masks: &Masks) -> Result<Scores, StageError> {
    let truths = Truths::of(masks);
    let truth_of = truth_of(cams, &truths)?;
    let overlaps = overlaps(cams, thresholds.scale, &profiles(cams, thresholds.scale)?, &truth_of);
    let rows = rows_by_name("thresholds", &thresholds.names, "cams", &cams.names)?;
    let scored = scored(params, cams);
    let mut scores = of_cams(cams, &scored);
    fill(&mut scores, scored.iter().map(|&row| overlaps[row].agreement(thresholds.thresholds[rows[row]])));
    Ok(scores)
}

/// The ground truth of each image of `cams`.
fn truth_of<'t>(cams: &Cams, truths: &'t Truths) -> Result<Vec<&'t Foreground>, StageError> {
    if !cams.names.is_empty() && !truths.names.is_empty() {
        let why = "the maps are compared at the network's input size";
        check_size((truths.height, truths.width), (cams.input_height, cams.input_width), why)?;
    }
    let rows = rows_by_name("masks", &truths.names, "cams", &cams.names)?;
    truths.foregrounds(&rows)
}

/// The histograms of each image of `cams`, from which the scores at any threshold follow.
fn overlaps(cams: &Cams, scale: Scale, profiles: &[Profile], truth_of: &[&Foreground]) -> Vec<Overlap> {
    let inside = within(cams, scale, profiles, |row| truth_of[row]);
    profiles.iter().zip(&inside).map(|(profile, inside)| Overlap::of(&profile.histogram, inside)).collect()
}

/// Rows of the images that are scored.
fn scored(params: &Params, cams: &Cams) -> Vec<usize> {
    let is_scored = |row: &usize| params.images == Which::All || cams.labels[*row] == cams.predicted[*row];
    (0..cams.names.len()).filter(is_scored).collect()
}

/// A row for each image that is scored, still without scores.
fn of_cams(cams: &Cams, scored: &[usize]) -> Scores {
    Scores {
        names: scored.iter().map(|&row| cams.names[row].clone()).collect(),
        labels: scored.iter().map(|&row| cams.labels[row]).collect(),
        predicted: scored.iter().map(|&row| cams.predicted[row]).collect(),
        classes: cams.classes.clone(),
        ..Scores::default()
    }
}

/// Puts in the scores of the images, in their order.
fn fill(scores: &mut Scores, agreements: impl Iterator<Item = Agreement> + Clone) {
    let metric = |index: usize| agreements.clone().map(|agreement| Some(agreement.metrics?[index])).collect();
    scores.iou = metric(0);
    scores.dice = metric(1);
    scores.precision = metric(2);
    scores.recall = metric(3);
    scores.mask_pixels = agreements.clone().map(|agreement| agreement.mask_pixels).collect();
    scores.truth_pixels = agreements.map(|agreement| agreement.truth_pixels).collect();
}

/// Fails unless the ground truth has the `wanted` size, (height, width); `why` reads after "but".
fn check_size(found: (usize, usize), wanted: (usize, usize), why: &str) -> Result<(), StageError> {
    if found == wanted {
        return Ok(());
    }
    let ((height, width), (wanted_height, wanted_width)) = (found, wanted);
    let size = if wanted_height == wanted_width {
        wanted_height.to_string()
    } else {
        format!("[{wanted_height}, {wanted_width}]")
    };
    Err(StageError::input(
        "masks",
        format!(
            "the masks are {height} × {width}, but {why}, {wanted_height} × {wanted_width}; set `size = {size}` in the `dataset` \
             stage that gives the masks"
        ),
    ))
}

/// The row in `names`, read at `port`, of each of the images `wanted` by what was read at `other`.
fn rows_by_name(port: &str, names: &[String], other: &str, wanted: &[String]) -> Result<Vec<usize>, StageError> {
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
                "{} of the {} images of `{other}` are missing, `{first}` for one; both must come from the same data set",
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
    /// `None` where masks are scored that a network predicts itself.
    thresholds: Option<(Rows, Scale)>,
}

impl<'a> Member<'a> {
    fn new(params: &'a Params, action: &'a Action) -> Result<Self, StageError> {
        let connected: Vec<&str> = action.inputs.iter().map(|input| input.port.as_str()).collect();
        check_ports(&connected).map_err(StageError::new)?;
        let thresholds = match action.input("thresholds") {
            Some(_) => {
                let rows = Thresholds::open(action.one("thresholds")?)?;
                let scale = Thresholds::scale(&rows)?;
                Some((rows, scale))
            }
            None => None,
        };
        Ok(Self { params, action, thresholds })
    }

    /// The threshold of each image of `cams`.
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

/// Heatmaps come with thresholds, and in their place may stand predicted masks.
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
        batches: true,
        check_ports,
        ..Facts::new(
            "score",
            2,
            "scores thresholded heatmaps, or predicted masks, against expert masks: IoU, Dice, pixel precision and recall",
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

/// Members that share maps, ground truth, scale and the choice of images, each with its thresholds.
fn score_maps(group: &[Member<'_>], scale: Scale) -> Result<Vec<Outcome>, StageError> {
    let Member { params, action, .. } = &group[0];
    let cams = Cams::from_item(action.one("cams")?)?;
    let truths = recent_truths(action)?;
    let truth_of = truth_of(&cams, &truths)?;
    let profiles = recent(&cams, digests(action, "cams"), scale)?;
    let overlaps = overlaps(&cams, scale, &profiles, &truth_of);
    let scored = scored(params, &cams);
    // The rows are the same for all members: each thread copies them once.
    let outcome = |(scores, series): &mut (Scores, Series), member: &Member<'_>| -> Outcome {
        let levels = member.levels(&cams)?;
        fill(scores, scored.iter().map(|&row| overlaps[row].agreement(levels[row])));
        Ok(vec![series.output(scores)?])
    };
    Ok(group.par_iter().map_init(|| (of_cams(&cams, &scored), Series::default()), outcome).collect())
}

/// Members that share predicted masks and ground truth: they differ in nothing that counts.
fn score_predicted(group: &[Member<'_>]) -> Result<Vec<Outcome>, StageError> {
    let action = group[0].action;
    let predicted = PredictedMasks::from_item(action.one("predicted")?)?;
    let scores = run_predicted(&predicted, &masks_of(action, &predicted.names)?)?;
    Ok(group.iter().map(|_| Ok(vec![scores.output()?])).collect())
}

/// Ground truth that was read lately, by the digests of the masks: every fold needs some of a data set, and so does every network.
static RECENT: Memo<Vec<Digest>, Truths> = Memo::new(64 << 20);

fn recent_truths(action: &Action) -> Result<Arc<Truths>, StageError> {
    RECENT.get(&digests(action, "masks"), || {
        let truths = Truths::open(Masks::open(action.one("masks")?)?)?;
        let size_bytes = truths.size_bytes();
        Ok((truths, size_bytes))
    })
}

/// The ground truth of the images of that name.
fn masks_of(action: &Action, names: &[String]) -> Result<Masks, StageError> {
    let names: HashSet<&str> = names.iter().map(String::as_str).collect();
    Masks::select_from_item(action.one("masks")?, |name| names.contains(name))
}

#[cfg(test)]
mod tests;
