//! What a session needs, in the file that carries its lock: when it was opened, in milliseconds since 1970, then the first
//! eight bytes of each key that it found, then a zero. All numbers have eight bytes, the lowest first.
//!
//! The file outlives its session, and the next one that takes it writes over what stands there, so that a session of hits
//! costs two writes and makes, cuts and removes nothing. Behind the zero may be notes of earlier sessions.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::StoreError;
use crate::files::disk;

/// A longer file is none: a run has fewer than a hundred million nodes.
const BYTES_MAX: u64 = 1 << 30;

/// The file of our own session.
#[derive(Debug)]
pub(crate) struct Notes {
    file: File,
    path: PathBuf,
    /// Where the zero stands.
    end: Mutex<u64>,
}

impl Notes {
    /// Begins anew in a file whose lock we have.
    pub(crate) fn begin(file: File, path: PathBuf, opened_ms: u64) -> Result<Self, StoreError> {
        disk::write_at(&file, &bytes_of([opened_ms, 0]), 0, &path)?;
        Ok(Self { file, path, end: Mutex::new(8) })
    }

    /// Adds beginnings of keys.
    pub(crate) fn add(&self, prefixes: &[u64]) -> Result<(), StoreError> {
        if prefixes.is_empty() {
            return Ok(());
        }
        let bytes = bytes_of(prefixes.iter().copied().chain([0]));
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        disk::write_at(&self.file, &bytes, *end, &self.path)?;
        *end += bytes.len() as u64 - 8;
        Ok(())
    }

    /// What is noted.
    pub(crate) fn read(&self) -> Result<Noted, StoreError> {
        let end = *self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = vec![0; end as usize];
        self.file.read_exact_at(&mut bytes, 0).map_err(StoreError::io("read", &self.path))?;
        Ok(Noted::parse(&bytes))
    }

    /// Whether the file still has its name.
    pub(crate) fn is_in_place(&self) -> bool {
        disk::is_at(&self.file, &self.path)
    }
}

/// What the file of a session says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// When it was opened; 0, older than all that may go, if it has just been taken.
    pub(crate) opened_ms: u64,
    /// Beginnings of the keys that it needs.
    pub(crate) prefixes: HashSet<u64>,
}

impl Noted {
    /// Whoever takes the file meanwhile has looked nothing up yet, so that older notes in place of its own keep only too much.
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
    fn notes_of_an_earlier_session_count_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.lock");
        let begin = |opened_ms| {
            let file = disk::open_or_create(&path).unwrap();
            Notes::begin(file, path.clone(), opened_ms).unwrap()
        };
        let noted = |opened_ms, prefixes: &[u64]| Noted { opened_ms, prefixes: prefixes.iter().copied().collect() };
        assert_eq!(Noted::read(&path), noted(0, &[]));
        let first = begin(5);
        first.add(&[7, 8]).unwrap();
        first.add(&[]).unwrap();
        first.add(&[9]).unwrap();
        assert_eq!(Noted::read(&path), noted(5, &[7, 8, 9]));
        assert_eq!(first.read().unwrap(), noted(5, &[7, 8, 9]));
        let second = begin(6);
        assert_eq!(Noted::read(&path), noted(6, &[]));
        fault::after(0);
        assert!(second.add(&[11, 12]).is_err());
        fault::off();
        second.add(&[10]).unwrap();
        assert_eq!(Noted::read(&path), noted(6, &[10]));
        assert_eq!(second.read().unwrap(), noted(6, &[10]));
    }
}
