//! Against PyTorch: `tests/reference/train.py` made `train.json`.

use std::collections::BTreeMap;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor};
use serde::Deserialize;

use crate::model::{Classifier, ModelName, Normalisation};
use crate::testing::reference::{assert_close, formula_image, formula_tensors, image_tensor};
use crate::train::Params;
use crate::training::OptimizerKind;
use orchestrate_stages::random::Seed;

#[derive(Deserialize)]
struct Reference {
    labels: Vec<i32>,
    class_weights: Vec<f32>,
    runs: BTreeMap<String, TorchRun>,
}

#[derive(Deserialize)]
struct TorchRun {
    losses: Vec<f32>,
    /// About seven values of each tensor, evenly spaced.
    tensors: BTreeMap<String, Vec<f32>>,
}

fn params(toml: &str) -> Params {
    toml::from_str(&format!("model = \"tiny\"\nfold = 1\n{toml}")).expect("the test's params are valid")
}

#[test]
fn four_steps_of_each_optimizer_give_pytorchs_losses_and_weights() {
    let reference: Reference =
        serde_json::from_str(include_str!("../../../tests/reference/train.json")).expect("the script wrote it");
    let device = Device::flex().autodiff();
    let model = ModelName::new("tiny").expect("it exists");
    let drawn = Classifier::drawn(model, 3, &Seed::new("test", 0, &[]), &device);
    let initial = formula_tensors(&drawn.tensors());

    let pixels: Vec<u8> = (0..6).flat_map(|image| formula_image(&format!("image {image}"), 16, 16)).collect();
    let normalisation = Normalisation { mean: vec![0.5], sd: vec![0.25] };
    let images = image_tensor(&pixels, 16, 16, &normalisation, &device);
    let targets = Tensor::<1, Int>::from_ints(reference.labels.as_slice(), &device);
    let loss = CrossEntropyLossConfig::new().with_weights(Some(reference.class_weights)).init(&device);

    for params in [
        params("optimizer = \"adam\"\nlearning_rate = 0.001\nweight_decay = 0.01"),
        params("optimizer = \"adamw\"\nlearning_rate = 0.001\nweight_decay = 0.1"),
        params("optimizer = \"sgd\"\nlearning_rate = 0.01\nweight_decay = 0.01\nmomentum = 0.9"),
    ] {
        let name = match params.optimizer {
            OptimizerKind::Adam => "adam",
            OptimizerKind::AdamW => "adamw",
            OptimizerKind::Sgd => "sgd",
        };
        let run = &reference.runs[name];
        let mut classifier = Classifier::from_tensors(model, 3, &initial, &device).expect("its own names fit");
        let mut optimizer = params.recipe().optimizer();
        let losses: Vec<f32> = run
            .losses
            .iter()
            .map(|_| {
                let loss = loss.forward(classifier.logits(images.clone()), targets.clone());
                let gradients = GradientsParams::from_grads(loss.backward(), &classifier);
                classifier = optimizer.step(params.learning_rate, classifier.clone(), gradients);
                loss.into_scalar::<f32>()
            })
            .collect();
        assert_close(&losses, &run.losses, 1e-4, &format!("losses of {name}"));
        for (tensor, theirs) in &run.tensors {
            let ours = &classifier.tensors()[tensor].values;
            let ours: Vec<f32> = ours.iter().step_by((ours.len() / 7).max(1)).copied().collect();
            assert_close(&ours, theirs, 2e-5, &format!("{tensor} of {name}"));
        }
    }
}
