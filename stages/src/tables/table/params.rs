//! Parameters of `kind = "table"`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::label::{Dimension, Labels};
use super::lesion::LesionSizes;
use super::query::Query;
use crate::artifact::Statistic;
use crate::tables::bootstrap::{self, Bootstrap};

/// Parameters of `kind = "table"`.
///
/// A name is a gathered axis or a column of the input: `label` (classes, with `all` first), `metric`,
/// `lesion_size` (if `lesion_sizes` is set, with `all` first), and the axes that `classify` gathered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The title of the table.
    #[schemars(example = &"Table 3. mIoU by threshold")]
    pub title: Option<String>,
    /// Names whose values make the rows, the first one slowest. Several in brackets, `["model", "unet"]`, make one
    /// dimension: the label of an input is that of the first of these names along which it varies.
    #[serde(default)]
    #[schemars(example = vec!["model"])]
    pub rows: Vec<Dimension>,
    /// Names whose values make the columns, the first one slowest; as for `rows`.
    #[serde(default)]
    #[schemars(example = vec!["threshold"])]
    pub columns: Vec<Dimension>,
    /// The metric: of scores `iou` by default, unless `metric` is in `rows` or `columns`; of metrics their column
    /// `value` by default, or one metric by its name. Scores have `iou`, `dice`, `precision` and `recall`, and metrics
    /// of classes `accuracy`, `precision`, `recall` and `f1`.
    #[schemars(example = &"dice")]
    pub value: Option<String>,
    /// The statistic in each cell.
    #[serde(default)]
    pub statistic: Statistic,
    /// The bound of a share: images with a value up to it count.
    #[schemars(example = 0.01)]
    pub at_most: Option<f64>,
    /// Names over which mean and standard deviation are taken: a text or a list, `["fold", "seed"]`. Each fold and seed
    /// has one value, its mean over images, and all of them count alike.
    #[serde(default = "fold")]
    #[schemars(example = vec!["fold", "seed"])]
    pub across: Labels,
    /// Values to keep, by name of an axis or column: one value or a list. Dimensions of several names go by the first
    /// of them. Default: all.
    #[serde(default)]
    #[schemars(example = serde_json::json!({ "label": ["glioma", "pituitary"] }))]
    pub only: BTreeMap<String, Labels>,
    /// The division into the dimension `lesion_size`: `"tertiles"` of the foreground pixels of all scored images, or
    /// ascending numbers of pixels at the network's input size, each the least of its bin.
    #[schemars(example = vec![500, 1500])]
    pub lesion_sizes: Option<LesionSizes>,
    /// The interval of the mean or share, by patient if the port `labels` gives patients, else by image. Default: none.
    pub interval: Option<IntervalMethod>,
    /// Share of the resamples in the interval; default 0.95.
    #[schemars(example = 0.9)]
    pub level: Option<f64>,
    /// Number of resamples of the interval; default 2000.
    #[schemars(example = 10000)]
    pub resamples: Option<u32>,
    /// Seed of the resamples; default that of the experiment.
    #[schemars(example = 7)]
    pub seed: Option<u64>,
    /// Reference values to show below ours: a CSV file with columns named as the table's rows and columns, then `mean`
    /// and, where known, `sd` and `precision`; comment lines (`#`) at its top cite their source.
    #[schemars(extend("format" = "path"), example = &"reference/table3.csv")]
    pub reference: Option<PathBuf>,
    /// Digits after the point, where people read the table.
    #[serde(default = "digits")]
    #[schemars(example = 2)]
    pub digits: u8,
}

/// A method that finds an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IntervalMethod {
    /// Percentiles of the means of resamples.
    Bootstrap,
}

/// The default of `across`.
pub(crate) fn fold() -> Labels {
    Labels(vec!["fold".to_owned()])
}

/// The default of `digits`.
pub(crate) const DIGITS: u8 = 3;

/// The most digits after the point.
pub(crate) const DIGITS_MAX: u8 = 12;

/// Returns [`DIGITS`], for serde.
pub(crate) fn digits() -> u8 {
    DIGITS
}

/// The ranges of the params that `table` and `compare` have.
pub(crate) const RANGES: &[(&str, Bounds)] = &[
    ("level", Bounds::above(0.0).below(1.0)),
    ("resamples", Bounds::from(100.0).to(1_000_000.0)),
    ("digits", Bounds::from(0.0).to(DIGITS_MAX as f64)),
];

impl params::Params for Params {
    const RANGES: &'static [(&'static str, Bounds)] = RANGES;

    fn completed(mut self) -> Self {
        // Every stage with a `seed` gets that of the experiment; a table that draws nothing keeps it out of its key.
        self.seed = self.interval.map(|_| self.seed.unwrap_or_default());
        if self.interval.is_some() {
            self.level.get_or_insert(bootstrap::LEVEL);
            self.resamples.get_or_insert(bootstrap::RESAMPLES);
        }
        self
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = self.query().problems();
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
        for (field, is_set) in [("level", self.level.is_some()), ("resamples", self.resamples.is_some())] {
            if is_set && self.interval.is_none() {
                problems.push((field, format!("`{field}` has no effect without `interval = \"bootstrap\"`")));
            }
        }
        problems
    }
}

impl Params {
    /// Returns the query.
    pub(crate) fn query(&self) -> Query {
        Query {
            rows: self.rows.clone(),
            columns: self.columns.clone(),
            across: self.across.0.clone(),
            only: self.only.clone(),
            metric: self.value.clone().filter(|value| value != "value"),
            at_most: self.at_most,
            lesion_sizes: self.lesion_sizes.clone(),
            keeps_images: self.interval.is_some(),
            ..Query::default()
        }
    }

    /// The parameters of the interval, if one is wanted.
    pub(super) fn bootstrap(&self) -> Option<Bootstrap> {
        Some(Bootstrap { level: self.level?, resamples: self.resamples?, seed: self.seed? })
    }
}

#[cfg(test)]
mod tests {
    use orchestrate_engine::params::Params as _;
    use serde_json::json;

    use super::*;

    fn params(value: serde_json::Value) -> Params {
        serde_json::from_value::<Params>(value).unwrap().completed()
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
    fn a_seed_is_in_the_params_only_where_something_is_drawn() {
        assert_eq!(params(json!({ "seed": 7 })).seed, None);
        let drawn = params(json!({ "seed": 7, "interval": "bootstrap" }));
        assert_eq!((drawn.seed, drawn.level, drawn.resamples), (Some(7), Some(0.95), Some(2000)));
    }

    #[test]
    fn contradictory_params_are_problems() {
        let cases = [
            (json!({ "rows": ["a"], "columns": ["a"] }), "columns"),
            (json!({ "rows": [["a", "b", "a"]] }), "rows"),
            (json!({ "rows": [[]] }), "rows"),
            (json!({ "statistic": "share" }), "statistic"),
            (json!({ "at_most": 0.1 }), "at_most"),
            (json!({ "value": "iou", "columns": ["metric"] }), "value"),
            (json!({ "resamples": 500 }), "resamples"),
            (json!({ "lesion_sizes": "tertiles" }), "lesion_sizes"),
            (json!({ "lesion_sizes": [5, 3], "rows": ["lesion_size"] }), "lesion_sizes"),
            (json!({ "only": { "label": [] } }), "only"),
        ];
        for (case, field) in cases {
            let problems = params(case.clone()).problems();
            assert_eq!(problems.iter().map(|(field, _)| *field).collect::<Vec<_>>(), [field], "{case}");
        }
        assert!(params(json!({ "rows": ["a"], "columns": ["b"] })).problems().is_empty());
    }
}
