//! Pages for people: the report of a study as HTML, and the text and chart of a sweep.

pub mod report;
pub mod sweep;
