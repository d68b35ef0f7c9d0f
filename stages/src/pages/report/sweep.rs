//! IoU against the threshold: fixed grey levels along a line, rules such as `q90` and `otsu` as points beside them.

use maud::html;

use super::chart::{Axes, Chart, Look, number, round_above};
use super::study::{Mean, Study};

/// Slots of the rules, as a share of the span of the grey levels.
const SLOT: f64 = 0.22;

/// The mean IoU of a series at a threshold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) series: String,
    /// The label; `None` for a series that does not vary along thresholds.
    pub(super) threshold: Option<String>,
    pub(super) mean: Mean,
}

/// Every series at every threshold, in order.
pub(super) fn figures(study: &Study) -> Vec<Figure> {
    let mut figures = Vec::new();
    for series in &study.series {
        let varies = study.inputs.iter().any(|input| input.place.series == *series && input.place.threshold.is_some());
        let thresholds: Vec<Option<&String>> =
            if varies { study.thresholds.iter().map(Some).collect() } else { vec![None] };
        for threshold in thresholds {
            if let Some(mean) = study.mean_iou(series, threshold.map(String::as_str)) {
                figures.push(Figure { series: series.clone(), threshold: threshold.cloned(), mean });
            }
        }
    }
    figures
}

/// The figure with the largest mean, be its threshold a grey level or a rule; the first of equals.
pub(super) fn highest(figures: &[Figure]) -> Option<&Figure> {
    figures.iter().reduce(|best, figure| if figure.mean.mean > best.mean.mean { figure } else { best })
}

/// The chart; `None` where nothing varies along thresholds. `groups` are what means are taken over.
pub(super) fn chart(study: &Study, figures: &[Figure], groups: &str, look: impl Fn(&str) -> Look) -> Option<Chart> {
    let places = places(&study.thresholds)?;
    let top = round_above(figures.iter().map(|figure| figure.mean.mean + figure.mean.sd.unwrap_or(0.0)), 0.05).min(1.0);
    let low = places.iter().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let high = places.iter().map(|(x, _)| *x).fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * 0.07).max(0.5);
    let axes = Axes {
        name: "Mean IoU by threshold, one line or row of points a series".to_owned(),
        x_label: "threshold: grey level (0 to 255), then rules".to_owned(),
        y_label: format!("mean IoU (whiskers: sd over {groups})"),
        x: (low - margin, high + margin),
        y: (0.0, top),
        x_ticks: thinned(places.iter().map(|(x, level)| (*x, level.label.to_owned())).collect()),
    };
    let count = study.series.len();
    let few = study.thresholds.len() <= 12;
    let marks = html! {
        @for (index, series) in study.series.iter().enumerate() {
            @let shift = if few { (index as f64 - (count as f64 - 1.0) / 2.0) * (26.0 / count as f64).min(6.0) } else { 0.0 };
            @let of_series = figures.iter().filter(|figure| figure.series == *series);
            @let at = |figure: &Figure| places.iter().find(|(_, level)| Some(level.label) == figure.threshold.as_deref());
            @let line: Vec<(f64, f64)> = of_series.clone()
                .filter_map(|figure| at(figure).filter(|(_, level)| level.is_fixed).map(|(x, _)| (*x, figure.mean.mean)))
                .collect();
            @if line.len() > 1 {
                g transform=(format!("translate({} 0)", number(shift))) { (axes.line(&line, look(series), "", None)) }
            }
            @for figure in of_series {
                @if let Some((x, level)) = at(figure) {
                    @if few || !level.is_fixed {
                        (axes.point((*x, figure.mean.mean), figure.mean.sd, look(series), shift, &tip(figure, groups)))
                    }
                } @else {
                    g { title { (tip(figure, groups)) }
                        (axes.line(&[(axes.x.0, figure.mean.mean), (axes.x.1, figure.mean.mean)], look(series), "", Some("6 4"))) }
                }
            }
        }
    };
    let legend = study.series.iter().map(|series| (look(series), series.clone())).collect();
    Some(Chart { axes, marks, legend })
}

