//! A U-Net: training on masks, predicted masks, scores and table.

use crate::sandbox::Sandbox;

/// Two folds of small phantoms, one epoch.
const UNET: &str = r#"
[experiment]
name = "unet"
seed = 7

[axes]
fold = { folds = 2 }

[stages.images]
kind = "dataset"
format = "phantom"
count = 12
size = 32

[stages.split]
kind = "split"
inputs = { labels = "images" }

[stages.segment]
kind = "segment"
over = ["fold"]
inputs = { images = "images", masks = "images", split = "split" }
encoder = "vgg16"
epochs = 1
batch_size = 3
optimizer = "sgd"
learning_rate = 0.01

[stages.predict-masks]
kind = "predict-masks"
over = ["fold"]
inputs = { images = "images", split = "split", weights = "segment" }

[stages.unet-score]
kind = "score"
over = ["fold"]
inputs = { predicted = "predict-masks", masks = "images" }

[stages.dice]
kind = "table"
inputs = { scores = "unet-score" }
rows = ["label"]
value = "dice"
publish = "results/dice"
"#;

#[test]
fn unet_runs_to_its_table_and_another_cut_trains_nothing() {
    let sandbox = Sandbox::with_spec(UNET);
    let run = sandbox.run_well(&[]);
    assert_eq!(run.ran().len(), 1 + 1 + 2 + 2 + 2 + 1);
    let csv = sandbox.read("results/dice/table.csv");
    for class in ["all", "meningioma", "glioma", "pituitary"] {
        assert!(csv.contains(class), "{csv}");
    }
    // All twelve images of two folds are scored, as there is no class to be wrong.
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().expect("a table has a header");
    let all = lines.find(|line| line[0] == "all").expect("a table has a row of all classes");
    let count = |name: &str| -> u32 { all[header.iter().position(|&column| column == name).unwrap()].parse().unwrap() };
    assert_eq!(count("n") + count("excluded"), 12, "{csv}");
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);

    let run = sandbox.run_well(&["--set", "stages.predict-masks.cut=0.01"]);
    assert!(!run.ran().iter().any(|node| node.starts_with("segment")), "{:?}", run.ran());
    assert_eq!(run.ran().iter().filter(|node| node.starts_with("predict-masks[")).count(), 2);
}

#[test]
fn score_without_masks_or_with_two_kinds_of_them_is_an_error_of_the_spec() {
    for (inputs, said_so) in [
        (
            "inputs = { masks = \"images\" }",
            "error: stage `unet-score`: it has no masks to score; read either `cams` and",
        ),
        (
            "inputs = { predicted = \"predict-masks\", thresholds = \"predict-masks\", masks = \"images\" }",
            "error: stage `unet-score`: it has both heatmaps and predicted masks to score",
        ),
    ] {
        let spec = UNET.replace("inputs = { predicted = \"predict-masks\", masks = \"images\" }", inputs);
        let said = Sandbox::with_spec(&spec).orchestrate(&["plan", "spec.toml"]);
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains(said_so), "{}", said.err);
    }
}
