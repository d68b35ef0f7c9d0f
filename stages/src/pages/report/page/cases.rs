//! The browser of cases. Source of the colours: Kang et al. 2021, Figure 4.
//!
//! Every picture is defined once in the page and used by reference, so that an image that eight models are shown on is there
//! once; pictures show and print without a script, which only sorts and filters.

use maud::{Markup, html};

use super::super::Content;
use super::super::case::Pick;
use super::super::gallery::{Gallery, Mask, Shown};
use super::super::picture::{Agreement, Size};
use super::{hex, swatch, thousands, uri};

/// The pictures, each with an id.
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
                        @for (place, mask) in shown.masks.iter().enumerate() { (picture(format!("m{index}-{place}"), &mask.png)) }
                    }
                }
            }
        }
    }
}

/// Controls, legend and cases.
pub(super) fn cases(content: &Content<'_>) -> Markup {
    let study = &content.study;
    let gallery = &content.gallery;
    let ranked_by = study.at.as_deref();
    html! {
        p {
            "Cases are ranked by IoU" @if let Some(at) = ranked_by { " at threshold " b { (at) } }
            " within their series and class. Shown are best, median and worst, and " (content.params.cases)
            " further ones at even distances as far as they fit: " b { (thousands(gallery.cases.len())) " of "
            (thousands(content.ranked)) } " scored cases. The outline is the tumour in the ground truth."
        }
        (controls(content))
        ul class="legend" aria-label="Colours of masks" {
            @for agreement in Agreement::ALL {
                li { span class="key" style=(format!("background:{}", hex(agreement.colour()))) {} (agreement.meaning()) }
            }
        }
        p class="count" aria-live="polite" { output id="count" { (gallery.cases.len()) " cases" } }
        div id="gallery" {
            @for (index, shown) in gallery.cases.iter().enumerate() { (article(content, index, shown)) }
        }
    }
}

fn controls(content: &Content<'_>) -> Markup {
    let select = |name: &str, text: &str, options: Vec<(&str, String)>| {
        html! {
            label { span { (text) } select name=(name) { @for (value, text) in options { option value=(value) { (text) } } } }
        }
    };
    let all = |names: &'_ [String]| -> Vec<(String, String)> {
        std::iter::once((String::new(), "all".to_owned()))
            .chain(names.iter().map(|name| (name.clone(), name.clone())))
            .collect()
    };
    let named = |name: &str, text: &str, names: &[String]| {
        let options = all(names);
        select(name, text, options.iter().map(|(value, text)| (value.as_str(), text.clone())).collect())
    };
    html! {
        form id="filters" class="controls" hidden {
            (named("class", "Class", &content.study.classes))
            (named("model", "Series", &content.study.series))
            (select("pick", "Which", vec![("", "all shown".to_owned()), ("extreme", "best, median, worst".to_owned()),
                ("best", "best".to_owned()), ("median", "median".to_owned()), ("worst", "worst".to_owned())]))
            (select("correct", "Class predicted", vec![("", "any".to_owned()), ("yes", "correctly".to_owned()),
                ("no", "wrongly".to_owned())]))
            label { span { "IoU from" } input name="min" type="number" min="0" max="1" step="0.05" inputmode="decimal"; }
            label { span { "to" } input name="max" type="number" min="0" max="1" step="0.05" inputmode="decimal"; }
            (select("sort", "Sort by", vec![("", "class, series, rank".to_owned()), ("iou", "IoU, highest first".to_owned()),
                ("-iou", "IoU, lowest first".to_owned()), ("image", "image".to_owned())]))
            button type="reset" { "Reset" }
        }
    }
}

fn article(content: &Content<'_>, index: usize, shown: &Shown) -> Markup {
    let study = &content.study;
    let case = &shown.case;
    let image = &content.gallery.images[shown.image];
    let (class, predicted) =
        (&study.classes[case.scored.class as usize], &study.classes[case.scored.predicted as usize]);
    let series = &study.series[case.series];
    // A U-Net predicts masks and no class.
    let classified = shown.heat.is_some() || shown.masks.iter().any(|mask| mask.threshold.is_some());
    let correct = classified.then_some(case.scored.class == case.scored.predicted);
    html! {
        article class="case" data-class=(class) data-model=(series) data-iou=(case.iou) data-pick=(case.pick.name())
            data-image=(image.name) data-correct=[correct.map(|correct| if correct { "yes" } else { "no" })] data-order=(index) {
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
                @for (place, mask) in shown.masks.iter().enumerate() {
                    (panel(content, &format!("mask: {}", caption(mask)), html! { (label(mask)) span class="score" { (score(mask)) } }, html! {
                        use class="mask" href=(format!("#m{index}-{place}")) {}
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

/// `q90 (T = 203): IoU 0.412`.
pub(in crate::pages::report) fn caption(mask: &Mask) -> String {
    format!("{}: {}", label(mask), score(mask))
}

/// The threshold, and the grey level that it came to where that is something else.
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
