//! Checkpoints: the state from which a stopped training continues to the same bytes.
//!
//! The store keeps the files ([`orchestrate_cache::Checkpoints`]). The body of each is three sections: tensors
//! (safetensors), state of the optimiser (burnpack), curve (Parquet). A section is its length, 8 bytes little-endian,
//! then its bytes.
//!
//! A checkpoint that cannot be restored is skipped with a warning. So is one that cannot be written: it costs time
//! after a kill, but the training is right without it.

use std::path::Path;

use burn::optim::ModuleOptimizer;
use burn::tensor::Bytes;
use orchestrate_cache::{ActionKey, CHECKPOINT_HEADER_BYTES, StampKey};
use orchestrate_engine::stage::StageError;
use orchestrate_stages::artifact::{Epochs, Figure, Table};

use crate::model::{Tensors, read_safetensors, write_safetensors};

/// The state of a training after an epoch.
pub(crate) struct Checkpoint<F> {
    pub(crate) tensors: Tensors,
    pub(crate) curve: Epochs<F>,
    optimizer: Bytes,
}

impl<F: Figure> Checkpoint<F> {
    pub(crate) fn new(tensors: Tensors, optimizer: &ModuleOptimizer, curve: Epochs<F>) -> Result<Self, StageError> {
        let optimizer = optimizer.into_bytes().map_err(|error| {
            StageError::new(format!("the state of the optimiser cannot be written to a checkpoint: {error}"))
        })?;
        Ok(Self { tensors, curve, optimizer })
    }

    /// Returns the optimiser with the state of the checkpoint.
    pub(crate) fn restore(&self, optimizer: ModuleOptimizer) -> Result<ModuleOptimizer, StageError> {
        optimizer.from_bytes(self.optimizer.clone()).map_err(|error| {
            StageError::new(format!("the state of the optimiser cannot be read from a checkpoint: {error}"))
        })
    }

    fn encode(&self) -> Result<Vec<u8>, StageError> {
        // A checkpoint may have hundreds of megabytes, so its bytes are laid out once, with room for the store's
        // header.
        let mut bytes = vec![0; CHECKPOINT_HEADER_BYTES];
        let mut append = |section: &[u8]| {
            bytes.extend((section.len() as u64).to_le_bytes());
            bytes.extend(section);
        };
        append(&write_safetensors(&self.tensors));
        append(&self.optimizer);
        append(&self.curve.encode()?);
        Ok(bytes)
    }

    pub(crate) fn decode(mut rest: &[u8]) -> Result<Self, String> {
        let mut section = || {
            let (length, after) = rest.split_first_chunk::<8>().ok_or("a section is missing")?;
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| "a section is too long")?;
            let (section, after) = after.split_at_checked(length).ok_or("a section is cut short")?;
            rest = after;
            Ok::<_, String>(section)
        };
        let tensors = read_safetensors(section()?)?;
        let optimizer = Bytes::from_bytes_vec(section()?.to_vec());
        let curve = Epochs::decode(section()?).map_err(|error| error.to_string())?;
        Ok(Self { tensors, curve, optimizer })
    }
}

/// The checkpoints of one training.
pub(crate) struct Checkpoints(orchestrate_cache::Checkpoints);

impl Checkpoints {
    pub(crate) fn new(dir: &Path, key: ActionKey) -> Self {
        Self(orchestrate_cache::Checkpoints::new(dir, key))
    }

    /// Stamps what is saved, and restores only what has this stamp.
    pub(crate) fn stamped(self, stamp: Option<StampKey>) -> Self {
        Self(self.0.stamped(stamp))
    }

    /// Restores the latest usable checkpoint; `None` if there is none.
    ///
    /// A checkpoint that `restore` refuses is skipped like a damaged one: another version of a library may be unable to
    /// read it, and then the training starts afresh instead of failing for ever.
    pub(crate) fn resume<F: Figure, T>(
        &self,
        mut restore: impl FnMut(Checkpoint<F>) -> Result<T, StageError>,
    ) -> Option<T> {
        self.0.latest(|body| restore(Checkpoint::decode(body)?).map_err(|error| error.to_string()))
    }

    /// Writes a checkpoint and removes the oldest.
    pub(crate) fn save<F: Figure>(&self, checkpoint: &Checkpoint<F>) {
        let epochs = checkpoint.curve.epochs.len();
        let written = checkpoint.encode().map_err(|error| error.to_string());
        let written = written.and_then(|bytes| self.0.save(epochs, bytes).map_err(|error| error.to_string()));
        if let Err(error) = written {
            tracing::warn!("the checkpoint after epoch {epochs} is not kept: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use orchestrate_cache::Digest;

    use super::*;
    use crate::model::Values;
    use crate::training::{OptimizerKind, optimizer};
    use orchestrate_stages::artifact::{Curve, Epoch};

    const KEY: ActionKey = ActionKey(Digest::from_bytes([7; 32]));

    fn checkpoint(epochs: u32) -> Checkpoint<f64> {
        let values = Values { shape: vec![2], values: vec![0.5, epochs as f32] };
        let tensors = Tensors::from([("head.bias".to_owned(), values)]);
        let epoch = |epoch| Epoch { epoch, learning_rate: 0.1, train_loss: 1.0, validation_loss: 1.0, figure: 0.5 };
        let curve = Curve { epochs: (1..=epochs).map(epoch).collect() };
        Checkpoint::new(tensors, &optimizer::optimizer(OptimizerKind::Adam, 0.0, 0.0), curve).unwrap()
    }

    fn epochs(checkpoints: &Checkpoints) -> Option<usize> {
        checkpoints.resume(|checkpoint: Checkpoint<f64>| Ok(checkpoint.curve.epochs.len()))
    }

    /// Behind a right checksum, so that lengths and contents of the sections are checked.
    #[test]
    fn sections_that_do_not_fit_are_an_error() {
        let whole = checkpoint(2).encode().unwrap();
        let sections = &whole[CHECKPOINT_HEADER_BYTES..];
        assert!(Checkpoint::<f64>::decode(sections).is_ok());
        for end in 0..sections.len() {
            assert!(Checkpoint::<f64>::decode(&sections[..end]).is_err(), "cut at {end}");
        }
        for place in 0..sections.len() {
            let mut changed = sections.to_vec();
            changed[place] ^= 0x81;
            // A changed number is read without an error.
            let _ = Checkpoint::<f64>::decode(&changed);
        }
    }

    #[test]
    fn an_unusable_checkpoint_is_skipped_for_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(dir.path(), KEY);
        assert_eq!(epochs(&checkpoints), None);
        (1..=4).for_each(|epochs| checkpoints.save(&checkpoint(epochs)));
        // The half of a checkpoint whose writer was killed.
        fs::write(dir.path().join("epoch-000005.checkpoint.tmp"), b"orchckp1").unwrap();
        assert_eq!(epochs(&checkpoints), Some(4));
        let refuse_4 = |checkpoint: Checkpoint<f64>| match checkpoint.curve.epochs.len() {
            4 => Err(StageError::new("the optimiser of a later version")),
            epochs => Ok(epochs),
        };
        assert_eq!(checkpoints.resume(refuse_4), Some(3));
        fs::write(dir.path().join("epoch-000004.checkpoint"), b"").unwrap();
        assert_eq!(epochs(&checkpoints), Some(3));
        assert_eq!(epochs(&Checkpoints::new(dir.path(), ActionKey(Digest::of(b"other")))), None);
    }
}
