//! Trainings in 16 bits, on the CPU.

use orchestrate_stages::artifact::Curve;
use serde_json::{Value, json};

use super::{params, stripes};
use crate::testing::training::{Run, with};

const PRECISIONS: [&str; 2] = ["bf16", "f16"];

fn in_precision(precision: &str) -> Value {
    let augment = json!({"flip": "vertical", "shift": 1});
    with(params(), &[("epochs", json!(8)), ("augment", augment), ("precision", json!(precision))])
}

#[test]
fn a_network_learns_in_half_precision_as_it_does_in_f32() {
    let data = stripes(36);
    let run = |precision: &str| Run::new(in_precision(precision), &data).outcome().unwrap();
    let exact = run("f32");
    let last = exact.curve::<Curve>().epochs[7];
    for precision in PRECISIONS {
        let outcome = run(precision);
        assert!(outcome.weights != exact.weights, "{precision} is another computation");
        assert_eq!(outcome.card()["precision"], precision);
        let found = outcome.curve::<Curve>().epochs[7];
        assert!((found.train_loss - last.train_loss).abs() < 0.1, "{precision}: {found:?} {last:?}");
        assert_eq!(found.figure, last.figure, "{precision}");
        // Stored in f32: most values need more than the 8 or 11 bits that the trunk sees.
        let stored = &outcome.tensors()["features.2.weight"].values;
        let rounded = stored.iter().filter(|value| value.to_bits() & 0x1fff == 0).count();
        assert!(rounded * 20 < stored.len(), "{precision}: {rounded} of {}", stored.len());
    }
}

#[test]
fn threads_do_not_change_a_byte_in_half_precision() {
    let data = stripes(18);
    for precision in PRECISIONS {
        let params = with(in_precision(precision), &[("epochs", json!(2))]);
        let one = Run::new(params.clone(), &data).threads(1).outcome().unwrap();
        assert!(Run::new(params, &data).threads(2).outcome().unwrap() == one, "{precision}");
    }
}
