//! Stopped trainings, which must continue to the same bytes.

use serde_json::json;

use super::params;
use crate::testing::blobs;
use crate::testing::training::{Run, with};

/// Batches of an epoch, each of which polls for cancellation: two of training, one of validation.
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

    // In the first epoch, right after it, and at the last batch of the training.
    for (asked, epochs_done) in [(2, 0), (3, 1), (5, 1)] {
        let dir = tempfile::tempdir().unwrap();
        Run::stop_after(asked, &params, &data, dir.path());
        let (resumed, asked_again) = Run::resume(&params, &data, dir.path());
        assert!(resumed == undisturbed, "stopped after {asked}");
        assert_eq!(asked_again, (2 - epochs_done) * ASKED_PER_EPOCH, "epochs that ran again");
    }
}
