//! Against segmentation_models_pytorch: `tests/reference/unet.py` made `unet.json`.

use std::collections::BTreeMap;

use burn::optim::GradientsParams;
use burn::tensor::TensorData;
use serde::Deserialize;

use super::*;
use crate::model::{Normalisation, Values};
use crate::segment::Loss;
use crate::testing::reference::{Sample, assert_close, formula_image, formula_tensor, image_tensor};

#[derive(Deserialize)]
struct Reference {
    size: usize,
    logits: BTreeMap<String, Sample>,
    training_step: Step,
}

#[derive(Deserialize)]
struct Step {
    loss: f32,
    gradients: BTreeMap<String, Vec<f32>>,
    running: BTreeMap<String, Vec<f32>>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../../tests/reference/unet.json")).expect("the script wrote it")
}

/// Returns a tensor as `unet.py` makes it.
fn tensor(name: &str, shape: &[usize]) -> Values {
    if shape.len() > 1 {
        return formula_tensor(name, shape);
    }
    let mut unit = formula_tensor(&format!("{name}/unit"), shape);
    let (middle, factor) = match name.rsplit_once('.').expect("a name has a dot").1 {
        "weight" => (1.0, 5.0),
        "running_var" if name.starts_with("encoder.layer") => (6.0, 20.0),
        "running_var" => (1.5, 5.0),
        _ => (0.0, 1.0),
    };
    unit.values.iter_mut().for_each(|value| *value = middle + factor * *value);
    unit
}

fn tensors(encoder: EncoderName) -> Tensors {
    let zero = Unet::zero(encoder, &Device::flex()).tensors();
    zero.iter().map(|(name, values)| (name.clone(), tensor(name, &values.shape))).collect()
}

fn images(size: usize, device: &Device) -> Tensor<4> {
    let pixels = ["image 0", "image 1"].map(|name| formula_image(name, size, size)).concat();
    image_tensor(&pixels, size, size, &Normalisation::image_net(), device)
}

const ENCODERS: [EncoderName; 5] =
    [EncoderName::Vgg16, EncoderName::Vgg19, EncoderName::Vgg16Bn, EncoderName::Vgg19Bn, EncoderName::ResNet34];

#[test]
fn logits_of_every_encoder_are_those_of_segmentation_models_pytorch() {
    let reference = reference();
    let device = Device::flex();
    for encoder in ENCODERS {
        let unet = Unet::from_tensors(encoder, &tensors(encoder), &device).expect("its own names fit");
        let logits = unet.logits(images(reference.size, &device));
        reference.logits[&encoder.to_string()].assert_close(logits, &format!("logits with {encoder}"));
    }
}

/// Returns the seven values that `unet.py` keeps.
fn few(values: &[f32]) -> Vec<f32> {
    values.iter().step_by((values.len() / 7).max(1)).copied().collect()
}

#[test]
fn a_training_step_has_the_loss_gradients_and_running_statistics_of_pytorch() {
    let Reference { size, training_step, .. } = reference();
    let device = Device::flex().autodiff();
    let encoder = EncoderName::Vgg16;
    let unet = Unet::from_tensors(encoder, &tensors(encoder), &device).expect("its own names fit");
    // `uniform("mask") > 0.4`; for a vector the formula scales it to ±0.1.
    let mask: Vec<f32> =
        formula_tensor("mask", &[2 * size * size]).values.iter().map(|&v| f32::from(v > 0.04)).collect();
    let mask = Tensor::<4>::from_data(TensorData::new(mask, [2, 1, size, size]), &device);
    let loss = Loss::Dice.forward(unet.logits(images(size, &device)), mask);
    assert_close(&[loss.clone().into_scalar::<f32>()], &[training_step.loss], 1e-5, "loss");

    let gradients = GradientsParams::from_grads(loss.backward(), &unet);
    let tensors = unet.tensors();
    let mut errors = BTreeMap::new();
    for (name, theirs) in &training_step.gradients {
        let ours = few(&gradient(&gradients, name, tensors[name].shape.len()));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0_f32, |most, value| most.max(value.abs()));
        let error = largest(&mut ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs));
        errors.insert(name.as_str(), error / largest(&mut theirs.iter().copied()));
    }
    // Some units are so near to 0 that rounding decides whether their ReLU passes a gradient: PyTorch's own gradients
    // change by 0.013 when its weights change by 2e-6. Gradients behind the last ReLU are exact.
    let bound = |name: &str| if name.starts_with("segmentation_head.") { 1e-4 } else { 3e-2 };
    assert!(errors.iter().all(|(name, &error)| error < bound(name)), "relative errors of gradients: {errors:?}");
    for (name, theirs) in &training_step.running {
        assert_close(&few(&tensors[name].values), theirs, 1e-4, name);
    }
}

