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
    /// The columns of the current row group, encoded so far, and the number of their chunks.
    open: Vec<ArrowColumnWriter>,
    open_chunks: usize,
}

impl<W: Write + Send> Writer<W> {
    /// Starts a file with columns of those names and types.
    fn new(sink: W, columns: &[&Named<'_>], properties: WriterProperties) -> Result<Self, ParquetError> {
        let schema = schema(columns.iter().copied());
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let (file, encoders) =
            ArrowWriter::try_new_with_options(sink, Arc::clone(&schema), options)?.into_serialized_writer()?;
        Ok(Self { file, encoders, schema, groups: 0, open: Vec::new(), open_chunks: 0 })
    }

    /// Writes further rows in chunks of `chunk_rows`.
    ///
    /// A row group ends when it is full, or with the push if a column is raw: its strings are not kept.
    fn push(&mut self, columns: &[&Named<'_>], rows: usize, chunk_rows: usize) -> Result<(), ParquetError> {
        let has_raw = has_raw(columns);
        let chunks: Vec<_> = split(0..rows, chunk_rows).collect();
        let mut rest = chunks.as_slice();
        while !rest.is_empty() {
            let (chunks, after) = rest.split_at(rest.len().min(CHUNKS_PER_GROUP - self.open_chunks));
            self.encode(columns, chunks)?;
            if has_raw || self.open_chunks == CHUNKS_PER_GROUP {
                self.end_group(columns, chunks)?;
            }
            rest = after;
        }
        Ok(())
    }

    /// Encodes further chunks of the current row group; raw columns are left to [`Writer::end_group`].
    fn encode(&mut self, columns: &[&Named<'_>], chunks: &[Range<usize>]) -> Result<(), ParquetError> {
        if self.open_chunks == 0 {
            self.open = self.encoders.create_column_writers(self.groups)?;
        }
        self.open_chunks += chunks.len();
        for (((_, column), field), encoder) in columns.iter().zip(self.schema.fields()).zip(&mut self.open) {
            for chunk in chunks.iter().filter(|_| column.raw().is_none()) {
                for leaf in compute_leaves(field, &column.array(chunk.clone()))? {
                    encoder.write(&leaf)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the current row group; `columns` and `chunks` are those of its raw columns, if it has any.
    fn end_group(&mut self, columns: &[&Named<'_>], chunks: &[Range<usize>]) -> Result<(), ParquetError> {
        let descriptors = self.file.schema_descr().columns().to_vec();
        let mut group = self.file.next_row_group()?;
        for (index, (encoder, descriptor)) in self.open.drain(..).zip(&descriptors).enumerate() {
            match columns.get(index).and_then(|(_, column)| column.raw()) {
                Some(strings) => strings.append(&mut group, descriptor, chunks)?,
                None => encoder.close()?.append_to_row_group(&mut group)?,
            }
        }
        group.close()?;
        self.groups += 1;
        self.open_chunks = 0;
        Ok(())
    }

    /// Writes the last row group and the footer, and returns what it says; the sink may still hold back bytes.
    fn close(&mut self) -> Result<ParquetMetaData, ParquetError> {
        self.end_last_group()?;
        self.file.finish()
    }

    /// Writes the last row group and the footer, and returns the sink.
    fn into_inner(mut self) -> Result<W, ParquetError> {
        self.end_last_group()?;
        self.file.into_inner()
    }

    fn end_last_group(&mut self) -> Result<(), ParquetError> {
        if self.open_chunks > 0 { self.end_group(&[], &[]) } else { Ok(()) }
    }
}

/// Returns whether a column is written past the library's encoders.
fn has_raw(columns: &[&Named<'_>]) -> bool {
    columns.iter().any(|(_, column)| column.raw().is_some())
}

/// A table in a new file, written some rows at a time: the bytes are those of [`Columns::encode`].
pub(in crate::artifact) struct TableWriter {
    path: PathBuf,
    writer: Writer<BufWriter<File>>,
    chunk_rows: usize,
    rows_per_push: usize,
}

impl TableWriter {
    /// Starts a file of columns like these, in number, types, widths and notes; their rows are not written.
    pub(in crate::artifact) fn create(path: &Path, like: &Columns<'_>) -> Result<Self, StageError> {
        let create = || {
            let file = BufWriter::with_capacity(SAVE_BYTES, File::create(path)?);
            Writer::new(file, &like.named(), like.properties()?)
        };
        let writer = create().map_err(|error| cannot_write(path, &error))?;
        let chunk_rows = like.chunk_rows();
        let rows_per_push = if has_raw(&like.named()) { CHUNKS_PER_GROUP * chunk_rows } else { chunk_rows };
        Ok(Self { path: path.to_owned(), writer, chunk_rows, rows_per_push })
    }

    /// The fewest rows that can be pushed, unless they are the last ones: a row group if a column is not compressed.
    pub(in crate::artifact) fn rows_per_push(&self) -> usize {
        self.rows_per_push
    }

    /// Writes further rows: all that are left, or a multiple of [`TableWriter::rows_per_push`].
    pub(in crate::artifact) fn push(&mut self, columns: &Columns<'_>) -> Result<(), StageError> {
        let rows = columns.check()?;
        let pushed = self.writer.push(&columns.named(), rows, self.chunk_rows);
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
