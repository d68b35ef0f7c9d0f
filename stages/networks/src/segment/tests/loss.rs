//! Against segmentation_models_pytorch and PyTorch: `tests/reference/segment_loss.py` made `segment_loss.json`.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;

use crate::segment::Loss;
use crate::segment::loss::Tally;
use crate::testing::reference::assert_close;

#[derive(Deserialize)]
struct Reference {
    shape: [usize; 4],
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    logits: Vec<f32>,
    mask: Vec<u8>,
    losses: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    value: f32,
    gradient: Vec<f32>,
}

fn each_case(check: impl Fn(&[usize; 4], &Case, Loss, &Expected, &str)) {
    let reference: Reference =
        serde_json::from_str(include_str!("../../../tests/reference/segment_loss.json")).expect("the script wrote it");
    let mut checked = 0;
    for case in &reference.cases {
        for (name, expected) in &case.losses {
            let loss = serde_json::from_value(name.as_str().into()).expect("the script has our names");
            check(&reference.shape, case, loss, expected, &format!("{name} of {}", case.name));
            checked += 1;
        }
    }
    assert_eq!(checked, 15);
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let device = Device::flex().autodiff();
    each_case(|shape, case, loss, expected, what| {
        let logits = Tensor::<4>::from_data(TensorData::new(case.logits.clone(), *shape), &device).require_grad();
        let truth: Vec<f32> = case.mask.iter().copied().map(f32::from).collect();
        let truth = Tensor::<4>::from_data(TensorData::new(truth, *shape), &device);
        let value = loss.forward(logits.clone(), truth);
        let gradients = value.backward();
        assert_close(&[value.into_scalar::<f32>()], &[expected.value], 1e-6 * expected.value.abs().max(1.0), what);
        let gradient = logits.grad(&gradients).expect("logits require one").into_data();
        let gradient: Vec<f32> = gradient.try_into_vec_as().expect("f32");
        assert_close(&gradient, &expected.gradient, 1e-7, &format!("gradient of {what}"));
    });
}

#[test]
fn many_images_added_up_have_the_loss_of_one_batch() {
    each_case(|_, case, loss, expected, what| {
        let mut tally = Tally::default();
        let half = case.mask.len() / 2;
        tally.add(&case.logits[..half], &case.mask[..half]);
        tally.add(&case.logits[half..], &case.mask[half..]);
        assert_close(&[tally.loss(loss) as f32], &[expected.value], 1e-6 * expected.value.abs().max(1.0), what);
    });
}

#[test]
fn a_network_that_gives_nan_has_no_loss() {
    for loss in [Loss::Dice, Loss::Bce, Loss::DiceBce] {
        let mut tally = Tally::default();
        tally.add(&[0.0, f32::NAN], &[0, 0]);
        assert!(tally.loss(loss).is_nan(), "{loss:?}");
    }
}
