//! Long stages: a training that is killed at many points resumes to the bytes of an undisturbed one.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::sandbox::{Run, Said, Sandbox};

/// Everything with a state is on: momentum, decay, a schedule, augmentation, shuffling.
const TRAIN: &str = r#"
[experiment]
name = "long"
seed = 11

[stages.images]
kind = "dataset"
format = "phantom"
count = 24
size = 32

[stages.split]
kind = "split"
inputs = { labels = "images" }
folds = 2

[stages.train]
kind = "train"
inputs = { images = "images", split = "split" }
model = "tiny"
fold = 1
epochs = 16
batch_size = 3
optimizer = "adamw"
weight_decay = 0.01
schedule = "cosine"
augment = { flip = "both", shift = 2 }
"#;

/// A U-Net with running statistics.
const SEGMENT: &str = r#"
[stages.train]
kind = "segment"
inputs = { images = "images", masks = "images", split = "split" }
encoder = "resnet34"
fold = 1
epochs = 3
batch_size = 4
optimizer = "sgd"
learning_rate = 0.01
schedule = "cosine"
augment = { flip = "both", shift = 2 }
"#;

fn segment() -> String {
    let data = TRAIN.split("[stages.train]").next().expect("there is a part before it");
    data.replace("count = 24", "count = 12") + SEGMENT
}

fn start(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command(&["run", "spec.toml", "--json"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// The checkpoints in the store.
fn checkpoints(sandbox: &Sandbox) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(sandbox.path(".orchestrate/checkpoints")).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
    let mut files: Vec<_> = files.map(|file| file.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "checkpoint"));
    files.sort();
    files
}

/// Waits until that many epochs have a checkpoint, or the run has ended.
fn wait_for_epoch(sandbox: &Sandbox, engine: &mut Child, epoch: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let name = format!("epoch-{epoch:06}.checkpoint");
    let reached = || checkpoints(sandbox).iter().any(|path| path.file_name().is_some_and(|file| *file >= *name));
    while !reached() && engine.try_wait().expect("it is a child").is_none() {
        assert!(Instant::now() < deadline, "waited too long for epoch {epoch}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the id of the training process.
fn worker(engine: &Child) -> Option<u32> {
    let output = Command::new("pgrep").args(["-P", &engine.id().to_string()]).output().expect("there is a `pgrep`");
    String::from_utf8_lossy(&output.stdout).lines().find_map(|line| line.parse().ok())
}

fn kill(process: u32) {
    // The process may just have ended.
    let _ = Command::new("kill").args(["-KILL", &process.to_string()]).stderr(Stdio::null()).status();
}

#[test]
fn training_whose_engine_is_killed_again_and_again_ends_with_the_same_bytes() {
    let undisturbed = Sandbox::with_spec(TRAIN).run_well(&[]);
    let sandbox = Sandbox::with_spec(TRAIN);
    // Kills at a checkpoint, some time after one, and after one whose file is then damaged.
    for (epoch, delay_ms) in [(1, 0), (4, 7), (7, 13), (10, 3)] {
        let mut engine = start(&sandbox);
        wait_for_epoch(&sandbox, &mut engine, epoch);
        std::thread::sleep(Duration::from_millis(delay_ms));
        engine.kill().expect("it is a child");
        engine.wait().expect("it is a child");
        if epoch == 7
            && let Some(latest) = checkpoints(&sandbox).last()
        {
            let bytes = std::fs::read(latest).expect("it is there");
            std::fs::write(latest, &bytes[..bytes.len() / 2]).expect("tests can write");
        }
    }
    let run = sandbox.run_well(&[]);
    assert_eq!(run.outputs()["train"], undisturbed.outputs()["train"]);
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);
}

#[test]
fn training_whose_worker_is_killed_is_tried_again_and_ends_with_the_same_bytes() {
    let undisturbed = Sandbox::with_spec(TRAIN).run_well(&[]);
    let sandbox = Sandbox::with_spec(&TRAIN.replace("epochs = 16", "epochs = 16\nretries = 3"));
    let mut engine = start(&sandbox);
    for epoch in [2, 5] {
        wait_for_epoch(&sandbox, &mut engine, epoch);
        worker(&engine).into_iter().for_each(kill);
    }
    let run = Run::from(Said::from(engine.wait_with_output().expect("it is a child"), &sandbox.path("")));
    assert_eq!(run.said.code, Some(0), "{}\n{}", run.said.out, run.said.err);
    assert_eq!(run.outputs()["train"], undisturbed.outputs()["train"], "retries are in no key");
}

#[test]
fn training_of_a_unet_whose_engine_is_killed_ends_with_the_same_bytes() {
    let undisturbed = Sandbox::with_spec(&segment()).run_well(&[]);
    let sandbox = Sandbox::with_spec(&segment());
    let mut engine = start(&sandbox);
    wait_for_epoch(&sandbox, &mut engine, 2);
    engine.kill().expect("it is a child");
    engine.wait().expect("it is a child");
    let run = sandbox.run_well(&[]);
    assert_eq!(run.outputs()["train"], undisturbed.outputs()["train"]);
}
