//! Parameters of `kind = "compare"`.

use std::collections::BTreeMap;

use orchestrate_engine::params;
use serde::{Deserialize, Serialize};

use crate::tables::bootstrap::{self, Bootstrap};
use crate::tables::table::{Dimension, Labels, LesionSizes, Query, digits, digits_problem, fold};

/// Parameters of `kind = "compare"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The title of the comparison.
    pub title: Option<String>,
    /// The axis along which inputs are compared, `"model"`; several names in brackets make one, as in the rows of a
    /// table.
    pub axis: Dimension,
    /// Two of its values, `["vgg16", "modified-vgg16"]`, or a list of such pairs; the difference is the second minus
    /// the first.
    pub between: Vec<Labels>,
    /// Names whose values make the rows below each pair; as for a table.
    #[serde(default)]
    pub rows: Vec<Dimension>,
    /// Names whose values make the columns; as for a table.
    #[serde(default)]
    pub columns: Vec<Dimension>,
    /// The metric that is compared, `iou` unless `metric` is in `rows` or `columns`.
    pub value: Option<String>,
    /// Names along which images are paired: a value of one fold and seed with one of the same fold and seed.
    #[serde(default = "fold")]
    pub across: Labels,
    /// Values to keep, by name; as for a table.
    #[serde(default)]
    pub only: BTreeMap<String, Labels>,
    /// The division into the dimension `lesion_size`; as for a table.
    pub lesion_sizes: Option<LesionSizes>,
    /// Share of the resamples in the interval.
    #[serde(default = "level")]
    pub level: f64,
    /// Number of resamples of the interval, 100..=1000000.
    #[serde(default = "resamples")]
    pub resamples: u32,
    /// Seed of the resamples; default that of the experiment.
    #[serde(default)]
    pub seed: u64,
    /// Digits after the point, where people read the table.
    #[serde(default = "digits")]
    pub digits: u8,
}

fn level() -> f64 {
    bootstrap::LEVEL
}

fn resamples() -> u32 {
    bootstrap::RESAMPLES
}

impl params::Params for Params {
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
        problems.extend(Bootstrap::problems(Some(self.level), Some(self.resamples)));
        problems.extend(digits_problem(self.digits));
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
