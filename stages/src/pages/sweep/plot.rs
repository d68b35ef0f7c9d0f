//! The metric against the swept axis: a line and a band of one standard deviation a series, its best value marked.

use maud::{Markup, html};

use super::{Best, Score, Series, Swept, word};
use crate::pages::report::chart::{Axes, Chart, Look, number, round_above, ticks};
use crate::pages::report::sweep::{Level, places, thinned};

/// With at most so many values, each is a point with whiskers; more would hide each other, and become a line in a band.
const POINTS_MAX: usize = 12;

/// The chart as an SVG file; `None` where no image has a score.
pub fn svg(swept: &Swept) -> Option<Vec<u8>> {
    let places = places(&swept.values)?;
    let all = || swept.series.iter().flat_map(|series| &series.scores);
    all().find_map(|score| score.mean)?;
    let tops = all().filter_map(|score| Some(score.mean? + score.sd.unwrap_or(0.0)));
    let low = places.iter().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let high = places.iter().map(|(x, _)| *x).fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * 0.03).max(0.5);
    let metric = word(&swept.metric);
    let few = swept.values.len() <= POINTS_MAX;
    let folds = swept.series.iter().any(|series| series.folds.len() > 1);
    let spread = match (folds, few) {
        (false, _) => String::new(),
        (true, true) => " (whiskers: sd over folds)".to_owned(),
        (true, false) => " (band: ± sd over folds)".to_owned(),
    };
    let axes = Axes {
        name: format!("Mean {metric} by {}, one line a series; a ring marks the best", swept.axis),
        x_label: x_label(&swept.axis, &places),
        y_label: format!("mean {metric}{spread}"),
        x: (low - margin, high + margin),
        y: (0.0, round_above(tops, 0.05).min(1.0)),
        x_ticks: match !few && places.iter().all(|(_, level)| level.is_fixed) {
            true => ticks((low, high)),
            false => thinned(places.iter().map(|(x, level)| (*x, level.label.to_owned())).collect()),
        },
    };
    let count = swept.series.len();
    let shift = |index: usize| match few {
        true => (index as f64 - (count as f64 - 1.0) / 2.0) * (26.0 / count as f64).min(6.0),
        false => 0.0,
    };
    let series = || swept.series.iter().enumerate();
    let marks = html! {
        @if !few { @for (index, series) in series() { (band(&axes, series, &places, Look(index))) } }
        @for (index, series) in series() { (line(&axes, series, &places, Look(index), few, shift(index))) }
        @for (index, series) in series() { (ring(&axes, series, &places, Look(index), shift(index))) }
    };
    let legend = series().map(|(index, series)| (Look(index), legend(series))).collect();
    Some(Chart { axes, marks, legend }.file())
}

fn x_label(axis: &str, places: &[(f64, Level<'_>)]) -> String {
    let unit = if axis == "threshold" { " (grey level, 0 to 255)" } else { "" };
    match (places.iter().any(|(_, level)| level.is_fixed), places.iter().any(|(_, level)| !level.is_fixed)) {
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

/// Place, mean, sd and score of each value that lies on the axis as a number, or as a rule.
fn points<'a>(
    series: &'a Series,
    places: &'a [(f64, Level<'_>)],
    is_fixed: bool,
) -> impl Iterator<Item = (f64, f64, Option<f64>, &'a Score)> + Clone {
    places.iter().filter(move |(_, level)| level.is_fixed == is_fixed).filter_map(|(x, level)| {
        let score = series.scores.iter().find(|score| score.value == level.label)?;
        Some((*x, score.mean?, score.sd, score))
    })
}

fn band(axes: &Axes, series: &Series, places: &[(f64, Level<'_>)], look: Look) -> Markup {
    let with_sd = || points(series, places, true).filter_map(|(x, mean, sd, _)| Some((x, mean, sd?)));
    let at = |x: f64, y: f64| format!("{},{}", number(axes.x(x)), number(axes.y(y.clamp(axes.y.0, axes.y.1))));
    let mut outline: Vec<String> = with_sd().map(|(x, mean, sd)| at(x, mean + sd)).collect();
    outline.extend(with_sd().map(|(x, mean, sd)| at(x, mean - sd)).collect::<Vec<_>>().into_iter().rev());
    html! {
        @if outline.len() > 2 {
            polygon class=(format!("band {}", look.class())) points=(outline.join(" ")) fill=(look.colour()) stroke="none" opacity="0.14" {}
        }
    }
}

fn line(axes: &Axes, series: &Series, places: &[(f64, Level<'_>)], look: Look, few: bool, shift: f64) -> Markup {
    let fixed: Vec<(f64, f64)> = points(series, places, true).map(|(x, mean, ..)| (x, mean)).collect();
    // A single grey level makes no line, so it is a point however many rules stand beside it.
    let as_points = few || fixed.len() < 2;
    html! {
        @if fixed.len() > 1 {
            g transform=(format!("translate({} 0)", number(shift))) { (axes.line(&fixed, look, "", None)) }
        }
        @for (is_fixed, shown) in [(true, as_points), (false, true)] {
            @if shown {
                @for (x, mean, sd, score) in points(series, places, is_fixed) {
                    (axes.point((x, mean), sd, look, shift, &tip(series, score)))
                }
            }
        }
    }
}

/// A ring around the best value.
fn ring(axes: &Axes, series: &Series, places: &[(f64, Level<'_>)], look: Look, shift: f64) -> Markup {
    let best = series.best.as_ref().and_then(|best| {
        let (x, _) = places.iter().find(|(_, level)| level.label == best.value)?;
        Some((*x, best, series.scores.iter().find(|score| score.value == best.value)?))
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
