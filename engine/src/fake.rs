//! Kinds of stages for tests: the graph of a study without its science.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::diagnostic::SpecError;
use crate::params::{self, ParamTable, Params, ParamsError};
use crate::plan::{Plan, build};
use crate::spec;
use crate::stage::{Action, Context, Output, Port, Stage, StageError, Weight};

pub(crate) static KINDS: [&dyn Stage; 6] = [&DATASET, &SPLIT, &TRAIN, &THRESHOLD, &SCORE, &TABLE];

static DATASET: Fake = Fake { kind: "dataset", ports: &[], outputs: &["images", "labels", "masks"], batches: false };
static SPLIT: Fake = Fake { kind: "split", ports: &[port("labels")], outputs: &["split"], batches: false };
static TRAIN: Fake =
    Fake { kind: "train", ports: &[port("images"), port("split")], outputs: &["cams"], batches: false };
static THRESHOLD: Fake = Fake { kind: "threshold", ports: &[port("cams")], outputs: &["thresholds"], batches: true };
static SCORE: Fake = Fake {
    kind: "score",
    ports: &[port("cams"), port("thresholds"), port("masks")],
    outputs: &["scores"],
    batches: true,
};
static TABLE: Fake = Fake {
    kind: "table",
    ports: &[Port { name: "scores", reads: &["scores", "cams"], optional: false, many: true }],
    outputs: &["table"],
    batches: false,
};

const fn port(name: &'static str) -> Port {
    // A port reads the output of its own name.
    Port { name, reads: &[], optional: false, many: false }
}

pub(crate) struct Fake {
    kind: &'static str,
    ports: &'static [Port],
    outputs: &'static [&'static str],
    batches: bool,
}

macro_rules! fake_params {
    ($name:ident { $($field:ident: $type:ty),* }) => {
        #[derive(Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name { $(#[serde(default)] $field: Option<$type>),* }
        impl $name { const FIELDS: &[&str] = &[$(stringify!($field)),*]; }
    };
}

fake_params!(DatasetParams { count: u32, seed: u64 });
fake_params!(SplitParams { folds: u32, shuffle: bool, seed: u64 });
fake_params!(TrainParams { model: String, fold: u32, epochs: u32, rate: f64, seed: u64 });
fake_params!(ThresholdParams { threshold: f64 });
fake_params!(NoParams { images: String });
fake_params!(TableParams { rows: Vec<String> });

impl Params for DatasetParams {}
impl Params for SplitParams {}
impl Params for ThresholdParams {}
impl Params for NoParams {}
impl Params for TableParams {}
impl Params for TrainParams {
    fn problems(&self) -> Vec<(&'static str, String)> {
        if self.epochs == Some(0) { vec![("epochs", "epochs must be at least 1".to_owned())] } else { Vec::new() }
    }
}

impl Stage for Fake {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn version(&self) -> u32 {
        1
    }

    fn about(&self) -> &'static str {
        "A stage of tests."
    }

    fn ports(&self) -> &'static [Port] {
        self.ports
    }

    fn outputs(&self, _params: &serde_json::Value) -> Vec<String> {
        self.outputs.iter().map(|name| (*name).to_owned()).collect()
    }

    fn fields(&self) -> &'static [&'static str] {
        match self.kind {
            "dataset" => DatasetParams::FIELDS,
            "split" => SplitParams::FIELDS,
            "train" => TrainParams::FIELDS,
            "threshold" => ThresholdParams::FIELDS,
            "table" => TableParams::FIELDS,
            _ => NoParams::FIELDS,
        }
    }

    fn check(&self, table: &ParamTable) -> Result<serde_json::Value, ParamsError> {
        match self.kind {
            "dataset" => params::check::<DatasetParams>(table, self.fields()),
            "split" => params::check::<SplitParams>(table, self.fields()),
            "train" => params::check::<TrainParams>(table, self.fields()),
            "threshold" => params::check::<ThresholdParams>(table, self.fields()),
            "table" => params::check::<TableParams>(table, self.fields()),
            _ => params::check::<NoParams>(table, self.fields()),
        }
    }

    fn weight(&self) -> Weight {
        if self.uses_device() { Weight::Heavy } else { Weight::Light }
    }

    fn uses_device(&self) -> bool {
        self.kind == "train"
    }

    fn batches(&self) -> bool {
        self.batches
    }

    fn run(&self, _context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        let output = |name: &&str, action: &Action| Output::file(name, "bytes", action.params.to_string().into_bytes());
        batch.iter().map(|action| Ok(self.outputs.iter().map(|name| output(name, action)).collect())).collect()
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
