//! Tables as Parquet files: columns to bytes, and bytes to columns.
//!
//! The artifacts name columns and check values; everything about pages, encodings and offsets is here.

mod batches;
mod column;
mod columns;
mod file;
mod raw;
mod rows;
mod series;
mod strings;
mod writer;

pub use columns::Columns;
pub(crate) use columns::{properties, repeated};
pub use rows::Rows;
pub(crate) use rows::{cause, name_of};
pub(crate) use series::Series;
pub(super) use strings::Strings;
pub(super) use writer::TableWriter;
