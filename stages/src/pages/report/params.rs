//! Parameters of `kind = "report"`.

use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::params;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::tables::table::{Labels, fold};

/// Parameters of `kind = "report"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// The heading of the page.
    #[schemars(example = &"Heatmaps as segmentations")]
    pub title: String,
    /// Axes over which means are taken. The other gathered axes but that of the threshold tell series apart.
    #[schemars(example = vec!["fold", "seed"])]
    pub across: Labels,
    /// The axis along which thresholds vary.
    #[schemars(example = &"level")]
    pub threshold: String,
    /// The threshold whose IoU ranks cases and fills the histograms; default: the first.
    #[serde(deserialize_with = "label")]
    #[schemars(schema_with = "one_label", example = 200)]
    pub at: Option<String>,
    /// Cases of each series and class beyond best, median and worst, as far as they fit. More than 100 make a page
    /// too large to open.
    #[schemars(example = 8)]
    pub cases: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self { title: "Report".to_owned(), across: fold(), threshold: "threshold".to_owned(), at: None, cases: 4 }
    }
}

/// The schema of one label.
fn one_label(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "number", "boolean"] })
}

/// Reads a label of an axis, which may be written as a number.
fn label<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let labels = Option::<Labels>::deserialize(deserializer)?;
    match labels.as_ref().map(|labels| labels.0.as_slice()) {
        None => Ok(None),
        Some([label]) => Ok(Some(label.clone())),
        Some(labels) => Err(serde::de::Error::invalid_length(labels.len(), &"one label")),
    }
}

impl params::Params for Params {
    const RANGES: &'static [(&'static str, Bounds)] = &[("cases", Bounds::from(0.0).to(100.0))];

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.across.0.contains(&self.threshold) {
            problems.push(("across", format!("`{}` is the axis of the threshold", self.threshold)));
        }
        problems
    }
}

impl Params {
    /// The word for one of the groups over which means are taken.
    pub(super) fn group(&self) -> String {
        if self.across.0 == ["fold"] { "fold".to_owned() } else { format!("value of {}", self.across.0.join(" × ")) }
    }

    /// The word for several groups.
    pub(super) fn groups(&self) -> String {
        if self.across.0 == ["fold"] { "folds".to_owned() } else { format!("values of {}", self.across.0.join(" × ")) }
    }
}
