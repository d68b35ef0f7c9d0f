//! The page: sections in the order in which a study is read. All text is escaped, and the page loads nothing.

mod audit;
pub(super) mod cases;
pub(super) mod charts;
pub(super) mod element;
mod matrix;
mod split;

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::content::{Content, TableInput};
use super::inputs::digest;
use super::provenance;
use super::threshold_chart::{ThresholdMean, highest};
use charts::Charts;
use element::{plural, thousands};

const STYLE: &str = include_str!("../page.css");
const SCRIPT: &str = include_str!("../page.js");

/// The page may load nothing but its own contents.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// Renders the whole page.
pub(super) fn page(content: &Content<'_>, charts: &Charts) -> String {
    let sections = sections(content, charts);
    let title = &content.params.title;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header {
                    h1 { (title) }
                    (summary(content, &charts.means))
                    (PreEscaped(provenance::HEADER_MARK))
                    @if content.synthetic {
                        p class="synthetic" role="note" {
                            strong { "Synthetic phantom data." }
                            " The images were drawn by a program; no number on this page says anything about medicine."
                        }
                    }
                    nav aria-label="Contents" {
                        @for (id, heading, _) in &sections { a href=(format!("#{id}")) { (heading) } " " }
                        (PreEscaped(provenance::CONTENTS_MARK))
                    }
                }
                main id="main" {
                    @for (id, heading, body) in &sections { section id=(id) { h2 { (heading) } (body) } }
                    (PreEscaped(provenance::BODY_MARK))
                }
                footer {
                    p { "Made by orchestrate, stage kind " code { "report" } ". Tables and figures lie beside this "
                        "file, in " code { "tables/" } " and " code { "figures/" } "." }
                    (inputs(content))
                }
                (cases::definitions(&content.gallery))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

/// Renders the sections that have inputs: id, heading and body.
fn sections(content: &Content<'_>, charts: &Charts) -> Vec<(&'static str, &'static str, Markup)> {
    let tables = (!content.tables.is_empty()).then(|| tables(&content.tables));
    let by_threshold = charts.by_threshold.as_ref().map(|chart| charts::by_threshold(content, chart));
    let histograms = (!charts.histograms.is_empty()).then(|| charts::histograms(content, charts));
    let cases = (!content.gallery.cases.is_empty()).then(|| cases::cases(content));
    let confusion = (!content.confusions.is_empty()).then(|| matrix::matrices(content));
    let curves = (!charts.curves.is_empty()).then(|| charts::curves(content, charts));
    let sections = [
        ("tables", "Tables", tables),
        ("thresholds", "IoU against threshold", by_threshold),
        ("histograms", "IoU of the images of each class", histograms),
        ("cases", "Cases", cases),
        ("confusion", "Confusion matrices", confusion),
        ("training", "Training curves", curves),
        ("data", "Data and split", split::data(content)),
    ];
    sections.into_iter().filter_map(|(id, heading, body)| Some((id, heading, body?))).collect()
}

fn tables(tables: &[TableInput<'_>]) -> Markup {
    html! {
        p class="quiet" { "Numbers in full are in " code { "tables/" } " as CSV; there are Markdown and LaTeX beside "
            "them." }
        @for table in tables {
            @let labels = table.item.labels.iter().map(|(axis, label)| format!("{axis} {label}"));
            @let labels: Vec<String> = labels.collect();
            (table.grid().html(&digest(table.item), &labels))
        }
    }
}

/// The study in a few numbers; the highest mean is over the same values as the tables, so that no row exceeds it.
fn summary(content: &Content<'_>, means: &[ThresholdMean]) -> Markup {
    let study = &content.study;
    let images = content.labels.first().map_or(study.names.len(), |labels| labels.names.len());
    let classes = content.labels.first().map_or(&study.classes, |labels| &labels.classes);
    let points = study.inputs.iter().map(|input| &input.point).chain(content.trainings.iter().map(|it| &it.point));
    let groups: BTreeSet<&str> = points.map(|point| point.group.as_str()).filter(|group| !group.is_empty()).collect();
    let facts: [(usize, String); 6] = [
        (images, plural(images, "image", "images")),
        (classes.len(), plural(classes.len(), "class", "classes")),
        (content.series.len(), "series".to_owned()),
        (groups.len(), if groups.len() == 1 { content.params.group() } else { content.params.groups() }),
        (study.thresholds.len(), plural(study.thresholds.len(), "threshold", "thresholds")),
        (content.ranked, "scored cases".to_owned()),
    ];
    html! {
        dl class="facts" {
            @for (number, text) in facts.iter().filter(|(number, _)| *number > 0) {
                div { dt { (text) } dd { (thousands(*number)) } }
            }
        }
        @if let Some(ThresholdMean { series, threshold, mean }) = highest(means) {
            p class="lede" {
                "Highest mean IoU: " b { (format!("{:.3}", mean.mean)) }
                @if let Some(sd) = mean.sd { (format!(" (sd {sd:.3} over {})", content.params.groups())) }
                ", " b { (series) } @if let Some(threshold) = threshold { " at threshold " b { (threshold) } }
                ", n = " (thousands(mean.n as usize)) " images."
                @if threshold.is_some() && study.thresholds.len() > 1 {
                    span class="quiet" {
                        " Of " (study.thresholds.len())
                        " thresholds, chosen on the images that it is scored on: optimistic."
                    }
                }
            }
        }
    }
}

/// The digests of all inputs, by port.
fn inputs(content: &Content<'_>) -> Markup {
    html! {
        details class="inputs" {
            summary { "Inputs by digest" }
            @for (port, digests) in content.digests.iter().filter(|(_, digests)| !digests.is_empty()) {
                p { b { (port) } " (" (digests.len()) ") " span class="digests" {
                    @for digest in digests { code { (digest.get(..12).unwrap_or(digest)) } " " }
                } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_load_nothing() {
        for text in [STYLE, SCRIPT] {
            for word in ["http:", "https:", "url(", "import", "fetch", "</"] {
                assert!(!text.contains(word), "{word}");
            }
        }
    }
}
