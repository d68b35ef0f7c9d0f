//! A Parquet file written row group by row group, so that its columns need not be in memory together.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use orchestrate_engine::stage::StageError;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions, compute_leaves,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::columns::{Columns, Named, schema};
use super::raw::split;

/// Chunks of a row group.
const CHUNKS_PER_GROUP: usize = 8;
/// Size of a write to a file: small enough for a processor's cache.
const SAVE_BYTES: usize = 1 << 18;

impl Columns<'_> {
    /// Encodes as Parquet.
    pub fn encode(&self) -> Result<Vec<u8>, StageError> {
        let rows = self.check()?;
        let mut bytes = Vec::new();
        self.write(&mut bytes, rows, |_| true).map_err(cannot_encode)?;
        Ok(bytes)
    }

    /// Encodes as Parquet into a new file; the bytes are the same, and never in memory together.
    pub fn save(&self, path: &Path) -> Result<(), StageError> {
        self.check()?;
        let mut writer = TableWriter::create(path, self)?;
        writer.push(self)?;
        writer.finish()
    }

    /// Writes a file of the columns that are `chosen` by index, and returns its metadata.
    pub(super) fn write<W: Write + Send>(
        &self,
        sink: W,
        rows: usize,
        chosen: impl Fn(usize) -> bool,
    ) -> Result<ParquetMetaData, ParquetError> {
        let indexed = self.named().into_iter().enumerate();
        let columns: Vec<_> = indexed.filter(|(index, _)| chosen(*index)).map(|(_, column)| column).collect();
        let mut writer = Writer::new(sink, &columns, self.properties()?)?;
        writer.push(&columns, rows, self.chunk_rows())?;
        writer.close()
    }
}

/// A file whose columns are all of one form, and whose rows come in order.
struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    encoders: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    groups: usize,
}

impl<W: Write + Send> Writer<W> {
    /// Starts a file with columns of those names and types.
    fn new(sink: W, columns: &[&Named<'_>], properties: WriterProperties) -> Result<Self, ParquetError> {
        let schema = schema(columns.iter().copied());
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let (file, encoders) =
            ArrowWriter::try_new_with_options(sink, Arc::clone(&schema), options)?.into_serialized_writer()?;
        Ok(Self { file, encoders, schema, groups: 0 })
    }

    /// Writes further rows in row groups of so many chunks of `chunk_rows`.
    fn push(&mut self, columns: &[&Named<'_>], rows: usize, chunk_rows: usize) -> Result<(), ParquetError> {
        let chunks: Vec<_> = split(0..rows, chunk_rows).collect();
        chunks.chunks(CHUNKS_PER_GROUP).try_for_each(|chunks| self.group(columns, chunks))
    }

    /// Writes the rows of one row group.
    fn group(&mut self, columns: &[&Named<'_>], chunks: &[Range<usize>]) -> Result<(), ParquetError> {
        let descriptors = self.file.schema_descr().columns().to_vec();
        let encoders: Vec<ArrowColumnWriter> = self.encoders.create_column_writers(self.groups)?;
        self.groups += 1;
        let mut group = self.file.next_row_group()?;
        let columns = columns.iter().zip(self.schema.fields()).zip(&descriptors);
        for ((((_, column), field), descriptor), mut encoder) in columns.zip(encoders) {
            if let Some(strings) = column.raw() {
                strings.append(&mut group, descriptor, chunks)?;
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

    /// Writes the footer and returns what it says; the sink may still hold back bytes.
    fn close(&mut self) -> Result<ParquetMetaData, ParquetError> {
        self.file.finish()
    }

    /// Writes the footer and returns the sink.
    fn into_inner(self) -> Result<W, ParquetError> {
        self.file.into_inner()
    }
}

/// A table in a new file, written some row groups at a time: the bytes are those of [`Columns::encode`].
pub(in crate::artifact) struct TableWriter {
    path: PathBuf,
    writer: Writer<BufWriter<File>>,
    rows_per_group: usize,
}

impl TableWriter {
    /// Starts a file of columns like these, in number, types, widths and notes; their rows are not written.
    pub(in crate::artifact) fn create(path: &Path, like: &Columns<'_>) -> Result<Self, StageError> {
        let create = || {
            let file = BufWriter::with_capacity(SAVE_BYTES, File::create(path)?);
            Writer::new(file, &like.named(), like.properties()?)
        };
        let writer = create().map_err(|error| cannot_write(path, &error))?;
        Ok(Self { path: path.to_owned(), writer, rows_per_group: CHUNKS_PER_GROUP * like.chunk_rows() })
    }

    /// Rows of every row group but the last, at least 1.
    pub(in crate::artifact) fn rows_per_group(&self) -> usize {
        self.rows_per_group
    }

    /// Writes further rows: all that are left, or a multiple of [`TableWriter::rows_per_group`].
    pub(in crate::artifact) fn push(&mut self, columns: &Columns<'_>) -> Result<(), StageError> {
        let rows = columns.check()?;
        let chunk_rows = self.rows_per_group / CHUNKS_PER_GROUP;
        let pushed = self.writer.push(&columns.named(), rows, chunk_rows);
        pushed.map_err(|error| cannot_write(&self.path, &error))
    }

    /// Writes the footer.
    pub(in crate::artifact) fn finish(self) -> Result<(), StageError> {
        let finished = self.writer.into_inner().and_then(|mut file| file.flush().map_err(ParquetError::from));
        finished.map_err(|error| cannot_write(&self.path, &error))
    }
}

pub(super) fn cannot_encode(error: ParquetError) -> StageError {
    StageError::new(format!("cannot encode as Parquet: {error}"))
}

fn cannot_write(path: &Path, error: &ParquetError) -> StageError {
    StageError::new(format!("cannot write {} as Parquet: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use arrow_array::RecordBatch;

    use super::*;

    /// The bytes that the Parquet library writes.
    fn written(columns: &Columns<'_>, rows: usize) -> Vec<u8> {
        let schema = columns.schema();
        let options = ArrowWriterOptions::new().with_properties(columns.properties().unwrap());
        let options = options.with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options).unwrap();
        for (number, chunk) in split(0..rows, columns.chunk_rows()).enumerate() {
            if number > 0 && number % CHUNKS_PER_GROUP == 0 {
                writer.flush().unwrap();
            }
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns.arrays(chunk)).unwrap()).unwrap();
        }
        writer.into_inner().unwrap()
    }

    #[test]
    fn raw_byte_strings_are_written_as_the_library_writes_them() {
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
                .raw_bytes("pixels", (rows, width), &values)
                .float("weight", (0..rows).map(|row| row as f64))
                .raw_bytes("more", (rows, width), &values)
                .note("made", "here");
            let expected = written(&columns, rows);
            assert!(columns.encode().unwrap() == expected, "{rows} rows of {width} bytes");
            columns.save(&path).unwrap();
            assert!(std::fs::read(&path).unwrap() == expected, "{rows} rows of {width} bytes in a file");
        }
    }
}
