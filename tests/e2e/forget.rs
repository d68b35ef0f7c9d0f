//! `store forget`: an image or a patient goes with all that was made of it, and nothing else does.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::crash::wait_for;
use crate::sandbox::{Said, Sandbox};

/// Two data sets: pictures with patients, and phantoms that have nothing to do with them.
const STUDY: &str = r#"
[experiment]
name = "consent"

[stages.images]
kind = "dataset"
format = "manifest"
path = "data"
size = 16

[stages.split]
kind = "split"
inputs = { labels = "images" }
folds = 2
publish = "results/folds"

[stages.train]
kind = "train"
inputs = { images = "images", split = "split" }
model = "tiny"
epochs = 1
batch_size = 4
fold = 1

[stages.phantoms]
kind = "dataset"
format = "phantom"
count = 6
size = 16

[stages.phantom-split]
kind = "split"
inputs = { labels = "phantoms" }
folds = 2
"#;

/// A study of eight pictures of four patients, `p0` to `p3`; picture 0 is `scans/mueller.png`.
fn study() -> Sandbox {
    let sandbox = Sandbox::with_spec(STUDY);
    let mut csv = "image,label,patient\n".to_owned();
    for number in 0..8_u8 {
        let name = if number == 0 { "scans/mueller.png".to_owned() } else { format!("scans/{number}.png") };
        let picture = image::GrayImage::from_fn(16, 16, |x, y| image::Luma([(number * 17) ^ ((x * 7 + y * 3) as u8)]));
        let path = sandbox.path("data").join(&name);
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("tests can make folders");
        picture.save(path).expect("tests can write");
        csv += &format!("{name},{},p{}\n", ["benign", "malignant"][usize::from(number % 2)], number / 2);
    }
    sandbox.write("data/labels.csv", csv);
    sandbox
}

fn forget(sandbox: &Sandbox, args: &[&str]) -> Said {
    sandbox.orchestrate(&[&["store", "forget"], args].concat())
}

/// Lists the files of the store that contain a text.
fn with_text(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("the folder can be listed").map(|entry| entry.expect("it can be listed")) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(with_text(&path, text));
        } else if fs::read(&path).expect("it is readable").windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn assert_says(said: &Said, parts: &[&str]) {
    for part in parts {
        assert!(said.out.contains(part), "{part} is not in:\n{}\n{}", said.out, said.err);
    }
}

#[test]
fn an_image_is_forgotten_with_all_that_was_made_of_it_and_other_data_stay() {
    let sandbox = study();
    let first = sandbox.run_well(&[]);
    let said = sandbox.orchestrate(&["store", "pin", "spec.toml", "--name", "paper"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let store = sandbox.path(".orchestrate");
    assert!(!with_text(&store, "mueller").is_empty());

    let dry = forget(&sandbox, &["data/scans/mueller.png", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{}", dry.err);
    let would =
        ["scans/mueller.png (digest ", "  images\n", "  split\n", "  train\n", "would delete 3 results", "again:"];
    assert_says(&dry, &would);
    assert_says(&dry, &["still there; a run makes all of it again", "  DIR/data/scans/mueller.png\n"]);
    assert!(!dry.out.contains("phantom"), "{}", dry.out);
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0], "a dry run deletes nothing");

    fs::remove_file(sandbox.path("data/scans/mueller.png")).expect("it is there");
    sandbox.edit("data/labels.csv", "scans/mueller.png,benign,p0\n", "");
    let said = forget(&sandbox, &["data/scans/mueller.png"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_says(&said, &["deleted 3 results", "logs of 2 runs", "the pin paper loses 3 of 5 results"]);
    assert_says(&said, &["DIR/results/folds: 3 files of 1 node made of it\n", "  orchestrate run DIR/spec.toml\n"]);
    assert_eq!(with_text(&store, "mueller"), [""; 0]);
    assert!(sandbox.path("results/folds/provenance.json").exists(), "published files are people's");
    let verified = sandbox.orchestrate(&["store", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.out);

    let again = sandbox.run_well(&[]);
    assert_eq!(again.ran(), ["images", "split", "train"]);
    assert_eq!(again.nodes["phantoms"]["output"], first.nodes["phantoms"]["output"]);
    assert_ne!(again.nodes["images"]["output"], first.nodes["images"]["output"]);
    let unknown = forget(&sandbox, &["data/scans/mueller.png"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.out);
    assert!(unknown.err.contains("no result in the store was made of `data/scans/mueller.png`"), "{}", unknown.err);
    assert!(unknown.err.contains("8 external files by path, name and digest"), "{}", unknown.err);
}

#[test]
fn a_patient_is_found_in_the_labels_and_a_text_with_two_meanings_is_refused() {
    let sandbox = study();
    sandbox.edit("data/labels.csv", "scans/7.png,malignant,p3", "scans/7.png,malignant,6.png");
    sandbox.run_well(&["--until", "split"]);
    let said = forget(&sandbox, &["6.png"]);
    assert_eq!(said.code, Some(2), "{}", said.out);
    for part in ["`6.png` may mean 2 things", "scans/6.png (digest ", "patient 6.png of images (1 image)", "--patient"]
    {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    assert_eq!(sandbox.run_well(&["--until", "split"]).ran(), [""; 0]);
    let said = forget(&sandbox, &["p9"]);
    assert!(said.code == Some(2) && said.err.contains("5 patients in 1 table"), "{}", said.err);
    let said = forget(&sandbox, &["p1"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_says(&said, &["patient p1 of images (2 images)", "deleted 2 results", "DIR/data/scans/2.png"]);
    assert_eq!(sandbox.run_well(&["--until", "split"]).ran(), ["images", "split"]);
    let said = forget(&sandbox, &["--patient", "6.png", "p2"]);
    assert_says(&said, &["patient 6.png of images (1 image)", "patient p2 of images (2 images)"]);
}

#[test]
fn beside_a_run_nothing_is_forgotten_and_the_run_is_named() {
    let sandbox = study();
    sandbox.run_well(&["--until", "split"]);
    let (began, go) = (sandbox.path("began"), sandbox.path("go"));
    let wait = format!("touch {}; until [ -e {} ]; do sleep 0.05; done", began.display(), go.display());
    let spec = "[experiment]\nname = \"wait\"\n[stages.wait]\nkind = \"command\"\nargv = [\"sh\", \"-c\", \"WAIT\"]\n";
    sandbox.write("wait.toml", spec.replace("WAIT", &format!("{wait}; echo > $0/x\", \"{{out}}")));
    let mut command = sandbox.command(&["run", "wait.toml"]);
    let engine = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    wait_for("the command to begin", || began.exists());
    let refused = forget(&sandbox, &["6.png"]);
    let planned = forget(&sandbox, &["6.png", "--dry-run"]);
    sandbox.write("go", "");
    let engine = engine.wait_with_output().expect("it ends");
    assert!(engine.status.success(), "{}", String::from_utf8_lossy(&engine.stderr));
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    for part in ["DIR/.orchestrate is in use, so nothing was changed: process ", "run wait.toml"] {
        assert!(refused.err.contains(part), "{part} is not in:\n{}", refused.err);
    }
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    let done = forget(&sandbox, &["6.png"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_says(&done, &["deleted 2 results"]);
}
