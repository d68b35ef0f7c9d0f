//! `init = { weights = FILE }`: pretrained weights, such as torchvision's, or the result of another training.

use std::path::PathBuf;

use orchestrate_engine::stage::{Action, FileName, StageError};
use serde::{Deserialize, Serialize};

use crate::model::{Tensors, read_state_dict};

/// The name in the key of the file that `init.weights` names: its contents count, wherever it is.
pub(crate) const INIT_WEIGHTS: &str = "init.weights";

/// The source of weights before the first epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// A state dict with the trunk under torchvision's names: a safetensors file, or one by `torch.save` (`.pth`), of
    /// which nothing is executed. 16- and 64-bit floats become f32. A head in it is ignored, and layers that a modified
    /// network adds may be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
}

impl Init {
    /// The file as an external one of the stage.
    pub(crate) fn files(&self) -> Vec<FileName> {
        self.weights.iter().map(|path| FileName::new(INIT_WEIGHTS, path)).collect()
    }

    /// Reads the tensors of the file whose names are wanted; `None` if no file is named.
    pub(crate) fn read(action: &Action, wanted: impl Fn(&str) -> bool) -> Result<Option<Tensors>, StageError> {
        let Some(file) = action.file(INIT_WEIGHTS) else { return Ok(None) };
        let tensors = read_state_dict(&file.path, wanted);
        // Checked before tensors or an error are used: the digest in the key must be of the contents that were read.
        file.check()?;
        tensors.map(Some).map_err(|error| StageError::new(format!("{}: {error}", file.path.display())))
    }
}
