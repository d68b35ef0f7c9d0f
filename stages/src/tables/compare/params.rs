//! What is compared with what, as written in a spec.

use std::collections::BTreeMap;

use orchestrate_engine::params;
use serde::{Deserialize, Serialize};

use crate::tables::bootstrap::{self, Bootstrap};
use crate::tables::table::{Dimension, Labels, LesionSizes, Query, digits, digits_problem, fold};

/// Parameters of `kind = "compare"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What people call the comparison.
    #[serde(default)]
    pub title: Option<String>,
    /// The axis along which inputs are compared, `"model"`; several names in brackets make one, as in the rows of a table.
    pub axis: Dimension,
    /// Two of its values, `["vgg16", "modified-vgg16"]`, or a list of such pairs; the difference is the second minus the
    /// first.
    pub between: Vec<Labels>,
    /// Names whose values make the rows below each pair; as for a table.
    #[serde(default)]
    pub rows: Vec<Dimension>,
    /// Names whose values make the columns; as for a table.
    #[serde(default)]
    pub columns: Vec<Dimension>,
    /// The metric that is compared, `iou` unless `metric` is in `rows` or `columns`.
    #[serde(default)]
    pub value: Option<String>,
    /// Names along which images are paired: a value of one fold and seed with one of the same fold and seed.
    #[serde(default = "fold")]
    pub across: Labels,
    /// Values to keep, by name; as for a table.
    #[serde(default)]
    pub only: BTreeMap<String, Labels>,
    /// What makes the dimension `lesion_size`; as for a table.
    #[serde(default)]
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
    /// What is laid out where; the axis is one of those over which a cell is summarised.
    pub(super) fn query(&self) -> Query {
        let axis = self.axis.name().to_owned();
        let wanted = Labels(self.between.iter().flat_map(|labels| labels.0.iter().cloned()).collect());
        Query {
            rows: self.rows.clone(),
            columns: self.columns.clone(),
            across: self.across.0.iter().cloned().chain([axis.clone()]).collect(),
            only: self.only.clone().into_iter().chain([(axis, wanted)]).collect(),
            metric: self.value.clone(),
            at_most: None,
            lesion_sizes: self.lesion_sizes.clone(),
            keeps_images: true,
            axis: Some(self.axis.clone()),
        }
    }

    /// The pairs; none where what is written are no pairs.
    pub(super) fn pairs(&self) -> Vec<[String; 2]> {
        let pairs: Vec<Vec<String>> = match self.between.as_slice() {
            [first, second] if first.0.len() == 1 && second.0.len() == 1 => {
                vec![vec![first.0[0].clone(), second.0[0].clone()]]
            }
            pairs => pairs.iter().map(|pair| pair.0.clone()).collect(),
        };
        pairs.into_iter().map(<[String; 2]>::try_from).collect::<Result<_, _>>().unwrap_or_default()
    }

    /// How the intervals are found.
    pub(super) fn bootstrap(&self) -> Bootstrap {
        Bootstrap { level: self.level, resamples: self.resamples, seed: self.seed }
    }
}
