//! Features of a pretrained trunk, computed once for all trainings of a linear layer.

use std::fs;

use crate::sandbox::{Run, Sandbox};

/// Two folds of small phantoms, two learning rates. The axis `model` says where the weights are.
const PROBE: &str = r#"
[experiment]
name = "probe"
seed = 7

[axes]
model = [{ name = "squeezenet", model = "squeezenet1_1", init = { weights = "first.safetensors" } }]
fold = { folds = 2 }
learning_rate = [0.01, 0.001]

[stages.images]
kind = "dataset"
format = "phantom"
count = 12
size = 32

[stages.split]
kind = "split"
inputs = { labels = "images" }

[stages.features]
kind = "features"
over = ["model"]
inputs = { images = "images" }

[stages.train]
kind = "train"
over = ["fold", "learning_rate"]
inputs = { images = "images", split = "split", features = "features" }
freeze = "trunk"
epochs = 2

[stages.cam]
kind = "cam"
inputs = { images = "images", split = "split", weights = "train" }
"#;

/// Trains a SqueezeNet on phantoms for an epoch, as a source of weights.
const SOURCE: &str = r#"
[experiment]
name = "source"

[stages.images]
kind = "dataset"
format = "phantom"
count = 6
size = 32

[stages.split]
kind = "split"
folds = 2
inputs = { labels = "images" }

[stages.train]
kind = "train"
inputs = { images = "images", split = "split" }
model = "squeezenet1_1"
fold = 1
epochs = 1
"#;

/// Writes the weights of a training with a seed.
fn weights(sandbox: &Sandbox, seed: &str, name: &str) {
    sandbox.write("source.toml", SOURCE);
    let set = format!("experiment.seed={seed}");
    let run = sandbox.orchestrate(&["run", "source.toml", "--set", &set]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let said = sandbox.orchestrate(&["export", "weights", "source.toml", "train", "--to", seed, "--set", &set]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    fs::copy(sandbox.path(seed).join("weights.safetensors"), sandbox.path(name)).expect("export wrote it");
}

#[test]
fn another_learning_rate_runs_trainings_alone_and_other_weights_run_features_too() {
    let sandbox = Sandbox::with_spec(PROBE);
    weights(&sandbox, "1", "first.safetensors");
    weights(&sandbox, "2", "second.safetensors");
    let of = |run: &Run| {
        let count = |stage| run.ran().iter().filter(|node| node.split('[').next() == Some(stage)).count();
        ["images", "features", "train", "cam"].map(count)
    };
    let first = sandbox.run_well(&[]);
    assert_eq!(of(&first), [1, 1, 4, 4]);
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);

    // The trainings have the outputs of those that compute features themselves.
    sandbox.edit("spec.toml", ", features = \"features\"", "");
    sandbox.edit(
        "spec.toml",
        "over = [\"fold\", \"learning_rate\"]",
        "over = [\"model\", \"fold\", \"learning_rate\"]",
    );
    let computed = sandbox.run_well(&[]);
    assert_eq!(of(&computed), [0, 0, 4, 0], "early cutoff: every `cam` is a hit");
    for (node, output) in computed.outputs() {
        assert_eq!(first.outputs()[node], output, "{node}");
    }
    sandbox.write("spec.toml", PROBE);

    let rate = sandbox.run_well(&["--set", "axes.learning_rate=[0.01, 0.001, 0.1]"]);
    assert_eq!(of(&rate), [0, 0, 2, 2]);
    let seed = sandbox.run_well(&["--set", "stages.train.seed=8"]);
    assert_eq!(of(&seed), [0, 0, 4, 4]);

    fs::copy(sandbox.path("first.safetensors"), sandbox.path("moved.safetensors")).unwrap();
    sandbox.edit("spec.toml", "first.safetensors", "moved.safetensors");
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0], "the contents count, not the path");
    sandbox.edit("spec.toml", "moved.safetensors", "second.safetensors");
    let other = sandbox.run_well(&[]);
    assert_eq!(of(&other), [0, 1, 4, 4]);
}

#[test]
fn features_of_other_weights_fail_the_training_before_its_first_epoch() {
    let sandbox = Sandbox::with_spec(PROBE);
    weights(&sandbox, "1", "first.safetensors");
    weights(&sandbox, "2", "second.safetensors");
    sandbox.edit("spec.toml", "freeze = \"trunk\"", "freeze = \"trunk\"\ninit = { weights = \"second.safetensors\" }");
    sandbox.edit("spec.toml", ", init = { weights = \"first.safetensors\" } }", " }");
    sandbox.edit("spec.toml", "kind = \"features\"", "kind = \"features\"\ninit = { weights = \"first.safetensors\" }");
    let run = sandbox.run(&[]);
    assert_eq!(run.said.code, Some(1), "{}", run.said.err);
    assert_eq!(run.with("failed").len(), 4);
    let expected = "input `features`: they were made with other weights of the trunk; give both stages the same";
    assert!(run.said.out.contains(expected), "{}", run.said.out);
}

#[test]
fn features_that_a_training_cannot_use_are_an_error_of_the_spec() {
    for (was, now, expected) in [
        ("freeze = \"trunk\"", "", "the training changes the trunk, and so its features; set `freeze"),
        ("epochs = 2", "augment = { flip = \"both\" }", "`augment` changes images at random"),
        (
            "epochs = 2",
            "precision = \"bf16\"",
            "they were made with precision = \"f32\", but the training has \"bf16\"",
        ),
        ("model = \"squeezenet1_1\"", "model = \"tiny\"", "model `tiny` normalises images by the training images"),
        ("size = 32", "size = 31", "input `images`: they are 31×31 pixels, but `squeezenet1_1` needs at least 32×32"),
    ] {
        let sandbox = Sandbox::with_spec(PROBE);
        sandbox.write("first.safetensors", "weights");
        sandbox.edit("spec.toml", was, now);
        let said = sandbox.orchestrate(&["plan", "spec.toml"]);
        assert_eq!(said.code, Some(2), "{now}: {}", said.out);
        assert!(said.err.contains(expected), "{now}: {}", said.err);
    }
}

#[test]
fn features_of_another_model_or_of_images_of_another_size_are_an_error_of_the_spec() {
    let sandbox = Sandbox::with_spec(PROBE);
    sandbox.write("first.safetensors", "weights");
    sandbox.edit("spec.toml", "over = [\"model\"]", "model = \"resnet18\"\ninit = { weights = \"first.safetensors\" }");
    sandbox.edit("spec.toml", "over = [\"fold\", ", "over = [\"model\", \"fold\", ");
    let large = "[stages.large]\nkind = \"dataset\"\nformat = \"phantom\"\nsize = 64\n\n";
    sandbox.edit("spec.toml", "[stages.split]", &format!("{large}[stages.split]"));
    sandbox.edit("spec.toml", "inputs = { images = \"images\" }", "inputs = { images = \"large\" }");
    let said = sandbox.orchestrate(&["plan", "spec.toml"]);
    assert_eq!(said.code, Some(2), "{}", said.out);
    let model = "they were made with model = \"resnet18\", but the training has \"squeezenet1_1\"; give both stages";
    let images = "they are of other images than those at `images`; connect both stages to the same data set";
    assert!(said.err.contains(model) && said.err.contains(images), "both are told: {}", said.err);
}
