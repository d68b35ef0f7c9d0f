//! The audits of the data sets: warnings first, then notes.

use maud::{Markup, html};

use super::super::content::Content;
use super::super::inputs::digest;
use crate::artifact::Finding;

/// Renders every audit; says so if there is none, as its warnings would be missed.
pub(super) fn audits(content: &Content<'_>) -> Markup {
    html! {
        @if content.audits.is_empty() {
            p class="quiet" { "No audit of the data is shown: " code { "inputs.audits" } " names no data set." }
        }
        @for (audit, item) in &content.audits {
            div data-source=(digest(item)) {
                @let warnings: Vec<&Finding> = audit.warnings().collect();
                @if warnings.is_empty() {
                    p class="good" { "The audit of the data has no warnings." }
                }
                @for warning in warnings {
                    p class="warning" { strong { (warning.topic) ": " } (warning.message)
                        @if !warning.names.is_empty() { ": " span class="quiet" { (warning.names) } } }
                }
                ul class="quiet" {
                    @for note in audit.findings.iter().filter(|finding| !finding.is_warning) { li { (note) } }
                }
            }
        }
    }
}
