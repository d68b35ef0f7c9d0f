//! The stages of a study without their computations: same ports, params and outputs, a few bytes as the result.

use orchestrate_engine::params::{self, ParamTable, Params, ParamsError};
use orchestrate_engine::stage::{Action, Context, Facts, Output, Port, Stage, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every kind, in the order of a study.
pub(crate) static STAGES: &[&dyn Stage] = &[&DATASET, &SPLIT, &TRAIN, &CAM, &THRESHOLD, &SCORE, &TABLE];

static DATASET: Trivial =
    Trivial(Facts { outputs: &["images", "labels", "masks"], fields: || &["seed"], ..Facts::new("dataset", 1, ABOUT) });
static SPLIT: Trivial = Trivial(Facts {
    ports: &[Port::one("labels")],
    outputs: &["split"],
    fields: || &["folds", "seed"],
    ..Facts::new("split", 1, ABOUT)
});
static TRAIN: Trivial = Trivial(Facts {
    ports: &[Port::one("images"), Port::one("split")],
    outputs: &["weights"],
    fields: || &["model", "fold", "seed"],
    ..Facts::new("train", 1, ABOUT)
});
static CAM: Trivial = Trivial(Facts {
    ports: &[Port::one("images"), Port::one("weights")],
    outputs: &["cams"],
    ..Facts::new("cam", 1, ABOUT)
});
static THRESHOLD: Trivial = Trivial(Facts {
    ports: &[Port::one("cams")],
    outputs: &["thresholds"],
    fields: || &["threshold"],
    batches: true,
    ..Facts::new("threshold", 1, ABOUT)
});
static SCORE: Trivial = Trivial(Facts {
    ports: &[Port::one("cams"), Port::one("thresholds"), Port::one("masks")],
    outputs: &["scores"],
    batches: true,
    ..Facts::new("score", 1, ABOUT)
});
static TABLE: Trivial =
    Trivial(Facts { ports: &[Port::many("scores")], outputs: &["table"], ..Facts::new("table", 1, ABOUT) });

const ABOUT: &str = "A stage of benchmarks: its output tells its inputs.";

struct Trivial(Facts);

/// The params of every kind; a kind takes those in its facts.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AnyParams {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

impl Params for AnyParams {}

impl Stage for Trivial {
    fn facts(&self) -> &Facts {
        &self.0
    }

    fn check(&self, table: &ParamTable) -> Result<serde_json::Value, ParamsError> {
        params::check::<AnyParams>(table, self.0.fields())
    }

    fn run(&self, _context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        batch.iter().map(|action| Ok(self.0.outputs.iter().map(|name| output(name, action)).collect())).collect()
    }
}

/// Returns the key as the output: different for every node, as results are.
fn output(name: &str, action: &Action) -> Output {
    Output::file(name, "result", format!("{name} {}\n", action.key.0).into_bytes())
}
