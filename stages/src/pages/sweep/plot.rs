//! The chart of the metric against the swept axis: a line and a band of one standard deviation a series, the best value
//! marked.

use maud::{Markup, html};

use super::choice::{Best, Score};
use super::swept::{Series, Swept};
use crate::pages::chart::{Axes, Chart, Look, number, round_above, ticks};
use crate::pages::value_axis::{CurvePoint, POINTS_MAX, ValueAxis, curve, shift};

/// Draws the chart as an SVG file; `None` if no image has a score.
pub fn svg(swept: &Swept) -> Option<Vec<u8>> {
    let values = ValueAxis::of(&swept.values)?;
    let all = || swept.series.iter().flat_map(|series| &series.scores);
    all().find_map(|score| score.mean)?;
    let tops = all().filter_map(|score| Some(score.mean? + score.sd.unwrap_or(0.0)));
    let metric = swept.metric_word();
    let few = swept.values.len() <= POINTS_MAX;
    let folds = swept.series.iter().any(|series| series.folds.len() > 1);
    let spread = match (folds, few) {
        (false, _) => "",
        (true, true) => " (whiskers: sd over folds)",
        (true, false) => " (band: ± sd over folds)",
    };
    let axes = Axes {
        name: format!("Mean {metric} by {}, one line a series; a ring marks the best", swept.axis),
        x_label: x_label(&swept.axis, &values),
        y_label: format!("mean {metric}{spread}"),
        x: values.range(0.03),
        y: (0.0, round_above(tops, 0.05).min(1.0)),
        x_ticks: match !few && values.0.iter().all(|value| value.is_number) {
            true => ticks(values.span()),
            false => values.ticks(),
        },
    };
    let series: Vec<_> = swept.series.iter().map(|series| (series, points(series, &values))).collect();
    let drawn = || {
        let shift = |index| shift(index, series.len(), swept.values.len());
        series.iter().enumerate().map(move |(index, (series, points))| (*series, points, Look(index), shift(index)))
    };
    // A single number makes no line, so it is a point however many rules stand beside it.
    let as_points = |points: &[CurvePoint]| few || points.iter().filter(|point| point.is_number).count() < 2;
    let marks = html! {
        @if !few { @for (_, points, look, _) in drawn() { (band(&axes, points, look)) } }
        @for (_, points, look, shift) in drawn() { (curve(&axes, points, look, shift, as_points(points))) }
        @for (series, _, look, shift) in drawn() { (ring(&axes, series, &values, look, shift)) }
    };
    let legend = drawn().map(|(series, _, look, _)| (look, legend(series))).collect();
    Some(Chart { axes, marks, legend }.file())
}

fn x_label(axis: &str, values: &ValueAxis<'_>) -> String {
    let unit = if axis == "threshold" { " (grey level, 0 to 255)" } else { "" };
    match (values.0.iter().any(|value| value.is_number), values.0.iter().any(|value| !value.is_number)) {
        (true, true) => format!("{axis}{unit}, then rules"),
        (true, false) => format!("{axis}{unit}"),
        _ => axis.to_owned(),
    }
}

fn legend(series: &Series) -> String {
    match &series.best {
        Some(Best { value, mean, .. }) => format!("{}: {value} ({mean:.3})", series.name),
        None => format!("{}: no score", series.name),
    }
}

/// The scores of a series in the order of the axis.
fn points(series: &Series, values: &ValueAxis<'_>) -> Vec<CurvePoint> {
    let point = values.0.iter().filter_map(|value| {
        let score = series.scores.iter().find(|score| score.value == value.label)?;
        let (mean, sd, tip) = (score.mean?, score.sd, tip(series, score));
        Some(CurvePoint { x: value.x, is_number: value.is_number, mean, sd, tip })
    });
    point.collect()
}

fn band(axes: &Axes, points: &[CurvePoint], look: Look) -> Markup {
    let edge = |sign: f64| {
        points.iter().filter(|point| point.is_number).filter_map(move |point| {
            let y = (point.mean + sign * point.sd?).clamp(axes.y.0, axes.y.1);
            Some(format!("{},{}", number(axes.x(point.x)), number(axes.y(y))))
        })
    };
    let mut outline: Vec<String> = edge(-1.0).collect();
    outline.reverse();
    outline.splice(0..0, edge(1.0));
    html! {
        @if outline.len() > 2 {
            polygon class=(format!("band {}", look.class())) points=(outline.join(" ")) fill=(look.colour())
                stroke="none" opacity="0.14" {}
        }
    }
}

/// A ring around the best value.
fn ring(axes: &Axes, series: &Series, values: &ValueAxis<'_>, look: Look, shift: f64) -> Markup {
    let best = series.best.as_ref().and_then(|best| {
        let score = series.scores.iter().find(|score| score.value == best.value)?;
        Some((values.find(&best.value)?.x, best, score))
    });
    html! {
        @if let Some((x, best, score)) = best {
            g class=(format!("best {}", look.class())) {
                title { "best: " (tip(series, score)) }
                circle cx=(number(axes.x(x) + shift)) cy=(number(axes.y(best.mean))) r="6.5" fill="none"
                    stroke=(look.colour()) stroke-width="2.2" {}
            }
        }
    }
}

fn tip(series: &Series, score: &Score) -> String {
    let mean = score.mean.map(|mean| format!("{mean:.3}")).unwrap_or_default();
    let sd = score.sd.map(|sd| format!(" (sd {sd:.3})")).unwrap_or_default();
    format!("{} at {}: {mean}{sd}, n = {}", series.name, score.value, score.n)
}
