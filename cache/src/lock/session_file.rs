//! The session file `tmp/HOST-NUMBER.lock`: the lock of a session, its sign of life, and its notes.
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 8 | nonce, drawn when the session begins; 0 once it has ended |
//! | 8 | 8 | number of heartbeats so far; it grows only while the session is open for long (`heart.rs`) |
//! | 16 | 48 | name of the host, UTF-8, padded with zeros |
//! | 64 | 8 each | notes: the first eight bytes of each needed key, and of each large blob that was put; then a zero |
//!
//! Integers are little-endian. A note keeps a result or an object from collections until the session ends. The keys of
//! hits are noted before `use.lock` is given up. Those of new results are noted before their records are written, and a
//! collection reads notes after the index too: it knows no result without its note. An object is noted while `use.lock`
//! is held, as it may have no result yet. No clock takes part.
//!
//! The file outlives its session. The next session that takes it overwrites it from the start and cuts nothing, so a
//! run of hits costs three small writes; older numbers may follow the zero.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::error::{StoreError, is_gone};
use crate::files::disk;
use crate::lock::memory::lock;

/// A longer file is none: a run has fewer than a hundred million nodes.
const BYTES_MAX: u64 = 1 << 30;
/// Room for the name of a host.
const NAME_LEN: usize = 48;
/// Offset of the first note.
const NOTES_AT: u64 = 64;

/// A sign of life: it differs between sessions, and from one heartbeat to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sign {
    /// Differs between sessions; 0 if the session has ended.
    pub(crate) nonce: u64,
    pub(crate) beat: u64,
}

/// The file of this process's session.
#[derive(Debug)]
pub(crate) struct SessionFile {
    file: File,
    path: PathBuf,
    nonce: u64,
    beat: Mutex<u64>,
    /// Offset of the zero.
    end: Mutex<u64>,
}

impl SessionFile {
    /// Begins anew in a locked file.
    pub(crate) fn begin(file: File, path: PathBuf, host: &str) -> Result<Self, StoreError> {
        // No clock: a wrong one may show the same time twice.
        let nonce = RandomState::new().hash_one(&path).max(1);
        let mut name = host.as_bytes()[..host.floor_char_boundary(NAME_LEN)].to_vec();
        name.resize(NAME_LEN, 0);
        disk::write_at(&file, &[bytes_of([nonce, 0]), name, bytes_of([0])].concat(), 0, &path)?;
        Ok(Self { file, path, nonce, beat: Mutex::default(), end: Mutex::new(NOTES_AT) })
    }

    /// Adds notes.
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

    /// Shows that the session lives.
    pub(crate) fn beat(&self) -> Result<(), StoreError> {
        let mut beat = lock(&self.beat);
        *beat += 1;
        disk::write_at(&self.file, &bytes_of([*beat]), 8, &self.path)
    }

    /// Shows that the session has ended.
    pub(crate) fn end(&self) {
        if let Err(error) = disk::write_at(&self.file, &bytes_of([0]), 0, &self.path) {
            tracing::debug!("{error}");
        }
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Returns the notes of this session.
    pub(crate) fn read(&self) -> Result<Needs, StoreError> {
        Needs::read(&self.path).map(Option::unwrap_or_default)
    }

    /// Returns whether the file still has its name.
    pub(crate) fn is_in_place(&self) -> bool {
        disk::is_at(&self.file, &self.path)
    }
}

/// The content of a session file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) sign: Sign,
    /// Name of the host.
    pub(crate) host: String,
    /// Prefixes of the needed keys and blobs.
    pub(crate) notes: HashSet<u64>,
}

impl Needs {
    /// Reads a session file; `None` if it is gone.
    ///
    /// A session that takes the file meanwhile has looked nothing up yet, so older notes in it only keep too much.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        match disk::read(path, BYTES_MAX) {
            Ok(bytes) => Ok(Some(Self::parse(&bytes))),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(StoreError::io("read", path)(error)),
        }
    }

    fn parse(bytes: &[u8]) -> Self {
        let (head, notes) = bytes.split_at_checked(NOTES_AT as usize).unwrap_or((bytes, &[]));
        let numbers = |bytes: &[u8]| bytes.as_chunks().0.iter().copied().map(u64::from_le_bytes).collect::<Vec<_>>();
        let (sign, name) = head.split_at_checked(16).unwrap_or((head, &[]));
        let [nonce, beat] = numbers(sign).try_into().unwrap_or_default();
        let host = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
        let notes = numbers(notes).into_iter().take_while(|prefix| *prefix != 0).collect();
        Self { sign: Sign { nonce, beat }, host, notes }
    }
}

/// Reads the sign of life of a session; one that has ended, or is gone, has the nonce 0.
pub(crate) fn sign_of(path: &Path) -> Result<Sign, StoreError> {
    // Opened anew each time: a client of a file server then asks for the bytes anew.
    let file = match disk::open(path) {
        Err(error) if error.is_gone() => return Ok(Sign::default()),
        opened => opened?,
    };
    let mut head = [0; 16];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(Needs::parse(&head).sign),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Sign::default()),
        Err(error) => Err(StoreError::io("read", path)(error)),
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
        let begin = || {
            let file = disk::open_or_create(&path).unwrap();
            SessionFile::begin(file, path.clone(), "a-host").unwrap()
        };
        let notes = || {
            let mut notes: Vec<_> = Needs::read(&path).unwrap().unwrap().notes.into_iter().collect();
            notes.sort_unstable();
            notes
        };
        assert_eq!(Needs::read(&path).unwrap(), None);
        let first = begin();
        assert!(notes().is_empty());
        first.add(&[7, 8]).unwrap();
        first.add(&[]).unwrap();
        first.add(&[9]).unwrap();
        assert_eq!(notes(), [7, 8, 9]);
        assert_eq!(Needs::read(&path).unwrap().unwrap(), first.read().unwrap());
        let second = begin();
        assert!(notes().is_empty());
        fault::after(0);
        assert!(second.add(&[11, 12]).is_err());
        fault::off();
        second.add(&[10]).unwrap();
        assert_eq!(notes(), [10]);
    }

    #[test]
    fn a_session_shows_its_host_its_beats_and_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.lock");
        let file = SessionFile::begin(disk::open_or_create(&path).unwrap(), path.clone(), &"ö".repeat(40)).unwrap();
        let needs = file.read().unwrap();
        assert_eq!(needs.host, "ö".repeat(24), "as much as there is room for");
        assert_eq!(needs.sign, Sign { nonce: file.nonce(), beat: 0 });
        file.beat().unwrap();
        file.add(&[5]).unwrap();
        file.beat().unwrap();
        assert_eq!(sign_of(&path).unwrap(), Sign { nonce: file.nonce(), beat: 2 });
        file.end();
        let ended = file.read().unwrap();
        assert_eq!((ended.sign.nonce, ended.notes), (0, HashSet::from([5])));
        assert_eq!(sign_of(&dir.path().join("none")).unwrap(), Sign::default());
    }
}
