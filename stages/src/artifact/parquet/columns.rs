//! Columns, and the properties of the Parquet file that [`writer`](super::writer) makes of them; the same columns give
//! the same bytes on every machine.
//!
//! - zstd at one level, `created_by = "orchestrate"`, no statistics, no indexes and no Arrow schema: a file holds
//!   columns and notes alone, and small tables stay small;
//! - notes are key-value metadata of the file, sorted by key;
//! - one thread writes; row groups and pages end at rows that follow from the widths of the columns;
//! - byte strings without compression are written by [`raw`](super::raw), to the same bytes;
//! - tables that a sweep makes by the thousand are not compressed, see [`Columns::many`].

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_schema::{Schema, SchemaRef};
use orchestrate_engine::stage::StageError;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::column::Column;
use super::raw::WIDE_BATCH;

/// Size of the rows that become Arrow arrays at a time, so that a large table is never copied as a whole.
const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_ROWS_MAX: usize = 1 << 16;
/// Values after which the library checks the size of a page; [`WIDE_BATCH`] in a table with images.
const WRITE_BATCH: usize = 1024;
const ZSTD_LEVEL: i32 = 3;
/// The writer in the metadata of our files; it names no version, as that would change their bytes.
pub(super) const CREATED_BY: &str = "orchestrate";

/// Named columns of equal length and notes about all of them, ready to be encoded.
#[derive(Default)]
pub struct Columns<'a> {
    columns: Vec<Named<'a>>,
    notes: BTreeMap<String, String>,
    many: bool,
}

pub(super) type Named<'a> = (String, Column<'a>);

