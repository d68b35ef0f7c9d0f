//! Byte strings of one length, written and read around the Parquet library.
//!
//! The library copies each string five times, which is most of the cost of writing a column of images. A column that is
//! neither compressed nor in a dictionary holds its strings unchanged, so they are copied once, and a reader of single
//! images finds them by offset. The file stays Parquet, byte for byte what the library writes (a test compares).
//!
//! One column of one row group, a *column chunk*:
//!
//! ```text
//! offset of the chunk
//! │
//! │ about 20   4     width     4     width       about 20   4     width     4     width     bytes
//! ▼──────────┬─────┬─────────┬─────┬─────────┐ ┌──────────┬─────┬─────────┬─────┬─────────┐
//! │  header  │width│ string 0│width│ string 1│ │  header  │width│ string 2│width│ string 3│
//! └──────────┴─────┴─────────┴─────┴─────────┘ └──────────┴─────┴─────────┴─────┴─────────┘
//! └────────────────── page ──────────────────┘ └────────────────── page ──────────────────┘
//!
//! header   Thrift: rows and bytes of the page, as varints, so its own length varies
//! width    length of the string that follows, u32, little-endian
//! ```
//!
//! A page ends after 1 MiB or 20,000 rows; the library, and so [`page_ranges`], looks only every [`WRITE_BATCH_WIDE`]
//! rows. As the length of a header is unknown, offsets are counted from the end of a page: string `i` of `n` starts at
//! `end − (n − i) × (4 + width) + 4`. Every length is read, so strings of another layout are never taken for images.
//!
//! [`WRITE_BATCH_WIDE`]: super::columns::WRITE_BATCH_WIDE

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use orchestrate_cache::{BlobError, OpenBlob};
use parquet::basic::{Compression, Encoding, EncodingMask, PageType, Type};
use parquet::column::page::{CompressedPage, Page, PageReader, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::columns::{WRITE_BATCH_WIDE, split};
use super::file::TableFile;

/// Size of the length before each string.
const LENGTH_BYTES: usize = 4;
/// Size and number of rows that end a page; the library's defaults.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_ROWS: usize = 20_000;

/// Strings up to this width have their lengths read many at a time.
const SHORT_BYTES: u64 = 1 << 13;
/// Bytes of one such read.
const READ_BYTES: u64 = 1 << 16;

/// Byte strings of one length, one after the other.
#[derive(Clone, Copy)]
pub(super) struct RawStrings<'a> {
    pub(super) width: usize,
    pub(super) values: &'a [u8],
}

impl RawStrings<'_> {
    /// Writes some rows as the next column of a row group; `chunks` are the ranges in which the library would get them.
    pub(super) fn append<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        column: &ColumnDescPtr,
        chunks: &[Range<usize>],
    ) -> Result<(), ParquetError> {
        let Self { width, values } = self;
        let row_bytes = LENGTH_BYTES + width;
        let pages = page_ranges(chunks, row_bytes);
        let mut headers = HashMap::new();
        for page in &pages {
            if let Entry::Vacant(entry) = headers.entry(page.len()) {
                entry.insert(header(page.len(), row_bytes)?);
            }
        }
        let length = u32::try_from(width)?.to_le_bytes();
        let mut pieces: Vec<&[u8]> = Vec::new();
        for page in &pages {
            pieces.push(&headers[&page.len()]);
            pieces.extend(page.clone().flat_map(|row| [&length[..], &values[row * width..(row + 1) * width]]));
        }
        let rows: usize = pages.iter().map(Range::len).sum();
        let size: usize = pages.iter().map(|page| headers[&page.len()].len() + page.len() * row_bytes).sum();
        let statistics = PageEncodingStats {
            page_type: PageType::DATA_PAGE,
            encoding: Encoding::PLAIN,
            count: i32::try_from(pages.len())?,
        };
        let metadata = ColumnChunkMetaData::builder(column.clone())
            .set_compression(Compression::UNCOMPRESSED)
            .set_encodings_mask(EncodingMask::new_from_encodings([Encoding::PLAIN, Encoding::RLE].iter()))
            .set_page_encoding_stats(vec![statistics])
            .set_total_compressed_size(size as i64)
            .set_total_uncompressed_size(size as i64)
            .set_num_values(rows as i64)
            .set_data_page_offset(0)
            .build()?;
        group.append_column(&Pieces(&pieces), encoded(metadata))
    }
}

