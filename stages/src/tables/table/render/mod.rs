//! Renderers of a table: plain text, Markdown, LaTeX and HTML for people, CSV for programs.

mod csv;
mod grid;
mod html;
mod latex;
mod markdown;
#[cfg(test)]
mod tests;
mod text;

pub(super) use csv::csv;
pub(crate) use grid::Grid;
