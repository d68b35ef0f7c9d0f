//! The sections with charts: IoU by threshold, histograms, training curves.

use maud::{Markup, html};

use super::super::content::Content;
use super::super::histogram::Histogram;
use super::super::threshold_chart::ThresholdMean;
use super::element::swatch;
use crate::pages::chart::Chart;

/// The charts of a report with their numbers.
pub(in crate::pages::report) struct Charts {
    pub(in crate::pages::report) by_threshold: Option<Chart>,
    /// The numbers of `by_threshold`.
    pub(in crate::pages::report) means: Vec<ThresholdMean>,
    /// One a class.
    pub(in crate::pages::report) histograms: Vec<Chart>,
    /// The numbers of `histograms`, `[class][series]`.
    pub(in crate::pages::report) counts: Vec<Vec<Histogram>>,
    /// By series, one a measure.
    pub(in crate::pages::report) curves: Vec<(String, Vec<(String, Chart)>)>,
}

pub(super) fn by_threshold(content: &Content<'_>, chart: &Chart) -> Markup {
    html! {
        p {
            @if content.study.inputs.iter().any(|input| !input.point.group.is_empty()) {
                "Mean over " (content.params.groups()) " of the mean IoU over the images of each; whiskers are one "
                "standard deviation over " (content.params.groups()) "."
            } @else { "Mean IoU over the images." }
            " Fixed grey levels are joined by a line; rules such as " code { "q90" }
            " give another level for each image. Numbers: " code { "tables/iou-by-threshold.csv" } "."
        }
        (legend(content))
        figure class="wide" data-source=(content.digests_of("scores")) { (chart.inline()) }
    }
}

pub(super) fn histograms(content: &Content<'_>, charts: &Charts) -> Markup {
    html! {
        p { "Share of the images of a class whose IoU lies in each bin of 0.05, all " (content.params.groups())
            " together"
            @if let Some(at) = &content.study.at { ", at threshold " b { (at) } }
            ". A bin holds its lower edge. Numbers: " code { "tables/iou-histogram.csv" } "." }
        (legend(content))
        div class="charts" {
            @for ((class, chart), counts) in content.study.classes.iter().zip(&charts.histograms).zip(&charts.counts) {
                figure data-source=(content.digests_of("scores")) {
                    figcaption { b { (class) } " " span class="quiet" { (counted(&content.study.series, counts)) } }
                    (chart.inline())
                }
            }
        }
    }
}

/// `n = 142`, or each series with its own n.
fn counted(series: &[String], counts: &[Histogram]) -> String {
    let ns: Vec<u64> = counts.iter().map(Histogram::n).collect();
    match ns.as_slice() {
        [first, rest @ ..] if rest.iter().all(|n| n == first) => format!("n = {first} images a series"),
        _ => {
            let each: Vec<_> = series.iter().zip(&ns).map(|(series, n)| format!("{series} {n}")).collect();
            format!("n: {}", each.join(", "))
        }
    }
}

pub(super) fn curves(content: &Content<'_>, charts: &Charts) -> Markup {
    html! {
        p { "One line a " (content.params.group()) ". Loss: validation solid, training dotted." }
        @for (series, of_series) in &charts.curves {
            h3 { (swatch(content.look(series))) (series) }
            div class="charts" {
                @for (_, chart) in of_series {
                    figure data-source=(content.digests_of("curves")) { (chart.inline()) }
                }
            }
        }
    }
}

fn legend(content: &Content<'_>) -> Markup {
    html! {
        ul class="legend" { @for name in &content.study.series { li { (swatch(content.look(name))) (name) } } }
    }
}