/// The result of encoding a column chunk, from what its metadata say.
pub(super) fn encoded(metadata: ColumnChunkMetaData) -> ColumnCloseResult {
    ColumnCloseResult {
        bytes_written: metadata.compressed_size() as u64,
        rows_written: metadata.num_values() as u64,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    }
}

/// The rows of each page.
fn page_ranges(chunks: &[Range<usize>], row_bytes: usize) -> Vec<Range<usize>> {
    // The library looks more often only if a batch alone is larger than a page.
    let batch = WRITE_BATCH_WIDE.min(PAGE_BYTES / row_bytes + 1);
    let mut pages = Vec::new();
    let mut start = chunks.first().map_or(0, |chunk| chunk.start);
    let mut end = start;
    let batches = chunks.iter().cloned().flat_map(|chunk| split(chunk, WRITE_BATCH_WIDE));
    for rows in batches.flat_map(|rows| split(rows, batch)) {
        end = rows.end;
        if end - start >= PAGE_ROWS || (end - start) * row_bytes >= PAGE_BYTES {
            pages.push(start..end);
            start = end;
        }
    }
    pages.extend((start < end).then_some(start..end));
    pages
}

/// The header of a page, made by the library from a page of zeros.
fn header(rows: usize, row_bytes: usize) -> Result<Vec<u8>, ParquetError> {
    let body_bytes = rows * row_bytes;
    let page = Page::DataPage {
        num_values: u32::try_from(rows)?,
        encoding: Encoding::PLAIN,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
        buf: vec![0; body_bytes].into(),
    };
    let mut written = TrackedWrite::new(Vec::new());
    SerializedPageWriter::new(&mut written).write_page(CompressedPage::new(page, body_bytes))?;
    let mut bytes = written.into_inner()?;
    bytes.truncate(bytes.len() - body_bytes);
    Ok(bytes)
}

/// A column chunk that lies in memory in many pieces, in the form in which the library takes it.
struct Pieces<'a>(&'a [&'a [u8]]);

impl Length for Pieces<'_> {
    fn len(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }
}

impl<'a> ChunkReader for Pieces<'a> {
    type T = PiecesReader<'a>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let mut reader = PiecesReader { piece: &[], rest: self.0.iter() };
        io::copy(&mut reader.by_ref().take(start), &mut io::sink())?;
        Ok(reader)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

struct PiecesReader<'a> {
    piece: &'a [u8],
    rest: slice::Iter<'a, &'a [u8]>,
}

impl Read for PiecesReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Fills the buffer, as the library writes each read by itself.
        let mut filled = 0;
        while filled < buffer.len() {
            match self.piece.read(&mut buffer[filled..])? {
                0 => match self.rest.next() {
                    Some(piece) => self.piece = piece,
                    None => break,
                },
                count => filled += count,
            }
        }
        Ok(filled)
    }
}

