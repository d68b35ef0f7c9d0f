//! Parquet bytes to columns, one column at a time, whoever wrote the file.
//!
//! pandas and pyarrow differ from us in the width of integers and in the notes. A column that does not fit is an error,
//! which names the file, the column and its type.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, downcast_integer_array};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, Fields};
use bytes::Bytes;
use orchestrate_cache::OpenBlob;
use orchestrate_engine::stage::StageError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::Length;

use super::file::TableFile;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 256;

/// A Parquet table whose columns are decoded when asked for.
pub struct Rows {
    /// The name of the file in errors.
    what: String,
    pub(super) file: TableFile,
    pub(super) metadata: ArrowReaderMetadata,
    count: usize,
}

/// A builder of a reader of record batches.
pub(super) type Reader = ParquetRecordBatchReaderBuilder<TableFile>;

impl Rows {
    /// Reads the schema; `what` is the name of the file in errors.
    pub fn open(what: &str, bytes: Bytes) -> Result<Self, StageError> {
        Self::of_file(what, TableFile::Memory(bytes))
    }

    /// Opens a file in the store, of which only the columns asked for are read; see [`Rows::open`].
    pub fn open_stored(what: &str, blob: Arc<OpenBlob>) -> Result<Self, StageError> {
        Self::of_file(what, TableFile::Stored(blob))
    }

