//! Reading of a file through a part of it in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// Large enough for small groups to share a read, small enough to read little of bodies.
pub(super) const CHUNK: usize = 64 << 10;

/// A part of a file in memory; it moves to the offset of each request.
pub(super) struct Window<'f> {
    file: &'f File,
    path: PathBuf,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'f> Window<'f> {
    pub(super) fn new(file: &'f File, path: &Path, len: u64) -> Self {
        Self { file, path: path.to_owned(), len, start: 0, bytes: Vec::new() }
    }

    /// Returns `want` bytes at an offset, or fewer if the file ends before.
    pub(super) fn bytes(&mut self, at: u64, want: usize) -> Result<&[u8], StoreError> {
        let want = want.min(usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX));
        let held = at >= self.start && at + want as u64 <= self.start + self.bytes.len() as u64;
        if !held {
            self.fill(at, want).map_err(StoreError::io("read", &self.path))?;
        }
        let from = usize::try_from(at - self.start).map_err(std::io::Error::other);
        let from = from.map_err(StoreError::io("read", &self.path))?;
        Ok(&self.bytes[from.min(self.bytes.len())..(from + want).min(self.bytes.len())])
    }

    /// Returns the next offset with written bytes, `None` behind the last one. So a hole of terabytes takes no time.
    #[cfg(target_os = "linux")]
    pub(super) fn data_from(&self, at: u64) -> Result<Option<u64>, StoreError> {
        use nix::errno::Errno;
        use nix::unistd::{Whence, lseek};
        match lseek(self.file, at.cast_signed(), Whence::SeekData) {
            Ok(data) => Ok(Some(data.cast_unsigned())),
            Err(Errno::ENXIO) => Ok(None),
            // Not every filesystem knows its holes.
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(Some(at)),
            Err(error) => Err(StoreError::io("read", &self.path)(error.into())),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn data_from(&self, at: u64) -> Result<Option<u64>, StoreError> {
        Ok(Some(at))
    }

    /// Returns the checksum of `len` bytes at an offset, `None` if the file ends before; holds one chunk in memory.
    pub(super) fn crc(&mut self, at: u64, len: usize) -> Result<Option<u32>, StoreError> {
        let mut hasher = crc32fast::Hasher::new();
        let mut done = 0;
        while done < len {
            let part = self.bytes(at + done as u64, CHUNK.min(len - done))?;
            if part.is_empty() {
                return Ok(None);
            }
            hasher.update(part);
            done += part.len();
        }
        Ok(Some(hasher.finalize()))
    }

    fn fill(&mut self, at: u64, want: usize) -> std::io::Result<()> {
        let room = usize::try_from(self.len - at.min(self.len)).unwrap_or(usize::MAX);
        self.bytes.resize(want.max(CHUNK).min(room), 0);
        self.start = at;
        let mut filled = 0;
        while filled < self.bytes.len() {
            match self.file.read_at(&mut self.bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}
