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

    // Before the end of the first epoch, at once after it, and at the last batch of all.
    for (asked, epochs_done) in [(2, 0), (3, 1), (5, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let count = AtomicUsize::new(0);
        let cancelled = || count.fetch_add(1, Ordering::Relaxed) >= asked;
        let stopped = Run::new(params.clone(), &data).checkpoints(dir.path()).cancelled(&cancelled).outcome();
        assert!(matches!(stopped, Err(StageError::Cancelled)));

        let count = AtomicUsize::new(0);
        let counted = || {
            count.fetch_add(1, Ordering::Relaxed);
            false
        };
        let resumed = Run::new(params.clone(), &data).checkpoints(dir.path()).cancelled(&counted).outcome().unwrap();
        assert!(resumed == undisturbed, "stopped after {asked}");
        assert_eq!(count.load(Ordering::Relaxed), (2 - epochs_done) * ASKED_PER_EPOCH, "epochs that ran again");
    }
}
