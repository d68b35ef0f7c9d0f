//! The chart of the IoU against the threshold.

use maud::html;

use super::study::{Mean, Study};
use crate::pages::chart::{Axes, Chart, Look, round_above};
use crate::pages::value_axis::{CurvePoint, POINTS_MAX, ValueAxis, curve, shift};

/// The mean IoU of a series at a threshold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ThresholdMean {
    pub(super) series: String,
    /// The label of the threshold; `None` for a series that does not vary along thresholds.
    pub(super) threshold: Option<String>,
    pub(super) mean: Mean,
}

impl ThresholdMean {
    fn tip(&self, groups: &str) -> String {
        let Mean { mean, sd, n, groups: count } = self.mean;
        let threshold = self.threshold.as_deref().map(|label| format!(" at {label}")).unwrap_or_default();
        let sd = sd.map(|sd| format!(" (sd {sd:.3})")).unwrap_or_default();
        format!("{}{threshold}: {mean:.3}{sd}, n = {n} images in {count} {groups}", self.series)
    }
}

/// Returns the mean of every series at every threshold, in order.
pub(super) fn means(study: &Study) -> Vec<ThresholdMean> {
    let mut means = Vec::new();
    for series in &study.series {
        let varies = study.inputs.iter().any(|input| input.point.series == *series && input.point.threshold.is_some());
        let thresholds: Vec<Option<&String>> =
            if varies { study.thresholds.iter().map(Some).collect() } else { vec![None] };
        means.extend(thresholds.into_iter().filter_map(|threshold| {
            let mean = study.mean_iou(series, threshold.map(String::as_str))?;
            Some(ThresholdMean { series: series.clone(), threshold: threshold.cloned(), mean })
        }));
    }
    means
}

/// Returns the largest mean over all thresholds, the first of equals.
pub(super) fn highest(means: &[ThresholdMean]) -> Option<&ThresholdMean> {
    means.iter().reduce(|best, other| if other.mean.mean > best.mean.mean { other } else { best })
}

/// Draws the chart; `None` if nothing varies along thresholds. `groups` names the groups that a mean is over.
pub(super) fn chart(
    study: &Study,
    means: &[ThresholdMean],
    groups: &str,
    look: impl Fn(&str) -> Look,
) -> Option<Chart> {
    let values = ValueAxis::of(&study.thresholds)?;
    let top = round_above(means.iter().map(|point| point.mean.mean + point.mean.sd.unwrap_or(0.0)), 0.05).min(1.0);
    let axes = Axes {
        name: "Mean IoU by threshold, one line or row of points a series".to_owned(),
        x_label: "threshold: grey level (0 to 255), then rules".to_owned(),
        y_label: format!("mean IoU (whiskers: sd over {groups})"),
        x: values.range(0.07),
        y: (0.0, top),
        x_ticks: values.ticks(),
    };
    let few = study.thresholds.len() <= POINTS_MAX;
    let marks = html! {
        @for (index, series) in study.series.iter().enumerate() {
            @let shift = shift(index, study.series.len(), study.thresholds.len());
            @let of_series = means.iter().filter(|mean| mean.series == *series);
            @let points: Vec<CurvePoint> = of_series.clone().filter_map(|point| {
                let value = values.find(point.threshold.as_deref()?)?;
                let (mean, tip) = (point.mean, point.tip(groups));
                Some(CurvePoint { x: value.x, is_number: value.is_number, mean: mean.mean, sd: mean.sd, tip })
            }).collect();
            (curve(&axes, &points, look(series), shift, few))
            @for level in of_series.filter(|point| point.threshold.is_none()) {
                @let ends = [axes.x.0, axes.x.1].map(|x| (x, level.mean.mean));
                g { title { (level.tip(groups)) } (axes.line(&ends, look(series), "", Some("6 4"))) }
            }
        }
    };
    let legend = study.series.iter().map(|series| (look(series), series.clone())).collect();
    Some(Chart { axes, marks, legend })
}