    fn of_file(what: &str, file: TableFile) -> Result<Self, StageError> {
        let not_parquet = |error: String| StageError::new(format!("`{what}` is no readable Parquet file: {error}"));
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = guarded(|| ArrowReaderMetadata::load(&file, options).map_err(|error| cause(&error)))
            .map_err(|error| file.failed(not_parquet(error)))?;
        let count = usize::try_from(metadata.metadata().file_metadata().num_rows())
            .map_err(|_| not_parquet("the number of rows is negative".to_owned()))?;
        Ok(Self { what: what.to_owned(), file, metadata, count })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Length of the file.
    pub fn size_bytes(&self) -> usize {
        usize::try_from(self.file.len()).unwrap_or(usize::MAX)
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Names of the columns.
    pub fn names(&self) -> Vec<String> {
        self.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Names and types of the columns, as Parquet itself has them: a category is a text.
    pub(crate) fn fields(&self) -> &Fields {
        self.metadata.schema().fields()
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
        let texts =
            |array: &ArrayRef| Some(array.as_string_opt::<i32>()?.iter().map(|text| text.map(str::to_owned)).collect());
        self.collect(name, "texts", texts)
    }

    /// Returns whether a column holds exactly those texts, in that order.
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

    /// Returns whether any text in a column `is_wanted`.
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

    /// A column of integers that fit into an unsigned type.
    pub fn unsigned<T: TryFrom<i64>>(&self, name: &str) -> Result<Vec<T>, StageError> {
        let convert =
            |value| T::try_from(value).map_err(|_| self.error(format!("column `{name}` has the value {value}")));
        self.integer(name)?.into_iter().map(convert).collect()
    }

    /// A column of floats.
    pub fn float(&self, name: &str) -> Result<Vec<f64>, StageError> {
        self.required(name, self.optional_float(name)?)
    }

    /// A column of floats or integers, some of which may be missing.
    pub fn optional_float(&self, name: &str) -> Result<Vec<Option<f64>>, StageError> {
        self.collect(name, "floats", |array| match array.data_type() {
            DataType::Float64 => Some(array.as_primitive::<Float64Type>().iter().collect()),
            DataType::Float32 => {
                Some(array.as_primitive::<Float32Type>().iter().map(|value| value.map(f64::from)).collect())
            }
            _ => Some(integers(array)?.into_iter().map(|value| value.map(|value| value as f64)).collect()),
        })
    }

    /// A column of truth values.
    pub fn bool(&self, name: &str) -> Result<Vec<bool>, StageError> {
        let values = self.collect(name, "truth values", |array| Some(array.as_boolean_opt()?.iter().collect()))?;
        self.required(name, values)
    }

    /// A column that not every table has, as `read` reads it; empty if the table lacks it.
    pub(crate) fn optional<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Self, &str) -> Result<Vec<T>, StageError>,
    ) -> Result<Vec<T>, StageError> {
        if self.fields().find(name).is_none() { Ok(Vec::new()) } else { read(self, name) }
    }

    /// A column of lists of floats of one length, one after the other, and that length; 0 without rows.
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

    /// Class names in the order of their indices: as noted, else the texts of the named columns, sorted.
    pub fn classes(&self, columns: &[&str]) -> Result<Vec<String>, StageError> {
        if let Some(classes) = self.list_note("classes")? {
            return Ok(classes);
        }
        let mut classes = BTreeSet::new();
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

    /// The value that a column has in every row; 0 without rows.
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
    pub fn error(&self, message: impl Display) -> StageError {
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
        convert: impl Fn(&ArrayRef) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, StageError> {
        let mut out = Vec::new();
        self.read(name, expected, |array| {
            out.extend(convert(array)?);
            Some(())
        })?;
        Ok(out)
    }

    /// Decodes one column batch by batch; `take` returns `None` if the type is not the `expected` one.
    fn read(&self, name: &str, expected: &str, take: impl FnMut(&ArrayRef) -> Option<()>) -> Result<(), StageError> {
        let reader = |index| Ok(self.reader(self.metadata.clone(), index).with_batch_size(BATCH_ROWS));
        self.decode(name, expected, self.count, reader, take)
    }

    /// A reader of one column.
    pub(super) fn reader(&self, metadata: ArrowReaderMetadata, index: usize) -> Reader {
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), [index]);
        Reader::new_with_metadata(self.file.clone(), metadata).with_projection(mask)
    }

    /// Decodes `count` rows of a column by a reader, which is made for its index.
    pub(super) fn decode(
        &self,
        name: &str,
        expected: &str,
        count: usize,
        reader: impl FnOnce(usize) -> Result<Reader, String>,
        mut take: impl FnMut(&ArrayRef) -> Option<()>,
    ) -> Result<(), StageError> {
        let Some((index, field)) = self.fields().find(name) else {
            let names = self.names().join(", ");
            return Err(self.error(format!("there is no column `{name}`; the columns are: {names}")));
        };
        let rows = guarded(|| {
            let mut rows = 0;
            for batch in reader(index)?.build().map_err(|error| error.to_string())? {
                let batch = batch.map_err(|error| error.to_string())?;
                rows += batch.num_rows();
                let found = || format!("{expected} were expected, found {}", name_of(field.data_type()));
                take(batch.column(0)).ok_or_else(found)?;
            }
            Ok(rows)
        });
        match rows {
            Ok(rows) if rows == count => Ok(()),
            Ok(rows) => Err(self.error(format!("column `{name}` has {rows} rows of {count}"))),
            Err(error) => Err(self.file.failed(self.error(format!("column `{name}`: {error}")))),
        }
    }
}

/// The name of a type of column, for people.
pub(crate) fn name_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "texts".to_owned(),
        DataType::Binary => "byte strings".to_owned(),
        other => other.to_string(),
    }
}

/// The cause of an error, without words that say once more that it is about Parquet.
pub(crate) fn cause(error: &ParquetError) -> String {
    match error {
        ParquetError::General(message) | ParquetError::EOF(message) => {
            message.trim_start_matches("Invalid Parquet file. ").to_owned()
        }
        ParquetError::External(error) => error.to_string(),
        error => error.to_string(),
    }
}

fn integers(array: &ArrayRef) -> Option<Vec<Option<i64>>> {
    downcast_integer_array!(
        array => Some(array.iter().map(|value| Some(value?.to_i64().unwrap_or(i64::MAX))).collect()),
        _ => None
    )
}

/// Turns a panic into an error; the Parquet library does not check everything that a damaged file can say.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("the file is damaged".to_owned()))
}
