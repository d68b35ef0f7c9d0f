//! Agreement of masks with the ground truth; of a heatmap at any threshold, from two histograms.

use crate::artifact::{Run, Scores, count, count_common};
use crate::maps::heatmap::Histogram;

/// Numbers of pixels of one heatmap above each grey level: of all its pixels, and of those in the ground truth.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Overlap {
    all: Above,
    truth: Above,
}

/// Numbers of pixels of at least the grey level 0..=256.
type Above = [u32; 257];

/// Agreement of one mask with the ground truth. Source of `iou`: Kang et al. 2021, Eq. 8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Agreement {
    /// iou, dice, precision, recall, in the order of [`Scores::METRICS`]; `None` if the truth is empty.
    pub(super) metrics: Option<[f64; 4]>,
    pub(super) mask_pixels: u32,
    pub(super) truth_pixels: u32,
}

impl Overlap {
    /// Sums up the grey levels of all pixels of a heatmap, and of those in the ground truth.
    pub(super) fn of(all: &Histogram, truth: &Histogram) -> Self {
        Self { all: above(all), truth: above(truth) }
    }

    /// Compares the mask `heatmap > threshold`, with a threshold in 0..=255; zero division is 0.
    pub(super) fn agreement(&self, threshold: f64) -> Agreement {
        let first = (threshold.floor() as usize + 1).min(256);
        Agreement::of(self.truth[first].into(), self.all[first].into(), self.truth[0].into())
    }
}

fn above(histogram: &Histogram) -> Above {
    let mut above = [0; 257];
    for (level, count) in histogram.counts().iter().enumerate().rev() {
        above[level] = above[level + 1] + count;
    }
    above
}

impl Agreement {
    /// Compares two masks.
    pub(super) fn of_masks(mask: &[Run], truth: &[Run]) -> Self {
        Self::of(count_common(mask, truth), count(mask), count(truth))
    }

    /// Computes the metrics from the pixels in both masks, in the mask, and in the truth.
    fn of(both: u64, mask: u64, truth: u64) -> Self {
        let ratio = |some: u64, all: u64| if all == 0 { 0.0 } else { some as f64 / all as f64 };
        let metrics =
            [ratio(both, mask + truth - both), ratio(2 * both, mask + truth), ratio(both, mask), ratio(both, truth)];
        Self { metrics: (truth > 0).then_some(metrics), mask_pixels: mask as u32, truth_pixels: truth as u32 }
    }
}

/// Sets the scores of the images, in their order.
pub(super) fn fill(scores: &mut Scores, agreements: impl Iterator<Item = Agreement> + Clone) {
    let metric = |index: usize| agreements.clone().map(|agreement| Some(agreement.metrics?[index])).collect();
    scores.iou = metric(0);
    scores.dice = metric(1);
    scores.precision = metric(2);
    scores.recall = metric(3);
    scores.mask_pixels = agreements.clone().map(|agreement| agreement.mask_pixels).collect();
    scores.truth_pixels = agreements.map(|agreement| agreement.truth_pixels).collect();
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::artifact::foreground;

    /// From a heatmap and its ground truth (1 = foreground), pixel by pixel.
    fn overlap(heatmap: &[u8], truth: &[u8]) -> Overlap {
        let inside = heatmap.iter().zip(truth).filter(|&(_, &truth)| truth != 0).map(|(&level, _)| level);
        Overlap::of(&Histogram::of(heatmap.iter().copied()), &Histogram::of(inside))
    }

    /// ```text
    /// heatmap  0 200   truth  0 1   T = 200: mask 0 0   both 1 of mask 1, truth 2
    ///        201 100          1 0                 1 0
    /// ```
    #[test]
    fn a_mask_worked_by_hand() {
        let overlap = overlap(&[0, 200, 201, 100], &[0, 1, 1, 0]);
        let agreement = overlap.agreement(200.0);
        let expected = Agreement { metrics: Some([0.5, 2.0 / 3.0, 1.0, 0.5]), mask_pixels: 1, truth_pixels: 2 };
        assert_eq!(agreement, expected);
        assert_eq!(overlap.agreement(199.5).metrics, Some([1.0; 4]));
    }

    #[test]
    fn only_pixels_strictly_above_the_threshold_count() {
        let overlap = overlap(&[0, 10, 10, 11, 255], &[0, 0, 1, 0, 1]);
        let pixels = |threshold| {
            let Agreement { mask_pixels, truth_pixels, .. } = overlap.agreement(threshold);
            (mask_pixels, truth_pixels)
        };
        let masks = [0.0, 9.5, 10.0, 10.5, 11.0, 254.0, 255.0].map(pixels);
        assert_eq!(masks, [4, 4, 2, 2, 1, 1, 0].map(|mask| (mask, 2)));
    }

    #[test]
    fn an_empty_mask_scores_zero_and_an_empty_truth_nothing() {
        assert_eq!(overlap(&[0, 9], &[0, 1]).agreement(255.0).metrics, Some([0.0; 4]));
        let empty = overlap(&[0, 9], &[0, 0]).agreement(1.0);
        assert_eq!(empty, Agreement { metrics: None, mask_pixels: 1, truth_pixels: 0 });
    }

    #[derive(Deserialize)]
    struct Reference {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        heatmap: Vec<u8>,
        truth: Vec<u8>,
        scores: Vec<(f64, [f64; 4])>,
    }

    #[test]
    fn scores_are_those_of_scikit_learn() {
        let reference: Reference = serde_json::from_str(include_str!("../../../tests/reference/score.json")).unwrap();
        for case in reference.cases {
            let overlap = overlap(&case.heatmap, &case.truth);
            for (threshold, theirs) in case.scores {
                let ours = overlap.agreement(threshold).metrics.unwrap();
                for (ours, theirs) in ours.iter().zip(theirs) {
                    assert!((ours - theirs).abs() < 1e-12, "{ours} against {theirs} at {threshold}");
                }
                let mask: Vec<u8> = case.heatmap.iter().map(|&level| u8::from(f64::from(level) > threshold)).collect();
                let [mask, truth] = [&mask, &case.truth].map(|pixels| foreground(pixels, pixels.len()));
                assert_eq!(Agreement::of_masks(&mask, &truth), overlap.agreement(threshold));
            }
        }
    }
}
