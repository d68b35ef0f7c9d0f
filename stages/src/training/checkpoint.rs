//! Checkpoints: what a stopped training needs to go on to the same bytes.
//!
//! One file an epoch, `epoch-000003.checkpoint`, in a folder that belongs to one key. Layout, integers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `orchckp1` |
//! | 32 | BLAKE3 digest of all that follows |
//! | 32 | the key of the training |
//! | 3 × (8 + n) | length and bytes of: tensors (safetensors), state of the optimiser (burnpack), curve (Parquet) |
//!
//! A file is written beside its place, synced and renamed, so that a kill leaves an old one or a new one. The latest two are
//! kept; one that is damaged, of another key or
//! that cannot be restored is passed over with a warning. Failing to write one is a warning too: it costs
//! time after a kill, and the training is right without it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use burn::optim::ModuleOptimizer;
use burn::tensor::Bytes;
use orchestrate_cache::{ActionKey, Digest};
use orchestrate_engine::stage::StageError;

use crate::artifact::{Curve, SegmentCurve, Table};
use crate::model::{Tensors, read_safetensors, write_safetensors};

const MAGIC: &[u8; 8] = b"orchckp1";
const DIGEST_BYTES: usize = 32;
const KEPT: usize = 2;

/// How a training went so far, one row an epoch.
pub(crate) trait History: Table {
    /// Epochs that are done.
    fn epochs(&self) -> usize;
}

impl History for Curve {
    fn epochs(&self) -> usize {
        self.epochs.len()
    }
}

impl History for SegmentCurve {
    fn epochs(&self) -> usize {
        self.epochs.len()
    }
}

/// The state of a training after an epoch.
pub(crate) struct Checkpoint<C> {
    pub(crate) tensors: Tensors,
    pub(crate) curve: C,
    optimizer: Bytes,
}

impl<C: History> Checkpoint<C> {
    pub(crate) fn new(tensors: Tensors, optimizer: &ModuleOptimizer, curve: C) -> Result<Self, StageError> {
        let optimizer = optimizer.into_bytes().map_err(|error| {
            StageError::new(format!("the state of the optimiser cannot be written to a checkpoint: {error}"))
        })?;
        Ok(Self { tensors, curve, optimizer })
    }

    /// Gives an optimiser the state that it had.
    pub(crate) fn restore(&self, optimizer: ModuleOptimizer) -> Result<ModuleOptimizer, StageError> {
        optimizer.from_bytes(self.optimizer.clone()).map_err(|error| {
            StageError::new(format!("the state of the optimiser cannot be read from a checkpoint: {error}"))
        })
    }

    fn encode(&self, key: ActionKey) -> Result<Vec<u8>, StageError> {
        // A checkpoint may have hundreds of megabytes: it is laid out once, and its digest is filled in after.
        let mut bytes = MAGIC.to_vec();
        bytes.extend([0; DIGEST_BYTES]);
        let body = bytes.len();
        bytes.extend(key.0.as_bytes());
        let mut append = |section: &[u8]| {
            bytes.extend((section.len() as u64).to_le_bytes());
            bytes.extend(section);
        };
        append(&write_safetensors(&self.tensors));
        append(&self.optimizer);
        append(&self.curve.encode()?);
        let digest = Digest::of(&bytes[body..]);
        bytes[MAGIC.len()..body].copy_from_slice(digest.as_bytes());
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8], key: ActionKey) -> Result<Self, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("it is no checkpoint")?;
        let (digest, body) = rest.split_at_checked(DIGEST_BYTES).ok_or("it is cut short")?;
        if Digest::of(body).as_bytes() != digest {
            return Err("its checksum does not fit".to_owned());
        }
        let (found, mut rest) = body.split_at_checked(DIGEST_BYTES).ok_or("it is cut short")?;
        if found != key.0.as_bytes() {
            return Err("it belongs to another training".to_owned());
        }
        let mut section = || {
            let (length, after) = rest.split_first_chunk::<8>().ok_or("a section is missing")?;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| "a section is too long")?;
            let (section, after) = after.split_at_checked(length).ok_or("a section is cut short")?;
            rest = after;
            Ok::<_, String>(section)
        };
        let tensors = read_safetensors(section()?)?;
        let optimizer = Bytes::from_bytes_vec(section()?.to_vec());
        let curve = C::decode(section()?).map_err(|error| error.to_string())?;
        Ok(Self { tensors, curve, optimizer })
    }
}

/// A checkpoint with these bytes after its key, behind a right checksum.
#[cfg(any(test, fuzzing))]
pub(crate) fn sealed(key: ActionKey, sections: &[u8]) -> Vec<u8> {
    let body = [key.0.as_bytes(), sections].concat();
    [&MAGIC[..], Digest::of(&body).as_bytes(), &body].concat()
}

/// The checkpoints of one training.
pub(crate) struct Checkpoints {
    dir: PathBuf,
    key: ActionKey,
}

impl Checkpoints {
    pub(crate) fn new(dir: &Path, key: ActionKey) -> Self {
        Self { dir: dir.to_owned(), key }
    }

