//! Columns to Parquet bytes: the same columns give the same bytes on every machine.
//!
//! - zstd at one level, `created_by = "orchestrate"`, no statistics, no indexes and no Arrow schema: nothing but the columns
//!   and the notes is in the file, and small tables stay small;
//! - notes are key-value metadata of the file, sorted by key;
//! - one thread writes; row groups and pages end where the widths of the columns say;
//! - byte strings without compression are written by [`Plain`], to the same bytes;
//! - tables of which a sweep makes thousands have no compression, see [`Columns::many`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use orchestrate_engine::stage::StageError;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowWriter, ArrowWriterOptions, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::plain::Plain;

/// Raw bytes that are turned into Arrow arrays at a time, so that a large table is never copied as a whole.
const CHUNK_BYTES: usize = 4 << 20;
/// Chunks of a row group.
const CHUNKS_PER_GROUP: usize = 8;
const ROWS_PER_CHUNK_MAX: usize = 1 << 16;
/// The writer looks at a page's size only after so many values; 1,024 pictures would make one huge page.
const WRITE_BATCH: usize = 1024;
const WRITE_BATCH_WIDE: usize = 16;
const ZSTD_LEVEL: i32 = 3;
/// Bytes that are given to the system at a time: few enough to stay in a processor's cache.
const SAVE_BYTES: usize = 1 << 18;

/// Distinct values of a float up to which a table of which there are many lists them once.
const LISTED_MAX: usize = 16;

/// Named columns of equal length and notes about all of them, ready to be encoded.
#[derive(Default)]
pub struct Columns<'a> {
    columns: Vec<(String, Column<'a>)>,
    notes: BTreeMap<String, String>,
    many: bool,
}

