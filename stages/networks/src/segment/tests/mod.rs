//! Trainings of a few small images, run as the engine runs them.

mod loss;
mod resume;

use orchestrate_engine::stage::{Item, Stage};
use orchestrate_stages::artifact::{Images, Masks, SegmentCurve, Split};
use serde_json::{Value, json};

use crate::model::{Tensors, Values};
use crate::testing::training::{Inputs, Run, with};
use crate::testing::{Bench, blobs};

/// Params of a short training, the base of most tests.
fn params() -> Value {
    json!({"encoder": "vgg16", "fold": 1, "epochs": 1, "batch_size": 4, "learning_rate": 0.001, "seed": 5})
}

/// Images, their masks and folds.
type Data = (Images, Masks, Split);

impl Inputs for Data {
    const STAGE: &'static dyn Stage = &super::STAGE;

    fn items(&self, bench: &Bench) -> Vec<(&'static str, [Item; 1])> {
        let (images, masks, split) = self;
        vec![
            ("images", [bench.item(images, &[])]),
            ("masks", [bench.item(masks, &[])]),
            ("split", [bench.item(split, &[])]),
        ]
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
    let epochs = outcome.curve::<SegmentCurve>().epochs;
    assert_eq!(epochs.iter().map(|row| row.epoch).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    let last = epochs[11];
    assert!(last.train_loss < 0.6 * epochs[0].train_loss, "{epochs:?}");
    assert!(last.figure.unwrap() > 0.4, "{epochs:?}");
    let card = outcome.card();
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
    let tensors = Run::new(resnet, &data).frozen("encoder", &encoder).outcome().unwrap().tensors();
    for (name, values) in &whole {
        assert_eq!(name.starts_with("encoder."), tensors[name] == *values, "{name}");
    }
}

#[test]
fn pretrained_weights_that_do_not_fit_are_named() {
    let data = blobs(6, 32);
    let other = Tensors::from([("stem.bias".to_owned(), Values { shape: vec![1], values: vec![0.0] })]);
    let error = Run::new(params(), &data).frozen("encoder", &other).failure();
    let expected =
        "init.weights does not fit a U-Net with encoder `vgg16`: `encoder.features.0.bias` [64] is missing; ";
    let end = "; `encoder.stem.bias` is unexpected; and 16 more";
    assert!(error.starts_with(expected) && error.ends_with(end), "{error}");
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
            "input `images`: they are 48×48 pixels, but a U-Net halves them 5 times, so both must be multiples of \
             32; set `size = 64` in the `dataset` stage",
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
