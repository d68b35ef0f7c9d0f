//! A study whose stages take milliseconds. Each output depends on all bytes that the stage read, so one wrong byte
//! shows in everything downstream.

use std::path::Path;

use orchestrate_cache::{ActionKey, CHECKPOINT_HEADER_BYTES, Checkpoints, Digest};
use orchestrate_engine::params::{self, ParamTable, Params, ParamsError};
use orchestrate_engine::stage::{Action, Content, Context, Facts, FileName, Output, Port, Stage, StageError, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The spec of the study.
pub(crate) const STUDY: &str = r#"
[experiment]
name = "crash"
seed = 7

[axes]
model = ["a", "b"]
fold = { folds = 2 }
threshold = [1, 2, 3]

[stages.images]
kind = "dataset"
path = "labels.csv"

[stages.train]
kind = "train"
over = ["model", "fold"]
inputs = { images = "images" }
epochs = 3

[stages.score]
kind = "score"
over = ["model", "fold", "threshold"]
inputs = { weights = "train", masks = "images" }

[stages.table]
kind = "table"
inputs = { scores = "score" }
publish = "results"
"#;

/// An external file of the study.
pub(crate) const LABELS: (&str, &str) = ("labels.csv", "image,label\n1,glioma\n");

/// Every kind.
pub(crate) static STAGES: &[&dyn Stage] = &[&Chain::Dataset, &Chain::Train, &Chain::Score, &Chain::Table];

/// A size above the limit of packs, so that the store keeps a file of its own.
const LARGE_BYTES: usize = 70_000;

enum Chain {
    Dataset,
    Train,
    Score,
    Table,
}

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
    epochs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

impl Params for AnyParams {}

const ABOUT: &str = "A stage of the crash tests: its output is a digest of all that it read.";

static DATASET: Facts = Facts {
    outputs: &["images", "masks"],
    fields: || &["path", "seed"],
    path_fields: &["path"],
    ..Facts::new("dataset", 1, ABOUT)
};
static TRAIN: Facts = Facts {
    ports: &[Port::one("images")],
    outputs: &["weights"],
    fields: || &["model", "fold", "epochs", "seed"],
    weight: Weight::Heavy,
    checkpoints: true,
    ..Facts::new("train", 1, ABOUT)
};
static SCORE: Facts = Facts {
    ports: &[Port::one("weights"), Port::one("masks")],
    outputs: &["scores"],
    fields: || &["threshold"],
    batches: true,
    ..Facts::new("score", 1, ABOUT)
};
static TABLE: Facts = Facts { ports: &[Port::many("scores")], outputs: &["table"], ..Facts::new("table", 1, ABOUT) };

impl Stage for Chain {
    fn facts(&self) -> &Facts {
        match self {
            Self::Dataset => &DATASET,
            Self::Train => &TRAIN,
            Self::Score => &SCORE,
            Self::Table => &TABLE,
        }
    }

    fn files(&self, params: &serde_json::Value) -> Result<Vec<FileName>, Vec<String>> {
        let path = params["path"].as_str().map(Path::new);
        Ok(path.map(|path| FileName::new(LABELS.0, path)).into_iter().collect())
    }

    fn check(&self, table: &ParamTable) -> Result<serde_json::Value, ParamsError> {
        params::check::<AnyParams>(table, self.facts().fields())
    }

    fn run(&self, context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        batch.iter().map(|action| self.one(context, action)).collect()
    }
}

impl Chain {
    fn one(&self, context: &Context<'_>, action: &Action) -> Result<Vec<Output>, StageError> {
        let mut read = Vec::new();
        for file in &action.files {
            read.extend(file.read()?);
        }
        for file in action.inputs.iter().flat_map(|input| &input.items).flat_map(|item| item.files.iter()) {
            read.extend(file.read()?);
        }
        // Paths differ between folders; the key covers the other params.
        read.extend(action.key.0.as_bytes());
        let state = Digest::of(&read);
        match self {
            Self::Dataset => {
                let images = vec![
                    ("images".to_owned(), Content::Bytes(stretch(state, LARGE_BYTES))),
                    ("labels".to_owned(), Content::Bytes(stretch(state, 100))),
                ];
                let masks = Output::file("masks", "masks", stretch(Digest::of(b"masks"), LARGE_BYTES));
                Ok(vec![Output { name: "images".to_owned(), files: images }, masks])
            }
            Self::Train => {
                let weights = train(context, action, state)?;
                let path = context.scratch_dir.join("weights");
                std::fs::write(&path, stretch(weights, LARGE_BYTES)).map_err(failed)?;
                let files = vec![shared(action), ("weights".to_owned(), Content::File(path))];
                Ok(vec![Output { name: "weights".to_owned(), files }])
            }
            Self::Score => {
                let scores = ("scores".to_owned(), Content::Bytes(stretch(state, 200)));
                Ok(vec![Output { name: "scores".to_owned(), files: vec![scores, shared(action)] }])
            }
            Self::Table => Ok(vec![Output::file("table", "table.txt", stretch(state, 64))]),
        }
    }
}

/// A small file that does not depend on the seed, so that a second study with another seed shares its bytes.
fn shared(action: &Action) -> (String, Content) {
    let mut params = action.params.clone();
    params.as_object_mut().expect("params are a table").remove("seed");
    ("shared".to_owned(), Content::Bytes(stretch(Digest::of(params.to_string().as_bytes()), 100)))
}

/// Resumes from a checkpoint; an epoch hashes the result of the one before.
fn train(context: &Context<'_>, action: &Action, start: Digest) -> Result<Digest, StageError> {
    let epochs = action.params["epochs"].as_u64().unwrap_or(1);
    let checkpoints = Checkpoints::new(context.checkpoint_dir.unwrap_or(context.scratch_dir), action.key)
        .stamped(context.checkpoint_stamp.clone());
    let (done, mut state) = checkpoints.latest(|body| resume(body, action.key)).unwrap_or((0, start));
    for epoch in done + 1..=epochs {
        if (context.cancelled)() {
            return Err(StageError::Cancelled);
        }
        state = Digest::of(state.as_bytes());
        let mut bytes = vec![0; CHECKPOINT_HEADER_BYTES];
        bytes.extend(epoch.to_le_bytes());
        bytes.extend(state.as_bytes());
        // As in a training: without checkpoints the result is right, but slower after a kill.
        let _ = checkpoints.save(epoch as usize, bytes);
    }
    Ok(state)
}

fn resume(body: &[u8], _key: ActionKey) -> Result<(u64, Digest), String> {
    let (epoch, state) = body.split_first_chunk().ok_or("it is cut short")?;
    let state = state.try_into().map_err(|_| "it is cut short")?;
    Ok((u64::from_le_bytes(*epoch), Digest::from_bytes(state)))
}

fn stretch(state: Digest, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 32);
    let mut block = state;
    while bytes.len() < len {
        bytes.extend(block.as_bytes());
        block = Digest::of(block.as_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn failed(error: std::io::Error) -> StageError {
    StageError::new(error.to_string())
}