enum Column<'a> {
    Text(Vec<&'a str>),
    OptionalText(Vec<Option<&'a str>>),
    Integer(Vec<i64>),
    Float(Vec<f64>),
    OptionalFloat(Vec<Option<f64>>),
    Bool(Vec<bool>),
    Bytes { rows: usize, values: &'a [u8], compression: Compression },
    Floats { rows: usize, values: &'a [f32] },
}

impl<'a> Columns<'a> {
    /// No columns yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of texts.
    pub fn text(self, name: &str, values: impl IntoIterator<Item = &'a String>) -> Self {
        self.with(name, Column::Text(values.into_iter().map(String::as_str).collect()))
    }

    /// Adds a column of words that the program knows.
    pub fn words(self, name: &str, values: impl IntoIterator<Item = &'static str>) -> Self {
        self.with(name, Column::Text(values.into_iter().collect()))
    }

    /// Adds a column of texts, some of which may be missing.
    pub fn optional_text(self, name: &str, values: &'a [Option<String>]) -> Self {
        self.with(name, Column::OptionalText(values.iter().map(Option::as_deref).collect()))
    }

    /// Adds a column of integers.
    pub fn integer(self, name: &str, values: impl IntoIterator<Item = i64>) -> Self {
        self.with(name, Column::Integer(values.into_iter().collect()))
    }

    /// Adds a column of floats.
    pub fn float(self, name: &str, values: impl IntoIterator<Item = f64>) -> Self {
        self.with(name, Column::Float(values.into_iter().collect()))
    }

    /// Adds a column of floats, some of which may be missing.
    pub fn optional_float(self, name: &str, values: impl IntoIterator<Item = Option<f64>>) -> Self {
        self.with(name, Column::OptionalFloat(values.into_iter().collect()))
    }

    /// Adds a column of truth values.
    pub fn bool(self, name: &str, values: impl IntoIterator<Item = bool>) -> Self {
        self.with(name, Column::Bool(values.into_iter().collect()))
    }

    /// Adds a column of equally long byte strings, laid out one after the other.
    pub fn bytes(self, name: &str, rows: usize, values: &'a [u8]) -> Self {
        self.with(name, Column::Bytes { rows, values, compression: zstd() })
    }

    /// [`Columns::bytes`] that are kept as they are: noise, which halves at best, and is read by every training.
    pub fn plain_bytes(self, name: &str, rows: usize, values: &'a [u8]) -> Self {
        self.with(name, Column::Bytes { rows, values, compression: Compression::UNCOMPRESSED })
    }

    /// Adds a column of equally long lists of f32, laid out one after the other.
    pub fn floats(self, name: &str, rows: usize, values: &'a [f32]) -> Self {
        self.with(name, Column::Floats { rows, values })
    }

    /// Adds a column of class names, given as indices; call [`Columns::classes`] too, which keeps the order.
    pub fn class(self, name: &str, indices: &[u32], classes: &'a [String]) -> Result<Self, StageError> {
        let names: Result<Vec<_>, _> = indices
            .iter()
            .map(|&index| {
                classes.get(index as usize).map(String::as_str).ok_or_else(|| {
                    StageError::new(format!("column `{name}` has class {index}, but there are {}", classes.len()))
                })
            })
            .collect();
        Ok(self.with(name, Column::Text(names?)))
    }

    /// Notes the class names in the order of their indices.
    pub fn classes(self, classes: &[String]) -> Result<Self, StageError> {
        if let Some(name) = repeated(classes.iter().map(String::as_str)) {
            return Err(StageError::new(format!("two classes are named `{name}`; every class needs its own name")));
        }
        Ok(self.list_note("classes", classes))
    }

    /// Says that there will be many such tables, each small: columns are not compressed but encoded by the differences between
    /// neighbours, as setting up a compressor for each column takes longer than all else, and saves little on such tables.
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

    /// Encodes as Parquet.
    pub fn encode(&self) -> Result<Vec<u8>, StageError> {
        let rows = self.check()?;
        let encoded = self.write(rows, |_| true).map(|(bytes, _)| bytes);
        encoded.map_err(|error| StageError::new(format!("cannot encode as Parquet: {error}")))
    }

    /// Encodes as Parquet into a new file, to the same bytes; they are never in memory together.
    pub fn save(&self, path: &Path) -> Result<(), StageError> {
        let rows = self.check()?;
        let save = || {
            let mut file = BufWriter::with_capacity(SAVE_BYTES, File::create(path)?);
            self.write_to(&mut file, rows, |_| true)?;
            file.flush().map_err(ParquetError::from)
        };
        save().map_err(|error| StageError::new(format!("cannot write {} as Parquet: {error}", path.display())))
    }

    fn with(mut self, name: &str, column: Column<'a>) -> Self {
        self.columns.push((name.to_owned(), column));
        self
    }

    /// The number of rows, after checking that all columns agree on it and that no two share a name.
    pub(super) fn check(&self) -> Result<usize, StageError> {
        if let Some(name) = repeated(self.columns.iter().map(|(name, _)| name.as_str())) {
            return Err(StageError::new(format!("two columns are named `{name}`; rename one of them")));
        }
        let rows = self.columns.first().map_or(0, |(_, column)| column.rows());
        for (name, column) in &self.columns {
            let first = &self.columns[0].0;
            if column.rows() != rows {
                return Err(StageError::new(format!(
                    "column `{name}` has {} rows, but `{first}` has {rows}",
                    column.rows()
                )));
            }
            let values = column.values();
            if rows == 0 && values > 0 || rows > 0 && !values.is_multiple_of(rows) {
                return Err(StageError::new(format!(
                    "column `{name}` has {values} values, no multiple of {rows} rows"
                )));
            }
        }
        Ok(rows)
    }

    /// The bytes of a file with the chosen columns, and what is in it.
    pub(super) fn write(
        &self,
        rows: usize,
        is_chosen: impl Fn(usize) -> bool,
    ) -> Result<(Vec<u8>, ParquetMetaData), ParquetError> {
        let plain = self.chosen(&is_chosen).filter_map(|(_, column)| column.plain());
        let mut bytes = Vec::with_capacity(plain.map(|plain| plain.values.len()).sum::<usize>() + (1 << 12));
        let metadata = self.write_to(&mut bytes, rows, is_chosen)?;
        Ok((bytes, metadata))
    }

    fn write_to<W: Write + Send>(
        &self,
        sink: W,
        rows: usize,
        is_chosen: impl Fn(usize) -> bool,
    ) -> Result<ParquetMetaData, ParquetError> {
        let schema = self.schema(&is_chosen);
        let columns: Vec<_> = self.chosen(is_chosen).collect();
        let options = ArrowWriterOptions::new().with_properties(self.properties()?).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(sink, Arc::clone(&schema), options)?;
        let (mut file, encoders) = writer.into_serialized_writer()?;
        let step = self.rows_at_a_time();
        let chunks: Vec<_> = (0..rows).step_by(step).map(|start| start..rows.min(start + step)).collect();
        for (number, chunks) in chunks.chunks(CHUNKS_PER_GROUP).enumerate() {
            let encoders = encoders.create_column_writers(number)?;
            write_group(&columns, &mut file, &schema, encoders, chunks)?;
        }
        file.close()
    }

    /// Rows that are turned into arrays at a time.
    pub(super) fn rows_at_a_time(&self) -> usize {
        let row_bytes: usize = self.columns.iter().map(|(_, column)| column.row_bytes()).sum();
        (CHUNK_BYTES / row_bytes.max(1)).clamp(1, ROWS_PER_CHUNK_MAX)
    }

    fn chosen(&self, is_chosen: impl Fn(usize) -> bool) -> impl Iterator<Item = &(String, Column<'a>)> {
        self.columns.iter().enumerate().filter(move |(index, _)| is_chosen(*index)).map(|(_, column)| column)
    }

    /// Names and types of the chosen columns.
    pub(super) fn schema(&self, is_chosen: impl Fn(usize) -> bool) -> SchemaRef {
        Arc::new(Schema::new(self.chosen(is_chosen).map(|(name, column)| column.field(name)).collect::<Vec<_>>()))
    }

    /// All columns.
    pub(super) fn arrays(&self, rows: usize) -> Vec<ArrayRef> {
        self.columns.iter().map(|(_, column)| column.array(0..rows)).collect()
    }

    pub(super) fn notes(&self) -> &BTreeMap<String, String> {
        &self.notes
    }

    pub(super) fn properties(&self) -> Result<WriterProperties, ParquetError> {
        let wide = self.columns.iter().any(|(_, column)| matches!(column, Column::Bytes { .. }));
        let mut properties =
            properties(&self.notes, wide).set_compression(if self.many { Compression::UNCOMPRESSED } else { zstd() });
        for (name, column) in &self.columns {
            if let Column::Bytes { compression, .. } = column {
                properties = properties.set_column_compression(ColumnPath::new(vec![name.clone()]), *compression);
            }
            if self.many {
                if let Some(encoding) = column.compact_encoding(name) {
                    let path = ColumnPath::new(vec![name.clone()]);
                    properties = properties.set_column_dictionary_enabled(path.clone(), false);
                    properties = properties.set_column_encoding(path, encoding);
                }
            } else if matches!(
                column,
                Column::Bytes { .. } | Column::Floats { .. } | Column::Float(_) | Column::OptionalFloat(_)
            ) || name == "image"
            {
                let mut path = vec![name.clone()];
                if matches!(column, Column::Floats { .. }) {
                    path.extend(["list".to_owned(), "element".to_owned()]);
                }
                properties = properties.set_column_dictionary_enabled(ColumnPath::new(path), false);
            }
        }
        Ok(properties.build())
    }
}

/// Writes the rows of one row group.
fn write_group<W: Write + Send>(
    columns: &[&(String, Column<'_>)],
    file: &mut SerializedFileWriter<W>,
    schema: &Schema,
    encoders: Vec<ArrowColumnWriter>,
    chunks: &[Range<usize>],
) -> Result<(), ParquetError> {
    let descriptors = file.schema_descr().columns().to_vec();
    let mut group = file.next_row_group()?;
    let columns = columns.iter().zip(schema.fields()).zip(&descriptors);
    for ((((_, column), field), descriptor), mut encoder) in columns.zip(encoders) {
        if let Some(plain) = column.plain() {
            plain.append(&mut group, descriptor, chunks, WRITE_BATCH_WIDE)?;
            continue;
        }
        for chunk in chunks {
            for leaf in compute_leaves(field, &column.array(chunk.clone()))? {
                encoder.write(&leaf)?;
            }
        }
        encoder.close()?.append_to_row_group(&mut group)?;
    }
    group.close()?;
    Ok(())
}

impl Column<'_> {
    fn rows(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::OptionalText(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::OptionalFloat(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Bytes { rows, .. } | Self::Floats { rows, .. } => *rows,
        }
    }

    fn values(&self) -> usize {
        match self {
            Self::Bytes { values, .. } => values.len(),
            Self::Floats { values, .. } => values.len(),
            _ => self.rows(),
        }
    }

    /// Its byte strings, if they are in the file as they are.
    fn plain(&self) -> Option<Plain<'_>> {
        match self {
            Self::Bytes { values, compression: Compression::UNCOMPRESSED, .. } => {
                Some(Plain { width: self.width(), values })
            }
            _ => None,
        }
    }

    fn width(&self) -> usize {
        self.values() / self.rows().max(1)
    }

    fn row_bytes(&self) -> usize {
        match self {
            Self::Bytes { .. } => self.width(),
            Self::Floats { .. } => 4 * self.width(),
            Self::Text(_) | Self::OptionalText(_) => 32,
            _ => 8,
        }
    }

    /// How it is encoded in a table of which there are many; `None` for a list of distinct values and indices into it.
    fn compact_encoding(&self, name: &str) -> Option<Encoding> {
        match self {
            Self::Text(_) | Self::OptionalText(_) => (name == "image").then_some(Encoding::DELTA_BYTE_ARRAY),
            Self::Integer(_) => Some(Encoding::DELTA_BINARY_PACKED),
            Self::Float(values) => is_varied(values.iter().copied()).then_some(Encoding::PLAIN),
            Self::OptionalFloat(values) => is_varied(values.iter().flatten().copied()).then_some(Encoding::PLAIN),
            Self::Bool(_) | Self::Bytes { .. } | Self::Floats { .. } => Some(Encoding::PLAIN),
        }
    }

    fn field(&self, name: &str) -> Field {
        let (data_type, nullable) = match self {
            Self::Text(_) => (DataType::Utf8, false),
            Self::OptionalText(_) => (DataType::Utf8, true),
            Self::Integer(_) => (DataType::Int64, false),
            Self::Float(_) => (DataType::Float64, false),
            Self::OptionalFloat(_) => (DataType::Float64, true),
            Self::Bool(_) => (DataType::Boolean, false),
            Self::Bytes { .. } => (DataType::Binary, false),
            Self::Floats { .. } => (DataType::List(Arc::new(element())), false),
        };
        Field::new(name, data_type, nullable)
    }

    fn array(&self, range: Range<usize>) -> ArrayRef {
        match self {
            Self::Text(values) => Arc::new(StringArray::from_iter_values(&values[range])),
            Self::OptionalText(values) => Arc::new(StringArray::from_iter(&values[range])),
            Self::Integer(values) => Arc::new(Int64Array::from_iter_values(values[range].iter().copied())),
            Self::Float(values) => Arc::new(Float64Array::from_iter_values(values[range].iter().copied())),
            Self::OptionalFloat(values) => Arc::new(Float64Array::from_iter(values[range].iter().copied())),
            Self::Bool(values) => Arc::new(BooleanArray::from(values[range].to_vec())),
            Self::Bytes { values, .. } => {
                let width = self.width();
                let offsets = OffsetBuffer::from_repeated_length(width, range.len());
                let bytes = Buffer::from(&values[range.start * width..range.end * width]);
                Arc::new(BinaryArray::new(offsets, bytes, None))
            }
            Self::Floats { values, .. } => {
                let width = self.width();
                let mut lists = ListBuilder::new(Float32Builder::new()).with_field(element());
                for row in range {
                    lists.values().append_slice(&values[row * width..(row + 1) * width]);
                    lists.append(true);
                }
                Arc::new(lists.finish())
            }
        }
    }
}

/// What all our tables have in common; `wide` where a value can be as large as a picture.
pub(crate) fn properties(notes: &BTreeMap<String, String>, wide: bool) -> WriterPropertiesBuilder {
    let notes: Vec<_> = notes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    WriterProperties::builder()
        .set_created_by("orchestrate".to_owned())
        .set_compression(zstd())
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(None)
        .set_write_batch_size(if wide { WRITE_BATCH_WIDE } else { WRITE_BATCH })
        .set_key_value_metadata((!notes.is_empty()).then_some(notes))
}

fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).expect("it is a level of zstd"))
}

/// Whether there are more distinct values than are worth listing.
fn is_varied(values: impl Iterator<Item = f64>) -> bool {
    let mut seen = Vec::with_capacity(LISTED_MAX);
    for value in values {
        if !seen.contains(&value.to_bits()) {
            if seen.len() == LISTED_MAX {
                return true;
            }
            seen.push(value.to_bits());
        }
    }
    false
}

fn element() -> Field {
    Field::new("element", DataType::Float32, false)
}

/// The first text that occurs a second time.
pub(crate) fn repeated<'a>(mut texts: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = std::collections::HashSet::new();
    texts.find(|text| !seen.insert(*text))
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;

    use super::*;

    /// What Parquet's own writer makes of the columns.
    fn written(columns: &Columns<'_>, rows: usize) -> Vec<u8> {
        let fields: Vec<_> = columns.columns.iter().map(|(name, column)| column.field(name)).collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let options = ArrowWriterOptions::new().with_properties(columns.properties().unwrap());
        let options = options.with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options).unwrap();
        let row_bytes: usize = columns.columns.iter().map(|(_, column)| column.row_bytes()).sum();
        let step = (CHUNK_BYTES / row_bytes).clamp(1, ROWS_PER_CHUNK_MAX);
        for (chunk, start) in (0..rows).step_by(step).enumerate() {
            if chunk > 0 && chunk % CHUNKS_PER_GROUP == 0 {
                writer.flush().unwrap();
            }
            let range = start..rows.min(start + step);
            let arrays = columns.columns.iter().map(|(_, column)| column.array(range.clone())).collect();
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap()).unwrap();
        }
        writer.into_inner().unwrap()
    }

    #[test]
    fn plain_byte_strings_are_written_as_parquets_own_writer_writes_them() {
        let dir = tempfile::tempdir().unwrap();
        let (page, path) = (1 << 20, dir.path().join("table.parquet"));
        let tables = [
            (0, 0),
            (70_000, 0),
            (70_000, 1),
            (90_000, 101),
            (1, 9),
            (800, 224 * 224),
            (100, page / 16 - 5),
            (100, page / 16 - 4),
            (100, page / 16 - 3),
            (40, page / 2 - 4),
            (70, 600_000),
            (9, page - 4),
            (9, page - 3),
            (5, 5 * page),
        ];
        for (rows, width) in tables {
            let values: Vec<u8> = (0..rows * width).map(|place| ((place * 7919) >> 5) as u8).collect();
            let names: Vec<String> = (0..rows).map(|row| format!("{row}.png")).collect();
            let columns = Columns::new()
                .text("image", &names)
                .plain_bytes("pixels", rows, &values)
                .float("weight", (0..rows).map(|row| row as f64))
                .plain_bytes("more", rows, &values)
                .note("made", "here");
            let expected = written(&columns, rows);
            assert!(columns.encode().unwrap() == expected, "{rows} rows of {width} bytes");
            columns.save(&path).unwrap();
            assert!(std::fs::read(&path).unwrap() == expected, "{rows} rows of {width} bytes in a file");
        }
    }
}
