//! Columns of byte strings of one length, such as images, written and read past the Parquet library's codecs.
//!
//! The library copies each string five times, which is most of the cost of writing a column of images. A column that is
//! neither compressed nor in a dictionary holds its strings unchanged. So this module copies each string once, and
//! finds single images in a file by offset. The file has the same bytes as one that the library writes; a test compares
//! them.
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
//! A page ends after 1 MiB or 20,000 rows. The library checks this only every [`WIDE_BATCH`] rows, and [`page_ranges`]
//! does the same. As the length of a header is unknown, a reader counts offsets from the end of a page: string `i` of
//! `n` starts at `end − (n − i) × (4 + width) + 4`. It reads every `width` in the file, so strings of another layout
//! are never taken for images.

use std::collections::{BTreeMap, BTreeSet};
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

use super::file::TableFile;

/// Size of the length field before each string.
const LENGTH_BYTES: usize = 4;
/// A page ends at this size or this number of rows; the library's defaults.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_ROWS: usize = 20_000;
/// The library's write batch for a table with images: rows between two checks of the size of a page. Its default of
/// 1,024 would make one huge page.
pub(super) const WIDE_BATCH: usize = 16;

/// Up to this width of the strings, one read covers the length fields of several strings.
const SHORT_BYTES: u64 = 1 << 13;
/// Size of such a read.
const READ_BYTES: u64 = 1 << 16;

/// Byte strings of one length, one after the other.
#[derive(Clone, Copy)]
pub(super) struct RawStrings<'a> {
    pub(super) width: usize,
    pub(super) values: &'a [u8],
}

impl RawStrings<'_> {
    /// Writes some rows as the next column of a row group.
    ///
    /// `ranges` are these rows, in the ranges in which other columns are passed to the library: they decide where pages
    /// end.
    pub(super) fn append<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        column: &ColumnDescPtr,
        ranges: &[Range<usize>],
    ) -> Result<(), ParquetError> {
        let Self { width, values } = self;
        let row_bytes = LENGTH_BYTES + width;
        let pages = page_ranges(ranges, row_bytes);
        // A header depends only on the number of rows of its page.
        let row_counts: BTreeSet<_> = pages.iter().map(Range::len).collect();
        let headers: BTreeMap<_, _> = row_counts
            .into_iter()
            .map(|rows| Ok((rows, header(rows, row_bytes)?)))
            .collect::<Result<_, ParquetError>>()?;
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

/// Makes the result of encoding a column chunk, as the library's row group writer takes it, from the metadata.
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

/// Returns the rows of each page, as the library divides them when it is passed these ranges.
fn page_ranges(ranges: &[Range<usize>], row_bytes: usize) -> Vec<Range<usize>> {
    // The library checks the size of a page after each batch, or more often if a batch alone is larger than a page.
    let batch = WIDE_BATCH.min(PAGE_BYTES / row_bytes + 1);
    let mut pages = Vec::new();
    let mut start = ranges.first().map_or(0, |range| range.start);
    let mut end = start;
    let batches = ranges.iter().cloned().flat_map(|range| split(range, WIDE_BATCH));
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

/// Splits a range into pieces of `length`; the last piece may be shorter.
pub(super) fn split(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(length).map(move |start| start..end.min(start + length))
}

/// Returns the header of a page: the library writes a page of zeros, and the zeros are cut off.
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

/// A column chunk in many pieces of memory; a [`ChunkReader`], as the library copies it into the file from one.
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

/// Reads [`Pieces`] from first to last; `piece` is the unread rest of the current one.
struct PiecesReader<'a> {
    piece: &'a [u8],
    rest: slice::Iter<'a, &'a [u8]>,
}

impl Read for PiecesReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Fills the buffer across pieces: the library makes one write of each read, and a piece may have 4 bytes.
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

/// Returns the offset of each string of a column in a stored file, by row.
///
/// `None` if the column has another layout: compressed, in a dictionary, nullable, or with strings of another length.
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
        // The last read, from `start`, does not cover this length field.
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

/// Computes the offsets on the assumption that every string has `width` bytes; reads no length field.
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

/// Returns true if a column chunk has the layout of this module, as far as its metadata tell.
fn is_raw(chunk: &ColumnChunkMetaData) -> bool {
    let column = chunk.column_descr();
    chunk.column_type() == Type::BYTE_ARRAY
        && (column.max_def_level(), column.max_rep_level()) == (0, 0)
        && chunk.compression() == Compression::UNCOMPRESSED
        && chunk.dictionary_page_offset().is_none()
        // RLE encodes levels, which a column without missing values does not have.
        && chunk.encodings().all(|encoding| matches!(encoding, Encoding::PLAIN | Encoding::RLE))
}

/// Appends the offsets in one column chunk; `None` if its pages do not hold exactly `rows` strings of `width` bytes.
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

/// A file that records the offset of every read of a page header: the library returns the number of rows of a page, but
/// not its offset.
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
