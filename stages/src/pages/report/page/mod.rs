//! The page: sections in the order in which a study is read. Everything is escaped when it is written; nothing is loaded.

pub(super) mod cases;
mod matrix;
mod split;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::{Chart, Look};
use super::histogram::Histogram;
use super::picture::Colour;
use super::{Content, TableInput, digest, provenance, sweep};

const STYLE: &str = include_str!("../page.css");
const SCRIPT: &str = include_str!("../page.js");

/// What a page may load: nothing but what is in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The charts of a report with their numbers.
pub(super) struct Charts {
    pub(super) sweep: Option<Chart>,
    /// The numbers of `sweep`.
    pub(super) figures: Vec<sweep::Figure>,
    /// One a class.
    pub(super) histograms: Vec<Chart>,
    /// The numbers of `histograms`, `[class][series]`.
    pub(super) counts: Vec<Vec<Histogram>>,
    /// By series, one a measure.
    pub(super) curves: Vec<(String, Vec<(String, Chart)>)>,
}

/// A section with its place in the table of contents.
struct Section {
    id: &'static str,
    heading: &'static str,
    body: Markup,
}

/// The whole page.
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
                    (summary(content, &charts.figures))
                    (PreEscaped(provenance::HEADER_MARK))
                    @if content.synthetic {
                        p class="synthetic" role="note" {
                            strong { "Synthetic phantom data." }
                            " The images were drawn by a program; no number on this page says anything about medicine."
                        }
                    }
                    nav aria-label="Contents" {
                        @for section in &sections { a href=(format!("#{}", section.id)) { (section.heading) } " " }
                        (PreEscaped(provenance::CONTENTS_MARK))
                    }
                }
                main id="main" {
                    @for section in &sections {
                        section id=(section.id) {
                            h2 { (section.heading) }
                            (section.body)
                        }
                    }
                    (PreEscaped(provenance::BODY_MARK))
                }
                footer {
                    p { "Made by orchestrate, stage kind " code { "report" } ". Tables and figures lie beside this file, in "
                        code { "tables/" } " and " code { "figures/" } "." }
                    (inputs(content))
                }
                (cases::definitions(&content.gallery))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn sections(content: &Content<'_>, charts: &Charts) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut add = |id, heading, body: Option<Markup>| {
        if let Some(body) = body {
            sections.push(Section { id, heading, body });
        }
    };
    let tables = (!content.tables.is_empty()).then(|| tables(&content.tables));
    add("tables", "Tables", tables);
    add("thresholds", "IoU against threshold", charts.sweep.as_ref().map(|chart| by_threshold(content, chart)));
    add(
        "histograms",
        "IoU of the images of each class",
        (!charts.histograms.is_empty()).then(|| histograms(content, charts)),
    );
    add("cases", "Cases", (!content.gallery.cases.is_empty()).then(|| cases::cases(content)));
    add("confusion", "Confusion matrices", (!content.confusions.is_empty()).then(|| matrix::matrices(content)));
    add("training", "Training curves", (!charts.curves.is_empty()).then(|| curves(content, charts)));
    add("data", "Data and split", split::data(content));
    sections
}

