//! Stages that train, run as the engine runs them.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use orchestrate_cache::Digest;
use orchestrate_engine::stage::{Context, ExternalFile, Item, Progress, Stage, StageError};
use orchestrate_stages::artifact::Table;
use serde_json::{Value, json};

use super::Bench;
use crate::model::{Tensors, read_safetensors, write_safetensors};

/// The inputs of a stage that trains.
pub(crate) trait Inputs {
    /// The stage.
    const STAGE: &'static dyn Stage;

    /// Stores the inputs, one item per port.
    fn items(&self, bench: &Bench) -> Vec<(&'static str, [Item; 1])>;
}

/// Params with some of them replaced.
pub(crate) fn with(mut params: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        params[name] = value.clone();
    }
    params
}

/// Writes a file of pretrained weights, as the engine gives it to a stage.
pub(crate) fn pretrained(dir: &Path, tensors: &Tensors) -> ExternalFile {
    let path = dir.join("pretrained.safetensors");
    let bytes = write_safetensors(tensors);
    std::fs::write(&path, &bytes).unwrap();
    ExternalFile { name: "init.weights".to_owned(), path, digest: Digest::of(&bytes) }
}

/// One run of a stage that trains, on two threads unless told otherwise.
pub(crate) struct Run<'a, I> {
    pub(crate) params: Value,
    inputs: &'a I,
    threads: usize,
    checkpoint_dir: Option<&'a Path>,
    cancelled: &'a (dyn Fn() -> bool + Sync),
    init: Option<&'a Tensors>,
}

impl<'a, I: Inputs> Run<'a, I> {
    pub(crate) fn new(params: Value, inputs: &'a I) -> Self {
        Self { params, inputs, threads: 2, checkpoint_dir: None, cancelled: &|| false, init: None }
    }

    pub(crate) fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    fn checkpoints(self, dir: &'a Path) -> Self {
        Self { checkpoint_dir: Some(dir), ..self }
    }

    fn cancelled(self, cancelled: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { cancelled, ..self }
    }

    /// Starts from pretrained weights and freezes that part of the network.
    pub(crate) fn frozen(mut self, part: &str, init: &'a Tensors) -> Self {
        self.params["freeze"] = json!(part);
        self.initialised(init)
    }

    /// Starts from pretrained weights.
    pub(crate) fn initialised(mut self, init: &'a Tensors) -> Self {
        self.params["init"] = json!({"weights": "/elsewhere/pretrained.safetensors"});
        Self { init: Some(init), ..self }
    }

    pub(crate) fn outcome(self) -> Result<Outcome, StageError> {
        let bench = Bench::new();
        let inputs = self.inputs.items(&bench);
        let inputs: Vec<_> = inputs.iter().map(|(port, items)| (*port, items.as_slice())).collect();
        let mut action = bench.action(&self.params.to_string(), &inputs);
        let scratch = tempfile::tempdir().unwrap();
        if let Some(tensors) = self.init {
            action.files.push(pretrained(scratch.path(), tensors));
        }
        let messages = Mutex::new(Vec::new());
        let context = Context {
            scratch_dir: scratch.path(),
            checkpoint_dir: self.checkpoint_dir,
            checkpoint_stamp: None,
            threads: self.threads,
            device: "cpu",
            log_max_bytes: u64::MAX,
            progress: &|progress: Progress| messages.lock().unwrap().push(progress.message),
            cancelled: self.cancelled,
        };
        let mut outputs = I::STAGE.run(&context, &[action]).remove(0)?.into_iter();
        let weights = bench.store(outputs.next().expect("weights come first"));
        let curve = bench.store(outputs.next().expect("the curve comes second"));
        Ok(Outcome {
            card: weights[0].read().unwrap(),
            weights: weights[1].read().unwrap(),
            text: weights.get(2).map(|file| String::from_utf8(file.read().unwrap()).unwrap()),
            curve: curve[0].read().unwrap(),
            messages: messages.into_inner().unwrap(),
        })
    }

    pub(crate) fn failure(self) -> String {
        match self.outcome() {
            Ok(_) => panic!("the training should fail"),
            Err(error) => error.to_string(),
        }
    }

    /// Cancels the training once it has polled for cancellation `asked` times.
    pub(crate) fn stop_after(asked: usize, params: &Value, inputs: &I, dir: &Path) {
        let count = AtomicUsize::new(0);
        let cancelled = || count.fetch_add(1, Ordering::Relaxed) >= asked;
        let outcome = Run::new(params.clone(), inputs).checkpoints(dir).cancelled(&cancelled).outcome();
        assert!(matches!(outcome, Err(StageError::Cancelled)));
    }

    /// Continues a training; returns also how often it polled for cancellation, once per batch.
    pub(crate) fn resume(params: &Value, inputs: &I, dir: &Path) -> (Outcome, usize) {
        let count = AtomicUsize::new(0);
        let cancelled = || {
            count.fetch_add(1, Ordering::Relaxed);
            false
        };
        let outcome = Run::new(params.clone(), inputs).checkpoints(dir).cancelled(&cancelled).outcome().unwrap();
        (outcome, count.load(Ordering::Relaxed))
    }
}

/// The files of a training's outputs, and its progress messages.
pub(crate) struct Outcome {
    card: Vec<u8>,
    pub(crate) weights: Vec<u8>,
    /// The text that every run prints, if there is one.
    pub(crate) text: Option<String>,
    curve: Vec<u8>,
    pub(crate) messages: Vec<String>,
}

impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        (&self.card, &self.weights, &self.curve) == (&other.card, &other.weights, &other.curve)
    }
}

impl Outcome {
    pub(crate) fn card(&self) -> Value {
        serde_json::from_slice(&self.card).unwrap()
    }

    pub(crate) fn tensors(&self) -> Tensors {
        read_safetensors(&self.weights).unwrap()
    }

    pub(crate) fn curve<C: Table>(&self) -> C {
        C::decode(&self.curve).unwrap()
    }
}
