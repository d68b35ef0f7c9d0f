//! Trainings that take features from the stage `features` instead of computing them.

use orchestrate_engine::stage::{Item, Stage};
use orchestrate_stages::artifact::{Features, Images, Split};
use serde_json::{Value, json};

use super::{params, stripes_of};
use crate::features::tests::{features, weights};
use crate::model::Tensors;
use crate::testing::Bench;
use crate::testing::training::{Inputs, Run, with};

/// A training with features.
type Given = ((Images, Split), Features);

impl Inputs for Given {
    const STAGE: &'static dyn Stage = &crate::train::STAGE;

    fn items(&self, bench: &Bench) -> Vec<(&'static str, [Item; 1])> {
        let mut items = self.0.items(bench);
        items.push(("features", [bench.item(&self.1, &[])]));
        items
    }
}

fn given(data: &(Images, Split), model: &str, precision: &str, trunk: &Tensors) -> Given {
    // Batches of another size than those of the training.
    let params = json!({"model": model, "precision": precision, "batch_size": 5});
    (data.clone(), features(params, &data.0, trunk, 1).unwrap().0)
}

fn of(model: &str) -> Value {
    with(params(), &[("model", json!(model)), ("learning_rate", json!(0.03))])
}

#[test]
fn a_training_with_features_gives_the_bytes_of_one_that_computes_them() {
    for (model, precision) in
        [("squeezenet1_1", "f32"), ("squeezenet1_1", "f16"), ("resnet18", "f32"), ("modified-alexnet", "f32")]
    {
        let (data, trunk) = (stripes_of(18, 40), weights(model));
        let changes = [("precision", json!(precision)), ("class_weights", json!("balanced"))];
        let params = with(of(model), &changes);
        let given = given(&data, model, precision, &trunk);
        let computed = Run::new(params.clone(), &data).frozen("trunk", &trunk).outcome().unwrap();
        let taken = Run::new(params, &given).frozen("trunk", &trunk).outcome().unwrap();
        assert!(taken == computed, "{model}, {precision}");
        assert!(computed.messages.iter().any(|message| message == "features 18/18"), "{:?}", computed.messages);
        assert!(!taken.messages.iter().any(|message| message.starts_with("features")), "{:?}", taken.messages);
    }
}

#[test]
fn features_serve_every_fold_seed_and_learning_rate() {
    let (data, trunk) = (stripes_of(18, 32), weights("squeezenet1_1"));
    let given = given(&data, "squeezenet1_1", "f32", &trunk);
    for change in [("fold", json!(2)), ("seed", json!(9)), ("learning_rate", json!(0.5)), ("batch_size", json!(1))] {
        let params = with(of("squeezenet1_1"), &[change]);
        let computed = Run::new(params.clone(), &data).frozen("trunk", &trunk).outcome().unwrap();
        assert!(Run::new(params.clone(), &given).frozen("trunk", &trunk).outcome().unwrap() == computed, "{params}");
    }
}

#[test]
fn features_that_a_training_would_not_compute_are_refused() {
    let (data, trunk) = (stripes_of(9, 32), weights("squeezenet1_1"));
    let good = given(&data, "squeezenet1_1", "f32", &trunk);
    let failure = |params: Value, change: &dyn Fn(&mut Given)| {
        let mut given = good.clone();
        change(&mut given);
        let error = Run::new(params, &given).frozen("trunk", &trunk).failure();
        error.strip_prefix("input `features`: ").unwrap_or_else(|| panic!("{error}")).to_owned()
    };
    let (params, same) = (of("squeezenet1_1"), |_: &mut Given| ());
    let other_model =
        "they were made with model = \"resnet18\", but the training has \"squeezenet1_1\"; give both stages the same";
    let other_images = "they are of other images than those at `images`; connect both stages to the same data set";
    let table = [
        (
            failure(with(params.clone(), &[("augment", json!({"flip": "both"}))]), &same),
            "`augment` changes images at random, and they are of the images as they are; leave out either",
        ),
        (
            failure(with(params.clone(), &[("precision", json!("bf16"))]), &same),
            "they were made with precision = \"f32\", but the training has \"bf16\"; give both stages the same",
        ),
        (failure(params.clone(), &|given| given.1.origin.model = "resnet18".to_owned()), other_model),
        (failure(params.clone(), &|given| given.0.0.pixels[77] ^= 1), other_images),
        (failure(params.clone(), &|given| given.1.names.swap(0, 1)), other_images),
        (
            failure(params.clone(), &|given| given.1.origin.trunk.replace_range(..4, "0000")),
            "they were made with other weights of the trunk; give both stages the same `init.weights`",
        ),
        (
            failure(params.clone(), &|given| (given.1.width, given.1.values) = (1, vec![0.5; 9])),
            "they are 1 an image, but `squeezenet1_1` has 512; make them anew",
        ),
    ];
    for (found, expected) in table {
        assert_eq!(found, expected);
    }
    let error = Run::new(params, &good).initialised(&trunk).failure();
    let expected = "input `features`: the training changes the trunk, and so its features; set `freeze = \"trunk\"`";
    assert!(error.starts_with(expected), "{error}");
}
