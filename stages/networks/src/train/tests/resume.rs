//! Stopped trainings, which must continue to the same bytes.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{params, stripes, stripes_of};
use crate::testing::training::{Run, with};

/// Batches of an epoch, each of which polls for cancellation: two of training, one of validation.
const ASKED_PER_EPOCH: usize = 3;

fn changed(optimizer: &str) -> Value {
    let changes = [
        ("optimizer", json!(optimizer)),
        ("weight_decay", json!(0.01)),
        ("schedule", json!("cosine")),
        ("class_weights", json!("balanced")),
        ("augment", json!({"flip": "vertical", "shift": 2})),
    ];
    with(params(), &changes)
}

fn checkpoints(dir: &TempDir) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    let data = stripes(18);
    for optimizer in ["adam", "adamw", "sgd"] {
        let params = changed(optimizer);
        let undisturbed = Run::new(params.clone(), &data).outcome().unwrap();
        for (asked, epochs_done) in [(1, 0), (4, 1), (8, 2), (9, 3)] {
            let dir = tempfile::tempdir().unwrap();
            if epochs_done < 3 {
                Run::stop_after(asked, &params, &data, dir.path());
            } else {
                // Killed after the last epoch, before its outputs were stored.
                Run::resume(&params, &data, dir.path());
            }
            let (resumed, asked_again) = Run::resume(&params, &data, dir.path());
            assert!(resumed == undisturbed, "{optimizer}, stopped after {asked}");
            assert_eq!(asked_again, (3 - epochs_done) * ASKED_PER_EPOCH, "{optimizer}: epochs that ran again");
        }
    }
}

#[test]
fn a_stopped_training_in_half_precision_goes_on_to_the_same_bytes() {
    let data = stripes(18);
    let params = with(changed("adam"), &[("precision", json!("bf16"))]);
    let dir = tempfile::tempdir().unwrap();
    Run::stop_after(4, &params, &data, dir.path());
    let (resumed, _) = Run::resume(&params, &data, dir.path());
    assert!(resumed == Run::new(params, &data).outcome().unwrap());
}

/// A checkpoint must hold the running statistics of batch normalisation too; stopped in the first epoch and in the
/// second.
#[test]
fn a_network_with_running_statistics_goes_on_to_the_same_bytes() {
    let data = stripes_of(18, 32);
    let params = with(changed("sgd"), &[("model", json!("resnet18")), ("epochs", json!(2))]);
    let undisturbed = Run::new(params.clone(), &data).outcome().unwrap();
    for asked in [2, 4] {
        let dir = tempfile::tempdir().unwrap();
        Run::stop_after(asked, &params, &data, dir.path());
        let (resumed, _) = Run::resume(&params, &data, dir.path());
        assert!(resumed == undisturbed, "stopped after {asked}");
    }
}

#[test]
fn a_training_whose_checkpoints_are_lost_starts_afresh() {
    let data = stripes(18);
    let params = changed("adam");
    let dir = tempfile::tempdir().unwrap();
    Run::stop_after(7, &params, &data, dir.path());
    checkpoints(&dir).iter().for_each(|path| fs::remove_file(path).unwrap());
    let (again, asked) = Run::resume(&params, &data, dir.path());
    assert!(again == Run::new(params, &data).outcome().unwrap());
    assert_eq!(asked, 3 * ASKED_PER_EPOCH);
}

#[test]
fn a_training_that_is_stopped_again_and_again_ends_with_the_same_bytes() {
    let data = stripes(18);
    let params = changed("adam");
    let dir = tempfile::tempdir().unwrap();
    Run::stop_after(4, &params, &data, dir.path());
    Run::stop_after(5, &params, &data, dir.path());
    let (resumed, _) = Run::resume(&params, &data, dir.path());
    assert!(resumed == Run::new(params, &data).outcome().unwrap());
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let data = stripes(18);
    let params = changed("adam");
    let dir = tempfile::tempdir().unwrap();
    let (undisturbed, _) = Run::resume(&params, &data, dir.path());
    let files = checkpoints(&dir);
    let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        ["epoch-000002.checkpoint", "epoch-000003.checkpoint"],
        "the latest two are kept, and no other file"
    );

    let mut bytes = fs::read(&files[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&files[1], &bytes).unwrap();
    let (resumed, asked) = Run::resume(&params, &data, dir.path());
    assert!(resumed == undisturbed);
    assert_eq!(asked, ASKED_PER_EPOCH, "only the last epoch ran again");

    for path in &files {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 5]).unwrap();
    }
    let (resumed, asked) = Run::resume(&params, &data, dir.path());
    assert!(resumed == undisturbed);
    assert_eq!(asked, 3 * ASKED_PER_EPOCH, "without a good checkpoint it starts afresh");
}

#[test]
fn a_checkpoint_of_another_training_is_not_used() {
    let data = stripes(18);
    let dir = tempfile::tempdir().unwrap();
    Run::resume(&changed("adamw"), &data, dir.path());
    let (outcome, asked) = Run::resume(&changed("adam"), &data, dir.path());
    assert_eq!(asked, 3 * ASKED_PER_EPOCH);
    assert!(outcome == Run::new(changed("adam"), &data).outcome().unwrap());
}
