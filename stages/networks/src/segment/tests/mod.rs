//! Trainings of a few small images, run as the engine runs them.

mod loss;
mod resume;

use std::path::Path;

use orchestrate_cache::Digest;
use orchestrate_engine::stage::{Context, ExternalFile, Progress, Stage, StageError};
use serde_json::{Value, json};

use crate::model::{Tensors, read_safetensors, write_safetensors};
use crate::testing::{Bench, blobs};
use orchestrate_stages::artifact::{Images, Masks, SegmentCurve, Split, Table};

/// The params that most tests change a little.
pub(super) fn params() -> Value {
    json!({"encoder": "vgg16", "fold": 1, "epochs": 1, "batch_size": 4, "learning_rate": 0.001, "seed": 5})
}

pub(super) fn with(mut params: Value, changes: &[(&str, Value)]) -> Value {
    for (name, value) in changes {
        params[name] = value.clone();
    }
    params
}

/// Images, their masks and folds.
pub(super) type Data = (Images, Masks, Split);

/// One run of the stage.
pub(super) struct Run<'a> {
    params: Value,
    data: &'a Data,
    threads: usize,
    checkpoint_dir: Option<&'a Path>,
    cancelled: &'a (dyn Fn() -> bool + Sync),
    init: Option<&'a Tensors>,
}

impl<'a> Run<'a> {
    pub(super) fn new(params: Value, data: &'a Data) -> Self {
        Self { params, data, threads: 2, checkpoint_dir: None, cancelled: &|| false, init: None }
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

    /// Gives the encoder those weights and freezes it.
    fn frozen(mut self, init: &'a Tensors) -> Self {
        self.params["freeze"] = json!("encoder");
        self.params["init"] = json!({"weights": "/elsewhere/vgg16.safetensors"});
        Self { init: Some(init), ..self }
    }

    pub(super) fn outcome(self) -> Result<Outcome, StageError> {
        let bench = Bench::new();
        let (images, masks, split) = self.data;
        let inputs = [
            ("images", [bench.item(images, &[])]),
            ("masks", [bench.item(masks, &[])]),
            ("split", [bench.item(split, &[])]),
        ];
        let inputs = inputs.each_ref().map(|(port, items)| (*port, items.as_slice()));
        let mut action = bench.action(&self.params.to_string(), &inputs);
        let scratch = tempfile::tempdir().unwrap();
        if let Some(tensors) = self.init {
            let path = scratch.path().join("vgg16.safetensors");
            let bytes = write_safetensors(tensors);
            std::fs::write(&path, &bytes).unwrap();
            action.files.push(ExternalFile { name: "init.weights".to_owned(), path, digest: Digest::of(&bytes) });
        }
        let context = Context {
            scratch_dir: scratch.path(),
            checkpoint_dir: self.checkpoint_dir,
            threads: self.threads,
            device: "cpu",
            log_max_bytes: u64::MAX,
            progress: &|_: Progress| (),
            cancelled: self.cancelled,
        };
        let mut outputs = super::STAGE.run(&context, &[action]).remove(0)?.into_iter();
        let weights = bench.store(outputs.next().expect("weights come first"));
        let curve = bench.store(outputs.next().expect("the curve comes second"));
        Ok(Outcome {
            card: weights[0].read().unwrap(),
            weights: weights[1].read().unwrap(),
            curve: curve[0].read().unwrap(),
        })
    }

    fn failure(self) -> String {
        match self.outcome() {
            Ok(_) => panic!("the training should fail"),
            Err(error) => error.to_string(),
        }
    }
}

/// The bytes that a training gives.
#[derive(PartialEq)]
pub(super) struct Outcome {
    card: Vec<u8>,
    weights: Vec<u8>,
    curve: Vec<u8>,
}

impl Outcome {
    fn tensors(&self) -> Tensors {
        read_safetensors(&self.weights).unwrap()
    }

