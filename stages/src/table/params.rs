//! How a table is laid out, as written in a spec.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use orchestrate_engine::params;
use serde::{Deserialize, Serialize};

use super::label::{Dimension, Labels};
use super::layout::Layout;
use crate::artifact::Statistic;

/// Parameters of `kind = "table"`.
///
/// A name is that of a gathered axis or of a column of the input: `label` (classes, with `all` first), `metric`, and the axes
/// that `classify` gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What people call the table, for example `"Table 3. mIoU by threshold"`.
    #[serde(default)]
    pub title: Option<String>,
    /// Names whose values make the rows, the first one slowest. Several in brackets, `["model", "unet"]`, make one
    /// dimension: the label of an input is that of the first of these names along which it varies.
    #[serde(default)]
    pub rows: Vec<Dimension>,
    /// Names whose values make the columns, the first one slowest; as for `rows`.
    #[serde(default)]
    pub columns: Vec<Dimension>,
    /// What is shown: of scores a metric, `iou` unless `metric` is in `rows` or `columns`; of metrics their column `value`,
    /// which is the default, or one metric by its name.
    #[serde(default)]
    pub value: Option<String>,
    /// What is said about it: `"mean"` with standard deviation, or `"share"` of images that are at most `at_most`.
    #[serde(default)]
    pub statistic: Statistic,
    /// The bound of a share.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Names over which mean and standard deviation are taken: a text or a list.
    #[serde(default = "fold")]
    pub across: Labels,
    /// Values to keep, by name: `{ threshold = 200 }`, `{ label = ["glioma", "pituitary"] }`. Dimensions of several names go
    /// by the first of them.
    #[serde(default)]
    pub only: BTreeMap<String, Labels>,
    /// Published values to show below ours: a CSV file with columns named as the table's rows and columns, then `mean`
    /// and, where known, `sd` and `precision`; comment lines (`#`) at its top say where they come from.
    #[serde(default)]
    pub reference: Option<PathBuf>,
    /// Digits after the point, where people read the table.
    #[serde(default = "three")]
    pub digits: u8,
}

pub(super) fn fold() -> Labels {
    Labels(vec!["fold".to_owned()])
}

pub(super) fn three() -> u8 {
    3
}

impl params::Params for Params {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut seen = HashSet::new();
        for (field, dimensions) in [("rows", &self.rows), ("columns", &self.columns)] {
            for dimension in dimensions {
                if dimension.0.is_empty() {
                    problems.push((field, "a dimension without names; name at least one".to_owned()));
                }
                for name in dimension.0.iter().filter(|name| !seen.insert(name.as_str())) {
                    problems.push((field, format!("`{name}` is in `rows` and `columns` more than once")));
                }
            }
        }
        match (self.statistic, self.at_most) {
            (Statistic::Share, None) => {
                problems.push(("statistic", "a share needs a bound, for example `at_most = 0.01`".to_owned()));
            }
            (Statistic::Share, Some(bound)) if !bound.is_finite() => {
                problems.push(("at_most", "the bound must be a finite number".to_owned()));
            }
            (Statistic::Mean | Statistic::Difference, Some(_)) => {
                problems.push(("at_most", "a bound needs `statistic = \"share\"`".to_owned()));
            }
            _ => {}
        }
        let layout = self.layout();
        if layout.metric.is_some() && layout.lays_out("metric") {
            let message = "`value` is one metric, but `metric` in `rows` or `columns` shows them all; leave one out, or keep \
                           some metrics with `only = { metric = [\"…\"] }`";
            problems.push(("value", message.to_owned()));
        }
        if self.digits > 12 {
            problems.push(("digits", "digits must be at most 12".to_owned()));
        }
        for (name, labels) in &self.only {
            if labels.0.is_empty() {
                problems.push(("only", format!("`{name}` keeps no value; name at least one")));
            }
        }
        problems
    }
}

impl Params {
    /// What is laid out where.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            rows: self.rows.clone(),
            columns: self.columns.clone(),
            across: self.across.0.clone(),
            only: self.only.clone(),
            metric: self.value.clone().filter(|value| value != "value"),
            at_most: self.at_most,
        }
    }
}

#[cfg(test)]
mod tests {
    use orchestrate_engine::params::Params as _;
    use serde_json::json;

    use super::*;

    fn params(value: serde_json::Value) -> Params {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn labels_are_texts_numbers_or_lists_of_them() {
        let params = params(json!({ "across": "seed", "only": { "threshold": 200, "label": ["x", 1.5, true] } }));
        assert_eq!(params.across.0, ["seed"]);
        assert_eq!(params.only["threshold"].0, ["200"]);
        assert_eq!(params.only["label"].0, ["x", "1.5", "true"]);
    }

    #[test]
    fn params_survive_json() {
        let written =
            params(json!({ "rows": [["model", "unet"]], "columns": ["a"], "statistic": "share", "at_most": 0.5 }));
        assert_eq!(params(serde_json::to_value(&written).unwrap()), written);
        assert_eq!(params(json!({})).across.0, ["fold"]);
    }

    #[test]
    fn a_dimension_of_one_name_is_that_name() {
        let [plain, listed] = [json!({ "rows": ["model"] }), json!({ "rows": [["model"]] })].map(params);
        assert_eq!(serde_json::to_value(&listed).unwrap(), serde_json::to_value(&plain).unwrap());
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        let cases = [
            (json!({ "rows": ["a"], "columns": ["a"] }), "columns"),
            (json!({ "rows": [["a", "b", "a"]] }), "rows"),
            (json!({ "rows": [[]] }), "rows"),
            (json!({ "statistic": "share" }), "statistic"),
            (json!({ "at_most": 0.1 }), "at_most"),
            (json!({ "value": "iou", "columns": ["metric"] }), "value"),
            (json!({ "digits": 13 }), "digits"),
            (json!({ "only": { "label": [] } }), "only"),
        ];
        for (case, field) in cases {
            let problems = params(case.clone()).problems();
            assert_eq!(problems.iter().map(|(field, _)| *field).collect::<Vec<_>>(), [field], "{case}");
        }
        assert!(params(json!({ "rows": ["a"], "columns": ["b"] })).problems().is_empty());
    }
}
