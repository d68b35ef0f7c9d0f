//! The data set and its folds: images of each class and fold, and what training and validation sides share.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::super::{Content, digest};
use super::thousands;
use crate::artifact::Labels;
use crate::data::split::{Leakage, LeakageRow};

/// Data and splits; `None` where neither is connected.
pub(super) fn data(content: &Content<'_>) -> Option<Markup> {
    if content.labels.is_empty() && content.splits.is_empty() {
        return None;
    }
    Some(html! {
        @for labels in &content.labels { (classes(content, labels)) }
        @for (leakage, item) in &content.splits {
            @let labels: Vec<_> = item.labels.iter().map(|(axis, label)| format!("{axis} {label}")).collect();
            h3 { "Folds" @if !labels.is_empty() { ": " (labels.join(", ")) } }
            (verdict(leakage))
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
    html! {
        div class="scroll" tabindex="0" data-source=(content.sources.of(&["labels"])) {
            table {
                caption { "Images of each class" }
                thead { tr { th scope="col" { "class" } th scope="col" { "images" } th scope="col" { "share" } @if known > 0 { th scope="col" { "patients" } } } }
                tbody {
                    @for (class, name) in labels.classes.iter().enumerate() {
                        tr {
                            th scope="row" { (name) }
                            td { (thousands(count(class))) }
                            td { (format!("{:.1} %", 100.0 * count(class) as f64 / total.max(1) as f64)) }
                            @if known > 0 { td { (thousands(patients(Some(class as u32)))) } }
                        }
                    }
                    tr class="total" { th scope="row" { "all" } td { (thousands(total)) } td { "100 %" } @if known > 0 { td { (thousands(known)) } } }
                }
            }
        }
    }
}

/// What the reader must know: whether the same group is on both sides.
fn verdict(leakage: &Leakage) -> Markup {
    let all: Vec<&LeakageRow> = leakage.rows.iter().filter(|row| row.label == Leakage::ALL).collect();
    let shared: Option<Vec<(usize, usize)>> =
        all.iter().map(|row| row.groups.map(|groups| (groups.validation_images, row.validation_images))).collect();
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
    }
}

fn folds(leakage: &Leakage) -> Markup {
    let mut folds: Vec<u32> = leakage.rows.iter().map(|row| row.fold).collect();
    folds.dedup();
    let find = |fold: u32, label: &str| leakage.rows.iter().find(|row| row.fold == fold && row.label == label);
    html! {
        table {
            caption { "Images to train on + to validate on" }
            thead { tr {
                th scope="col" { "fold" }
                @for class in &leakage.classes { th scope="col" { (class) } }
                th scope="col" { "all" }
                @if let Some(group) = &leakage.group {
                    th scope="col" { (group) "s: train + validation" }
                    th scope="col" { "on both sides" }
                    th scope="col" { "validation images that leak" }
                }
            } }
            tbody {
                @for fold in folds {
                    tr {
                        th scope="row" { (fold) }
                        @for label in leakage.classes.iter().map(String::as_str).chain([Leakage::ALL]) {
                            td { @if let Some(row) = find(fold, label) { (row.train_images) " + " (row.validation_images) } @else { "–" } }
                        }
                        @if let Some(groups) = find(fold, Leakage::ALL).and_then(|row| row.groups) {
                            td { (groups.train) " + " (groups.validation) }
                            td { (groups.shared) }
                            td { (groups.validation_images) }
                        }
                    }
                }
            }
        }
    }
}
