//! Trainings of a few small images, run as the engine runs them.

mod norm;
mod precision;
mod resume;
mod torch;

use std::path::Path;
use std::sync::Mutex;

use orchestrate_cache::Digest;
use orchestrate_engine::stage::{Context, ExternalFile, Progress, Stage, StageError};
use serde_json::{Value, json};

use crate::model::{Tensors, read_safetensors, write_safetensors};
use crate::testing::Bench;
use orchestrate_stages::artifact::{Curve, Images, Split, Table};

const SIZE: usize = 16;

/// Images whose class is the third of the picture that is bright.
pub(super) fn stripes(count: usize) -> (Images, Split) {
    stripes_of(count, SIZE)
}

/// [`stripes`] of so many pixels.
fn stripes_of(count: usize, size: usize) -> (Images, Split) {
    let names: Vec<String> = (0..count).map(|image| format!("{image}.png")).collect();
    let labels: Vec<u32> = (0..count as u32).map(|image| image % 3).collect();
    let mut pixels = Vec::new();
    for (image, &label) in labels.iter().enumerate() {
        for place in 0..size * size {
            let bright = (place % size) * 3 / size == label as usize;
            let noise = (place * 31 + image * 97) % 60;
            pixels.push((noise + if bright { 150 } else { 0 }) as u8);
        }
    }
    let split = Split {
        names: names.clone(),
        labels,
        classes: ["left", "middle", "right"].map(str::to_owned).to_vec(),
        patients: vec![None; count],
        folds: (0..count as u32).map(|image| image / 3 % 3 + 1).collect(),
    };
    (Images { names, height: size, width: size, pixels }, split)
}

/// The params that most tests change a little.
pub(super) fn params() -> Value {
    json!({"model": "tiny", "fold": 1, "epochs": 3, "batch_size": 6, "learning_rate": 0.003, "seed": 5})
}

pub(super) fn with(mut params: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        params[name] = value.clone();
    }
    params
}

/// One run of the stage.
pub(super) struct Run<'a> {
    pub(super) params: Value,
    pub(super) data: &'a (Images, Split),
    pub(super) threads: usize,
    pub(super) checkpoint_dir: Option<&'a Path>,
    pub(super) cancelled: &'a (dyn Fn() -> bool + Sync),
    pub(super) init: Option<&'a Tensors>,
}

impl<'a> Run<'a> {
    pub(super) fn new(params: Value, data: &'a (Images, Split)) -> Self {
        Self { params, data, threads: 1, checkpoint_dir: None, cancelled: &|| false, init: None }
    }

    pub(super) fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    pub(super) fn checkpoints(self, dir: &'a Path) -> Self {
        Self { checkpoint_dir: Some(dir), ..self }
    }

    pub(super) fn cancelled(self, cancelled: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { cancelled, ..self }
    }

    /// Gives the trunk those weights and freezes it.
    fn frozen(mut self, init: &'a Tensors) -> Self {
        self.params["freeze"] = json!("trunk");
        self.initialised(init)
    }

    /// Gives the trunk those weights.
    fn initialised(mut self, init: &'a Tensors) -> Self {
        self.params["init"] = json!({"weights": "/elsewhere/trunk.safetensors"});
        Self { init: Some(init), ..self }
    }

    pub(super) fn outcome(self) -> Result<Outcome, StageError> {
        let bench = Bench::new();
        let (images, split) = self.data;
        let inputs = [("images", [bench.item(images, &[])]), ("split", [bench.item(split, &[])])];
        let inputs = inputs.each_ref().map(|(port, items)| (*port, items.as_slice()));
        let mut action = bench.action(&self.params.to_string(), &inputs);
        let scratch = tempfile::tempdir().unwrap();
        if let Some(tensors) = self.init {
            let path = scratch.path().join("trunk.safetensors");
            std::fs::write(&path, write_safetensors(tensors)).unwrap();
            let digest = Digest::of(&write_safetensors(tensors));
            action.files.push(ExternalFile { name: "init.weights".to_owned(), path, digest });
        }
        let messages = Mutex::new(Vec::new());
        let context = Context {
            scratch_dir: scratch.path(),
            checkpoint_dir: self.checkpoint_dir,
            threads: self.threads,
            device: "cpu",
            log_max_bytes: u64::MAX,
            progress: &|progress: Progress| messages.lock().unwrap().push(progress.message),
            cancelled: self.cancelled,
        };
        let mut outputs = super::STAGE.run(&context, &[action]).remove(0)?.into_iter();
        let weights = bench.store(outputs.next().expect("weights come first"));
        let curve = bench.store(outputs.next().expect("the curve comes second"));
        Ok(Outcome {
            card: weights[0].read().unwrap(),
            weights: weights[1].read().unwrap(),
            curve: curve[0].read().unwrap(),
            messages: messages.into_inner().unwrap(),
        })
    }

    fn failure(self) -> String {
        match self.outcome() {
            Ok(_) => panic!("the training should fail"),
            Err(error) => error.to_string(),
        }
    }
}

/// The bytes that a training gives, and what it says.
pub(super) struct Outcome {
    card: Vec<u8>,
    weights: Vec<u8>,
    curve: Vec<u8>,
    messages: Vec<String>,
}

impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        (&self.card, &self.weights, &self.curve) == (&other.card, &other.weights, &other.curve)
    }
}

impl Outcome {
    fn card(&self) -> Value {
        serde_json::from_slice(&self.card).unwrap()
    }

    fn tensors(&self) -> Tensors {
        read_safetensors(&self.weights).unwrap()
    }

    fn curve(&self) -> Curve {
        Curve::decode(&self.curve).unwrap()
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    let data = stripes(18);
    let augment = json!({"flip": "vertical", "shift": 1});
    let one = Run::new(with(params(), &[("augment", augment)]), &data).threads(1);
    let changed = one.params.clone();
    let one = one.outcome().unwrap();
    for threads in [2, 4] {
        assert!(Run::new(changed.clone(), &data).threads(threads).outcome().unwrap() == one, "{threads} threads");
    }
}

#[test]
fn a_small_network_learns_what_can_be_seen() {
    let data = stripes(36);
    let outcome = Run::new(with(params(), &[("epochs", json!(8))]), &data).outcome().unwrap();
    let epochs = outcome.curve().epochs;
    assert_eq!(epochs.iter().map(|row| row.epoch).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    let last = epochs[7];
    assert!(last.validation_accuracy == 1.0 && last.train_loss < epochs[0].train_loss / 4.0, "{epochs:?}");
}

#[test]
fn the_card_says_what_the_network_expects() {
    let data = stripes(18);
    let outcome = Run::new(with(params(), &[("epochs", json!(1)), ("fold", json!(2))]), &data).outcome().unwrap();
    let card = outcome.card();
    assert_eq!(card["model"], "tiny");
    assert_eq!(card["classes"], json!(["left", "middle", "right"]));
    assert_eq!((&card["height"], &card["width"], &card["fold"]), (&json!(16), &json!(16), &json!(2)));
    assert_eq!((&card["seed"], &card["precision"]), (&json!(5), &json!("f32")));
    let levels: Vec<f64> = data
        .1
        .folds
        .iter()
        .zip(data.0.pixels.chunks(SIZE * SIZE))
        .filter(|(fold, _)| **fold != 2)
        .flat_map(|(_, image)| image.iter().map(|&level| f64::from(level) / 255.0))
        .collect();
    let mean = levels.iter().sum::<f64>() / levels.len() as f64;
    assert!(
        (card["normalisation"]["mean"][0].as_f64().unwrap() - mean).abs() < 1e-6,
        "the mean of the training images"
    );
}

#[test]
fn a_frozen_trunk_stays_as_it_was() {
    let data = stripes(18);
    let trunk = Run::new(with(params(), &[("seed", json!(6))]), &data).outcome().unwrap().tensors();
    for augment in [json!({}), json!({"flip": "vertical"})] {
        let trained = Run::new(with(params(), &[("augment", augment)]), &data).frozen(&trunk).outcome().unwrap();
        let tensors = trained.tensors();
        for (name, values) in &trunk {
            assert_eq!(name.starts_with("features."), tensors[name] == *values, "{name}");
        }
    }
}

#[test]
fn published_weights_that_do_not_fit_are_named() {
    let data = stripes(18);
    let mut trunk = Run::new(with(params(), &[("epochs", json!(1))]), &data).outcome().unwrap().tensors();
    trunk.remove("features.5.bias");
    let error = Run::new(params(), &data).frozen(&trunk).failure();
    assert_eq!(error, "init.weights does not fit model `tiny`: `features.5.bias` [64] is missing");
}

#[test]
fn a_loss_that_is_no_number_names_epoch_and_batch() {
    let data = stripes(18);
    let changes = [("optimizer", json!("sgd")), ("learning_rate", json!(1e20))];
    let error = Run::new(with(params(), &changes), &data).failure();
    assert!(error.contains("in epoch 1, batch 2: the training diverged; lower `learning_rate`"), "{error}");
}

#[test]
fn data_that_cannot_be_trained_on_is_refused_with_a_reason() {
    let good = stripes(18);
    let error = |params: Value, change: &dyn Fn(&mut (Images, Split))| {
        let mut data = good.clone();
        change(&mut data);
        Run::new(params, &data).failure()
    };
    let same = |_: &mut (Images, Split)| ();
    let table = [
        (error(with(params(), &[("fold", json!(4))]), &same), "fold 4 does not exist: the split has folds 1 to 3"),
        (
            error(with(params(), &[("class_weights", json!([1.0, 2.0]))]), &same),
            "class_weights has 2 numbers, but there are 3 classes: left, middle, right",
        ),
        (
            error(params(), &|data| data.1.labels.iter_mut().for_each(|label| *label = (*label).min(1))),
            "no training image of class `right` is left outside fold 1",
        ),
        (
            error(params(), &|data| data.1.names[1] = "else.png".to_owned()),
            "input `split`: it was made for other images: `else.png` stands where the images have `1.png`",
        ),
        (
            error(with(params(), &[("model", json!("squeezenet1_1"))]), &same),
            "input `images`: they are 16×16 pixels, but `squeezenet1_1` needs at least 32×32",
        ),
    ];
    for (found, expected) in table {
        assert!(found.starts_with(expected), "{found}");
    }
}
