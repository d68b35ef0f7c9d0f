//! Writes a column of byte strings as they are.
//!
//! Parquet's own writer copies each string five times, which for a column of pictures is most of what writing it costs. Here the
//! strings go from where they are to the file. What is written is what that writer would have written, byte for byte (a test
//! holds it to that): pages end where it ends them, and the headers are made by it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read, Write};
use std::ops::Range;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, EncodingMask, PageType};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// Bytes before each string that say how long it is.
pub(super) const LENGTH_BYTES: usize = 4;
/// A page ends once it has so many bytes, or rows; Parquet's defaults.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_ROWS: usize = 20_000;

/// Byte strings of one length, laid out one after the other.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    pub(super) width: usize,
    pub(super) values: &'a [u8],
}

impl Plain<'_> {
    /// Writes the rows of one row group as its next column.
    ///
    /// - `chunks`: the rows, as they would have been given to Parquet's writer
    /// - `batch`: after so many rows that one looks whether a page is full
    pub(super) fn append<W: Write + Send>(
        self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        column: &ColumnDescPtr,
        chunks: &[Range<usize>],
        batch: usize,
    ) -> Result<(), ParquetError> {
        let step = self.width + LENGTH_BYTES;
        let mut headers: HashMap<usize, Vec<u8>> = HashMap::new();
        let mut parts = Vec::new();
        let (mut row, mut length) = (chunks.first().map_or(0, |chunk| chunk.start), 0);
        let pages = pages(chunks.iter().map(Range::len), step, batch);
        for &rows in &pages {
            let header = match headers.entry(rows) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(header(rows, step)?),
            };
            length += header.len() + rows * step;
            parts.push((rows, row..row + rows));
            row += rows;
        }
        let count: usize = pages.iter().sum();
        let statistics = PageEncodingStats {
            page_type: PageType::DATA_PAGE,
            encoding: Encoding::PLAIN,
            count: i32::try_from(pages.len())?,
        };
        let metadata = ColumnChunkMetaData::builder(column.clone())
            .set_compression(Compression::UNCOMPRESSED)
            .set_encodings_mask(EncodingMask::new_from_encodings([Encoding::PLAIN, Encoding::RLE].iter()))
            .set_page_encoding_stats(vec![statistics])
            .set_total_compressed_size(length as i64)
            .set_total_uncompressed_size(length as i64)
            .set_num_values(count as i64)
            .set_data_page_offset(0)
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: length as u64,
            rows_written: count as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        group.append_column(&Chunk { plain: self, headers: &headers, pages: &parts, length }, close)
    }
}

/// The rows of each page, where rows of `step` bytes come in chunks of so many.
fn pages(chunks: impl Iterator<Item = usize>, step: usize, batch: usize) -> Vec<usize> {
    // Parquet's writer looks after each batch, and sooner only where a batch alone is more than a page.
    let window = batch.min(PAGE_BYTES / step + 1);
    let mut pages = Vec::new();
    let mut waiting = 0;
    for chunk in chunks {
        for start in (0..chunk).step_by(batch) {
            let rows = batch.min(chunk - start);
            for start in (0..rows).step_by(window) {
                waiting += window.min(rows - start);
                if waiting >= PAGE_ROWS || waiting * step >= PAGE_BYTES {
                    pages.push(std::mem::take(&mut waiting));
                }
            }
        }
    }
    pages.extend((waiting > 0).then_some(waiting));
    pages
}

/// The header of a page of so many rows of `step` bytes.
fn header(rows: usize, step: usize) -> Result<Vec<u8>, ParquetError> {
    let body = vec![0; rows * step];
    let page = Page::DataPage {
        num_values: u32::try_from(rows)?,
        encoding: Encoding::PLAIN,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
        buf: Bytes::from(body),
    };
    let mut written = TrackedWrite::new(Vec::new());
    let spec = SerializedPageWriter::new(&mut written).write_page(CompressedPage::new(page, rows * step))?;
    let mut bytes = written.into_inner()?;
    bytes.truncate(spec.compressed_size - rows * step);
    Ok(bytes)
}

/// The pages of one row group, put together while they are read.
struct Chunk<'a> {
    plain: Plain<'a>,
    headers: &'a HashMap<usize, Vec<u8>>,
    /// Number of rows, and which they are.
    pages: &'a [(usize, Range<usize>)],
    length: usize,
}

impl<'a> Chunk<'a> {
    /// Header, length, string, length, string, and so on.
    fn parts(&self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        let Plain { width, values } = self.plain;
        let (headers, pages) = (self.headers, self.pages);
        let length = u32::try_from(width).unwrap_or(u32::MAX).to_le_bytes();
        pages.iter().flat_map(move |(rows, range)| {
            let row = move |row: usize| [Part::Length(length), Part::Bytes(&values[row * width..(row + 1) * width])];
            [Part::Bytes(&headers[rows])].into_iter().chain(range.clone().flat_map(row))
        })
    }
}

enum Part<'a> {
    Bytes(&'a [u8]),
    Length([u8; LENGTH_BYTES]),
}

impl AsRef<[u8]> for Part<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Length(bytes) => bytes,
        }
    }
}

/// Reads parts one after the other.
struct Parts<'a> {
    parts: Box<dyn Iterator<Item = Part<'a>> + 'a>,
    current: Part<'a>,
    /// Bytes of the current part that were read.
    done: usize,
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &self.current.as_ref()[self.done..];
            if rest.is_empty() {
                let Some(next) = self.parts.next() else { break };
                (self.current, self.done) = (next, 0);
                continue;
            }
            let count = rest.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&rest[..count]);
            (filled, self.done) = (filled + count, self.done + count);
        }
        Ok(filled)
    }
}

impl Length for Chunk<'_> {
    fn len(&self) -> u64 {
        self.length as u64
    }
}

impl<'a> ChunkReader for Chunk<'a> {
    type T = Parts<'a>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let mut parts = Parts { parts: Box::new(self.parts()), current: Part::Bytes(&[]), done: 0 };
        io::copy(&mut parts.by_ref().take(start), &mut io::sink())?;
        Ok(parts)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}