/// Returns the gradient of a tensor of four axes, or of one.
fn gradient(gradients: &GradientsParams, name: &str, axes: usize) -> Vec<f32> {
    let id = tensors::id(name);
    let data = match axes {
        1 => gradients.get::<1>(id).expect("it is trained").into_data(),
        _ => gradients.get::<4>(id).expect("it is trained").into_data(),
    };
    data.try_into_vec_as().expect("f32")
}

#[test]
fn drawn_weights_have_the_bounds_of_their_layers() {
    let seed = Seed::new("test", 1, &[]);
    let tensors = Unet::drawn(EncoderName::Vgg16, &seed, &Device::flex()).tensors();
    let largest = |name: &str| tensors[name].values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let near = |name: &str, bound: f64| {
        let found = f64::from(largest(name));
        assert!(found <= bound && found > 0.95 * bound, "{name}: {found} of {bound}");
    };
    near("encoder.features.28.weight", (6.0 / (512.0 * 9.0_f64)).sqrt());
    near("decoder.blocks.4.conv2.0.weight", (6.0 / (16.0 * 9.0_f64)).sqrt());
    near("segmentation_head.0.weight", (6.0 / (17.0 * 9.0_f64)).sqrt());
    assert_eq!(tensors["segmentation_head.0.bias"].values, [0.0]);
    assert!(tensors["decoder.center.1.1.weight"].values.iter().all(|&scale| scale == 1.0));
    assert!(tensors["decoder.center.1.1.running_var"].values.iter().all(|&variance| variance == 1.0));
    let other = Unet::drawn(EncoderName::Vgg16, &Seed::new("test", 2, &[]), &Device::flex()).tensors();
    assert_ne!(other["encoder.features.0.weight"], tensors["encoder.features.0.weight"]);
}

#[test]
fn pretrained_weights_fill_the_encoder_or_the_whole_network() {
    let device = Device::flex();
    let encoder = EncoderName::Vgg16;
    let drawn = || Unet::drawn(encoder, &Seed::new("test", 1, &[]), &device);
    let whole = tensors(encoder);
    let mut classifier: Tensors = whole
        .iter()
        .filter_map(|(name, values)| Some((name.strip_prefix(ENCODER)?.to_owned(), values.clone())))
        .collect();
    classifier.insert("classifier.0.weight".to_owned(), Values { shape: vec![1], values: vec![0.0] });
    classifier.insert("features.1.num_batches_tracked".to_owned(), Values { shape: vec![1], values: vec![0.0] });

    let before = drawn().tensors();
    let filled = drawn().with_pretrained(encoder, &classifier).expect("torchvision's names").tensors();
    for (name, values) in &filled {
        let expected = if name.starts_with(ENCODER) { &whole[name] } else { &before[name] };
        assert!(values == expected, "{name}");
    }
    assert!(drawn().with_pretrained(encoder, &whole).expect("names of a U-Net").tensors() == whole);

    classifier.remove("features.5.bias");
    classifier.insert("features.99.bias".to_owned(), Values { shape: vec![1], values: vec![0.0] });
    let error = drawn().with_pretrained(encoder, &classifier).expect_err("two tensors do not fit");
    assert_eq!(error, "`encoder.features.5.bias` [128] is missing; `encoder.features.99.bias` is unexpected");
}
