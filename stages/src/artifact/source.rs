//! Where the bytes of a table are while its columns are read.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use orchestrate_cache::OpenBlob;
use orchestrate_engine::stage::StageError;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// The bytes of a Parquet file.
#[derive(Clone)]
pub(super) enum Source {
    /// All of them.
    Memory(Bytes),
    /// In the store, from which parts are read.
    Stored(Arc<OpenBlob>),
}

impl Source {
    /// The error of a read that failed: where the bytes are no longer those that were checked, that, and not what followed from it.
    pub(super) fn failed(&self, otherwise: StageError) -> StageError {
        match self {
            Self::Memory(_) => otherwise,
            Self::Stored(blob) => match blob.check() {
                Ok(()) => otherwise,
                Err(error) => StageError::corrupt(*blob.digest(), &error),
            },
        }
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Stored(blob) => blob.size_bytes(),
        }
    }
}

impl ChunkReader for Source {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        match self {
            Self::Memory(bytes) => Ok(Box::new(bytes.get_read(start)?)),
            Self::Stored(blob) => Ok(Box::new(BufReader::new(From { blob: Arc::clone(blob), place: start }))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::Memory(bytes) => bytes.get_bytes(start, length),
            Self::Stored(blob) => {
                if length as u64 > blob.size_bytes() {
                    return Err(ParquetError::EOF(format!("{length} bytes are more than the file has")));
                }
                let mut part = vec![0; length];
                blob.read_exact_at(&mut part, start).map_err(|error| ParquetError::External(Box::new(error)))?;
                Ok(part.into())
            }
        }
    }
}

/// A blob from a place on.
struct From {
    blob: Arc<OpenBlob>,
    place: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.blob.size_bytes().saturating_sub(self.place);
        let count = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        self.blob.read_exact_at(&mut buffer[..count], self.place).map_err(io::Error::other)?;
        self.place += count as u64;
        Ok(count)
    }
}
