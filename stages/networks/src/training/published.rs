//! `init = { weights = FILE }`: weights that somebody published, or that another training gave.

use std::path::Path;

use orchestrate_engine::stage::{Action, FileName, StageError};

use crate::model::{Tensors, read_state_dict};

/// Name in the key of the file that `init.weights` names: wherever it lies, its contents count.
pub(crate) const INIT_WEIGHTS: &str = "init.weights";

/// The file as an external one of the stage.
pub(crate) fn files(path: Option<&Path>) -> Vec<FileName> {
    let file = path.map(|path| FileName::new(INIT_WEIGHTS, path));
    file.into_iter().collect()
}

/// The tensors of the file whose names are wanted; `None` where no file is named.
pub(crate) fn published(action: &Action, wanted: impl Fn(&str) -> bool) -> Result<Option<Tensors>, StageError> {
    let Some(file) = action.file(INIT_WEIGHTS) else { return Ok(None) };
    let tensors = read_state_dict(&file.path, wanted);
    // Before its tensors are believed, or what is wrong with them: the digest in the key is of these contents.
    file.check()?;
    tensors.map(Some).map_err(|error| StageError::new(format!("{}: {error}", file.path.display())))
}
