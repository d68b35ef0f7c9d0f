//! The session file `tmp/NUMBER.lock`: the lock of a session, and the keys that it needs.
//!
//! It holds numbers of eight bytes, little-endian: when the session was opened, in milliseconds since 1970, then the
//! first eight bytes of each needed key, then a zero. The file outlives its session. The next session that takes it
//! overwrites it from the start and cuts nothing, so a run of hits costs two writes; older numbers may follow the zero.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::error::StoreError;
use crate::files::disk;
use crate::lock::memory::lock;

/// A longer file is none: a run has fewer than a hundred million nodes.
const BYTES_MAX: u64 = 1 << 30;

/// The file of this process's session.
#[derive(Debug)]
pub(crate) struct SessionFile {
    file: File,
    path: PathBuf,
    /// Offset of the zero.
    end: Mutex<u64>,
}

impl SessionFile {
    /// Begins anew in a locked file.
    pub(crate) fn begin(file: File, path: PathBuf, opened_ms: u64) -> Result<Self, StoreError> {
        disk::write_at(&file, &bytes_of([opened_ms, 0]), 0, &path)?;
        Ok(Self { file, path, end: Mutex::new(8) })
    }

    /// Adds prefixes of keys.
    pub(crate) fn add(&self, prefixes: &[u64]) -> Result<(), StoreError> {
        if prefixes.is_empty() {
            return Ok(());
        }
        let bytes = bytes_of(prefixes.iter().copied().chain([0]));
        let mut end = lock(&self.end);
        disk::write_at(&self.file, &bytes, *end, &self.path)?;
        *end += bytes.len() as u64 - 8;
        Ok(())
    }

    /// Returns the needs of this session.
    pub(crate) fn read(&self) -> Result<Needs, StoreError> {
        let end = *lock(&self.end);
        let mut bytes = vec![0; end as usize];
        self.file.read_exact_at(&mut bytes, 0).map_err(StoreError::io("read", &self.path))?;
        Ok(Needs::parse(&bytes))
    }

    /// Returns whether the file still has its name.
    pub(crate) fn is_in_place(&self) -> bool {
        disk::is_at(&self.file, &self.path)
    }
}

/// The needs of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// When it was opened; 0, older than everything, if the file has just been taken.
    pub(crate) opened_ms: u64,
    /// Prefixes of the needed keys.
    pub(crate) prefixes: HashSet<u64>,
}

impl Needs {
    /// Reads the file of another session.
    ///
    /// A session that takes the file meanwhile has looked nothing up yet, so older needs in it only keep too much.
    pub(crate) fn read(path: &Path) -> Self {
        Self::parse(&disk::read(path, BYTES_MAX).unwrap_or_default())
    }

    fn parse(bytes: &[u8]) -> Self {
        let mut numbers = bytes.as_chunks().0.iter().copied().map(u64::from_le_bytes);
        let opened_ms = numbers.next().unwrap_or(0);
        Self { opened_ms, prefixes: numbers.take_while(|prefix| *prefix != 0).collect() }
    }
}

fn bytes_of(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers.into_iter().flat_map(u64::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::fault;

    #[test]
    fn needs_of_an_earlier_session_count_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.lock");
        let begin = |opened_ms| {
            let file = disk::open_or_create(&path).unwrap();
            SessionFile::begin(file, path.clone(), opened_ms).unwrap()
        };
        let needs = |opened_ms, prefixes: &[u64]| Needs { opened_ms, prefixes: prefixes.iter().copied().collect() };
        assert_eq!(Needs::read(&path), needs(0, &[]));
        let first = begin(5);
        first.add(&[7, 8]).unwrap();
        first.add(&[]).unwrap();
        first.add(&[9]).unwrap();
        assert_eq!(Needs::read(&path), needs(5, &[7, 8, 9]));
        assert_eq!(first.read().unwrap(), needs(5, &[7, 8, 9]));
        let second = begin(6);
        assert_eq!(Needs::read(&path), needs(6, &[]));
        fault::after(0);
        assert!(second.add(&[11, 12]).is_err());
        fault::off();
        second.add(&[10]).unwrap();
        assert_eq!(Needs::read(&path), needs(6, &[10]));
        assert_eq!(second.read().unwrap(), needs(6, &[10]));
    }
}
