//! The browser of cases. Source of the colours: Kang et al. 2021, Figure 4.
//!
//! The page defines every picture once and uses it by reference, so eight models on one image share its bytes. Pictures
//! show and print without the script, which only sorts and filters.

use maud::{Markup, html};

use super::super::case::Pick;
use super::super::content::Content;
use super::super::gallery::{Gallery, Mask, ShownCase};
use super::super::picture::{Agreement, Size};
use super::element::{hex, swatch, thousands, uri};

/// Defines the pictures, each with an id.
pub(in crate::pages::report) fn definitions(gallery: &Gallery) -> Markup {
    let Size { height, width } = gallery.size;
    let picture = |id: String, png: &[u8]| html! { image id=(id) width=(width) height=(height) href=(uri(png)) {} };
    html! {
        @if !gallery.cases.is_empty() {
            svg class="definitions" width="0" height="0" aria-hidden="true" {
                defs {
                    @for (index, image) in gallery.images.iter().enumerate() {
                        (picture(format!("i{index}"), &image.png))
                        path id=(format!("o{index}")) d=(image.outline) {}
                    }
                    @for (index, shown) in gallery.cases.iter().enumerate() {
                        @if let Some(heat) = &shown.heat { (picture(format!("h{index}"), heat)) }
                        @for (number, mask) in shown.masks.iter().enumerate() {
                            (picture(format!("m{index}-{number}"), &mask.png))
                        }
                    }
                }
            }
        }
    }
}

/// Renders controls, legend and cases.
pub(super) fn cases(content: &Content<'_>) -> Markup {
    let gallery = &content.gallery;
    html! {
        p {
            "Cases are ranked by IoU" @if let Some(at) = &content.study.at { " at threshold " b { (at) } }
            " within their series and class. Shown are best, median and worst, and "
            (content.params.cases) " further ones at even distances as far as they fit: " b {
                (thousands(gallery.cases.len())) " of " (thousands(content.ranked))
            } " scored cases. The outline is the tumour in the ground truth."
        }
        (controls(content))
        ul class="legend" aria-label="Colours of masks" {
            @for agreement in Agreement::ALL {
                @let colour = format!("background:{}", hex(agreement.colour()));
                li { span class="key" style=(colour) {} (agreement.meaning()) }
            }
        }
        p class="count" aria-live="polite" { output id="count" { (gallery.cases.len()) " cases" } }
        div id="gallery" {
            @for (index, shown) in gallery.cases.iter().enumerate() { (article(content, index, shown)) }
        }
    }
}

fn controls(content: &Content<'_>) -> Markup {
    let select = |name: &str, text: &str, options: &[(&str, &str)]| {
        html! {
            label { span { (text) } select name=(name) {
                @for (value, text) in options { option value=(value) { (text) } }
            } }
        }
    };
    let named = |name: &str, text: &str, names: &[String]| {
        let names = names.iter().map(|name| (name.as_str(), name.as_str()));
        select(name, text, &[("", "all")].into_iter().chain(names).collect::<Vec<_>>())
    };
    html! {
        form id="filters" class="controls" hidden {
            (named("class", "Class", &content.study.classes))
            (named("model", "Series", &content.study.series))
            (select("pick", "Which", &[("", "all shown"), ("extreme", "best, median, worst"), ("best", "best"),
                ("median", "median"), ("worst", "worst")]))
            (select("correct", "Class predicted", &[("", "any"), ("yes", "correctly"), ("no", "wrongly")]))
            @for (name, text) in [("min", "IoU from"), ("max", "to")] {
                label { span { (text) }
                    input name=(name) type="number" min="0" max="1" step="0.05" inputmode="decimal"; }
            }
            (select("sort", "Sort by", &[("", "class, series, rank"), ("iou", "IoU, highest first"),
                ("-iou", "IoU, lowest first"), ("image", "image")]))
            button type="reset" { "Reset" }
        }
    }
}

fn article(content: &Content<'_>, index: usize, shown: &ShownCase) -> Markup {
    let study = &content.study;
    let case = &shown.case;
    let image = &content.gallery.images[shown.image];
    let (class, predicted) =
        (&study.classes[case.scored.class as usize], &study.classes[case.scored.predicted as usize]);
    let series = &study.series[case.series];
    // A U-Net predicts masks and no class.
    let classified = shown.heat.is_some() || shown.masks.iter().any(|mask| mask.threshold.is_some());
    let correct = classified.then_some(case.scored.class == case.scored.predicted);
    let is_correct = correct.map(|correct| if correct { "yes" } else { "no" });
    html! {
        article class="case" data-class=(class) data-model=(series) data-iou=(case.iou) data-pick=(case.pick.name())
            data-image=(image.name) data-correct=[is_correct] data-order=(index) {
            h3 {
                @if case.pick == Pick::Further { "rank " (case.rank) } @else { (case.pick.name()) }
                span class="quiet" { " of " (case.ranked) }
                " · " (class) " · " (swatch(content.look(series))) (series)
                " · IoU " b { (format!("{:.3}", case.iou)) }
            }
            p class="quiet" {
                code { (image.name) }
                @match correct {
                    Some(true) => ", class predicted correctly",
                    Some(false) => { ", predicted " b { (predicted) } }
                    None => {}
                }
                @if let Some(patient) = patient(content, &image.name) { ", patient " (patient) }
            }
            div class="panels" {
                (panel(content, &format!("image {}, tumour outlined", image.name), html! { "image, tumour" }, html! {
                    use href=(format!("#i{}", shown.image)) {}
                    use class="outline" href=(format!("#o{}", shown.image)) {}
                }))
                @if shown.heat.is_some() {
                    (panel(content, "heatmap, tumour outlined", html! { "heatmap" }, html! {
                        use href=(format!("#i{}", shown.image)) {}
                        use class="heat" href=(format!("#h{index}")) {}
                        use class="outline" href=(format!("#o{}", shown.image)) {}
                    }))
                }
                @for (number, mask) in shown.masks.iter().enumerate() {
                    @let below = html! { (label(mask)) span class="score" { (score(mask)) } };
                    (panel(content, &format!("mask: {}", caption(mask)), below, html! {
                        use class="mask" href=(format!("#m{index}-{number}")) {}
                    }))
                }
            }
        }
    }
}

fn panel(content: &Content<'_>, name: &str, caption: Markup, picture: Markup) -> Markup {
    let Size { height, width } = content.gallery.size;
    html! {
        figure {
            svg viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(name) { (picture) }
            figcaption { (caption) }
        }
    }
}

/// Returns a caption such as `q90 (T = 203): IoU 0.412`.
pub(in crate::pages::report) fn caption(mask: &Mask) -> String {
    format!("{}: {}", label(mask), score(mask))
}

/// Returns the threshold, and the grey level to which it resolved if that differs.
fn label(mask: &Mask) -> String {
    match (&mask.threshold, mask.level) {
        (Some(label), Some(level)) if label.parse() != Ok(level) => format!("{label} (T = {level:.0})"),
        (Some(label), _) => label.clone(),
        (None, _) => "predicted".to_owned(),
    }
}

fn score(mask: &Mask) -> String {
    mask.iou.map_or_else(|| "no IoU".to_owned(), |iou| format!("IoU {iou:.3}"))
}

fn patient<'a>(content: &'a Content<'_>, image: &str) -> Option<&'a str> {
    let labels = content.labels.first()?;
    let row = labels.names.iter().position(|name| name == image)?;
    labels.patients[row].as_deref()
}