/// The offset of each string of a column in a stored file, by row.
///
/// `None` if the column has another layout: compressed, in a dictionary, nullable, or of strings of another length.
pub(super) fn offsets(
    metadata: &ParquetMetaData,
    blob: &Arc<OpenBlob>,
    name: &str,
    width: usize,
) -> Result<Option<Vec<u64>>, BlobError> {
    let Some(offsets) = expected_offsets(metadata, blob, name, width) else { return Ok(None) };
    let Ok(length) = u32::try_from(width) else { return Ok(None) };
    let read_bytes = if width as u64 <= SHORT_BYTES { READ_BYTES } else { LENGTH_BYTES as u64 };
    let mut read = Vec::new();
    let mut start = 0;
    for offset in &offsets {
        let length_at = offset - LENGTH_BYTES as u64;
        if length_at < start || *offset > start + read.len() as u64 {
            start = length_at;
            let rest = blob.size_bytes().saturating_sub(start).max(LENGTH_BYTES as u64);
            read.resize(read_bytes.min(rest) as usize, 0);
            blob.read_exact_at(&mut read, start)?;
        }
        if !read[(length_at - start) as usize..].starts_with(&length.to_le_bytes()) {
            return Ok(None);
        }
    }
    Ok(Some(offsets))
}

/// The offsets if every string has `width` bytes, which only its length in the file can tell.
fn expected_offsets(metadata: &ParquetMetaData, blob: &Arc<OpenBlob>, name: &str, width: usize) -> Option<Vec<u64>> {
    let columns = metadata.file_metadata().schema_descr().columns();
    let index = columns.iter().position(|column| column.path().parts() == [name])?;
    let mut offsets = Vec::new();
    for group in metadata.row_groups() {
        let chunk = group.columns().get(index)?;
        let rows = usize::try_from(group.num_rows()).ok()?;
        if !is_raw(chunk) {
            return None;
        }
        append_offsets(&mut offsets, chunk, blob, rows, width as u64)?;
    }
    Some(offsets)
}

fn is_raw(chunk: &ColumnChunkMetaData) -> bool {
    let column = chunk.column_descr();
    chunk.column_type() == Type::BYTE_ARRAY
        && (column.max_def_level(), column.max_rep_level()) == (0, 0)
        && chunk.compression() == Compression::UNCOMPRESSED
        && chunk.dictionary_page_offset().is_none()
        // RLE encodes levels, which a column without missing values does not have.
        && chunk.encodings().all(|encoding| matches!(encoding, Encoding::PLAIN | Encoding::RLE))
}

/// Appends the offsets in one column chunk; `None` if its pages do not hold exactly `rows` strings.
fn append_offsets(
    offsets: &mut Vec<u64>,
    chunk: &ColumnChunkMetaData,
    blob: &Arc<OpenBlob>,
    rows: usize,
    width: u64,
) -> Option<()> {
    let headers = Arc::new(HeaderOffsets { file: TableFile::Stored(Arc::clone(blob)), offsets: Mutex::default() });
    let mut pages = SerializedPageReader::new(Arc::clone(&headers), chunk, rows, None).ok()?;
    let mut counts = Vec::new();
    while let Some(page) = pages.peek_next_page().ok()? {
        counts.push(page.num_levels.filter(|_| !page.is_dict)? as u64);
        pages.skip_next_page().ok()?;
    }
    let starts = headers.offsets.lock().unwrap_or_else(PoisonError::into_inner);
    let (first, length) = chunk.byte_range();
    let ends = starts.iter().skip(1).copied().chain([first.checked_add(length)?]);
    let row_bytes = width.checked_add(LENGTH_BYTES as u64)?;
    for ((&start, end), &count) in starts.iter().zip(ends).zip(&counts) {
        let body = end.checked_sub(count.checked_mul(row_bytes)?).filter(|&body| body > start)?;
        offsets.extend((0..count).map(|row| body + row * row_bytes + LENGTH_BYTES as u64));
    }
    (starts.len() == counts.len() && counts.iter().sum::<u64>() == rows as u64).then_some(())
}

/// A file that notes where page headers are read; the library tells the number of rows of a page, but not its offset.
struct HeaderOffsets {
    file: TableFile,
    offsets: Mutex<Vec<u64>>,
}

impl Length for HeaderOffsets {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for HeaderOffsets {
    type T = <TableFile as ChunkReader>::T;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner).push(start);
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.file.get_bytes(start, length)
    }
}
