//! Checkpoints: states from which a stopped stage resumes, in the folder `checkpoints/KEY/`.
//!
//! One file a step of the work, `epoch-000003.checkpoint`, is a [`Frame`] of the key and the stage's bytes:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `orchckp1` |
//! | 32 | BLAKE3 digest of all that follows |
//! | 32 | the key |
//! | n | the stage's state |
//!
//! A state may be code to the library that reads it, and it decides the result. So where trust is limited, only the
//! user's own checkpoints are used: they begin with `orchckp2`, and end with the stamp (32 bytes) of key and state.
//!
//! A file is replaced as a whole and synced, so a kill leaves the old one or the new one. The latest two are kept; one
//! that is damaged or of another key is skipped with a warning.

use std::fs::FileType;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::disk::{self, finished_name};
use crate::files::frame::{BrokenFrame, Checksum, Frame};
use crate::format::layout::Layout;
use crate::format::names::{is_checkpoint, is_digest};
use crate::trust::stamp::{STAMP_LEN, StampKey};
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

const FRAME: Frame = Frame { name: "checkpoint", magic: b"orchckp1", checksum: Checksum::Blake3 };
const STAMPED: Frame = Frame { magic: b"orchckp2", ..FRAME };
const KEPT: usize = 2;
/// A longer file is no checkpoint.
const BYTES_MAX: u64 = 1 << 35;

/// Precedes what a stamp covers.
const STAMP_OF: &[u8] = b"checkpoint\0";

/// Room at the start of a checkpoint for its header.
pub const CHECKPOINT_HEADER_BYTES: usize = FRAME.header_len() + 32;

/// The checkpoints of one key.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    key: ActionKey,
    stamp: Option<StampKey>,
}

impl Checkpoints {
    /// Makes the checkpoints of a key in a folder, existing or not.
    pub fn new(dir: &Path, key: ActionKey) -> Self {
        Self { dir: dir.to_owned(), key, stamp: None }
    }

    /// Stamps what is saved, and believes only what has this stamp.
    pub fn stamped(self, stamp: Option<StampKey>) -> Self {
        Self { stamp, ..self }
    }

    /// Makes the checkpoint after so many epochs durable, and drops the oldest.
    ///
    /// The header overwrites the first [`CHECKPOINT_HEADER_BYTES`], so hundreds of megabytes need no copy.
    pub fn save(&self, epochs: usize, mut bytes: Vec<u8>) -> Result<(), StoreError> {
        bytes[FRAME.header_len()..CHECKPOINT_HEADER_BYTES].copy_from_slice(self.key.0.as_bytes());
        let frame = if let Some(stamp) = &self.stamp {
            let stamp = stamp.stamp(&[STAMP_OF, &bytes[FRAME.header_len()..]]);
            bytes.extend(stamp);
            STAMPED
        } else {
            FRAME
        };
        frame.seal(&mut bytes);
        disk::create_folder_durably(&self.dir)?;
        disk::replace(&self.dir.join(format!("epoch-{epochs:06}.checkpoint")), &bytes, true)?;
        let files = files(&self.dir);
        for path in &files[..files.len().saturating_sub(KEPT)] {
            // One file too many does no harm.
            disk::remove_file(path).unwrap_or_else(|error| tracing::debug!("{error}"));
        }
        Ok(())
    }

    /// Removes all of them, and their folder if nothing else lies there.
    pub fn remove(&self) -> Result<(), StoreError> {
        self.all_files()?.iter().try_for_each(|path| disk::remove_file(path))?;
        disk::remove_empty_dir(&self.dir).map(drop)
    }

    /// Lists their files, unfinished ones included.
    pub(crate) fn all_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let is_ours = |name: &str| is_checkpoint(finished_name(name).unwrap_or(name));
        let names = disk::list_if(&self.dir, FileType::is_file, is_ours)?;
        Ok(names.into_iter().map(|name| self.dir.join(name)).collect())
    }

    /// Returns the latest intact checkpoint for which `read` succeeds; `read` gets the stage's state.
    pub fn latest<T>(&self, mut read: impl FnMut(&[u8]) -> Result<T, String>) -> Option<T> {
        files(&self.dir).into_iter().rev().find_map(|path| {
            let bytes = disk::read(&path, BYTES_MAX).map_err(|error| error.to_string());
            let checkpoint = bytes.and_then(|bytes| read(self.open(&bytes)?));
            checkpoint.map_err(|error| tracing::warn!("checkpoint {} is not used: {error}", path.display())).ok()
        })
    }

    /// Returns the epochs that the latest checkpoint has behind it, by its name; nothing is read.
    pub fn epochs_done(&self) -> Option<usize> {
        let latest = files(&self.dir).pop()?;
        let name = latest.file_name()?.to_str()?;
        name.split(['-', '.']).nth(1)?.parse().ok()
    }

    /// Returns the stage's state in an intact checkpoint of this key.
    fn open<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], String> {
        let cut = || BrokenFrame::Cut.to_string();
        let is_stamped = bytes.starts_with(STAMPED.magic);
        let frame = if is_stamped { STAMPED } else { FRAME };
        let content = frame.open(bytes).map_err(|error| error.to_string())?;
        let (content, stamp) = match is_stamped {
            true => content
                .split_last_chunk::<STAMP_LEN>()
                .map(|(content, stamp)| (content, Some(stamp)))
                .ok_or_else(cut)?,
            false => (content, None),
        };
        if self.stamp.as_ref().is_some_and(|key| Some(&key.stamp(&[STAMP_OF, content])) != stamp) {
            return Err("your key has not stamped it, and `[store.trust]` is set".to_owned());
        }
        let (key, state) = content.split_first_chunk().ok_or_else(cut)?;
        let is_ours = self.key == ActionKey(Digest::from_bytes(*key));
        if is_ours { Ok(state) } else { Err("it belongs to another key".to_owned()) }
    }

    /// Returns the damage of a checkpoint's bytes, if there is any.
    pub(crate) fn problem(&self, bytes: &[u8]) -> Option<String> {
        self.open(bytes).err()
    }
}

