//! Parameters of `kind = "report"`.

use orchestrate_engine::params;
use serde::{Deserialize, Deserializer, Serialize};

use crate::tables::table::{Labels, fold};

/// Parameters of `kind = "report"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// The heading of the page; default: `"Report"`.
    pub title: String,
    /// Axes over which means are taken, a text or a list; default: `"fold"`. The other gathered axes but that of the
    /// threshold tell series apart.
    pub across: Labels,
    /// The axis along which thresholds vary; default: `"threshold"`.
    pub threshold: String,
    /// The threshold whose IoU ranks cases and fills the histograms; default: the first.
    #[serde(deserialize_with = "label")]
    pub at: Option<String>,
    /// Cases of each series and class beyond best, median and worst, as far as they fit; default 4.
    pub cases: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self { title: "Report".to_owned(), across: fold(), threshold: "threshold".to_owned(), at: None, cases: 4 }
    }
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
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.cases > 100 {
            problems.push(("cases", "more than 100 cases a series and class make a page too large to open".to_owned()));
        }
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
