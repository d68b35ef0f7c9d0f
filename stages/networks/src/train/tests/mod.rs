//! Trainings of a few small images, run as the engine runs them.

mod features;
mod norm;
mod precision;
mod resume;
mod torch;

use orchestrate_engine::stage::{Item, Stage};
use orchestrate_stages::artifact::{Curve, Images, Split};
use serde_json::{Value, json};

use crate::testing::Bench;
use crate::testing::training::{Inputs, Run, with};

const SIZE: usize = 16;

/// Images whose class is the bright third of the picture.
fn stripes(count: usize) -> (Images, Split) {
    stripes_of(count, SIZE)
}

/// [`stripes`] of `size` × `size` pixels.
fn stripes_of(count: usize, size: usize) -> (Images, Split) {
    let names: Vec<String> = (0..count).map(|image| format!("{image}.png")).collect();
    let labels: Vec<u32> = (0..count as u32).map(|image| image % 3).collect();
    let mut pixels = Vec::new();
    for (image, &label) in labels.iter().enumerate() {
        for pixel in 0..size * size {
            let bright = (pixel % size) * 3 / size == label as usize;
            let noise = (pixel * 31 + image * 97) % 60;
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

/// Params of a short training, the base of most tests.
fn params() -> Value {
    json!({"model": "tiny", "fold": 1, "epochs": 3, "batch_size": 6, "learning_rate": 0.003, "seed": 5})
}

impl Inputs for (Images, Split) {
    const STAGE: &'static dyn Stage = &super::STAGE;

    fn items(&self, bench: &Bench) -> Vec<(&'static str, [Item; 1])> {
        vec![("images", [bench.item(&self.0, &[])]), ("split", [bench.item(&self.1, &[])])]
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
    let epochs = outcome.curve::<Curve>().epochs;
    assert_eq!(epochs.iter().map(|row| row.epoch).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    let last = epochs[7];
    assert!(last.figure == 1.0 && last.train_loss < epochs[0].train_loss / 4.0, "{epochs:?}");
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
        let trained =
            Run::new(with(params(), &[("augment", augment)]), &data).frozen("trunk", &trunk).outcome().unwrap();
        let tensors = trained.tensors();
        for (name, values) in &trunk {
            assert_eq!(name.starts_with("features."), tensors[name] == *values, "{name}");
        }
    }
}

#[test]
fn pretrained_weights_that_do_not_fit_are_named() {
    let data = stripes(18);
    let mut trunk = Run::new(with(params(), &[("epochs", json!(1))]), &data).outcome().unwrap().tensors();
    trunk.remove("features.5.bias");
    let error = Run::new(params(), &data).frozen("trunk", &trunk).failure();
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
