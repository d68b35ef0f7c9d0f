//! The stages of a study without their science: the same ports, params and outputs, and a few bytes as the result.

use orchestrate_engine::params::{self, ParamTable, Params, ParamsError};
use orchestrate_engine::stage::{Action, Context, Output, Port, Stage, StageError};
use serde::{Deserialize, Serialize};

/// Every kind, in the order of a study.
pub(crate) static STAGES: &[&dyn Stage] = &[&DATASET, &SPLIT, &TRAIN, &CAM, &THRESHOLD, &SCORE, &TABLE];

static DATASET: Trivial =
    Trivial { kind: "dataset", ports: &[], outputs: &["images", "labels", "masks"], fields: &["seed"], batches: false };
static SPLIT: Trivial = Trivial {
    kind: "split",
    ports: &[port("labels", false)],
    outputs: &["split"],
    fields: &["folds", "seed"],
    batches: false,
};
static TRAIN: Trivial = Trivial {
    kind: "train",
    ports: &[port("images", false), port("split", false)],
    outputs: &["weights"],
    fields: &["model", "fold", "seed"],
    batches: false,
};
static CAM: Trivial = Trivial {
    kind: "cam",
    ports: &[port("images", false), port("weights", false)],
    outputs: &["cams"],
    fields: &[],
    batches: false,
};
static THRESHOLD: Trivial = Trivial {
    kind: "threshold",
    ports: &[port("cams", false)],
    outputs: &["thresholds"],
    fields: &["threshold"],
    batches: true,
};
static SCORE: Trivial = Trivial {
    kind: "score",
    ports: &[port("cams", false), port("thresholds", false), port("masks", false)],
    outputs: &["scores"],
    fields: &[],
    batches: true,
};
static TABLE: Trivial =
    Trivial { kind: "table", ports: &[port("scores", true)], outputs: &["table"], fields: &[], batches: false };

/// Makes a port that reads the output of its own name.
const fn port(name: &'static str, many: bool) -> Port {
    Port { name, reads: &[], optional: false, many }
}

struct Trivial {
    kind: &'static str,
    ports: &'static [Port],
    outputs: &'static [&'static str],
    fields: &'static [&'static str],
    batches: bool,
}

/// The params of all kinds; each kind takes its `fields`.
#[derive(Serialize, Deserialize)]
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
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn version(&self) -> u32 {
        1
    }

    fn about(&self) -> &'static str {
        "A stage of benchmarks: its output says what it was given."
    }

    fn ports(&self) -> &'static [Port] {
        self.ports
    }

    fn outputs(&self, _params: &serde_json::Value) -> Vec<String> {
        self.outputs.iter().map(|name| (*name).to_owned()).collect()
    }

    fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    fn check(&self, table: &ParamTable) -> Result<serde_json::Value, ParamsError> {
        params::check::<AnyParams>(table, self.fields)
    }

    fn batches(&self) -> bool {
        self.batches
    }

    fn run(&self, _context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        batch.iter().map(|action| Ok(self.outputs.iter().map(|name| output(name, action)).collect())).collect()
    }
}

/// Writes the key, which differs for every node, as real results do.
fn output(name: &str, action: &Action) -> Output {
    Output::file(name, "result", format!("{name} {}\n", action.key.0).into_bytes())
}
