//! The horizontal axis of swept values, such as thresholds: numbers at their value, rules such as `q90` and `otsu`
//! behind them.

use maud::{Markup, html};

use super::chart::{Axes, Look, number};

/// Room of a rule, as a share of the span of the numbers.
const RULE_WIDTH: f64 = 0.22;

/// Most values that are drawn as points with whiskers; more would hide each other.
pub(crate) const POINTS_MAX: usize = 12;

/// Values along a horizontal axis, the numbers first and in ascending order.
pub(crate) struct ValueAxis<'a>(pub(crate) Vec<AxisValue<'a>>);

/// One value on the axis.
pub(crate) struct AxisValue<'a> {
    pub(crate) x: f64,
    pub(crate) label: &'a str,
    /// Whether it is a number, not a rule.
    pub(crate) is_number: bool,
}

/// A score at one value of the axis.
pub(crate) struct CurvePoint {
    pub(crate) x: f64,
    pub(crate) is_number: bool,
    pub(crate) mean: f64,
    pub(crate) sd: Option<f64>,
    pub(crate) tip: String,
}

impl<'a> ValueAxis<'a> {
    /// Lays out the labels; `None` without any.
    pub(crate) fn of(labels: &'a [String]) -> Option<Self> {
        let value = |label: &'a String| label.parse().ok().filter(|x: &f64| x.is_finite()).map(|x| (x, label.as_str()));
        let mut numbers: Vec<(f64, &str)> = labels.iter().filter_map(value).collect();
        numbers.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (low, high) = (numbers.first().map_or(0.0, |(x, _)| *x), numbers.last().map_or(0.0, |(x, _)| *x));
        let width = match numbers.len() {
            _ if high <= low => 1.0,
            // Two numbers alone would fill the axis: rules then get as much room as they do.
            count if count <= 3 => (high - low) / (count - 1) as f64,
            _ => ((high - low) * RULE_WIDTH).max(1.0),
        };
        let first = if numbers.is_empty() { 0.0 } else { high + width };
        let rules = labels.iter().filter(|label| value(label).is_none()).enumerate();
        let rules = rules.map(|(index, label)| (first + index as f64 * width, label.as_str()));
        let rules = rules.map(|(x, label)| AxisValue { x, label, is_number: false });
        let values = numbers.iter().map(|&(x, label)| AxisValue { x, label, is_number: true }).chain(rules);
        Some(Self(values.collect())).filter(|axis| !axis.0.is_empty())
    }

    /// The value of that label.
    pub(crate) fn find(&self, label: &str) -> Option<&AxisValue<'a>> {
        self.0.iter().find(|value| value.label == label)
    }

    /// The least and the largest value.
    pub(crate) fn span(&self) -> (f64, f64) {
        let x = || self.0.iter().map(|value| value.x);
        (x().fold(f64::INFINITY, f64::min), x().fold(f64::NEG_INFINITY, f64::max))
    }

    /// The span with a margin on both sides, given as a share of it.
    pub(crate) fn range(&self, margin: f64) -> (f64, f64) {
        let (low, high) = self.span();
        let margin = ((high - low) * margin).max(0.5);
        (low - margin, high + margin)
    }

    /// The labels of the values, without those that would overlap.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        const SHOWN_MAX: f64 = 11.0;
        let (low, high) = self.span();
        let distance = (high - low) / SHOWN_MAX;
        let mut kept: Vec<(f64, String)> = Vec::new();
        for AxisValue { x, label, .. } in self.0.iter().rev() {
            if kept.last().is_none_or(|(last, _)| last - x >= distance * 0.999) {
                kept.push((*x, (*label).to_owned()));
            }
        }
        kept.reverse();
        kept
    }
}

/// The sideways shift of a series, which keeps the points of several at one value apart.
pub(crate) fn shift(index: usize, count: usize, values: usize) -> f64 {
    if values > POINTS_MAX {
        return 0.0;
    }
    (index as f64 - (count as f64 - 1.0) / 2.0) * (26.0 / count as f64).min(6.0)
}

/// Draws a series: a line through the numbers, and as points the rules and, on demand, the numbers.
pub(crate) fn curve(axes: &Axes, points: &[CurvePoint], look: Look, shift: f64, numbers_as_points: bool) -> Markup {
    let line: Vec<(f64, f64)> =
        points.iter().filter(|point| point.is_number).map(|point| (point.x, point.mean)).collect();
    html! {
        @if line.len() > 1 {
            g transform=(format!("translate({} 0)", number(shift))) { (axes.line(&line, look, "", None)) }
        }
        @for point in points.iter().filter(|point| numbers_as_points || !point.is_number) {
            (axes.point((point.x, point.mean), point.sd, look, shift, &point.tip))
        }
    }
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
        let axis = ValueAxis::of(&labels).unwrap();
        let shown: Vec<_> = axis.0.iter().map(|value| (value.label, value.x, value.is_number)).collect();
        assert_eq!(shown, [("200", 200.0, true), ("225", 225.0, true), ("q90", 250.0, false), ("otsu", 275.0, false)]);
        assert!(ValueAxis::of(&[]).is_none());
    }

    #[test]
    fn rules_alone_have_an_axis_too() {
        let labels = labels(&["q90", "otsu"]);
        assert_eq!(ValueAxis::of(&labels).unwrap().0.iter().map(|value| value.x).collect::<Vec<_>>(), [0.0, 1.0]);
    }

    #[test]
    fn labels_of_a_fine_sweep_do_not_overlap() {
        let labels: Vec<String> = (0..62).map(|step| (128 + 2 * step).to_string()).collect();
        let kept = ValueAxis::of(&labels).unwrap().ticks();
        assert!((6..=12).contains(&kept.len()), "{kept:?}");
    }
}
