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
//! kept; one that is damaged or of another key is passed over with a warning. Failing to write one is a warning too: it costs
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
        let (tensors, curve) = (write_safetensors(&self.tensors), self.curve.encode()?);
        let mut bytes = [MAGIC.as_slice(), &[0; DIGEST_BYTES], key.0.as_bytes()].concat();
        for section in [tensors.as_slice(), &self.optimizer, &curve] {
            bytes.extend((section.len() as u64).to_le_bytes());
            bytes.extend(section);
        }
        let body = MAGIC.len() + DIGEST_BYTES;
        let digest = Digest::of(&bytes[body..]);
        bytes[MAGIC.len()..body].copy_from_slice(digest.as_bytes());
        Ok(bytes)
    }

    fn decode(bytes: &[u8], key: ActionKey) -> Result<Self, String> {
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

/// The checkpoints of one training.
pub(crate) struct Checkpoints {
    dir: PathBuf,
    key: ActionKey,
}

impl Checkpoints {
    pub(crate) fn new(dir: &Path, key: ActionKey) -> Self {
        Self { dir: dir.to_owned(), key }
    }

    /// The checkpoint of the latest epoch that can be used.
    pub(crate) fn latest<C: History>(&self) -> Option<Checkpoint<C>> {
        self.files().into_iter().rev().find_map(|path| {
            let read = fs::read(&path).map_err(|error| error.to_string());
            match read.and_then(|bytes| Checkpoint::decode(&bytes, self.key)) {
                Ok(checkpoint) => Some(checkpoint),
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
