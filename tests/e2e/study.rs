//! A whole study on small phantoms: images → folds → trainings → maps → masks → tables.

use crate::sandbox::Sandbox;

/// Two models, two folds, two thresholds; small enough to train in seconds.
pub(crate) const STUDY: &str = r#"
[experiment]
name = "study"
seed = 7

[axes]
model = ["tiny", "tiny-modified"]
fold = { folds = 2 }
threshold = [200, "otsu"]

[stages.images]
kind = "dataset"
format = "phantom"
count = 24
size = 32

[stages.split]
kind = "split"
inputs = { labels = "images" }

[stages.train]
kind = "train"
over = ["model", "fold"]
inputs = { images = "images", split = "split" }
epochs = 1

[stages.cam]
kind = "cam"
over = ["model", "fold"]
inputs = { images = "images", split = "split", weights = "train" }

[stages.threshold]
kind = "threshold"
over = ["model", "fold", "threshold"]
inputs = { cams = "cam" }

[stages.score]
kind = "score"
over = ["model", "fold", "threshold"]
inputs = { cams = "cam", thresholds = "threshold", masks = "images" }
images = "all"

[stages.classify]
kind = "classify"
over = ["model"]
inputs = { predictions = "cam" }

[stages.classification]
kind = "table"
inputs = { scores = "classify" }
rows = ["model"]
columns = ["metric"]
value = "value"

[stages.iou]
kind = "table"
inputs = { scores = "score" }
rows = ["model"]
columns = ["threshold"]
value = "iou"
publish = "results/iou"
"#;

#[test]
fn study_runs_to_its_tables_and_reruns_exactly_the_nodes_below_a_change() {
    let sandbox = Sandbox::with_spec(STUDY);
    let first = sandbox.run_well(&["--jobs", "1"]);
    assert_eq!(first.ran().len(), 1 + 1 + 4 + 4 + 8 + 8 + 2 + 2);
    let csv = sandbox.read("results/iou/table.csv");
    assert!(csv.contains("tiny-modified"), "{csv}");

    // Other jobs in another folder give the same bytes.
    let other = Sandbox::with_spec(STUDY);
    assert_eq!(first.outputs(), other.run_well(&["--jobs", "4"]).outputs());

    // Another threshold: its points and the gathering table run.
    let run = sandbox.run_well(&["--set", "axes.threshold=[210, \"otsu\"]"]);
    let mut expected = vec!["iou".to_owned()];
    for stage in ["score", "threshold"] {
        for fold in [1, 2] {
            for model in ["tiny", "tiny-modified"] {
                expected.push(format!("{stage}[fold={fold},model={model},threshold=210]"));
            }
        }
    }
    expected.sort();
    assert_eq!(run.ran(), expected);

    // More epochs: everything below the trainings with other bytes runs, but neither images nor folds.
    let run = sandbox.run_well(&["--set", "stages.train.epochs=2"]);
    assert!(!run.ran().iter().any(|node| node.starts_with("images") || node.starts_with("split")));
    assert_eq!(run.ran().iter().filter(|node| node.starts_with("train[")).count(), 4);
    assert_eq!(run.ran().iter().filter(|node| node.starts_with("cam[")).count(), 4);

    // Without one model: only the stages that gather models run.
    let run = sandbox.run_well(&["--set", "axes.model=[\"tiny\"]"]);
    assert_eq!(run.ran(), ["classification", "iou"]);

    // Another label for a model: only the stages that show it run.
    let run = sandbox.run_well(&["--set", "axes.model=[{ name = \"small\", model = \"tiny\" }, \"tiny-modified\"]"]);
    assert_eq!(run.ran(), ["classification", "iou"]);
}

#[test]
fn tables_are_printed_with_a_note_that_the_data_are_synthetic() {
    let sandbox = Sandbox::with_spec(STUDY);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for part in ["accuracy", "tiny-modified", "otsu", "synthetic"] {
        assert!(said.out.contains(part), "{part} in\n{}", said.out);
    }
    assert!(said.err.contains("30 nodes: 30 ran"), "{}", said.err);
}

#[test]
fn killed_training_resumes_to_the_same_bytes() {
    let spec = STUDY.replace("epochs = 1", "epochs = 12").replace("[\"tiny\", \"tiny-modified\"]", "[\"tiny\"]");
    let undisturbed = Sandbox::with_spec(&spec);
    let expected = undisturbed.run_well(&["--until", "train"]);
    let sandbox = Sandbox::with_spec(&spec);
    let mut command = sandbox.command(&["run", "spec.toml", "--json", "--until", "train"]);
    let mut engine = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    // Waits for a checkpoint, or the end of the run on a fast machine.
    let checkpoints = sandbox.path(".orchestrate/checkpoints");
    while engine.try_wait().unwrap().is_none() && std::fs::read_dir(&checkpoints).map_or(true, |dir| dir.count() == 0) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let _ = engine.kill();
    engine.wait().unwrap();
    let run = sandbox.run_well(&["--until", "train"]);
    assert_eq!(run.outputs(), expected.outputs());
}

