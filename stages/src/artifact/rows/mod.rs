//! Parquet bytes to columns, one column at a time, whoever wrote the file: pandas and pyarrow differ from us in the width of
//! integers and in the notes. What does not fit is an error that names the file, the column and what was found.

mod batches;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::types::{UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use orchestrate_cache::OpenBlob;
use orchestrate_engine::stage::StageError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::reader::Length;
use rayon::prelude::*;

use super::place;
use super::source::Source;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 256;

/// The same of columns of pictures, so that what is decoded stays in the processor's cache.
const PART_BATCH_ROWS: usize = 16;

/// Rows of pictures that one thread reads before others may take what is left of the row group; a page that two of them share is
/// read by both, so that it should have many pages.
const PART_ROWS: usize = 256;

/// Some rows of one row group that follow each other.
struct Part<'k> {
    group: usize,
    /// Rows of the group before them.
    skipped: usize,
    /// The first of them, counted from the start of the table.
    start: usize,
    /// Which of them are wanted.
    keep: &'k [bool],
}

/// A Parquet table whose columns are decoded when asked for.
pub struct Rows {
    what: String,
    source: Source,
    metadata: ArrowReaderMetadata,
    count: usize,
}

impl Rows {
    /// Reads the schema; `what` is the name of the file in errors.
    pub fn open(what: &str, bytes: Bytes) -> Result<Self, StageError> {
        Self::of_source(what, Source::Memory(bytes))
    }

    /// [`Rows::open`] of a file in the store, of which only what is asked for is read.
    pub fn open_stored(what: &str, blob: Arc<OpenBlob>) -> Result<Self, StageError> {
        Self::of_source(what, Source::Stored(blob))
    }