fn tip(figure: &Figure, groups: &str) -> String {
    let Mean { mean, sd, n, groups: count } = figure.mean;
    let threshold = figure.threshold.as_deref().map(|label| format!(" at {label}")).unwrap_or_default();
    let sd = sd.map(|sd| format!(" (sd {sd:.3})")).unwrap_or_default();
    format!("{}{threshold}: {mean:.3}{sd}, n = {n} images in {count} {groups}", figure.series)
}

/// A threshold along the axis.
pub(crate) struct Level<'a> {
    pub(crate) label: &'a str,
    /// Whether it is a grey level, not a rule.
    pub(crate) is_fixed: bool,
}

/// Where thresholds lie along the axis: grey levels at their value, rules after them.
pub(crate) fn places(labels: &[String]) -> Option<Vec<(f64, Level<'_>)>> {
    let fixed: Vec<(f64, Level<'_>)> = labels
        .iter()
        .filter_map(|label| Some((label.parse().ok()?, Level { label, is_fixed: true })))
        .filter(|(level, _): &(f64, _)| level.is_finite())
        .collect();
    let mut fixed = fixed;
    fixed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let (low, high) = (fixed.first().map_or(0.0, |(x, _)| *x), fixed.last().map_or(0.0, |(x, _)| *x));
    let slot = if high > low { ((high - low) * SLOT).max(1.0) } else { 1.0 };
    let rules: Vec<&String> =
        labels.iter().filter(|label| fixed.iter().all(|(_, level)| level.label != *label)).collect();
    // Two grey levels alone would fill the axis: rules then get as much room as they do.
    let slot = if fixed.len() <= 3 && high > low { (high - low) / (fixed.len() - 1) as f64 } else { slot };
    let first = if fixed.is_empty() { 0.0 } else { high + slot };
    fixed.extend(
        rules
            .into_iter()
            .enumerate()
            .map(|(index, label)| (first + index as f64 * slot, Level { label, is_fixed: false })),
    );
    (!fixed.is_empty()).then_some(fixed)
}

/// Leaves out texts that would lie on each other.
pub(crate) fn thinned(ticks: Vec<(f64, String)>) -> Vec<(f64, String)> {
    const SHOWN_MAX: f64 = 11.0;
    let low = ticks.iter().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let high = ticks.iter().map(|(x, _)| *x).fold(f64::NEG_INFINITY, f64::max);
    let distance = (high - low) / SHOWN_MAX;
    let mut kept: Vec<(f64, String)> = Vec::new();
    for (x, text) in ticks.into_iter().rev() {
        if kept.last().is_none_or(|(last, _)| last - x >= distance * 0.999) {
            kept.push((x, text));
        }
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|&label| label.to_owned()).collect()
    }

    #[test]
    fn grey_levels_lie_at_their_value_and_rules_after_them() {
        let labels = labels(&["225", "q90", "200", "otsu"]);
        let places = places(&labels).unwrap();
        let shown: Vec<_> = places.iter().map(|(x, level)| (level.label, *x, level.is_fixed)).collect();
        assert_eq!(shown, [("200", 200.0, true), ("225", 225.0, true), ("q90", 250.0, false), ("otsu", 275.0, false)]);
        assert!(super::places(&[]).is_none());
    }

    #[test]
    fn rules_alone_have_an_axis_too() {
        let labels = labels(&["q90", "otsu"]);
        assert_eq!(places(&labels).unwrap().iter().map(|(x, _)| *x).collect::<Vec<_>>(), [0.0, 1.0]);
    }

    #[test]
    fn texts_of_a_fine_sweep_do_not_lie_on_each_other() {
        let ticks: Vec<_> = (0..62).map(|step| (f64::from(128 + 2 * step), (128 + 2 * step).to_string())).collect();
        let kept = thinned(ticks);
        assert!((6..=12).contains(&kept.len()), "{kept:?}");
    }
}
