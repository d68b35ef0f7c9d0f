//! Confusion matrices: true classes down, predicted ones across.

use maud::{Markup, html};

use super::super::content::{ConfusionMatrix, Content};
use super::element::{headings, swatch, thousands};

/// All matrices, one a series.
pub(super) fn matrices(content: &Content<'_>) -> Markup {
    html! {
        p { "Images of each class (rows) by predicted class (columns), all " (content.params.groups())
            " together; the share is of the row. Numbers: " code { "tables/confusion.csv" } "." }
        div class="charts matrices" {
            @for matrix in &content.confusions { (one(content, matrix)) }
        }
    }
}

fn one(content: &Content<'_>, matrix: &ConfusionMatrix) -> Markup {
    let total = thousands(matrix.counts.iter().flatten().sum::<u64>() as usize);
    let headers = ["true ╲ predicted"].into_iter().chain(matrix.classes.iter().map(String::as_str)).chain(["n"]);
    let correct: u64 = (0..matrix.classes.len()).map(|class| matrix.counts[class][class]).sum();
    html! {
        figure data-source=(content.digests_of("confusions")) {
            figcaption {
                (swatch(content.look(&matrix.series))) b { (matrix.series) } " "
                span class="quiet" { (format!("{} of {total} right, n = {total}", thousands(correct as usize))) }
            }
            div class="scroll" tabindex="0" {
                table class="matrix" {
                    (headings(headers))
                    tbody {
                        @for (label, row) in matrix.counts.iter().enumerate() {
                            @let n: u64 = row.iter().sum();
                            tr {
                                th scope="row" { (matrix.classes[label]) }
                                @for (predicted, count) in row.iter().enumerate() {
                                    @let share = *count as f64 / n.max(1) as f64;
                                    @let class = if predicted == label { "right" } else { "wrong" };
                                    td class=(class) style=(format!("--share:{share:.3}")) {
                                        b { (count) } " " span class="quiet" { (format!("{:.0} %", 100.0 * share)) }
                                    }
                                }
                                td { (n) }
                            }
                        }
                    }
                }
            }
        }
    }
}
