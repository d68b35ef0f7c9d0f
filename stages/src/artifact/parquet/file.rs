//! The bytes of a Parquet file, in memory or in the store.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use orchestrate_cache::OpenBlob;
use orchestrate_engine::stage::StageError;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// The bytes of a Parquet file.
#[derive(Clone)]
pub(super) enum TableFile {
    /// The whole file.
    Memory(Bytes),
    /// A file in the store, read piece by piece.
    Stored(Arc<OpenBlob>),
}

impl TableFile {
    /// The error of a failed read: [`StageError::Corrupt`] if the bytes changed since they were checked, else
    /// `otherwise`.
    pub(super) fn failed(&self, otherwise: StageError) -> StageError {
        let Self::Stored(blob) = self else { return otherwise };
        match blob.check() {
            Ok(()) => otherwise,
            Err(error) => StageError::corrupt(*blob.digest(), &error),
        }
    }
}

impl Length for TableFile {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Stored(blob) => blob.size_bytes(),
        }
    }
}

impl ChunkReader for TableFile {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        match self {
            Self::Memory(bytes) => Ok(Box::new(bytes.get_read(start)?)),
            Self::Stored(blob) => Ok(Box::new(BufReader::new(BlobReader { blob: Arc::clone(blob), offset: start }))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::Memory(bytes) => bytes.get_bytes(start, length),
            // Checked before memory is allocated: a damaged footer can claim any length.
            Self::Stored(blob) if length as u64 > blob.size_bytes() => {
                Err(ParquetError::EOF(format!("{length} bytes are more than the file has")))
            }
            Self::Stored(blob) => {
                let mut bytes = vec![0; length];
                blob.read_exact_at(&mut bytes, start).map_err(|error| ParquetError::External(Box::new(error)))?;
                Ok(bytes.into())
            }
        }
    }
}

/// A blob from an offset on.
struct BlobReader {
    blob: Arc<OpenBlob>,
    offset: u64,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.blob.size_bytes().saturating_sub(self.offset);
        let count = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        self.blob.read_exact_at(&mut buffer[..count], self.offset).map_err(io::Error::other)?;
        self.offset += count as u64;
        Ok(count)
    }
}
