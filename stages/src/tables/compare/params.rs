//! Parameters of `kind = "compare"`.

use std::collections::BTreeMap;

use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::params;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tables::bootstrap::{self, Bootstrap};
use crate::tables::table::{Dimension, Labels, LesionSizes, Query, RANGES, digits, fold};

/// Parameters of `kind = "compare"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The title of the comparison.
    #[schemars(example = &"Table 5. VGG-16 against its modification")]
    pub title: Option<String>,
    /// The axis along which inputs are compared; several names in brackets make one, as in the rows of a table.
    #[schemars(example = &"model")]
    pub axis: Dimension,
    /// Two of its values, or a list of such pairs; the difference is the second minus the first.
    #[schemars(example = vec!["vgg16", "modified-vgg16"])]
    pub between: Vec<Labels>,
    /// Names whose values make the rows below each pair; as for a table.
    #[serde(default)]
    #[schemars(example = vec!["threshold"])]
    pub rows: Vec<Dimension>,
    /// Names whose values make the columns; as for a table.
    #[serde(default)]
    #[schemars(example = vec!["label"])]
    pub columns: Vec<Dimension>,
    /// The metric that is compared: `iou`, `dice`, `precision` or `recall`; default `iou`, unless `metric` is in `rows`
    /// or `columns`.
    #[schemars(example = &"dice")]
    pub value: Option<String>,
    /// Names along which images are paired: a value of one fold and seed with one of the same fold and seed.
    #[serde(default = "fold")]
    #[schemars(example = vec!["fold", "seed"])]
    pub across: Labels,
    /// Values to keep, by name; as for a table.
    #[serde(default)]
    #[schemars(example = serde_json::json!({ "threshold": 200 }))]
    pub only: BTreeMap<String, Labels>,
    /// The division into the dimension `lesion_size`; as for a table.
    #[schemars(example = &"tertiles")]
    pub lesion_sizes: Option<LesionSizes>,
    /// Share of the resamples in the interval.
    #[serde(default = "level")]
    #[schemars(example = 0.9)]
    pub level: f64,
    /// Number of resamples of the interval.
    #[serde(default = "resamples")]
    #[schemars(example = 10000)]
    pub resamples: u32,
    /// Seed of the resamples; default that of the experiment.
    #[schemars(example = 7)]
    #[serde(default)]
    pub seed: u64,
    /// Digits after the point, where people read the table.
    #[serde(default = "digits")]
    #[schemars(example = 2)]
    pub digits: u8,
}

fn level() -> f64 {
    bootstrap::LEVEL
}

fn resamples() -> u32 {
    bootstrap::RESAMPLES
}

impl params::Params for Params {
    const RANGES: &'static [(&'static str, Bounds)] = RANGES;

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = self.query().problems();
        if self.pairs().is_empty() {
            let message = "`between` must be two values, `[\"a\", \"b\"]`, or a list of such pairs";
            problems.push(("between", message.to_owned()));
        }
        for [first, _] in self.pairs().iter().filter(|[first, second]| first == second) {
            problems.push(("between", format!("`between` compares `{first}` with itself")));
        }
        if self.only.contains_key(self.axis.name()) {
            let message = format!("`between` says already which values of `{}` are kept", self.axis.name());
            problems.push(("only", message));
        }
        problems
    }
}

impl Params {
    /// Returns the query; the axis is among the names over which a cell is summarised.
    pub(super) fn query(&self) -> Query {
        let axis = self.axis.name().to_owned();
        let wanted = Labels(self.between.iter().flat_map(|labels| labels.0.iter().cloned()).collect());
        Query {
            rows: self.rows.clone(),
            columns: self.columns.clone(),
            across: self.across.0.iter().cloned().chain([axis.clone()]).collect(),
            only: self.only.clone().into_iter().chain([(axis, wanted)]).collect(),
            metric: self.value.clone(),
            lesion_sizes: self.lesion_sizes.clone(),
            keeps_images: true,
            axis: Some(self.axis.clone()),
            ..Query::default()
        }
    }

    /// Returns the pairs; none if the param holds no pairs.
    pub(super) fn pairs(&self) -> Vec<[String; 2]> {
        if self.between.len() == 2 && self.between.iter().all(|labels| labels.0.len() == 1) {
            return vec![[0, 1].map(|side| self.between[side].0[0].clone())];
        }
        let pair = |labels: &Labels| <[String; 2]>::try_from(labels.0.clone());
        self.between.iter().map(pair).collect::<Result<_, _>>().unwrap_or_default()
    }

    /// The parameters of the intervals.
    pub(super) fn bootstrap(&self) -> Bootstrap {
        Bootstrap { level: self.level, resamples: self.resamples, seed: self.seed }
    }
}
