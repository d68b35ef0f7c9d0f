//! Kinds of stages for tests: the graph of a study without its computations.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounds::Bounds;
use crate::diagnostic::SpecError;
use crate::params::{self, ParamTable, Params, ParamsError};
use crate::plan::{Plan, build};
use crate::spec;
use crate::stage::{
    Action, AddedAxes, Context, DeviceUse, Facts, InputProblem, Output, PlannedNode, Port, Stage, StageError, Weight,
};

pub(crate) static KINDS: [&dyn Stage; 8] = [&DATASET, &SPLIT, &TRAIN, &THRESHOLD, &SCORE, &TABLE, &CLASSIFY, &NEEDY];

/// Refuses `cuda:9` alone, which no test computes on.
fn refuses(_params: &serde_json::Value, devices: &[String]) -> Option<String> {
    devices.iter().any(|name| name == "cuda:9").then(|| "cuda:9 is broken".to_owned())
}

static DATASET: Fake = fake::<DatasetParams>(Facts { outputs: &["images", "labels", "masks"], ..facts("dataset") });
static SPLIT: Fake =
    fake::<SplitParams>(Facts { ports: &[Port::one("labels")], outputs: &["split"], ..facts("split") });
static TRAIN: Fake = fake::<TrainParams>(Facts {
    ports: &[Port::one("images"), Port::one("split")],
    outputs: &["cams"],
    weight: Weight::Heavy,
    device: Some(DeviceUse { environment: |_| Vec::new(), describe: str::to_owned, driver: |_| None, refuses }),
    ..facts("train")
});
static THRESHOLD: Fake = fake::<ThresholdParams>(Facts {
    ports: &[Port::one("cams")],
    outputs: &["thresholds"],
    batches: true,
    ..facts("threshold")
});
static SCORE: Fake = fake::<ScoreParams>(Facts {
    ports: &[Port::one("cams"), Port::one("thresholds"), Port::one("masks")],
    outputs: &["scores"],
    batches: true,
    ..facts("score")
});
static TABLE: Fake = fake::<TableParams>(Facts {
    ports: &[
        Port { reads: &["scores", "cams"], ..Port::many("scores") },
        Port { optional: true, ..Port::one("labels") },
    ],
    check_inputs: Some(rows_are_axes),
    added_axes: AddedAxes::Listed("rows"),
    outputs: &["table"],
    ..facts("table")
});

/// `train` with a param that has no default.
static NEEDY: Fake = fake::<NeedyParams>(Facts {
    ports: &[Port::one("images"), Port::one("split")],
    outputs: &["cams"],
    ..facts("needy")
});
static CLASSIFY: Fake =
    fake::<ScoreParams>(Facts { ports: &[Port::many("cams")], outputs: &["metrics"], ..facts("classify") });

/// Refuses rows that are no axis of the scores.
fn rows_are_axes(node: &dyn PlannedNode) -> Vec<InputProblem> {
    let items = node.items("scores");
    let rows = node.params()["rows"].as_array().into_iter().flatten().filter_map(|row| row.as_str());
    let is_axis = |row: &str| items.iter().any(|item| item.labels.iter().any(|(axis, _)| *axis == row));
    rows.filter(|row| !is_axis(row))
        .map(|row| InputProblem::param("rows", format!("no input varies along `{row}`")).written(row))
        .collect()
}

pub(crate) struct Fake {
    facts: Facts,
    check: fn(&ParamTable, &[&'static str]) -> Result<serde_json::Value, ParamsError>,
}

const fn facts(kind: &'static str) -> Facts {
    Facts::new(kind, 1, "A stage of tests.")
}

const fn fake<P: FakeParams>(facts: Facts) -> Fake {
    Fake { facts: Facts { fields: || P::FIELDS, ..facts }, check: params::check::<P> }
}

trait FakeParams: Params {
    const FIELDS: &[&str];
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NeedyParams {
    rate: f64,
    #[serde(default)]
    epochs: Option<u32>,
    #[serde(default)]
    fold: Option<u32>,
}

impl Params for NeedyParams {}
impl FakeParams for NeedyParams {
    const FIELDS: &[&str] = &["rate", "epochs", "fold"];
}

macro_rules! fake_params {
    ($name:ident { $($field:ident: $type:ty),* }) => {
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $name { $(#[serde(default)] $field: Option<$type>),* }
        impl FakeParams for $name { const FIELDS: &[&str] = &[$(stringify!($field)),*]; }
    };
}

fake_params!(DatasetParams { count: u32, seed: u64 });
fake_params!(SplitParams { folds: u32, shuffle: bool, seed: u64 });
fake_params!(TrainParams { model: String, fold: u32, epochs: u32, rate: f64, seed: u64 });
fake_params!(ThresholdParams { threshold: f64 });
fake_params!(ScoreParams { images: String });
fake_params!(TableParams { rows: Vec<String> });

impl Params for DatasetParams {}
impl Params for SplitParams {}
impl Params for ThresholdParams {}
impl Params for ScoreParams {}
impl Params for TableParams {}
impl Params for TrainParams {
    const RANGES: &'static [(&'static str, Bounds)] = &[("epochs", Bounds::from(1.0))];
}

impl Stage for Fake {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn check(&self, table: &ParamTable) -> Result<serde_json::Value, ParamsError> {
        (self.check)(table, self.facts.fields())
    }

    fn run(&self, _context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        let output = |name: &&str, action: &Action| Output::file(name, "bytes", action.params.to_string().into_bytes());
        batch.iter().map(|action| Ok(self.facts.outputs.iter().map(|name| output(name, action)).collect())).collect()
    }
}

/// Plans a spec written in a fresh folder under the name `spec.toml`.
pub(crate) fn plan(toml: &str, overrides: &[&str]) -> Result<Plan, SpecError> {
    let dir = tempfile::tempdir().expect("tests have a temporary folder");
    plan_in(dir.path(), toml, overrides)
}

pub(crate) fn plan_in(dir: &Path, toml: &str, overrides: &[&str]) -> Result<Plan, SpecError> {
    let path = dir.join("spec.toml");
    std::fs::write(&path, toml).expect("tests can write");
    let overrides: Vec<_> = overrides.iter().map(|text| (*text).to_owned()).collect();
    build(spec::load(&path, &overrides)?, &KINDS)
}

/// A study of two models, three folds and two thresholds.
pub(crate) const STUDY: &str = r#"
[experiment]
name = "study"
seed = 7

[axes]
model = ["a", "b"]
fold = { folds = 3 }
threshold = [200, 225]

[stages.images]
kind = "dataset"
count = 9

[stages.split]
kind = "split"
inputs = { labels = "images" }

[stages.train]
kind = "train"
over = ["model", "fold"]
inputs = { images = "images", split = "split" }
epochs = 5

[stages.threshold]
kind = "threshold"
over = ["model", "fold", "threshold"]
inputs = { cams = "train" }

[stages.score]
kind = "score"
over = ["model", "fold", "threshold"]
inputs = { cams = "train", thresholds = "threshold", masks = "images" }

[stages.table]
kind = "table"
inputs = { scores = "score" }
rows = ["model"]
"#;
