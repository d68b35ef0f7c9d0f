//! The artifacts of the domain as Rust values, each with its Parquet columns.
//!
//! The columns `label` and `predicted` hold class *names*. Where their order matters, it is the note `classes` in the
//! key-value metadata of the file, a JSON list.

mod curve;
mod figures;
mod grids;
mod image_reader;
mod images;
mod maps;
mod mask_reader;
mod metrics;
mod parquet;
mod predicted;
mod scale;
mod scores;
mod split;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use orchestrate_engine::stage::{Item, Output, StageError};

pub use self::parquet::{Columns, Rows};
pub(crate) use self::parquet::{Series, cause, name_of, properties, repeated};
pub use curve::{Curve, Epoch, Epochs, Figure, SegmentCurve};
pub use figures::{Cell, Figures, Interval, Levels, PairedTest, ReferenceValue, Resampling, ResamplingUnit, Statistic};
pub use grids::GridsWriter;
pub use image_reader::ImageReader;
pub use images::{Images, Labels, Masks};
pub use maps::{Cams, Predictions, Thresholds};
pub use mask_reader::MaskReader;
#[cfg(test)]
pub(crate) use mask_reader::foreground;
pub(crate) use mask_reader::{Foreground, Run, count, count_common};
pub(crate) use metrics::is_synthetic_name;
pub use metrics::{ALL, AxisColumns, Confusion, Metrics, is_synthetic};
pub use predicted::{PredictedMasks, PredictedReader};
pub use scale::Scale;
pub use scores::Scores;
pub use split::Split;

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

    /// The output with the table.
    fn output(&self) -> Result<Output, StageError> {
        Ok(Output::file(Self::OUTPUT, &file::<Self>(), self.encode()?))
    }

    /// Opens an item of a port, without decoding its columns.
    fn open(item: &Item) -> Result<Rows, StageError> {
        let name = file::<Self>();
        Rows::open(&name, Bytes::from(item.read(&name)?))
    }

    /// Opens an item of a port, of which only the parts that are asked for are read: for tables of many pixels.
    fn open_stored(item: &Item) -> Result<Rows, StageError> {
        let name = file::<Self>();
        Rows::open_stored(&name, Arc::new(item.open(&name)?))
    }

    /// Reads the table from an item of a port.
    fn from_item(item: &Item) -> Result<Self, StageError> {
        Self::from_rows(&Self::open(item)?)
    }
}

impl Series {
    /// The output with the next table; see [`Table::output`].
    pub(crate) fn output<T: Table>(&mut self, table: &T) -> Result<Output, StageError> {
        Ok(Output::file(T::OUTPUT, &file::<T>(), self.encode(&table.columns()?)?))
    }
}

fn file<T: Table>() -> String {
    format!("{}.parquet", T::OUTPUT)
}
