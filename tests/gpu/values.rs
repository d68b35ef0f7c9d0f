//! Values: those of the CPU, within bounds.

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::study::{Api, UNET, classifier, device};

/// Runs a study on the CPU, and compares all its results with those of a device in software: weights, losses, maps,
/// probabilities, scores and tables may move by `bound`.
fn compare(spec: &str, api: Api, bound: f64) {
    let Some(device) = device(api) else { return };
    compare_in(&Sandbox::with_spec(spec), &device, bound);
}

fn compare_in(sandbox: &Sandbox, device: &str, bound: f64) {
    sandbox.run_well(&["--device", "cpu"]);
    let said = sandbox.orchestrate(&["verify-results", "spec.toml", "--device", device, "--json"]);
    // Some steps are beyond any tolerance.
    assert!(matches!(said.code, Some(0 | 1)), "{}\n{}", said.out, said.err);
    let mut moved = 0;
    for line in said.out.lines() {
        let stage: Value = serde_json::from_str(line).expect("a line is JSON");
        for column in stage["columns"].as_array().expect("a stage has columns") {
            let name = column["name"].as_str().expect("a column has a name");
            // Steps: a pixel at a threshold is in or out, and a class is right or wrong. Scores and tables have their
            // effect.
            let is_step = ["predicted-masks pixels", "scores mask_pixels", "curve validation_accuracy"].contains(&name);
            // A value of a map in 256 grey levels.
            let bound = if name == "thresholds threshold" { bound.max(1.01 / 255.0) } else { bound };
            let largest = column["largest"].as_f64();
            assert!(is_step || largest.is_some_and(|largest| largest <= bound), "{} {column}", stage["stage"]);
            moved += 1;
        }
    }
    assert!(moved > 0, "a device rounds differently, so it computed something");
}

/// Rounding turns the sign of a tiny gradient, and Adam's step has the size of the learning rate, so it is small here.
#[test]
fn a_classifier_in_f32_has_the_weights_maps_and_scores_of_the_cpu() {
    let train = "model = \"tiny\"\nepochs = 4\nbatch_size = 16\nlearning_rate = 1e-4";
    compare(&classifier(60, train), Api::Vulkan, 0.002);
}

#[test]
fn a_classifier_in_f16_is_within_its_three_digits() {
    let train = "model = \"tiny\"\nepochs = 4\nbatch_size = 16\nlearning_rate = 1e-4\nprecision = \"f16\"";
    compare(&classifier(60, train), Api::Vulkan, 0.03);
}

#[test]
fn batch_normalisation_and_a_smaller_last_batch_are_those_of_the_cpu() {
    let train = "model = \"resnet18\"\nepochs = 1\nbatch_size = 5\nlearning_rate = 1e-5";
    compare(&classifier(16, train), Api::Vulkan, 0.002);
}

#[test]
fn features_of_a_pretrained_trunk_are_those_of_the_cpu() {
    let Some(device) = device(Api::Vulkan) else { return };
    let train = "model = \"squeezenet1_1\"\nepochs = 1\nbatch_size = 4\nlearning_rate = 1e-4";
    let sandbox = Sandbox::with_spec(&classifier(16, train));
    sandbox.run_well(&["--only", "train[fold=1]", "--device", "cpu"]);
    let path = sandbox.orchestrate(&["path", "spec.toml", "train[fold=1]", "--json"]);
    let path: Value = serde_json::from_str(&path.out).expect("a line is JSON");
    let files = path["outputs"]["weights"]["files"].as_array().expect("weights have files");
    let file = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".safetensors")).expect("it is there");
    let weights = file.replace("DIR", sandbox.path("").to_str().expect("it has a plain name").trim_end_matches('/'));
    let init = format!("model = \"squeezenet1_1\"\ninit = {{ weights = {weights:?} }}\n");
    let probe = format!("{init}freeze = \"trunk\"\nlearning_rate = 1e-3\nepochs = 3");
    let spec =
        classifier(16, &probe).replacen("split = \"split\" }", "split = \"split\", features = \"features\" }", 1);
    let features = format!("\n[stages.features]\nkind = \"features\"\ninputs = {{ images = \"images\" }}\n{init}");
    sandbox.write("spec.toml", spec + &features);
    compare_in(&sandbox, &device, 0.002);
}

#[test]
fn a_u_net_and_its_masks_are_those_of_the_cpu() {
    compare(UNET, Api::Vulkan, 0.002);
}

#[test]
fn opengl_computes_the_same_too() {
    let train = "model = \"tiny\"\nepochs = 1\nbatch_size = 16\nlearning_rate = 1e-4";
    compare(&classifier(40, train), Api::Gl, 0.002);
}
