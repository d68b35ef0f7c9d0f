//! Tables for people (plain text, Markdown, LaTeX) and for programs (CSV).

mod csv;
mod grid;
mod latex;
mod markdown;
mod text;

pub(super) use csv::csv;
pub(crate) use grid::{Grid, places, range};
