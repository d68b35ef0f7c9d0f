//! Byte strings of one length, such as the pixels of images: all of a column at once, or one by one.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_schema::{DataType, Field, Schema};
use orchestrate_cache::OpenBlob;
use orchestrate_engine::stage::{Dtype, StageError};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector};
use rayon::prelude::*;

use super::file::TableFile;
use super::raw;
use super::rows::{Rows, guarded};

/// Rows that are decoded at a time, so that what is decoded stays in the processor's cache.
const BATCH_ROWS: usize = 16;

/// Rows that a thread reads before others may take the rest of the row group.
///
/// Two threads that share a page both decode it, so a range should have many pages.
const RANGE_ROWS: usize = 256;

/// Some successive rows of one row group.
struct RowRange<'k> {
    group: usize,
    /// The first of them, counted from the start of the row group.
    first_in_group: usize,
    /// The first of them, counted from the start of the table.
    first: usize,
    /// The rows that are wanted.
    keep: &'k [bool],
}

impl Rows {
    /// The byte strings of a column in the rows to `keep`, one after the other; each must have `width` bytes.
    ///
    /// Errors: a string of another length, with its row.
    pub fn bytes(&self, name: &str, keep: &[bool], width: usize) -> Result<Vec<u8>, StageError> {
        let too_large = || self.error(format!("{} values of {width} bytes do not fit in memory", count(keep)));
        let size = count(keep).checked_mul(width).ok_or_else(too_large)?;
        // Tried first, as `vec!` would abort; `vec!` takes pages that the system has zeroed, in parallel below.
        Vec::<u8>::new().try_reserve_exact(size).map_err(|_| too_large())?;
        let mut values = vec![0; size];
        let mut rest = values.as_mut_slice();
        let mut ranges = Vec::new();
        for range in self.row_ranges(name, keep)? {
            let own = rest.split_off_mut(..count(range.keep) * width).expect("ranges keep rows of `keep` only");
            ranges.push((range, own.chunks_exact_mut(width.max(1))));
        }
        ranges.into_par_iter().try_for_each(|(range, mut slots)| {
            self.each_bytes(name, &range, width, |value| {
                slots.by_ref().take(1).for_each(|slot| slot.copy_from_slice(value))
            })
        })?;
        Ok(values)
    }