    /// What `restore` makes of the latest checkpoint that can be used.
    ///
    /// One that `restore` refuses is passed over as a damaged one is: a later version of a library may not read it, and then
    /// the training starts afresh and does not fail for ever.
    pub(crate) fn resume<C: History, T>(
        &self,
        mut restore: impl FnMut(Checkpoint<C>) -> Result<T, StageError>,
    ) -> Option<T> {
        self.files().into_iter().rev().find_map(|path| {
            let read = fs::read(&path).map_err(|error| error.to_string());
            let checkpoint = read.and_then(|bytes| Checkpoint::decode(&bytes, self.key));
            match checkpoint.and_then(|checkpoint| restore(checkpoint).map_err(|error| error.to_string())) {
                Ok(restored) => Some(restored),
                Err(error) => {
                    tracing::warn!("checkpoint {} is not used: {error}", path.display());
                    None
                }
            }
        })
    }

    /// Writes a checkpoint and drops the oldest.
    pub(crate) fn save<C: History>(&self, checkpoint: &Checkpoint<C>) {
        let name = format!("epoch-{:06}.checkpoint", checkpoint.curve.epochs());
        let written = checkpoint
            .encode(self.key)
            .map_err(|error| error.to_string())
            .and_then(|bytes| self.write(&name, &bytes).map_err(|error| error.to_string()));
        match written {
            Ok(()) => self.drop_oldest(),
            Err(error) => tracing::warn!("cannot write checkpoint {}: {error}", self.dir.join(name).display()),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let partial = self.dir.join(format!("{name}.tmp"));
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, self.dir.join(name))?;
        File::open(&self.dir)?.sync_all()
    }

    fn drop_oldest(&self) {
        let files = self.files();
        for path in &files[..files.len().saturating_sub(KEPT)] {
            // One file too many does no harm.
            let _ = fs::remove_file(path);
        }
    }

    /// Paths of the checkpoints, the earliest epoch first; none where the folder cannot be read.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "checkpoint"))
            .collect();
        paths.sort();
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Epoch;
    use crate::model::Values;
    use crate::train::OptimizerKind;
    use crate::training::optimizer;

    const KEY: ActionKey = ActionKey(Digest::from_bytes([7; 32]));

    fn checkpoint(epochs: u32) -> Checkpoint<Curve> {
        let values = Values { shape: vec![2], values: vec![0.5, epochs as f32] };
        let tensors = Tensors::from([("head.bias".to_owned(), values)]);
        let epoch = |epoch| Epoch {
            epoch,
            learning_rate: 0.1,
            train_loss: 1.0,
            validation_loss: 1.0,
            validation_accuracy: 0.5,
        };
        let curve = Curve { epochs: (1..=epochs).map(epoch).collect() };
        Checkpoint::new(tensors, &optimizer(OptimizerKind::Adam, 0.0, 0.0), curve).unwrap()
    }

    fn epochs(checkpoints: &Checkpoints) -> Option<usize> {
        checkpoints.resume(|checkpoint: Checkpoint<Curve>| Ok(checkpoint.curve.epochs.len()))
    }

    /// What a kill or a bad disk can leave: the file ends anywhere, or has a wrong byte anywhere.
    #[test]
    fn a_checkpoint_that_is_cut_or_changed_anywhere_is_not_used() {
        let whole = checkpoint(3).encode(KEY).unwrap();
        assert!(Checkpoint::<Curve>::decode(&whole, KEY).is_ok());
        for place in 0..whole.len() {
            assert!(Checkpoint::<Curve>::decode(&whole[..place], KEY).is_err(), "cut at {place}");
            let mut changed = whole.clone();
            changed[place] ^= 1 << (place % 8);
            assert!(Checkpoint::<Curve>::decode(&changed, KEY).is_err(), "changed at {place}");
        }
    }

    /// Its checksum is right, so that lengths and contents of the sections are looked at.
    #[test]
    fn sections_that_do_not_fit_are_an_error() {
        let whole = checkpoint(2).encode(KEY).unwrap();
        let sections = &whole[MAGIC.len() + 2 * DIGEST_BYTES..];
        assert!(Checkpoint::<Curve>::decode(&sealed(KEY, sections), KEY).is_ok());
        for end in 0..sections.len() {
            assert!(Checkpoint::<Curve>::decode(&sealed(KEY, &sections[..end]), KEY).is_err(), "cut at {end}");
        }
        for place in 0..sections.len() {
            let mut changed = sections.to_vec();
            changed[place] ^= 0x81;
            // Some bytes are only numbers.
            let _ = Checkpoint::<Curve>::decode(&sealed(KEY, &changed), KEY);
        }
    }

    #[test]
    fn what_cannot_be_used_is_passed_over_for_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(dir.path(), KEY);
        assert_eq!(epochs(&checkpoints), None);
        (1..=4).for_each(|epochs| checkpoints.save(&checkpoint(epochs)));
        assert_eq!(checkpoints.files().len(), KEPT);
        // Half of one that was being written.
        fs::write(dir.path().join("epoch-000005.checkpoint.tmp"), b"orchckp1").unwrap();
        assert_eq!(epochs(&checkpoints), Some(4));
        let refuse_4 = |checkpoint: Checkpoint<Curve>| match checkpoint.curve.epochs.len() {
            4 => Err(StageError::new("the optimiser of a later version")),
            epochs => Ok(epochs),
        };
        assert_eq!(checkpoints.resume(refuse_4), Some(3));
        fs::write(dir.path().join("epoch-000004.checkpoint"), b"").unwrap();
        assert_eq!(epochs(&checkpoints), Some(3));
        assert_eq!(epochs(&Checkpoints::new(dir.path(), ActionKey(Digest::of(b"other")))), None);
    }
}
