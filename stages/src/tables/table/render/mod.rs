//! Renderers of a table: plain text, Markdown, LaTeX and HTML for people, CSV for programs.

mod csv;
mod grid;
mod html;
mod latex;
mod markdown;
mod notes;
#[cfg(test)]
mod tests;
mod text;

pub(super) use csv::csv;
pub(crate) use csv::write as write_csv;
pub(crate) use grid::Grid;
pub(crate) use notes::{CORRECT, constant, correct};
pub(crate) use text::aligned;
