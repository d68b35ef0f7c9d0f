//! What a tidy table of a stage is merged from: one file of every point.

use serde_json::Value;

use crate::stage::InputFile;

/// One file of one point.
#[derive(Clone, Debug)]
pub struct TidyPoint {
    /// The values of the stage's axes, in their order: integers, floats, truth values and texts.
    pub values: Vec<Value>,
    /// The file.
    pub file: InputFile,
}
