//! The artifacts of the domain as Rust values, each with its Parquet columns.
//!
//! The columns `label` and `predicted` hold class *names*. Where their order matters, it is the note `classes` in the
//! key-value metadata of the file, a JSON list.

mod audit;
mod collapse;
mod curve;
mod described;
mod features;
mod figures;
mod grids;
mod image_reader;
mod images;
mod maps;
mod mask_reader;
mod metrics;
mod moved;
mod parquet;
mod predicted;
mod scale;
mod scores;
mod split;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use orchestrate_engine::stage::{ArtifactFacts, Content, Item, Output, StageError};

pub(crate) use self::collapse::{Collapse, collapse_remarks, place};
pub use self::parquet::{Columns, Rows};
pub(crate) use self::parquet::{Series, cause, name_of, properties, repeated};
pub use audit::{Audit, Finding};
pub use curve::{Curve, Epoch, Epochs, Figure, SegmentCurve};
pub(crate) use described::{LEAKAGE, REPORT};
pub use features::{Features, Origin};
pub use figures::{
    Cell, Figures, Interval, Levels, PairedTest, ReferenceValue, Repeats, Resampling, ResamplingUnit, Statistic,
};
pub use grids::GridsWriter;
pub use image_reader::ImageReader;
pub use images::{Images, Labels, Masks};
pub use maps::{Cams, Predictions, Thresholds};
pub use mask_reader::MaskReader;
#[cfg(test)]
pub(crate) use mask_reader::foreground;
pub(crate) use mask_reader::{Foreground, Run, count, count_common};
pub use metrics::{ALL, AxisColumns, Confusion, Metrics, is_synthetic};
pub use moved::{Moved, moved};
pub use predicted::{PredictedMasks, PredictedReader};
pub use scale::Scale;
pub use scores::Scores;
pub use split::Split;

/// Name of the output that holds the weights of a network; `stages/networks` writes it.
pub const WEIGHTS: &str = "weights";

/// Name of the text file of an output, which every run prints.
pub const TEXT: &str = "table.txt";

/// An artifact that is one Parquet file, `OUTPUT.parquet`.
pub trait Table: Sized {
    /// Its files, columns and notes; readers check the files of other programs against it.
    const FACTS: &'static ArtifactFacts;

    /// Name of the output, and of its file without the extension.
    const OUTPUT: &'static str = Self::FACTS.name;

    /// Its columns and notes.
    fn columns(&self) -> Result<Columns<'_>, StageError>;

    /// Reads the columns, checking types, lengths and values.
    fn from_rows(rows: &Rows) -> Result<Self, StageError>;

    /// A sentence about values that mean little, such as constant maps; runs print it, on hits too.
    fn warning(&self) -> Option<String> {
        None
    }

    /// Encodes as Parquet: zstd, fixed `created_by`, the same bytes for the same rows.
    fn encode(&self) -> Result<Vec<u8>, StageError> {
        self.columns()?.encode()
    }

    /// Decodes, checking columns, types and lengths.
    fn decode(bytes: &[u8]) -> Result<Self, StageError> {
        Self::from_rows(&Rows::open(&file::<Self>(), Bytes::copy_from_slice(bytes))?.of(&Self::FACTS.files[0])?)
    }

    /// The output with the table, and with its warning if it has one.
    fn output(&self) -> Result<Output, StageError> {
        let mut output = Output::file(Self::OUTPUT, &file::<Self>(), self.encode()?);
        let warning = self.warning().map(|warning| Content::Bytes(format!("warning: {warning}\n").into_bytes()));
        output.files.extend(warning.map(|warning| (TEXT.to_owned(), warning)));
        Ok(output)
    }

    /// Opens an item of a port, without decoding its columns.
    fn open(item: &Item) -> Result<Rows, StageError> {
        let name = file::<Self>();
        Rows::open(&name, Bytes::from(item.read(&name)?))?.of(&Self::FACTS.files[0])
    }

    /// Opens an item of a port, of which only the parts that are asked for are read: for tables of many pixels.
    fn open_stored(item: &Item) -> Result<Rows, StageError> {
        let name = file::<Self>();
        Rows::open_stored(&name, Arc::new(item.open(&name)?))?.of(&Self::FACTS.files[0])
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

/// Returns whether all values are equal.
fn is_constant<T: PartialEq>(values: &[T]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

/// Returns a warning that counts maps of one value, and names a few of their images; `None` if there are none.
fn constant_maps(what: &str, names: &[String], constant: impl Iterator<Item = bool>) -> Option<String> {
    let named: Vec<&String> =
        names.iter().zip(constant).filter(|(_, constant)| *constant).map(|(name, _)| name).collect();
    let first = named.iter().take(NAMED_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = if named.len() > NAMED_MAX { ", …" } else { "" };
    let (count, all) = (named.len(), names.len());
    (count > 0).then(|| format!("{count} of {all} {what} have one value everywhere: {first}{more}"))
}

/// The most images that a warning names.
const NAMED_MAX: usize = 3;

fn file<T: Table>() -> String {
    format!("{}.parquet", T::OUTPUT)
}