    fn of_source(what: &str, source: Source) -> Result<Self, StageError> {
        let not_parquet = |error: String| StageError::new(format!("`{what}` is no readable Parquet file: {error}"));
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = guarded(|| ArrowReaderMetadata::load(&source, options).map_err(|error| cause(&error)))
            .map_err(|error| source.failed(not_parquet(error)))?;
        let count = usize::try_from(metadata.metadata().file_metadata().num_rows())
            .map_err(|_| not_parquet("the number of rows is negative".to_owned()))?;
        Ok(Self { what: what.to_owned(), source, metadata, count })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Length of the file.
    pub fn size_bytes(&self) -> usize {
        usize::try_from(self.source.len()).unwrap_or(usize::MAX)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Names of the columns.
    pub fn names(&self) -> Vec<String> {
        self.metadata.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The note of that key.
    pub fn note(&self, key: &str) -> Option<&str> {
        let notes = self.metadata.metadata().file_metadata().key_value_metadata()?;
        notes.iter().find(|note| note.key == key)?.value.as_deref()
    }

    /// The list of texts noted under that key.
    pub fn list_note(&self, key: &str) -> Result<Option<Vec<String>>, StageError> {
        self.note(key)
            .map(|json| {
                serde_json::from_str(json)
                    .map_err(|error| self.error(format!("note `{key}` is no JSON list of texts: {error}")))
            })
            .transpose()
    }

    /// A column of texts.
    pub fn text(&self, name: &str) -> Result<Vec<String>, StageError> {
        self.required(name, self.optional_text(name)?)
    }

    /// A column of texts, some of which may be missing.
    pub fn optional_text(&self, name: &str) -> Result<Vec<Option<String>>, StageError> {
        self.collect(name, "texts", |array, out| {
            let texts = array.as_string_opt::<i32>()?;
            out.extend(texts.iter().map(|text| text.map(str::to_owned)));
            Some(())
        })
    }

    /// Whether a column holds exactly those texts, in that order.
    pub fn has_texts(&self, name: &str, texts: &[String]) -> Result<bool, StageError> {
        let mut expected = texts.iter();
        let mut equal = texts.len() == self.count;
        self.read(name, "texts", |array| {
            let found = array.as_string_opt::<i32>()?.iter();
            equal &= found.zip(expected.by_ref()).all(|(found, expected)| found == Some(expected.as_str()));
            Some(())
        })?;
        Ok(equal)
    }

    /// Whether a text in a column is such as is looked for.
    pub fn any_text(&self, name: &str, is_wanted: impl Fn(&str) -> bool) -> Result<bool, StageError> {
        let mut any = false;
        self.read(name, "texts", |array| {
            any |= array.as_string_opt::<i32>()?.iter().flatten().any(&is_wanted);
            Some(())
        })?;
        Ok(any)
    }

    /// A column of integers.
    pub fn integer(&self, name: &str) -> Result<Vec<i64>, StageError> {
        self.required(name, self.collect(name, "integers", integers)?)
    }

    /// A column of integers that are no less than 0 and fit.
    pub fn unsigned<T: TryFrom<i64>>(&self, name: &str) -> Result<Vec<T>, StageError> {
        let convert =
            |value| T::try_from(value).map_err(|_| self.error(format!("column `{name}` has the value {value}")));
        self.integer(name)?.into_iter().map(convert).collect()
    }

    /// A column of floats.
    pub fn float(&self, name: &str) -> Result<Vec<f64>, StageError> {
        self.required(name, self.optional_float(name)?)
    }

    /// A column of floats, some of which may be missing; integers are taken too.
    pub fn optional_float(&self, name: &str) -> Result<Vec<Option<f64>>, StageError> {
        self.collect(name, "floats", |array, out| {
            if let Some(values) = array.as_primitive_opt::<Float64Type>() {
                out.extend(values.iter());
            } else if let Some(values) = array.as_primitive_opt::<Float32Type>() {
                out.extend(values.iter().map(|value| value.map(f64::from)));
            } else {
                let mut whole = Vec::new();
                integers(array, &mut whole)?;
                out.extend(whole.into_iter().map(|value| value.map(|value| value as f64)));
            }
            Some(())
        })
    }

    /// A column of truth values.
    pub fn bool(&self, name: &str) -> Result<Vec<bool>, StageError> {
        let values = self.collect(name, "truth values", |array, out| {
            out.extend(array.as_boolean_opt()?.iter());
            Some(())
        })?;
        self.required(name, values)
    }

    /// The byte strings of a column in the rows to `keep`, one after the other; each must have `width` bytes.
    ///
    /// Errors: a string of another length, with its row.
    pub fn bytes(&self, name: &str, keep: &[bool], width: usize) -> Result<Vec<u8>, StageError> {
        let kept = |keep: &[bool]| keep.iter().filter(|&&keep| keep).count();
        let too_large = || self.error(format!("{} values of {width} bytes do not fit in memory", kept(keep)));
        let size = kept(keep).checked_mul(width).ok_or_else(too_large)?;
        // Asked first, as the second call would abort; that one takes pages that the system has zeroed, in parallel below.
        Vec::<u8>::new().try_reserve_exact(size).map_err(|_| too_large())?;
        let mut values = vec![0; size];
        let mut places = Vec::new();
        let mut rest = values.as_mut_slice();
        for part in self.parts(name, keep)? {
            let (own, others) = rest.split_at_mut(kept(part.keep) * width);
            places.push((part, own));
            rest = others;
        }
        places.into_par_iter().try_for_each(|(part, own)| {
            let mut places = own.chunks_exact_mut(width.max(1));
            self.part_bytes(name, &part, width, |value| {
                if let Some(place) = places.next() {
                    place.copy_from_slice(value);
                }
            })
        })?;
        Ok(values)
    }

    /// What `map` makes of each byte string of a column in the rows to `keep`; see [`Rows::bytes`].
    pub fn map_bytes<T: Send>(
        &self,
        name: &str,
        keep: &[bool],
        width: usize,
        map: impl Fn(&[u8]) -> T + Sync,
    ) -> Result<Vec<T>, StageError> {
        let map_part = |part: Part<'_>| {
            let mut mapped = Vec::with_capacity(part.keep.len());
            self.part_bytes(name, &part, width, |value| mapped.push(map(value)))?;
            Ok(mapped)
        };
        let parts: Vec<Vec<T>> =
            self.parts(name, keep)?.into_par_iter().map(map_part).collect::<Result<_, StageError>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Parts of a column that are read in parallel: a column of pictures is most of its table.
    fn parts<'k>(&self, name: &str, keep: &'k [bool]) -> Result<Vec<Part<'k>>, StageError> {
        let mut parts = Vec::new();
        let mut start = 0;
        for (group, metadata) in self.metadata.metadata().row_groups().iter().enumerate() {
            let rows = usize::try_from(metadata.num_rows()).unwrap_or(0).min(keep.len() - start);
            let pieces =
                keep[start..start + rows].chunks(PART_ROWS).enumerate().map(|(piece, keep)| (piece * PART_ROWS, keep));
            parts.extend(pieces.map(|(skipped, keep)| Part { group, skipped, start: start + skipped, keep }));
            start += rows;
        }
        if start < keep.len() {
            return Err(self.error(format!("column `{name}` has {start} rows of {}", keep.len())));
        }
        parts.retain(|part| part.keep.contains(&true));
        Ok(parts)
    }

    /// Gives the byte strings of a part to `take`, one after the other.
    fn part_bytes(
        &self,
        name: &str,
        part: &Part<'_>,
        width: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), StageError> {
        let mut rows = (part.start..).zip(part.keep).filter(|(_, keep)| **keep).map(|(row, _)| row);
        let mut unequal = None;
        self.read_part(name, "byte strings", Some(part), &mut |array| {
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
            Some((row, length)) => Err(self.error(format!("`{name}` of row {row} has {length} bytes, not {width}"))),
            None => Ok(()),
        }
    }

    /// Where the byte strings of a column, of `width` bytes each, lie in the store, row by row; `None` where they do not lie there
    /// as they are, or the table is not in the store.
    pub fn places(&self, name: &str, width: usize) -> Result<Option<Vec<u64>>, StageError> {
        let Source::Stored(blob) = &self.source else { return Ok(None) };
        let places = || Ok(place::places(self.metadata.metadata(), blob, name, width));
        match guarded(places) {
            Ok(places) => {
                let places = places.map_err(|error| StageError::corrupt(*blob.digest(), &error))?;
                Ok(places.filter(|places| places.len() == self.count))
            }
            // What cannot be walked through is decoded, which says what is wrong.
            Err(_) => Ok(None),
        }
    }

    /// A column of equally long lists of floats, one after the other, and that length; 0 where there are no rows.
    pub fn floats(&self, name: &str) -> Result<(Vec<f32>, usize), StageError> {
        let mut values = Vec::new();
        let mut lengths = Vec::new();
        self.read(name, "lists of floats", |array| {
            let lists = array.as_list_opt::<i32>()?;
            for row in 0..lists.len() {
                let list = lists.value(row);
                if let Some(list) = list.as_primitive_opt::<Float32Type>() {
                    values.extend(list.iter().map(Option::unwrap_or_default));
                } else {
                    let list = list.as_primitive_opt::<Float64Type>()?;
                    values.extend(list.iter().map(|value| value.unwrap_or_default() as f32));
                }
                lengths.push(list.len());
            }
            Some(())
        })?;
        let width = lengths.first().copied().unwrap_or(0);
        match lengths.iter().position(|&length| length != width) {
            Some(row) => Err(self.error(format!(
                "column `{name}` has lists of unequal length: {width} in row 0, {} in row {row}",
                lengths[row]
            ))),
            None => Ok((values, width)),
        }
    }

    /// Class names in the order of their indices: as noted, else what the named columns hold, sorted.
    pub fn classes(&self, columns: &[&str]) -> Result<Vec<String>, StageError> {
        if let Some(classes) = self.list_note("classes")? {
            return Ok(classes);
        }
        let mut classes = std::collections::BTreeSet::new();
        for column in columns {
            classes.extend(self.text(column)?);
        }
        Ok(classes.into_iter().collect())
    }

    /// A column of class names, as indices into `classes`.
    pub fn class(&self, name: &str, classes: &[String]) -> Result<Vec<u32>, StageError> {
        let index = |label: String| {
            classes.iter().position(|class| *class == label).map(|index| index as u32).ok_or_else(|| {
                self.error(format!("column `{name}` has the class `{label}`; the classes are: {}", classes.join(", ")))
            })
        };
        self.text(name)?.into_iter().map(index).collect()
    }

    /// The one value of a column that is the same in every row; 0 where there are no rows.
    pub fn constant(&self, name: &str) -> Result<usize, StageError> {
        let values = self.unsigned::<usize>(name)?;
        let first = values.first().copied().unwrap_or(0);
        match values.iter().find(|&&value| value != first) {
            Some(other) => {
                Err(self.error(format!("column `{name}` has both {first} and {other}; all rows must agree")))
            }
            None => Ok(first),
        }
    }

    /// An error about this file.
    pub fn error(&self, message: impl std::fmt::Display) -> StageError {
        StageError::new(format!("`{}`: {message}", self.what))
    }

    fn required<T>(&self, name: &str, values: Vec<Option<T>>) -> Result<Vec<T>, StageError> {
        let missing = |row| self.error(format!("column `{name}` has no value in row {row}"));
        values.into_iter().enumerate().map(|(row, value)| value.ok_or_else(|| missing(row))).collect()
    }

    fn collect<T>(
        &self,
        name: &str,
        expected: &str,
        mut append: impl FnMut(&ArrayRef, &mut Vec<T>) -> Option<()>,
    ) -> Result<Vec<T>, StageError> {
        let mut out = Vec::new();
        self.read(name, expected, |array| append(array, &mut out))?;
        Ok(out)
    }

    /// Decodes one column batch by batch; `take` gives `None` where the type is not the `expected` one.
    fn read(
        &self,
        name: &str,
        expected: &str,
        mut take: impl FnMut(&ArrayRef) -> Option<()>,
    ) -> Result<(), StageError> {
        self.read_part(name, expected, None, &mut take)
    }

    /// The schema with byte strings of a column as parts of the pages in which they lie, where they need not be copied.
    fn viewed(&self, index: usize) -> Result<ArrowReaderMetadata, String> {
        let mut fields: Vec<_> = self.metadata.schema().fields().iter().cloned().collect();
        if *fields[index].data_type() == DataType::Binary {
            fields[index] = Arc::new(Field::clone(&fields[index]).with_data_type(DataType::BinaryView));
        }
        let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
        ArrowReaderMetadata::try_new(Arc::clone(self.metadata.metadata()), options).map_err(|error| error.to_string())
    }

    /// [`Rows::read`] of all rows, or of those to keep in a part.
    fn read_part(
        &self,
        name: &str,
        expected: &str,
        part: Option<&Part<'_>>,
        take: &mut dyn FnMut(&ArrayRef) -> Option<()>,
    ) -> Result<(), StageError> {
        let Some((index, field)) = self.metadata.schema().fields().find(name) else {
            let names = self.names().join(", ");
            return Err(self.error(format!("there is no column `{name}`; the columns are: {names}")));
        };
        let found = field.data_type().clone();
        let count = part.map_or(self.count, |part| part.keep.iter().filter(|&&keep| keep).count());
        let result = guarded(|| -> Result<usize, String> {
            let mask = ProjectionMask::roots(self.metadata.parquet_schema(), [index]);
            let metadata = if part.is_some() { self.viewed(index)? } else { self.metadata.clone() };
            let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.clone(), metadata)
                .with_projection(mask)
                .with_batch_size(BATCH_ROWS);
            if let Some(Part { group, skipped, keep, .. }) = part {
                let wanted = ranges(keep).into_iter().map(|range| range.start + skipped..range.end + skipped);
                let selection = RowSelection::from_consecutive_ranges(wanted, skipped + keep.len());
                reader =
                    reader.with_row_groups(vec![*group]).with_row_selection(selection).with_batch_size(PART_BATCH_ROWS);
            }
            let mut rows = 0;
            for batch in reader.build().map_err(|error| error.to_string())? {
                let batch = batch.map_err(|error| error.to_string())?;
                rows += batch.num_rows();
                take(batch.column(0)).ok_or_else(|| format!("{expected} were expected, found {}", name_of(&found)))?;
            }
            Ok(rows)
        });
        match result {
            Ok(rows) if rows == count => Ok(()),
            Ok(rows) => Err(self.error(format!("column `{name}` has {rows} rows of {count}"))),
            Err(error) => Err(self.source.failed(self.error(format!("column `{name}`: {error}")))),
        }
    }
}

/// Rows to keep that follow each other.
fn ranges(keep: &[bool]) -> Vec<Range<usize>> {
    let mut end = 0;
    let runs = keep.chunk_by(|a, b| a == b).map(|run| {
        end += run.len();
        (run[0], end - run.len()..end)
    });
    runs.filter(|(keep, _)| *keep).map(|(_, range)| range).collect()
}

/// What people call a type of column.
pub(crate) fn name_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "texts".to_owned(),
        DataType::Binary => "byte strings".to_owned(),
        other => other.to_string(),
    }
}

/// What went wrong, without the words that say again that it is about Parquet.
pub(crate) fn cause(error: &ParquetError) -> String {
    match error {
        ParquetError::General(message) | ParquetError::EOF(message) => {
            message.trim_start_matches("Invalid Parquet file. ").to_owned()
        }
        ParquetError::External(error) => error.to_string(),
        error => error.to_string(),
    }
}

fn integers(array: &ArrayRef, out: &mut Vec<Option<i64>>) -> Option<()> {
    macro_rules! widen {
        ($($type:ty),*) => {$(
            if let Some(values) = array.as_primitive_opt::<$type>() {
                out.extend(values.iter().map(|value| value.map(i64::from)));
                return Some(());
            }
        )*};
    }
    widen!(Int64Type, Int32Type, Int16Type, Int8Type, UInt32Type, UInt16Type, UInt8Type);
    let values = array.as_primitive_opt::<UInt64Type>()?;
    out.extend(values.iter().map(|value| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))));
    Some(())
}

/// Turns a panic into an error: the Parquet reader checks most of what a damaged file can say, not all.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("the file is damaged".to_owned()))
}
