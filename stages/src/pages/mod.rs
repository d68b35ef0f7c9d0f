//! Pages for people: the report of a study as HTML, and the text and chart of a sweep.

pub(crate) mod chart;
pub mod report;
pub mod sweep;
pub(crate) mod value_axis;
