use std::path::Path;

use burn::tensor::{Device, Tensor};
use orchestrate_engine::stage::{Action, Context, Stage, StageError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::model::{InitialWeights, ModelName, Normalisation, Weights};
use crate::testing::Bench;
use crate::testing::reference::{Sample, assert_close, formula_images, formula_tensors};
use orchestrate_stages::artifact::{Images, Split};
use orchestrate_stages::random::Seed;

type Inputs = (Images, Split, Weights<ModelCard>);

#[test]
fn a_map_is_the_sum_of_features_times_the_weights_of_its_class() {
    let device = Device::flex();
    // Two images, two features, maps of 1×2.
    let features = Tensor::<4>::from_floats([[[[1.0, 2.0]], [[3.0, 4.0]]], [[[5.0, 6.0]], [[7.0, 8.0]]]], &device);
    let weights = Tensor::<2>::from_floats([[1.0, 10.0], [-1.0, 0.5]], &device);
    let maps = class_activation_map(features, weights, &[1, 0]);
    assert_eq!(maps.dims(), [2, 1, 2]);
    // Class 1 of the first image: -1 · (1, 2) + 0.5 · (3, 4). Class 0 of the second: (5, 6) + 10 · (7, 8).
    assert_eq!(numbers(maps).unwrap(), [0.5, 0.0, 75.0, 86.0]);
}

#[test]
fn the_predicted_class_is_the_first_of_the_largest() {
    assert_eq!(largest(&[0.2, 0.4, 0.4]), 1);
    assert_eq!(largest(&[0.5]), 0);
}

/// `tests/reference/squeezenet.py` made `squeezenet.json`.
#[test]
fn maps_of_squeezenet_are_pytorchs_einsum() {
    #[derive(Deserialize)]
    struct Reference {
        cam: Expected,
    }
    #[derive(Deserialize)]
    struct Expected {
        predicted: Vec<u32>,
        probabilities: Vec<f32>,
        maps: Sample,
    }
    let Reference { cam } = serde_json::from_str(include_str!("../../tests/reference/squeezenet.json")).unwrap();
    let model = ModelName::new("squeezenet1_1").unwrap();
    let device = Device::flex();
    let drawn = Classifier::drawn(model, 3, &Seed::new("test", 0, &[]), &device);
    let classifier = Classifier::from_tensors(model, 3, &formula_tensors(&drawn.tensors()), &device).unwrap();
    let mapped = map(&classifier, formula_images()).unwrap();
    assert_eq!(mapped.predicted, cam.predicted);
    assert_close(&mapped.probabilities, &cam.probabilities, 1e-5, "probabilities");
    let maps = Tensor::<1>::from_floats(mapped.maps.as_slice(), &device).reshape([2, mapped.height, mapped.width]);
    cam.maps.assert_close::<3>(maps, "maps");
}

/// Six images of 16×16 in folds 1, 2, 1, 2, 1, 2 and a network of random weights that has not seen fold 2.
fn inputs() -> Inputs {
    let names: Vec<String> = (0..6).map(|image| format!("{image}.png")).collect();
    let classes = ["a".to_owned(), "b".to_owned()].to_vec();
    let model = ModelName::new("tiny-modified").unwrap();
    let images = Images {
        names: names.clone(),
        height: 16,
        width: 16,
        pixels: (0..6 * 256).map(|place| (place * 7 % 251) as u8).collect(),
    };
    let split = Split {
        names,
        labels: vec![0, 1, 0, 1, 1, 0],
        classes: classes.clone(),
        patients: vec![None; 6],
        folds: vec![1, 2, 1, 2, 1, 2],
    };
    let card = ModelCard {
        model,
        classes,
        height: 16,
        width: 16,
        normalisation: Normalisation { mean: vec![0.5], sd: vec![0.3] },
        fold: 2,
        seed: 0,
        precision: Precision::F32,
        init: InitialWeights::Random,
    };
    let tensors = Classifier::drawn(model, 2, &Seed::new("test", 0, &[]), &Device::flex()).tensors();
    (images, split, Weights { card, tensors })
}

fn action(bench: &Bench, params: &Value, (images, split, weights): &Inputs) -> Action {
    let weights = orchestrate_engine::stage::Item { labels: Vec::new(), files: bench.store(weights.output().unwrap()) };
    let inputs = [("images", [bench.item(images, &[])]), ("split", [bench.item(split, &[])]), ("weights", [weights])];
    bench.action(&params.to_string(), &inputs.each_ref().map(|(port, items)| (*port, items.as_slice())))
}

fn cams(params: Value, inputs: &Inputs) -> Result<Cams, StageError> {
    let bench = Bench::new();
    let outcome = bench.run(&STAGE, &[action(&bench, &params, inputs)]).remove(0)?;
    Ok(bench.table(Ok(outcome)))
}

#[test]
fn images_of_the_unseen_fold_are_mapped_in_data_set_order() {
    let inputs = inputs();
    let found = cams(json!({}), &inputs).unwrap();
    assert_eq!(found.names, ["1.png", "3.png", "5.png"]);
    assert_eq!(found.labels, [1, 1, 0]);
    assert_eq!((found.height, found.width, found.input_height, found.input_width), (2, 2, 16, 16));
    assert_eq!((found.maps.len(), found.probabilities.len()), (3 * 4, 3 * 2));
    assert_eq!(cams(json!({"fold": 2}), &inputs).unwrap(), found, "the fold may be named");

    let all = cams(json!({"images": "all"}), &inputs).unwrap();
    assert_eq!(all.names, inputs.0.names);
    assert_close(&all.maps[4..8], &found.maps[..4], 1e-5, "map of 1.png");
}

#[test]
fn maps_in_half_precision_are_nearly_those_in_f32() {
    let inputs = inputs();
    let exact = cams(json!({}), &inputs).unwrap();
    let largest = exact.maps.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (precision, bound) in [("bf16", 4e-2), ("f16", 4e-3)] {
        let found = cams(json!({"precision": precision}), &inputs).unwrap();
        assert_ne!(found.maps, exact.maps);
        assert_eq!(found.predicted, exact.predicted);
        assert_close(&found.maps, &exact.maps, bound * largest, precision);
    }
}

#[test]
fn predictions_are_the_cams_without_their_maps() {
    let bench = Bench::new();
    let outcome = bench.run(&STAGE, &[action(&bench, &json!({"batch_size": 2}), &inputs())]).remove(0).unwrap();
    let [maps, predicted] = outcome.try_into().unwrap();
    let maps: Cams = bench.table(Ok(vec![maps]));
    assert_eq!(bench.table::<Predictions>(Ok(vec![predicted])), predictions(&maps));
}

#[test]
fn what_does_not_fit_together_is_refused_with_a_reason() {
    let good = inputs();
    let error = |params: Value, change: &dyn Fn(&mut Inputs)| {
        let mut inputs = good.clone();
        change(&mut inputs);
        cams(params, &inputs).expect_err("it does not fit").to_string()
    };
    let table = [
        (
            error(json!({"fold": 1}), &|_| ()),
            "fold = 1, but the weights have not seen fold 2: they were trained on the images of fold 1",
        ),
        (
            error(json!({}), &|inputs| inputs.2.card.classes.reverse()),
            "input `weights`: the network knows the classes b, a, but the split has a, b",
        ),
        (
            error(json!({}), &|inputs| inputs.2.card.height = 32),
            "input `weights`: the network was trained on 32×16 pixels, but the images are 16×16",
        ),
        (
            error(json!({}), &|inputs| inputs.1.names[0] = "else.png".to_owned()),
            "input `split`: it was made for other images",
        ),
        (error(json!({}), &|inputs| inputs.1.folds = vec![1; 6]), "fold 2 of the split has no images"),
        (
            error(json!({}), &|inputs| drop(inputs.2.tensors.remove("head.bias"))),
            "`weights.safetensors` does not fit model `tiny-modified`: `head.bias` [2] is missing",
        ),
        (
            error(json!({}), &|inputs| inputs.2.tensors.get_mut("head.bias").unwrap().values[0] = f32::NAN),
            "the network gives NaN or infinity for image `1.png`",
        ),
    ];
    for (found, expected) in table {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_cancelled_run_stops_before_the_next_batch() {
    let bench = Bench::new();
    let action = action(&bench, &json!({}), &inputs());
    let context = Context {
        scratch_dir: Path::new(""),
        checkpoint_dir: None,
        checkpoint_stamp: None,
        threads: 1,
        device: "cpu",
        log_max_bytes: u64::MAX,
        progress: &|_| (),
        cancelled: &|| true,
    };
    assert!(matches!(STAGE.run(&context, &[action]).remove(0), Err(StageError::Cancelled)));
}
