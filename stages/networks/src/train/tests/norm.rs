//! Trainings with batch normalisation, and from files that cover a part of the weights.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

use super::{params, stripes_of};
use crate::model::{Classifier, ModelName, Normalisation, Tensors};
use crate::testing::reference::{Sample, assert_close, formula_image, formula_tensors, image_tensor};
use crate::testing::training::{Run, with};
use crate::train::Params;
use orchestrate_stages::random::Seed;

fn drawn(model: &str, seed: u64) -> Tensors {
    let model = ModelName::new(model).unwrap();
    Classifier::drawn(model, 3, &Seed::new("test", seed, &[]), &Device::flex()).tensors()
}

/// `tests/reference/train_norm.py` made `train_norm.json`.
#[test]
fn two_steps_with_batch_normalisation_give_pytorchs_weights_and_running_statistics() {
    #[derive(Deserialize)]
    struct Reference {
        size: usize,
        labels: Vec<i32>,
        losses: Vec<f32>,
        tensors: BTreeMap<String, Sample>,
    }
    let reference: Reference =
        serde_json::from_str(include_str!("../../../tests/reference/train_norm.json")).expect("the script wrote it");
    let device = Device::flex().autodiff();
    let model = ModelName::new("resnet18").unwrap();
    let initial = formula_tensors(&drawn("resnet18", 0));
    let mut classifier = Classifier::from_tensors(model, 3, &initial, &device).expect("its own names fit");
    let size = reference.size;
    let pixels: Vec<u8> =
        (0..reference.labels.len()).flat_map(|image| formula_image(&format!("image {image}"), size, size)).collect();
    let images = image_tensor(&pixels, size, size, &Normalisation::image_net(), &device);
    let targets = Tensor::<1, Int>::from_ints(reference.labels.as_slice(), &device);
    let params: Params = toml::from_str(
        "model = \"resnet18\"\nfold = 1\noptimizer = \"sgd\"\n\
         learning_rate = 0.01\nweight_decay = 0.01\nmomentum = 0.9",
    )
    .unwrap();
    let mut optimizer = params.recipe().optimizer();
    let loss = CrossEntropyLossConfig::new().init(&device);
    let losses: Vec<f32> = reference
        .losses
        .iter()
        .map(|_| {
            let loss = loss.forward(classifier.logits(images.clone()), targets.clone());
            let gradients = GradientsParams::from_grads(loss.backward(), &classifier);
            classifier = optimizer.step(params.learning_rate, classifier.clone(), gradients);
            loss.into_scalar::<f32>()
        })
        .collect();
    assert_close(&losses, &reference.losses, 1e-4, "losses");
    let tensors = classifier.tensors();
    for (name, sample) in &reference.tensors {
        assert_eq!(tensors[name].shape, sample.shape(), "{name}");
        assert_close(&sample.pick(&tensors[name].values), sample.values(), 1e-4, name);
        if name.contains("running") {
            assert_ne!(tensors[name], initial[name], "{name} was moved");
        }
    }
    // Evaluation uses the updated running statistics, so its values differ from those in training.
    let evaluated = classifier.features(images.clone());
    let trained: Vec<f32> = evaluated.into_data().try_into_vec_as().unwrap();
    let kept = Classifier::from_tensors(model, 3, &tensors, &Device::flex()).unwrap();
    let images = image_tensor(&pixels, size, size, &Normalisation::image_net(), &Device::flex());
    let kept: Vec<f32> = kept.features(images).into_data().try_into_vec_as().unwrap();
    assert!(kept.iter().zip(&trained).any(|(kept, trained)| (kept - trained).abs() > 1e-3));
}

#[test]
fn drawn_batch_normalisation_changes_nothing_before_training() {
    let tensors = drawn("resnet18", 0);
    for (name, value) in [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)] {
        assert_eq!(tensors[&format!("layer3.0.downsample.1.{name}")].values, vec![value; 256], "{name}");
    }
    assert!(!tensors.keys().any(|name| name.contains("num_batches_tracked")));
}

#[test]
fn a_stopped_training_with_batch_normalisation_goes_on_to_the_same_bytes() {
    let data = stripes_of(9, 32);
    let changes = [
        ("model", json!("resnet18")),
        ("epochs", json!(2)),
        ("batch_size", json!(3)),
        ("learning_rate", json!(0.0003)),
    ];
    let params = with(params(), &changes);
    let undisturbed = Run::new(params.clone(), &data).threads(2).outcome().unwrap();
    assert_ne!(undisturbed.tensors()["bn1.running_mean"], drawn("resnet18", 0)["bn1.running_mean"]);
    let dir = tempfile::tempdir().unwrap();
    // An epoch has two batches of training and one of validation, so it stops in the second epoch.
    Run::stop_after(4, &params, &data, dir.path());
    let (resumed, asked) = Run::resume(&params, &data, dir.path());
    assert!(resumed == undisturbed, "stopped after one epoch");
    assert_eq!(asked, 3, "only the second epoch ran again");
}

