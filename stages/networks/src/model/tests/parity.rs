//! All classifiers that torchvision has, against torchvision and pytorch-grad-cam: `tests/reference/models.py` made
//! `models.json`, `cam.py` made `cam.json`.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use orchestrate_stages::random::Seed;
use serde::Deserialize;

use crate::cam::class_activation_map;
use crate::model::architecture::ARCHITECTURES;
use crate::model::{Classifier, ModelName, Normalisation, pool};
use crate::testing::reference::{Sample, formula_image, formula_tensors, image_tensor};

const CLASSES: usize = 3;

#[derive(Deserialize)]
struct Models {
    models: BTreeMap<String, Reference>,
}

#[derive(Deserialize)]
struct Reference {
    size: usize,
    side_at_224: usize,
    features: Sample,
    pooled: Sample,
    logits: Sample,
    predicted: u32,
    class_activation_map: Sample,
}

#[derive(Deserialize)]
struct GradCams {
    models: BTreeMap<String, GradCam>,
}

#[derive(Deserialize)]
struct GradCam {
    predicted: u32,
    map: Sample,
}

fn references() -> BTreeMap<String, Reference> {
    let models: Models =
        serde_json::from_str(include_str!("../../../tests/reference/models.json")).expect("the script wrote it");
    models.models
}

/// Returns the classifier with the weights of the formula.
fn classifier(name: &str) -> Classifier {
    let (model, device) = (ModelName::new(name).expect("torchvision has it"), Device::flex());
    let drawn = Classifier::drawn(model, CLASSES, &Seed::new("test", 0, &[]), &device);
    Classifier::from_tensors(model, CLASSES, &formula_tensors(&drawn.tensors()), &device).expect("its own names fit")
}

fn image(size: usize) -> Tensor<4> {
    image_tensor(&formula_image("image 0", size, size), size, size, &Normalisation::image_net(), &Device::flex())
}

/// torchvision's logits and map, torch's einsum and pytorch-grad-cam's unscaled map, all from one pass.
fn check(name: &str) {
    let reference = &references()[name];
    let grad_cams: GradCams =
        serde_json::from_str(include_str!("../../../tests/reference/cam.json")).expect("the script wrote it");
    let grad_cam = &grad_cams.models[name];
    assert_eq!(grad_cam.predicted, reference.predicted);

    let classifier = classifier(name);
    let features = classifier.features(image(reference.size));
    reference.features.assert_close(features.clone(), &format!("features of {name}"));
    let pooled = pool(features.clone());
    reference.pooled.assert_close(pooled.clone(), &format!("pooled features of {name}"));
    let logits = classifier.head().forward(pooled);
    reference.logits.assert_close(logits, &format!("logits of {name}"));
    let map = class_activation_map(features, classifier.head().class_weights(), &[reference.predicted]);
    let [_, height, width] = map.dims();
    let map: Tensor<2> = map.reshape([height, width]);
    reference.class_activation_map.assert_close(map.clone(), &format!("class activation map of {name}"));
    let positive = map.clamp_min(0.0) / (height * width) as f64;
    grad_cam.map.assert_close(positive, &format!("Grad-CAM of {name}"));
}

#[test]
fn alexnets_are_torchvisions() {
    check("alexnet");
    check("modified-alexnet");
}

#[test]
fn vgg16s_are_torchvisions() {
    check("vgg16");
    check("modified-vgg16");
    check("vgg16_bn");
}

#[test]
fn vgg19s_are_torchvisions() {
    check("vgg19");
    check("modified-vgg19");
    check("vgg19_bn");
}

#[test]
fn resnets_are_torchvisions() {
    check("resnet18");
    check("resnet34");
    check("resnet50");
}

#[test]
fn densenet121_is_torchvisions() {
    check("densenet121");
}

#[test]
fn every_model_with_pretrained_weights_is_checked_against_them() {
    let references = references();
    for architecture in ARCHITECTURES.iter().filter(|architecture| architecture.normalisation.is_some()) {
        let name = architecture.name;
        assert!(references.contains_key(name) || name == "squeezenet1_1", "{name} has no reference");
        assert_eq!(architecture.channels, Normalisation::image_net().mean.len(), "{name}");
    }
}

/// The table of Kang et al. 2021, section 3.2, and torchvision's map sizes for the others.
#[test]
fn maps_have_torchvisions_size_at_224_pixels() {
    for (name, reference) in references() {
        let model = ModelName::new(&name).expect("torchvision has it");
        let device = Device::flex();
        // Weights do not change sizes, so they stay zero.
        let [_, features, height, width] = Classifier::zero(model, 1, &device).features(image(224)).dims();
        let expected = (model.architecture().features, reference.side_at_224, reference.side_at_224);
        assert_eq!((features, height, width), expected, "{name}");
    }
}

#[test]
fn the_smallest_images_still_give_a_map() {
    for architecture in ARCHITECTURES {
        let size = architecture.size_min;
        let model = ModelName::new(architecture.name).expect("it is in the list");
        let classifier = Classifier::zero(model, 1, &Device::flex());
        let map = classifier.features(Tensor::zeros([1, architecture.channels, size, size], &Device::flex()));
        let [_, features, height, width] = map.dims();
        assert!(features == architecture.features && height * width >= 1, "{}: {:?}", architecture.name, map.dims());
    }
}
