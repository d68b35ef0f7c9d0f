//! Percentile intervals of means by resampling patients, or images. Sources: Efron and Tibshirani 1993, *An
//! Introduction to the Bootstrap*, section 13.3; Davison and Hinkley 1997, *Bootstrap Methods and their Application*,
//! section 3.8, for whole clusters.
//!
//! Images of one patient depend on each other, so whole patients are drawn, as many as there are. The networks are not
//! trained again: an interval shows the effect of other patients, not of another training. All samples of the same
//! units see the same draws, so adding a model to a study moves no interval of another.

use std::collections::{BTreeMap, BTreeSet};

use crate::artifact::{Interval, Resampling, ResamplingUnit};
use crate::random::Seed;

/// The parameters of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bootstrap {
    /// Share of the resamples that lies in the interval, between 0 and 1.
    pub(crate) level: f64,
    /// Number of resamples.
    pub(crate) resamples: u32,
    /// Seed of the draws.
    pub(crate) seed: u64,
}

/// The default number of resamples: the ends of a 95 % interval then vary by a few hundredths of its width.
pub(crate) const RESAMPLES: u32 = 2000;

/// The default share of the resamples in an interval.
pub(crate) const LEVEL: f64 = 0.95;

/// The values of some units, in groups (folds) whose means are averaged.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Number of units, each with at least one value.
    units: usize,
    groups: Vec<Vec<UnitSum>>,
}

/// The values of one unit in one group.
#[derive(Clone, Copy, Debug, PartialEq)]
struct UnitSum {
    unit: usize,
    sum: f64,
    count: f64,
}

impl Sample {
    /// Collects groups of (unit, value); units are numbered in their order, which must depend only on their names.
    pub(crate) fn of<K: Ord>(groups: impl Iterator<Item = impl Iterator<Item = (K, f64)>>) -> Self {
        let sums = |values| {
            let mut sums: BTreeMap<K, (f64, f64)> = BTreeMap::new();
            for (unit, value) in values {
                let (sum, count) = sums.entry(unit).or_default();
                *sum += value;
                *count += 1.0;
            }
            sums
        };
        let groups: Vec<BTreeMap<K, (f64, f64)>> = groups.map(sums).filter(|group| !group.is_empty()).collect();
        let units: BTreeSet<&K> = groups.iter().flat_map(|group| group.keys()).collect();
        let numbers: BTreeMap<&K, usize> = units.into_iter().zip(0..).collect();
        let sum = |(unit, &(sum, count)): (&K, &(f64, f64))| UnitSum { unit: numbers[unit], sum, count };
        Self { groups: groups.iter().map(|group| group.iter().map(sum).collect()).collect(), units: numbers.len() }
    }

    /// The mean over groups of the means over the values of each, where unit `u` occurs `weights[u]` times.
    fn mean(&self, weights: &[f64]) -> f64 {
        let (mut total, mut groups) = (0.0, 0.0);
        for group in &self.groups {
            let (mut sum, mut count) = (0.0, 0.0);
            for own in group {
                sum += weights[own.unit] * own.sum;
                count += weights[own.unit] * own.count;
            }
            // A fold has no mean if none of its patients was drawn.
            if count > 0.0 {
                total += sum / count;
                groups += 1.0;
            }
        }
        total / groups
    }
}

impl Bootstrap {
    /// The interval of the mean over groups of the means of each; `None` for fewer than two units.
    pub(crate) fn interval(&self, kind: &str, sample: &Sample) -> Option<Interval> {
        if sample.units < 2 {
            return None;
        }
        let mut generator = Seed::new(kind, self.seed, &[]).generator("bootstrap", "");
        let mut weights = vec![0.0; sample.units];
        let mut means: Vec<f64> = (0..self.resamples)
            .map(|_| {
                weights.fill(0.0);
                (0..sample.units).for_each(|_| weights[generator.below(sample.units)] += 1.0);
                sample.mean(&weights)
            })
            .collect();
        means.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        let (low, high) = (quantile(&means, tail), quantile(&means, 1.0 - tail));
        Some(Interval { low, high, units: sample.units as u64 })
    }

    /// The facts about all intervals of a table.
    pub(crate) fn resampling(&self, unit: ResamplingUnit) -> Resampling {
        Resampling { level: self.level, resamples: self.resamples, unit }
    }
}

