//! A training that was stopped goes on to the same bytes.

use std::sync::atomic::{AtomicUsize, Ordering};

use orchestrate_engine::stage::StageError;
use serde_json::json;

use super::{Run, params, with};
use crate::testing::blobs;

/// How often a training of one epoch asks whether it is cancelled: two batches of training, one of validation.
const ASKED_PER_EPOCH: usize = 3;

#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    // Six images to train on, three to validate.
    let data = blobs(9, 32);
    let changes = [
        ("epochs", json!(2)),
        ("schedule", json!("cosine")),
        ("augment", json!({"flip": "vertical", "shift": 2})),
        ("encoder", json!("resnet34")),
    ];
    let params = with(params(), &changes);
    let undisturbed = Run::new(params.clone(), &data).outcome().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    let cancelled = || count.fetch_add(1, Ordering::Relaxed) > ASKED_PER_EPOCH;
    let stopped = Run::new(params.clone(), &data).checkpoints(dir.path()).cancelled(&cancelled).outcome();
    assert!(matches!(stopped, Err(StageError::Cancelled)));

    let count = AtomicUsize::new(0);
    let counted = || {
        count.fetch_add(1, Ordering::Relaxed);
        false
    };
    let resumed = Run::new(params, &data).checkpoints(dir.path()).cancelled(&counted).outcome().unwrap();
    assert!(resumed == undisturbed);
    assert_eq!(count.load(Ordering::Relaxed), ASKED_PER_EPOCH, "only the second epoch ran again");
}
