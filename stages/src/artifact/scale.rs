//! The scale of heatmaps: a param of `threshold`, and the note `scale` of its table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The step at which a map is scaled to grey levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// After up-sampling: the largest value of the up-sampled map is 255.
    #[default]
    After,
    /// Before up-sampling: the largest value at native size is 255, as in Zhou's script.
    Before,
}

impl Scale {
    /// Its name in specs and notes.
    pub fn name(self) -> &'static str {
        match self {
            Self::After => "after",
            Self::Before => "before",
        }
    }

    /// The scale with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::After, Self::Before].into_iter().find(|scale| scale.name() == name)
    }
}
