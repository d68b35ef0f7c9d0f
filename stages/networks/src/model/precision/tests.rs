use std::collections::BTreeMap;

use burn::optim::GradientsParams;
use burn::tensor::TensorData;

use super::*;
use crate::model::{Classifier, ModelName, pool};
use orchestrate_stages::random::Seed;

/// A network of random weights on images of noise, two of 32×32.
fn network(model: &str, device: &Device) -> (Classifier, Tensor<4>) {
    let model = ModelName::new(model).expect("it exists");
    let classifier = Classifier::drawn(model, 3, &Seed::new("test", 3, &[]), device);
    let channels = model.architecture().channels;
    let mut generator = Seed::new("test", 3, &[]).generator("images", "");
    let values: Vec<f32> = (0..2 * channels * 1024).map(|_| generator.unit() as f32 * 2.0 - 1.0).collect();
    let images = Tensor::from_data(TensorData::new(values, [2, channels, 32, 32]), device);
    (classifier, images)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec_as().expect("it is f32")
}

/// Returns the largest difference as a share of the largest value.
fn difference(found: &[f32], exact: &[f32]) -> f32 {
    let largest = exact.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    found.iter().zip(exact).map(|(found, exact)| (found - exact).abs()).fold(0.0, f32::max) / largest
}

#[test]
fn half_precision_gives_nearly_the_same_maps_and_f32_the_very_same() {
    for model in ["tiny", "tiny-modified", "squeezenet1_1"] {
        let (classifier, images) = network(model, &Device::flex());
        let exact = values(classifier.features(images.clone()));
        let map = |precision| values(classifier.clone().with_precision(precision).features(images.clone()));
        assert_eq!(map(Precision::F32), exact);
        // A value has 8 or 11 bits, and the rounding errors of several layers add up.
        for (precision, bound) in [(Precision::Bf16, 4e-2), (Precision::F16, 4e-3)] {
            let found = difference(&map(precision), &exact);
            assert!(found > 1e-6 && found < bound, "{model} in {precision}: {found}");
        }
    }
}

/// `tests/reference/precision.py` made `precision.json`.
#[derive(Deserialize)]
struct Reference {
    /// The largest difference of gradients in PyTorch, by model and precision.
    largest: BTreeMap<String, BTreeMap<String, f32>>,
}

#[test]
fn gradients_in_half_precision_reach_the_f32_weights_and_are_as_near_as_in_pytorch() {
    let reference: Reference =
        serde_json::from_str(include_str!("../../../tests/reference/precision.json")).expect("it is valid");
    let device = Device::flex().autodiff();
    for (model, bounds) in &reference.largest {
        let gradient = |precision| {
            let (classifier, images) = network(model, &device);
            let classifier = classifier.with_precision(precision);
            // Scaled to the size of gradients of a mean over many images.
            let loss = classifier.logits(images).sum() * 1e-4;
            let gradients = GradientsParams::from_grads(loss.backward(), &classifier);
            let mut visitor = Gradients { gradients, values: Vec::new() };
            classifier.visit(&mut visitor);
            visitor.values
        };
        let exact = gradient(Precision::F32);
        for precision in [Precision::Bf16, Precision::F16] {
            let found = gradient(precision);
            assert_eq!(found.len(), exact.len());
            for (index, (found, exact)) in found.iter().zip(&exact).enumerate() {
                let share = norm(found.iter().zip(exact).map(|(a, b)| a - b)) / norm(exact.iter().copied());
                let bound = bounds[&precision.to_string()];
                assert!(share <= bound, "{model} in {precision}, tensor {index}: {share}, up to {bound} in PyTorch");
            }
        }
    }
}

fn norm(values: impl Iterator<Item = f32>) -> f32 {
    values.map(|value| value * value).sum::<f32>().sqrt()
}

/// The gradients of all tensors in the order of visiting.
struct Gradients {
    gradients: GradientsParams,
    values: Vec<Vec<f32>>,
}

impl burn::module::ModuleVisitor for Gradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient: Tensor<D> = self.gradients.get(param.id).expect("every tensor has a gradient");
        assert_eq!(gradient.dtype(), burn::tensor::DType::F32);
        self.values.push(values(gradient));
    }
}

#[test]
fn stored_weights_stay_as_they_are() {
    let (classifier, images) = network("tiny", &Device::flex());
    let before = classifier.tensors();
    let classifier = classifier.with_precision(Precision::Bf16);
    let _ = pool(classifier.features(images));
    assert_eq!(classifier.tensors(), before);
}

#[test]
fn batch_normalisation_is_refused_in_half_precision_only() {
    let names = ["features.1.running_mean".to_owned()];
    let error = Precision::Bf16.check(&Device::flex(), &names).expect_err("it has running statistics").to_string();
    let expected =
        "precision = \"bf16\": the network has batch normalisation, whose running statistics need f32; use \"f32\"";
    assert_eq!(error, expected);
    assert!(Precision::F32.check(&Device::flex(), &names).is_ok());
    assert!(Precision::F16.check(&Device::flex(), &["features.1.weight".to_owned()]).is_ok());
}

#[test]
fn names_survive_json_and_others_are_answered_with_them() {
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let json = serde_json::to_string(&precision).expect("a name is a text");
        assert_eq!(json, format!("\"{precision}\""));
        assert_eq!(serde_json::from_str::<Precision>(&json).expect("it was just written"), precision);
    }
    let error = serde_json::from_str::<Precision>("\"f64\"").expect_err("it does not exist").to_string();
    assert!(error.starts_with("unknown precision `f64`; use \"f32\", \"bf16\" or \"f16\""), "{error}");
}
