//! Features of a few small images, computed as the engine does.

use std::collections::BTreeMap;

use burn::tensor::Device;
use orchestrate_engine::stage::{Context, Stage, StageError};
use orchestrate_stages::artifact::{Features, Images, Table};
use orchestrate_stages::random::Seed;
use serde::Deserialize;
use serde_json::{Value, json};

use super::STAGE;
use crate::model::{Classifier, ModelName, Tensors};
use crate::testing::reference::{Sample, TOLERANCE, assert_close, formula_image, formula_tensors};
use crate::testing::training::{pretrained, with};
use crate::testing::{Bench, problems};

/// Returns images of the formula, of `size` × `size` pixels.
pub(crate) fn images(count: usize, size: usize) -> Images {
    let names = (0..count).map(|image| format!("{image}.png")).collect();
    let pixels = (0..count).flat_map(|image| formula_image(&format!("image {image}"), size, size)).collect();
    Images { names, height: size, width: size, pixels }
}

/// Returns weights of the formula for a whole classifier.
pub(crate) fn weights(model: &str) -> Tensors {
    let drawn = Classifier::drawn(ModelName::new(model).unwrap(), 3, &Seed::new("test", 0, &[]), &Device::flex());
    formula_tensors(&drawn.tensors())
}

/// Runs the stage; returns the features, and the text that every run prints.
pub(crate) fn features(
    params: Value,
    images: &Images,
    trunk: &Tensors,
    threads: usize,
) -> Result<(Features, Option<String>), StageError> {
    let (bench, scratch) = (Bench::new(), tempfile::tempdir().unwrap());
    let file = pretrained(scratch.path(), trunk);
    let params = with(params, &[("init", json!({"weights": file.path}))]);
    let mut action = bench.action(&params.to_string(), &[("images", &[bench.item(images, &[])])]);
    action.files.push(file);
    let context = Context {
        scratch_dir: scratch.path(),
        checkpoint_dir: None,
        checkpoint_stamp: None,
        threads,
        device: "cpu",
        log_max_bytes: u64::MAX,
        progress: &|_| (),
        cancelled: &|| false,
    };
    let output = STAGE.run(&context, &[action]).remove(0)?.remove(0);
    let files = bench.store(output);
    let text = files.get(1).map(|file| String::from_utf8(file.read().unwrap()).unwrap());
    Ok((Features::decode(&files[0].read().unwrap()).unwrap(), text))
}

/// `tests/reference/models.py` made `models.json`.
#[test]
fn features_are_the_means_of_torchvisions_maps() {
    #[derive(Deserialize)]
    struct Models {
        models: BTreeMap<String, Reference>,
    }
    #[derive(Deserialize)]
    struct Reference {
        size: usize,
        pooled: Sample,
    }
    let Models { models } =
        serde_json::from_str(include_str!("../../tests/reference/models.json")).expect("the script wrote it");
    for (model, Reference { size, pooled }) in models {
        let (found, text) = features(json!({"model": model}), &images(1, size), &weights(&model), 2).unwrap();
        assert_eq!([found.names.len(), found.width], pooled.shape(), "{model}");
        assert_close(&pooled.pick(&found.values), pooled.values(), TOLERANCE, &model);
        assert_eq!((found.origin.model, text), (model, None));
    }
}

#[test]
fn neither_threads_nor_the_size_of_a_batch_change_a_byte() {
    for (model, size, precision) in [
        ("squeezenet1_1", 40, "f32"),
        ("squeezenet1_1", 40, "bf16"),
        ("alexnet", 64, "f32"),
        ("resnet18", 40, "f32"),
        ("densenet121", 32, "f32"),
        ("vgg16", 32, "f32"),
    ] {
        let (images, weights) = (images(7, size), weights(model));
        let of = |batch_size: usize, threads| {
            let params = json!({"model": model, "precision": precision, "batch_size": batch_size});
            features(params, &images, &weights, threads).unwrap().0
        };
        let one = of(7, 1);
        assert_eq!(one.names, images.names);
        for (batch_size, threads) in [(7, 2), (1, 1), (3, 2), (32, 4)] {
            assert!(of(batch_size, threads) == one, "{model}, {precision}: {batch_size} a batch, {threads} threads");
        }
    }
}