fn tables(tables: &[TableInput<'_>]) -> Markup {
    html! {
        p class="quiet" { "Numbers in full are in " code { "tables/" } " as CSV; there are Markdown and LaTeX beside them." }
        @for table in tables {
            @let labels: Vec<String> = table.item.labels.iter().map(|(axis, label)| format!("{axis} {label}")).collect();
            (table.grid().html(&digest(table.item), &labels))
        }
    }
}

/// The study in a few figures: those of the tables, so that no row of one is higher than the highest mean.
fn summary(content: &Content<'_>, figures: &[sweep::Figure]) -> Markup {
    let study = &content.study;
    let images = content.labels.first().map_or(study.names.len(), |labels| labels.names.len());
    let classes = content.labels.first().map_or(&study.classes, |labels| &labels.classes);
    let mut groups: Vec<&str> = study.inputs.iter().map(|input| input.place.group.as_str()).collect();
    groups.extend(content.trainings.iter().map(|training| training.place.group.as_str()));
    groups.retain(|group| !group.is_empty());
    groups.sort_unstable();
    groups.dedup();
    let facts: Vec<(usize, String)> = vec![
        (images, plural(images, "image", "images")),
        (classes.len(), plural(classes.len(), "class", "classes")),
        (content.series.len(), plural(content.series.len(), "series", "series")),
        (groups.len(), if groups.len() == 1 { content.params.group() } else { content.params.groups() }),
        (study.thresholds.len(), plural(study.thresholds.len(), "threshold", "thresholds")),
        (content.ranked, "scored cases".to_owned()),
    ];
    let best = sweep::highest(figures);
    html! {
        dl class="facts" {
            @for (number, text) in facts.iter().filter(|(number, _)| *number > 0) {
                div { dt { (text) } dd { (thousands(*number)) } }
            }
        }
        @if let Some(sweep::Figure { series, threshold, mean }) = best {
            p class="lede" {
                "Highest mean IoU: " b { (format!("{:.3}", mean.mean)) }
                @if let Some(sd) = mean.sd { (format!(" (sd {sd:.3} over {})", content.params.groups())) }
                ", " b { (series) } @if let Some(threshold) = threshold { " at threshold " b { (threshold) } }
                ", n = " (thousands(mean.n as usize)) " images."
                @if threshold.is_some() && study.thresholds.len() > 1 {
                    span class="quiet" { " Of " (study.thresholds.len()) " thresholds, chosen on the images that it is scored on: optimistic." }
                }
            }
        }
    }
}

fn by_threshold(content: &Content<'_>, chart: &Chart) -> Markup {
    let names: Vec<&String> = content.study.series.iter().collect();
    html! {
        p {
            @if content.study.inputs.iter().any(|input| !input.place.group.is_empty()) {
                "Mean over " (content.params.groups()) " of the mean IoU over the images of each; whiskers are one standard deviation "
                "over " (content.params.groups()) "."
            } @else { "Mean IoU over the images." }
            " Fixed grey levels are joined by a line; rules such as " code { "q90" } " give another level for each image. Numbers: "
            code { "tables/iou-by-threshold.csv" } "."
        }
        (legend(content, &names))
        figure class="wide" data-source=(content.sources.of(&["scores"])) { (chart.inline()) }
    }
}

fn histograms(content: &Content<'_>, charts: &Charts) -> Markup {
    let names: Vec<&String> = content.study.series.iter().collect();
    html! {
        p { "Share of the images of a class whose IoU lies in each bin of 0.05, all " (content.params.groups()) " together"
            @if let Some(at) = &content.study.at { ", at threshold " b { (at) } } ". A bin holds its lower edge. Numbers: "
            code { "tables/iou-histogram.csv" } "." }
        (legend(content, &names))
        div class="charts" {
            @for ((class, chart), counts) in content.study.classes.iter().zip(&charts.histograms).zip(&charts.counts) {
                figure data-source=(content.sources.of(&["scores"])) {
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

fn curves(content: &Content<'_>, charts: &Charts) -> Markup {
    html! {
        p { "One line a " (content.params.group()) ". Loss: validation solid, training dotted." }
        @for (series, of_series) in &charts.curves {
            h3 { (swatch(content.look(series))) (series) }
            div class="charts" {
                @for (_, chart) in of_series {
                    figure data-source=(content.sources.of(&["curves"])) { (chart.inline()) }
                }
            }
        }
    }
}

fn legend(content: &Content<'_>, names: &[&String]) -> Markup {
    html! {
        ul class="legend" { @for name in names { li { (swatch(content.look(name))) (name) } } }
    }
}

/// A line in the colour of a series.
fn swatch(look: Look) -> Markup {
    html! {
        svg class="swatch" viewBox="0 0 22 8" aria-hidden="true" {
            line class=(format!("line {}", look.class())) x1="0" x2="22" y1="4" y2="4" stroke=(look.colour()) stroke-width="3"
                stroke-dasharray=[Some(look.dash()).filter(|dash| !dash.is_empty())] {}
        }
    }
}

/// The digests of all inputs, by port.
fn inputs(content: &Content<'_>) -> Markup {
    html! {
        details class="inputs" {
            summary { "Inputs by digest" }
            @for (port, digests) in content.sources.0.iter().filter(|(_, digests)| !digests.is_empty()) {
                p { b { (port) } " (" (digests.len()) ") " span class="digests" {
                    @for digest in digests { code { (digest.get(..12).unwrap_or(digest)) } " " }
                } }
            }
        }
    }
}

impl super::Sources {
    /// Digests at some ports, for the attribute by which provenance is found.
    pub(super) fn of(&self, ports: &[&str]) -> String {
        let digests = ports.iter().filter_map(|port| self.0.get(port)).flatten();
        digests.map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// A PNG as an address that holds it.
pub(super) fn uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

/// A colour as style sheets write it.
pub(super) fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn plural(number: usize, one: &str, many: &str) -> String {
    if number == 1 { one.to_owned() } else { many.to_owned() }
}

/// `3,064`.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_at_thousands() {
        assert_eq!([7, 999, 3064, 1_234_567].map(thousands), ["7", "999", "3,064", "1,234,567"]);
    }

    #[test]
    fn style_and_script_load_nothing() {
        for text in [STYLE, SCRIPT] {
            for word in ["http:", "https:", "url(", "import", "fetch", "</"] {
                assert!(!text.contains(word), "{word}");
            }
        }
    }
}