impl<'a> Columns<'a> {
    /// No columns yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of texts.
    pub fn text<'t>(self, name: &str, values: impl IntoIterator<Item = &'t String>) -> Self {
        self.values(name, false, StringArray::from_iter_values(values))
    }

    /// Adds a column of words that the program knows.
    pub fn words(self, name: &str, values: impl IntoIterator<Item = &'static str>) -> Self {
        self.values(name, false, StringArray::from_iter_values(values))
    }

    /// Adds a column of texts, some of which may be missing.
    pub fn optional_text(self, name: &str, values: &[Option<String>]) -> Self {
        self.values(name, true, StringArray::from_iter(values))
    }

    /// Adds a column of integers.
    pub fn integer(self, name: &str, values: impl IntoIterator<Item = i64>) -> Self {
        self.values(name, false, Int64Array::from_iter_values(values))
    }

    /// Adds a column of floats.
    pub fn float(self, name: &str, values: impl IntoIterator<Item = f64>) -> Self {
        self.values(name, false, Float64Array::from_iter_values(values))
    }

    /// Adds a column of floats, some of which may be missing.
    pub fn optional_float(self, name: &str, values: impl IntoIterator<Item = Option<f64>>) -> Self {
        self.values(name, true, Float64Array::from_iter(values))
    }

    /// Adds a column of truth values.
    pub fn bool(self, name: &str, values: impl IntoIterator<Item = bool>) -> Self {
        self.values(name, false, BooleanArray::from(values.into_iter().collect::<Vec<_>>()))
    }

    /// Adds a column of byte strings of `width` bytes, laid out one after the other.
    pub fn bytes(self, name: &str, (rows, width): (usize, usize), values: &'a [u8]) -> Self {
        self.with(name, Column::Bytes { rows, width, values, compression: zstd() })
    }

    /// Adds [`Columns::bytes`] without compression: noise halves at best, and every training reads it.
    pub fn raw_bytes(self, name: &str, (rows, width): (usize, usize), values: &'a [u8]) -> Self {
        self.with(name, Column::Bytes { rows, width, values, compression: Compression::UNCOMPRESSED })
    }

    /// Adds a column of lists of f32 of one length, laid out one after the other.
    pub fn floats(self, name: &str, rows: usize, values: &'a [f32]) -> Self {
        self.with(name, Column::Floats { rows, values })
    }

    /// Adds a column of class names, given as indices; [`Columns::classes`] notes their order.
    pub fn class(self, name: &str, indices: &[u32], classes: &[String]) -> Result<Self, StageError> {
        let class_name = |&index: &u32| {
            classes.get(index as usize).map(String::as_str).ok_or_else(|| {
                StageError::new(format!("column `{name}` has class {index}, but there are {}", classes.len()))
            })
        };
        let names: Result<Vec<_>, _> = indices.iter().map(class_name).collect();
        Ok(self.values(name, false, StringArray::from(names?)))
    }

    /// Notes the class names in the order of their indices.
    pub fn classes(self, classes: &[String]) -> Result<Self, StageError> {
        if let Some(name) = repeated(classes.iter().map(String::as_str)) {
            return Err(StageError::new(format!("two classes are named `{name}`; every class needs its own name")));
        }
        Ok(self.list_note("classes", classes))
    }

    /// Prepares for many such tables, each small: columns are encoded by differences of neighbours, not compressed.
    ///
    /// Setting up a compressor for each column takes longer than all else, and saves little on such tables.
    pub fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// Adds a note: a text about the whole table.
    pub fn note(mut self, key: &str, value: impl Into<String>) -> Self {
        self.notes.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a note that is a list of texts, as JSON.
    pub fn list_note(self, key: &str, values: &[String]) -> Self {
        let json = serde_json::Value::from(values.to_vec());
        self.note(key, json.to_string())
    }

    fn values(self, name: &str, nullable: bool, array: impl Array + 'static) -> Self {
        self.with(name, Column::Values { array: Arc::new(array), nullable })
    }

    fn with(mut self, name: &str, column: Column<'a>) -> Self {
        self.columns.push((name.to_owned(), column));
        self
    }

    /// Checks that all columns have the same number of rows, which is returned, and names of their own.
    pub(crate) fn check(&self) -> Result<usize, StageError> {
        if let Some(name) = repeated(self.columns.iter().map(|(name, _)| name.as_str())) {
            return Err(StageError::new(format!("two columns are named `{name}`; rename one of them")));
        }
        let Some((first, column)) = self.columns.first() else { return Ok(0) };
        let rows = column.rows();
        for (name, column) in &self.columns {
            let (own, values) = (column.rows(), column.values());
            if own != rows {
                return Err(StageError::new(format!("column `{name}` has {own} rows, but `{first}` has {rows}")));
            }
            if rows == 0 && values > 0 || rows > 0 && !values.is_multiple_of(rows) {
                return Err(StageError::new(format!(
                    "column `{name}` has {values} values, no multiple of {rows} rows"
                )));
            }
        }
        Ok(rows)
    }

    /// All columns.
    pub(super) fn named(&self) -> Vec<&Named<'a>> {
        self.columns.iter().collect()
    }

    /// Rows that become arrays at a time.
    pub(super) fn chunk_rows(&self) -> usize {
        let row_bytes: usize = self.columns.iter().map(|(_, column)| column.row_bytes()).sum();
        (CHUNK_BYTES / row_bytes.max(1)).clamp(1, CHUNK_ROWS_MAX)
    }

    /// Names and types of all columns.
    pub(super) fn schema(&self) -> SchemaRef {
        schema(&self.columns)
    }

    /// The values of all columns.
    pub(super) fn arrays(&self, rows: Range<usize>) -> Vec<ArrayRef> {
        self.columns.iter().map(|(_, column)| column.array(rows.clone())).collect()
    }

    pub(super) fn notes(&self) -> &BTreeMap<String, String> {
        &self.notes
    }

    pub(super) fn properties(&self) -> Result<WriterProperties, ParquetError> {
        let wide = self.columns.iter().any(|(_, column)| matches!(column, Column::Bytes { .. }));
        let mut properties =
            properties(&self.notes, wide).set_compression(if self.many { Compression::UNCOMPRESSED } else { zstd() });
        for (name, column) in &self.columns {
            let path = ColumnPath::new(match column {
                Column::Floats { .. } if !self.many => vec![name.clone(), "list".to_owned(), "element".to_owned()],
                _ => vec![name.clone()],
            });
            if let Column::Bytes { compression, .. } = column {
                properties = properties.set_column_compression(path.clone(), *compression);
            }
            let encoding = if self.many { column.compact_encoding(name) } else { None };
            if let Some(encoding) = encoding {
                properties = properties.set_column_encoding(path.clone(), encoding);
            }
            if encoding.is_some() || !self.many && column.is_varied(name) {
                properties = properties.set_column_dictionary_enabled(path, false);
            }
        }
        Ok(properties.build())
    }
}

pub(super) fn schema<'c, 'a: 'c>(columns: impl IntoIterator<Item = &'c Named<'a>>) -> SchemaRef {
    Arc::new(Schema::new(columns.into_iter().map(|(name, column)| column.field(name)).collect::<Vec<_>>()))
}

/// The properties of every table; `wide` if a value can be as large as an image.
pub(crate) fn properties(notes: &BTreeMap<String, String>, wide: bool) -> WriterPropertiesBuilder {
    let notes: Vec<_> = notes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(zstd())
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(None)
        .set_write_batch_size(if wide { WIDE_BATCH } else { WRITE_BATCH })
        .set_key_value_metadata((!notes.is_empty()).then_some(notes))
}

fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).expect("it is a level of zstd"))
}

/// The first text that occurs a second time.
pub(crate) fn repeated<'a>(mut texts: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    texts.find(|text| !seen.insert(*text))
}