#[test]
fn the_origin_tells_images_weights_and_precision_apart() {
    let (data, trunk) = (images(2, 32), weights("squeezenet1_1"));
    let origin = |params: Value, images: &Images, trunk: &Tensors| features(params, images, trunk, 1).unwrap().0.origin;
    let params = json!({"model": "squeezenet1_1"});
    let one = origin(params.clone(), &data, &trunk);
    assert_eq!(one.normalisation, r#"{"mean":[0.485,0.456,0.406],"sd":[0.229,0.224,0.225]}"#);
    let mut others = trunk.clone();
    others.get_mut("head.bias").unwrap().values[0] = 9.0;
    assert_eq!(origin(params.clone(), &data, &others), one, "the head is no part of the trunk");
    others.get_mut("features.0.bias").unwrap().values[0] = 9.0;
    assert_ne!(origin(params.clone(), &data, &others).trunk, one.trunk);
    assert_ne!(origin(params.clone(), &images(3, 32), &trunk).images, one.images);
    assert_eq!(origin(with(params, &[("precision", json!("f16"))]), &data, &trunk).precision, "f16");
}

#[test]
fn features_that_no_training_could_use_are_refused_with_a_reason() {
    let failure = |model: &str, size, trunk: &Tensors| {
        features(json!({"model": model}), &images(1, size), trunk, 1).unwrap_err().to_string()
    };
    let mut added = weights("modified-alexnet");
    added.retain(|name, _| name.starts_with("features."));
    let error = failure("modified-alexnet", 64, &added);
    assert!(
        error.starts_with("init.weights does not fit model `modified-alexnet`: `added.0.bias` [512] is"),
        "{error}"
    );
    assert!(error.ends_with("give the weights of a training, or take the model without them"), "{error}");

    let mut missing = weights("squeezenet1_1");
    missing.remove("features.0.bias");
    let error = failure("squeezenet1_1", 32, &missing);
    assert_eq!(error, "init.weights does not fit model `squeezenet1_1`: `features.0.bias` [64] is missing");

    let mut large = weights("squeezenet1_1");
    large.get_mut("features.0.weight").unwrap().values.fill(3e38);
    let error = failure("squeezenet1_1", 32, &large);
    assert!(error.starts_with("the trunk gives NaN or infinity for image `0.png`; check `init.weights`"), "{error}");

    let error = failure("squeezenet1_1", 16, &weights("squeezenet1_1"));
    assert!(error.starts_with("input `images`: they are 16×16 pixels, but `squeezenet1_1` needs"), "{error}");
}

#[test]
fn wrong_params_are_answered_with_a_sentence() {
    let table = [
        (
            "model = \"tiny\"\ninit = { weights = \"w\" }",
            "model `tiny` normalises images by the training images of each",
        ),
        ("model = \"vgg16\"\ninit = { weights = \"w\" }\nbatch_size = 0", "`batch_size` must be at least 1, not 0"),
    ];
    for (toml, expected) in table {
        let problems = problems(&STAGE, toml.to_owned());
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{toml}: {problems:?}");
    }
}

#[test]
fn a_prefix_that_was_removed_from_the_names_of_a_file_is_told() {
    let wrapped: Tensors =
        weights("squeezenet1_1").into_iter().map(|(name, values)| (format!("module.{name}"), values)).collect();
    let (_, text) = features(json!({"model": "squeezenet1_1"}), &images(1, 32), &wrapped, 1).unwrap();
    assert_eq!(text.unwrap(), "init.weights: the prefix `module.` of all names is removed\n");
}