/// A manifest of 12 grey images of 16 pixels with masks, three classes.
fn manifest(sandbox: &Sandbox) {
    let mut csv = "id,patient,label,image,mask\n".to_owned();
    for id in 0..12_u8 {
        let class = ["meningioma", "glioma", "pituitary"][usize::from(id) % 3];
        csv += &format!("{id},p{},{class},images/{id}.png,masks/{id}.png\n", id / 2);
        let pixels: Vec<u8> = (0..=255_u8).map(|pixel| pixel.wrapping_mul(id + 3)).collect();
        sandbox.write(&format!("data/images/{id}.png"), png(&pixels));
        let mask: Vec<u8> = (0..=255_u8).map(|pixel| if pixel / 16 > 7 { 255 } else { 0 }).collect();
        sandbox.write(&format!("data/masks/{id}.png"), png(&mask));
    }
    sandbox.write("data/labels.csv", csv);
}

fn png(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let image = image::GrayImage::from_raw(16, 16, pixels.to_vec()).expect("16 × 16 pixels");
    image.write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png).expect("memory takes a picture");
    bytes
}

#[test]
fn one_pixel_of_an_image_reruns_its_readers_and_one_of_a_mask_only_scores_and_tables() {
    let spec = STUDY
        .replace(
            "format = \"phantom\"\ncount = 24\nsize = 32",
            "format = \"manifest\"\npath = \"data/labels.csv\"\nsize = 32",
        )
        .replace("[\"tiny\", \"tiny-modified\"]", "[\"tiny\"]");
    let sandbox = Sandbox::with_spec(&spec);
    manifest(&sandbox);
    sandbox.run_well(&[]);
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);

    let mut mask = vec![0; 256];
    mask[20] = 255;
    sandbox.write("data/masks/3.png", png(&mask));
    let run = sandbox.run_well(&[]);
    let stages: Vec<_> = run.ran().iter().map(|node| node.split('[').next().unwrap()).collect();
    assert_eq!(stages, ["images", "iou", "score", "score", "score", "score"]);

    sandbox.write("data/images/3.png", png(&[9; 256]));
    let run = sandbox.run_well(&[]);
    assert!(run.ran().contains(&"split"), "leakage compares pictures");
    assert_eq!(run.ran().iter().filter(|node| node.starts_with("train[")).count(), 2);
}

/// [`STUDY`] with reference values, intervals and a comparison of its models.
fn reviewed() -> String {
    let inputs = "inputs = { scores = \"score\", labels = \"images\" }";
    let (before, iou) = STUDY.split_once("[stages.iou]").expect("the study has that table");
    let iou = iou.replace("inputs = { scores = \"score\" }", inputs);
    format!(
        "{before}[stages.iou]{iou}interval = \"bootstrap\"\nreference = \"theirs.csv\"\n\n\
         [stages.versus]\nkind = \"compare\"\n{inputs}\naxis = \"model\"\nbetween = [\"tiny\", \"tiny-modified\"]\n\
         rows = [\"threshold\"]\npublish = \"results/versus\"\n"
    )
}

#[test]
fn a_corrected_reference_value_reruns_only_its_table_and_a_seed_only_nodes_that_draw() {
    let sandbox = Sandbox::with_spec(&reviewed());
    sandbox.write("theirs.csv", "# A paper\nmodel,threshold,mean\ntiny,otsu,0.5\nvgg16,otsu,0.25\n");
    sandbox.run_well(&[]);
    let table = sandbox.read("results/iou/table.txt");
    for part in ["published: A paper", "published, but not in this study: model vgg16", "resamples by patient"] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let versus = sandbox.read("results/versus/table.csv");
    assert!(
        versus.lines().nth(1).is_some_and(|line| line.starts_with("tiny-modified − tiny,200,iou,difference,")),
        "{versus}"
    );
    assert!(sandbox.read("results/versus/table.tex").contains("tiny-modified $-$ tiny & 200 & "));

    sandbox.edit("theirs.csv", "0.5", "0.75");
    assert_eq!(sandbox.run_well(&[]).ran(), ["iou"]);
    let run = sandbox.run_well(&["--set", "stages.iou.seed=8", "--set", "stages.versus.seed=8"]);
    assert_eq!(run.ran(), ["iou", "versus"]);
    let run = sandbox.run_well(&["--set", "stages.classification.seed=8"]);
    assert_eq!(run.ran(), [""; 0], "nothing is drawn there");

    sandbox.edit("theirs.csv", "model,", "modle,");
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("theirs.csv: column `modle` is none of the rows and columns"), "{}", said.err);
    assert!(said.err.contains("did you mean `model`?"), "{}", said.err);
}