/// Lists the keys with a folder for checkpoints, sorted.
pub(crate) fn keys(layout: &Layout) -> Result<Vec<ActionKey>, StoreError> {
    let names = disk::list_if(&layout.checkpoints(), FileType::is_dir, is_digest)?;
    Ok(names.iter().filter_map(|name| name.parse().ok().map(ActionKey)).collect())
}

/// Lists the paths of checkpoints, the earliest epoch first; none if the folder cannot be read.
fn files(dir: &Path) -> Vec<PathBuf> {
    let names = disk::list(dir).unwrap_or_default();
    names.into_iter().filter(|name| is_checkpoint(name)).map(|name| dir.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::trust::private_key::PrivateKey;

    fn checkpoint(body: &[u8]) -> Vec<u8> {
        [&[0; CHECKPOINT_HEADER_BYTES], body].concat()
    }

    fn latest(checkpoints: &Checkpoints) -> Option<Vec<u8>> {
        checkpoints.latest(|body| Ok(body.to_vec()))
    }

    #[test]
    fn the_latest_two_are_kept_and_one_that_is_cut_or_flipped_anywhere_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let key = ActionKey(Digest::of(b"key"));
        let checkpoints = Checkpoints::new(&dir.path().join("key"), key);
        for epochs in 1..=3 {
            checkpoints.save(epochs, checkpoint(&[epochs as u8; 9])).unwrap();
        }
        assert_eq!(latest(&checkpoints), Some(vec![3; 9]));
        assert_eq!(checkpoints.epochs_done(), Some(3));
        assert_eq!(Checkpoints::new(&dir.path().join("other"), key).epochs_done(), None);
        let paths = files(&checkpoints.dir);
        assert_eq!(paths.len(), 2);
        let whole = fs::read(&paths[1]).unwrap();
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            for bytes in [&whole[..place], &flipped] {
                fs::write(&paths[1], bytes).unwrap();
                assert_eq!(latest(&checkpoints), Some(vec![2; 9]), "at {place}");
                assert!(checkpoints.problem(bytes).is_some() && checkpoints.problem(&whole).is_none());
            }
        }
        let other = Checkpoints { key: ActionKey(Digest::of(b"other")), ..checkpoints };
        assert_eq!(latest(&other), None);
        assert!(other.problem(&whole).is_some());
    }

    #[test]
    fn under_limited_trust_only_ones_own_checkpoints_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = || Some(PrivateKey::generate().unwrap().stamp_key());
        let (alice, mallory) = (stamp(), stamp());
        let checkpoints = Checkpoints::new(&dir.path().join("key"), ActionKey(Digest::of(b"key")));
        let [own, other] = [&alice, &mallory].map(|stamp| checkpoints.clone().stamped(stamp.clone()));
        own.save(1, checkpoint(b"mine")).unwrap();
        assert_eq!(latest(&own).as_deref(), Some(&b"mine"[..]));
        assert_eq!(latest(&checkpoints).as_deref(), Some(&b"mine"[..]), "without a limit everybody's are used");
        for planted in [&other, &checkpoints] {
            planted.save(2, checkpoint(b"planted")).unwrap();
            assert_eq!(latest(&own).as_deref(), Some(&b"mine"[..]));
            let is_sound = |path: &PathBuf| checkpoints.problem(&fs::read(path).unwrap()).is_none();
            assert!(files(&checkpoints.dir).iter().all(is_sound));
        }
        // A stamp belongs to one key and one state.
        let path = dir.path().join("key/epoch-000001.checkpoint");
        let whole = fs::read(&path).unwrap();
        for place in FRAME.header_len()..whole.len() {
            let mut forged = whole.clone();
            forged[place] ^= 1;
            STAMPED.seal(&mut forged);
            fs::write(&path, forged).unwrap();
            assert_eq!(latest(&own), None, "at {place}");
        }
    }
}
