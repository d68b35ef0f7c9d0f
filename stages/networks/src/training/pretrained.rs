//! `init = { weights = FILE }`: pretrained weights, such as torchvision's, or the result of another training.

use std::path::PathBuf;

use orchestrate_cache::external;
use orchestrate_engine::stage::{Action, FileName, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{StateDict, other_file, read_state_dict, start_of};

/// The name in the key of the file that `init.weights` names: its contents count, wherever it is.
pub(crate) const INIT_WEIGHTS: &str = "init.weights";

/// The source of weights before the first epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// A state dict with the trunk under torchvision's names: a safetensors file, or one by `torch.save` (`.pth`), of
    /// which nothing is executed. The state dict may lie under a key such as `state_dict` or `model`; a prefix such as
    /// `module.` goes if all names share it. 16- and 64-bit floats become f32. A head in it is ignored, and layers that
    /// a modified network adds may be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"), example = &"weights/vgg16.safetensors")]
    pub weights: Option<PathBuf>,
}

impl Init {
    /// The file as an external one of the stage; a file that is surely something else is refused before anything runs.
    pub(crate) fn files(&self) -> Result<Vec<FileName>, Vec<String>> {
        let Some(path) = &self.weights else { return Ok(Vec::new()) };
        // A file that cannot be opened is reported by the engine.
        let start = external::open(path, external::EXTERNAL_BYTES_MAX).and_then(|mut file| start_of(&mut file));
        match start.ok().as_deref().and_then(other_file) {
            Some(problem) => Err(vec![format!("{}: {problem}", path.display())]),
            None => Ok(vec![FileName::new(INIT_WEIGHTS, path)]),
        }
    }

    /// Reads the tensors of the file whose names are wanted; `None` if no file is named.
    pub(crate) fn read(action: &Action, wanted: impl Fn(&str) -> bool) -> Result<Option<StateDict>, StageError> {
        let Some(file) = action.file(INIT_WEIGHTS) else { return Ok(None) };
        let weights = read_state_dict(&file.path, wanted);
        // Checked before tensors or an error are used: the digest in the key must be of the contents that were read.
        file.check()?;
        weights.map(Some).map_err(|error| StageError::new(format!("{}: {error}", file.path.display())))
    }
}

/// A sentence on where in the file of pretrained weights its tensors lie, if it says more than their names.
pub(crate) fn told(pretrained: &StateDict) -> Option<String> {
    pretrained.remark.as_ref().map(|remark| format!("{INIT_WEIGHTS}: {remark}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_surely_no_file_of_weights_is_refused_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resnet18.pth");
        let files = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Init { weights: Some(path.clone()) }.files()
        };
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46830571\n";
        let problem = "it is a pointer of Git LFS in place of the weights; run `git lfs pull` where it was cloned";
        assert_eq!(files(pointer), Err(vec![format!("{}: {problem}", path.display())]));
        assert!(files(b"").is_err(), "it is empty");
        let named = Ok(vec![FileName::new(INIT_WEIGHTS, &path)]);
        assert_eq!(files(b"PK\x03\x04"), named, "its contents are read when the stage runs");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Init { weights: Some(path.clone()) }.files(), named, "the engine reports files that are missing");
        assert_eq!(Init::default().files(), Ok(Vec::new()));
    }
}