#[test]
fn a_frozen_trunk_keeps_its_running_statistics() {
    let data = stripes_of(9, 32);
    let trunk = drawn("resnet18", 3);
    let changes = [("model", json!("resnet18")), ("epochs", json!(1)), ("batch_size", json!(3))];
    // Features are computed once without augmentation, and in every batch with it.
    for augment in [json!({}), json!({"flip": "vertical"})] {
        let params = with(with(params(), &changes), &[("augment", augment)]);
        let tensors = Run::new(params, &data).frozen("trunk", &trunk).outcome().unwrap().tensors();
        for (name, values) in &trunk {
            assert_eq!(!name.starts_with("head."), tensors[name] == *values, "{name}");
        }
    }
}

#[test]
fn a_frozen_modified_network_trains_what_the_file_lacks() {
    let data = stripes_of(9, 32);
    let mut pretrained = drawn("modified-alexnet", 3);
    let changes = [("model", json!("modified-alexnet")), ("epochs", json!(1)), ("batch_size", json!(3))];
    let params = with(params(), &changes);
    let moved = |file: &Tensors| -> Vec<String> {
        let tensors = Run::new(params.clone(), &data).frozen("trunk", file).outcome().unwrap().tensors();
        let seen = |name: &&String| name.starts_with("added.") || name.starts_with("features.");
        file.keys().filter(seen).filter(|name| tensors[*name] != file[*name]).cloned().collect()
    };
    assert_eq!(moved(&pretrained), [""; 0], "a file of another training has all of the trunk");

    pretrained.retain(|name, _| name.starts_with("features."));
    assert_eq!(moved(&pretrained), [""; 0], "the pretrained part stays");
    let undisturbed = Run::new(params.clone(), &data).outcome().unwrap().tensors();
    let trained = Run::new(params.clone(), &data).frozen("trunk", &pretrained).outcome().unwrap();
    let before = Classifier::drawn(
        ModelName::new("modified-alexnet").unwrap(),
        3,
        &Seed::new("train", 5, &["modified-alexnet", "1"]),
        &Device::flex(),
    );
    assert_ne!(trained.tensors()["added.2.weight"], before.tensors()["added.2.weight"], "what was drawn is trained");
    assert_ne!(trained.tensors()["features.0.weight"], undisturbed["features.0.weight"]);
}

#[test]
fn the_card_and_the_progress_say_where_the_weights_come_from() {
    let data = stripes_of(9, 32);
    let changes = [("model", json!("modified-alexnet")), ("epochs", json!(1)), ("batch_size", json!(9))];
    let params = with(params(), &changes);
    let random = Run::new(params.clone(), &data).outcome().unwrap();
    assert_eq!(random.card()["init"], "random");
    assert_eq!(random.messages[0], "random initial weights");
    assert_eq!(random.card()["normalisation"]["mean"][2], json!(0.406), "ImageNet's, also without weights");

    let pretrained = Run::new(params, &data).initialised(&drawn("modified-alexnet", 3)).outcome().unwrap();
    assert_eq!(pretrained.card()["init"], "published");
    assert!(!pretrained.messages.iter().any(|message| message.contains("random")), "{:?}", pretrained.messages);

    let tiny = Run::new(with(super::params(), &[("epochs", json!(1))]), &data).outcome().unwrap();
    assert_eq!(tiny.card()["init"], "random");
    assert!(!tiny.messages.iter().any(|message| message.contains("random")), "tiny has no pretrained weights");
}

#[test]
fn a_prefix_that_was_removed_from_the_names_of_a_file_is_told_with_the_result() {
    let data = super::stripes(18);
    let params = with(super::params(), &[("epochs", json!(1))]);
    let trunk = drawn("tiny", 3);
    let plain = Run::new(params.clone(), &data).frozen("trunk", &trunk).outcome().unwrap();
    assert_eq!(plain.text, None);

    let wrapped: Tensors = trunk.into_iter().map(|(name, values)| (format!("module.{name}"), values)).collect();
    let outcome = Run::new(params, &data).frozen("trunk", &wrapped).outcome().unwrap();
    assert!(outcome == plain, "the same tensors give the same training");
    let told = "init.weights: the prefix `module.` of all names is removed";
    assert_eq!(outcome.text, Some(format!("{told}\n")));
    assert_eq!(outcome.messages[0], told);
}
