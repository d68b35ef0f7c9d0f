//! How a table is laid out, as written in a spec.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use orchestrate_engine::params;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::artifact::Statistic;

/// Parameters of `kind = "table"`.
///
/// A name is that of a gathered axis or of a column of the input: `label` (classes, with `all` first), `metric`, and the axes
/// that `classify` gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Names whose values make the rows, the first one slowest.
    #[serde(default)]
    pub rows: Vec<String>,
    /// Names whose values make the columns, the first one slowest.
    #[serde(default)]
    pub columns: Vec<String>,
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
    /// Values to keep, by name: `{ threshold = 200 }`, `{ label = ["glioma", "pituitary"] }`.
    #[serde(default)]
    pub only: BTreeMap<String, Labels>,
    /// Digits after the point, where people read the table.
    #[serde(default = "three")]
    pub digits: u8,
}

fn fold() -> Labels {
    Labels(vec!["fold".to_owned()])
}

fn three() -> u8 {
    3
}

impl params::Params for Params {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut seen = HashSet::new();
        for (field, names) in [("rows", &self.rows), ("columns", &self.columns)] {
            for name in names {
                if !seen.insert(name) {
                    problems.push((field, format!("`{name}` is in `rows` and `columns` more than once")));
                }
            }
        }
        match (self.statistic, self.at_most) {
            (Statistic::Share, None) => {
                problems.push(("statistic", "a share needs a bound, for example `at_most = 0.01`".to_owned()));
            }
            (Statistic::Mean, Some(_)) => {
                problems.push(("at_most", "a bound needs `statistic = \"share\"`".to_owned()));
            }
            (Statistic::Share, Some(bound)) if !bound.is_finite() => {
                problems.push(("at_most", "the bound must be a finite number".to_owned()));
            }
            _ => {}
        }
        if self.metric().is_some() && self.lays_out("metric") {
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
    /// The one metric that is asked for.
    pub(super) fn metric(&self) -> Option<&str> {
        self.value.as_deref().filter(|value| *value != "value")
    }

    /// Whether a name is among the rows or columns.
    pub(super) fn lays_out(&self, name: &str) -> bool {
        self.rows.iter().chain(&self.columns).any(|other| other == name)
    }
}

/// One label or a list of labels; numbers and truth values are labelled as axes label them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Labels(pub Vec<String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a label (a text, a number or a truth value) or a list of labels")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Labels, E> {
        Ok(Labels(vec![text.to_owned()]))
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Labels, E> {
        self.visit_str(&truth.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Labels, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Labels, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Labels, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Labels, A::Error> {
        let mut labels = Vec::new();
        while let Some(label) = sequence.next_element::<Labels>()? {
            labels.extend(label.0);
        }
        Ok(Labels(labels))
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
        let written = params(json!({ "rows": ["model"], "statistic": "share", "at_most": 0.5 }));
        assert_eq!(params(serde_json::to_value(&written).unwrap()), written);
        assert_eq!(params(json!({})).across.0, ["fold"]);
    }

    #[test]
    fn what_contradicts_itself_is_told() {
        let cases = [
            (json!({ "rows": ["a"], "columns": ["a"] }), "columns"),
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
