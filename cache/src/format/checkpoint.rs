//! Checkpoints: what a stage that was stopped goes on from, in the folder `checkpoints/KEY/`.
//!
//! One file a step of the work, `epoch-000003.checkpoint`:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `orchckp1` |
//! | 32 | BLAKE3 digest of all that follows |
//! | 32 | the key |
//! | n | whatever the stage needs |
//!
//! A file is replaced as a whole and synced, so that a kill leaves an old one or a new one. The latest two are kept; one that is
//! damaged or of another key is passed over with a warning.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::disk::{self, finished_name};
use crate::format::layout::Layout;
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

const MAGIC: &[u8; 8] = b"orchckp1";
const DIGEST_END: usize = MAGIC.len() + 32;
const EXTENSION: &str = ".checkpoint";
const KEPT: usize = 2;
/// A longer file is no checkpoint.
const BYTES_MAX: u64 = 1 << 35;

/// Room that bytes leave at their start for what identifies them.
pub const CHECKPOINT_HEADER_BYTES: usize = DIGEST_END + 32;

/// The checkpoints of one key.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    key: ActionKey,
}

impl Checkpoints {
    /// Those in a folder, which need not exist.
    pub fn new(dir: &Path, key: ActionKey) -> Self {
        Self { dir: dir.to_owned(), key }
    }

    /// Makes a checkpoint after so many epochs durable and drops the oldest; the first [`CHECKPOINT_HEADER_BYTES`] of the
    /// bytes are overwritten, so that hundreds of megabytes need no copy.
    pub fn save(&self, epochs: usize, mut bytes: Vec<u8>) -> Result<(), StoreError> {
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[DIGEST_END..CHECKPOINT_HEADER_BYTES].copy_from_slice(self.key.0.as_bytes());
        let digest = Digest::of(&bytes[DIGEST_END..]);
        bytes[MAGIC.len()..DIGEST_END].copy_from_slice(digest.as_bytes());
        disk::create_folder_durably(&self.dir)?;
        disk::replace(&self.dir.join(format!("epoch-{epochs:06}{EXTENSION}")), &bytes, true)?;
        let files = files(&self.dir);
        for path in &files[..files.len().saturating_sub(KEPT)] {
            // One file too many does no harm.
            disk::remove_file(path).unwrap_or_else(|error| tracing::debug!("{error}"));
        }
        Ok(())
    }

    /// Removes them all, and their folder if nothing else lies there.
    pub fn remove(&self) -> Result<(), StoreError> {
        self.all_files()?.iter().try_for_each(|path| disk::remove_file(path))?;
        disk::remove_empty_dir(&self.dir).map(drop)
    }

    /// Their files, those that were never finished included.
    pub(crate) fn all_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let is_ours = |name: &str| is_name(finished_name(name).unwrap_or(name));
        let entries = disk::entries(&self.dir)?.into_iter();
        let files = entries.filter(|(name, kind)| kind.is_file() && name.to_str().is_some_and(is_ours));
        Ok(files.map(|(name, _)| self.dir.join(name)).collect())
    }

    /// The latest one that is whole and that `read` understands; it is given what the stage wrote.
    pub fn latest<T>(&self, mut read: impl FnMut(&[u8]) -> Result<T, String>) -> Option<T> {
        files(&self.dir).into_iter().rev().find_map(|path| {
            let bytes = disk::read(&path, BYTES_MAX).map_err(|error| error.to_string());
            let checkpoint = bytes.and_then(|bytes| {
                let (key, body) = open(&bytes)?;
                if key == self.key { read(body) } else { Err("it belongs to another key".to_owned()) }
            });
            checkpoint.map_err(|error| tracing::warn!("checkpoint {} is not used: {error}", path.display())).ok()
        })
    }
}

/// Checks a checkpoint; gives its key and what the stage wrote.
fn open(bytes: &[u8]) -> Result<(ActionKey, &[u8]), String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is no checkpoint")?;
    let (digest, sealed) = rest.split_first_chunk::<32>().ok_or("it is cut short")?;
    if Digest::of(sealed).as_bytes() != digest {
        return Err("its checksum does not fit".to_owned());
    }
    let (key, body) = sealed.split_first_chunk::<32>().ok_or("it is cut short")?;
    Ok((ActionKey(Digest::from_bytes(*key)), body))
}

/// What is wrong with a file in a key's folder, if it is one of these and anything is.
pub(crate) fn problem(path: &Path, key: &ActionKey) -> Option<String> {
    if !is_checkpoint(path) {
        return None;
    }
    let bytes = disk::read(path, BYTES_MAX).map_err(|error| format!("it cannot be read: {error}"));
    match bytes.and_then(|bytes| open(&bytes).map(|(found, _)| found)) {
        Ok(found) if found == *key => None,
        Ok(_) => Some("it belongs to another key".to_owned()),
        Err(error) => Some(error),
    }
}

/// Keys that have a folder for checkpoints.
pub(crate) fn keys(layout: &Layout) -> Result<Vec<ActionKey>, StoreError> {
    let entries = disk::entries(&layout.checkpoints())?.into_iter();
    let names = entries.filter(|(_, kind)| kind.is_dir()).filter_map(|(name, _)| name.into_string().ok());
    let mut keys: Vec<_> = names.filter_map(|name| name.parse().ok().map(ActionKey)).collect();
    keys.sort_unstable();
    Ok(keys)
}

/// Whether that is the name of a checkpoint.
pub(crate) fn is_name(name: &str) -> bool {
    let number = name.strip_prefix("epoch-").and_then(|rest| rest.strip_suffix(EXTENSION));
    number.is_some_and(|number| number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_checkpoint(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(is_name)
}

/// Paths of the checkpoints, the earliest epoch first; none where the folder cannot be read.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(|path| is_checkpoint(path)).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(body: &[u8]) -> Vec<u8> {
        [&[0; CHECKPOINT_HEADER_BYTES], body].concat()
    }

    fn latest(checkpoints: &Checkpoints) -> Option<Vec<u8>> {
        checkpoints.latest(|body| Ok(body.to_vec()))
    }

    #[test]
    fn the_latest_two_are_kept_and_one_that_is_cut_or_flipped_anywhere_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let key = ActionKey(Digest::of(b"key"));
        let checkpoints = Checkpoints::new(&dir.path().join("key"), key);
        for epochs in 1..=3 {
            checkpoints.save(epochs, checkpoint(&[epochs as u8; 9])).unwrap();
        }
        assert_eq!(latest(&checkpoints), Some(vec![3; 9]));
        let paths = files(&checkpoints.dir);
        assert_eq!(paths.len(), 2);
        let whole = fs::read(&paths[1]).unwrap();
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            for bytes in [&whole[..place], &flipped] {
                fs::write(&paths[1], bytes).unwrap();
                assert_eq!(latest(&checkpoints), Some(vec![2; 9]), "at {place}");
                assert!(problem(&paths[1], &key).is_some());
            }
        }
        let other = Checkpoints { key: ActionKey(Digest::of(b"other")), ..checkpoints };
        assert_eq!(latest(&other), None);
        assert!(problem(&paths[0], &other.key).is_some() && problem(&paths[0], &key).is_none());
    }
}
