//! Where the byte strings of a column lie in the file, if they lie there as they are.
//!
//! A page of a column without compression, dictionary and missing values is a header and then, for each row, the length of
//! its string in four bytes, little-endian, and the string. Its header says how many rows it has; so where all strings are equally
//! long, the end of a page gives the places of all of them. That each length stands where it should be is looked up for every row;
//! anything else, as other writers may choose it, has no places and is decoded.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use orchestrate_cache::{BlobError, OpenBlob};
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::plain::LENGTH_BYTES;
use super::source::Source;

/// Where strings are shorter than this, the lengths of several are read at once.
const SHORT_BYTES: u64 = 1 << 13;
/// How much is read then.
const AT_ONCE_BYTES: u64 = 1 << 16;

/// The place of each string of `width` bytes in a column of a file, in the order of rows; `None` where some lie otherwise.
pub(super) fn places(
    metadata: &ParquetMetaData,
    blob: &Arc<OpenBlob>,
    name: &str,
    width: usize,
) -> Result<Option<Vec<u64>>, BlobError> {
    let Some(places) = expected(metadata, blob, name, width) else { return Ok(None) };
    let Ok(length) = u32::try_from(width) else { return Ok(None) };
    let at_once = if width as u64 <= SHORT_BYTES { AT_ONCE_BYTES } else { LENGTH_BYTES as u64 };
    let mut read = Vec::new();
    let mut start = 0;
    for place in &places {
        let at = place - LENGTH_BYTES as u64;
        if at < start || *place > start + read.len() as u64 {
            start = at;
            let rest = blob.size_bytes().saturating_sub(at).max(LENGTH_BYTES as u64);
            read.resize(at_once.min(rest) as usize, 0);
            blob.read_exact_at(&mut read, at)?;
        }
        let from = (at - start) as usize;
        if read[from..from + LENGTH_BYTES] != length.to_le_bytes() {
            return Ok(None);
        }
    }
    Ok(Some(places))
}

fn expected(metadata: &ParquetMetaData, blob: &Arc<OpenBlob>, name: &str, width: usize) -> Option<Vec<u64>> {
    let columns = metadata.file_metadata().schema_descr().columns();
    let index = columns.iter().position(|column| column.path().parts() == [name])?;
    let mut places = Vec::new();
    for group in metadata.row_groups() {
        let chunk = group.columns().get(index)?;
        let rows = usize::try_from(group.num_rows()).ok()?;
        if !is_plain(chunk) || !append(&mut places, chunk, blob, rows, width as u64)? {
            return None;
        }
    }
    Some(places)
}

fn is_plain(chunk: &ColumnChunkMetaData) -> bool {
    let column = chunk.column_descr();
    chunk.column_type() == Type::BYTE_ARRAY
        && (column.max_def_level(), column.max_rep_level()) == (0, 0)
        && chunk.compression() == Compression::UNCOMPRESSED
        && chunk.dictionary_page_offset().is_none()
        // The second is how levels are encoded, of which there are none.
        && chunk.encodings().all(|encoding| matches!(encoding, Encoding::PLAIN | Encoding::RLE))
}

/// Appends the places of one row group; tells whether its pages are of such rows and no others.
fn append(
    places: &mut Vec<u64>,
    chunk: &ColumnChunkMetaData,
    blob: &Arc<OpenBlob>,
    rows: usize,
    width: u64,
) -> Option<bool> {
    let headers = Arc::new(Headers { source: Source::Stored(Arc::clone(blob)), starts: Mutex::default() });
    let mut pages = SerializedPageReader::new(Arc::clone(&headers), chunk, rows, None).ok()?;
    let mut counts = Vec::new();
    while let Some(page) = pages.peek_next_page().ok()? {
        counts.push(page.num_levels.filter(|_| !page.is_dict)? as u64);
        pages.skip_next_page().ok()?;
    }
    let starts = headers.starts.lock().unwrap_or_else(PoisonError::into_inner);
    let (first, length) = chunk.byte_range();
    let ends = starts.iter().skip(1).copied().chain([first.checked_add(length)?]);
    let step = width.checked_add(LENGTH_BYTES as u64)?;
    for ((&start, end), &count) in starts.iter().zip(ends).zip(&counts) {
        let body = end.checked_sub(count.checked_mul(step)?).filter(|&body| body > start)?;
        places.extend((0..count).map(|row| body + row * step + LENGTH_BYTES as u64));
    }
    Some(starts.len() == counts.len() && counts.iter().sum::<u64>() == rows as u64)
}

/// Notes where a reader of pages looks for their headers, which is all that it does not tell.
struct Headers {
    source: Source,
    starts: Mutex<Vec<u64>>,
}

impl Length for Headers {
    fn len(&self) -> u64 {
        self.source.len()
    }
}

impl ChunkReader for Headers {
    type T = <Source as ChunkReader>::T;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).push(start);
        self.source.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.source.get_bytes(start, length)
    }
}
