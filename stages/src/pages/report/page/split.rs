//! The data set and its folds: images of each class and fold, and patients on both sides of a fold.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::super::content::Content;
use super::super::inputs::digest;
use super::audit::audits;
use super::element::{headings, row, thousands};
use crate::artifact::Labels;
use crate::data::split::{Leakage, LeakageRow};

/// Renders data and splits; `None` if neither is connected.
pub(super) fn data(content: &Content<'_>) -> Option<Markup> {
    if content.labels.is_empty() && content.splits.is_empty() && content.audits.is_empty() {
        return None;
    }
    Some(html! {
        (audits(content))
        @for labels in &content.labels { (classes(content, labels)) }
        @for (leakage, item) in &content.splits {
            @let labels: Vec<_> = item.labels.iter().map(|(axis, label)| format!("{axis} {label}")).collect();
            h3 { "Folds" @if !labels.is_empty() { ": " (labels.join(", ")) } }
            (verdict(leakage))
            (similar(leakage))
            div class="scroll" tabindex="0" data-source=(digest(item)) { (folds(leakage)) }
        }
    })
}

fn classes(content: &Content<'_>, labels: &Labels) -> Markup {
    let total = labels.names.len();
    let patients = |class: Option<u32>| -> usize {
        let of_class = (0..total).filter(|&row| class.is_none_or(|class| labels.labels[row] == class));
        of_class.filter_map(|row| labels.patients[row].as_deref()).collect::<BTreeSet<_>>().len()
    };
    let count = |class: usize| labels.labels.iter().filter(|&&label| label as usize == class).count();
    let known = patients(None);
    let cells = |images: usize, share: String, patients: usize| -> Vec<String> {
        [thousands(images), share].into_iter().chain((known > 0).then(|| thousands(patients))).collect()
    };
    html! {
        div class="scroll" tabindex="0" data-source=(content.digests_of("labels")) {
            table {
                caption { "Images of each class" }
                (headings(["class", "images", "share"].into_iter().chain((known > 0).then_some("patients"))))
                tbody {
                    @for (class, name) in labels.classes.iter().enumerate() {
                        @let share = format!("{:.1} %", 100.0 * count(class) as f64 / total.max(1) as f64);
                        (row(None, name, &cells(count(class), share, patients(Some(class as u32)))))
                    }
                    (row(Some("total"), "all", &cells(total, "100 %".to_owned(), known)))
                }
            }
        }
    }
}

/// Says whether a group is on both sides of a fold.
fn verdict(leakage: &Leakage) -> Markup {
    let all = leakage.rows.iter().filter(|row| row.label == Leakage::ALL);
    let shared: Option<Vec<(usize, usize)>> =
        all.map(|row| Some((row.groups?.validation_images, row.validation_images))).collect();
    html! {
        @match (&leakage.group, shared) {
            (Some(group), Some(shared)) => {
                @let leaked: usize = shared.iter().map(|(leaked, _)| leaked).sum();
                @let images: usize = shared.iter().map(|(_, images)| images).sum();
                @if leaked == 0 {
                    p class="good" { "No " (group) " is on both the training and the validation side of a fold." }
                } @else {
                    p class="warning" { strong { "Leakage: " }
                        (format!("{:.0} %", 100.0 * leaked as f64 / images.max(1) as f64)) " of the validation images ("
                        (thousands(leaked)) " of " (thousands(images)) ") are of a " (group)
                        " that is on the training side too; scores may be better than on a new " (group) "." }
                }
            }
            _ => p class="quiet" { "No image has a patient or other group, so leakage between folds cannot be told." },
        }
        @for warning in &leakage.warnings { p class="warning" { (warning) "." } }
    }
}

/// Says how many images resemble one on the other side of their fold.
fn similar(leakage: &Leakage) -> Markup {
    let all = || leakage.rows.iter().filter(|row| row.label == Leakage::ALL);
    let others: usize = all().filter_map(|row| Some(row.similar?.others)).sum();
    let own: usize = all().filter_map(|row| Some(row.similar?.own)).sum();
    let images: usize = all().map(|row| row.validation_images).sum();
    html! {
        @if others + own > 0 {
            p class=(if others > 0 { "warning" } else { "quiet" }) {
                strong { "Nearly equal pictures: " }
                (thousands(others)) " of " (thousands(images)) " validation images resemble a training image of "
                "another or an unknown patient, " (thousands(own)) " only those of their own (dHash, at most 3 of 64 "
                "bits)."
            }
        }
    }
}

fn folds(leakage: &Leakage) -> Markup {
    let mut folds: Vec<u32> = leakage.rows.iter().map(|row| row.fold).collect();
    folds.dedup();
    let images = ["fold"].into_iter().chain(leakage.classes.iter().map(String::as_str)).chain(["all"]);
    let groups = leakage.group.as_ref().map(|group| format!("{group}s: train + validation"));
    let groups = groups.iter().flat_map(|both| [both.as_str(), "on both sides", "validation images that leak"]);
    let find = |fold: u32, label: &str| leakage.rows.iter().find(|row| row.fold == fold && row.label == label);
    let sides = |row: &LeakageRow| format!("{} + {}", row.train_images, row.validation_images);
    let cells = |fold: u32| -> Vec<String> {
        let labels = leakage.classes.iter().map(String::as_str).chain([Leakage::ALL]);
        let mut cells: Vec<_> = labels.map(|label| find(fold, label).map_or("–".to_owned(), sides)).collect();
        if let Some(groups) = find(fold, Leakage::ALL).and_then(|row| row.groups) {
            let of_groups = [format!("{} + {}", groups.train, groups.validation), groups.shared.to_string()];
            cells.extend(of_groups.into_iter().chain([groups.validation_images.to_string()]));
        }
        cells
    };
    html! {
        table {
            caption { "Images to train on + to validate on" }
            (headings(images.chain(groups)))
            tbody {
                @for fold in folds { (row(None, &fold.to_string(), &cells(fold))) }
            }
        }
    }
}
