//! The artifacts of the domain as Rust values, each with its Parquet columns.
//!
//! Whoever opens a table elsewhere finds class *names* in `label` and `predicted`; their order, where it matters, is the
//! note `classes` in the key-value metadata of the file, a JSON list.

mod column;
mod curve;
mod figures;
mod image_reader;
mod images;
mod maps;
mod metrics;
mod place;
mod plain;
mod predicted;
mod rows;
mod scale;
mod scores;
mod series;
mod source;
mod split;
#[cfg(test)]
mod tests;
mod truths;

use std::path::Path;

use bytes::Bytes;
use orchestrate_engine::stage::{Content, Item, Output, StageError};

pub use column::Columns;
pub(crate) use column::{properties, repeated};
pub use curve::{Curve, Epoch, Epochs, Figure, SegmentCurve};
pub use figures::{Cell, Figures, Interval, Levels, PairedTest, ReferenceValue, Resampling, ResamplingUnit, Statistic};
pub use image_reader::ImageReader;
pub use images::{Images, Labels, Masks};
pub use maps::{Cams, Predictions, Thresholds};
pub(crate) use metrics::is_synthetic_name;
pub use metrics::{ALL, AxisColumns, Confusion, Metrics, is_synthetic};
pub use predicted::PredictedMasks;
pub use rows::Rows;
pub(crate) use rows::{cause, name_of};
pub use scale::Scale;
pub use scores::Scores;
pub(crate) use series::Series;
pub use split::Split;
pub(crate) use truths::{Foreground, Run, Truths};

/// Name of the output that holds the weights of a network; `stages/networks` writes it.
pub const WEIGHTS: &str = "weights";

/// An artifact that is one Parquet file, `OUTPUT.parquet`.
pub trait Table: Sized {
    /// Name of the output, and of its file without the extension.
    const OUTPUT: &'static str;

    /// Its columns and notes.
    fn columns(&self) -> Result<Columns<'_>, StageError>;

    /// Reads the columns, checking types, lengths and values.
    fn from_rows(rows: &Rows) -> Result<Self, StageError>;

    /// Encodes as Parquet: zstd, fixed `created_by`, the same bytes for the same rows.
    fn encode(&self) -> Result<Vec<u8>, StageError> {
        self.columns()?.encode()
    }

    /// Decodes, checking columns, types and lengths.
    fn decode(bytes: &[u8]) -> Result<Self, StageError> {
        Self::from_rows(&Rows::open(&file::<Self>(), Bytes::copy_from_slice(bytes))?)
    }

    /// The output that holds it.
    fn output(&self) -> Result<Output, StageError> {
        Ok(Output::file(Self::OUTPUT, &file::<Self>(), self.encode()?))
    }

    /// The output that holds it, in a file in [`Context::scratch_dir`]: for what is worth no second copy in memory, of stages
    /// that run one node at a time.
    ///
    /// [`Context::scratch_dir`]: orchestrate_engine::stage::Context::scratch_dir
    fn saved(&self, scratch_dir: &Path) -> Result<Output, StageError> {
        let name = file::<Self>();
        let path = scratch_dir.join(&name);
        self.columns()?.save(&path)?;
        Ok(Output { name: Self::OUTPUT.to_owned(), files: vec![(name, Content::File(path))] })
    }

    /// Opens what a port received, without decoding its columns.
    fn open(item: &Item) -> Result<Rows, StageError> {
        let name = file::<Self>();
        Rows::open(&name, Bytes::from(item.read(&name)?))
    }

    /// Reads it from what a port received.
    fn from_item(item: &Item) -> Result<Self, StageError> {
        Self::from_rows(&Self::open(item)?)
    }
}

fn file<T: Table>() -> String {
    format!("{}.parquet", T::OUTPUT)
}
