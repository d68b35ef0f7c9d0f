//! A node before it runs, as far as the plan knows it.

use super::error::StageError;

/// A node before it runs.
pub trait PlannedNode {
    /// Returns the kind of its stage.
    fn kind(&self) -> &'static str;

    /// Returns its checked params, paths absolute.
    fn params(&self) -> &serde_json::Value;

    /// Returns the artifacts that it will find at a port, in order; none if the port is not connected.
    fn items(&self, port: &str) -> Vec<PlannedItem<'_>>;
}

/// An artifact at a port, before it is made.
pub struct PlannedItem<'p> {
    /// The name of the output.
    pub output: &'p str,
    /// Axis and value label of each gathered axis, as [`Item`](super::Item) will have them.
    pub labels: Vec<(&'p str, &'p str)>,
    /// The node that makes it.
    pub node: Box<dyn PlannedNode + 'p>,
}

/// A contradiction between the params of a stage and its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputProblem {
    /// The param, or the port, that is wrong.
    pub at: &'static str,
    /// The text within the value of the param that is wrong, such as one name of a list.
    pub written: Option<String>,
    /// One sentence.
    pub message: String,
}

impl InputProblem {
    /// Makes a problem of a param.
    pub fn param(param: &'static str, message: impl Into<String>) -> Self {
        Self { at: param, written: None, message: message.into() }
    }

    /// Makes a problem of a port.
    pub fn port(port: &'static str, message: impl std::fmt::Display) -> Self {
        Self::param(port, format!("input `{port}`: {message}"))
    }

    /// Names the text within the param that is wrong.
    #[must_use]
    pub fn written(self, text: impl Into<String>) -> Self {
        Self { written: Some(text.into()), ..self }
    }

    /// Makes the failure of a node that runs nevertheless.
    pub fn failure(self) -> StageError {
        StageError::new(self.message)
    }
}