    /// The results of `map` for each byte string of a column in the rows to `keep`; see [`Rows::bytes`].
    pub fn map_bytes<T: Send>(
        &self,
        name: &str,
        keep: &[bool],
        width: usize,
        map: impl Fn(&[u8]) -> T + Sync,
    ) -> Result<Vec<T>, StageError> {
        let map_range = |range: RowRange<'_>| {
            let mut mapped = Vec::with_capacity(range.keep.len());
            self.each_bytes(name, &range, width, |value| mapped.push(map(value)))?;
            Ok(mapped)
        };
        let ranges = self.row_ranges(name, keep)?.into_par_iter();
        Ok(ranges.map(map_range).collect::<Result<Vec<Vec<T>>, StageError>>()?.into_iter().flatten().collect())
    }

    /// The byte strings of a column, each of `width` bytes, to be read one by one.
    pub(in crate::artifact) fn strings(&self, name: &str, width: usize) -> Result<Strings, StageError> {
        if let TableFile::Stored(blob) = &self.file {
            // A column that cannot be walked through is decoded, which says what is wrong.
            let offsets = guarded(|| Ok(raw::offsets(self.metadata.metadata(), blob, name, width))).unwrap_or(Ok(None));
            let offsets = offsets.map_err(|error| StageError::corrupt(*blob.digest(), &error))?;
            if let Some(offsets) = offsets.filter(|offsets| offsets.len() == self.len()) {
                return Ok(Strings { width, bytes: Bytes::Stored { blob: Arc::clone(blob), offsets } });
            }
        }
        Ok(Strings::held(self.bytes(name, &vec![true; self.len()], width)?, width))
    }

    /// Ranges of a column that are read in parallel; a column of images is most of its table.
    fn row_ranges<'k>(&self, name: &str, keep: &'k [bool]) -> Result<Vec<RowRange<'k>>, StageError> {
        let mut ranges = Vec::new();
        let mut first = 0;
        for (group, metadata) in self.metadata.metadata().row_groups().iter().enumerate() {
            let rows = usize::try_from(metadata.num_rows()).unwrap_or(0).min(keep.len() - first);
            for (number, keep) in keep[first..first + rows].chunks(RANGE_ROWS).enumerate() {
                let first_in_group = number * RANGE_ROWS;
                ranges.push(RowRange { group, first_in_group, first: first + first_in_group, keep });
            }
            first += rows;
        }
        if first < keep.len() {
            return Err(self.error(format!("column `{name}` has {first} rows of {}", keep.len())));
        }
        ranges.retain(|range| range.keep.contains(&true));
        Ok(ranges)
    }

    /// Passes the byte strings of a range to `take`, one after the other.
    fn each_bytes(
        &self,
        name: &str,
        range: &RowRange<'_>,
        width: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), StageError> {
        let RowRange { group, first_in_group, first, keep } = *range;
        let mut rows = (first..).zip(keep).filter(|(_, keep)| **keep).map(|(row, _)| row);
        let mut unequal = None;
        let reader = |index: usize| {
            let runs = keep.chunk_by(|a, b| a == b).map(|run| RowSelector { row_count: run.len(), skip: !run[0] });
            let selection: RowSelection = std::iter::once(RowSelector::skip(first_in_group)).chain(runs).collect();
            let reader = self.reader(self.viewed(index)?, index).with_row_groups(vec![group]);
            Ok(reader.with_row_selection(selection).with_batch_size(BATCH_ROWS))
        };
        self.decode(name, Dtype::Bytes, count(keep), reader, |array| {
            for value in array.as_binary_view_opt()? {
                let (value, row) = (value.unwrap_or_default(), rows.next());
                if value.len() == width {
                    take(value);
                } else {
                    unequal = unequal.or(Some((row.unwrap_or_default(), value.len())));
                }
            }
            Some(())
        })?;
        match unequal {
            Some((row, length)) => Err(self.error(format!("column `{name}`, row {row}: {length} bytes, not {width}"))),
            None => Ok(()),
        }
    }

    /// The schema with byte strings of a column as views of the pages in which they lie, which copies nothing.
    fn viewed(&self, index: usize) -> Result<ArrowReaderMetadata, String> {
        let mut fields: Vec<_> = self.fields().iter().cloned().collect();
        if *fields[index].data_type() == DataType::Binary {
            fields[index] = Arc::new(Field::clone(&fields[index]).with_data_type(DataType::BinaryView));
        }
        let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
        ArrowReaderMetadata::try_new(Arc::clone(self.metadata.metadata()), options).map_err(|error| error.to_string())
    }
}

fn count(keep: &[bool]) -> usize {
    keep.iter().filter(|&&keep| keep).count()
}

/// Byte strings of one length that are read one by one, from the file if it holds them unchanged, else from memory.
pub(in crate::artifact) struct Strings {
    width: usize,
    bytes: Bytes,
}

enum Bytes {
    /// In the store, each string at its offset.
    Stored { blob: Arc<OpenBlob>, offsets: Vec<u64> },
    /// One string after the other.
    Held(Vec<u8>),
}

impl Strings {
    /// Strings that are in memory, one after the other.
    pub(in crate::artifact) fn held(bytes: Vec<u8>, width: usize) -> Self {
        Self { width, bytes: Bytes::Held(bytes) }
    }

    /// Returns whether they stay in the file.
    #[cfg(test)]
    pub(in crate::artifact) fn is_stored(&self) -> bool {
        matches!(self.bytes, Bytes::Stored { .. })
    }

    /// Reads the string of a row.
    ///
    /// Errors: the bytes changed since they were checked.
    pub(in crate::artifact) fn read(&self, row: usize, string: &mut [u8]) -> Result<(), StageError> {
        match &self.bytes {
            Bytes::Stored { blob, offsets } => {
                let read = blob.read_exact_at(string, offsets[row]);
                read.map_err(|error| StageError::corrupt(*blob.digest(), &error))
            }
            Bytes::Held(bytes) => {
                string.copy_from_slice(&bytes[row * self.width..(row + 1) * self.width]);
                Ok(())
            }
        }
    }
}
