//! Parquet bytes to columns, one column at a time, whoever wrote the file.
//!
//! pandas and pyarrow differ from us in the width of integers and in the notes. A column that does not fit is an error,
//! which names the file, the column and its type.

use std::collections::{BTreeSet, HashMap};
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
use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::nearest;
use orchestrate_engine::stage::{ColumnFacts, Dtype, FileFacts, StageError};
use orchestrate_engine::words::of_reader;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::Length;

use super::columns::CREATED_BY;
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
    /// Facts about the columns, if the table is of this program's artifacts.
    facts: Option<&'static FileFacts>,
    /// Whether another program wrote the file, so that its values need a check that ours passed when they were made.
    is_foreign: bool,
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
        let created_by = metadata.metadata().file_metadata().created_by();
        let is_foreign = created_by != Some(CREATED_BY);
        Ok(Self { what: what.to_owned(), file, metadata, count, facts: None, is_foreign })
    }

    /// Checks that the columns are those of an artifact, and has their values checked when they are read.
    ///
    /// Errors: columns that are missing or of another type, all at once.
    pub(crate) fn of(mut self, facts: &'static FileFacts) -> Result<Self, StageError> {
        let problem = |column: &ColumnFacts| match self.fields().find(column.name) {
            None if column.optional => None,
            None => Some(self.no_column(column.name)),
            Some((_, field)) if fits(column.dtype, field.data_type()) => None,
            Some((_, field)) => {
                let (found, wanted) = (name_of(field.data_type()), column.dtype.words());
                Some(format!("column `{}` has {found} where {wanted} are expected", column.name))
            }
        };
        let problems: Vec<_> =
            facts.columns.iter().filter(|column| !column.is_placeholder()).filter_map(problem).collect();
        if !problems.is_empty() {
            return Err(self.error(problems.join("; ")));
        }
        self.facts = Some(facts);
        Ok(self)
    }

    /// The problem of a column that is not there.
    fn no_column(&self, name: &str) -> String {
        let names = self.names();
        let near = nearest(name, names.iter().map(String::as_str)).map(|near| format!("; did you mean `{near}`?"));
        format!("there is no column `{name}`; the columns are: {}{}", names.join(", "), near.unwrap_or_default())
    }

    /// Returns the facts about a column whose values must be checked.
    fn checked(&self, name: &str) -> Option<&'static ColumnFacts> {
        self.facts.filter(|_| self.is_foreign)?.column(name)
    }

    /// Checks the numbers of a foreign column against its range; each with its row.
    fn within(&self, name: &str, numbers: impl Iterator<Item = (usize, f64)>) -> Result<(), StageError> {
        // A column without a range may hold NaN.
        let bounds = self.checked(name).map(|column| column.bounds).filter(|bounds| *bounds != Bounds::default());
        let Some(bounds) = bounds else { return Ok(()) };
        for (row, number) in numbers {
            if let Some(broken) = bounds.broken_by(number) {
                return Err(self.error(format!("column `{name}`, row {row}: {number}, but it must be {broken}")));
            }
        }
        Ok(())
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
                serde_json::from_str(json).map_err(|error| {
                    self.error(format!("note `{key}` is no JSON list of texts: {}", of_reader(&error.to_string())))
                })
            })
            .transpose()
    }

    /// A column of texts.
    pub fn text(&self, name: &str) -> Result<Vec<String>, StageError> {
        let texts = self.required(name, self.optional_text(name)?)?;
        if self.checked(name).is_some_and(|column| column.unique) {
            let mut seen = HashMap::with_capacity(texts.len());
            for (row, text) in texts.iter().enumerate() {
                if let Some(first) = seen.insert(text.as_str(), row) {
                    let message = format!("column `{name}`, row {row}: `{text}` is in row {first} already");
                    return Err(self.error(message));
                }
            }
        }
        Ok(texts)
    }

    /// A column of texts, some of which may be missing.
    pub fn optional_text(&self, name: &str) -> Result<Vec<Option<String>>, StageError> {
        let texts =
            |array: &ArrayRef| Some(array.as_string_opt::<i32>()?.iter().map(|text| text.map(str::to_owned)).collect());
        self.collect(name, Dtype::Text, texts)
    }

    /// Returns whether a column holds exactly those texts, in that order.
    pub fn has_texts(&self, name: &str, texts: &[String]) -> Result<bool, StageError> {
        let mut expected = texts.iter();
        let mut equal = texts.len() == self.count;
        self.read(name, Dtype::Text, |array| {
            let found = array.as_string_opt::<i32>()?.iter();
            equal &= found.zip(expected.by_ref()).all(|(found, expected)| found == Some(expected.as_str()));
            Some(())
        })?;
        Ok(equal)
    }

    /// Returns whether any text in a column `is_wanted`.
    pub fn any_text(&self, name: &str, is_wanted: impl Fn(&str) -> bool) -> Result<bool, StageError> {
        let mut any = false;
        self.read(name, Dtype::Text, |array| {
            any |= array.as_string_opt::<i32>()?.iter().flatten().any(&is_wanted);
            Some(())
        })?;
        Ok(any)
    }

    /// A column of integers.
    pub fn integer(&self, name: &str) -> Result<Vec<i64>, StageError> {
        let values = self.required(name, self.collect(name, Dtype::Whole, integers)?)?;
        self.within(name, values.iter().enumerate().map(|(row, &value)| (row, value as f64)))?;
        Ok(values)
    }

    /// A column of integers that fit into an unsigned type.
    pub fn unsigned<T: TryFrom<i64>>(&self, name: &str) -> Result<Vec<T>, StageError> {
        let convert = |(row, value)| {
            let wrong = if value < 0 { "below 0" } else { "too large" };
            T::try_from(value).map_err(|_| self.error(format!("column `{name}`, row {row}: {value} is {wrong}")))
        };
        self.integer(name)?.into_iter().enumerate().map(convert).collect()
    }

    /// A column of floats.
    pub fn float(&self, name: &str) -> Result<Vec<f64>, StageError> {
        self.required(name, self.optional_float(name)?)
    }

    /// A column of floats or integers, some of which may be missing.
    pub fn optional_float(&self, name: &str) -> Result<Vec<Option<f64>>, StageError> {
        let values = self.collect(name, Dtype::Number, |array| match array.data_type() {
            DataType::Float64 => Some(array.as_primitive::<Float64Type>().iter().collect()),
            DataType::Float32 => {
                Some(array.as_primitive::<Float32Type>().iter().map(|value| value.map(f64::from)).collect())
            }
            _ => Some(integers(array)?.into_iter().map(|value| value.map(|value| value as f64)).collect()),
        })?;
        self.within(name, values.iter().enumerate().filter_map(|(row, &value)| Some((row, value?))))?;
        Ok(values)
    }

    /// A column of truth values.
    pub fn bool(&self, name: &str) -> Result<Vec<bool>, StageError> {
        let values = self.collect(name, Dtype::Truth, |array| Some(array.as_boolean_opt()?.iter().collect()))?;
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

    /// A column of lists of numbers of one length, one after the other, and that length; 0 without rows.
    ///
    /// Errors, with the row: no list, a list of another length, a list with a missing number.
    pub fn floats(&self, name: &str) -> Result<(Vec<f32>, usize), StageError> {
        let (mut values, mut rows) = (Vec::new(), 0);
        let mut width = 0;
        let mut problem = None;
        self.read(name, Dtype::Numbers, |array| {
            let lists = array.as_list_opt::<i32>()?;
            for index in 0..lists.len() {
                let (list, row) = (lists.value(index), rows + index);
                if row == 0 {
                    width = list.len();
                }
                let wrong = match list.len() {
                    _ if lists.is_null(index) => Some("there is no list".to_owned()),
                    length if length != width => Some(format!("{length} values, but row 0 has {width}")),
                    _ if list.null_count() > 0 => Some("a value of the list is missing".to_owned()),
                    _ => None,
                };
                problem = problem.take().or(wrong.map(|wrong| (row, wrong)));
                if let Some(list) = list.as_primitive_opt::<Float32Type>() {
                    values.extend_from_slice(list.values());
                } else if let Some(list) = list.as_primitive_opt::<Float64Type>() {
                    values.extend(list.values().iter().map(|&value| value as f32));
                } else {
                    values.extend(integers(&list)?.into_iter().map(|value| value.unwrap_or_default() as f32));
                }
            }
            rows += lists.len();
            Some(())
        })?;
        if let Some((row, wrong)) = problem {
            return Err(self.error(format!("column `{name}`, row {row}: {wrong}")));
        }
        self.within(name, values.iter().enumerate().map(|(index, &value)| (index / width.max(1), f64::from(value))))?;
        Ok((values, width))
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
        let index = |(row, label): (usize, String)| {
            classes.iter().position(|class| *class == label).map(|index| index as u32).ok_or_else(|| {
                let classes = classes.join(", ");
                self.error(format!("column `{name}`, row {row}: `{label}` is no class; the classes are: {classes}"))
            })
        };
        self.text(name)?.into_iter().enumerate().map(index).collect()
    }

    /// The value that a column has in every row; 0 without rows.
    pub fn constant(&self, name: &str) -> Result<usize, StageError> {
        let values = self.unsigned::<usize>(name)?;
        let first = values.first().copied().unwrap_or(0);
        match values.iter().position(|&value| value != first) {
            Some(row) => {
                let other = values[row];
                Err(self
                    .error(format!("column `{name}`, row {row}: {other}, but row 0 has {first}; all rows must agree")))
            }
            None => Ok(first),
        }
    }

    /// An error about this file.
    pub fn error(&self, message: impl Display) -> StageError {
        StageError::new(format!("`{}`: {message}", self.what))
    }

    fn required<T>(&self, name: &str, values: Vec<Option<T>>) -> Result<Vec<T>, StageError> {
        let missing = |row| self.error(format!("column `{name}`, row {row}: there is no value"));
        values.into_iter().enumerate().map(|(row, value)| value.ok_or_else(|| missing(row))).collect()
    }

    fn collect<T>(
        &self,
        name: &str,
        expected: Dtype,
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
    fn read(&self, name: &str, expected: Dtype, take: impl FnMut(&ArrayRef) -> Option<()>) -> Result<(), StageError> {
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
        expected: Dtype,
        count: usize,
        reader: impl FnOnce(usize) -> Result<Reader, String>,
        mut take: impl FnMut(&ArrayRef) -> Option<()>,
    ) -> Result<(), StageError> {
        let Some((index, field)) = self.fields().find(name) else { return Err(self.error(self.no_column(name))) };
        let rows = guarded(|| {
            let mut rows = 0;
            for batch in reader(index)?.build().map_err(|error| error.to_string())? {
                let batch = batch.map_err(|error| error.to_string())?;
                rows += batch.num_rows();
                let found = || format!("{} where {} are expected", name_of(field.data_type()), expected.words());
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
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "text".to_owned(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "byte strings".to_owned(),
        DataType::Boolean => "truth values".to_owned(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "numbers".to_owned(),
        DataType::List(items) => format!("lists of {}", name_of(items.data_type())),
        other if other.is_integer() => "whole numbers".to_owned(),
        DataType::Date32 | DataType::Date64 => "dates".to_owned(),
        DataType::Timestamp(..) => "times".to_owned(),
        DataType::Struct(_) => "tables".to_owned(),
        other => format!("values of type {other}"),
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

/// Returns whether values of a type in a file can be read as those of a column.
fn fits(dtype: Dtype, found: &DataType) -> bool {
    let number = |found: &DataType| matches!(found, DataType::Float32 | DataType::Float64) || found.is_integer();
    match dtype {
        Dtype::Text => *found == DataType::Utf8,
        Dtype::Whole => found.is_integer(),
        Dtype::Number => number(found),
        Dtype::Truth => *found == DataType::Boolean,
        Dtype::Bytes => matches!(found, DataType::Binary | DataType::Utf8 | DataType::FixedSizeBinary(_)),
        Dtype::Numbers => matches!(found, DataType::List(items) if number(items.data_type())),
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