/// Returns a quantile of sorted values, linear between them, as NumPy does by default.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let index = q * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[index.floor() as usize], sorted[index.ceil() as usize]);
    below + (above - below) * index.fract()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { level: LEVEL, resamples: RESAMPLES, seed: 7 };

    fn sample(groups: &[&[(&str, f64)]]) -> Sample {
        Sample::of(groups.iter().map(|group| group.iter().copied()))
    }

    /// Three draws of 0, 3, 6 have the sums 0, 3, 6, 9, 12, 15, 18 in 1, 3, 6, 7, 6, 3, 1 of 27 cases. At most 3: 4 /
    /// 27 = 0.148, at most 6: 10 / 27 = 0.370, so the lower quartile of the mean is 6 / 3 and, by symmetry, the upper
    /// one 12 / 3.
    #[test]
    fn quartiles_worked_by_hand() {
        let half = Bootstrap { level: 0.5, ..BOOTSTRAP };
        let interval = half.interval("test", &sample(&[&[("a", 0.0), ("b", 3.0), ("c", 6.0)]]));
        assert_eq!(interval, Some(Interval { low: 2.0, high: 4.0, units: 3 }));
    }

    /// Two patients of two images each: drawn as patients, the mean is 0, 0.5 or 1 with probabilities 1/4, 1/2, 1/4;
    /// drawn as images, all four equal with probability 1/16 only, and the lower eighth is that of one 1 among four.
    #[test]
    fn images_of_a_patient_are_drawn_together() {
        let wide = Bootstrap { level: 0.75, ..BOOTSTRAP };
        let patients = sample(&[&[("p", 0.0), ("q", 1.0), ("p", 0.0), ("q", 1.0)]]);
        assert_eq!(wide.interval("test", &patients), Some(Interval { low: 0.0, high: 1.0, units: 2 }));
        let images = sample(&[&[("1", 0.0), ("2", 1.0), ("3", 0.0), ("4", 1.0)]]);
        assert_eq!(wide.interval("test", &images), Some(Interval { low: 0.25, high: 0.75, units: 4 }));
    }

    /// Weights 2 of `p` and 1 of `q`: fold 1 has (2·1 + 1·4) / 3 = 2, fold 2 has 5 alone; their mean is 3.5. Without
    /// `q` fold 2 has no value, and the mean is that of fold 1: 1.
    #[test]
    fn the_mean_is_over_folds_of_the_mean_of_each() {
        let sample = sample(&[&[("p", 1.0), ("q", 4.0)], &[("q", 5.0)], &[]]);
        assert_eq!(sample.mean(&[2.0, 1.0]), 3.5);
        assert_eq!(sample.mean(&[2.0, 0.0]), 1.0);
    }

    #[test]
    fn one_unit_has_no_interval_and_order_does_not_matter() {
        assert_eq!(BOOTSTRAP.interval("test", &sample(&[&[("a", 0.0), ("a", 1.0)]])), None);
        let [forth, back] = [[("a", 0.5), ("b", 0.25), ("c", 1.0)], [("c", 1.0), ("b", 0.25), ("a", 0.5)]];
        assert_eq!(BOOTSTRAP.interval("test", &sample(&[&forth])), BOOTSTRAP.interval("test", &sample(&[&back])));
    }

    #[test]
    fn another_seed_gives_another_interval_close_by() {
        let values: Vec<(String, f64)> =
            (0..50).map(|unit| (format!("{unit:02}"), f64::from(unit * 37 % 50))).collect();
        let sample = Sample::of([values.iter().map(|(unit, value)| (unit, *value))].into_iter());
        let [one, other] = [7, 8].map(|seed| Bootstrap { seed, ..BOOTSTRAP }.interval("test", &sample).unwrap());
        assert_ne!(one, other);
        assert!((one.low - other.low).abs() < 0.5 && (one.high - other.high).abs() < 0.5, "{one:?} {other:?}");
    }

    /// SciPy draws other random numbers, so the ends agree up to the error of sampling: the reference is the mean of
    /// many runs of `scipy.stats.bootstrap` and the standard deviation between them, and ours lies within four of
    /// those.
    #[test]
    fn intervals_are_distributed_as_those_of_scipy() {
        let reference: Value = serde_json::from_str(include_str!("../../tests/reference/bootstrap.json")).unwrap();
        for (name, case) in reference["cases"].as_object().unwrap() {
            let values = case["values"].as_array().unwrap();
            let values = values.iter().map(|pair| (pair[0].as_u64().unwrap(), pair[1].as_f64().unwrap()));
            let interval = BOOTSTRAP.interval("test", &Sample::of([values].into_iter())).unwrap();
            for (ours, theirs) in [(interval.low, &case["low"]), (interval.high, &case["high"])] {
                let (mean, sd) = (theirs[0].as_f64().unwrap(), theirs[1].as_f64().unwrap());
                assert!((ours - mean).abs() < 4.0 * sd, "{name}: {ours} against {mean} ± {sd}");
            }
        }
    }
}
