//! Checkpoints: what a stopped training needs to go on to the same bytes.
//!
//! How such files are kept is the store's business ([`orchestrate_cache::Checkpoints`]); in each is, integers little-endian,
//! 3 × (8 + n) bytes: length and bytes of tensors (safetensors), state of the optimiser (burnpack), curve (Parquet).
//!
//! Failing to write one is a warning: it costs time after a kill, and the training is right without it.

use std::path::Path;

use burn::optim::ModuleOptimizer;
use burn::tensor::Bytes;
use orchestrate_cache::{ActionKey, CHECKPOINT_HEADER_BYTES};
use orchestrate_engine::stage::StageError;

use crate::artifact::{Curve, SegmentCurve, Table};
use crate::model::{Tensors, read_safetensors, write_safetensors};

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

    fn encode(&self) -> Result<Vec<u8>, StageError> {
        // A checkpoint may have hundreds of megabytes: it is laid out once, with room for the store's header.
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

    fn decode(mut rest: &[u8]) -> Result<Self, String> {
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

/// The checkpoints of one training.
pub(crate) struct Checkpoints(orchestrate_cache::Checkpoints);

impl Checkpoints {
    pub(crate) fn new(dir: &Path, key: ActionKey) -> Self {
        Self(orchestrate_cache::Checkpoints::new(dir, key))
    }

    /// The checkpoint of the latest epoch that can be used.
    pub(crate) fn latest<C: History>(&self) -> Option<Checkpoint<C>> {
        self.0.latest(Checkpoint::decode)
    }

    /// Writes a checkpoint and drops the oldest.
    pub(crate) fn save<C: History>(&self, checkpoint: &Checkpoint<C>) {
        let epochs = checkpoint.curve.epochs();
        let written = checkpoint.encode().map_err(|error| error.to_string());
        let written = written.and_then(|bytes| self.0.save(epochs, bytes).map_err(|error| error.to_string()));
        if let Err(error) = written {
            tracing::warn!("the checkpoint after epoch {epochs} is not kept: {error}");
        }
    }
}