    fn curve(&self) -> SegmentCurve {
        SegmentCurve::decode(&self.curve).unwrap()
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    let data = blobs(6, 32);
    let changed = with(params(), &[("augment", json!({"flip": "both", "shift": 2})), ("loss", json!("dice+bce"))]);
    let one = Run::new(changed.clone(), &data).threads(1).outcome().unwrap();
    assert!(Run::new(changed, &data).threads(3).outcome().unwrap() == one);
}

#[test]
fn a_unet_learns_to_find_what_is_bright() {
    let data = blobs(18, 32);
    let changes = [("epochs", json!(12)), ("encoder", json!("resnet34")), ("loss", json!("dice+bce"))];
    let outcome = Run::new(with(params(), &changes), &data).outcome().unwrap();
    let epochs = outcome.curve().epochs;
    assert_eq!(epochs.iter().map(|row| row.epoch).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    let last = epochs[11];
    assert!(last.train_loss < 0.6 * epochs[0].train_loss, "{epochs:?}");
    assert!(last.validation_iou.unwrap() > 0.4, "{epochs:?}");
    let card: Value = serde_json::from_slice(&outcome.card).unwrap();
    assert_eq!((&card["encoder"], &card["height"], &card["fold"]), (&json!("resnet34"), &json!(32), &json!(1)));
}

#[test]
fn a_frozen_encoder_stays_as_it_was_and_its_running_statistics_too() {
    let data = blobs(6, 32);
    let resnet = with(params(), &[("encoder", json!("resnet34"))]);
    let whole = Run::new(with(resnet.clone(), &[("seed", json!(6))]), &data).outcome().unwrap().tensors();
    let encoder: Tensors = whole
        .iter()
        .filter_map(|(name, values)| Some((name.strip_prefix("encoder.")?.to_owned(), values.clone())))
        .collect();
    let tensors = Run::new(resnet, &data).frozen(&encoder).outcome().unwrap().tensors();
    for (name, values) in &whole {
        assert_eq!(name.starts_with("encoder."), tensors[name] == *values, "{name}");
    }
}

#[test]
fn published_weights_that_do_not_fit_are_named() {
    let data = blobs(6, 32);
    let error = Run::new(params(), &data).frozen(&Tensors::new()).failure();
    let expected =
        "init.weights does not fit a U-Net with encoder `vgg16`: `encoder.features.0.bias` [64] is missing; ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_loss_that_is_no_number_names_epoch_and_batch() {
    let data = blobs(9, 32);
    let changes = [("optimizer", json!("sgd")), ("learning_rate", json!(1e30)), ("loss", json!("bce"))];
    let error = Run::new(with(params(), &changes), &data).failure();
    assert!(error.contains("in epoch 1, batch 2: the training diverged; lower `learning_rate`"), "{error}");
}

#[test]
fn data_that_cannot_be_trained_on_is_refused_with_a_reason() {
    let error = |size: usize, params: Value, change: &dyn Fn(&mut Data)| {
        let mut data = blobs(9, size);
        change(&mut data);
        Run::new(params, &data).failure()
    };
    let same = |_: &mut Data| ();
    let table = [
        (error(32, with(params(), &[("fold", json!(4))]), &same), "fold 4 does not exist: the split has folds 1 to 3"),
        (
            error(48, params(), &same),
            "input `images`: they are 48×48 pixels, but a U-Net halves them 5 times, so both must be multiples of 32; set \
             `size = 64` in the `dataset` stage",
        ),
        (
            error(32, params(), &|data| data.1.names[1] = "else.png".to_owned()),
            "input `masks`: there is none of image `1.png`; connect",
        ),
        (
            error(32, params(), &|data| {
                (data.1.height, data.1.width) = (16, 64);
            }),
            "input `masks`: they are 16×64 pixels, but the images are 32×32",
        ),
        (
            error(32, params(), &|data| data.1.pixels.fill(0)),
            "input `masks`: no image outside fold 1 has a mask, so there is nothing to learn",
        ),
        (
            error(32, params(), &|data| data.2.names[1] = "else.png".to_owned()),
            "input `split`: it was made for other images: `else.png` stands where the images have `1.png`",
        ),
        (
            error(32, with(params(), &[("batch_size", json!(5))]), &same),
            "a batch of one image of 32×32 pixels has one value a channel at the bottom of the U-Net",
        ),
        (error(32, params(), &|data| data.2.folds.fill(1)), "no training image is left outside fold 1; use more folds"),
    ];
    for (found, expected) in table {
        assert!(found.starts_with(expected), "{found}");
    }
}
