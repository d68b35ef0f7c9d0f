//! One column in memory, and its form in Parquet and Arrow.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, Float32Array, ListArray};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{DataType, Field};
use parquet::basic::{Compression, Encoding};

use super::raw::RawStrings;

/// Distinct floats up to which one of [many](super::Columns::many) tables stores them in a dictionary.
const DICTIONARY_MAX: usize = 16;

pub(super) enum Column<'a> {
    /// One value a row.
    Values { array: ArrayRef, nullable: bool },
    /// Byte strings of `width` bytes, one after the other.
    Bytes { rows: usize, width: usize, values: &'a [u8], compression: Compression },
    /// Lists of floats of one length, one after the other.
    Floats { rows: usize, values: &'a [f32] },
}

impl Column<'_> {
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Values { array, .. } => array.len(),
            Self::Bytes { rows, .. } | Self::Floats { rows, .. } => *rows,
        }
    }

    /// Number of values, of which a row of bytes or floats has several.
    pub(super) fn values(&self) -> usize {
        match self {
            Self::Values { array, .. } => array.len(),
            Self::Bytes { values, .. } => values.len(),
            Self::Floats { values, .. } => values.len(),
        }
    }

    /// Number of values in a row.
    fn width(&self) -> usize {
        match self {
            Self::Bytes { width, .. } => *width,
            _ => self.values() / self.rows().max(1),
        }
    }

    fn is_text(&self) -> bool {
        matches!(self, Self::Values { array, .. } if *array.data_type() == DataType::Utf8)
    }

    /// Size of a row in memory; an estimate for texts.
    pub(super) fn row_bytes(&self) -> usize {
        match self {
            Self::Values { .. } if self.is_text() => 32,
            Self::Values { .. } => 8,
            Self::Bytes { .. } => self.width(),
            Self::Floats { .. } => 4 * self.width(),
        }
    }

    /// Its byte strings, if the file holds them unchanged.
    pub(super) fn raw(&self) -> Option<RawStrings<'_>> {
        match self {
            Self::Bytes { values, compression: Compression::UNCOMPRESSED, .. } => {
                Some(RawStrings { width: self.width(), values })
            }
            _ => None,
        }
    }

    /// Returns whether values repeat so rarely in a single table that a dictionary does not pay.
    pub(super) fn is_varied(&self, name: &str) -> bool {
        name == "image" || !matches!(self, Self::Values { array, .. } if *array.data_type() != DataType::Float64)
    }

    /// The encoding in one of many tables; `None` for a dictionary.
    pub(super) fn compact_encoding(&self, name: &str) -> Option<Encoding> {
        let Self::Values { array, .. } = self else { return Some(Encoding::PLAIN) };
        match array.data_type() {
            DataType::Utf8 => (name == "image").then_some(Encoding::DELTA_BYTE_ARRAY),
            DataType::Int64 => Some(Encoding::DELTA_BINARY_PACKED),
            DataType::Float64 => has_many_values(array).then_some(Encoding::PLAIN),
            _ => Some(Encoding::PLAIN),
        }
    }

    pub(super) fn field(&self, name: &str) -> Field {
        match self {
            Self::Values { array, nullable } => Field::new(name, array.data_type().clone(), *nullable),
            Self::Bytes { .. } => Field::new(name, DataType::Binary, false),
            Self::Floats { .. } => Field::new(name, DataType::List(Arc::new(element())), false),
        }
    }

    pub(super) fn array(&self, range: Range<usize>) -> ArrayRef {
        let width = self.width();
        let offsets = || OffsetBuffer::from_repeated_length(width, range.len());
        let values_of = range.start * width..range.end * width;
        match self {
            Self::Values { array, .. } => array.slice(range.start, range.len()),
            Self::Bytes { values, .. } => Arc::new(BinaryArray::new(offsets(), Buffer::from(&values[values_of]), None)),
            Self::Floats { values, .. } => {
                let floats = Float32Array::from_iter_values(values[values_of].iter().copied());
                Arc::new(ListArray::new(Arc::new(element()), offsets(), Arc::new(floats), None))
            }
        }
    }
}

/// Returns whether a column of floats has more distinct values than a dictionary is worth.
fn has_many_values(array: &ArrayRef) -> bool {
    let mut seen = Vec::with_capacity(DICTIONARY_MAX);
    for value in array.as_primitive::<Float64Type>().iter().flatten().map(f64::to_bits) {
        if !seen.contains(&value) {
            if seen.len() == DICTIONARY_MAX {
                return true;
            }
            seen.push(value);
        }
    }
    false
}

fn element() -> Field {
    Field::new("element", DataType::Float32, false)
}
